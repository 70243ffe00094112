"""Whether a network recognises a class: the embedded one and VGG16, with one thing wrong at a time."""

import importlib.util

import keras
import numpy as np
import pytest
from keras import layers, ops

import vizlib as viz
from vizlib.networks import recognition, standard_preprocess, vgg_preprocess

WRONG = {
    "[0, 1]": lambda x: x,
    "[0, 255]": lambda x: x * 255,
    "[-1, 1]": lambda x: x * 2 - 1,
    "ImageNet's mean and deviation": standard_preprocess,
}
LINE = "with preprocess=lambda x: {}: see viz.load_network."
VGG = "viz.networks.vgg_preprocess(x)"


@pytest.fixture(scope="module")
def images():
    return {name: viz.load_images("partworld", name, 24, seed=3) for name in ("face", "house", "cat", "car")}


@pytest.fixture(scope="module")
def faces():
    return viz.load_images("partworld", "face", 40, seed=3)


def with_head(mini, weights, bias, activation):
    """The embedded network with another head on its last layer but one."""
    head = layers.Dense(weights.shape[1], activation, name="head")
    model = keras.Model(mini.model.inputs, head(mini.model.get_layer("fc2").output))
    head.set_weights([weights, bias])
    return model


def seen(net, images, name):
    """In how many images a class has the highest score."""
    return int((net.scores(images).argmax(1) == net.class_index(name)).sum())


def test_a_sound_network(mini, images):
    for name in ("face", "house"):
        found, right = viz.check(mini, images[name], name), seen(mini, images[name], name)
        assert right > 15 and found == (True, f"{name} is recognised in {right} of 24 images (2 by chance).", 24, {
            "as given": right
        })  # fmt: skip
        assert f"<td><code>as given</code></td><td>{right}</td>" in found._repr_html_()


def test_a_class_that_is_seen_in_anything(mini, images):
    """This network takes plain colours and noise for a cat."""
    found = viz.check(mini, images["cat"], "cat")
    assert found.ok and "but in plain colours and in pixels in random order, too: images of another" in found.text


@pytest.mark.parametrize("name", WRONG)
def test_wrong_preprocessing(mini, images, name):
    wrong = viz.Network(mini.model, WRONG[name], mini.classes)
    found = viz.check(wrong, images["house"], "house")
    m, right = (seen(net, images["house"], "house") for net in (wrong, mini))
    start = f"house is recognised in {m} of 24 images (2 by chance), but in "
    assert found.text == f"{start}{right} {LINE.format(VGG)}" and not found.ok
    assert found.recognised["as given"] == m and found.recognised[VGG] == right
    levels = viz.Network(mini.model, WRONG["[0, 255]"], mini.classes)
    assert found.recognised["x * 255"] == seen(levels, images["house"], "house")


def test_red_and_blue_exchanged_where_the_class_is_still_recognised(mini, faces):
    exchanged = viz.Network(mini.model, lambda x: vgg_preprocess(ops.flip(x, -1)), mini.classes)
    few, many = (seen(net, faces, "face") for net in (exchanged, mini))
    found = viz.check(exchanged, faces, "face")
    assert 8 < few < many - 10 and not found.ok  # 3.3 by chance
    assert found.text == f"face is recognised in {few} of 40 images (3.3 by chance), but in {many} {LINE.format(VGG)}"


def test_red_and_blue_exchanged_in_a_preprocessing_of_ones_own(mini, faces):
    image = keras.Input((64, 64, 3))
    model = keras.Model(image, mini.model(layers.Rescaling(0.1)(image)))
    exchanged = viz.Network(model, lambda x: 10 * vgg_preprocess(ops.flip(x, -1)), mini.classes)
    found, code = viz.check(exchanged, faces, "face"), "net.preprocess(keras.ops.flip(x, -1))"
    assert not found.ok and found.text.endswith(f", but in {seen(mini, faces, 'face')} {LINE.format(code)}")


def test_a_grey_network_is_tried_with_what_needs_no_colours(mini, images):
    image = keras.Input((64, 64, 1))
    x = layers.Concatenate()([layers.Rescaling(1, offset=-115)(image)] * 3)
    model = keras.Model(image, mini.model(x))
    right = seen(viz.Network(model, lambda x: x * 255, mini.classes), images["house"], "house")
    found = viz.check(viz.Network(model, classes=mini.classes), images["house"], "house")
    assert right > 12 and found.text.endswith(f"(2 by chance), but in {right} {LINE.format('x * 255')}")
    assert list(found.recognised) == ["as given", "x * 255", "x * 2 - 1", "x"]


@pytest.mark.parametrize("code", recognition.USUAL)
def test_what_is_written_is_what_was_tried(tmp_path, code):
    file = tmp_path / "written.py"
    file.write_text(f"import vizlib as viz\nload = lambda x: {code}\n")
    spec = importlib.util.spec_from_file_location("written", file)
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    x = np.random.default_rng(0).random((2, 3, 3, 3), "float32")
    np.testing.assert_array_equal(written.load(x), recognition.USUAL[code](x))


def test_another_order_of_the_classes(mini, images):
    turned = viz.Network(mini.model, vgg_preprocess, np.roll(mini.classes, 1).tolist())
    for name in ("house", "face"):
        found, taken = viz.check(turned, images[name], name), seen(mini, images[name], name)
        other = turned.classes[mini.class_index(name)]
        assert not found.ok and found.text.endswith(
            f"no usual preprocessing does better. {taken} are taken for {other}. "
            "Are the classes in the order of the scores?"
        )


def test_random_weights(mini, images):
    keras.utils.set_random_seed(0)
    net = viz.Network(keras.models.clone_model(mini.model), vgg_preprocess, mini.classes)
    found = viz.check(net, images["house"], "house")
    assert not found.ok and found.text.startswith("house is recognised in 0 of 24 images (2 by chance), and no usual ")
    assert found.text.endswith("24 are taken for clock. Are the weights those of this network?")


@pytest.mark.parametrize("names", [("face", "house"), ("house", "face")])
def test_two_classes_of_one_unit(mini, images, names):
    kernel, bias = mini.model.get_layer("predictions").get_weights()
    face, house = (mini.class_index(name) for name in ("face", "house"))
    model = with_head(mini, kernel[:, [house]] - kernel[:, [face]], bias[[house]] - bias[[face]], "sigmoid")
    net = viz.Network(model, vgg_preprocess, names)
    found, m = viz.check(net, images["house"], "house"), seen(net, images["house"], "house")
    assert found.text.startswith(f"house is recognised in {m} of 24 images (12 by chance)")
    if names == ("face", "house"):
        assert m > 20 and found.ok
    else:
        asked = f"{24 - m} are taken for face. Are the classes in the order of the scores?"
        assert m < 4 and not found.ok and found.text.endswith(asked)


def test_classes_that_are_there_or_not(mini, images):
    kernel, bias = mini.model.get_layer("predictions").get_weights()
    model = with_head(mini, kernel, bias - 5, "sigmoid")
    net, wrong = (viz.Network(model, f, mini.classes) for f in (vgg_preprocess, WRONG["[0, 1]"]))
    m = int((mini.scores(images["house"])[:, mini.class_index("house")] > 5).sum())
    found = viz.check(net, images["house"], "house")
    assert m > 20 and found.ok and found.recognised == {"as given": m}
    found = viz.check(wrong, images["house"], "house")
    assert not found.ok and found.text.endswith(f"but in {m} {LINE.format(VGG)}")


def test_without_names_a_class_is_its_position(mini, images):
    net, house = viz.Network(mini.model, vgg_preprocess), mini.class_index("house")
    found = viz.check(net, images["house"], house)
    assert found.ok and found.text.startswith(f"class {house} is recognised in ")


def test_what_cannot_be_told(mini, images):
    with pytest.raises(ValueError, match="expected at least 10 images, as fewer may all be .*; received 9"):
        viz.check(mini, images["house"][:9], "house")
    with pytest.raises(ValueError, match="expected a class out of face, .*; received 'dog'"):
        viz.check(mini, images["house"], "dog")
    headless = viz.Network(keras.Model(mini.model.inputs, mini.model.get_layer("block5_pool").output), vgg_preprocess)
    with pytest.raises(ValueError, match=r"expected a network with class scores \(n, classes\); received \(24, 2, 2, "):
        viz.check(headless, images["house"], 0)


def test_real_vgg16(shared):
    from imagenet import vgg16

    net, photos = vgg16(shared, 64), shared / "imagenet/photos/val"
    for name in ("church", "beagle"):
        images = viz.load_images(photos, name, 20, size=64)
        right = seen(net, images, name)
        text = f"{name} is recognised in {right} of 20 images (1 by chance)."
        assert right > 10 and viz.check(net, images, name) == (True, text, 20, {"as given": right})
    wrong = viz.check(viz.Network(net.model, lambda x: x, net.classes), images, "beagle")
    assert not wrong.ok and f" in {right} with preprocess=lambda x: {VGG}" in wrong.text
