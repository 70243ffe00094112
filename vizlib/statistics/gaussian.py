"""A Gaussian over the principal components of activations: a sampler, and a density that tells what is odd."""

from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vizlib._arrays import Floats
from vizlib.statistics.mixtures import Sampler
from vizlib.statistics.snapshots import Mixture, Snapshots
from vizlib.statistics.streaming import Samples

FOLDS = 5
SHRINKAGES = ("ledoit_wolf", "oas", None)


class PCAGaussian(Sampler):
    """Probabilistic principal component analysis (Tipping & Bishop 1999): components and, for scores, noise around.

    n_components: how many of them samples vary in and scores tell from noise; None for a fifth of the samples,
    since a draw from all of them replays what it was fitted on. shrinkage: of the variances, for scores alone:
    "ledoit_wolf", "oas" or None. rectify: see `Snapshots`, as all that is fitted.

    Samples have no noise: it lies off the manifold of the data. Scores are of activations as they were fitted, before
    the ReLU where `rectify`. Their noise variance and their thresholds come from held-out samples (five-fold
    cross-validation), since a high-dimensional density is always too narrow around its own.
    """

    def __init__(
        self, n_components: int | None = None, rectify: bool = False, shrinkage: str | None = "ledoit_wolf"
    ) -> None:
        if n_components is not None and n_components < 1:
            raise ValueError(f"expected n_components of at least 1, or None; received {n_components}.")
        if shrinkage not in SHRINKAGES:
            raise ValueError(f"expected shrinkage out of {SHRINKAGES}; received {shrinkage!r}.")
        super().__init__(rectify)
        self.n_components, self.shrinkage = n_components, shrinkage

    def fit(self, X: Samples) -> Self:
        vars(self).pop("_folds", None)
        return super().fit(X)

    @property
    def n_components_(self) -> int:
        return min(self.n_components or max(1, self.n_samples_seen_ // 5), len(self.explained_variance_))

    def _mixtures(self, n, rng, temperature):
        weights = self.weights_[:, : self.n_components_] * np.sqrt(self.explained_variance_[: self.n_components_])
        noise = rng.standard_normal((n, weights.shape[1]))
        return [Mixture(self.images_, w) for w in 1 / self.n_samples_seen_ + temperature * noise @ weights.T]

    @cached_property
    def _folds(self):
        """For each fold the indices held out, and the mean (K,), axes (k, K) and variances (k,) of the others.

        Coordinates are an isometry of the data, so that a fold is a problem of K dimensions, whatever p.
        """
        n, folds = self.n_samples_seen_, []
        for held_out in np.array_split(np.random.default_rng(0).permutation(n), min(FOLDS, n)):
            others = np.delete(self.coordinates_, held_out, axis=0).astype("float64")
            mean = others.mean(axis=0)
            left, singular, axes = np.linalg.svd(others - mean, full_matrices=False)
            leading = slice(self.n_components_)
            variances = singular[leading] ** 2 / max(1, len(others) - 1)
            shrunk = _shrunk(variances, left[:, leading] * singular[leading], self.shrinkage)
            folds.append((held_out, mean, axes[leading], shrunk))
        return folds

    def _held_out(self):
        """Held-out coordinates along the axes of their fold, squared distances to these, and the fold's variances."""
        for held_out, mean, axes, variances in self._folds:
            centred = self.coordinates_[held_out] - mean
            along = centred @ axes.T
            off = (centred**2).sum(axis=1) - (along**2).sum(axis=1)
            yield along, np.maximum(off, 0) + self.residual_[held_out], variances

    @property
    def noise_variance_(self) -> float:
        """The mean squared distance of held-out samples to the subspace, per dimension outside it.

        Where there is none outside, the least variance inside, which then says the same of all directions.
        """
        outside, variances = self.mean_.size - self.n_components_, self.explained_variance_
        off = np.concatenate([off for _, off, _ in self._held_out()])
        noise = off.mean() / outside if outside else variances[-1]
        float32 = np.finfo("float32")
        return max(float(noise), float(float32.eps * variances.max(initial=0)), float(float32.tiny))

    def _variances(self):
        """The variances (k,) along the components, shrunk, and that of the noise, of which there is some in each."""
        k, noise = self.n_components_, self.noise_variance_
        shrunk = _shrunk(self.explained_variance_[:k], self.coordinates_[:, :k], self.shrinkage)
        return np.maximum(shrunk, noise), noise

    def _squared_distances(self, X):
        variances, noise = self._variances()
        along, norms = self._project(X)
        along = along[:, : self.n_components_]
        off = np.maximum(norms - (along**2).sum(axis=1), 0)
        return (along**2 / variances).sum(axis=1) + off / noise

    def score_samples(self, X: Floats) -> NDArray[np.float64]:
        """The log density at X (n, *shape_): float64 (n,), in nats."""
        variances, noise = self._variances()
        p, k = self.mean_.size, self.n_components_
        log_determinant = np.log(variances).sum() + (p - k) * np.log(noise)
        return -(p * np.log(2 * np.pi) + log_determinant + self._squared_distances(X)) / 2

    def mahalanobis(self, X: Floats) -> NDArray[np.float64]:
        """The Mahalanobis distances of X (n, *shape_) to the mean: float64 (n,)."""
        return np.sqrt(self._squared_distances(X))

    def threshold(self, quantile: float) -> float:
        """The quantile in [0, 1] of the Mahalanobis distances of held-out samples, each to the model of the others."""
        noise, squares = self.noise_variance_, []
        for along, off, variances in self._held_out():
            squares.append((along**2 / np.maximum(variances, noise)).sum(axis=1) + off / noise)
        return float(np.quantile(np.sqrt(np.concatenate(squares)), quantile))


def relative_mahalanobis(X: Floats, model: PCAGaussian, background: PCAGaussian) -> NDArray[np.float64]:
    """How much farther X (n, *shape_) is from a class than from all: d²(class) − d²(all classes), float64 (n,).

    model, background: `PCAGaussian`s, the second of all classes, as `pooled` makes it (Ren et al. 2021). The lower,
    the more X is of the class; what is low enough, held-out images of the class say.
    """
    return model._squared_distances(X) - background._squared_distances(X)


def pooled(models: list[Snapshots]) -> PCAGaussian:
    """One PCAGaussian of the samples of several fitted models.

    Raises ValueError for models of different shapes.
    """
    models = list(models)
    if len({(model.shape_, model.rectify) for model in models}) != 1:
        received = [(model.shape_, model.rectify) for model in models]
        raise ValueError(f"expected models of one shape, all or none to be rectified; received {received}.")
    return PCAGaussian(rectify=models[0].rectify).fit(_Samples(models))


class _Samples:
    """The samples of several models as those of one."""

    def __init__(self, models):
        self.models = models
        self.starts = np.cumsum([0, *(model.n_samples_seen_ for model in models)])
        self.shape = (int(self.starts[-1]), *models[0].shape_)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        rows, *columns = key if isinstance(key, tuple) else (key,)
        rows, parts = np.arange(len(self))[rows], []
        for model, start, stop in zip(self.models, self.starts, self.starts[1:], strict=False):
            own = rows[(start <= rows) & (rows < stop)] - start
            if len(own):
                parts.append(model.real(model.images_[own])[:, *columns])
        return np.concatenate(parts)


def _shrunk(variances, coordinates, rule):
    """Variances moved towards their mean as far as the rule finds best for so few samples."""
    if rule is None or not variances.size:
        return variances
    from sklearn.covariance import ledoit_wolf_shrinkage, oas

    amount = (
        ledoit_wolf_shrinkage(coordinates, assume_centered=True)
        if rule == "ledoit_wolf"
        else oas(coordinates, assume_centered=True)[1]
    )
    return variances + amount * (variances.mean() - variances)
