"""The experiments' images: which photograph is for what; and their tables."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import worlds
from PIL import Image

import vizlib as viz
from vizlib.images import save_image


def test_no_photograph_serves_two_ends(monkeypatch, tmp_path):
    for split, n in (("train", 12), ("val", 60)):
        for i in range(n):
            folder = tmp_path / "imagenet/photos" / split / "church"
            folder.mkdir(parents=True, exist_ok=True)
            save_image(folder / f"{i:03}.png", np.full((8, 8, 3), i + 100 * (split == "train"), "uint8"))
    monkeypatch.setattr(worlds, "vgg16", lambda folder, size: None)
    world = worlds.photographs(tmp_path, 8)

    def found(n, which):
        return np.rint(world.images("church", n, which)[:, 0, 0, 0] * 255).astype(int).tolist()

    assert world.classes == ("church",) and world.title.format("realism") == "photo-realism-8"
    assert found(350, worlds.TRAINING) == [*range(100, 112)]
    assert found(8, worlds.HELD_OUT) == [*range(8)] and found(8, worlds.INVERTED) == [*range(8, 16)]
    assert found(96, worlds.REFERENCE) == [*range(16, 60)] and len(found(50, worlds.INVERTED)) == 50


def test_a_table_of_means_and_intervals(tmp_path):
    frame = pd.DataFrame({"accuracy": [0.5, np.nan], "accuracy_low": [0.25, np.nan], "accuracy_high": [1.0, np.nan],
                          "nearest_tenth": [0.1234, 0.2]}, index=["samples", "real images"])
    columns = {"recognised, %": ("accuracy", 100, 0), "tenth": ("nearest_tenth", 1, 2), "KID": ("kid", 1, 2)}
    lines = worlds.table(frame, columns).splitlines()
    assert lines[:3] == ["| images | recognised, % | tenth |", "|---|---|---|", "| samples | 50 (25–100) | 0.12 |"]
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x: written by `make x` -->\nold\n<!-- /x -->\nb\n")
    worlds.write("x", "new", page)
    assert page.read_text() == "a\n<!-- x: written by `make x` -->\nnew\n<!-- /x -->\nb\n"
    with pytest.raises(SystemExit, match="expected the marks"):
        worlds.write("y", "new", page)


@pytest.mark.parametrize(("public", "kind"), [(True, "png"), (False, "jpg")])
def test_a_figure_says_on_which_classes_settings_were_tried(tmp_path, monkeypatch, public, kind):
    headings, image_grid = [], viz.plots.image_grid
    monkeypatch.setattr(worlds, "DOCS", tmp_path)
    monkeypatch.setattr(viz.plots, "image_grid", lambda *of: headings.extend(of[1]) or image_grid(*of))
    net = SimpleNamespace(image_size=96)
    world = SimpleNamespace(classes=["french_horn", "golf_ball"], public=public, net=net)
    shown = worlds.figure(world, "x", {"samples": np.zeros((2, 96, 96, 3), "float32")}, "what it shows")
    assert shown == f"![what it shows](x.{kind})"
    assert headings == ["french_horn*", "golf_ball"]
    with Image.open(tmp_path / f"x.{kind}") as picture:
        assert picture.width > 2 * 96
