"""A Gaussian over the principal components of activations: a sampler, and a density that tells outliers."""

from functools import cached_property
from math import prod

import numpy as np

from vizlib.statistics import streaming
from vizlib.statistics.pca import PCA, Sampler
from vizlib.statistics.streaming import blocks

FOLDS = 5
SHRINKAGES = ("ledoit_wolf", "oas", None)


class PCAGaussian(Sampler):
    """Probabilistic principal component analysis (Tipping & Bishop 1999): components and, for scores, noise around.

    n_components: how many of those kept samples vary in and scores tell from noise; None for a fifth of the samples,
    since a draw from all of them replays what it was fitted on. shrinkage: of the variances, for scores alone:
    "ledoit_wolf", "oas" or None. rectify: see `PCA`, as all that is fitted.

    Samples have no noise: it lies off the manifold of the data. Scores are of activations as they were fitted, before
    the ReLU where `rectify`. Their noise variance and their thresholds come from held-out samples (five-fold
    cross-validation), since a high-dimensional density is always too narrow around its own.
    """

    def __init__(self, n_components=None, rectify=False, shrinkage="ledoit_wolf"):
        if shrinkage not in SHRINKAGES:
            raise ValueError(f"expected shrinkage out of {SHRINKAGES}; received {shrinkage!r}.")
        super().__init__(n_components, rectify)
        self.shrinkage = shrinkage

    def fit(self, X):
        vars(self).pop("_folds", None)
        return super().fit(X)

    def _n_kept(self, n, p):
        return max(super()._n_kept(n, p), PCA()._n_kept(n, p))  # those beyond n_components tell the held-out noise

    @property
    def n_components_(self):
        return min(self.n_components or max(1, self.n_samples_seen_ // 5), len(self.components_))

    def _draw(self, n, rng, temperature):
        k = self.n_components_
        return temperature * rng.standard_normal((n, k)) * np.sqrt(self.explained_variance_[:k])

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
    def noise_variance_(self):
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
        along, norms = self._project(X, self.n_components_)
        off = np.maximum(norms - (along**2).sum(axis=1), 0)
        return (along**2 / variances).sum(axis=1) + off / noise

    def score_samples(self, X):
        """The log density at X (n, *shape_): float64 (n,), in nats."""
        variances, noise = self._variances()
        p, k = self.mean_.size, self.n_components_
        log_determinant = np.log(variances).sum() + (p - k) * np.log(noise)
        return -(p * np.log(2 * np.pi) + log_determinant + self._squared_distances(X)) / 2

    def mahalanobis(self, X):
        """The Mahalanobis distances of X (n, *shape_) to the mean: float64 (n,)."""
        return np.sqrt(self._squared_distances(X))

    def threshold(self, quantile):
        """The quantile in [0, 1] of the Mahalanobis distances of held-out samples, each to the model of the others."""
        noise, squares = self.noise_variance_, []
        for along, off, variances in self._held_out():
            squares.append((along**2 / np.maximum(variances, noise)).sum(axis=1) + off / noise)
        return float(np.quantile(np.sqrt(np.concatenate(squares)), quantile))

    def conditional_z(self, X):
        """How far each neuron of X (n, *shape_) is from what all the others let expect: float32 (n, *shape_).

        In standard deviations of the conditional Gaussian: (P (x − μ))_j / √P_jj, where P is the inverse covariance,
        by the matrix inversion lemma.
        """
        variances, noise = self._variances()
        k, signal = self.n_components_, 1 - noise / variances
        along = self._project(X, k)[0] * signal
        scores = np.empty((len(X), self.mean_.size), "float32")
        for columns, values in blocks(X, rows=k):
            axes = self.components_[:k, columns].astype("float64")
            values -= self.mean_[columns] + along @ axes
            scores[:, columns] = values / np.sqrt(noise * _own_share(axes, signal))
        return scores.reshape(X.shape)

    def conditionals(self):
        """What `conditional_z` is made of: axes float32 (k, p), signal (k,), the noise variance σ², and σ² P_jj (p,).

        With d = x − μ, P d is (d − axesᵀ (signal · axes d)) / σ².
        """
        variances, noise = self._variances()
        axes, signal = self.components_[: len(variances)], 1 - noise / variances
        return axes, signal, noise, _own_share(axes.astype("float64"), signal)

    def conditional_z_threshold(self, quantile):
        """For each neuron the quantile in [0, 1] of |conditional_z| of held-out samples: float32 (*shape_).

        What the components do not hold of a sample is known by its size alone and is spread over all neurons.
        """
        noise, n, p = self.noise_variance_, self.n_samples_seen_, self.mean_.size
        found, step = np.empty(p, "float32"), max(1, streaming.BLOCK_BYTES // (8 * n))
        for columns in (slice(i, i + step) for i in range(0, p, step)):
            components = self.components_[:, columns].astype("float64")
            squares = np.empty((n, components.shape[1]))
            for held_out, mean, axes, variances in self._folds:
                signal = 1 - noise / np.maximum(variances, noise)
                centred = self.coordinates_[held_out] - mean
                surprise = (centred - (centred @ axes.T * signal) @ axes) @ components
                missed = self.residual_[held_out, None] / p
                squares[held_out] = (surprise**2 + missed) / (noise * _own_share(axes @ components, signal))
            found[columns] = np.quantile(np.sqrt(squares, out=squares), quantile, axis=0, overwrite_input=True)
        return found.reshape(self.shape_)


def relative_mahalanobis(X, model, background):
    """How much farther X (n, *shape_) is from a class than from all: d²(class) − d²(all classes), float64 (n,).

    model, background: `PCAGaussian`s, the second of all classes, as `pooled` makes it (Ren et al. 2021). The lower,
    the more X is of the class; what is low enough, held-out images of the class say.
    """
    return model._squared_distances(X) - background._squared_distances(X)


def pooled(models):
    """One PCAGaussian of the samples of several fitted ones, as their components hold them.

    What these miss is in `residual_` and `total_variance_`. Raises ValueError for models of different shapes.
    """
    models = list(models)
    if len({(model.shape_, model.rectify) for model in models}) != 1:
        received = [(model.shape_, model.rectify) for model in models]
        raise ValueError(f"expected models of one shape, all or none to be rectified; received {received}.")
    model = PCAGaussian(rectify=models[0].rectify).fit(_Held(models))
    missed = np.concatenate([model.residual_ for model in models])
    model.residual_ += missed
    model.total_variance_ += missed.sum() / (len(missed) - 1)
    return model


class _Held:
    """The samples of fitted models, restored a block of columns at a time."""

    def __init__(self, models):
        self.models = models
        self.shape = (sum(model.n_samples_seen_ for model in models), *models[0].shape_)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        start, stop, _ = key[1].indices(self.shape[1])
        columns = slice(start * prod(self.shape[2:]), stop * prod(self.shape[2:]))
        parts = [model.coordinates_ @ model.components_[:, columns] + model.mean_[columns] for model in self.models]
        return np.concatenate(parts)


def _own_share(axes, signal):
    """P_jj σ²: the share of the noise in what a neuron has of its own, from the axes (k, p) and 1 − σ²/λ (k,)."""
    return np.maximum(1 - signal @ axes**2, 1 - signal.max(initial=0))  # which it cannot fall below


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
