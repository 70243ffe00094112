"""HDF5 files of plain numbers and text, so that every damage shows, and reading those that anyone may have made.

Only plain numbers and text come out, from groups and datasets that lie in the file itself, have one name, and carry
checksums; nothing is unpickled and no other file is opened. Anything else is a ValueError.
"""

import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from vizlib._files import written
from vizlib._hdf5 import kind
from vizlib.images import Rows

T = TypeVar("T")

CHUNK_BYTES = 2**18
LIBVER = ("v110", "v110")  # the first HDF5 whose metadata all carry checksums


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to read, without a lock: it is never changed once it has its name.

    Whatever h5py raises on a damaged file in the `with` block becomes a ValueError that names the file.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        if getattr(error, "errno", None):  # of the system: no file, no right
            raise
        raise ValueError(f"expected an intact HDF5 file of statistics in {path}; received: {error}") from error


def write_file(path: Path, fill: Callable[[h5py.File], None]) -> None:
    """Write the HDF5 file that `fill(file)` makes: all of it, in the place of one that is there, or nothing.

    Raises OSError if the disk is full. An interrupt waits for the end.
    """
    with written(path) as part, ThreadPoolExecutor(1) as thread:  # threads but the main one are never interrupted
        thread.submit(_write, part, fill).result()


def _write(path, fill):
    with open(path, "w+b", buffering=0) as raw:
        disk = _Disk(raw)
        try:
            with h5py.File(disk, "w", driver="fileobj", libver=LIBVER) as file:
                fill(file)
        except BaseException:
            if disk.error:
                raise disk.error from None  # what HDF5 makes of it says less
            raise
        if disk.error:
            raise disk.error


class _Disk(io.RawIOBase):
    """A file for HDF5 to write to that never fails, as HDF5 cannot close one that does; `error`: what went wrong."""

    def __init__(self, raw):
        self.raw, self.error = raw, None

    def readinto(self, buffer):
        return self.raw.readinto(buffer)

    def write(self, buffer):
        view = memoryview(buffer)
        try:
            while view and not self.error:
                view = view[self.raw.write(view) :]
        except Exception as error:
            self.error = error
        return len(buffer)

    def truncate(self, size=None):
        try:
            self.raw.truncate(size)
        except Exception as error:
            self.error = self.error or error
        return size

    def seek(self, offset, whence=0):
        return self.raw.seek(offset, whence)

    def tell(self):
        return self.raw.tell()

    def flush(self):
        """Nothing: `written` brings the file to the disk."""


def damaged(item: h5py.HLObject, found: str) -> ValueError:
    return ValueError(f"expected intact statistics in {item.file.filename}; received, at {item.name}: {found}.")


def child(parent: h5py.Group, name: str, of: Any = h5py.Group) -> h5py.Group | h5py.Dataset:
    """The group or dataset of this name in a group."""
    link = parent.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise damaged(parent, f"{name!r} is {link!r}")
    item = parent[name]
    if not isinstance(item, of) or h5py.h5o.get_info(item.id).rc != 1:  # of two names, one may lie inside the other
        raise damaged(parent, f"{name!r} is {item!r}, of {h5py.h5o.get_info(item.id).rc} names")
    if isinstance(item, h5py.Dataset):
        _check_dataset(item)
    return item


def _check_dataset(dataset):
    pipeline = dataset.id.get_create_plist()
    filters = [pipeline.get_filter(i)[0] for i in range(pipeline.get_nfilters())]
    if kind(dataset) not in "biuf" or dataset.shape is None or dataset.external or dataset.is_virtual:
        raise damaged(dataset, f"type {kind(dataset)}, shape {dataset.shape}, files {dataset.external}")
    if filters != [h5py.h5z.FILTER_FLETCHER32] * bool(dataset.size):
        raise damaged(dataset, f"filters {filters} in place of checksums alone")
    stored = min(stored_bytes(dataset), dataset.file.id.get_filesize())
    if max(dataset.size, prod(dataset.chunks or ())) * dataset.dtype.itemsize > stored:
        raise damaged(dataset, f"a shape of {dataset.shape} in {stored} bytes")


def stored_bytes(item: h5py.HLObject) -> int:
    """How many bytes of the file the numbers of a dataset take."""
    return item.id.get_storage_size() if isinstance(item, h5py.Dataset) else 0


def attributes(item: h5py.HLObject) -> dict:
    """The attributes of a group, {name: str, number or array}."""
    return {name: _attribute(item, name) for name in item.attrs}


def attribute(item: h5py.HLObject, name: str, of: type[T]) -> T:
    """One attribute, which has to be of a type: str, int or bool."""
    value = _attribute(item, name) if name in item.attrs else None
    if type(value) is not of:
        raise damaged(item, f"its {name} is {value!r}")
    return value


def _attribute(item, name):
    raw = item.attrs.get_id(name)
    if kind(raw) not in "biufS" or raw.shape is None:
        raise damaged(item, f"attribute {name!r} of type {kind(raw)!r}, shape {raw.shape}")
    value = item.attrs[name]
    if value.ndim:
        return value
    return value.decode(errors="replace") if kind(raw) == "S" else value.item()


def write_attributes(item: h5py.HLObject, values: dict) -> None:
    """Set attributes: str, numbers or short arrays of them. Text has a fixed length, as HDF5 guards no other."""
    for name, value in values.items():
        if isinstance(value, str):
            value = np.array(value.encode() or b"\0")
        value = np.asarray(value)
        if value.dtype.kind not in "biufS":
            raise ValueError(f"expected text or numbers as {name!r}; received {value!r}.")
        item.attrs.create(name, value)


def read_state(group: h5py.Group) -> dict:
    """The state of an estimator: the attributes and datasets of its group."""
    return attributes(group) | {name: child(group, name, h5py.Dataset)[()] for name in group}


def sha256(state: dict) -> str:
    """The SHA-256 of the state of an estimator, {name: array or number}."""
    found = hashlib.sha256()
    for name, value in sorted(state.items()):
        value = np.ascontiguousarray(value)
        found.update(repr((name, value.shape, value.dtype.str)).encode() + value.tobytes())
    return found.hexdigest()


def write_state(group: h5py.Group, state: dict) -> None:
    """Write the state of an estimator: arrays become datasets, all else attributes."""
    for name, value in state.items():
        if isinstance(value, np.ndarray) and value.ndim:
            write_array(group, name, value)
        else:
            write_attributes(group, {name: value})


def write_array(group: h5py.Group, name: str, array: Rows) -> None:
    """Write what has a shape, a dtype and blocks of rows `array[a:b]` as a dataset, in chunks with checksums."""
    shape, dtype = array.shape, np.dtype(array.dtype)
    if dtype.kind not in "biuf":
        raise ValueError(f"expected numbers as {name!r}; received {dtype}.")
    if 0 in shape:
        group.create_dataset(name, shape, dtype)
        return
    rows = min(shape[0], max(1, CHUNK_BYTES // (prod(shape[1:]) * dtype.itemsize)))
    rows = -(-shape[0] // -(-shape[0] // rows))  # all of about one size, as the last takes as much room as the others
    dataset = group.create_dataset(name, shape, dtype, chunks=(rows, *shape[1:]), fletcher32=True)
    for start in range(0, shape[0], rows):
        dataset[start : start + rows] = array[start : start + rows]
