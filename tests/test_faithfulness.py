"""Deletion, insertion and the sanity check on networks that look at what is known."""

import keras
import numpy as np
import pytest
from keras import layers

import vizlib as viz
from vizlib.attribution import curves, sanity_check


def left_half():
    """A network whose unit 0 is the mean brightness of the left half of an image, and unit 1 minus that."""
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, layers.Dense(2, use_bias=False, name="d")(layers.Flatten(name="f")(image)))
    kernel = np.zeros((4, 4, 3, 2), "float32")
    kernel[:, :2] = np.array([1, -1]) / 24
    model.set_weights([kernel.reshape(48, 2)])
    return viz.Network(model, classes=())


def halves(n=3):
    """White images, and maps that are higher on the left, or on the right."""
    left = np.zeros((n, 4, 4), "float32")
    left[:, :, :2] = 1
    return np.ones((n, 4, 4, 3), "float32"), left, 1 - left


def test_the_order_of_pixels_counts():
    """White pixels fall to 0, the eight of the left half first, or last; areas are of trapezia."""
    images, left, right = halves()
    first = curves(left_half(), images, left, "d", 0, steps=4, fill=0, blur=0, progress=False)
    np.testing.assert_allclose(first.deletion, [[1, 0.5, 0, 0, 0]] * 3, atol=1e-6)
    np.testing.assert_allclose(first.deletion_area, [0.25] * 3, atol=1e-6)
    np.testing.assert_allclose(first.insertion, 1, atol=1e-6)  # nothing is blurred, so nothing is missing
    last = curves(left_half(), images, right[..., None] * np.ones(3), "d", 0, steps=4, fill=0, progress=False)
    np.testing.assert_allclose(last.deletion, [[1, 1, 1, 0.5, 0]] * 3, atol=1e-6)
    np.testing.assert_allclose(last.deletion_area, [0.75] * 3, atol=1e-6)


def test_pixels_are_put_back_into_a_blurred_image():
    image = np.zeros((1, 4, 4, 3), "float32")
    image[:, :, :2] = 1
    found = curves(left_half(), image, image[..., 0], "d", 0, steps=2, blur=100, progress=False)
    np.testing.assert_allclose(found.insertion, [[0.5, 1, 1]], atol=1e-3)


def test_of_a_class_its_probability_counts():
    images, left, _ = halves(1)
    net = viz.Network(left_half().model, classes=("a", "b"))
    found = curves(net, images, left, "scores", "b", steps=2, fill=0, blur=0, progress=False)
    np.testing.assert_allclose(found.deletion, [[1 / (1 + np.exp(2)), 0.5, 0.5]], atol=1e-6)


def test_batches_change_nothing(monkeypatch):
    net, images, maps = left_half(), *(np.random.default_rng(0).random(s, "float32") for s in ((5, 4, 4, 3), (5, 4, 4)))
    whole = curves(net, images, maps, "d", 1, steps=8, progress=False)
    monkeypatch.setattr(net, "batch_size", 2)
    for a, b in zip(whole, curves(net, images, maps, "d", 1, steps=8, progress=False), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    "maps, steps", [(np.zeros((3, 5, 5)), 4), (np.full((3, 4, 4), np.nan), 4), (np.zeros((3, 4, 4)), 17)]
)
def test_what_does_not_fit(maps, steps):
    with pytest.raises(ValueError, match="expected .*received"):
        curves(left_half(), halves()[0], maps, "d", 0, steps=steps)


def test_maps_of_what_was_learned_change_and_others_do_not(tiny_cnn):
    net, images = viz.Network(tiny_cnn), np.random.default_rng(0).random((2, 6, 6, 3), "float32")
    before = tiny_cnn.get_weights()
    found = sanity_check(viz.saliency, net, images, 1)
    assert list(found.index) == ["predictions", "conv2", "conv1"]
    assert found.correlation.iloc[-1] < 0.5 and (found.lowest <= found.highest).all()
    shown = sanity_check(lambda net, images, layer, neuron: images, net, images, 1)  # an edge detector in disguise
    np.testing.assert_allclose(shown, 1, rtol=1e-6)
    for old, new in zip(before, tiny_cnn.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_linear_network_by_hand():
    """Scrambling its one layer leaves the gradients that its new weights are, with this seed."""
    net, images = left_half(), halves()[0]
    kernel = net.model.get_weights()[0]
    scrambled = np.random.default_rng(4).permutation(kernel.ravel()).reshape(48, 2)
    expected = np.corrcoef(np.abs(kernel[:, 0]), np.abs(scrambled[:, 0]))[0, 1]  # of two values ranks are a scale
    found = sanity_check(viz.saliency, net, images, 0, seed=4)
    np.testing.assert_allclose(found.loc["d"], expected, atol=1e-6)
