"""Heads as people have them: two classes in one unit, many that are there or not, several outputs, no names."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import expit, softmax

import vizlib as viz
from vizlib.explorer.verdict import Jury
from vizlib.synthesis.terms import CrossEntropy

IMAGES = np.random.default_rng(0).random((3, 12, 12, 3)).astype("float32")


def model(*heads):
    """A convolution and Dense layers on its mean, (units, activation, name) each."""
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu", name="conv")(image))
    return keras.Model(image, [layers.Dense(units, activation, name=name)(x) for units, activation, name in heads])


def logits(model, name, images=IMAGES):
    """What a Dense layer computes before its activation function, in NumPy."""
    (kernel, bias), (weights, offset) = model.get_layer("conv").get_weights(), model.get_layer(name).get_weights()
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    x = np.maximum(np.tensordot(windows, kernel, 3) + bias, 0).mean(axis=(1, 2))
    return x @ weights + offset


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_unit_that_tells_two_classes_apart(activation):
    binary = model((1, activation, "dog"))
    net = viz.Network(binary, classes=("cat", "dog"))
    z = logits(binary, "dog")
    np.testing.assert_allclose(net.scores(IMAGES), np.concatenate([-z, z], axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        np.exp(net.log_probabilities(net.scores(IMAGES))), np.concatenate([1 - expit(z), expit(z)], axis=1), rtol=1e-4
    )
    cat, dog = (viz.saliency(net, IMAGES, "scores", name) for name in ("cat", "dog"))
    np.testing.assert_array_equal(cat, -dog)
    assert np.abs(dog).max() > 0
    raised = viz.simonyan(net, "cat", n=1, steps=30, progress=False).images
    assert logits(binary, "dog", raised)[0, 0] < z.min()


def test_many_classes_that_are_there_or_not():
    many = model((4, "sigmoid", "tags"))
    net = viz.Network(many, classes="abcd")
    z = logits(many, "tags")
    np.testing.assert_allclose(net.scores(IMAGES), z, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.exp(net.log_probabilities(z)), expit(z), rtol=1e-6)
    assert net.is_sigmoid and not net.is_binary


def test_one_class_of_many():
    one = model((4, "softmax", "class"))
    net = viz.Network(one, classes="abcd")
    z = logits(one, "class")
    np.testing.assert_allclose(np.exp(net.log_probabilities(net.scores(IMAGES))), softmax(z, axis=1), rtol=1e-4)
    assert not net.is_sigmoid


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_what_is_recognised_is_asked_of_the_head(activation, tmp_path):
    net = viz.Network(model((3, activation, "head")), classes="abc")
    z = net.scores(IMAGES)
    seen = np.sum(z[:, 1] > 0) if activation == "sigmoid" else np.sum(z.argmax(1) == 1)
    said = Jury(net, str(tmp_path))(IMAGES, "b", IMAGES).recognised
    assert f"this network sees b in {seen} of 3" in said


@pytest.mark.parametrize("sigmoid", [False, True])
def test_cross_entropy_is_that_of_the_head(sigmoid):
    z = np.random.default_rng(0).normal(size=(5, 3)).astype("float32") * 4
    expected = -np.log(expit(z[:, 1])) if sigmoid else -np.log(softmax(z, axis=1)[:, 1])
    np.testing.assert_allclose(CrossEntropy(np.int32(1), sigmoid).measure({"scores": z}), expected, rtol=1e-4)


def test_of_several_outputs_the_one_that_fits_the_names():
    several = model((5, "softmax", "breed"), (2, "softmax", "sex"), (1, "sigmoid", "asleep"))
    for classes, output in (("abcde", "breed"), (("female", "male"), "sex"), ((), "breed")):
        net = viz.Network(several, classes=classes)
        assert net.output == output
        np.testing.assert_allclose(net.scores(IMAGES), logits(several, output), rtol=1e-4, atol=1e-6)
    net = viz.Network(several, classes=("awake", "asleep"), output="asleep")
    np.testing.assert_allclose(net.scores(IMAGES)[:, 1:], logits(several, "asleep"), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="expected an output out of breed, sex, asleep; received 'age'"):
        viz.Network(several, output="age")
    with pytest.raises(ValueError, match="a class name for each of the 5 outputs; received 3 names"):
        viz.Network(several, classes="abc")


def test_without_names_classes_are_positions():
    unnamed = model((4, "softmax", "class"))
    net, named = viz.Network(unnamed), viz.Network(unnamed, classes="abcd")
    assert net.class_index(3) == 3
    for wrong in (4, -1, "a"):
        with pytest.raises(ValueError, match=rf"expected a class out of 0 to 3 \(none named\); received {wrong!r}"):
            net.class_index(wrong)
    asked = {"n": 2, "steps": 5, "progress": False}
    np.testing.assert_array_equal(viz.simonyan(net, 1, **asked).images, viz.simonyan(named, "b", **asked).images)
    np.testing.assert_array_equal(viz.saliency(net, IMAGES, "scores", 1), viz.saliency(named, IMAGES, "scores", "b"))
