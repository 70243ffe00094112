"""Execute notebooks in place: `notebooks.py [NOTEBOOK …]`, all of them by default.

A notebook that fails stays as it was. What libraries write to the kernel's standard error behind Python's back, such as
TensorFlow's notes on the processor, goes to the terminal and not into the notebook. In place of what notebook 11
downloads there are stand-ins made of ../shared, if that is there, see `standins`. Run it through `make notebooks`.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import nbformat
import standins
from nbclient import NotebookClient

from vizlib._files import written

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("VIZLIB_SHARED", ROOT.parent / "shared"))
LIMIT = 3600  # seconds for a cell


def execute(path, environment):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)
    place = {"metadata": {"path": str(path.parent)}}
    quiet = ["--IPKernelApp.capture_fd_output=False"]
    client = NotebookClient(
        notebook, timeout=LIMIT, kernel_name="python3", resources=place, record_timing=False, extra_arguments=quiet
    )
    client.execute(env=os.environ | environment)
    with written(path) as part:
        nbformat.write(notebook, part)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted((ROOT / "notebooks").glob("*.ipynb")):
        begun = monotonic()
        with TemporaryDirectory() as folder:
            downloads = path.stem == "11_vgg16" and SHARED.is_dir()
            execute(path.resolve(), standins.environment(SHARED, Path(folder)) if downloads else {})
        print(f"{path.name}: {monotonic() - begun:.0f} s", flush=True)
