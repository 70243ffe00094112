"""A joint Gaussian of two layers, to draw the lower one given the upper one."""

import numpy as np

from vizlib._arrays import Activations, Floats
from vizlib.statistics.gaussian import FOLDS
from vizlib.statistics.snapshots import Mixture, Snapshots, generator

SHRINKAGES = 1 - np.geomspace(1, 1e-3, 100)  # from 0 to 0.999, closest where it matters most


class LayerPair:
    """The joint Gaussian of the leading coordinates of two layers on the same images.

    With whitened coordinates a of the lower and b of the upper layer and their cross-correlation C, a given b is
    Gaussian with mean s C b and covariance 1 − s² C Cᵀ. The factor s ≤ 0.999 that shrinks C makes held-out images
    likeliest (five-fold cross-validation). As many components of each layer are used as a tenth of the images: of
    n − 1 in all, some correlation is 1, and the draw replays an image.

    lower, upper: fitted `Snapshots`, or samplers, of the same images. `canonical_correlations_` float64 (r,),
    descending: the singular values of C, before shrinking. `shrinkage_`: s.

    Raises ValueError for models of different images, and ArithmeticError where the spectral norm of s C is not below 1,
    which coordinates and variances that belong together cannot give.
    """

    def __init__(self, lower: Snapshots, upper: Snapshots) -> None:
        n = lower.n_samples_seen_
        if not np.array_equal(lower.images_, upper.images_) or n < FOLDS:
            received = f"{n} and {upper.n_samples_seen_}"
            raise ValueError(f"expected two models of the same images, at least {FOLDS}; received {received} images.")
        self.lower, self.upper = lower, upper
        a, b = (_leading(model, max(1, n // 10)) for model in (lower, upper))
        self.shrinkage_ = _likeliest_shrinkage(a, b)
        self._deviations = [np.sqrt(model.explained_variance_[: x.shape[1]]) for model, x in ((lower, a), (upper, b))]
        whitened = [x / deviation for x, deviation in zip((a, b), self._deviations, strict=True)]
        correlation = whitened[0].T @ whitened[1] / (n - 1)
        self._left, self.canonical_correlations_, right = np.linalg.svd(correlation)
        self._right = right[: len(self.canonical_correlations_)]
        norm = self.shrinkage_ * self.canonical_correlations_.max(initial=0)
        if not norm < 1:
            raise ArithmeticError(f"expected a cross-correlation of spectral norm below 1; received {norm}.")

    def sample_given(self, upper: Floats, n: int, seed: int = 0, temperature: float = 1.0) -> Activations:
        """Draw n ≥ 1 activations of the lower layer for one of the upper: float32 (n, *lower.shape_).

        upper: float (*upper.shape_), as the upper model was fitted: before the ReLU where its `rectify` is true.
        temperature ≥ 0: scales how far draws lie from the conditional mean. Raises ValueError for others.
        """
        upper = np.asarray(upper)
        if upper.shape != self.upper.shape_:
            raise ValueError(f"expected one activation of shape {self.upper.shape_}; received {upper.shape}.")
        mixtures = self.mixtures_given(self.upper.transform(upper[None])[0], n, seed, temperature)
        return self.lower.rectified(self.lower.mixed(mixtures))

    def mixtures_given(
        self, point: Floats, n: int, seed: int | list[int] = 0, temperature: float = 1.0
    ) -> list[Mixture]:
        """The mixtures of samples that `sample_given` draws for the coordinates (K,) of an upper activation."""
        lower_deviation, upper_deviation = self._deviations
        noise = generator(n, seed, temperature).standard_normal((n, len(lower_deviation)))
        correlation = np.zeros(len(lower_deviation))
        correlation[: len(self._right)] = self.shrinkage_ * self.canonical_correlations_
        mean = np.zeros(len(lower_deviation))
        mean[: len(self._right)] = self._right @ (point[: len(upper_deviation)] / upper_deviation)
        draws = correlation * mean + temperature * np.sqrt(1 - correlation**2) * noise
        return self.lower.mixtures_at(draws @ self._left.T * lower_deviation)


def _leading(model, k):
    return model.coordinates_[:, :k].astype("float64")


def _likeliest_shrinkage(a, b):
    """The factor by which to shrink the cross-correlation of coordinates a (n, k) and b (n, l) of the same images."""
    log_likelihood = np.zeros(len(SHRINKAGES))
    for held_out in np.array_split(np.random.default_rng(0).permutation(len(a)), FOLDS):
        (a_train, a_test), (b_train, b_test) = (_whitened(x, held_out) for x in (a, b))
        left, correlations, right = np.linalg.svd(a_train.T @ b_train / len(a_train), full_matrices=False)
        shrunk = SHRINKAGES[:, None, None] * correlations
        variance = 1 - shrunk**2
        error = a_test @ left - shrunk * (b_test @ right.T)
        log_likelihood -= (np.log(variance) + error**2 / variance).sum(axis=(1, 2)) / 2
    return SHRINKAGES[log_likelihood.argmax()]


def _whitened(values, held_out):
    """Values (n, k) scaled and turned to mean 0 and covariance 1 of all but the rows held out: those, and these."""
    train = np.delete(values, held_out, axis=0)
    mean = train.mean(axis=0)
    left, singular, axes = np.linalg.svd(train - mean, full_matrices=False)
    turn = axes.T / singular * np.sqrt(len(train))
    return left * np.sqrt(len(train)), (values[held_out] - mean) @ turn
