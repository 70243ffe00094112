"""The notebooks: those that were committed, and the same executed from a clean kernel."""

import ast
import base64
import io
import re

import keras
import nbformat
import numpy as np
import papermill
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image

import vizlib as viz
from vizlib.images import save_image

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIGURES = {
    "01_gradients": 4,
    "02_statistics": 3,
    "03_sampling": 3,
    "04_reconstruction": 6,
    "05_suppression": 3,
    "06_chain": 4,
    "07_layers": 2,
    "08_realism": 4,
    "09_explorer": 1,
    "10_own_network": 2,
    "11_vgg16": 2,
    "12_shortcut": 4,
}
VGG16 = next(path for path in NOTEBOOKS if path.stem == "11_vgg16")
PARTWORLD = [path for path in NOTEBOOKS if path != VGG16]
TRAINED = "10_own_network", "12_shortcut"  # which train a network

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def check_outputs(notebook, figures):
    """All cells ran once, in order; nothing went wrong; there are figures, and none is blank."""
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == figures
    for picture in pictures:
        check_picture(io.BytesIO(base64.b64decode(picture)))


def check_picture(file):
    pixels = np.asarray(Image.open(file).convert("RGB"), "float32")
    assert min(pixels.shape[:2]) > 100
    assert pixels.std() > 20 and len(np.unique(pixels)) > 50


def test_the_notebooks_are_those_of_the_story_in_its_order():
    assert [path.stem for path in NOTEBOOKS] == list(FIGURES)


@every_notebook
def test_committed_notebook_is_whole_and_small(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    check_outputs(notebook, FIGURES[path.stem])
    assert path.stat().st_size < 1_000_000


@every_notebook
def test_committed_notebook_is_short_and_names_no_place(path):
    cells = code(nbformat.read(path, as_version=4))
    assert len(cells) <= 15
    assert max(len(cell.source.splitlines()) for cell in cells) <= 12
    assert str(ROOT) not in path.read_text(encoding="utf-8")


@every_notebook
def test_parameters_are_plain_values_in_the_first_code_cell(path):
    first, *others = code(nbformat.read(path, as_version=4))
    assert first.metadata.tags == ["parameters"]
    assert not any("parameters" in cell.metadata.get("tags", ()) for cell in others)
    values = {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(first.source).body}
    usual = ("vgg16", "imagenette") if path == VGG16 else ("mini", "partworld")
    assert (values["network"], values["source"]) == usual
    assert {"class_name", "own_layer" if path.stem in TRAINED else "layer"} <= set(values)


@every_notebook
def test_parameters_are_checked_before_the_work_begins(path):
    cells = [cell.source for cell in code(nbformat.read(path, as_version=4))]
    assert "viz.check_parameters(" in cells[1]


@pytest.fixture(scope="class")
def folder(tmp_path_factory):
    """Where the notebooks run: what they write goes into a folder `output` beside it."""
    folder = tmp_path_factory.mktemp("project") / "notebooks"
    folder.mkdir()
    return folder


class FromACleanKernel:
    def test_it_runs(self, path, folder):
        notebook = nbformat.read(path, as_version=4)
        for cell in code(notebook):
            cell.outputs, cell.execution_count = [], None
        place = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
        check_outputs(notebook, FIGURES[path.stem])
        page, _ = HTMLExporter().from_notebook_node(notebook)
        assert page.count("data:image/png;base64,") >= FIGURES[path.stem]
        if path.stem == "09_explorer":
            check_picture(folder.parent / "output" / "comparison.png")


# Two classes, for two processes.
@pytest.mark.parametrize("path", PARTWORLD[::2], ids=lambda path: path.stem)
class TestOddNotebooks(FromACleanKernel):
    pass


@pytest.mark.parametrize("path", PARTWORLD[1::2], ids=lambda path: path.stem)
class TestEvenNotebooks(FromACleanKernel):
    pass


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A network and pictures of one's own, with classes and layers of its own, as parameters of a notebook."""
    folder = tmp_path_factory.mktemp("own")
    names = {"apple": "face", "pear": "house", "plum": "clock"}
    for own, name in names.items():
        (folder / "pictures" / own).mkdir(parents=True)
        for i, picture in enumerate(viz.load_images("partworld", name, 30, size=32)):
            save_image(folder / "pictures" / own / f"{i}.png", picture)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(image)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="second")(keras.layers.MaxPooling2D()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(image, keras.layers.Dense(3, "softmax", name="answer")(x)).save(folder / "fruit.keras")
    (folder / "fruit.txt").write_text("\n".join(names))
    return {"network": str(folder / "fruit.keras"), "source": str(folder / "pictures")}


@pytest.mark.parametrize("name", ["01_gradients", "05_suppression", "08_realism"])
def test_it_runs_on_a_network_and_pictures_of_ones_own(name, own, folder):
    few = {} if name == "01_gradients" else {"n_images": 15, "steps": 2, "n": 2}
    path = ROOT / "notebooks" / f"{name}.ipynb"
    notebook = papermill.execute_notebook(path, None, own | few, cwd=folder, progress_bar=False)
    printed = "".join(output.get("text", "") for cell in code(notebook) for output in cell.outputs)
    assert "class_name = 'apple', as there is no 'face' here" in printed
    assert "others = ['pear'" in printed and "layer = 'second'" in printed


def test_vgg16_on_imagenette_runs_with_stand_ins(shared, folder, tmp_path, monkeypatch):
    from standins import environment

    for name, value in environment(shared, tmp_path).items():
        monkeypatch.setenv(name, value)
    few = {"size": 64, "n_images": 12, "steps": 2, "n": 2, "show_photographs": True}
    notebook = papermill.execute_notebook(VGG16, None, few, cwd=folder, progress_bar=False)
    check_outputs(notebook, FIGURES[VGG16.stem] + 2)
    text = "".join(o.data.get("text/plain", "") for x in code(notebook) for o in x.outputs if "data" in o)
    assert re.search(r"ok=True, text='church is recognised in 1[12] of 12 images \(0\.012 by chance\)\.'", text)
    assert re.search(r"ok=False, text='church is recognised in 0 of 12 images \(.*\), but in 1[12] ", text)


def test_committed_are_generated_images_and_no_photographs():
    """Every picture of notebook 11 is of a cell that shows what the library made."""
    cells = [x for x in code(nbformat.read(VGG16, as_version=4)) if any("image/png" in str(o) for o in x.outputs)]
    assert [x.source.splitlines()[-1].partition(",")[0] for x in cells] == [
        'viz.plots.image_grid({"samples": samples.images}', "viz.plots.image_grid(rows"
    ]  # fmt: skip
