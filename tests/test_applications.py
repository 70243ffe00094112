"""Every network of keras.applications: what it takes for an image, and its gradients, against Keras alone."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import vizlib as viz
from vizlib.networks import imagenet_classes
from vizlib.networks.applications import APPLICATIONS, preprocessing_of

LARGER = {"inception_v3": 75, "inception_resnet_v2": 75, "xception": 71}  # the smallest size, where it is not 32


def module_of(name):
    return getattr(keras.applications, APPLICATIONS[name]).__module__.rsplit(".", 1)[-1]


def preprocess_input(name):
    return getattr(keras.applications, module_of(name)).preprocess_input


def test_all_of_them_are_known():
    """A network that a newer Keras brings has to be looked at before its name is taken."""
    built = {name for name, builder in vars(keras.applications).items() if inspect.isfunction(builder)}
    assert {*APPLICATIONS.values()} == built and len(built) >= 38


@pytest.mark.parametrize("name", APPLICATIONS)
def test_preprocessing_is_that_of_keras(name):
    images = np.random.default_rng(0).random((2, 5, 5, 3)).astype("float32")
    expected = preprocess_input(name)(images * 255)
    np.testing.assert_allclose(preprocessing_of(name)(images), expected, atol=1e-4)


@pytest.fixture
def uncompiled():
    """Compiling hundreds of layers for one image takes longer than all else."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("name", APPLICATIONS)
def test_saliency_is_the_gradient_of_the_model(name):
    size = LARGER.get(module_of(name), 32)
    keras.utils.set_random_seed(0)
    builder = getattr(keras.applications, APPLICATIONS[name])
    model = builder(weights=None, input_shape=(size, size, 3), classes=3, classifier_activation=None)
    if module_of(name) == "efficientnet_v2":  # whose hundreds of random layers grow to 10^11, where all is rounding
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.gamma.assign(0.2 * layer.gamma)
    images = np.random.default_rng(0).random((1, size, size, 3)).astype("float32")
    pixels = tf.constant(images * 255)
    try:
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            score = model(preprocess_input(name)(pixels), training=False)[0, 1]
        expected = 255 * tape.gradient(score, pixels).numpy()
    except tf.errors.InvalidArgumentError as error:
        if "grouped convolutions" in str(error):
            pytest.skip("TensorFlow has no gradient of grouped convolutions here without TF_ENABLE_ONEDNN_OPTS=1")
        raise
    found = viz.saliency(viz.Network(model, preprocessing_of(name), "abc"), images, "scores", "b")
    apart = np.linalg.norm(found - expected) / np.linalg.norm(expected)  # rounding may turn a ReLU for one value
    assert apart < 1e-3


def test_a_name_brings_weights_preprocessing_and_classes(monkeypatch):
    builder, asked = keras.applications.MobileNetV2, []

    def random(weights):
        asked.append(weights)
        return builder(weights=None)

    monkeypatch.setattr(keras.applications, "MobileNetV2", random)
    net = viz.load_network("mobilenetv2")
    assert asked == ["imagenet"] and net.classes == tuple(imagenet_classes()) and net.image_size == 224
    images = np.random.default_rng(0).random((1, 224, 224, 3)).astype("float32")
    np.testing.assert_array_equal(net.preprocess(images), images * 2 - 1)
    assert viz.load_network("mobilenetv2", size=96).scores(images[:, :96, :96]).shape == (1, 1000)


def test_weights_that_cannot_be_had(monkeypatch, tmp_path):
    def fails(weights):
        raise Exception("URL fetch failure on https://somewhere/resnet50.h5: None -- no route to host")

    monkeypatch.setattr(keras.applications, "ResNet50", fails)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        viz.load_network("resnet50")
    folder = tmp_path / "models"
    assert str(error.value).startswith(
        "expected the ImageNet weights of ResNet50, which Keras downloads on first use. Without internet, copy the "
        f"file that is named below into {folder} by hand, or use load_network('mini'), which is embedded; received: URL"
    )


def test_a_name_that_is_nearly_right_is_suggested():
    with pytest.raises(FileNotFoundError, match="found no file ResNet-50. Is it 'resnet50'"):
        viz.load_network("ResNet-50")
