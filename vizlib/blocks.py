"""Activations of a class on disk, from the moment the network computed them until the statistics are fitted on them.

    FOLDER/origin.json        what they are of: the network, the images and how many
    FOLDER/LAYER/000000.npy   float32 (32, ...), of images 0 … 31 (the last may have fewer), then their CRC-32

A file is whole or not there, so a process may be killed at any moment, and what a power cut leaves is found out by its
checksum. Values are not packed: float32 before a ReLU is nearly noise to a packer. On the embedded network LZF saved
9 % of the room at eight times the time to write, which is three times what the network needs to compute them.
"""

import json
import os
import shutil
import zlib
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.lib import format as npy

BLOCK = 32  # images in a file
CHECKSUM = 4  # bytes behind the array
READ = 2**20  # bytes to read at a time


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
            values, head = np.ascontiguousarray(values, "float32"), BytesIO()
            npy.write_array_header_1_0(head, npy.header_data_from_array_1_0(values))
            head = head.getvalue()
            with _written(path) as file:
                for part in (head, values.data, zlib.crc32(values, zlib.crc32(head)).to_bytes(CHECKSUM, "little")):
                    file.write(part)

    def reader(self, layer):
        """The activations of all images as an array-like that reads from disk.

        Raises ValueError if a block is missing or damaged; the next call of `collect` redoes it.
        """
        paths = [self._path(layer, i) for i in range(-(-self.n_images // BLOCK))]
        found = sum(path.is_file() for path in paths)
        if found < len(paths):
            raise ValueError(f"expected {len(paths)} blocks of {layer!r} in {self.folder}; received {found}.")
        return ActivationReader([self._opened(path, i) for i, path in enumerate(paths)])

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
        with _written(self._record) as file:
            file.write(origin)

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
            self._opened(path, index)
        except ValueError:
            path.unlink()
            return False
        return True

    def _opened(self, path, index):
        """Where the values of a block begin in its file, and their shape; ValueError for whatever is wrong with it."""
        rows = min(BLOCK, self.n_images - BLOCK * index)
        try:
            with open(path, "rb") as file:
                checksum, size = 0, path.stat().st_size
                while file.tell() < size - CHECKSUM:
                    checksum = zlib.crc32(file.read(min(READ, size - CHECKSUM - file.tell())), checksum)
                if file.read() != checksum.to_bytes(CHECKSUM, "little"):
                    raise ValueError("another checksum than that of its content")
                file.seek(0)
                npy.read_magic(file)
                shape, fortran, dtype = npy.read_array_header_1_0(file)
                start = file.tell()
            if fortran or shape[0] != rows or dtype != "float32" or start + 4 * prod(shape) + CHECKSUM != size:
                raise ValueError(f"{dtype} {shape}, not float32 of {rows} rows")
        except (OSError, ValueError) as error:
            raise ValueError(f"expected a whole block of activations in {path}; received: {error}") from error
        return path, start, shape

    def _path(self, layer, index):
        return self.folder / quoted(layer) / f"{index:06}.npy"


class ActivationReader:
    """float32 (n, ...) on disk: `X[rows]` and `X[rows, columns]` of slices of the first two axes are arrays."""

    dtype = np.dtype("float32")

    def __init__(self, blocks):
        self._blocks = blocks  # (path, where its values begin, their shape)
        self.shape = (sum(shape[0] for _, _, shape in blocks), *blocks[0][2][1:])
        self.ndim = len(self.shape)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        first, end, _ = rows.indices(len(self))
        left, right, _ = columns.indices(self.shape[1])
        result = np.empty((max(end - first, 0), max(right - left, 0), *self.shape[2:]), self.dtype)
        stride = 4 * prod(self.shape[2:])
        for index in range(first // BLOCK, -(-end // BLOCK) if result.size else 0):
            path, start, _ = self._blocks[index]
            with open(path, "rb") as file:  # not mapped: the memory of a process would seem to hold all of it
                for row in range(max(first, BLOCK * index), min(end, BLOCK * (index + 1))):
                    file.seek(start + (row % BLOCK * self.shape[1] + left) * stride)
                    if file.readinto(memoryview(result[row - first]).cast("B")) != result[0].nbytes:
                        raise ValueError(f"expected a whole block of activations in {path}; received a shorter file.")
        return result


@contextmanager
def _written(path):
    """A file to write to, which gets its name when the `with` block ends well: it is whole or not there."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def quoted(name):
    """A name, also one with slashes or "..", as the name of a file; no two names share one."""
    return quote(name, safe="").replace(".", "%2E")
