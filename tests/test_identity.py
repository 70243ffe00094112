"""The identity of a network: what is another network, what is the same, and that training is noticed."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import vizlib as viz
from vizlib.networks.identity import checksums

IMAGES = np.random.default_rng(0).random((2, 8, 8, 3), "float32")


def test_identity_says_which_of_weights_preprocessing_and_size_differ(tiny_cnn):
    first = viz.Network(tiny_cnn)
    known, fingerprint = first.identity, first.fingerprint

    def differs(other):
        assert (other.fingerprint == fingerprint) == (other.identity == known)
        return {name for name, value in other.identity.items() if value != known[name]}

    assert known["image_size"] == 6 and differs(viz.Network(tiny_cnn, lambda x: x)) == set()
    assert differs(viz.Network(tiny_cnn, lambda x: x * 2)) == {"preprocessing"}
    assert differs(viz.Network(tiny_cnn, lambda x: ops.flip(x, -1))) == {"preprocessing"}
    assert differs(viz.Network(tiny_cnn, size=12)) == {"image_size"}
    weights = tiny_cnn.get_weights()
    weights[-1][0] += 1e-3
    tiny_cnn.set_weights(weights)
    assert differs(viz.Network(tiny_cnn)) == {"weights"} == differs(first)
    assert differs(viz.Network(tiny_cnn, lambda x: x * 2)) == {"weights", "preprocessing"}


def test_identity_outlives_a_keras_file(tiny_cnn, tmp_path):
    tiny_cnn.save(tmp_path / "tiny.keras")
    again = viz.load_network(tmp_path / "tiny.keras")
    assert again.identity == viz.Network(tiny_cnn).identity and len(again.fingerprint) == 64


def small(relu="relu", pool=2, strides=1, epsilon=1e-3, slope=0.1, constant=0.25, name=None, **options):
    """Convolution, batch normalisation, pooling, convolution and leaky ReLU, with weights of one value."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation=relu, name=name, **options)(image)
    x = layers.AveragePooling2D(pool, 2, padding="same")(layers.BatchNormalization(epsilon=epsilon)(x))
    x = layers.Conv2D(4, 3, strides, padding="same")(x)
    model = keras.Model(image, layers.LeakyReLU(negative_slope=slope)(x))
    model.set_weights([np.full(weight.shape, constant, "float32") for weight in model.get_weights()])
    return viz.Network(model)


def test_names_make_no_other_network(tmp_path):
    """Nor do a file, a Sequential model, or models that hold the layers: Keras counts the names up in each."""
    expected, weights = small(), small().model.get_weights()
    again = small()
    assert again.layers != expected.layers and again.model.name != expected.model.name
    sequential = keras.Sequential([keras.Input((8, 8, 3)), *(type(x).from_config(x.get_config())
                                                             for x in expected.model.layers[1:])])
    sequential.set_weights(weights)
    within = keras.Sequential([keras.Input((8, 8, 3)), sequential])
    again.model.save(tmp_path / "again.keras")
    read = viz.load_network(tmp_path / "again.keras")
    for net in (again, small(name="mine"), viz.Network(sequential), viz.Network(within), read):
        assert net.identity == expected.identity and net.fingerprint == expected.fingerprint
        np.testing.assert_allclose(*(x.activations(IMAGES, x.layers[-1:])[x.layers[-1]] for x in (net, expected)))


@pytest.mark.parametrize(
    "change",
    [
        {"relu": "silu"}, {"relu": "relu6"}, {"pool": 3}, {"strides": 2}, {"epsilon": 1e-5}, {"dilation_rate": 2},
        {"slope": 0.2}, {"constant": 0.2500001},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_anything_else_does(change):
    first, other = small(), small(**change)
    assert {name for name in first.identity if first.identity[name] != other.identity[name]} == {"weights"}
    assert len({first.fingerprint, other.fingerprint}) == 2


def test_a_layer_that_is_called_again_is_not_two():
    def build(shared):
        conv = [layers.Conv2D(3, 1, name=f"c{i}") for i in range(2)]
        image = keras.Input((8, 8, 3))
        model = keras.Model(image, conv[not shared](conv[0](image)))
        model.set_weights([np.full(weight.shape, 0.5, "float32") for weight in model.get_weights()])
        return viz.Network(model)

    assert build(True).layers == ("c0", "c0#2") and build(True).identity == build(True).identity
    assert build(True).identity["weights"] != build(False).identity["weights"]


def test_an_open_size_is_no_part_of_the_weights():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3)])
    assert viz.Network(model, size=16).identity == viz.Network(model).identity | {"image_size": 16}


def test_training_is_noticed(tiny_cnn):
    """By what is asked of the network too: what was compiled before does not answer from the weights before."""
    net, images = viz.Network(tiny_cnn, classes="abc"), IMAGES[:, :6, :6]

    def asked(net):
        return net.activations(images, ["conv2", "scores"]) | {
            rule: viz.saliency(net, images, "scores", "a", rule) for rule in ("gradient", "guided")
        }

    before, identity, fingerprint = asked(net), net.identity, net.fingerprint
    assert net.identity is identity  # computed once
    made = net.kept.cache_info().misses
    asked(net)
    assert net.kept.cache_info().misses == made == 3
    tiny_cnn.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    tiny_cnn.fit(images, np.array([0, 1]), verbose=0)
    after = asked(net)
    assert net.identity == identity | {"weights": net.identity["weights"]} != identity
    assert net.fingerprint != fingerprint
    new = viz.Network(tiny_cnn, classes="abc")
    assert net.identity == new.identity
    for name, expected in asked(new).items():
        np.testing.assert_allclose(after[name], expected, atol=1e-6)
        assert np.abs(after[name] - before[name]).max() > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
def test_checksums_see_every_byte_and_its_place(dtype):
    """Of each weight on its own, and of none that is as it was."""
    values = np.arange(1, 8).reshape(7, 1)
    weights = [keras.Variable(x, dtype=dtype, trainable=False) for x in (values, values, np.float32(3))]
    before = checksums(weights)
    assert before[0] == before[1] and checksums(weights) == before
    for i in range(7):
        changed = values.copy()
        changed[i] += 1
        weights[1].assign(changed)
        received = checksums(weights)
        assert received[1] != before[1] and received[::2] == before[::2]
    weights[1].assign(values[::-1])
    assert checksums(weights)[1] != before[1]
