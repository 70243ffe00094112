"""The experiments' images: which photograph is for what; and their tables."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from vizlib.images import save_image


@pytest.fixture
def worlds(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import worlds

    return worlds


def test_no_photograph_serves_two_ends(worlds, monkeypatch, tmp_path):
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


def test_a_table_of_means_and_intervals(worlds, tmp_path):
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
    assert worlds.headings(["french_horn", "golf_ball"]) == ["french\nhorn*", "golf\nball"]
