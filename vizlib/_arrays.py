"""Arrays: images as the library has them, float32 RGB in [0, 1], (n, height, width, 3), and a fast transpose."""

import os
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROWS = 64  # that are transposed at a time
THREADS = os.cpu_count() or 1  # that work on arrays side by side

# What type checkers know of arrays: dtypes, and of some how many axes there are.
ImagesLike = NDArray[np.uint8 | np.floating[Any]]  # (n, height, width, 3), or one image (height, width, 3)
Images = np.ndarray[tuple[int, int, int, int], np.dtype[np.float32]]  # (n, height, width, 3), and gradients of such
Maps = np.ndarray[tuple[int, int, int], np.dtype[np.float32]]  # (n, height, width)
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float32]]  # (n, k), such as class scores
Activations = NDArray[np.float32]  # (n, h, w, channels) or (n, units)
Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

Size = int | tuple[int, int]  # pixels of a side of a square, or a height and a width


class Rows(Protocol):
    """What gives arrays for slices of its rows: an array, a `numpy.memmap`, a dataset of HDF5."""

    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


def sides(size: Size) -> tuple[int, int]:
    """The height and the width of a size, in pixels."""
    return (size, size) if isinstance(size, (int, np.integer)) else (*size,)


def as_images(array: ArrayLike) -> Images:
    """Images in the library's own form: float32 RGB in [0, 1], (n, height, width, 3).

    array: uint8 in [0, 255] or float in [0, 1], (n, height, width, 3) or one image (height, width, 3);
    float32 comes back as it is, not copied.
    Anything else is a ValueError: another rank, dtype or number of channels, no pixels, NaN, values outside.
    """
    array = np.asarray(array)
    if array.ndim not in (3, 4) or array.shape[-1] != 3 or array.size == 0:
        wanted = "(n, height, width, 3) or one of shape (height, width, 3)"
        raise ValueError(f"expected images of shape {wanted}; received {array.shape}.")
    images = array.reshape(-1, *array.shape[-3:])
    if images.dtype == np.uint8:
        return np.divide(images, 255, dtype=np.float32)
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"expected float in [0, 1] or uint8 in [0, 255]; received dtype {images.dtype}.")
    images = images.astype(np.float32, copy=False)
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):  # so that NaN fails as well
        raise ValueError(f"expected float images in [0, 1]; received values from {low:g} to {high:g}.")
    return images


def to_uint8(images: ArrayLike) -> NDArray[np.uint8]:
    """Images, as `as_images` takes them, to uint8 in [0, 255], rounded, of the same shape."""
    return np.rint(as_images(images) * 255).astype(np.uint8).reshape(np.shape(images))


def transposed(values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """A contiguous transpose of values (…, m, n): (…, n, m), a few rows at a time, which the cache can hold.

    out: where it is written, a new array if None.
    """
    *many, m, n = values.shape
    result = np.empty((*many, n, m), values.dtype) if out is None else out
    for start in range(0, m, ROWS):
        result[..., start : start + ROWS] = values[..., start : start + ROWS, :].swapaxes(-1, -2)
    return result
