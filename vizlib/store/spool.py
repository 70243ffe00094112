"""Activations of a class from the moment the network computed them until the statistics are fitted on them.

The first of them wait in memory, the others on disk:

    FOLDER/origin.json          what they are of: the network, the images, how many, and in blocks of how many
    FOLDER/LAYER/000000.block   of the images of the first block, float32, then the CRC-32 of it all

A block is whole or not there, so that a process may be killed at any moment; its checksum finds out what a power cut
leaves. An interrupt that can be caught brings to the disk what is in memory.
"""

import json
import shutil
import zlib
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Self

import numpy as np

from vizlib._files import quoted, written

MEMORY = 840_000_000  # bytes of activations that wait in memory
CHECKSUM = 4  # bytes behind the values


class Spool:
    """A folder of activations that comes and goes with `collect`.

    origin: {name: text or number} that tells these activations from all others, "n_images" and "step", the images of a
    block, among them. shapes: {layer: shape of one activation}. As a context: on an error what waits in memory is
    written, so that another process can go on from there.
    """

    def __init__(self, folder: Path, origin: dict, shapes: dict[str, tuple[int, ...]]):
        self.folder, self.origin, self.shapes = folder, origin, shapes
        self.n_images, self.step = origin["n_images"], origin["step"]
        self._memory, self._used = {}, 0

    def __enter__(self) -> Self:
        """Of what an earlier process left, blocks of another origin are removed."""
        origin = json.dumps(self.origin, sort_keys=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.folder / "origin.json"
        if not record.is_file() or record.read_text() != origin:
            self.remove()
            self.folder.mkdir(exist_ok=True)
            with written(record) as part:
                part.write_text(origin)
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            return
        with suppress(OSError):  # a full disk: the next process computes them again
            for (layer, index), values in self._memory.items():
                self._write(layer, index, values)

    def remove(self):
        """Remove all of it."""
        self._memory, self._used = {}, 0
        shutil.rmtree(self.folder, ignore_errors=True)

    def rows(self, index: int) -> slice:
        """The images of a block."""
        return slice(index * self.step, min((index + 1) * self.step, self.n_images))

    def missing(self) -> list[int]:
        """The numbers of the blocks that some of the layers lack, ascending; damaged ones are removed."""
        indices = range(-(-self.n_images // self.step))
        return [i for i in indices if not all([self._is_whole(layer, i) for layer in self.shapes])]

    def put(self, index: int, activations: dict[str, np.ndarray]):
        """Take the activations of a block: {layer: float32 (rows, ...)}."""
        for layer, values in activations.items():
            if self._used + values.nbytes <= MEMORY:
                self._memory[layer, index] = values
                self._used += values.nbytes
            else:
                self._write(layer, index, values)

    def reader(self, layer: str) -> "SpooledActivations":
        """The activations of all images as an array-like."""
        return SpooledActivations(self, layer)

    def _write(self, layer, index, values):
        path = self._path(layer, index)
        path.parent.mkdir(exist_ok=True)
        values = np.ascontiguousarray(values)
        with written(path) as part, open(part, "wb") as file:
            file.write(values)
            file.write(_checksum(values))

    def _is_whole(self, layer, index):
        path, rows = self._path(layer, index), self.rows(index)
        with suppress(FileNotFoundError):
            content = memoryview(path.read_bytes())
            size = 4 * (rows.stop - rows.start) * prod(self.shapes[layer])
            if len(content) == size + CHECKSUM and _checksum(content[:size]) == content[size:]:
                return True
            path.unlink()
        return False

    def _path(self, layer, index):
        return self.folder / quoted(layer) / f"{index:06}.block"


class SpooledActivations:
    """float32 (n, ...) in a spool: `X[rows]` and `X[:, columns]` of slices of the first two axes are arrays."""

    dtype = np.dtype("float32")

    def __init__(self, spool: Spool, layer: str):
        self._spool, self._layer = spool, layer
        self.shape = (spool.n_images, *spool.shapes[layer])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key) -> np.ndarray:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        first, end, _ = rows.indices(len(self))
        left, right, _ = columns.indices(self.shape[1])
        result = np.empty((end - first, right - left, *self.shape[2:]), self.dtype)
        step = self._spool.step
        for index in range(first // step, -(-end // step)):
            block = self._spool.rows(index)
            inside = range(max(first - block.start, 0), min(end, block.stop) - block.start)
            target = result[block.start + inside.start - first :][: len(inside)]
            values = self._spool._memory.get((self._layer, index))
            if values is None:
                self._read(index, inside, left, target)
            else:
                target[:] = values[inside.start : inside.stop, left:right]
        return result

    def _read(self, index, rows, left, target):
        """Read some columns of some rows of a block from disk: not mapped, as memory would seem to hold all of it."""
        row_bytes, column_bytes = (4 * prod(self.shape[axis:]) for axis in (1, 2))
        path = self._spool._path(self._layer, index)
        with open(path, "rb", buffering=0) as file:
            for row, values in zip(rows, target, strict=True):
                file.seek(row * row_bytes + left * column_bytes)
                if file.readinto(values) < values.nbytes:
                    raise ValueError(f"expected a whole block of activations in {path}; received a shorter file.")


def _checksum(values):
    return zlib.crc32(values).to_bytes(CHECKSUM, "little")
