"""Whole against parts and the spread of places, with a judge that asks for nothing but the colour."""

import keras
import numpy as np
import pytest

from vizlib.networks import Network
from vizlib.realism import WholeJudge
from vizlib.realism.wholes import crops, spread


@pytest.fixture(scope="module")
def judge():
    """Red against blue."""
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(3, 1, use_bias=False, name="positions")(image)
    x = keras.layers.GlobalAveragePooling2D(name="embedding")(x)
    model = keras.Model(image, keras.layers.Dense(2, "softmax", use_bias=False)(x))
    model.set_weights([np.eye(3)[None, None], np.array([[4.0, 0], [0, 0], [0, 4]])])
    return WholeJudge(Network(model, classes=["red", "blue"]), "positions")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_what_is_in_one_half_is_recognised_best_in_a_crop_of_it(judge):
    images = np.zeros((4, 32, 32, 3), "float32")
    images[0, :, :16, 0] = 1  # the left half is red: a crop has all of it
    images[1, ..., 0] = 1  # red everywhere: the whole is as any part
    images[2:, 8:24, 8:24, 2] = 1  # a blue square in the middle
    answer = judge(images, ["red", "red", "blue", "blue"], None)["whole_to_part"]
    assert answer["red"] == pytest.approx((sigmoid(2) + sigmoid(4)) / (2 * sigmoid(4)), rel=1e-5)
    assert answer["blue"] == pytest.approx(sigmoid(1) / sigmoid(4), rel=1e-3)  # edges ring, and are clipped


def test_places_count_by_the_probability_of_the_label(judge):
    images = np.zeros((3, 32, 32, 3), "float32")  # twice as large as the judge takes them, as places are looked at
    images[1:, 12:20, 12:20, 2] = 1
    answer = judge(images, ["blue", "blue", "red"], None)["spread"]
    weights = np.full((3, 32, 32), 0.5)
    weights[1, 12:20, 12:20], weights[2, 12:20, 12:20] = sigmoid(4), sigmoid(-4)
    for found, weight in zip(answer, weights, strict=True):
        places = np.argwhere(np.ones((32, 32))) / 32
        centre = np.average(places, axis=0, weights=weight.ravel())
        squares = ((places - centre) ** 2).sum(1)
        assert found == pytest.approx(np.sqrt(np.average(squares, weights=weight.ravel())), rel=1e-4)
    assert answer[0] == pytest.approx(np.sqrt(1 / 6), abs=1e-3)  # of a square that is all alike
    assert answer[1] < answer[0] < answer[2]


def test_spread_by_hand():
    maps = np.zeros((3, 4, 8))
    maps[0, 1, 5] = 0.3  # one place
    maps[1, 0, 0] = maps[1, 0, 4] = 2  # two, half the width apart
    maps[2, 0, 0], maps[2, 2, 0] = 3, 1  # half the height apart, unlike
    np.testing.assert_allclose(spread(maps), [0, 0.25, 0.5 * np.sqrt(3 / 16)], atol=1e-7)


def test_crops_lie_at_quarters():
    rows, columns = np.mgrid[:8, :12]
    images = np.stack([rows, columns, rows * columns], -1)[None]
    corners = [(int(crop[0, 0, 0, 0]), int(crop[0, 0, 0, 1])) for crop in crops(images)]
    assert corners == [(y, x) for y in (0, 2, 4) for x in (0, 3, 6)]
    assert all(crop.shape == (1, 4, 6, 3) for crop in crops(images))
    assert crops(images)[8][0, -1, -1].tolist() == [7, 11, 77]


def test_a_label_that_is_no_class(judge):
    with pytest.raises(ValueError, match="expected a class out of red, blue; received 'green'"):
        judge(np.zeros((1, 16, 16, 3), "float32"), ["green"], None)
