"""Real VGG16, its thirteen convolutions, on real photographs: kept outside the project, skipped where they are not."""


import keras
import numpy as np
import pytest

import vizlib as viz

LAYER = "block3_conv3"


@pytest.fixture(scope="module")
def net(shared):
    from imagenet import vgg16

    return vgg16(shared, 64)


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
    store = viz.StatsStore(tmp_path / "stats", net)
    viz.collect(store, images, "orange", [LAYER], progress=False)
    model = store.model("orange", LAYER, "LocalGaussian")  # photographs are too unlike each other to be quilted
    statistics = store.model("orange", "image")
    real = net.activations(images, [LAYER])[LAYER]
    targets = model.sample(3, seed=0)
    assert abs((targets == 0).mean() - (real == 0).mean()) < 0.05  # the ReLU's share of zeros
    result = viz.reconstruct(net, targets, LAYER, statistics, steps=60, progress=False)
    assert result.history["Distance"][-1].max() < 0.35
    red, _, blue = result.images.mean((0, 1, 2))
    assert red > blue + 0.1  # oranges


def test_preprocessing_in_the_graph_is_keras_own(net, shared):
    """The first seven convolutions on photographs: preprocess_input, then the Keras model."""
    images = viz.load_images(shared / "photos" / "val", "teapot", 2)
    names = ["block1_conv2", "block2_conv2", LAYER]
    part = keras.Model(net.model.inputs, [net.model.get_layer(name).output for name in names])
    expected = part.predict(keras.applications.vgg16.preprocess_input(images * 255), verbose=0)
    for (name, received), theirs in zip(net.activations(images, names).items(), expected, strict=True):
        np.testing.assert_allclose(received, theirs, rtol=0, atol=1e-5 * theirs.max(), err_msg=name)


def test_a_classifier_of_photographs(shared):
    """With the head of 20 classes: what its classes are, and that it knows held-out photographs at another size."""
    from imagenet import vgg16

    net, photos = vgg16(shared, 96), shared / "imagenet/photos/val"
    assert len(net.classes) == 20 and net.image_size == 96 and net.is_rectified("block5_conv3")
    names = sorted(path.name for path in photos.iterdir())
    images = {name: viz.load_images(photos, name, 4, size=96) for name in names}
    correct = np.mean([net.scores(images[name]).argmax(1) == net.class_index(name) for name in names])
    assert len(names) == 10 and correct > 0.7
    softmax = keras.ops.softmax(net.scores(images["golf_ball"]))
    expected = net.model.predict(keras.applications.vgg16.preprocess_input(images["golf_ball"] * 255), verbose=0)
    np.testing.assert_allclose(softmax, expected, atol=1e-5)
    guided = viz.saliency(net, images["golf_ball"][:1], "scores", "golf_ball", "guided")
    assert guided.shape == (1, 96, 96, 3) and np.isfinite(guided).all() and np.abs(guided).max() > 0
