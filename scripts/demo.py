"""The whole path on the embedded network: notebook 9, executed, as a notebook, as a page and as one picture.

Everything goes into output/. Run it through `make demo`, which does the set-up.
"""

import sys
from pathlib import Path
from time import monotonic

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "09_explorer.ipynb"
OUTPUT = ROOT / "output"
LIMIT = 1200  # seconds for a cell


def main():
    OUTPUT.mkdir(exist_ok=True)
    executed, page, picture, log = (OUTPUT / f for f in ("demo.ipynb", "demo.html", "comparison.png", "demo.log"))
    for file in (executed, page, picture):
        file.unlink(missing_ok=True)  # what is there in the end is of this run
    print(f"Executing {NOTEBOOK.relative_to(ROOT)}: a few minutes on two cores.", flush=True)
    start = monotonic()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(NOTEBOOK.parent)}}
    try:
        with log.open("w") as kernel_log:
            client = NotebookClient(notebook, timeout=LIMIT, kernel_name="python3", resources=place)
            client.execute(stderr=kernel_log)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        sys.exit(f"The demo failed; what its kernel had to say is in {log}.\n{error}")
    nbformat.write(notebook, executed)
    page.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    if not picture.is_file():
        sys.exit(f"The demo failed: expected {NOTEBOOK.name} to draw {picture}; found none.")
    print(f"Done in {monotonic() - start:.0f} s.")
    print(f"  notebook   {executed}\n  HTML page  {page}\n  picture    {picture}")


if __name__ == "__main__":
    main()
