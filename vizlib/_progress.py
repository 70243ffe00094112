"""Progress: a bar for who looks at a notebook or a terminal, lines for a log."""

import sys
from collections.abc import Iterable

from tqdm import tqdm

EVERY = 15  # seconds between two lines of a log: what is done sooner writes none


def progress_bar(
    iterable: Iterable | None = None,
    desc: str | None = None,
    total: int | None = None,
    unit: str = "step",
    **settings: object,
) -> tqdm:
    """A bar of tqdm, which takes the settings: of widgets where the cell of an open notebook is running, of characters
    in a terminal, and elsewhere (papermill, nbconvert, a file) a line now and then on standard error.
    """
    if _in_open_notebook():
        from tqdm.notebook import tqdm as kind
    else:
        kind = tqdm if sys.stderr.isatty() else _Lines
    return kind(iterable, desc, total, unit=unit, **settings)


def _in_open_notebook():
    """Whether the request that is being answered says of which cell it is, as those of JupyterLab, Notebook, VS Code
    and Colab do, and those of nbclient, through which papermill, nbconvert and Voilà run notebooks, do not.

    Nothing else tells the two apart: the kernel is the same, and its environment is inherited by what a cell starts.
    """
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return bool(getattr(get_ipython(), "parent_header", {}).get("metadata"))


class _Lines(tqdm):
    """A line now and then, and one at the end if there was one before."""

    shown = None  # how much was done when the last line was written

    def __init__(self, *args, **settings):
        settings |= {"delay": EVERY, "mininterval": EVERY, "miniters": 1, "leave": False}
        super().__init__(*args, **settings)
        done = "{n_fmt} of {total_fmt}, {elapsed} gone, {remaining} left" if self.total else "{n_fmt}, {elapsed} gone"
        self.bar_format = f"{{desc}}: {done}{{postfix}}"

    def display(self, *args, **kwargs):
        if self.n != self.shown:
            print(self, file=self.fp, flush=True)
        self.shown = self.n
