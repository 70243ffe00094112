"""Images from whatever gives them, a few at a time: arrays, files, and data sets of batches."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from vizlib._progress import progress_bar
from vizlib.images import Rows, as_images, to_uint8

ImageSource = Rows | Iterable  # of batches
BATCH = 64  # images to take of an array at a time


def batches(
    images: ImageSource, n: int | None = None, as_images: Callable[[ArrayLike], np.ndarray] = as_images
) -> Iterator[np.ndarray]:
    """The images in turn, some at a time: float32 RGB in [0, 1], (some, height, width, 3); n in all, all if None.

    images: something with a shape and slices of rows, such as an array, a `numpy.memmap` or an HDF5 dataset, float in
    [0, 1] or uint8; a list of images; or an iterable of batches (some, height, width, 3), or of tuples that begin with
    one, such as a `tf.data.Dataset` or a `keras.utils.PyDataset`: there floats may be in [0, 255] too, as Keras's data
    sets give them, if those of the first batch are. as_images: what makes RGB in [0, 1] of them, for a network that of
    `Network`. Raises ValueError for anything else.
    """
    if isinstance(images, (list, tuple)):
        images = np.asarray(images)
    if hasattr(images, "shape"):
        if len(images.shape) != 4:
            raise ValueError(f"expected images of shape (n, height, width, 3); received {tuple(images.shape)}.")
        parts = (images[start : start + BATCH] for start in range(0, images.shape[0], BATCH))  # type: ignore[index]
    elif isinstance(images, Iterable) or hasattr(images, "__getitem__"):
        parts = _unscaled(images)
    else:
        raise ValueError(f"expected images as an array or an iterable of batches; received {type(images).__name__}.")
    left = n
    for part in parts:
        part = as_images(part if left is None else part[:left])
        yield part
        if left is not None and (left := left - len(part)) == 0:
            return
    if n and left:
        raise ValueError(f"expected {n} images; received {n - left}.")


def _unscaled(dataset):
    """The images of batches, without what comes with them; of a scale of 255 divided by it."""
    indexed = not hasattr(dataset, "__iter__") or hasattr(dataset, "num_batches")  # a PyDataset may go on for ever
    parts, scale = ((dataset[i] for i in range(len(dataset))) if indexed else dataset), None
    for part in parts:
        part = np.asarray(part[0] if isinstance(part, (list, tuple)) else part)
        if part.ndim == 3:
            part = part[None]
        if scale is None:
            scale = np.float32(255 if part.dtype.kind == "f" and part.max(initial=0) > 1 else 1)
        yield part / scale if part.dtype.kind == "f" else part


def count(images: ImageSource, n: int | None = None) -> int | None:
    """How many images there are, where that is known before they are read."""
    return n if n is not None else images.shape[0] if hasattr(images, "shape") else None


class SpooledImages:
    """Images that wait in a file until all of them have been seen: float32 (n, ...), rows [a:b] are arrays.

    path: of the file, or None to look at the images and keep nothing. as_images: as of `batches`. `sha256`: of their
    values as float32 and of their shape; `dtype`: uint8 where that loses nothing, else float32, in which rows come.
    """

    def __init__(
        self,
        path: Path | None,
        shape: tuple[int, int, int],
        as_images: Callable[[ArrayLike], np.ndarray] = as_images,
    ) -> None:
        self.path, self.shape = path or Path(os.devnull), (0, *shape)
        self._lossless, self._digest = True, hashlib.sha256()
        self._as_images = as_images

    def take(self, images: ImageSource, n: int | None, progress: str | None) -> Self:
        """Take images, as `batches` does. Raises ValueError for those of another shape and for fewer than two."""
        total = count(images, n)
        with (
            open(self.path, "wb") as file,
            progress_bar(None, progress, total, "image", disable=progress is None) as bar,
        ):
            for part in batches(images, n, self._as_images):
                if part.shape[1:] != self.shape[1:]:
                    raise self._unfit((total or len(part), *part.shape[1:]))
                part = np.ascontiguousarray(part)
                self._digest.update(part.data)
                self._lossless = self._lossless and np.array_equal(as_images(to_uint8(part)), part)
                file.write(part.data)
                self.shape = (self.shape[0] + len(part), *self.shape[1:])
                bar.update(len(part))
        if self.shape[0] < 2:
            raise self._unfit(self.shape)
        return self

    def _unfit(self, received):
        wanted = ", ".join(map(str, self.shape[1:]))
        return ValueError(f"expected images of shape (n ≥ 2, {wanted}); received {received}.")

    @property
    def sha256(self) -> str:
        digest = self._digest.copy()
        digest.update(repr(self.shape).encode())
        return digest.hexdigest()

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("uint8" if self._lossless else "float32")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        first, end, _ = rows.indices(len(self))
        size = int(np.prod(self.shape[1:]))
        values = np.fromfile(self.path, "float32", (end - first) * size, offset=4 * first * size)
        values = values.reshape(-1, *self.shape[1:])
        return to_uint8(values) if self._lossless else values
