"""Crash-safe transactions on an HDF5 file: at whatever byte one stops, the file opens and is the old or the new one.

New data goes to the end of the file, where nothing refers to it yet. The pages before the end that HDF5 changes wait in
memory. To commit, the file is brought to the disk, then the pages go to PATH.journal, which is there whole or not at
all, then into the file. A journal that a crash has left is written into the file again before anything else is done.

Readers hold a shared lock on the file itself, as HDF5 does on its own; a commit holds it alone while pages go into
the file, so that readers go on while a writer writes.
"""

import hashlib
import os
import signal
import struct
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import h5py

from vizlib.store.locks import lock, wait, writer

LIBVER = ("v110", "v110")  # the first HDF5 whose metadata all carry checksums
PAGE = 4096
MAGIC = b"vizlib journal 1"


@contextmanager
def reading(path):
    """The HDF5 file, open to read: for the `with` block no transaction takes effect.

    Raises OSError if HDF5 cannot open it, TimeoutError if it is locked for longer than 10 s.
    """
    while True:
        crashed = _journal(path).exists()
        try:
            file = wait(lambda: h5py.File(path, "r", locking="best-effort"), path)
            if not _journal(path).exists():
                break
            file.close()
        except OSError:  # as of a file with half of its journal in it
            if not crashed and not _journal(path).exists():
                raise
        with writer(path):
            _recover(path)
    with file:
        yield file


@contextmanager
def transaction(path):
    """The HDF5 file, open to write: all that the `with` block does takes effect when it ends well, else none of it.

    Raises OSError if HDF5 cannot open it or the disk is full, TimeoutError, which says who writes, if another does for
    longer than 10 s.
    """
    with writer(path):
        _recover(path)
        with _uninterrupted(), closing(JournaledFile(path)) as journaled:
            lock(journaled.file, "LOCK_SH", path)  # programs that use HDF5 alone see by it that the file is in use
            try:
                with h5py.File(path, "r+", driver="fileobj", fileobj=journaled, libver=LIBVER) as file:
                    yield file
                journaled.commit()
            except BaseException:
                journaled.rollback()
                if journaled.error:
                    raise journaled.error from None  # what HDF5 makes of it says less
                raise


@contextmanager
def replacement(path):
    """A new HDF5 file that takes the place of `path` when the `with` block ends well, and is not there before.

    No other writer is about meanwhile; readers go on with the old file. Errors as in `transaction`.
    """
    with writer(path):
        _recover(path)
        with _uninterrupted(), _whole(path) as partial:
            partial.touch()
            with closing(JournaledFile(partial)) as new:
                with h5py.File(partial, "w", driver="fileobj", fileobj=new, libver=LIBVER, track_order=True) as file:
                    yield file
                if new.error:
                    raise new.error


class JournaledFile:
    """A file for HDF5 to write to (h5py's driver "fileobj"), of which nothing counts before `commit`.

    `error`: what first went wrong in writing. It is raised by `commit` and not at once, as HDF5 cannot close a file
    that it cannot write to.
    """

    def __init__(self, path):
        self.path, self.error = path, None
        self.file = open(path, "r+b", buffering=0)  # noqa: SIM115 (closed by `close`)
        self._size = self._old_size = _hdf5_size(self.file)
        self._end = -(-self._old_size // PAGE) * PAGE  # where the pages end that are there already
        self._pages = {}  # number: bytearray
        self._position = 0

    def close(self):
        self.file.close()

    def seek(self, offset, whence=os.SEEK_SET):
        self._position = offset if whence == os.SEEK_SET else self._size + offset
        return self._position

    def tell(self):
        return self._position

    def flush(self):
        """Nothing: only a commit has to be on the disk."""

    def readinto(self, buffer):
        start, filled = self._position, 0
        self.file.seek(start)
        while filled < len(buffer) and (n := self.file.readinto(buffer[filled:])):
            filled += n
        buffer[filled:] = bytes(len(buffer) - filled)  # past its end a file is zeros to HDF5
        for page, inside, outside in _spans(start, start + len(buffer)):
            if page in self._pages:
                buffer[outside] = self._pages[page][inside]
        self._position += len(buffer)
        return len(buffer)

    def write(self, buffer):
        self._attempt(self._write, buffer)
        self._position += len(buffer)
        return len(buffer)

    def truncate(self, size):
        self._attempt(self.file.truncate, max(size, self._old_size))
        self._size = size

    def _attempt(self, function, argument):
        try:
            if not self.error:
                function(argument)
        except BaseException as error:
            self.error = error

    def _write(self, buffer):
        start = self._position
        aside = min(max(self._end - start, 0), len(buffer))
        for page, inside, outside in _spans(start, start + aside):
            if page not in self._pages:
                self.file.seek(page * PAGE)
                self._pages[page] = bytearray(self.file.read(PAGE).ljust(PAGE, b"\0"))
            self._pages[page][inside] = buffer[outside]
        self.file.seek(start + aside)
        _write_all(self.file, buffer[aside:])
        self._size = max(self._size, start + len(buffer))

    def commit(self):
        """Make what was written the content of the file."""
        if self.error:
            raise self.error
        pages = sorted(page for page in self._pages if page * PAGE < self._size)
        head = MAGIC + struct.pack(f"<{2 + len(pages)}Q", self._size, len(pages), *pages)
        content = head + b"".join(self._pages[page] for page in pages)
        os.fsync(self.file.fileno())
        lock(self.file, "LOCK_EX", self.path)  # first, as a reader that finds a journal takes it for a crash
        with _whole(_journal(self.path)) as partial, open(partial, "wb", buffering=0) as file:
            _write_all(file, content + hashlib.sha256(content).digest())
        _apply_journal(self.path, self.file)

    def rollback(self):
        """Leave the file as it was; but if there is a journal, the next to open the file completes the commit."""
        if not _journal(self.path).exists():
            self.file.truncate(self._old_size)


@contextmanager
def _uninterrupted():
    """Ctrl-C waits for the end of the `with` block: HDF5 calls Python to write, and an exception there can crash it."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    interrupts = []
    handler = signal.signal(signal.SIGINT, lambda *interrupt: interrupts.append(interrupt))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if interrupts and callable(handler):
        handler(*interrupts[0])


def _spans(start, stop):
    """The pages of the bytes from start to stop: number, slice of the page, and slice of those bytes."""
    for page in range(start // PAGE, -(-stop // PAGE)) if start < stop else ():
        low, high = max(start, page * PAGE), min(stop, (page + 1) * PAGE)
        yield page, slice(low - page * PAGE, high - page * PAGE), slice(low - start, high - start)


def _hdf5_size(file):
    """How much of the file HDF5 takes for its own: the rest is of a transaction that never ended."""
    head = file.read(36)
    size = file.seek(0, os.SEEK_END)
    if head[:8] == b"\x89HDF\r\n\x1a\n" and head[8:10] in (b"\x02\x08", b"\x03\x08"):  # versions of the superblock
        size = min(size, int.from_bytes(head[28:36], "little"))
    return size


def _recover(path):
    """Complete or remove what a crash has left; only a writer may."""
    of_no_file = () if os.path.exists(path) else (_journal(path),)
    for leftover in (_partial(path), _partial(_journal(path)), *of_no_file):
        leftover.unlink(missing_ok=True)
    if _journal(path).exists():
        with open(path, "r+b", buffering=0) as file:
            lock(file, "LOCK_EX", path)
            _apply_journal(path, file)


def _apply_journal(path, file):
    """Write the pages of the journal into the file, which can be done any number of times."""
    content = _journal(path).read_bytes()
    content, digest = content[:-32], content[-32:]
    if content.startswith(MAGIC) and hashlib.sha256(content).digest() == digest:
        size, n = struct.unpack_from("<2Q", content, len(MAGIC))
        pages = struct.unpack_from(f"<{n}Q", content, len(MAGIC) + 16)
        if size > (received := file.seek(0, os.SEEK_END)):
            raise ValueError(f"expected {path} to have the {size} bytes that its journal is for; received {received}.")
        for i, page in enumerate(pages):
            start = len(MAGIC) + 16 + 8 * n + PAGE * i
            file.seek(page * PAGE)
            _write_all(file, content[start : start + PAGE])
        file.truncate(size)
        os.fsync(file.fileno())
    _journal(path).unlink(missing_ok=True)


def _write_all(file, buffer):
    buffer = memoryview(buffer)
    while buffer:
        buffer = buffer[file.write(buffer) :]


@contextmanager
def _whole(path):
    """A name to write a file under that is renamed to `path` when it is whole and on the disk."""
    partial = _partial(path)
    try:
        yield partial
        with open(partial, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
        if os.name == "posix":  # the new name is on the disk when the folder is
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
    finally:
        partial.unlink(missing_ok=True)


def _partial(path):
    return Path(f"{path}.new")


def _journal(path):
    return Path(f"{path}.journal")
