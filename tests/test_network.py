"""Networks as layers: values against Keras itself, and every door that has to stay shut."""

import keras
import numpy as np
import pytest

import vizlib as viz
from vizlib.networks import vgg_preprocess


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, 6, 6, 3), "float32")


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_preprocessing_equals_keras_and_spares_its_input():
    images = np.random.default_rng(0).random((2, 5, 5, 3), "float32")
    before = images.copy()
    expected = keras.applications.vgg16.preprocess_input(images * 255)
    np.testing.assert_allclose(vgg_preprocess(images), expected, atol=1e-4)
    np.testing.assert_array_equal(images, before)


def test_activations_are_the_layers_outputs(tiny_cnn, images):
    net = viz.Network(tiny_cnn, preprocess=lambda x: 2 * x - 1, classes="abc")
    received = net.activations(images, ["conv1", "pool", "predictions"])
    for name, values in received.items():
        expected = keras.Model(tiny_cnn.inputs, tiny_cnn.get_layer(name).output)(2 * images - 1)
        np.testing.assert_allclose(values, keras.ops.convert_to_numpy(expected), atol=1e-6)
        assert values.dtype == np.float32


def test_uint8_images_are_the_same_images(tiny_cnn):
    net = viz.Network(tiny_cnn)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), "uint8")
    a, b = (net.activations(x, ["conv2"])["conv2"] for x in (pixels, pixels / np.float32(255)))
    np.testing.assert_array_equal(a, b)


def test_scores_are_the_logits(tiny_cnn, images):
    net = viz.Network(tiny_cnn, classes="abc")
    dense = tiny_cnn.get_layer("predictions")
    flat = net.activations(images, ["flatten"])["flatten"]
    np.testing.assert_allclose(net.scores(images), flat @ dense.kernel + dense.bias, atol=1e-5)
    np.testing.assert_allclose(softmax(net.scores(images)), tiny_cnn.predict(images, verbose=0), atol=1e-6)


def test_scores_of_a_separate_softmax_and_of_none(images):
    image = keras.Input((6, 6, 3))
    logits = keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(image))
    plain = keras.Model(image, logits)
    with_softmax = keras.Model(image, keras.layers.Softmax()(logits))
    expected = plain.predict(images, verbose=0)
    np.testing.assert_allclose(viz.Network(plain).scores(images), expected, atol=1e-6)
    np.testing.assert_allclose(viz.Network(with_softmax).scores(images), expected, atol=1e-6)


def test_before_the_relu(tiny_cnn, images):
    net = viz.Network(tiny_cnn)
    received = net.activations(images, ["conv2:pre", "conv2", "pool"])
    assert (received["conv2:pre"] < 0).any()
    np.testing.assert_array_equal(np.maximum(received["conv2:pre"], 0), received["conv2"])
    assert net.is_rectified("conv2") and not net.is_rectified("pool") and not net.is_rectified("predictions")


def test_looking_does_not_change_the_model(tiny_cnn, images):
    net = viz.Network(tiny_cnn, classes="abc")
    before = tiny_cnn.predict(images, verbose=0)
    viz.saliency(net, images, "scores", "a", "guided")
    net.activations(images, ["conv1:pre", "scores"])
    np.testing.assert_array_equal(tiny_cnn.predict(images, verbose=0), before)
    assert tiny_cnn.get_layer("predictions").activation is keras.activations.softmax


def test_layers_and_size(tiny_cnn):
    net = viz.Network(tiny_cnn, classes="abc")
    assert net.layers == ("conv1", "conv2", "pool", "flatten", "predictions")
    assert net.image_size == 6 and net.classes == ("a", "b", "c")


def test_a_keras_file(tiny_cnn, images, tmp_path):
    tiny_cnn.save(tmp_path / "tiny.keras")
    net = viz.load_network(str(tmp_path / "tiny.keras"), classes="abc")
    np.testing.assert_array_equal(net.scores(images), viz.Network(tiny_cnn, classes="abc").scores(images))


def test_code_in_a_keras_file_is_refused(tmp_path):
    image = keras.Input((6, 6, 3))
    keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(image)).save(tmp_path / "lambda.keras")
    with pytest.raises(ValueError, match="safe mode"):
        viz.load_network(tmp_path / "lambda.keras")


def test_class_names_must_match(tiny_cnn):
    with pytest.raises(ValueError, match="each of the 3 outputs; received 2 names"):
        viz.Network(tiny_cnn, classes=("a", "b"))


@pytest.mark.parametrize("shape", [(2, 7, 6, 3), (2, 6, 6, 1), (2, 6, 6)])
def test_images_of_another_shape(tiny_cnn, shape):
    with pytest.raises(ValueError, match="received"):
        viz.Network(tiny_cnn).activations(np.zeros(shape, "float32"), ["conv1"])


def test_imagenet_weights_out_of_reach(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG16", refuse)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="vgg16_weights_tf_dim_ordering_tf_kernels.h5.*mini") as caught:
        viz.load_network("vgg16")
    assert str(tmp_path / "models") in str(caught.value) and "URL fetch failure" in str(caught.value)


def test_the_embedded_network_is_vgg16(mini):
    whole = keras.applications.VGG16(weights=None, input_shape=(64, 64, 3), include_top=False)
    expected = [layer.name for layer in whole.layers[1:]] + ["flatten", "fc1", "fc2", "predictions"]
    assert list(mini.layers) == expected and mini.image_size == 64
    for layer in mini.model.layers:
        if "conv" in layer.name:
            assert layer.kernel_size == (3, 3) and layer.activation is keras.activations.relu


@pytest.mark.parametrize(
    "layer, finer",
    [
        ("block1_conv2", ()),
        ("block2_conv1", ("block1_conv2",)),
        ("block4_pool", ("block4_conv3", "block3_conv3", "block2_conv2", "block1_conv2")),
        ("fc1", ("block5_conv3", "block4_conv3", "block3_conv3", "block2_conv2", "block1_conv2")),
    ],
)
def test_finer_layers_are_the_last_of_each_resolution(mini, layer, finer):
    assert mini.finer_layers(layer) == finer


def test_of_layers_the_last_of_each_resolution(mini):
    layers = ["fc1", "block3_conv3", "block1_conv1", "block3_conv1", "block2_conv2"]
    assert mini.last_of_resolutions(layers) == ("block3_conv3", "block2_conv2", "block1_conv1")


def test_finer_layers_of_scores_and_of_no_layer(tiny_cnn):
    net = viz.Network(tiny_cnn)
    assert net.finer_layers("scores") == ("conv2",) == net.finer_layers("pool")
    with pytest.raises(ValueError, match="expected a layer out of conv1"):
        net.finer_layers("conv9")
