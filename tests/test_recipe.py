"""Recipes: a PNG carries what made its images, and they can be made again, to the last bit."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import vizlib as viz
from vizlib.images import save_image, to_uint8
from vizlib.synthesis import recipes

LAYER = "conv2"


@pytest.fixture
def net(tiny_cnn):
    return viz.load_network(tiny_cnn, classes=["face", "cat", "fish"])


@pytest.fixture
def store(net, tmp_path):
    store = viz.StatsStore(tmp_path / "stats", net)
    viz.collect(store, viz.load_images("partworld", "cat", 24, size=6), "cat", ["conv1", LAYER], progress=False)
    return store


def reconstructed(net, store, **options):
    options = {"steps": 6, "progress": False} | options
    targets = store.sample("cat", [LAYER], n=3, seed=5)
    return viz.reconstruct(net, targets, statistics=store.model("cat", "image"), prior_weight=0.5, seed=2, **options)


def methods(net, store):
    rest = {"n": 2, "steps": 8, "seed": 3, "progress": False}
    return {
        "simonyan": viz.simonyan(net, "cat", tuned=False, **rest),
        "olah": viz.olah(net, "fish", **rest),
        "maco": viz.maco(net, (LAYER, 1), store.activations("cat", "image"), **rest),
        "vital": viz.vital(store, "cat", **rest),
        "deep_inversion": viz.deep_inversion(store, "cat", **rest),
        "reconstruct": reconstructed(net, store),
        "suppress": viz.suppress(store, "cat", **rest),
        "chain": viz.chain(store, "cat", [LAYER, "conv1"], temperature=0.7, **rest),
        "walk": viz.walk(store, "cat", LAYER, component=1, **rest),
    }


def test_each_method_is_made_again_from_its_file(net, store, tmp_path, recwarn):
    for name, result in methods(net, store).items():
        path = tmp_path / f"{name}.png"
        result.save(path)
        made = viz.recipe(path)
        assert made == json.loads(json.dumps(result.provenance)) and made["method"] == name
        again = viz.rerun(path, net, store.path, progress=False)
        np.testing.assert_array_equal(again.images, result.images, err_msg=name)
        again.save(tmp_path / "again.png")
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(tmp_path / "again.png")))
        assert again.provenance == result.provenance
    assert not [w for w in recwarn if "last bit" in str(w.message)]


def test_a_file_shows_the_images_enlarged_by_whole_factors(net, store, tmp_path):
    result = reconstructed(net, store)
    result.save(tmp_path / "image.png")
    pixels = np.asarray(Image.open(tmp_path / "image.png"))
    zoom = pixels.shape[0] // 14  # two rows of 6 pixels and a gap
    np.testing.assert_array_equal(pixels[: 6 * zoom : zoom, : 6 * zoom : zoom], to_uint8(result.images[0]))


def test_a_recipe_says_what_decides(net, store):
    made = reconstructed(net, store).provenance
    draw = made["arguments"]["targets"]["draw"]
    assert draw == {
        "class_name": "cat", "layers": [LAYER], "n": 3, "seed": 5, "temperature": 1.0, "places": None, "among": None,
        "entries": {LAYER: store.entries("cat")[LAYER]},
    }  # fmt: skip
    assert made["arguments"]["statistics"]["entry"]["sha256"] == store.entries("cat")["image"]
    assert (made["arguments"]["steps"], made["arguments"]["seed"], made["stopped"]) == (6, 2, None)
    assert made["network"] == net.fingerprint and made["identity"] == net.identity
    assert {"vizlib", "keras", "numpy", "python", "machine", "backend"} <= set(made["versions"])


@pytest.mark.parametrize("method", ["reconstruct", "suppress", "chain"])
def test_what_was_stopped_is_stopped_again(net, store, method):
    calls, rest = [], {"n": 2, "steps": 8, "progress": False}

    def stop(step, images, losses):
        calls.append(step)
        return len(calls) >= 4

    if method == "reconstruct":
        result = reconstructed(net, store, callback=stop)
    elif method == "suppress":
        result = viz.suppress(store, "cat", callback=stop, **rest)
    else:
        result = viz.chain(store, "cat", [LAYER, "conv1"], callback=stop, **rest)
    assert result.provenance["stopped"] == 4
    again = viz.rerun(result.provenance, net, store, progress=False)
    np.testing.assert_array_equal(again.images, result.images)


def test_an_interrupt_counts_as_a_stop(net, store):
    def interrupt(step, images, losses):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted after 3 of 6 steps") as warned:
        result = reconstructed(net, store, callback=interrupt)
    assert [w.filename for w in warned if "interrupted" in str(w.message)] == [__file__]
    assert result.provenance["stopped"] == 3
    np.testing.assert_array_equal(viz.rerun(result.provenance, net, store, progress=False).images, result.images)


def test_what_a_method_chose_is_recorded(net, store):
    made = viz.suppress(store, "cat", n=1, steps=4, progress=False)
    assert made.provenance["arguments"]["layers"] == [LAYER]  # the last of the one resolution


def test_another_network_or_other_statistics_are_refused_with_what_differs(net, store, tiny_cnn, tmp_path):
    made = reconstructed(net, store).provenance
    with pytest.raises(ValueError, match="expected the network of the recipe, with image_size 6 and preprocessing"):
        viz.rerun(made)
    weights, own = tiny_cnn.get_weights(), net.identity["weights"]
    tiny_cnn.set_weights([2 * w for w in weights])
    other = viz.load_network(tiny_cnn, classes=["face", "cat", "fish"])
    with pytest.raises(ValueError, match=f"with weights {own[:12]}; received"):
        viz.rerun(made, other, store)
    tiny_cnn.set_weights(weights)
    with pytest.raises(ValueError, match="expected store="):
        viz.rerun(made, net)
    less = viz.StatsStore(tmp_path / "other", net)
    viz.collect(less, viz.load_images("partworld", "cat", 23, size=6), "cat", [LAYER], progress=False)
    mine = store.entries("cat")[LAYER][:12]
    with pytest.raises(ValueError, match=f"statistics of cat of the recipe, with {LAYER} {mine}; received"):
        viz.rerun(made, net, less)


def test_arrays_of_the_callers_own_are_asked_for_and_compared(net, store):
    targets = store.model("cat", LAYER).sample(2, seed=1)
    result = viz.reconstruct(net, targets, LAYER, steps=4, progress=False)
    with pytest.raises(ValueError, match="expected targets=…"):
        viz.rerun(result.provenance, net, store)
    with pytest.raises(ValueError, match="received others"):
        viz.rerun(result.provenance, net, store, targets=targets + 1)
    again = viz.rerun(result.provenance, net, progress=False, targets=targets)
    np.testing.assert_array_equal(again.images, result.images)


def test_images_that_the_store_does_not_keep_are_asked_for(net, store):
    images = viz.load_images("partworld", "fish", 4, size=6)
    made = viz.maco(net, "cat", images, n=1, steps=2, progress=False)
    with pytest.raises(ValueError, match="expected images=…"):
        viz.rerun(made.provenance, net, store)
    again = viz.rerun(made.provenance, net, store, progress=False, images=images)
    np.testing.assert_array_equal(again.images, made.images)


def test_images_that_differ_are_told_with_the_versions_that_do(net, store):
    made = viz.simonyan(net, "cat", n=1, steps=3, progress=False).provenance
    older = made | {"pixels": "0" * 64, "versions": made["versions"] | {"numpy": "1.0"}}
    with pytest.warns(UserWarning, match=f"numpy was '1.0' and is '{np.__version__}'; their"):
        viz.rerun(older, net, progress=False)
    with pytest.warns(UserWarning, match="no version differs"):
        viz.rerun(made | {"pixels": "0" * 64}, net, progress=False)


@pytest.mark.parametrize(("change", "within"), [(0, "within"), (20, "within"), (-32, "beyond")])
def test_on_a_gpu_a_tolerance_is_promised(net, monkeypatch, change, within):
    """Of the root mean square over cells: 20 / 255 is 0.078, 32 / 255 is 0.125."""
    monkeypatch.setattr(recipes, "on_gpu", lambda: True)
    made = viz.simonyan(net, "cat", n=2, steps=3, progress=False).provenance
    assert made["versions"]["machine"].endswith(", GPU")
    cells = np.frombuffer(bytes.fromhex(made["cells"]), "uint8").reshape(2, 8, 8, 3).astype(int)
    cells[1] += change  # one of the images; the worst counts
    made |= {"pixels": "0" * 64, "cells": cells.astype("uint8").tobytes().hex()}
    told = f"a GPU, on which bits differ; their colours are {abs(change) / 255:.3f} apart, {within} the tolerance"
    with pytest.warns(UserWarning, match=re.escape(told)):
        viz.rerun(made, net, progress=False)


def test_recipes_of_before_have_no_cells(net):
    made = viz.simonyan(net, "cat", n=1, steps=3, progress=False).provenance | {"pixels": "0" * 64}
    with pytest.raises(ValueError, match="expected the cells of a recipe in hexadecimal digits; received '0'"):
        viz.rerun(made | {"cells": "0"}, net)
    del made["cells"]
    with pytest.warns(UserWarning, match="the recipe does not tell"):
        viz.rerun(made, net, progress=False)


TEXTS = None, "{", "[]", "{}", '{"method": "eval"}', '{"method": []}', '{"method": "olah", "arguments": 3}', "[" * 10**5


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_files_without_a_recipe_are_refused(tmp_path, text):
    path = tmp_path / "image.png"
    save_image(path, np.zeros((4, 4, 3), "float32"), text and {"vizlib": text})
    with pytest.raises(ValueError, match="expected a (PNG that carries a |whole )?recipe"):
        viz.recipe(path)


@pytest.mark.parametrize("n", [1000, 2**19, 2**20 + 1])
def test_what_a_file_carries_is_read_again_and_zipped_where_it_can_be(n, tmp_path):
    text = "\u00e4" * n
    save_image(tmp_path / "long.png", np.zeros((4, 4, 3), "float32"), {"vizlib": text})
    assert Image.open(tmp_path / "long.png").text == {"vizlib": text}
    assert ((tmp_path / "long.png").stat().st_size < n) == (n <= 2**19)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "image.png"
    with pytest.raises(FileNotFoundError):
        viz.recipe(path)
    Image.new("RGB", (4, 4)).save(path, format="JPEG")
    with pytest.raises(ValueError, match="expected a PNG that carries a recipe of vizlib"):
        viz.recipe(path)
    save_image(path, np.zeros((40, 40, 3), "float32"), {"vizlib": "{}"})
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match="expected a PNG that carries a recipe of vizlib"):
        viz.recipe(path)


def test_arguments_that_no_method_has_are_refused(net):
    made = viz.simonyan(net, "cat", n=1, steps=2, progress=False).provenance
    with pytest.raises(ValueError, match="arguments of simonyan .*; received callback"):
        viz.rerun(made | {"arguments": made["arguments"] | {"callback": "print"}}, net)


def test_what_is_told_in_no_known_way_is_refused(net, store):
    """Found by fuzzing: it was a KeyError, a TypeError or an AttributeError."""
    made = reconstructed(net, store).provenance
    told = {"store": []}, {"entry": {"class_name": "cat"}}, {"entry": 3}, {"draw": {}}, {"a": 1, "b": 2}, {}
    told += ({"draw": {"class_name": "cat", "entries": {}, "more": 2}}, {"draw": {"class_name": {}, "entries": 1}})
    for value in told:
        with pytest.raises(ValueError, match="expected"):
            viz.rerun(made | {"arguments": made["arguments"] | {"targets": value}}, net, store)
    with pytest.raises(ValueError, match="expected a whole recipe"):
        viz.rerun(made | {"stopped": "soon"}, net, store)
