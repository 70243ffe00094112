"""Vision transformers: their tokens as maps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import vizlib as viz
from vizlib.networks.tokens import grid

IMAGES = np.random.default_rng(0).random((24, 16, 16, 3)).astype("float32")
BLOCKS = 6


class ClassToken(layers.Layer):
    """Puts a learned token before the others."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal", name="token")

    def call(self, x):
        return ops.concatenate([ops.tile(self.token, (ops.shape(x)[0], 1, 1)), x], axis=1)

    def compute_output_shape(self, shape):  # which Keras 3.9 does not find by itself
        return shape[0], shape[1] + 1, shape[2]


class Block(layers.Layer):
    """Attention, then two Dense layers, each beside what comes in."""

    def build(self, shape):
        self.attention = layers.MultiHeadAttention(2, 4)
        self.attention.build(shape, shape)
        self.up, self.down = layers.Dense(16, "gelu"), layers.Dense(shape[-1])
        self.up.build(shape)
        self.down.build((*shape[:-1], 16))

    def call(self, x):
        x = x + self.attention(x, x)
        return x + self.down(self.up(x))

    def compute_output_shape(self, shape):
        return shape


def transformer(class_token=True):
    """A vision transformer of 4 × 4 patches of 4 pixels, with custom layers for blocks."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = layers.Reshape((16, 8), name="flat")(layers.Conv2D(8, 4, strides=4, name="patches")(image))
    x = ClassToken(name="token")(x) if class_token else x
    for i in range(BLOCKS):
        x = Block(name=f"block{i}")(x)
    x = layers.LayerNormalization(name="norm")(x)
    x = x[:, 0] if class_token else layers.GlobalAveragePooling1D()(x)
    return keras.Model(image, layers.Dense(3, name="logits")(x))


@pytest.fixture(scope="module")
def net():
    return viz.Network(transformer(), classes="abc")


@pytest.mark.parametrize(
    ("tokens", "height", "width", "expected"),
    [
        (196, 224, 224, (14, 14)),
        (197, 224, 224, (14, 14)),  # with a class token
        (198, 224, 224, (14, 14)),  # and one for distillation
        (201, 224, 224, (14, 14)),  # and four registers
        (50, 224, 224, (7, 7)),
        (257, 224, 224, (16, 16)),
        (65, 32, 32, (8, 8)),
        (24, 16, 24, (4, 6)),
        (25, 16, 24, (4, 6)),
        (7, 28, 28, (2, 2)),
        (28, 28, 28, None),  # rows of an image, as a recurrent layer takes them
        (55, 224, 224, None),
        (202, 224, 224, None),
        (3, 16, 16, None),
    ],
)
def test_as_many_tokens_as_patches(tokens, height, width, expected):
    assert grid(tokens, height, width) == expected


def test_tokens_are_maps_and_the_class_token_is_apart(net):
    own = keras.Model(net.model.inputs, net.model.get_layer("block3").output)
    tokens = own.predict(IMAGES, verbose=0)
    found = net.activations(IMAGES, ["block3", "block3:token"])
    np.testing.assert_allclose(found["block3"], tokens[:, 1:].reshape(-1, 4, 4, 8), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["block3:token"], tokens[:, 0], rtol=1e-4, atol=1e-5)
    outer = {name for name in net.graph()[1].tokens if "/" not in name}
    assert outer == {"flat", "token", *(f"block{i}" for i in range(BLOCKS)), "norm"}
    with pytest.raises(ValueError, match="received 'patches:token'"):
        net.activations(IMAGES, ["patches:token"])


@pytest.mark.parametrize("class_token", [True, False])
def test_saliency_of_a_class_and_of_a_channel(class_token):
    model = transformer(class_token)
    net, blocks = viz.Network(model, classes="abc"), keras.Model(model.inputs, model.get_layer("block3").output)
    for (layer, neuron), score in {
        ("scores", "b"): lambda x: model(x)[:, 1],
        ("block3", 2): lambda x: tf.reduce_sum(blocks(x)[:, int(class_token) :, 2], axis=1),
        ("block3", (1, 2, 5)): lambda x: blocks(x)[:, int(class_token) + 6, 5],
    }.items():
        with tf.GradientTape() as tape:
            tape.watch(images := tf.constant(IMAGES[:2]))
            value = tf.reduce_sum(score(images))
        expected = tape.gradient(value, images)
        np.testing.assert_allclose(viz.saliency(net, IMAGES[:2], layer, neuron), expected, rtol=1e-3, atol=1e-5)


def test_finer_layers_are_blocks_before(net):
    assert net.finer_layers("block5") == ("block2", "block1", "block0")
    assert net.finer_layers("block1") == ("block0",)
    assert net.finer_layers("block0") == ("token",)  # the patches, with the class token
    assert net.finer_layers("patches") == ()


def test_a_class_is_drawn_at_several_blocks_and_made_into_images(net, tmp_path):
    store, blocks = viz.StatsStore(tmp_path / "stats", net), ["block4", *net.finer_layers("block4")]
    assert blocks == ["block4", "block2", "block1", "block0"]
    viz.collect(store, IMAGES, "a", blocks, progress=False)
    assert store.last_of_resolutions("a") == tuple(blocks)
    model, real = store.model("a", "block4", "Snapshots"), net.activations(IMAGES, ["block4"])["block4"]
    np.testing.assert_allclose(model.inverse_transform(model.coordinates_), real, rtol=2e-3, atol=2e-3)
    drawn = store.sample("a", "block4", n=2)
    assert len(set(drawn) | set(drawn.marginals) - {"image"}) > 1
    made = viz.reconstruct(net, drawn, steps=60, progress=False)
    total = sum(made.history.values()).sum(axis=1)
    assert total[-1] < 0.5 * total[0]


def test_a_network_without_relus_has_finer_layers_with_weights():
    model = keras.Sequential([
        keras.Input((16, 16, 3)),
        layers.Normalization(mean=0.5, variance=0.1),
        layers.Conv2D(4, 3, padding="same", activation="silu", name="conv1"),
        layers.MaxPooling2D(2, name="pool"),
        layers.Conv2D(6, 3, activation="silu", name="conv2"),
    ])
    assert viz.Network(model).finer_layers("conv2") == ("conv1",)


def test_a_transformer_is_the_same_network_after_it_was_saved(net, tmp_path):
    keras.saving.register_keras_serializable("test")(ClassToken)
    keras.saving.register_keras_serializable("test")(Block)
    net.model.save(tmp_path / "vit.keras")
    again = viz.load_network(tmp_path / "vit.keras", classes="abc")
    np.testing.assert_allclose(again.scores(IMAGES), net.model.predict(IMAGES, verbose=0), rtol=1e-4, atol=1e-5)
    assert again.fingerprint == net.fingerprint
