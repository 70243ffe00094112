"""What channels stand for, of a small network's store, against the activations of all images."""

import keras
import numpy as np
import pytest
from keras import layers

import vizlib as viz
from vizlib import plots
from vizlib.attribution import channels_at, receptive_fields, strongest, telling_channels

LAYERS = ["conv2", "flatten"]


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, (n, 6, 6, 3), "uint8") for name, n in (("a", 12), ("b", 15), ("c", 5))}


@pytest.fixture
def store(tiny_cnn, images, tmp_path):
    net = viz.Network(tiny_cnn, classes=("a", "b", "c"))
    store = viz.StatsStore(tmp_path / "stats", net)
    for name, own in images.items():
        viz.collect(store, own, name, LAYERS, progress=False)
    return store


def test_the_strongest_of_all_classes(store, images):
    found = strongest(store, "conv2", 3)
    values = {name: store.network.activations(own, ["conv2:pre"])["conv2:pre"][..., 3] for name, own in images.items()}
    best = sorted(((own[i].max(), name, i) for name, own in values.items() for i in range(len(own))), reverse=True)[:9]
    np.testing.assert_allclose(found.values, [value for value, *_ in best], rtol=1e-6)
    for i, (_, name, sample) in enumerate(best):
        assert (found.classes[i], found.samples[i]) == (name, sample)
        np.testing.assert_array_equal(found.images[i], images[name][sample] / np.float32(255))
        assert values[name][sample].argmax() == np.ravel_multi_index(tuple(found.positions[i]), (6, 6))


def test_of_one_class_there_may_be_few(store, images):
    found = strongest(store, "flatten", 7, "c")
    values = store.network.activations(images["c"], ["flatten"])["flatten"][:, 7]
    np.testing.assert_array_equal(found.values, np.sort(values)[::-1])
    assert found.classes == ["c"] * 5 and not found.positions.any()


def test_a_receptive_field_is_what_the_weights_reach():
    """Of a network that adds up 3 × 3 pixels twice over: 5 × 5 around a position, less at the border."""
    image = keras.Input((9, 9, 3))
    x = layers.Conv2D(1, 3, padding="same", kernel_initializer="ones", name="one")(image)
    model = keras.Model(image, layers.Conv2D(2, 3, padding="same", kernel_initializer="ones", name="two")(x))
    net, images = viz.Network(model), np.zeros((3, 9, 9, 3), "float32")
    positions = np.array([(4, 4), (0, 8), (6, 1)])
    found = receptive_fields(net, images, "two", 1, positions)
    expected = []
    for row, column in positions:
        spans = []
        for at in (row, column):  # the gradient is the product of how often rows and columns are counted
            count = np.convolve(np.ones(3), np.convolve(np.ones(3), np.eye(9)[at], "same"), "same")
            share = np.cumsum(count**2) / np.sum(count**2)
            first, last = np.searchsorted(share, [0.025, 0.975])
            spans.append((first, last + 1))
        (top, bottom), (left, right) = spans
        expected.append((top, left, bottom, right))
    np.testing.assert_array_equal(found, expected)
    assert found[0].tolist() == [2, 2, 7, 7]


def test_effects_are_cohens(store, images):
    means = {n: store.network.activations(x, ["conv2:pre"])["conv2:pre"].mean(axis=(1, 2)) for n, x in images.items()}
    own, others = means["b"], np.concatenate([means["a"], means["c"]])
    pooled = (14 * own.var(axis=0, ddof=1) + 16 * others.var(axis=0, ddof=1)) / 30
    effects = (own.mean(axis=0) - others.mean(axis=0)) / np.sqrt(pooled)
    found = telling_channels(store, "b", "conv2")
    np.testing.assert_allclose(found.effect, np.sort(effects)[::-1], rtol=1e-4)
    assert found.index.tolist() == np.argsort(-effects).tolist()
    np.testing.assert_allclose(found["mean"].sort_index(), own.mean(axis=0), rtol=1e-4)


def test_what_answers_at_a_place(store, images):
    values = {n: store.network.activations(x, ["conv2:pre"])["conv2:pre"] for n, x in images.items()}
    of_all = np.concatenate([x.reshape(-1, 5) for x in values.values()])
    scores = (values["a"][2, 5, 1] - of_all.mean(axis=0)) / of_all.std(axis=0, ddof=1)
    found = channels_at(store, images["a"][2], "conv2", 5, 1)
    np.testing.assert_allclose(found.score, np.sort(scores)[::-1], rtol=1e-4)
    np.testing.assert_allclose(found.value.sort_index(), values["a"][2, 5, 1], rtol=1e-5)


def test_the_figure_shows_images_and_what_counts(store):
    found = strongest(store, "conv2", 0)
    pairs = plots.close_ups(found.images, found.boxes)
    figure = plots.strongest(store, "conv2", 0)
    for axis, images in zip(figure.axes, (pairs[::2], pairs[1::2]), strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), plots.mosaic(images))
    heads = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert heads == [f"{name}\n{value:.3g}" for name, value in zip(found.classes, found.values, strict=True)]


def test_what_there_is_not(store, tiny_cnn, images, tmp_path):
    with pytest.raises(ValueError, match="a channel of conv2 from 0 to 4; received 5"):
        strongest(store, "conv2", 5)
    with pytest.raises(ValueError, match=r"expected a layer of .* \(conv2, flatten\); received 'pool'"):
        strongest(store, "pool", 0)
    with pytest.raises(ValueError, match="a class of .* received 'z'"):
        telling_channels(store, "z", "conv2")
    with pytest.raises(ValueError, match=r"a place in 6 × 6 pixels; received \(6, 0\)"):
        channels_at(store, images["a"][0], "conv2", 6, 0)
    alone = viz.StatsStore(tmp_path / "alone", viz.Network(tiny_cnn))
    viz.collect(alone, images["a"], "a", ["conv2"], progress=False)
    with pytest.raises(ValueError, match="other classes than 'a' with conv2 .*received none"):
        telling_channels(alone, "a", "conv2")
