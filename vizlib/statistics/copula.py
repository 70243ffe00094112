"""Activations with the marginal distribution of every unit as it is, zeros included, and Gaussian in between."""

from typing import Self

import numpy as np
from scipy.special import ndtr, ndtri

from vizlib._arrays import Activations
from vizlib.statistics.gaussian import PCAGaussian
from vizlib.statistics.snapshots import generator
from vizlib.statistics.streaming import Samples, blocks

LEVELS = 64  # of the quantiles that are kept of each unit
QUANTILE_BYTES = 2**28  # of float32, the most that they may take


class GaussianCopula:
    """A Gaussian copula: normal scores of every unit, their PCA, and back through the quantiles of each unit.

    The smallest value of a unit is an atom: after a ReLU the zeros, of which a Gaussian knows nothing. Its scores are
    spread at random below the threshold that leaves as many below, which weakens correlations. A score drawn from the
    leading components is scaled to unit variance, so that each unit keeps its distribution: quantiles, share of zeros,
    largest value.

    n_components: of the scores; None for a fifth of the samples. rectify: whether X is from before a ReLU that belongs
    to it. Quantiles are then of what comes after, but scores of what comes before, where zeros are not all alike.

    Fitted: `scores_`, a `PCAGaussian`, and its `components_` float32 (k, p); `atom_` float32 (p,), its share
    `atom_share_` float64 (p,), and `quantiles_` float32 (q, p), evenly spaced ones of the values above it; `shape_`;
    `n_samples_seen_`.
    """

    def __init__(self, n_components: int | None = None, rectify: bool = False) -> None:
        self.n_components = n_components
        self.rectify = rectify

    def fit(self, X: Samples) -> Self:
        """Fit on X: float (n, ...), as `Snapshots.fit` takes it, and with its errors."""
        self.scores_ = PCAGaussian(self.n_components).fit(_Scores(X))
        p, n, weights = self.scores_.mean_.size, len(X), self.scores_.weights_[:, : self.scores_.n_components_]
        self.components_ = np.empty((weights.shape[1], p), "float32")
        for columns, scores in blocks(_Scores(X)):
            self.components_[:, columns] = weights.T @ scores[self.scores_.images_]
        self.atom_, self.atom_share_ = np.empty(p, "float32"), np.empty(p)
        self.quantiles_ = np.empty((max(2, min(LEVELS, QUANTILE_BYTES // (4 * p))), p), "float32")
        levels = np.linspace(0, 1, len(self.quantiles_))[:, None]
        for columns, values in blocks(X):
            values = np.sort(np.maximum(values, 0) if self.rectify else values, axis=0)
            self.atom_[columns] = values[0]
            count = (values == values[0]).sum(axis=0)
            self.atom_share_[columns] = count / n
            position = np.minimum(count + levels * (n - 1 - count), n - 1)
            below = position.astype(int)
            low, high = (np.take_along_axis(values, i, axis=0) for i in (below, np.minimum(below + 1, n - 1)))
            self.quantiles_[:, columns] = low + (position - below) * (high - low)
        return self

    @property
    def shape_(self) -> tuple[int, ...]:
        return self.scores_.shape_

    @property
    def n_samples_seen_(self) -> int:
        return self.scores_.n_samples_seen_

    def sample(self, n: int, seed: int = 0, temperature: float = 1.0) -> Activations:
        """Draw n ≥ 1 activations: float32 (n, *shape_).

        temperature ≥ 0: scales the scores; 0 gives the median of every unit. Raises ValueError for others.
        """
        components, k = self.components_, len(self.components_)
        noise = temperature * generator(n, seed, temperature).standard_normal((n, k))
        variances = self.scores_.explained_variance_[:k].astype("float32")
        deviation = np.sqrt(variances @ components**2)
        scores = (noise.astype("float32") * np.sqrt(variances)) @ components / np.where(deviation > 0, deviation, 1)
        return self._back(ndtr(scores)).reshape(n, *self.shape_)

    def _back(self, ranks):
        """The values (n, p) float32 at ranks in [0, 1]."""
        spread = np.maximum(1 - self.atom_share_, 1e-12)  # nothing is above where it is 0
        position = np.clip((ranks - self.atom_share_) / spread, 0, 1) * (len(self.quantiles_) - 1)
        below = np.minimum(position.astype(int), len(self.quantiles_) - 2)
        low, high = (np.take_along_axis(self.quantiles_, i, axis=0) for i in (below, below + 1))
        values = low + (position - below) * (high - low)
        return np.where(ranks < self.atom_share_, self.atom_, values).astype("float32")


class _Scores:
    """The normal scores of the units of X, those of an atom in random order, a block of columns at a time."""

    def __init__(self, X):
        self.X, self.shape = X, X.shape

    def __len__(self):
        return len(self.X)

    def __getitem__(self, key):
        values = np.asarray(self.X[key])
        if not np.isfinite(values).all():
            return values  # for the one check that there is
        start, stop, _ = key[1].indices(self.shape[1])
        # A seed for each row of features: the same scores whatever block they are asked for in.
        ties = np.stack([_uniform(i, (len(values), *self.shape[2:]))[:, *key[2:]] for i in range(start, stop)], axis=1)
        atom = values.min(axis=0)
        order = np.argsort(np.where(values == atom, atom - ties, values), axis=0)
        ranks = np.empty(values.shape)
        steps = np.arange(0.5, len(values)).reshape(-1, *(1,) * (values.ndim - 1)) / len(values)
        np.put_along_axis(ranks, order, np.broadcast_to(steps, values.shape), axis=0)
        constant = values.max(axis=0) == atom
        return ndtri(np.where(constant, 0.5, ranks))


def _uniform(seed, shape):
    return np.random.default_rng(seed).random(shape, "float32")
