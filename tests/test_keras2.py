"""Files that Keras 2 wrote answer as the model that was saved, `.h5` and `.keras`; what cannot be read is told."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import vizlib as viz
from vizlib.networks.keras2 import modern


def policy(name):
    return {"module": "keras.mixed_precision", "class_name": "Policy", "config": {"name": name}}


def layer(kind, name, *nodes, **config):
    """A layer as Keras 2 wrote it; nodes: of each of its calls the tensors that it was called on."""
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": [*nodes]}


def functional(name, inner, *outputs):
    config = {"name": name, "layers": inner, "input_layers": [[inner[0]["name"], 0, 0]], "output_layers": [*outputs]}
    return {"class_name": "Functional", "name": name, "config": config}


def image(name, size=8):
    return layer("InputLayer", name, batch_input_shape=[None, size, size, 3], dtype="float32", sparse=False)


def on(*tensors):
    return [[*tensor, {}] for tensor in tensors]


def tutorial():
    """Transfer learning as taught: augmentation, preprocessing by operators, a model within, its own head."""
    base = functional(
        "base",
        [
            image("input_2"),
            layer("Conv2D", "conv", on(("input_2", 0, 0)), filters=2, kernel_size=[3, 3], groups=1, activation="relu"),
            layer("BatchNormalization", "Conv/BN", on(("conv", 0, 0)), axis=[3], epsilon=0.001),
            layer("DepthwiseConv2D", "dw", on(("Conv/BN", 0, 0)), kernel_size=[3, 3], groups=1),
        ],
        ["dw", 0, 0],
    )
    base["inbound_nodes"] = [[["minus", 0, 0, {"training": False}]]]
    return functional(
        "model",
        [
            image("input_1"),
            layer("RandomFlip", "flip", on(("input_1", 0, 0)), mode="horizontal", rng_type="stateful"),
            layer("TFOpLambda", "over", ["flip", 0, 0, {"y": 127.5, "name": None}], function="math.truediv"),
            layer("TFOpLambda", "minus", ["over", 0, 0, {"y": 1.0, "name": None}], function="math.subtract"),
            base,
            layer("GlobalAveragePooling2D", "pool", on(("base", 1, 0))),
            layer("Dense", "dense", on(("pool", 0, 0)), units=3, activation="softmax"),
        ],
        ["dense", 0, 0],
    )


def twin():
    """The same in Keras 3, with weights of all sizes."""
    within = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 3, activation="relu")(within)
    base = keras.Model(within, layers.DepthwiseConv2D(3)(layers.BatchNormalization(epsilon=0.001)(x)))
    pixels = keras.Input((8, 8, 3))
    x = layers.Rescaling(1 / 127.5, -1)(layers.RandomFlip()(pixels))
    model = keras.Model(pixels, layers.Dense(3)(layers.GlobalAveragePooling2D()(base(x, training=False))))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    return model


def save(path, config, weights):
    """A file as Keras 2 wrote it; weights: those of a model of Keras 3 with the same layers."""
    if path.suffix == ".keras":
        file = path.with_suffix(".weights.h5")
        weights.save_weights(file)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps({"module": "keras.src.engine.functional"} | config))
            archive.writestr("model.weights.h5", file.read_bytes())
        return file.unlink()
    with h5py.File(path, "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), "2.15.0"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [x.name for x in weights.layers]
        for x in weights.layers:
            variables = x.trainable_weights + x.non_trainable_weights
            values = {f"{x.name}/{i}:0": np.asarray(value) for i, value in enumerate(variables)}
            group.create_group(x.name).attrs["weight_names"] = [*values]
            for name, value in values.items():
                group[x.name][name] = value


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".keras"])
def test_a_model_of_keras_2_answers_as_it_did(tmp_path, suffix):
    expected = twin()
    save(tmp_path / f"old{suffix}", tutorial(), expected)
    net = viz.load_network(tmp_path / f"old{suffix}", preprocess=lambda x: x * 255, classes="abc")
    assert {"base/conv", "base/Conv_BN", "base/dw", "pool", "dense"} <= set(net.layers)
    images = np.random.default_rng(1).random((4, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(net.scores(images), expected.predict(images * 255, verbose=0), rtol=1e-4)
    assert np.ptp(net.scores(images), axis=0).min() > 1e-3
    assert [path.name for path in tmp_path.iterdir()] == [f"old{suffix}"]


def one(function, x, **values):
    """A model of Keras 2 which does something with what its two convolutions answer, a and b."""
    return functional(
        "model",
        [
            image("input"),
            layer("Conv2D", "a", on(("input", 0, 0)), filters=3, kernel_size=[1, 1]),
            layer("Conv2D", "b", on(("input", 0, 0)), filters=3, kernel_size=[1, 1]),
            layer("TFOpLambda", "op", [*x, values | {"name": None}], function=function),
            layer("Add", "sum", on(("op", 0, 0), ("b", 0, 0))),
        ],
        ["sum", 0, 0],
    )


A, B = ["a", 0, 0], ["b", 0, 0]
OPERATORS = {
    "a + 2": (one("__operators__.add", A, y=2), lambda a, b: a + 2),
    "a - 2": (one("math.subtract", A, y=2), lambda a, b: a - 2),
    "a * 2": (one("math.multiply", A, y=2.5), lambda a, b: a * 2.5),
    "a / 2": (one("math.truediv", A, y=2), lambda a, b: a / 2),
    "2 - a": (one("math.subtract", ["_CONSTANT_VALUE", -1, 2.0], y=A), lambda a, b: 2 - a),
    "2 * a": (one("math.multiply", ["_CONSTANT_VALUE", -1, 2], y=A), lambda a, b: 2 * a),
    "a + b": (one("__operators__.add", A, y=B), lambda a, b: a + b),
    "a - b": (one("math.subtract", A, y=B), lambda a, b: a - b),
    "a * b": (one("math.multiply", A, y=B), lambda a, b: a * b),
}


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_of_python(tmp_path, operator):
    config, function = OPERATORS[operator]
    x = keras.Input((8, 8, 3))
    a, b = layers.Conv2D(3, 1)(x), layers.Conv2D(3, 1)(x)
    model = keras.Model(x, layers.Add()([a, b]))
    save(tmp_path / "old.h5", config, model)
    images = np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32")
    net = viz.load_network(tmp_path / "old.h5")
    answers = net.activations(images, net.layers)
    np.testing.assert_allclose(answers["op"], function(answers["a"], answers["b"]), atol=1e-6)


@pytest.mark.parametrize(
    "config",
    [
        one("nn.relu", A),
        one("math.truediv", A, y=B),
        one("math.truediv", ["_CONSTANT_VALUE", -1, 2.0], y=A),
        one("math.multiply", A, y=[1, 2, 3]),
        one("math.multiply", A, y={"class_name": "Lambda"}),
    ],
)
def test_other_operations_are_refused_by_their_name(tmp_path, config):
    save(tmp_path / "old.h5", config, twin())
    with pytest.raises(ValueError, match="gave: expected layers; received 'op', an operation of Keras 2"):
        viz.load_network(tmp_path / "old.h5")


@pytest.mark.parametrize("inner", ["Functional", "Sequential"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_model_that_is_called_twice(tmp_path, inner, first):
    """Keras 2 counted its calls from 1 on, or from 0 where it got its shape with the first."""
    base = functional("base", [image("in"), layer("Conv2D", "conv", on(("in", 0, 0)), filters=3, kernel_size=[1, 1])])
    base["config"]["output_layers"] = [["conv", 0, 0]]
    if inner == "Sequential":
        base = {"class_name": inner, "name": "base", "config": {"name": "base", "layers": base["config"]["layers"]}}
    base["inbound_nodes"] = [on(("input", 0, 0)), on(("base", first, 0))]
    config = functional("model", [image("input"), base], ["base", first + 1, 0])
    within, x = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    conv = layers.Conv2D(3, 1, bias_initializer="uniform")
    model = keras.Model(within, conv(within))
    expected = keras.Model(x, model(model(x)))
    save(tmp_path / "old.h5", config, expected)
    images = np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32")
    net = viz.load_network(tmp_path / "old.h5")
    np.testing.assert_allclose(net.activations(images, net.layers)[net.layers[-1]], expected.predict(images), atol=1e-6)


@pytest.mark.parametrize("shape", ["of the first layer", "of the input"])
@pytest.mark.parametrize("listed", [False, True])
def test_a_sequential_model(tmp_path, shape, listed):
    """Layers in a list of their own, as before Keras 2.2.3; the shape of the input in the first of them."""
    convolution = {"name": "conv", "filters": 4, "kernel_size": [3, 3], "batch_input_shape": [None, 6, 6, 3]}
    inner = [
        {"class_name": "Conv2D", "config": convolution},
        {"class_name": "SeparableConv2D", "config": {"filters": 2, "kernel_size": [2, 2], "groups": 1,
                                                     "kernel_initializer": {"class_name": "Zeros", "config": {}}}},
        {"class_name": "Conv2DTranspose", "config": {"filters": 2, "kernel_size": [2, 2], "groups": 1}},
        {"class_name": "LeakyReLU", "config": {"alpha": 0.25}},
        {"class_name": "Flatten", "config": {}},
        {"class_name": "Dense", "config": {"units": 2}},
    ]  # fmt: skip
    if shape == "of the input":
        inner.insert(0, {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 6, 6, 3]}})
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(4, 3), layers.SeparableConv2D(2, 2)])
    for x in (layers.Conv2DTranspose(2, 2), layers.LeakyReLU(0.25), layers.Flatten(), layers.Dense(2)):
        model.add(x)
    config = {"class_name": "Sequential", "config": inner if listed else {"name": "s", "layers": inner}}
    save(tmp_path / "old.h5", config, model)
    images = np.random.default_rng(0).random((2, 6, 6, 3)).astype("float32")
    np.testing.assert_allclose(viz.load_network(tmp_path / "old.h5").scores(images), model.predict(images), atol=1e-6)


def test_mixed_precision(tmp_path):
    half = policy("mixed_float16")
    config = functional(
        "model",
        [image("input"), layer("Conv2D", "conv", on(("input", 0, 0)), filters=2, kernel_size=[3, 3], dtype=half)],
        ["conv", 0, 0],
    )
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.Conv2D(2, 3)(x))
    save(tmp_path / "old.h5", config, model)
    images = np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32")
    net = viz.load_network(tmp_path / "old.h5")
    assert net.model.get_layer("conv").compute_dtype == "float16"
    np.testing.assert_allclose(net.activations(images, ["conv"])["conv"], model.predict(images), atol=2e-3)


def test_what_keras_3_wrote_is_left_as_it_is(tiny_cnn, mini):
    sequential = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2DTranspose(2, 3), layers.SeparableConv2D(2, 3)])
    for model in (tiny_cnn, mini.model, twin(), sequential):
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
        assert modern(config) == config
