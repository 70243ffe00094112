"""Whole against parts, of images whose mean colour is all that is asked."""

import keras
import numpy as np
import pytest

from vizlib.networks import Network
from vizlib.realism import WholeJudge
from vizlib.realism.wholes import crops


@pytest.fixture(scope="module")
def judge():
    """Red against blue."""
    image = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, keras.layers.Dense(2, use_bias=False)(x))
    model.layers[-1].set_weights([np.array([[4.0, 0], [0, 0], [0, 4]])])
    return WholeJudge(Network(model, classes=["red", "blue"]))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_what_is_in_one_half_is_recognised_best_in_a_crop_of_it(judge):
    images = np.zeros((4, 32, 32, 3), "float32")
    images[0, :, :16, 0] = 1  # the left half is red: a crop has all of it
    images[1, ..., 0] = 1  # red everywhere: the whole is as any part
    images[2:, ..., 2], images[2:, 8:24, 8:24, 2] = 0, 1  # a blue square in the middle
    answer = judge(images, ["red", "red", "blue", "blue"], None)["whole_to_part"]
    assert answer["red"] == pytest.approx((sigmoid(2) + sigmoid(4)) / (2 * sigmoid(4)), rel=1e-5)
    assert answer["blue"] == pytest.approx(sigmoid(1) / sigmoid(4), rel=1e-3)  # edges ring, and are clipped


def test_crops_lie_at_quarters():
    rows, columns = np.mgrid[:8, :12]
    images = np.stack([rows, columns, rows * columns], -1)[None]
    corners = [(int(crop[0, 0, 0, 0]), int(crop[0, 0, 0, 1])) for crop in crops(images)]
    assert corners == [(y, x) for y in (0, 2, 4) for x in (0, 3, 6)]
    assert all(crop.shape == (1, 4, 6, 3) for crop in crops(images))
    assert crops(images)[8][0, -1, -1].tolist() == [7, 11, 77]
