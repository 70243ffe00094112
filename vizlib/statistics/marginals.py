"""Mean marginals: how the values of each channel are distributed over the positions of an image."""

from math import prod
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vizlib._arrays import Floats, transposed
from vizlib.statistics.streaming import Samples

MAX_QUANTILES = 1024  # of a channel


class Marginals:
    """The sorted values of each channel over positions, mean over images; mergeable.

    Where values lie does not count, only how often each occurs in an image. Activations are (n, h, w, channels), or
    (n, units), where a unit is a channel with one position.

    Fitted: `quantiles_` float64 (q, c), ascending along the first axis; q is the number of positions, or of more than
    1,024 positions 1,024 means of as many of them, neighbours in the order, as there are to each. `n_samples_seen_`.
    """

    def fit(self, X: Samples) -> Self:
        """The marginals of X: float (n, ...), n ≥ 1, an array or anything that gives X[a:b].

        Raises ValueError for another shape and for values not finite.
        """
        if len(X.shape) < 2 or 0 in X.shape:
            raise ValueError(f"expected activations (n ≥ 1, ...); received the shape {X.shape}.")
        self.n_samples_seen_, channels, positions = len(X), X.shape[-1], prod(X.shape[1:-1])
        sums = np.zeros((channels, positions))
        for i in range(len(X)):
            values = transposed(X[i : i + 1].reshape(positions, channels))  # sorted thrice as fast
            values.sort(axis=1)
            sums += values
        edges = _edges(positions)
        means = np.add.reduceat(sums, edges[:-1], axis=1) / (len(X) * np.diff(edges))
        self.quantiles_ = np.maximum.accumulate(means.T)  # which rounding might have turned round
        if not np.isfinite(self.quantiles_).all():
            raise ValueError("expected finite activations; received some that are not.")
        return self

    def merge(self, other: "Marginals") -> "Marginals":
        """The marginals of the samples of both: a new `Marginals`. Raises ValueError for those of other shapes."""
        if self.quantiles_.shape != other.quantiles_.shape:
            shapes = self.quantiles_.shape, other.quantiles_.shape
            raise ValueError(f"expected marginals (quantiles, channels) {shapes[0]}; received {shapes[1]}.")
        both, n, m = Marginals(), self.n_samples_seen_, other.n_samples_seen_
        both.n_samples_seen_ = n + m
        both.quantiles_ = (n * self.quantiles_ + m * other.quantiles_) / (n + m)
        return both

    def state(self) -> dict:
        """All that a fitted model is, as {name: array or number}; quantiles as float32."""
        return {"quantiles_": self.quantiles_.astype("float32"), "n_samples_seen_": self.n_samples_seen_}

    @classmethod
    def from_state(cls, state: dict) -> Self:
        """The model of a `state`; ValueError if it is none."""
        missing = {"quantiles_", "n_samples_seen_"} - set(state)
        if missing:
            raise ValueError(f"expected a whole state; received one without {', '.join(sorted(missing))}.")
        model = cls()
        model.n_samples_seen_ = int(state["n_samples_seen_"])
        model.quantiles_ = np.asarray(state["quantiles_"], "float64")
        shape = model.quantiles_.shape
        if len(shape) != 2 or not 1 <= shape[0] <= MAX_QUANTILES or model.n_samples_seen_ < 1:
            raise ValueError(f"expected quantiles (at most {MAX_QUANTILES}, channels) of samples; received {shape}.")
        if not np.isfinite(model.quantiles_).all() or (np.diff(model.quantiles_, axis=0) < 0).any():
            raise ValueError("expected finite quantiles in ascending order; received others.")
        return model


def of_regions(values: Floats, rows: int, columns: int) -> NDArray[np.float32]:
    """The sorted values of each channel in each region of a grid: (n, h, w, c) to float32 (n, rows, columns, q, c).

    Regions have h // rows × w // columns positions; what is left at the ends is in none. q: as of `Marginals`.
    """
    n, h, w, c = values.shape
    high, wide = h // rows, w // columns
    cut = values[:, : high * rows, : wide * columns].reshape(n, rows, high, columns, wide, c)
    found = np.empty((n, rows, columns, c, high * wide), values.dtype)
    for i, row in np.ndindex(n, rows):  # so that the cache holds what is turned round
        found[i, row] = cut[i, row].transpose(1, 3, 0, 2).reshape(columns, c, -1)
    found.sort(axis=-1)  # of what lies together, an order of magnitude faster
    edges = _edges(high * wide)
    if len(edges) <= high * wide:
        found = np.add.reduceat(found, edges[:-1], axis=-1) / np.diff(edges)
    return np.ascontiguousarray(found.swapaxes(3, 4), "float32")


def _edges(positions):
    """Where in the order of so many values the neighbours of each quantile begin, and where the last end."""
    q, _ = quantiles_shape((positions, 1))
    return np.arange(q + 1) * positions // q


def quantiles_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many quantiles there are of activations of a shape, and of how many channels."""
    return min(prod(shape[:-1]), MAX_QUANTILES), shape[-1]
