"""Weights as people have them: with low-rank additions, quantised, of mixed precision within."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import vizlib as viz

IMAGES = np.random.default_rng(0).random((3, 12, 12, 3)).astype("float32")


def gradient(model, images, index):
    with tf.GradientTape() as tape:
        tape.watch(pixels := tf.constant(images))
        score = tf.reduce_sum(model(pixels)[:, index])
    return tape.gradient(score, pixels)


def adapted(*how):
    """A model whose layers were quantised or given low-rank additions, by (name of the layer, method, argument)."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((12, 12, 3)),
        layers.Conv2D(8, 3, activation="relu", name="conv"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(16, "relu", name="dense"),
        layers.Dense(3, name="logits"),
    ])
    for name, method, argument in how:
        if argument == "int4" and "int4" not in keras.src.dtype_policies.dtype_policy.QUANTIZATION_MODES:
            pytest.skip(f"Keras {keras.__version__} knows no int4")
        getattr(model.get_layer(name), method)(argument)
    for weight in model.weights:
        if "lora" in weight.path:
            weight.assign(np.random.default_rng(0).normal(size=weight.shape) / 3)
    return model


LORA = [(name, "enable_lora", 2) for name in ("conv", "dense", "logits")]
QUANTISED = [[(name, "quantize", mode) for name in ("dense", "logits")] for mode in ("int8", "int4")]


@pytest.mark.parametrize("how", [LORA, *QUANTISED, [*QUANTISED[0], LORA[1]]], ids=["LoRA", "int8", "int4", "QLoRA"])
def test_adapted_and_quantised_weights(how):
    model = adapted(*how)
    net = viz.Network(model, classes="abc")
    np.testing.assert_allclose(net.scores(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-6)
    assert np.abs(net.scores(IMAGES) - viz.Network(adapted()).scores(IMAGES)).max() > 1e-5
    np.testing.assert_allclose(viz.saliency(net, IMAGES, "scores", "b"), gradient(model, IMAGES, 1), atol=1e-6)
    before = net.fingerprint
    model.get_layer("dense").bias.assign_add(np.ones(16))
    assert net.fingerprint != before
    np.testing.assert_allclose(net.scores(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-6)


class Attentive(layers.Layer):
    """A layer of one's own with a weight of its own, which is looked at as a whole, and attention within."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.attention = layers.MultiHeadAttention(2, 4, dtype=self.dtype_policy)
        self.attention.build(shape, shape)
        self.after = [layers.Dense(shape[-1], "tanh", dtype=self.dtype_policy)]
        self.after[0].build(shape)

    def call(self, x):
        return self.after[0](x * self.scale + self.attention(x, x))


def test_layers_within_layers_are_of_the_precision_asked_for():
    """Those of a mixed_float16 model in float32, and the user's own stay as they were."""
    made = {}
    for policy in ("mixed_float16", "float32"):
        keras.utils.set_random_seed(0)
        image = keras.Input((12, 12, 3))
        x = layers.Reshape((16, 8))(layers.Conv2D(8, 3, strides=3, dtype=policy)(image))
        x = layers.MultiHeadAttention(2, 4, dtype=policy, name="mha")(x, x)
        x = Attentive(dtype=policy, name="own")(x)
        made[policy] = keras.Model(image, layers.Dense(3, dtype=policy)(layers.Flatten()(x)))
    made["float32"].set_weights(made["mixed_float16"].get_weights())
    own = made["mixed_float16"].get_layer("own")
    net = viz.Network(made["mixed_float16"], classes="abc")
    expected = made["float32"](IMAGES)
    np.testing.assert_allclose(net.scores(IMAGES), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(made["mixed_float16"](IMAGES)) - np.asarray(expected)).max() > 1e-5
    exact = gradient(made["float32"], IMAGES, 1)
    np.testing.assert_allclose(viz.saliency(net, IMAGES, "scores", "b"), exact, rtol=1e-4, atol=1e-7)
    assert own.attention.compute_dtype == own.after[0].compute_dtype == "float16"
