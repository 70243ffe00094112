"""The notebooks: those that were committed, and the same executed from a clean kernel."""

import ast
import base64
import io

import nbformat
import numpy as np
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image

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
}

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
    assert min(pixels.shape[:2]) > 150
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
    assert values["network"] == "mini"
    assert {"class_name", "layer"} <= set(values)


@every_notebook
def test_parameters_are_checked_before_the_work_begins(path):
    cells = [cell.source for cell in code(nbformat.read(path, as_version=4))]
    own = path.stem == "10_own_network"  # where layers are those of a network that the notebook makes
    assert sum("viz.check_parameters(" in cell for cell in (cells if own else cells[1:2])) == 1


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
@pytest.mark.parametrize("path", NOTEBOOKS[::2], ids=lambda path: path.stem)
class TestOddNotebooks(FromACleanKernel):
    pass


@pytest.mark.parametrize("path", NOTEBOOKS[1::2], ids=lambda path: path.stem)
class TestEvenNotebooks(FromACleanKernel):
    pass
