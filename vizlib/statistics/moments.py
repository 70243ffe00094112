"""Moments of activations that can be added up in any order."""

from math import prod
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vizlib.statistics.streaming import ROWS, Samples, fit_together

MAX_CHANNELS = 4096  # above which no covariance of channels is kept: it would be wider than any convolution layer's


class Moments:
    """Counts, means, variances and covariances of activations, mergeable (Chan, Golub & LeVeque 1983).

    Activations are (n, h, w, channels), or (n, units), where a unit is a channel with one position.

    Fitted, for each unit (*shape_): `mean_`; `variance_`; `zeros_`, the share of values that are not positive, which
    a ReLU makes or leaves zero; `max_`. For each channel (c,) the same over samples and positions: `channel_mean_`,
    `channel_variance_`, `channel_zeros_`, `channel_max_`. Both covariances (c, c), of the channels over samples and
    positions, `channel_covariance_`, and of the means over positions of each sample, `spatial_mean_covariance_`, are
    None for more than 4,096 channels. Variances and covariances are divided by the count less one. Counts are
    `n_samples_seen_`, of each unit, and `channel_count_`. All are float64; of more than 4 million values squares and
    products are taken in float32, and their sums over 32 samples.
    """

    def fit(self, X: Samples) -> Self:
        """The moments of X: float (n, ...), n ≥ 1, an array or anything that gives X[:, a:b].

        Raises ValueError for another shape and for values not finite.
        """
        return fit_together([self], X)[0]

    def partial_fit(self, X: Samples) -> Self:
        """Add X: float (n, ...), n ≥ 1. Raises ValueError for another shape than before and for values not finite."""
        new = Moments().fit(np.asarray(X))
        vars(self).update(vars(self.merge(new) if vars(self) else new))
        return self

    def _begin(self, X, dtype):
        if len(X.shape) < 2 or 0 in X.shape:
            raise ValueError(f"expected activations (n ≥ 1, ...); received the shape {X.shape}.")
        vars(self).clear()
        n, *shape = X.shape
        self.n_samples_seen_, c = n, shape[-1]
        self.mean_, self.squares_, self.max_ = (np.empty(shape) for _ in range(3))
        self.zero_counts_ = np.empty(shape, "int64")
        if c <= MAX_CHANNELS:
            self.channel_scatter_ = np.zeros((c, c))
            self.spatial_mean_scatter_ = np.zeros((n, c))  # the sums over positions, until all are there

    def _add(self, columns, values, mean):
        self.mean_.reshape(-1)[columns] = mean
        self.max_.reshape(-1)[columns] = values.max(axis=0)
        counts = self.zero_counts_.reshape(-1)[columns]
        counts[:] = 0
        for start in range(0, len(values), ROWS):  # in uint8, which is ten times as fast
            counts += np.add.reduce((values[start : start + ROWS] <= 0).view("uint8"), axis=0, dtype="uint8")
        if hasattr(self, "channel_scatter_"):
            positions = values.reshape(len(values), -1, self.shape_[-1])
            self.spatial_mean_scatter_ += positions.sum(axis=1)

    def _add_centred(self, columns, centred):
        squares = self.squares_.reshape(-1)[columns]
        squares[:] = 0
        for start in range(0, len(centred), ROWS):
            rows = centred[start : start + ROWS]
            squares += np.einsum("ij,ij->j", rows, rows)
        if hasattr(self, "channel_scatter_"):
            flat = centred.reshape(-1, self.shape_[-1])
            self.channel_scatter_ += flat.T @ flat

    def _end(self):
        if hasattr(self, "channel_scatter_"):
            units = self._by_channel(self.mean_) - self.channel_mean_
            self.channel_scatter_ += self.n_samples_seen_ * units.T @ units  # of the units about their channel
            means = self.spatial_mean_scatter_ / self._positions - self.channel_mean_
            self.spatial_mean_scatter_ = means.T @ means

    def merge(self, other: "Moments") -> "Moments":
        """The moments of the samples of both: a new `Moments`. Raises ValueError for activations of other shapes."""
        if self.shape_ != other.shape_:
            raise ValueError(f"expected moments of activations {self.shape_}; received those of {other.shape_}.")
        both, n, m = Moments(), self.n_samples_seen_, other.n_samples_seen_
        both.n_samples_seen_ = n + m
        difference = other.mean_ - self.mean_
        both.mean_ = self.mean_ + m / (n + m) * difference
        both.squares_ = self.squares_ + other.squares_ + n * m / (n + m) * difference**2
        both.zero_counts_ = self.zero_counts_ + other.zero_counts_
        both.max_ = np.maximum(self.max_, other.max_)
        if hasattr(self, "channel_scatter_"):
            difference = other.channel_mean_ - self.channel_mean_
            between = n * m / (n + m) * np.outer(difference, difference)
            both.spatial_mean_scatter_ = self.spatial_mean_scatter_ + other.spatial_mean_scatter_ + between
            both.channel_scatter_ = self.channel_scatter_ + other.channel_scatter_ + self._positions * between
        return both

    @property
    def shape_(self) -> tuple[int, ...]:
        return self.mean_.shape

    @property
    def _positions(self):
        return prod(self.shape_[:-1])

    @property
    def variance_(self) -> NDArray[np.float64]:
        return self.squares_ / max(1, self.n_samples_seen_ - 1)

    @property
    def zeros_(self) -> NDArray[np.float64]:
        return self.zero_counts_ / self.n_samples_seen_

    @property
    def channel_count_(self) -> int:
        return self.n_samples_seen_ * self._positions

    @property
    def channel_mean_(self) -> NDArray[np.float64]:
        return self._by_channel(self.mean_).mean(axis=0)

    @property
    def channel_variance_(self) -> NDArray[np.float64]:
        between = self.n_samples_seen_ * (self.mean_ - self.channel_mean_) ** 2
        return self._by_channel(self.squares_ + between).sum(axis=0) / max(1, self.channel_count_ - 1)

    @property
    def channel_zeros_(self) -> NDArray[np.float64]:
        return self._by_channel(self.zero_counts_).sum(axis=0) / self.channel_count_

    @property
    def channel_max_(self) -> NDArray[np.float64]:
        return self._by_channel(self.max_).max(axis=0)

    @property
    def channel_covariance_(self) -> NDArray[np.float64] | None:
        return self._covariance("channel_scatter_", self.channel_count_)

    @property
    def spatial_mean_covariance_(self) -> NDArray[np.float64] | None:
        return self._covariance("spatial_mean_scatter_", self.n_samples_seen_)

    def _by_channel(self, units):
        return units.reshape(-1, self.shape_[-1])

    def _covariance(self, scatter, count):
        return getattr(self, scatter) / max(1, count - 1) if hasattr(self, scatter) else None

    def state(self) -> dict:
        """All that a fitted model is, as {name: array or number}: sums of squares and of products, not yet divided."""
        return {name: value for name, value in vars(self).items() if name.endswith("_")}

    @classmethod
    def from_state(cls, state: dict) -> Self:
        """The moments of a `state`; ValueError if its parts do not fit together or cannot be."""
        missing = {"n_samples_seen_", "mean_", "squares_", "zero_counts_", "max_"} - set(state)
        if missing:
            raise ValueError(f"expected a whole state; received one without {', '.join(sorted(missing))}.")
        model = cls()
        model.n_samples_seen_ = n = int(state["n_samples_seen_"])
        model.mean_ = np.asarray(state["mean_"], "float64")
        model.squares_ = np.asarray(state["squares_"], "float64")
        model.zero_counts_ = np.asarray(state["zero_counts_"], "int64")
        model.max_ = np.asarray(state["max_"], "float64")
        c = model.shape_[-1] if model.shape_ else 0
        shapes = dict.fromkeys(("mean_", "squares_", "zero_counts_", "max_"), model.shape_)
        if 0 < c <= MAX_CHANNELS:
            for name in ("channel_scatter_", "spatial_mean_scatter_"):
                setattr(model, name, np.asarray(state.get(name, 0), "float64"))
                shapes[name] = (c, c)
        for name, shape in shapes.items():
            value = getattr(model, name)
            if not c or value.shape != shape or not np.isfinite(value).all():
                raise ValueError(f"expected finite {name} of shape {shape}; received {value}.")
        if n < 1 or (model.squares_ < 0).any() or not ((model.zero_counts_ >= 0) & (model.zero_counts_ <= n)).all():
            raise ValueError(f"expected moments of {n} ≥ 1 samples; received impossible counts or squares.")
        return model
