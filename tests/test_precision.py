"""Mixed precision gives the same pictures, and float16 neither loses gradients nor lets them become infinite."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
from keras import ops

import vizlib as viz
from vizlib.statistics import ImageStatistics
from vizlib.synthesis.canvases import Cosine
from vizlib.synthesis.loop import optimize
from vizlib.synthesis.terms import Distance, LayerTerm

LAYER = "block3_conv3"
HALF = pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
ERROR = {"bfloat16": 2**-7, "float16": 2**-10}  # what rounding to a dtype's digits can do, more or less


@pytest.fixture(scope="module")
def images():
    return viz.load_images("partworld", "cat", 3, seed=5)


def network(mini, dtype):
    return viz.Network(mini.model, mini.preprocess, mini.classes, dtype=dtype)


@HALF
def test_activations_are_rounded_and_nothing_else(mini, images, dtype):
    net, layers = network(mini, dtype), [LAYER, f"{LAYER}:pre", "fc1", "scores"]
    assert net.fingerprint == mini.fingerprint
    features = net.features(tuple(layers))
    inner = {layer.compute_dtype for layer in features.layers if "conv" in layer.name}
    assert inner == {dtype}
    found, expected = (dict(x.features(tuple(layers)).predict(images, verbose=0)) for x in (net, mini))
    for layer in layers:
        apart = np.abs(found[layer] - expected[layer]).max() / np.abs(expected[layer]).max()
        assert found[layer].dtype == "float32" and 0 < apart < 6 * ERROR[dtype], layer


@HALF
def test_saliency_is_nearly_the_same(mini, images, dtype):
    for rule in ("gradient", "guided"):
        found, expected = (viz.saliency(net, images, LAYER, 3, rule) for net in (network(mini, dtype), mini))
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_model_of_mixed_precision_is_looked_at_in_float32(policy):
    """In float16 its small gradients would be exactly 0."""
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 2)).astype("float32") * 1e-4
    models = []
    for dtype in (policy, "float32"):
        image = keras.Input((12, 12, 3))
        x = keras.layers.Conv2D(2, 3, activation="relu", name="conv", dtype=dtype)(image)
        x = keras.layers.GlobalAveragePooling2D(dtype=dtype)(x)
        models.append(keras.Model(image, keras.layers.Dense(2, "softmax", dtype=dtype)(x)))
        models[-1].set_weights([kernel, np.zeros(2), kernel[0, :2, 0] * 100, np.zeros(2)])
    images = np.random.default_rng(1).random((2, 12, 12, 3)).astype("float32")
    mixed, whole = (viz.saliency(viz.Network(model, classes="ab"), images, "scores", "a") for model in models)
    np.testing.assert_array_equal(mixed, whole)
    assert np.abs(whole).max() > 0
    assert models[0].get_layer("conv").compute_dtype == policy.removeprefix("mixed_"), "the model is left as it is"


@HALF
def test_reconstructions_are_the_same_picture(mini, images, dtype):
    """At a layer that leaves little open; as near to the targets, asked in float32, and nearer to each other."""
    layer, settings = "block2_conv2", {"steps": 100, "progress": False}
    targets, statistics = mini.activations(images, [layer])[layer], ImageStatistics().fit(images)
    nets = network(mini, dtype), mini
    found, expected = (viz.reconstruct(net, targets, layer, statistics, **settings).images for net in nets)
    errors = [np.sum((mini.activations(x, [layer])[layer] - targets) ** 2) for x in (found, expected)]
    assert errors[0] < 1.2 * errors[1] < 0.02 * np.sum(targets**2)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.5 * np.sqrt(np.mean((expected - images) ** 2))


@dataclass(frozen=True)
class Rise(LayerTerm):
    """Minus the mean over a layer: its gradient is tiny, and by the weight may be huge."""

    def measure(self, activations):
        return -ops.mean(activations[self.layer], axis=(1, 2, 3))


@pytest.mark.parametrize("weight", [1e-4, 1.0, 1e9])
def test_the_scale_of_a_loss_does_not_matter_in_float16(mini, weight):
    """Though float16 ends at 65504 and begins at 6e-8."""

    def run(net, weight):
        term = Rise(LAYER, weight=weight)
        return optimize(net, [term], Cosine(64), 2, 60, progress=False).history["Rise"] / weight

    found, expected = run(network(mini, "float16"), weight), run(mini, weight)
    assert np.isfinite(found).all()
    assert found.min() < 0.9 * expected.min() < 2 * expected.max()  # all are negative


def test_nan_is_still_an_error_in_float16(mini, images):
    targets = mini.activations(images, [LAYER])[LAYER]
    targets[1, 2, 3, 4] = np.nan
    with pytest.raises(FloatingPointError, match="the loss of the term 'Distance'"):
        optimize(network(mini, "float16"), [Distance(LAYER, targets)], Cosine(64), 3, 5, progress=False)


def test_other_dtypes_are_refused(mini):
    with pytest.raises(ValueError, match="out of float32, bfloat16, float16; received 'int8'"):
        network(mini, "int8")
