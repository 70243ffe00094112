"""Saliency against gradients written out by hand in numpy."""

from types import SimpleNamespace

import numpy as np
import pytest

import vizlib as viz
from vizlib.attribution.neurons import in_batches


def conv(x, kernel, bias):
    """A 3 × 3 convolution with zero padding, one image (h, w, channels), in plain loops."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    out = np.empty((*x.shape[:2], kernel.shape[-1]))
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = np.tensordot(padded[i : i + 3, j : j + 3], kernel, 3) + bias
    return out


def conv_back(g, kernel):
    """The gradient of `conv` with respect to x, given that with respect to its output."""
    padded = np.zeros((g.shape[0] + 2, g.shape[1] + 2, kernel.shape[2]))
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            padded[i : i + 3, j : j + 3] += kernel @ g[i, j]
    return padded[1:-1, 1:-1]


RELU_BACK = {
    "gradient": lambda x, g: g * (x > 0),
    "guided": lambda x, g: g * (x > 0) * (g > 0),
    "deconvnet": lambda x, g: g * (g > 0),
}


@pytest.fixture
def net(tiny_cnn):
    return viz.Network(tiny_cnn, classes=("a", "b", "c"))


@pytest.fixture
def images():
    return (np.random.default_rng(1).integers(0, 17, (2, 6, 6, 3)) / 16).astype("float32")


@pytest.mark.parametrize("rule", RELU_BACK)
@pytest.mark.parametrize("neuron", [(2, 3, 1), (0, 0, 4), 2])
def test_convolution_neurons_and_channels_equal_the_chain_rule(net, tiny_cnn, images, rule, neuron):
    k1, b1, k2, b2 = tiny_cnn.get_weights()[:4]
    back = RELU_BACK[rule]
    expected = []
    for image in images:
        first = conv(image, k1, b1)
        second = conv(np.maximum(first, 0), k2, b2)
        g = np.zeros_like(second)
        g[neuron if isinstance(neuron, tuple) else (..., neuron)] = 1
        expected.append(conv_back(back(first, conv_back(back(second, g), k2)), k1))
    received = viz.saliency(net, images, "conv2", neuron, rule)
    assert received.dtype == np.float32
    np.testing.assert_allclose(received, expected, atol=1e-6)
    assert np.abs(received).max() > 0


@pytest.mark.parametrize("rule", RELU_BACK)
def test_class_scores_pass_dense_and_pooling(net, tiny_cnn, images, rule):
    k1, b1, k2, b2, kd, _ = tiny_cnn.get_weights()
    back = RELU_BACK[rule]
    expected = []
    for image in images:
        first = conv(image, k1, b1)
        second = conv(np.maximum(first, 0), k2, b2)
        active = np.maximum(second, 0)
        g = np.zeros_like(second)
        for i, j, c in np.ndindex(3, 3, 5):  # each pooled value goes back to the first of its largest inputs
            window = active[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
            di, dj = np.unravel_index(window.argmax(), (2, 2))
            g[2 * i + di, 2 * j + dj, c] = kd[(i * 3 + j) * 5 + c, 1]
        expected.append(conv_back(back(first, conv_back(back(second, g), k2)), k1))
    by_name = viz.saliency(net, images, "scores", "b", rule)
    np.testing.assert_allclose(by_name, expected, atol=1e-6)
    np.testing.assert_array_equal(viz.saliency(net, images, "predictions", 1, rule), by_name)


def test_the_softmax_is_left_out(net, images):
    """Through the softmax the gradients of all class scores would add up to zero."""
    total = sum(viz.saliency(net, images, "predictions", name) for name in net.classes)
    assert np.abs(total).max() > 0.1


def test_preprocessing_is_part_of_the_gradient(tiny_cnn, images):
    plain = viz.Network(tiny_cnn)
    scaled = viz.Network(tiny_cnn, preprocess=lambda x: 4 * x)
    np.testing.assert_allclose(
        viz.saliency(scaled, images / 4, "conv2", 0), 4 * viz.saliency(plain, images, "conv2", 0), rtol=1e-6
    )


def test_batches_do_not_change_the_result(net, images, monkeypatch):
    whole = viz.saliency(net, np.concatenate([images] * 3), "conv2", 3)
    monkeypatch.setattr(net, "batch_size", 4)
    np.testing.assert_array_equal(viz.saliency(net, np.concatenate([images] * 3), "conv2", 3), whole)


@pytest.mark.parametrize("size", range(1, 9))
def test_batches_are_as_few_as_can_be_and_about_as_large(size):
    """17 images in batches of 16 take 18 passes, not 32."""
    for n in range(1, 40):
        shown, seen = np.arange(1, n + 1, dtype="float32")[:, None], []
        found = in_batches(SimpleNamespace(batch_size=size), shown, lambda x, *_, seen=seen: seen.append(x) or x)
        np.testing.assert_array_equal(found, shown)
        assert len(seen) == -(-n // size) and len({len(batch) for batch in seen}) == 1 and len(seen[0]) <= size
        assert sum(map(len, seen)) - n < len(seen) and seen[-1][-1] in (0, n)


def test_separate_relu_layers_follow_the_rule(images):
    import keras

    def build(fused):
        image = keras.Input((6, 6, 3))
        x = keras.layers.Conv2D(4, 3, activation="relu" if fused else None, name="c1")(image)
        x = x if fused else keras.layers.ReLU(name="r1")(x)
        x = keras.layers.Conv2D(2, 3, name="c2")(x)
        return keras.Model(image, x)

    fused, separate = build(True), build(False)
    separate.set_weights(fused.get_weights())
    for rule in RELU_BACK:
        expected = viz.saliency(viz.Network(fused), images, "c2", 1, rule)
        np.testing.assert_array_equal(viz.saliency(viz.Network(separate), images, "c2", 1, rule), expected)


@pytest.mark.parametrize(
    "layer, neuron, rule, message",
    [
        ("conv2", 0, "magic", "gradient, guided, deconvnet; received 'magic'"),
        ("conv9", 0, "gradient", "conv1, conv2, pool.*received 'conv9'"),
        ("conv2", 5, "gradient", r"\(6, 6, 5\); received 5"),
        ("conv2", (6, 0, 0), "gradient", r"received \(6, 0, 0\)"),
        ("conv2", (1, 2), "gradient", r"received \(1, 2\)"),
        ("conv2", "a", "gradient", "class name 'a'"),
        ("predictions", "z", "gradient", "a, b, c; received 'z'"),
    ],
)
def test_errors_say_what_was_expected(net, images, layer, neuron, rule, message):
    with pytest.raises(ValueError, match=message):
        viz.saliency(net, images, layer, neuron, rule)


def test_a_rule_without_a_relu_is_an_error(images):
    import keras

    image = keras.Input((6, 6, 3))
    net = viz.Network(keras.Model(image, keras.layers.Conv2D(2, 3, name="c")(image)))
    with pytest.raises(ValueError, match="expected a ReLU"):
        viz.saliency(net, images, "c", 0, "guided")


def test_neurons_of_a_layer_share_what_is_compiled(net, images):
    first = viz.saliency(net, images, "conv2", 1)
    made = net.kept.cache_info().misses
    second = viz.saliency(net, images, "conv2", (2, 3, 1))
    assert net.kept.cache_info().misses == made and np.abs(first - second).max() > 0
    viz.saliency(net, images, "conv1", 1)
    assert net.kept.cache_info().misses == made + 1
