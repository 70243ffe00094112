"""Activations of a class on disk, from the moment the network computed them until the statistics are fitted on them.

    FOLDER/origin.json        what they are of: the network, the images and how many
    FOLDER/LAYER/000000.h5    "activations", float32 (32, ...), of the images 0 … 31; the last file may have fewer

A file is whole or not there, so a process may be killed at any moment. Values are in chunks with checksums
(Fletcher-32), and not packed: float32 before a ReLU is nearly noise to a packer. On the embedded network LZF saved
9 % of the room at eight times the time to write, which is three times what the network needs to compute them.
"""

import json
import os
import shutil
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from urllib.parse import quote

import h5py
import numpy as np

BLOCK = 32  # images in a file
CHUNK_BYTES = 2**18  # the unit of reading: an estimator asks for a few of the first feature axis of all images


class ActivationBlocks:
    """A folder of activations that comes and goes with `collect`.

    folder: its path. origin: {name: text or number} that tells these activations from all others; "n_images" is the
    number of images. Nothing is read or written before a method is called.
    """

    def __init__(self, folder, origin):
        self.folder = Path(folder)
        self.origin = origin
        self.n_images = origin["n_images"]
        self._record = self.folder / "origin.json"

    def missing(self, layers):
        """The numbers of the blocks that some of the layers lack, ascending.

        Of what an earlier process left, blocks of another origin and damaged ones are removed: all values are read
        once. Raises ValueError, and touches nothing, if the folder holds something else.
        """
        self._claim()
        indices = range(-(-self.n_images // BLOCK))
        return [i for i in indices if not all([self._is_whole(layer, i) for layer in layers])]

    def write(self, index, activations):
        """Write block number `index`: {layer: float array (rows, ...)}, a layer is whole or, on an error, not there."""
        for layer, values in activations.items():
            path = self._path(layer, index)
            path.parent.mkdir(exist_ok=True)
            _write(path, _packed(np.asarray(values, "float32")))

    def reader(self, layer):
        """The activations of all images as an array-like that reads from disk; ValueError if a block is missing."""
        paths = [self._path(layer, i) for i in range(-(-self.n_images // BLOCK))]
        found = sum(path.is_file() for path in paths)
        if found < len(paths):
            raise ValueError(f"expected {len(paths)} blocks of {layer!r} in {self.folder}; received {found}.")
        return ActivationReader(paths, self.n_images)

    def remove(self, layer=None):
        """Remove the blocks of a layer, or all there is."""
        if layer is None:
            if self._record.is_file():
                self._clear()
                self._record.unlink()  # last, so that what a kill leaves is known to be ours
                self.folder.rmdir()
        elif (folder := self.folder / quoted(layer)).is_dir():
            shutil.rmtree(folder)

    def _claim(self):
        """Make sure of a folder of this origin. One of another is of no use: its images or network are gone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        origin = json.dumps(self.origin, indent=1).encode()
        if self._record.is_file():
            if self._record.read_bytes() == origin:
                return
            self._clear()
        elif any(child.suffix != ".part" for child in self.folder.iterdir()):
            raise ValueError(f"expected a folder of activations; received {self.folder} without origin.json.")
        _write(self._record, origin)

    def _clear(self):
        for child in self.folder.iterdir():
            if child.is_dir():
                shutil.rmtree(child)
            elif child.suffix == ".part":
                child.unlink()

    def _is_whole(self, layer, index):
        path = self._path(layer, index)
        if not path.is_file():
            return False
        try:
            with _opened(path, min(BLOCK, self.n_images - BLOCK * index)) as values:
                values[...]
        except ValueError:
            path.unlink()
            return False
        return True

    def _path(self, layer, index):
        return self.folder / quoted(layer) / f"{index:06}.h5"


class ActivationReader:
    """float32 (n, ...) on disk: `X[rows]` and `X[rows, columns]` of slices of the first two axes are arrays.

    Raises ValueError for a damaged file; the next call of `collect` redoes it.
    """

    dtype = np.dtype("float32")

    def __init__(self, paths, n):
        self._paths = paths
        with _opened(paths[0], min(n, BLOCK)) as values:
            self.shape = (n, *values.shape[1:])
        self.ndim = len(self.shape)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        first, end, _ = rows.indices(len(self))
        left, right, _ = columns.indices(self.shape[1])
        result = np.empty((max(end - first, 0), max(right - left, 0), *self.shape[2:]), self.dtype)
        for index in range(first // BLOCK, -(-end // BLOCK) if result.size else 0):
            start = BLOCK * index
            low, high = max(first, start), min(end, start + BLOCK, len(self))
            with _opened(self._paths[index], min(BLOCK, len(self) - start)) as values:
                result[low - first : high - first] = values[low - start : high - start, left:right]
        return result


@contextmanager
def _opened(path, rows):
    """The dataset of a block; whatever is wrong with it, now or when it is read, is a ValueError."""
    try:
        with h5py.File(path) as file:
            values = file["activations"]
            if len(values) != rows or values.dtype != "float32" or values.id.get_storage_size() < values.nbytes:
                raise ValueError(f"expected {rows} rows of float32 in {path}; received {values}.")
            yield values
    except (AttributeError, KeyError, OSError, RuntimeError) as error:
        raise ValueError(f"expected a whole block of activations in {path}; received: {error}") from error


def _packed(values):
    """An HDF5 file of the values of a block, in memory: HDF5 brings the process down when its disk is full."""
    width = max(1, CHUNK_BYTES // (len(values) * prod(values.shape[2:]) * values.itemsize))
    chunks = (len(values), min(width, values.shape[1]), *values.shape[2:])
    packed = BytesIO()
    with h5py.File(packed, "w") as file:
        file.create_dataset("activations", data=values, chunks=chunks, fletcher32=True)
    return packed.getbuffer()


def _write(path, data):
    """Write a file: it is whole and on the disk when it gets its name."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def quoted(name):
    """A name, also one with slashes or "..", as the name of a file; no two names share one."""
    return quote(name, safe="").replace(".", "%2E")
