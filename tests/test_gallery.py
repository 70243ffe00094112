"""The gallery: its pages say what its images say, and its images are what its code makes."""

import re
import warnings

import gallery
import numpy as np
from conftest import ROOT
from PIL import Image

import vizlib as viz

FOLDER = ROOT / "docs" / "gallery"


def difference(result, name, tmp_path):
    """The mean absolute difference in [0, 1] of a result to an image of the gallery."""
    result.save(tmp_path / "again.png")
    again, kept = (np.asarray(Image.open(path), "float32") for path in (tmp_path / "again.png", FOLDER / f"{name}.png"))
    return np.abs(again - kept).mean() / 255


def test_the_pages_say_what_the_images_say(monkeypatch):
    written = {}
    monkeypatch.setattr(gallery, "write", lambda name, text, path: written.update({path: text}))
    gallery.write_pages()
    assert len(written) == 2
    for path, text in written.items():
        assert f"-->\n{text}\n<!-- /gallery -->" in path.read_text("utf-8"), path


def test_every_image_is_shown_with_a_link_to_its_recipe_and_all_are_small():
    page, recipes = ((FOLDER / name).read_text("utf-8") for name in ("README.md", "recipes.md"))
    shown = re.findall(r"\[!\[.*?\]\((.*?)\.png\)\]\(recipes\.md#(.*?)\)", page)
    assert all(image == anchor and f"\n## {anchor}\n" in recipes for image, anchor in shown)
    assert sorted(f"{image}.png" for image, _ in shown) == sorted(path.name for path in FOLDER.glob("*.png"))
    assert {f"samples-{name}" for name in viz.partworld.CLASSES} < {image for image, _ in shown}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1e6


def test_a_sample_is_made_again_by_its_code(tmp_path):
    """To the last bit on the machine that made it; 0.005 apart with other instructions of the processor."""
    result = gallery.samples(gallery.statistics(["face"], tmp_path / "stats"), "face")
    assert difference(result, "samples-face", tmp_path) < 0.02
    assert difference(result, "samples-cat", tmp_path) > 0.1


def test_a_baseline_is_made_again_by_its_recipe(mini, tmp_path):
    """To the last bit on the machine that made it; 0.02 apart with other instructions of the processor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = viz.rerun(FOLDER / "simonyan-face.png", mini, progress=False)
    assert difference(result, "simonyan-face", tmp_path) < 0.05
    assert difference(result, "simonyan-cat", tmp_path) > 0.1
