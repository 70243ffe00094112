"""Batch by batch: the values of Keras, to the last bit the same whatever images are asked together."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import vizlib as viz
from vizlib.backend import BACKEND

N = 40


def tiny():
    """The topology of `tiny_cnn` with weights that are not exact, so that the order of a sum shows."""
    x = image = keras.Input((16, 16, 3))
    for i, width in enumerate((7, 13)):
        x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv{i}")(x)
    x = layers.Flatten(name="flatten")(layers.MaxPooling2D(2, name="pool")(x))
    model = keras.Model(image, layers.Dense(11, activation="softmax", name="predictions")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.3, weight.shape) for weight in model.get_weights()])
    return viz.Network(model, lambda x: x * 2 - 1)


@pytest.fixture(params=["mini", "tiny"])
def net(request):
    return request.getfixturevalue("mini") if request.param == "mini" else tiny()


def noise(net, n=N):
    return np.random.default_rng(1).random((n, net.image_size, net.image_size, 3), "float32")


def processor_is_exact():
    """On the AMD EPYCs where it was seen, sums differ in the last bit by place and by how many images there are.

    On TensorFlow those of convolutions, without AVX-512; on PyTorch those of dense layers, with it too.
    """
    info = Path("/proc/cpuinfo")
    words = info.read_text().split() if info.exists() else ()
    if BACKEND == "torch" and "AuthenticAMD" in words:
        return False
    return "avx2" not in words or "avx512f" in words


def test_an_image_is_answered_the_same_whatever_is_beside_it(net):
    exact = processor_is_exact()
    images, names = noise(net), [*net.layers, "scores"]
    names += [name + ":pre" for name in net.layers if net.is_rectified(name)]
    together, order = net.activations(images, names), np.random.default_rng(2).permutation(N)
    for chosen in ([0], [17], [39], [*range(5)], [3, 39, 3, 20], order):
        received = net.activations(images[chosen], names)
        for name in names:
            summed = together["scores" if name == net.layers[-1] else name]  # a softmax moves by less
            off = 0 if exact else 1e-6 * np.abs(summed).max()
            np.testing.assert_allclose(received[name], together[name][chosen], rtol=0, atol=off, err_msg=name)
    assert len(names) > 5 and all(np.ptp(values) > 0 for values in together.values())


@pytest.mark.parametrize("size", [1, 5, 64, None])
def test_batches_are_the_answers_of_keras(net, size):
    images, names = noise(net, 12), (net.layers[1], net.layers[1] + ":pre", "scores")
    expected = net.features(names).predict(images, verbose=0)
    steps, seen = size or net.batch_size, []
    for rows, found in net.batches(images, iter(names), size):
        seen.append((rows.start, rows.stop))
        assert list(found) == list(names)
        for name, values in found.items():
            assert values.dtype == np.float32
            np.testing.assert_allclose(values, expected[name][rows], rtol=0, atol=1e-5 * np.abs(expected[name]).max())
    assert seen == [(start, min(start + steps, 12)) for start in range(0, 12, steps)]


def test_rows_are_read_as_they_are_needed(tmp_path):
    """From an array, a memmap and HDF5, uint8 or float, and not before their batch."""
    net, read = tiny(), []
    pixels = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), "uint8")

    class Rows:
        shape = pixels.shape

        def __len__(self):
            return len(pixels)

        def __getitem__(self, rows):
            read.append((rows.start, rows.stop))
            return pixels[rows]

    mapped = np.memmap(tmp_path / "pixels", "uint8", "w+", shape=pixels.shape)
    mapped[:] = pixels
    expected = net.activations(pixels, ["conv1"])["conv1"]
    with h5py.File(tmp_path / "pixels.h5", "w") as file:
        for images in (Rows(), mapped, file.create_dataset("x", data=pixels), pixels, pixels / np.float32(255)):
            batches = net.batches(images, ["conv1"], 3)
            rows, found = next(batches)
            assert rows == slice(0, 3) and read == [(0, 3)]
            received = [found["conv1"], *(found["conv1"] for _, found in batches)]
            assert [len(values) for values in received] == [3, 3, 1]
            np.testing.assert_allclose(np.concatenate(received), expected, atol=1e-5)
            read[:] = [(0, 3)]


def test_activations_of_half_precision_are_float32():
    image = keras.Input((6, 6, 3))
    conv = layers.Conv2D(2, 1, name="conv", dtype="float16")
    net = viz.Network(keras.Model(image, conv(image)))
    received = net.activations(noise(net, 2), ["conv"])["conv"]
    assert received.dtype == np.float32 and np.array_equal(received, received.astype("float16"))
    np.testing.assert_allclose(received, noise(net, 2) @ np.asarray(conv.kernel)[0, 0], atol=5e-3)


@pytest.mark.parametrize("shape", [(2, 7, 6, 3), (2, 6, 6, 1), (6, 6, 3)])
def test_images_of_another_shape(tiny_cnn, shape):
    with pytest.raises(ValueError, match=r"expected images of shape \(n, 6, 6, 3\); received"):
        next(viz.Network(tiny_cnn).batches(np.zeros(shape, "float32"), ["conv1"]))


def test_unknown_layers(tiny_cnn):
    with pytest.raises(ValueError, match="expected a layer out of conv1.* or scores; received 'conv9'"):
        next(viz.Network(tiny_cnn).batches(np.zeros((1, 6, 6, 3)), ["conv9:pre"]))
