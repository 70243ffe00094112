"""A notebook executed once for each class and layer, and one page that shows all of these runs.

What the notebook calls `class_name` and `layer` is set for each run.
OUTPUT/NOTEBOOK/CLASS/LAYER.ipynb is the executed notebook, .html beside it the same as a page, and
OUTPUT/NOTEBOOK/index.html shows all runs. A run is done when its .ipynb is there, and is not done again while notebook,
parameters and version of vizlib are the same. One that fails leaves LAYER.part.ipynb, and the others go on.
Run it through `make runs`, which does the set-up, or see `scripts/runs.py --help`.
"""

import argparse
import ast
import contextlib
import hashlib
import json
import os
import sys
from itertools import product
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillExecutionError
from runs_page import Outcome, index_page, thumbnail

import vizlib as viz
from vizlib.explorer.parameters import check_names, fitted

# On paper, nbconvert's own style cuts no figure in two, but long lines of code at the margin.
PRINT = "<style>@media print { pre { white-space: pre-wrap !important; overflow-wrap: anywhere; } }</style>"
SWEPT = "class_name", "layer"
OUTPUT = Path(__file__).resolve().parent.parent / "output" / "runs"


class Run(NamedTuple):
    """One execution: `executed` is the notebook that it leaves."""

    class_name: str
    layer: str
    parameters: dict
    executed: Path

    @property
    def partial(self):
        return self.executed.with_name(f"{self.executed.stem}.part.ipynb")

    @property
    def page(self):
        return self.executed.with_suffix(".html")


def plan(notebook, classes, layers, given, folder):
    """The `Run` of each class and layer. Raises ValueError for parameters that the notebook does not have."""
    declared = papermill.inspect_notebook(str(notebook))
    if lacking := [name for name in SWEPT if name not in declared]:
        raise ValueError(f"expected a notebook with the parameter {' and '.join(lacking)}; {notebook} has none.")
    free = [name for name in declared if name not in SWEPT]
    if wrong := [repr(name) for name in given if name not in free]:
        raise ValueError(f"expected parameters out of {', '.join(free)}; received {', '.join(wrong)}.")
    runs = []
    for names in product(dict.fromkeys(classes), dict.fromkeys(layers)):
        place = Path(*(quote(name, safe="") for name in names))  # a layer base/conv is a file, in no folder base
        runs.append(Run(*names, given | dict(zip(SWEPT, names, strict=True)), folder / f"{place}.ipynb"))
    return runs


def check(notebook, runs):
    """Raise ValueError for classes and layers that the notebook's source and network, if it has those, do not have."""
    values = {}
    for name, parameter in papermill.inspect_notebook(str(notebook)).items():
        with contextlib.suppress(ValueError, SyntaxError):  # no plain value, which need not be known here
            values[name] = ast.literal_eval(parameter["default"])
    values.update(runs[0].parameters)
    if "network" in values and "source" in values:
        with contextlib.chdir(notebook.parent):  # where its paths start from
            net = viz.load_network(values["network"], size=values.get("size"))
            values |= fitted(values, net, values["source"], runs[0].parameters)
            for run in runs:
                check_names({**values, **run.parameters}, net, values["source"])


def depends_on(notebook, run):
    """What a run depends on, as JSON gives it back."""
    cells = [(cell.cell_type, cell.source) for cell in nbformat.read(notebook, as_version=4).cells]
    source = hashlib.sha256(json.dumps(cells).encode()).hexdigest()
    return json.loads(json.dumps({"notebook": source, "parameters": run.parameters, "version": viz.__version__}))


def is_done(notebook, run):
    if not run.executed.is_file():
        return False
    return nbformat.read(run.executed, as_version=4).metadata.vizlib == depends_on(notebook, run)


def execute(notebook, run):
    """Execute a run: the error, or None. Only if all went well is the notebook there under its own name in the end."""
    for file in (run.executed, run.page, run.partial):
        file.unlink(missing_ok=True)
    run.executed.parent.mkdir(parents=True, exist_ok=True)
    key, failure = depends_on(notebook, run), None
    try:
        papermill.execute_notebook(notebook, run.partial, run.parameters, cwd=notebook.parent, progress_bar=False)
    except PapermillExecutionError as error:
        failure = f"{error.ename}: {error.evalue}"
    except DeadKernelError as error:
        failure = str(error)
    done = nbformat.read(run.partial, as_version=4)
    page, _ = HTMLExporter().from_notebook_node(done)
    run.page.write_text(page.replace("</head>", f"{PRINT}</head>", 1), "utf-8")
    if failure is None:
        done.metadata.vizlib = key
        nbformat.write(done, run.partial)
        os.replace(run.partial, run.executed)
    return failure


def sweep(notebook, runs, given, folder):
    """Do what is still to be done, and write the page of all runs after each: how many failed."""
    outcomes = {}
    for run in runs:
        label, failure, new = f"{run.class_name}, {run.layer}", None, not is_done(notebook, run)
        if new:
            failure = execute(notebook, run)
        print(f"{label}: failed: {failure}" if failure else f"{label}: {'done' if new else 'was done'}", flush=True)
        done = nbformat.read(run.partial if failure else run.executed, as_version=4)
        link, seconds = quote(run.page.relative_to(folder).as_posix()), done.metadata.papermill.get("duration")
        outcomes[run.class_name, run.layer] = Outcome(link, thumbnail(done), seconds, failure)
        page = folder / "index.part.html"
        page.write_text(index_page(notebook.stem, [run[:2] for run in runs], outcomes, given, viz.__version__), "utf-8")
        os.replace(page, folder / "index.html")
    return sum(outcome.failure is not None for outcome in outcomes.values())


def value(text):
    """A parameter as it is written in Python, or else as a string."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Execute a notebook once for each class and layer.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--classes", nargs="+", required=True, help="names of classes")
    parser.add_argument("--layers", nargs="+", required=True, help="names of layers")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                        help="another parameter of the notebook, as papermill takes it; lists as in Python")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder (output/runs)")
    options = parser.parse_args(arguments)
    notebook, given = options.notebook.resolve(), {name: value(text) for name, text in options.p}
    folder = options.output.resolve() / notebook.stem
    try:
        if not notebook.is_file():
            raise FileNotFoundError(f"expected the file of a notebook; found no file {options.notebook}.")
        runs = plan(notebook, options.classes, options.layers, given, folder)
        if not all(is_done(notebook, run) for run in runs):
            check(notebook, runs)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    failed = sweep(notebook, runs, given, folder)
    print(f"All runs: {folder / 'index.html'}")
    if failed:
        sys.exit(f"{failed} of {len(runs)} runs failed.")


if __name__ == "__main__":
    main()
