"""Who may use a file: any number of readers together, one writer, and nobody waits for ever."""

import errno
import os
import socket
import time
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two programs apart
    fcntl = None

WAIT = 10  # seconds that a lock is waited for


def lock(file, kind, path):
    """Lock an open file as "LOCK_SH" (shared) or "LOCK_EX" (alone) until it is closed; TimeoutError after 10 s."""
    try:
        if fcntl:
            wait(lambda: fcntl.flock(file, getattr(fcntl, kind) | fcntl.LOCK_NB), path)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP):  # a file system without locks
            raise


def wait(attempt, path):
    """What `attempt()` returns, as soon as it raises no BlockingIOError; TimeoutError after 10 s, saying who writes."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            return attempt()
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                try:
                    who = _holder(path).read_text()
                except FileNotFoundError:
                    who = "a program that does not say who it is"
                raise TimeoutError(f"expected {path} to be free within {WAIT} s; received: in use by {who}.") from error
        time.sleep(0.01)


@contextmanager
def writer(path):
    """Be the only writer of `path` for the `with` block: hold PATH.lock, which names the process that writes."""
    while True:
        with open(_holder(path), "a+") as file:
            lock(file, "LOCK_EX", path)
            if fcntl and not _is_named(file, _holder(path)):
                continue  # who held it has removed it
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            try:
                yield
            finally:
                _holder(path).unlink(missing_ok=True)
            return


def _holder(path):
    return Path(f"{path}.lock")


def _is_named(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:  # not asked before: it can go between the question and the answer
        return False
