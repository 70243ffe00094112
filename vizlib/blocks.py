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
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.lib import format as npy

BLOCK = 32  # images in a file
CHECKSUM = 4  # bytes behind the array


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
                for part in (head, values.data, _checksum(values, zlib.crc32(head))):
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
        """The array of a block, read from disk when it is asked for; ValueError for whatever is wrong with the file."""
        rows = min(BLOCK, self.n_images - BLOCK * index)
        try:
            content = np.memmap(path, "uint8", "r")
            if bytes(content[-CHECKSUM:]) != _checksum(content[:-CHECKSUM]):
                raise ValueError("another checksum than that of its content")
            values = np.load(path, mmap_mode="r", allow_pickle=False)
            if len(values) != rows or values.dtype != "float32":
                raise ValueError(f"{values.dtype} {values.shape}, not float32 of {rows} rows")
        except (OSError, ValueError) as error:
            raise ValueError(f"expected a whole block of activations in {path}; received: {error}") from error
        return values

    def _path(self, layer, index):
        return self.folder / quoted(layer) / f"{index:06}.npy"


class ActivationReader:
    """float32 (n, ...) on disk: `X[rows]` and `X[rows, columns]` of slices of the first two axes are arrays."""

    dtype = np.dtype("float32")

    def __init__(self, blocks):
        self._blocks = blocks
        self.shape = (sum(map(len, blocks)), *blocks[0].shape[1:])
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
            result[low - first : high - first] = self._blocks[index][low - start : high - start, left:right]
        return result


def _checksum(content, before=0):
    return zlib.crc32(content, before).to_bytes(CHECKSUM, "little")


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
