"""Real VGG16, first seven convolutions, on real photographs: kept outside the project, skipped where they are not."""

import sys

import numpy as np
import pytest
from conftest import ROOT

import vizlib as viz

sys.path.insert(0, str(ROOT / "scripts"))
LAYER = "block3_conv3"


@pytest.fixture(scope="module")
def net(shared):
    from photographs import vgg16_blocks1to3

    return vgg16_blocks1to3(shared / "vgg16" / "vgg16_blocks1to3.h5")


def test_the_weights_are_those_of_imagenet(net):
    kernel = net.model.get_layer("block1_conv1").kernel
    np.testing.assert_allclose(kernel[0, 0, 0, :3], [0.42947057, 0.11727387, 0.03401296], rtol=1e-6)


def test_the_first_layer_by_hand(net, shared):
    """One position of block1_conv1 on a photograph: BGR minus the mean colour, times the kernel, plus the bias."""
    image = viz.load_images(shared / "photos" / "val", "goldfish", 1)
    kernel, bias = net.model.get_layer("block1_conv1").get_weights()
    window = image[0, 9:12, 19:22, ::-1] * 255 - np.array([103.939, 116.779, 123.68])
    expected = np.maximum(np.tensordot(window, kernel, 3) + bias, 0)
    np.testing.assert_allclose(net.activations(image, ["block1_conv1"])["block1_conv1"][0, 10, 20], expected, atol=1e-3)


def test_photographs_are_found_again_within_200_steps(net, shared):
    images = viz.load_images(shared / "photos" / "val", "goldfish", 3)
    targets = net.activations(images, [LAYER])[LAYER]
    result = viz.reconstruct(net, targets, LAYER, steps=200, progress=False)
    errors = np.linalg.norm((net.activations(result.images, [LAYER])[LAYER] - targets).reshape(3, -1), axis=1)
    errors /= np.linalg.norm(targets.reshape(3, -1), axis=1)
    assert (errors < 0.10).all()  # not squared: the stricter reading
    assert np.sqrt(((result.images - images) ** 2).mean()) < 0.15


def test_statistics_samples_and_images(net, shared, tmp_path):
    images = viz.load_images(shared / "photos" / "train", "orange", 100)
    with viz.StatsStore(tmp_path / "stats.h5") as store:
        viz.collect(net, images, "orange", [LAYER], store, progress=False)
        model, statistics = store.model("orange", LAYER), store.model("orange", "image")
        real = np.maximum(store.activations("orange", LAYER), 0)
    targets = model.sample(3, seed=0)
    assert abs((targets == 0).mean() - (real == 0).mean()) < 0.05  # the ReLU's share of zeros
    result = viz.reconstruct(net, targets, LAYER, statistics, steps=60, progress=False)
    assert result.history["Distance"][-1].max() < 0.35
    red, _, blue = result.images.mean((0, 1, 2))
    assert red > blue + 0.1  # oranges
