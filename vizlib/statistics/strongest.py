"""Strongest activations: which samples make each channel answer most, and where."""

from math import prod
from typing import Self

import numpy as np

from vizlib.statistics.streaming import Samples, fit_together

KEPT = 9  # samples of each channel


class Strongest:
    """The samples that each channel answers most to, the strongest first, and the position where; mergeable.

    Activations are (n, h, w, channels), or (n, units), where a unit is a channel with one position. Of a sample its
    highest activation counts, at the first position that has it; of equal samples the earlier comes first.

    Fitted, for k = 9 samples, or as many as there are, and c channels: `values_` float32 (k, c), descending;
    `samples_` int64 (k, c), their numbers; `positions_` int64 (k, c, 2), row and column, 0 of units; `shape_` of one
    sample; `n_samples_seen_`.
    """

    def fit(self, X: Samples) -> Self:
        """Those of X: float (n, ...), n ≥ 1, an array or anything that gives X[:, a:b].

        Raises ValueError for another shape and for values not finite.
        """
        return fit_together([self], X)[0]

    def _begin(self, X, dtype):
        if len(X.shape) < 2 or 0 in X.shape:
            raise ValueError(f"expected activations (n ≥ 1, ...); received the shape {X.shape}.")
        self.n_samples_seen_, *shape = X.shape
        self.shape_ = tuple(shape)
        self._best = np.full((len(X), shape[-1]), -np.inf, "float32")
        self._place = np.zeros(self._best.shape, "int64")

    def _add(self, columns, values, mean):
        channels = self.shape_[-1]
        values = values.reshape(len(values), -1, channels)
        highest = values.max(axis=1).astype("float32")
        found = np.nonzero(highest > self._best)  # where alone it has to be looked for
        self._best[found] = highest[found]
        self._place[found] = columns.start // channels + values[found[0], :, found[1]].argmax(axis=1)

    def _add_centred(self, columns, centred):
        pass

    def _end(self):
        order = np.argsort(-self._best, axis=0, kind="stable")[:KEPT]
        self.samples_, self.values_ = order, np.take_along_axis(self._best, order, axis=0)
        places = np.take_along_axis(self._place, order, axis=0)
        width = self.shape_[1] if len(self.shape_) == 3 else 1
        self.positions_ = np.stack([places // width, places % width], axis=-1)
        del self._best, self._place

    def merge(self, other: "Strongest") -> "Strongest":
        """The strongest of the samples of both, those of other numbered from here on: a new `Strongest`.

        Raises ValueError for those of activations of another shape.
        """
        if self.shape_ != other.shape_:
            raise ValueError(f"expected strongest activations {self.shape_}; received those of {other.shape_}.")
        both = Strongest()
        both.shape_, both.n_samples_seen_ = self.shape_, self.n_samples_seen_ + other.n_samples_seen_
        values = np.concatenate([self.values_, other.values_])
        order = np.argsort(-values, axis=0, kind="stable")[:KEPT]
        both.values_ = np.take_along_axis(values, order, axis=0)
        samples = np.concatenate([self.samples_, other.samples_ + self.n_samples_seen_])
        both.samples_ = np.take_along_axis(samples, order, axis=0)
        positions = np.concatenate([self.positions_, other.positions_])
        both.positions_ = np.take_along_axis(positions, order[..., None], axis=0)
        return both

    def state(self) -> dict:
        """All that a fitted model is, as {name: array or number}."""
        names = "shape_", "values_", "samples_", "positions_", "n_samples_seen_"
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_state(cls, state: dict) -> Self:
        """The model of a `state`; ValueError if its parts do not fit together or cannot be."""
        missing = {"shape_", "values_", "samples_", "positions_", "n_samples_seen_"} - set(state)
        if missing:
            raise ValueError(f"expected a whole state; received one without {', '.join(sorted(missing))}.")
        model = cls()
        model.shape_, model.n_samples_seen_ = tuple(int(x) for x in state["shape_"]), int(state["n_samples_seen_"])
        model.values_ = np.asarray(state["values_"], "float32")
        model.samples_, model.positions_ = (np.asarray(state[name], "int64") for name in ("samples_", "positions_"))
        shape = min(KEPT, model.n_samples_seen_), *model.shape_[-1:]
        grid = model.shape_[:2] if len(model.shape_) == 3 else (1, 1)
        received = model.values_.shape, model.samples_.shape, model.positions_.shape
        if len(shape) != 2 or prod(shape) < 1 or received != (shape, shape, (*shape, 2)):
            raise ValueError(f"expected values and samples of shape {shape}, and positions; received {received}.")
        if not np.isfinite(model.values_).all() or (np.diff(model.values_, axis=0) > 0).any():
            raise ValueError("expected finite values in descending order; received others.")
        numbers = ("samples", model.samples_, model.n_samples_seen_), ("positions", model.positions_, grid)
        for name, values, ends in numbers:
            if (values < 0).any() or (values >= ends).any():
                raise ValueError(f"expected {name} below {ends}; received {values.min()} to {values.max()}.")
        return model
