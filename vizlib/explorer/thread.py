"""One job at a time, beside the notebook's own work."""

from collections.abc import Callable
from threading import Event, Thread


class Worker:
    """Runs jobs in a thread, so that whoever starts one need not wait; a new job replaces the one under way."""

    def __init__(self) -> None:
        self._thread, self._stopped = None, Event()

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
