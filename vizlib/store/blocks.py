"""Activations of a class on disk, from the moment the network computed them until the statistics are fitted on them.

    FOLDER/origin.json          what they are of: the network, the images and how many
    FOLDER/LAYER/000000.block   of images 0 … 31 (the last may have fewer)

A block is a line of JSON with the shape of its values, then float32 values packed by Blosc (LZ4 over shuffled bits), in
chunks of some rows of the first feature axis, so that a fit reads columns of all images; then the CRC-32 of it all. It
is whole or not there, so a process may be killed at any moment, and its checksum finds out what a power cut leaves.
"""

import json
import os
import shutil
import zlib
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numcodecs.blosc import Blosc

BLOCK = 32  # images in a file
CHUNK = 2**18  # bytes, about, that are packed together
CHECKSUM = 4  # bytes behind the values
READ = 2**20  # bytes to read at a time
PACKED = Blosc("lz4", clevel=1, shuffle=Blosc.BITSHUFFLE)  # as fast as a disk; denser ones take longer than a network


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
            values = np.asarray(values, "float32")
            step = max(1, CHUNK * values.shape[1] // values.nbytes)
            starts = range(0, values.shape[1], step)
            chunks = [PACKED.encode(np.ascontiguousarray(values[:, start : start + step])) for start in starts]
            head = {"shape": values.shape, "step": step, "bytes": [len(chunk) for chunk in chunks]}
            checksum = 0
            with _written(path) as file:
                for part in (json.dumps(head).encode() + b"\n", *chunks):
                    checksum = zlib.crc32(part, checksum)
                    file.write(part)
                file.write(checksum.to_bytes(CHECKSUM, "little"))

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
        """The (path, shape, step, offsets) of a whole block; ValueError for whatever is wrong with it."""
        rows = min(BLOCK, self.n_images - BLOCK * index)
        try:
            with open(path, "rb") as file:
                checksum, size = 0, path.stat().st_size
                while file.tell() < size - CHECKSUM:
                    checksum = zlib.crc32(file.read(min(READ, size - CHECKSUM - file.tell())), checksum)
                if file.read() != checksum.to_bytes(CHECKSUM, "little"):
                    raise ValueError("another checksum than that of its content")
                file.seek(0)
                head = json.loads(file.readline(READ))
                shape, step, lengths = (head[name] for name in ("shape", "step", "bytes"))
                offsets = np.cumsum([file.tell(), *lengths])
            if shape[0] != rows or len(lengths) != -(-shape[1] // step) or offsets[-1] + CHECKSUM != size:
                raise ValueError(f"{len(lengths)} chunks of {step} of {shape}, {size} bytes in all, for {rows} rows")
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ValueError(f"expected a whole block of activations in {path}; received: {error}") from error
        return path, tuple(shape), step, offsets

    def _path(self, layer, index):
        return self.folder / quoted(layer) / f"{index:06}.block"


class ActivationReader:
    """float32 (n, ...) on disk: `X[rows]` and `X[rows, columns]` of slices of the first two axes are arrays."""

    dtype = np.dtype("float32")

    def __init__(self, blocks):
        self._blocks = blocks  # (path, shape, how many of its second axis lie in a chunk, where chunks begin and end)
        self.shape = (sum(shape[0] for _, shape, _, _ in blocks), *blocks[0][1][1:])
        self.ndim = len(self.shape)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        first, end, _ = rows.indices(len(self))
        left, right, _ = columns.indices(self.shape[1])
        result = np.empty((max(end - first, 0), max(right - left, 0), *self.shape[2:]), self.dtype)
        for index in range(first // BLOCK, -(-end // BLOCK) if result.size else 0):
            path, shape, step, offsets = self._blocks[index]
            top = BLOCK * index
            inside = slice(max(first - top, 0), end - top)
            with open(path, "rb") as file:  # not mapped: the memory of a process would seem to hold all of it
                for chunk in range(left // step, -(-right // step)):
                    start, stop = chunk * step, min((chunk + 1) * step, shape[1])
                    values = np.empty((shape[0], stop - start, *shape[2:]), self.dtype)
                    file.seek(offsets[chunk])
                    packed = file.read(offsets[chunk + 1] - offsets[chunk])
                    if len(packed) < offsets[chunk + 1] - offsets[chunk]:
                        raise ValueError(f"expected a whole block of activations in {path}; received a shorter file.")
                    PACKED.decode(packed, values)
                    values = values[inside, max(left - start, 0) : right - start]
                    at = max(start - left, 0)
                    result[max(top - first, 0) :][: len(values), at : at + values.shape[1]] = values
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
