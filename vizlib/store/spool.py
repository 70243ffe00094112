"""Activations of a class from the moment the network computed them until the statistics are fitted on them.

The first of them wait in memory, the others on disk:

    FOLDER/origin.json          what they are of: the network, the images, how many, and in blocks of how many
    FOLDER/LAYER/000000.block   of the images of the first block, float32; their mean marginals, float64, which need
                                whole images, while all else is fitted on columns; then the CRC-32 of it all

A block is whole or not there, so that a process may be killed at any moment; its checksum finds out what a power cut
leaves. An interrupt that can be caught brings to the disk what is in memory.
"""

import json
import shutil
import zlib
from contextlib import suppress
from functools import reduce
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from vizlib._files import TEMPORARY, quoted, written
from vizlib.statistics.marginals import Marginals, quantiles_shape

MEMORY = 2**28  # bytes of activations that wait in memory
CHECKSUM = 4  # bytes behind the values


class Spool:
    """A folder of activations that comes and goes with `collect`.

    origin: {name: text or number} that tells these activations from all others, "n_images" and "step", the images of a
    block, among them. shapes: {layer: shape of one activation}. As a context: on an error what waits in memory is
    written, so that another process can go on from there.
    """

    def __init__(self, folder: Path, origin: dict, shapes: dict[str, tuple[int, ...]]) -> None:
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            return
        with suppress(OSError):  # a full disk: the next process computes them again
            for (layer, index), (values, marginals) in self._memory.items():
                self._write(layer, index, values, marginals)

    def remove(self) -> None:
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

    def put(self, index: int, activations: dict[str, np.ndarray]) -> None:
        """Take the activations of a block: {layer: float32 (rows, ...)}."""
        for layer, values in activations.items():
            marginals = Marginals().fit(values)
            if self._used + values.nbytes <= MEMORY:
                self._used += values.nbytes
                self._memory[layer, index] = values, marginals
            else:
                self._write(layer, index, values, marginals)

    def reader(self, layer: str) -> "SpooledActivations":
        """The activations of all images as an array-like."""
        return SpooledActivations(self, layer)

    def marginals(self, layer: str) -> Marginals:
        """The mean marginals of all images."""
        return reduce(Marginals.merge, (self._marginals(layer, i) for i in range(-(-self.n_images // self.step))))

    def _marginals(self, layer, index):
        if (layer, index) in self._memory:
            return self._memory[layer, index][1]
        rows, found = self.rows(index), Marginals()
        found.n_samples_seen_, shape = rows.stop - rows.start, quantiles_shape(self.shapes[layer])
        at = 4 * found.n_samples_seen_ * prod(self.shapes[layer])
        found.quantiles_ = np.fromfile(self._path(layer, index), "float64", prod(shape), offset=at).reshape(shape)
        return found

    def _write(self, layer, index, values, marginals):
        path, checksum = self._path(layer, index), 0
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(TEMPORARY)  # that is not brought to the disk at once, which would take its time
        with open(part, "wb") as file:
            for array in map(np.ascontiguousarray, (values, marginals.quantiles_)):
                file.write(array)
                checksum = zlib.crc32(array, checksum)
            file.write(checksum.to_bytes(CHECKSUM, "little"))
        part.replace(path)

    def _is_whole(self, layer, index):
        path, rows, shape = self._path(layer, index), self.rows(index), self.shapes[layer]
        with suppress(FileNotFoundError):
            content = memoryview(path.read_bytes())
            size = 4 * (rows.stop - rows.start) * prod(shape) + 8 * prod(quantiles_shape(shape))
            checksum = zlib.crc32(content[:size]).to_bytes(CHECKSUM, "little")
            if len(content) == size + CHECKSUM and checksum == content[size:]:
                return True
            path.unlink()
        return False

    def _path(self, layer, index):
        return self.folder / quoted(layer) / f"{index:06}.block"


class SpooledActivations:
    """float32 (n, ...) in a spool: `X[rows]`, and slices of the first two or three axes, are arrays."""

    dtype = np.dtype("float32")

    def __init__(self, spool: Spool, layer: str) -> None:
        self._spool, self._layer = spool, layer
        self.shape = (spool.n_images, *spool.shapes[layer])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | tuple[slice, ...]) -> np.ndarray:
        rows, *columns = key if isinstance(key, tuple) else (key,)
        first, end, _ = rows.indices(len(self))
        lengths = [len(range(*at.indices(n))) for at, n in zip(columns, self.shape[1:], strict=False)]
        result = np.empty((end - first, *lengths, *self.shape[1 + len(lengths) :]), self.dtype)
        step = self._spool.step
        for index in range(first // step, -(-end // step)):
            block = self._spool.rows(index)
            inside = range(max(first - block.start, 0), min(end, block.stop) - block.start)
            target = result[block.start + inside.start - first :][: len(inside)]
            if (self._layer, index) in self._spool._memory:
                target[:] = self._spool._memory[self._layer, index][0][inside.start : inside.stop, *columns]
            else:
                self._read(index, inside, columns, target)
        return result

    def _read(self, index, rows, columns, target):
        """Read some columns of some rows of a block from disk: not mapped, as memory would seem to hold all of it."""
        path = self._spool._path(self._layer, index)
        starts = [at.indices(n)[0] for at, n in zip(columns, self.shape[1:], strict=False)]
        with open(path, "rb", buffering=0) as file:
            for place in np.ndindex(len(rows), *target.shape[1 : len(columns)]):  # what lies together in the file
                at = rows[place[0]], *(start + i for start, i in zip(starts, (*place[1:], 0), strict=False))
                file.seek(sum(4 * prod(self.shape[axis + 1 :]) * i for axis, i in enumerate(at)))
                if file.readinto(target[place]) < target[place].nbytes:
                    raise ValueError(f"expected a whole block of activations in {path}; received a shorter file.")
