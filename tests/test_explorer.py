"""The panel, driven as a user drives it: controls are set, buttons clicked, and the pictures read."""

import io
import re
import threading
from base64 import b64decode
from html import unescape
from unittest.mock import Mock

import keras
import numpy as np
import pytest
from PIL import Image

import vizlib as viz
from vizlib.explorer.choices import CHANNEL
from vizlib.explorer.comparison import METHODS, compare_class
from vizlib.explorer.panel import PANELS, Explorer
from vizlib.plots import close_ups, enlarged, gradient_colours
from vizlib.synthesis import recipes

ENDLESS = 4096  # steps: far more than a test waits for


@pytest.fixture
def net(tiny_cnn):
    return viz.load_network(tiny_cnn, classes=["face", "cat", "fish"])


@pytest.fixture
def panel(net, tmp_path):
    panel = Explorer(net, folder=tmp_path / "new folder", n_images=40, layer="conv2", steps=5, n=2)
    yield panel
    panel.stop()
    panel.wait()
    assert not any(thread.name == "vizlib explorer" for thread in threading.enumerate())


def click(panel, name):
    assert not panel.buttons[name].disabled
    panel.buttons[name].click()


def run(panel, **settings):
    for name, value in settings.items():
        panel.controls[name].value = value
    click(panel, "run")
    panel.wait()
    return unescape(panel.status.value)


def at(panel, stage, act, done=0):
    """Act once, as soon as the work of a stage is further than `done` percent."""

    def look(change):
        if panel.bar.description == stage and panel.bar.value > done:
            panel.bar.unobserve(look)
            act()

    panel.bar.observe(look)


def pixels(figure):
    """The first picture in the HTML of a figure; None if there is none yet."""
    found = re.search("data:image/png;base64,([^']+)'", figure)
    return np.asarray(Image.open(io.BytesIO(b64decode(found[1])))) if found else None


def is_shown(panel, name, images):
    return np.array_equal(pixels(panel.panels[name].value), enlarged(images))


def test_run_fills_the_panels_with_the_comparison_of_the_settings(panel):
    assert run(panel, class_name="cat", seed=3).startswith("Done in")
    assert panel.buttons["stop"].disabled and panel.bar.value == 100
    found = panel.result
    assert (found.class_name, found.layer, found.made.provenance["seed"]) == ("cat", "conv2", 3)
    pair = np.stack([found.real[0], gradient_colours(found.saliency)[0]])
    assert is_shown(panel, "saliency", pair)
    assert is_shown(panel, "baseline", found.baseline.images)
    assert is_shown(panel, "made", found.made.images)
    for name, title in PANELS.items():
        assert f"alt='{title}, cat'" in panel.panels[name].value
    assert re.search(r"naturalness 0\.\d\d · nearest 0\.\d{3}", panel.panels["made"].value)
    assert panel.panels["made"].value.count("<img") == 2  # the nearest real images are the other


def test_the_panel_shows_what_the_functions_return(panel, net):
    run(panel, prior_weight=2)
    real = viz.load_images("partworld", "face", 40, size=6)
    np.testing.assert_allclose(panel.result.real, real[:2], atol=1e-6)
    expected = viz.saliency(net, panel.result.real, "scores", "face", rule="guided")
    np.testing.assert_array_equal(panel.result.saliency, expected)
    store = viz.StatsStore(panel.path, net)
    targets = store.model("face", "conv2").sample(2, seed=0)
    statistics = store.model("face", "image")
    again = compare_class(store, "face", "conv2", n=2, steps=5, prior_weight=2.0)
    expected = viz.reconstruct(net, targets, "conv2", statistics, 2.0, steps=5, progress=False).images
    np.testing.assert_array_equal(panel.result.made.images, expected)
    np.testing.assert_array_equal(again.made.images, expected)
    expected = viz.simonyan(net, "face", n=2, steps=5, progress=False).images
    np.testing.assert_array_equal(panel.result.baseline.images, expected)


def test_a_channel_takes_the_place_of_the_class_score(panel, net):
    assert panel.controls["channel"].disabled and "no channels" in panel.controls["channel"].tooltip
    panel.controls["target"].value = CHANNEL
    assert not panel.controls["channel"].disabled and panel.controls["channel"].max == 4
    run(panel, channel=3, rule="gradient")
    assert panel.result.neuron == ("conv2", 3)
    expected = viz.saliency(net, panel.result.real, "conv2", 3)
    np.testing.assert_array_equal(panel.result.saliency, expected)
    expected = viz.simonyan(net, ("conv2", 3), n=2, steps=5, progress=False).images
    np.testing.assert_array_equal(panel.result.baseline.images, expected)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_chosen(panel, method):
    assert run(panel, method=method, steps=8).startswith("Done in")
    names = {"samples": "reconstruct", "samples of one layer": "reconstruct"}
    assert panel.result.made.provenance["method"] == names.get(method, method)
    assert panel.controls["prior_weight"].disabled == (method not in names)
    assert ("no priors" in panel.controls["prior_weight"].tooltip) == (method not in names)


def test_a_stop_leaves_the_best_so_far(panel):
    at(panel, "baseline", lambda: click(panel, "stop"))
    assert re.match(r"Stopped after \d+\.\d s: the best so far\.", run(panel, steps=ENDLESS))
    assert is_shown(panel, "baseline", panel.result.baseline.images)
    assert panel.result.made is None and pixels(panel.panels["made"].value) is None


def test_a_stop_in_the_last_stage_keeps_what_was_reached(panel, net):
    run(panel)

    def stopped(until):
        shown = []

        def watch(stage, done, images):
            if stage == "made":
                shown.append(np.clip(images, 0, 1))
            return stage == "made" and done >= until

        store = viz.StatsStore(panel.path, net)
        made = compare_class(store, "face", "conv2", n=2, steps=60, prior_weight=0, watch=watch).made
        target = store.model("face", "conv2").sample(2)
        assert all(any((image == then[i]).all() for then in shown) for i, image in enumerate(made.images))
        return len(shown), np.sum((net.activations(made.images, ["conv2"])["conv2"] - target) ** 2)

    # with the images at the end, which are shown again
    (first, at_first), (half, _), (_, at_last) = stopped(until=0), stopped(until=0.5), stopped(until=1)
    assert (first, half) == (2, 32) and at_first > at_last > 0


def test_pictures_come_while_the_run_goes_on(panel, monkeypatch):
    monkeypatch.setattr("vizlib.explorer.panel.REFRESH", 0)
    seen = []
    panel.panels["made"].observe(lambda change: seen.append(change.new), "value")
    run(panel, steps=20)
    pictures = {pixels(figure).tobytes() for figure in seen if pixels(figure) is not None}
    assert len(pictures) >= 20  # one more if the last step was not the best


def test_a_second_run_replaces_the_first_and_nobody_waits(panel):
    panel.controls["steps"].value = ENDLESS
    started = threading.Event()
    at(panel, "baseline", started.set)
    click(panel, "run")
    assert started.wait(60)
    assert run(panel, steps=3, class_name="fish").startswith("Done in") and panel.result.class_name == "fish"


def test_again_takes_the_next_seed(panel):
    run(panel, seed=4)
    first = panel.result.made.images
    click(panel, "again")
    panel.wait()
    assert panel.controls["seed"].value == panel.result.made.provenance["seed"] == 5
    assert np.abs(first - panel.result.made.images).max() > 0.01


def test_kept_results_stay_in_the_strip(panel):
    assert panel.buttons["keep"].disabled and panel.buttons["save"].disabled
    for class_name in ("cat", "fish"):
        run(panel, class_name=class_name)
        click(panel, "keep")
    assert [found.class_name for found in panel.kept] == ["cat", "fish"]
    for found, kept in zip(panel.kept, panel.strip.children, strict=True):
        assert np.array_equal(pixels(kept.value), enlarged(found.made.images, 200))
        assert f"{found.class_name} · conv2 · reconstruct · seed 0" in kept.value


def test_what_is_saved_can_be_made_again(panel, net):
    run(panel)
    for _ in range(2):
        click(panel, "save")
    names = [path.name for path in panel.saved]
    assert names == [
        "face-conv2-simonyan-0.png", "face-conv2-reconstruct-0.png",
        "face-conv2-simonyan-0-2.png", "face-conv2-reconstruct-0-2.png",
    ]  # fmt: skip
    for path, result in zip(panel.saved, 2 * [panel.result.baseline, panel.result.made], strict=True):
        again = viz.rerun(path, net, panel.path, progress=False)
        np.testing.assert_array_equal(again.images, result.images)
        assert np.array_equal(np.asarray(Image.open(path)), enlarged(again.images))


def test_a_disk_error_at_saving_is_told(panel, monkeypatch):
    run(panel)
    full = Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr(recipes, "save_image", full)
    click(panel, "save")
    assert "did not work" in panel.status.value and "No space left" in panel.status.value and not panel.saved


def test_sliders_move_along_components(panel, net):
    run(panel)
    parts = panel._components
    parts.sliders[1].value = 2.0
    panel.wait()
    store = viz.StatsStore(panel.path, net)
    statistics, places = store.model("face", "image"), np.array([[0, 2.0, 0, 0, 0]])
    expected = viz.reconstruct(
        net, store.sample("face", "conv2", places=places), None, statistics, steps=64, progress=False
    )
    np.testing.assert_allclose(parts.result.images, expected.images, atol=1e-5)
    assert is_shown(panel, "components", parts.result.images) and "+2.0" in parts.picture.value
    parts.button.click()
    panel.wait()
    assert [control.value for control in parts.sliders] == [0] * 5
    middle = store.sample("face", "conv2", places=np.zeros((1, 5)))
    expected = viz.reconstruct(
        net, middle, None, statistics, steps=30, start=expected.variables, progress=False
    ).images
    np.testing.assert_allclose(parts.result.images, expected, atol=1e-4)


def test_a_channel_is_shown_by_its_strongest_images_and_by_what_maximises_it(panel, net):
    part = panel._channels
    part.channel.value = 3
    part.button.click()
    panel.wait()
    assert unescape(panel.status.value).startswith("Done in")
    found = viz.attribution.strongest(viz.StatsStore(panel.path, net), "conv2", 3)
    assert np.array_equal(pixels(part.strongest.value), enlarged(close_ups(found.images, found.boxes)))
    assert f"face {found.values[0]:.3g}, face {found.values[1]:.3g}" in part.strongest.value
    made = viz.olah(net, ("conv2", 3), n=2, steps=5, progress=False).images
    assert np.array_equal(pixels(part.picture.value), enlarged(made))
    part.channel.value = 5
    part.button.click()
    panel.wait()
    assert "did not work. expected a channel of conv2 from 0 to 4; received 5" in unescape(panel.status.value)


def test_a_click_on_a_place_lists_the_channels_that_answer_there(panel, net):
    part = panel._channels
    part.image.value = 99
    for row, column in ((0, 7), (5, 2)):
        part.cells[8 * row + column].click()
        panel.wait()
    assert part.image.value == 39  # the last
    store = viz.StatsStore(panel.path, net)
    image = store.activations("face", "image", [39])
    assert np.array_equal(pixels(part.place.value), enlarged(image, 320))
    expected = viz.attribution.channels_at(store, image[0], "conv2", 4, 1)  # of 6 × 6 pixels
    assert re.findall(r"<td>(\d+)</td>", part.answers.value) == [str(channel) for channel in expected.index]
    assert f"<td>{expected.score.iloc[0]:.2f}</td>" in part.answers.value
    assert "conv2 at row 4, column 1" in part.answers.value
    assert [cell for cell in part.cells if cell.layout.border_top] == [part.cells[42]]


def test_a_channel_that_is_listed_is_shown_on_a_click_whatever_layer_is_chosen_by_then(panel):
    part = panel._channels
    for row in (1, 5):
        part.cells[8 * row].click()
        panel.wait()
        assert part.listed.value is None and "to come" in part.picture.value
    (label, (layer, channel)) = part.listed.options[1]
    assert re.findall(r"<td>(\d+)</td>", part.answers.value)[1] == label == str(channel)
    panel.controls["layer"].value = "conv1"
    part.listed.index = 1
    panel.wait()
    assert part.channel.value == channel and f"Strongest images of {layer}, channel {channel}" in part.strongest.value
    assert layer == "conv2" and f"What maximises conv2, channel {channel}" in part.picture.value
    part.cells[0].click()
    panel.wait()
    assert part.listed.value is None and part.listed.options[0][1][0] == "conv1"


def test_collecting_can_be_stopped_and_goes_on_with_the_next_run(panel, monkeypatch):
    monkeypatch.setattr("vizlib.explorer.panel.REFRESH", 0)
    at(panel, "statistics", panel.stop, done=80)  # 32 of 40 images
    assert run(panel).startswith("Stopped while collecting") and panel.result is None
    assert "conv2" not in viz.StatsStore(panel.path).layers("face")
    assert len(list(panel.path.glob("face/spool.part/conv2/*.block"))) == 1  # of two blocks
    assert run(panel).startswith("Done in") and panel.result.made is not None


def test_an_error_is_told_in_the_panel_which_keeps_working(panel):
    whole, panel.choices.source = panel.choices.source, "no <such> folder"
    assert run(panel).startswith("This did not work. expected")
    assert "no &lt;such&gt; folder" in panel.status.value and panel.bar.bar_style == "danger"
    panel.choices.source = whole
    assert run(panel).startswith("Done in") and not panel.bar.bar_style and panel.buttons["stop"].disabled


def test_the_time_left_is_told_while_collecting_and_while_images_are_made(net, tmp_path, monkeypatch):
    monkeypatch.setattr("vizlib.explorer.panel.REFRESH", 0)
    panel, told = Explorer(net, folder=tmp_path, n_images=130, layer="conv2", steps=20, n=2), {}

    def note(change):
        told.setdefault(panel.bar.description, set()).add(panel.status.value)

    panel.bar.observe(note, "value")
    run(panel)
    for stage in ("statistics", "baseline", "made"):  # of 5 blocks of images, and of 20 steps each
        assert any(re.match(r"Running: about \d+ s left\.", text) for text in told[stage]), told[stage]


def test_what_the_network_does_not_recognise_is_told(panel, net):
    assert net.scores(viz.load_images("partworld", "face", 30, size=6)).argmax(axis=1).max() > 0  # of random weights
    assert re.search(r"Done in \d+\.\d s\. face is recognised in 0 of 30 images", run(panel))


def test_nothing_is_said_of_what_is_recognised(mini, tmp_path):
    panel = Explorer(mini, folder=tmp_path, n_images=12, n=1, steps=2, layer="block4_conv3")
    assert re.fullmatch(r"Done in \d+\.\d s\.", run(panel))


def test_any_exception_is_told(panel, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("vizlib.explorer.comparison.simonyan", broken)
    assert run(panel) == "This did not work. ZeroDivisionError: division by zero"


def test_another_network_brings_its_own_choices(panel, tiny_cnn, tmp_path):
    tiny_cnn.save(tmp_path / "other.keras")
    first = panel.path
    panel.controls["network"].value = str(tmp_path / "other.keras")
    panel.wait()
    assert "Loaded" in panel.status.value and panel.choices.net.classes == ()
    assert panel.path == first  # of the same weights
    assert panel.controls["target"].disabled and "no class" in panel.controls["target"].tooltip
    assert panel.controls["target"].value == CHANNEL and len(panel.controls["class_name"].options) == 12
    assert run(panel, channel=1).startswith("Done in") and panel.result.neuron == ("conv2", 1)
    panel.controls["network"].value = "mini"
    panel.wait()
    assert panel.path != first and panel.controls["layer"].value == "block2_conv2"
    assert panel.controls["channel"].max == 47 and not panel.controls["target"].disabled
    panel.controls["network"].value = "nowhere.keras"
    panel.wait()
    assert "did not work. expected 'mini'" in unescape(panel.status.value) and panel.choices.net.image_size == 64


def large_network(flat):
    """Of 192 px, with a head on all positions, or on their mean."""
    keras.utils.set_random_seed(0)
    layers, inputs = keras.layers, keras.Input((192, 192, 3))
    maps = layers.Conv2D(4, 5, 4, activation="relu", bias_initializer="ones", name="conv")(inputs)
    pooled = layers.Flatten(name="pooled")(maps) if flat else layers.GlobalAveragePooling2D(name="pooled")(maps)
    return viz.Network(keras.Model(inputs, layers.Dense(2, name="head")(pooled)), classes=["face", "cat"])


def test_a_large_network_starts_with_two_small_images_and_one_button_makes_them_large(tmp_path):
    net = large_network(flat=False)
    panel = Explorer(net, folder=tmp_path, n_images=6, steps=2)
    assert panel.choices.sizes == [96, 128, 160, 192] and panel.controls["size"].value == 128
    assert panel.controls["layer"].value == "conv" and not panel.buttons["full"].disabled
    assert run(panel, class_name="cat", seed=3).startswith("Done")
    small, before = panel.result, panel.path
    assert small.made.images.shape == small.baseline.images.shape == (2, 128, 128, 3)
    click(panel, "full")
    panel.wait()
    large = panel.result
    assert large.made.images.shape == large.real.shape == (2, 192, 192, 3) and panel.choices.net is net
    assert large[:3] == small[:3] == ("cat", "conv", "cat") and panel.path != before
    for found in (small.made, large.made):
        assert (found.provenance["seed"], found.provenance["method"]) == (3, "reconstruct")
    assert panel.buttons["full"].disabled and "own size" in panel.buttons["full"].tooltip


def test_a_head_of_one_size_scores_previews_too(tmp_path):
    net = large_network(flat=True)
    panel = Explorer(net, folder=tmp_path, n_images=6, steps=2, n=1)
    assert panel.controls["size"].value == 128 and panel.controls["layer"].options == ("conv", "pooled")
    assert panel.controls["class_name"].options == ("face", "cat") and not panel.controls["target"].disabled
    assert run(panel).startswith("Done") and panel.result.neuron == "face"
    expected = viz.simonyan(net.resized(128), "face", n=1, steps=2, progress=False).images
    np.testing.assert_array_equal(panel.result.baseline.images, expected)
    click(panel, "full")
    panel.wait()
    assert panel.controls["layer"].options[-1] == "head" and panel.result.neuron == "face"


def test_what_was_chosen_stays_at_another_size(tmp_path):
    panel = Explorer(large_network(flat=False), folder=tmp_path)
    panel.controls["target"].value = CHANNEL
    panel.controls["size"].value = 192
    assert panel.controls["target"].value == CHANNEL and not panel.controls["target"].disabled


def test_another_network_starts_anew(tmp_path, mini):
    panel = Explorer(mini, folder=tmp_path, layer="block5_conv3")
    assert panel.controls["n"].value == 4
    for net in (large_network(flat=False), large_network(flat=False)):
        panel.choices.use(net)
        chosen = [panel.controls[name].value for name in ("size", "layer", "n")]
        assert chosen == [128, "conv", 2]
        panel.controls["size"].value, panel.controls["layer"].value, panel.controls["n"].value = 192, "head", 7
    panel.choices.use(net, "partworld")  # which is the same
    assert [panel.controls[name].value for name in ("size", "layer", "n")] == [192, "head", 7]


def test_small_images_have_one_size_and_no_preview(panel):
    assert panel.controls["size"].disabled and "no preview" in panel.controls["size"].tooltip
    assert panel.buttons["full"].disabled


def test_oblong_images_stay_oblong(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((24, 32, 3))
    oblong = keras.Model(inputs, keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs))
    panel = Explorer(viz.Network(oblong), folder=tmp_path, n_images=20, n=2, steps=3)
    assert panel.controls["size"].label == "24 × 32" and panel.controls["size"].disabled
    assert run(panel).startswith("Done in") and panel.result.made.images.shape == (2, 24, 32, 3)


def test_without_a_relu_there_are_no_guided_rules(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 3))
    smooth = keras.Model(inputs, keras.layers.Conv2D(4, 3, activation="silu", name="conv")(inputs))
    panel = Explorer(viz.Network(smooth), folder=tmp_path, n_images=20, n=2, steps=3)
    rule = panel.controls["rule"]
    assert rule.value == "gradient" and rule.disabled and rule.tooltip == "This network has no ReLU"
    assert run(panel).startswith("Done in") and panel.result.neuron == ("conv", 0)
    panel.choices.use(viz.load_network("mini"))
    assert rule.value == "guided" and not rule.disabled and "ReLU on the way back" in rule.tooltip


def test_the_panel_is_what_a_notebook_shows(panel):
    bundle = panel._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.widget.model_id
    assert panel.controls["layer"].options == ("conv1", "conv2", "pool", "flatten", "predictions")
    assert panel.controls["class_name"].options == ("face", "cat", "fish") and panel.controls["n"].max == 40
    assert all(item.tooltip for item in panel.buttons.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stepz": 3}, "expected settings out of size, .*; received 'stepz'"),
        ({"class_name": "dog"}, "expected class_name out of face, cat, fish; received 'dog'"),
        ({"layer": "conv9"}, "expected layer out of conv1, conv2, .*; received 'conv9'"),
        ({"steps": 0}, "expected steps from 1 to 4096; received 0"),
        ({"n": 301}, "expected n from 1 to 300; received 301"),
    ],
)
def test_settings_that_are_not_offered_are_refused(net, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        Explorer(net, folder=tmp_path, **settings)


def test_classes_that_the_network_does_not_know_have_no_scores_and_yet_statistics(tiny_cnn, tmp_path):
    other = viz.load_network(tiny_cnn, classes=["a", "b", "c"])
    panel = Explorer(other, folder=tmp_path, n_images=20, n=2, steps=3)
    target = panel.controls["target"]
    assert panel.choices.source == "partworld" and len(panel.controls["class_name"].options) == 12
    assert target.disabled and target.tooltip == "This network has no score of face" and target.value == CHANNEL
    assert run(panel).startswith("Done in") and panel.result.made.images.shape == (2, 6, 6, 3)
    assert "a judge sees face" not in panel.panels["made"].value  # it knows images of 64 px


def test_a_network_of_imagenet_starts_with_imagenette(tiny_cnn, tmp_path):
    panel = Explorer(viz.load_network(tiny_cnn, classes=["church", "tench", "x"]), folder=tmp_path)
    assert panel.choices.source == panel.controls["source"].value == "imagenette"
    assert panel.controls["class_name"].options == ("church", "tench")


@pytest.fixture
def animals(tmp_path):
    """A folder of pictures of two classes of the network, and of one that it does not know."""
    for name in ("ant", "cat", "fish"):
        (tmp_path / "animals" / name).mkdir(parents=True)
        for i in range(6):
            pixels = np.random.default_rng(i).integers(0, 256, (6, 6, 3), dtype=np.uint8)
            viz.images.save_image(tmp_path / "animals" / name / f"{i}.png", pixels)
    return str(tmp_path / "animals")


def test_another_source_is_taken_with_its_classes_and_a_folder_of_its_own(net, animals, tmp_path):
    panel = Explorer(net, folder=tmp_path / "output")
    before = panel.path
    panel.controls["source"].value = animals
    assert panel.choices.source == animals and panel.controls["class_name"].options == ("cat", "fish")
    assert panel.path != before and panel.path.parent == before.parent
    panel.controls["source"].value = "nowhere"
    assert panel.controls["source"].value == panel.choices.source == animals
    assert panel.status.value.startswith("This did not work. expected") and "nowhere" in panel.status.value
    panel.controls["source"].value = "partworld"
    assert panel.path == before and "face" in panel.controls["class_name"].options and panel.status.value == ""


def test_a_network_with_other_classes_brings_another_source(tiny_cnn, tmp_path, monkeypatch, net):
    other = viz.load_network(tiny_cnn, classes=["church", "tench", "x"])
    panel = Explorer(net, folder=tmp_path)
    monkeypatch.setattr("vizlib.explorer.panel.load_network", lambda name: other)
    panel.controls["network"].value = "vgg16"
    panel.wait()
    assert panel.choices.source == "imagenette" and panel.status.value.startswith("Loaded vgg16")


def test_compare_class_needs_statistics(net, tmp_path):
    store = viz.StatsStore(tmp_path / "stats", net)
    with pytest.raises(ValueError, match="received 'face'"):
        compare_class(store, "face", "conv2")
    with pytest.raises(ValueError, match="expected a method out of samples, .*; received 'magic'"):
        compare_class(store, "face", "conv2", method="magic")
