"""One job at a time, beside the notebook's own work."""

from collections.abc import Callable
from threading import Event, Thread

from ipywidgets import Widget


def answer_beside_cells(widget: Widget) -> None:
    """Have a widget, and those in it, answer while a cell runs, where the notebook asks for it, as JupyterLab does.

    It sends what widgets are told to a thread of the kernel beside that of the cells. ipykernel 7.4 takes the one that
    the widget was last heard from in its place, which is that of the cells, unless the widget has no opinion.
    """
    widget.comm._reply_subshell_for = None
    for child in getattr(widget, "children", ()):
        answer_beside_cells(child)


class Worker:
    """Runs jobs in a thread, so that whoever starts one need not wait; a new job replaces the one under way."""

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._stopped = Event()

    def start(self, job: Callable[[Callable[[], bool]], None]) -> None:
        """Run `job(stopped)`, where `stopped()` says whether it is to end, when the job before it has ended."""
        self.stop()
        before, stopped = self._thread, Event()

        def run():
            if before:
                before.join()
            if not stopped.is_set():
                job(stopped.is_set)

        self._stopped, self._thread = stopped, Thread(target=run, name="vizlib explorer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the job to end."""
        self._stopped.set()

    def wait(self) -> None:
        """Return when no job is under way."""
        if self._thread:
            self._thread.join()
