"""Statistics of data of many features, read in blocks of columns: never n × p in memory, never p × p at all."""

from collections.abc import Iterator
from math import prod
from typing import Protocol

import numpy as np

BLOCK_BYTES = 2**24  # the most that is held of the data at a time: what the processor's cache holds is faster
DOUBLE = 2**22  # values up to which all is computed in float64; of more, sums alone are
ROWS = 32  # that are summed in single precision, before the sum goes on in double


class Samples(Protocol):
    """Values of n samples, (n, ...): X[rows], and slices of the first two axes, or three of four, are arrays."""

    shape: tuple[int, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice | tuple[slice, ...] | np.ndarray, /) -> np.ndarray: ...


def blocks(X: Samples, dtype: str = "float64") -> Iterator[tuple[slice, np.ndarray]]:
    """The features of X in turn: a slice of columns of (n, p), and a copy of these columns, (n, columns).

    X: anything with `shape`, `len` and X[:, a:b] over the first feature axis, of (n, h, w, c) X[:, a:b, c:d] too:
    an array, an HDF5 dataset. Blocks hold all channels of a position.
    """
    at, room = 0, BLOCK_BYTES // (np.dtype(dtype).itemsize * max(len(X), 1))
    step, width = max(1, room // prod(X.shape[2:])), X.shape[2] if len(X.shape) == 4 else 1
    part = min(width, max(1, room // prod(X.shape[3:])))
    for start in range(0, X.shape[1], step):
        for left in range(0, width, part):
            inner = (slice(left, left + part),) if part < width else ()
            block = np.array(X[:, start : start + step, *inner], dtype)
            block = block.reshape(len(X), prod(block.shape[1:]))
            yield slice(at, at + block.shape[1]), block
            at += block.shape[1]


def fit_together(estimators: list, X: Samples) -> list:
    """Fit estimators on X in one pass over its columns, and return them.

    Each has `_begin(X, dtype)`, `_add(columns, values, mean)` with values (n, columns) and their mean over samples,
    `_add_centred(columns, centred)`, and `_end()`. Raises ValueError for values that are not finite.
    """
    dtype = "float64" if prod(X.shape) <= DOUBLE else "float32"
    for estimator in estimators:
        estimator._begin(X, dtype)
    for columns, values in blocks(X, dtype):
        mean = column_sums(values) / len(values)
        if not np.isfinite(mean).all():
            raise ValueError("expected finite activations; received some that are not.")
        for estimator in estimators:
            estimator._add(columns, values, mean)
        values -= mean.astype(dtype)
        for estimator in estimators:
            estimator._add_centred(columns, values)
    for estimator in estimators:
        estimator._end()
    return estimators


def column_sums(values: np.ndarray) -> np.ndarray:
    """The sums over rows of values (n, columns): float64 (columns,)."""
    sums = np.zeros(values.shape[1])
    for start in range(0, len(values), ROWS):
        sums += values[start : start + ROWS].sum(axis=0)
    return sums
