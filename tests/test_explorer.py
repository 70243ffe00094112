"""The panel, driven as a user drives it: controls are set, buttons clicked, and the pictures read."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

import vizlib as viz
from vizlib.explorer import BLANK, Explorer, compare_class
from vizlib.plots import gradient_colours, png

ENDLESS = 4096  # steps: far more than a test waits for


@pytest.fixture
def net(tiny_cnn):
    return viz.load_network(tiny_cnn, classes=["face", "cat", "fish"])


@pytest.fixture
def panel(net, tmp_path):
    panel = Explorer(net, tmp_path / "new folder" / "stats.h5", n_images=40, layer="conv2", steps=5, n=2)
    yield panel
    panel.stop()
    panel.wait()
    assert not any(thread.name == "vizlib explorer" for thread in threading.enumerate())


def at(panel, stage, act, done=0):
    """Act once, as soon as the work of a stage is further than `done` percent."""

    def look(change):
        if panel.bar.description == stage and panel.bar.value > done:
            panel.bar.unobserve(look)
            act()

    panel.bar.observe(look)


def pixels(panel, name):
    return np.asarray(Image.open(io.BytesIO(panel.panels[name].value)))


def test_run_fills_the_panels_with_the_comparison_of_the_settings(panel):
    panel.controls["class_name"].value = "cat"
    panel.controls["seed"].value = 3
    panel.run_button.click()
    panel.wait()
    assert panel.status.value == "Done." and panel.stop_button.disabled and panel.bar.value == 100
    found = panel.result
    assert (found.class_name, found.layer) == ("cat", "conv2")
    assert panel.panels["baseline"].value == png(found.baseline)
    assert panel.panels["samples"].value == png(found.samples)
    pair = np.stack([found.real[0], gradient_colours(found.saliency)[0]])
    assert panel.panels["saliency"].value == png(pair)
    assert len({panel.value for panel in panel.panels.values()} | {BLANK}) == 4


def test_the_panel_shows_what_the_functions_return(panel, net):
    panel.controls["prior_weight"].value = 2
    panel.start()
    panel.wait()
    real = viz.load_images("partworld", "face", 40, size=6)
    np.testing.assert_allclose(panel.result.real, real[:2], atol=1e-6)
    expected = viz.saliency(net, panel.result.real, "scores", "face", rule="guided")
    np.testing.assert_array_equal(panel.result.saliency, expected)
    with viz.StatsStore(panel.path, "r") as store:
        targets = store.model("face", "conv2").sample(2, seed=0)
        statistics = store.model("face", "image")
        again = compare_class(net, store, "face", "conv2", n=2, steps=5, prior_weight=2.0)
    expected = viz.reconstruct(net, targets, "conv2", statistics, 2.0, steps=5, progress=False).images
    np.testing.assert_array_equal(panel.result.samples, expected)
    np.testing.assert_array_equal(again.samples, expected)
    expected = viz.simonyan(net, "face", n=2, steps=5, progress=False).images
    np.testing.assert_array_equal(panel.result.baseline, expected)


def test_stop_leaves_the_best_so_far(panel):
    panel.controls["steps"].value = ENDLESS
    at(panel, "baseline", lambda: panel.stop_button.click())
    panel.run_button.click()
    panel.wait()
    assert panel.status.value == "Stopped: the best so far."
    assert panel.panels["baseline"].value == png(panel.result.baseline)
    assert panel.result.samples is None and panel.panels["samples"].value == BLANK


def test_a_stop_in_the_last_stage_keeps_what_was_reached(panel, net):
    panel.start()
    panel.wait()

    def run(until):
        shown = []

        def watch(stage, done, images):
            if stage == "samples":
                shown.append(np.clip(images, 0, 1))
            return stage == "samples" and done >= until

        with viz.StatsStore(panel.path, "r") as store:
            found = compare_class(net, store, "face", "conv2", n=2, steps=60, prior_weight=0, watch=watch)
            target = store.model("face", "conv2").sample(2)
        assert all(any((image == then[i]).all() for then in shown) for i, image in enumerate(found.samples))
        return len(shown), np.sum((net.activations(found.samples, ["conv2"])["conv2"] - target) ** 2)

    # with the images at the end, which are shown again
    (first, at_first), (half, _), (_, at_last) = run(until=0), run(until=0.5), run(until=1)
    assert (first, half) == (2, 31) and at_first > at_last > 0


def test_pictures_come_while_the_run_goes_on(panel, monkeypatch):
    monkeypatch.setattr("vizlib.explorer.REFRESH", 0)
    panel.controls["steps"].value = 20
    seen = []
    panel.panels["samples"].observe(lambda change: seen.append(change.new), "value")
    panel.start()
    panel.wait()
    assert len({bytes(picture) for picture in seen}) >= 20  # one more if the last step was not the best
    assert seen[0] != BLANK and seen[-1] == png(panel.result.samples)


def test_a_second_run_replaces_the_first(panel):
    panel.controls["steps"].value = ENDLESS
    started = threading.Event()
    at(panel, "baseline", started.set)
    panel.run_button.click()
    assert started.wait(60)
    first = panel._thread
    panel.controls["steps"].value = 3
    panel.controls["class_name"].value = "fish"
    panel.run_button.click()
    assert not first.is_alive()
    panel.wait()
    assert panel.status.value == "Done." and panel.result.class_name == "fish"


def test_collecting_can_be_stopped_and_goes_on_with_the_next_run(panel, monkeypatch):
    monkeypatch.setattr("vizlib.explorer.REFRESH", 0)
    at(panel, "statistics", panel.stop, done=80)  # 32 of 40 images
    panel.start()
    panel.wait()
    assert panel.status.value.startswith("Stopped while collecting") and panel.result is None
    with viz.StatsStore(panel.path) as store:
        assert "conv2" not in store.collected("face")
    assert len(list(panel.path.parent.glob("*.face.partial/conv2/*.block"))) == 1  # of two blocks
    panel.start()
    panel.wait()
    assert panel.status.value == "Done." and panel.result.samples is not None


def test_an_error_is_told_in_the_panel_which_keeps_working(panel):
    whole, panel.source = panel.source, "no <such> folder"
    panel.run_button.click()
    panel.wait()
    assert panel.status.value.startswith("This run failed. expected")
    assert "no &lt;such&gt; folder" in panel.status.value and panel.bar.bar_style == "danger"
    panel.source = whole
    panel.run_button.click()
    panel.wait()
    assert panel.status.value == "Done." and not panel.bar.bar_style and panel.stop_button.disabled


def test_any_exception_is_told(panel, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("vizlib.explorer.simonyan", broken)
    panel.start()
    panel.wait()
    assert panel.status.value == "This run failed. ZeroDivisionError: division by zero"


def test_the_panel_is_what_a_notebook_shows(panel):
    bundle = panel._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.widget.model_id
    assert panel.controls["layer"].options == ("conv1", "conv2", "pool", "flatten", "predictions")


def test_settings_that_are_none_are_named(net, tiny_cnn, tmp_path):
    with pytest.raises(ValueError, match="expected settings out of class_name, .*; received 'stepz'"):
        Explorer(net, tmp_path / "s.h5", stepz=3)
    with pytest.raises(ValueError, match="expected a network that names its classes"):
        Explorer(viz.load_network(tiny_cnn), tmp_path / "s.h5")


def test_compare_class_needs_statistics(net, tmp_path):
    with viz.StatsStore(tmp_path / "s.h5") as store, pytest.raises(ValueError, match="received 'face'"):
        compare_class(net, store, "face", "conv2")
