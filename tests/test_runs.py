"""Sweeps of a notebook over classes and layers: what is executed, what is left, what the page of all runs shows."""

import base64
import io
import os
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
import runs
from conftest import ROOT
from PIL import Image

SETUP = """\
import base64, os, time
from pathlib import Path
from IPython.display import Image, display

with open("ran.txt", "a") as file:
    print(class_name, layer, n, file=file)
while Path("wait").exists():
    time.sleep(0.05)
if class_name == "bad":
    raise RuntimeError("<b>no</b> luck\\nat all")"""
FIGURES = """\
import io
import numpy as np
from PIL import Image as Picture

for colour in ("red", class_name):
    file = io.BytesIO()
    picture = Picture.new("RGB", (800, 400), colour)
    picture.paste("black", (0, 0, 400, 400))
    picture.save(file, "PNG")
    display(Image(file.getvalue()))"""


class Page(HTMLParser):
    """The cells of the table (links, images, text), the head cells, and every tag of a page."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.heads, self.tags, self.place = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "td":
            self.place = {"text": "", "links": [], "images": []}
            self.cells.append(self.place)
        elif tag == "th":
            self.place = {"text": ""}
            self.heads.append(self.place)
        elif tag in ("a", "img"):
            self.place["links" if tag == "a" else "images"].append(dict(attributes))

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.place = None

    def handle_data(self, text):
        if self.place is not None:
            self.place["text"] += text


@pytest.fixture
def notebook(tmp_path):
    cells = [nbformat.v4.new_code_cell(cell) for cell in ('class_name = "red"\nlayer = "a"\nn = 1', SETUP, FIGURES)]
    cells[0].metadata.tags = ["parameters"]
    whole = nbformat.v4.new_notebook(cells=cells)
    whole.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(whole, tmp_path / "notebooks" / "tiny.ipynb")
    return tmp_path / "notebooks" / "tiny.ipynb"


def arguments(notebook, classes, layers=("a",), *more):
    return [str(notebook), "--classes", *classes, "--layers", *layers, "--output", str(notebook.parents[1]), *more]


def ran(notebook):
    """What was executed since this was last asked: class, layers and n of each."""
    log = notebook.with_name("ran.txt")
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def thumbnail(image):
    head, data = image["src"].split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_each_class_and_layer_is_run_once_and_again_only_when_something_changed(notebook, monkeypatch):
    folder = notebook.parents[1] / "tiny"
    sweep = arguments(notebook, ["red", "blue"], ["a", "b/c"])
    runs.main(sweep)
    assert ran(notebook) == ["red a 1", "red b/c 1", "blue a 1", "blue b/c 1"]

    page = Page((folder / "index.html").read_text("utf-8"))
    assert [head["text"] for head in page.heads] == ["class", "a", "b/c", "red", "blue"]
    for cell, (name, layer) in zip(page.cells, [(c, x) for c in ("red", "blue") for x in ("a", "b/c")], strict=True):
        (image,), (link,) = cell["images"], cell["links"]
        assert image["alt"] == f"{name} at {layer}: the last figure of tiny"
        pixels = thumbnail(image)
        assert pixels.shape == (200, 400, 3) and (pixels[:, :190] == 0).all()
        assert (pixels[:, 210:] == {"red": (255, 0, 0), "blue": (0, 0, 255)}[name]).all()
        target = (folder / unquote(link["href"])).read_text("utf-8")
        assert target.count("data:image/png;base64,") >= 2
        assert re.search(r"\.jp-OutputArea-child \{\s*break-inside: avoid-page;", target)  # printing cuts no figure
        assert "@media print { pre { white-space: pre-wrap" in target.partition("</head>")[0]  # and no line of code
        assert cell["text"].strip().endswith(" s")
    assert not list(folder.rglob("*.part*"))

    runs.main(sweep)
    assert ran(notebook) == []
    runs.main([*sweep, "-p", "n", "2"])
    assert len(ran(notebook)) == 4
    assert "n = 2" in (folder / "index.html").read_text("utf-8")

    few = arguments(notebook, ["red"])
    runs.main(few)
    assert ran(notebook) == ["red a 1"]
    changed = nbformat.read(notebook, as_version=4)
    changed.cells[-1].outputs = [nbformat.v4.new_output("stream", text="an output is no source")]
    nbformat.write(changed, notebook)
    runs.main(few)
    assert ran(notebook) == []
    changed.cells[-1].source += "\npass"
    nbformat.write(changed, notebook)
    runs.main(few)
    assert len(ran(notebook)) == 1
    monkeypatch.setattr("vizlib.__version__", "9.9")
    runs.main(few)
    assert len(ran(notebook)) == 1
    assert "vizlib 9.9" in (folder / "index.html").read_text("utf-8")


def test_a_failed_run_is_shown_as_such_and_the_others_go_on(notebook, capsys):
    with pytest.raises(SystemExit) as stop:
        runs.main(arguments(notebook, ["bad", "green"]))
    assert stop.value.code == "1 of 2 runs failed."
    folder = notebook.parents[1] / "tiny"
    assert sorted(path.name for path in folder.rglob("*.ipynb")) == ["a.ipynb", "a.part.ipynb"]
    page = Page((folder / "index.html").read_text("utf-8"))
    assert "failed: RuntimeError: <b>no</b> luck" in page.cells[0]["text"] and "b" not in page.tags
    assert "at all" not in page.cells[0]["text"] and page.cells[0]["images"] == []
    assert "luck" in (folder / page.cells[0]["links"][0]["href"]).read_text("utf-8")
    assert "failed" not in page.cells[1]["text"] and len(page.cells[1]["images"]) == 1
    ran(notebook)
    with pytest.raises(SystemExit):
        runs.main(arguments(notebook, ["bad", "green"]))
    assert ran(notebook) == ["bad a 1"]


def test_a_killed_run_is_run_again(notebook):
    wait, folder = notebook.with_name("wait"), notebook.parents[1] / "tiny"
    runs.main(arguments(notebook, ["red"]))
    wait.touch()
    again = arguments(notebook, ["red"], ["a"], "-p", "n", "2")
    process = subprocess.Popen([sys.executable, ROOT / "scripts" / "runs.py", *again], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while ran(notebook) != ["red a 2"]:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert [path.name for path in folder.rglob("a.*")] == ["a.part.ipynb"]  # neither that of n = 1 nor a page
    wait.unlink()
    runs.main(again)
    assert ran(notebook) == ["red a 2"]
    assert sorted(path.name for path in folder.rglob("a.*")) == ["a.html", "a.ipynb"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["-p", "m", "2"], "expected parameters out of n; received 'm'."),
        (["-p", "layer", "b"], "expected parameters out of n; received 'layer'."),
    ],
)
def test_unknown_parameters_are_refused_before_anything_runs(notebook, capsys, more, message):
    with pytest.raises(SystemExit) as stop:
        runs.main(arguments(notebook, ["red"], ["a"], *more))
    assert stop.value.code == 2 and capsys.readouterr().err.endswith(f"error: {message}\n")
    assert ran(notebook) == [] and not (notebook.parents[1] / "tiny").exists()


def test_a_notebook_without_classes_or_layers_is_refused(notebook, capsys):
    whole = nbformat.read(notebook, as_version=4)
    whole.cells[0].source = 'class_name = "red"'
    nbformat.write(whole, notebook)
    with pytest.raises(SystemExit):
        runs.main(arguments(notebook, ["red"]))
    assert "expected a notebook with the parameter layer; " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        runs.main(arguments(notebook.with_name("none.ipynb"), ["red"]))
    assert "found no file" in capsys.readouterr().err


def gradients():
    (notebook,) = (ROOT / "notebooks").glob("*_gradients.ipynb")
    return notebook


@pytest.mark.parametrize(
    ("classes", "layers", "wrong"), [(["face", "dog"], ["block2_conv2"], "dog"), (["face"], ["block9"], "block9")]
)
def test_unknown_classes_and_layers_are_refused_before_anything_runs(tmp_path, capsys, classes, layers, wrong):
    command = [str(gradients()), "--classes", *classes, "--layers", *layers, "--output", str(tmp_path)]
    with pytest.raises(SystemExit) as stop:
        runs.main(command)
    assert stop.value.code == 2 and f"; received {wrong!r}." in capsys.readouterr().err
    assert not os.listdir(tmp_path)


def test_classes_that_only_the_notebook_chose_are_fitted_to_the_source(tmp_path):
    """Its cat, bird and clock are no classes of a folder of houses and cars."""
    for name in ("house", "car"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
    given = {"source": str(tmp_path / "pictures")}
    runs.check(gradients(), runs.plan(gradients(), ["house"], ["block2_conv2"], given, tmp_path))
    with pytest.raises(ValueError, match=r"\(car, house\); received 'face'"):
        runs.check(gradients(), runs.plan(gradients(), ["face"], ["block2_conv2"], given, tmp_path))


def test_a_notebook_of_the_story_runs_over_classes(tmp_path):
    (tmp_path / "notebooks").mkdir()
    copy = tmp_path / "notebooks" / "gradients.ipynb"
    copy.write_bytes(gradients().read_bytes())
    given = ["-p", "others", "['cat']", "--output", str(tmp_path / "runs")]
    runs.main([str(copy), "--classes", "face", "house", "--layers", "block2_conv2", *given])
    page = Page((tmp_path / "runs" / "gradients" / "index.html").read_text("utf-8"))
    face, house = (thumbnail(cell["images"][0]) for cell in page.cells)
    assert face.std() > 20 and house.std() > 20
    assert not np.array_equal(face, house)
    assert not any("failed" in cell["text"] for cell in page.cells)
