"""What is compiled: once for each structure, shapes and dtypes, and without a word of TensorFlow's."""

import gc
import logging

import keras
import numpy as np
import pytest
from conftest import COMPILES
from keras import ops

import vizlib as viz
from vizlib.backend import compiled
from vizlib.partworld.finder import find_parts


def ones(*shape, dtype="float32"):
    return ops.ones(shape, dtype)


@pytest.mark.skipif(not COMPILES, reason="PyTorch runs functions as they are")
def test_compiled_once_for_each_structure_shapes_and_dtypes():
    traced = []

    @compiled
    def weighted(values, factors):
        traced.append(len(values))
        return {"sum": sum(factors["a"] * value for value in values), "rest": (values[0], [factors["b"][0]])}

    def result(values, dtype="float32", a=2.0):
        factors = {"a": ops.convert_to_tensor(a, dtype), "b": (ones(3, dtype=dtype),)}
        return weighted([value for value in values], factors)

    for a in (2.0, 3.0):  # other numbers of the same kind
        received = result([ones(2), 4 * ones(2)], a=a)
        np.testing.assert_array_equal(received["sum"], [5 * a, 5 * a])
        np.testing.assert_array_equal(received["rest"][0], [1, 1])
        np.testing.assert_array_equal(received["rest"][1][0], [1, 1, 1])
    assert traced == [2]
    np.testing.assert_array_equal(result([ones(3)])["sum"], [2, 2, 2])
    assert traced == [2, 1]
    np.testing.assert_array_equal(result([ones(3, dtype="int32")], "int32", 7)["sum"], [7, 7, 7])
    result([ones(3)])
    assert traced == [2, 1, 1]
    received = weighted((ones(3),), {"a": ones(), "b": (ones(3),)})  # a tuple is no list
    np.testing.assert_array_equal(received["sum"], [1, 1, 1])
    assert traced == [2, 1, 1, 1]


def test_a_compiled_function_within_another():
    double = compiled(lambda x: 2 * x)
    np.testing.assert_array_equal(compiled(lambda x: double(x) + double(x))(ones(2)), [4, 4])


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="it is TensorFlow that keeps gradients by name")
def test_nothing_compiled_is_left_of_a_network_that_is_let_go():
    images = np.random.default_rng(0).uniform(0, 1, (2, 64, 64, 3)).astype("float32")

    def graphs_after_a_look():
        net = viz.load_network("mini")
        viz.saliency(net, images, "scores", 0, "guided"), viz.lrp(net, images, "scores", 0)
        del net
        gc.collect()
        return sum(type(x).__name__ == "FuncGraph" for x in gc.get_objects())

    first, *later = (graphs_after_a_look() for _ in range(3))
    assert later == [first, first]


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="it is TensorFlow's setting")
def test_nothing_is_compiled_where_functions_are_to_run_eagerly():
    import tensorflow as tf

    seen, double = [], compiled(lambda x: seen.append(x) or {"twice": 2 * x["x"]})
    tf.config.run_functions_eagerly(True)
    try:
        for value in (1.0, 3.0):
            np.testing.assert_array_equal(double({"x": np.full(2, value, "float32")})["twice"], [2 * value] * 2)
    finally:
        tf.config.run_functions_eagerly(False)
    assert [entry["x"].numpy().tolist() for entry in seen] == [[1, 1], [3, 3]]


@pytest.fixture
def said():
    """What TensorFlow logs."""
    records, logger = [], logging.getLogger("tensorflow")
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def test_many_networks_layers_and_sizes_are_nothing_to_warn_of(said):
    for channels in range(2, 8):
        image = keras.Input((6, 6, 3))
        x = keras.layers.Conv2D(channels, 3, activation="relu", name="conv")(image)
        net = viz.Network(keras.Model(image, keras.layers.Conv2D(2, 3, name="out")(x)))
        images = np.random.default_rng(0).random((channels, 6, 6, 3), "float32")
        for layer in ("conv", "out", "scores"):
            net.activations(images, [layer])
            viz.saliency(net, images, layer, 0)
    for n in range(1, 7):
        find_parts(np.zeros((n, 64, 64, 3), "float32"))
    assert not [record.getMessage() for record in said]
