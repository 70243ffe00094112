"""Samplers of weighted sums of real activations: around each, between a few, within facets of the class."""

from functools import cached_property
from typing import Self

import numpy as np

from vizlib.statistics.snapshots import Mixture, Snapshots, generator
from vizlib.statistics.streaming import Samples

TOGETHER = 8  # images whose layers are drawn together


class Sampler(Snapshots):
    """Snapshots that draw mixtures of samples, `_mixtures(n, rng, temperature)`, and so new activations."""

    def draw(self, n: int, seed: int = 0, temperature: float = 1.0) -> tuple[np.ndarray, list[Mixture]]:
        """As `sample`, but before the ReLU; and which samples each is made of, with what weights."""
        mixtures = self._mixtures(n, generator(n, seed, temperature), temperature)
        return self.mixed(mixtures), mixtures

    def sample(self, n: int, seed: int = 0, temperature: float = 1.0) -> np.ndarray:
        """Draw n ≥ 1 activations: float32 (n, *shape_), rectified where `rectify`.

        temperature ≥ 0: scales how far draws lie from the mean that they are drawn around; 0 gives that mean. Raises
        ValueError for another n or temperature.
        """
        return self.rectified(self.draw(n, seed, temperature)[0])

    def nearest(self, point: np.ndarray, n: int, left_out: int = 0) -> np.ndarray:
        """Which n samples are nearest to a point (K,) in the coordinates, int, but for so many if there are enough."""
        order = np.argsort(np.linalg.norm(self.coordinates_ - point, axis=1), kind="stable")
        return order[min(left_out, max(0, len(order) - n)) :][:n]


class LocalGaussian(Sampler):
    """A Gaussian around each real activation, of its nearest neighbours: a mixture of PCA Gaussians that overlap.

    One Gaussian for a whole class lies between poses as well as at them, and draws ghosts. A draw here picks a real
    activation at random and comes from the Gaussian of the n_neighbours activations nearest to it in the coordinates,
    itself among them, with all their components (mixtures of principal component analysers: Tipping & Bishop 1999).

    n_neighbours: at least 2; all samples where there are fewer. rectify: see `Snapshots`, as all that is fitted.
    """

    def __init__(self, n_neighbours: int = 16, rectify: bool = False) -> None:
        if n_neighbours < 2:
            raise ValueError(f"expected at least 2 n_neighbours; received {n_neighbours}.")
        super().__init__(rectify)
        self.n_neighbours = n_neighbours

    def _mixtures(self, n, rng, temperature, n_neighbours=None):
        mixtures = []
        for _ in range(n):
            chosen = self.nearest(self.coordinates_[rng.integers(self.n_samples_seen_)], self.n_neighbours)
            chosen = chosen[:n_neighbours]
            noise, m = rng.standard_normal(len(chosen)), len(chosen)
            weights = 1 / m + temperature * (noise - noise.mean()) / np.sqrt(m - 1)
            mixtures.append(Mixture(self.images_[chosen], weights))
        return mixtures


def drawn_together(
    around: LocalGaussian, models: dict[str, Snapshots], n: int, seed: int = 0, temperature: float = 1.0
) -> tuple[dict[str, np.ndarray], list[Mixture]]:
    """Draw several layers from the joint Gaussian of a few images that are neighbours at another layer.

    A Gaussian of m samples draws sums of them, and the same sum of each layer is a draw of all the layers together.
    Neighbours at a deep layer are alike in what they show more than in where it is. Returns {layer: float32 (n, ...)},
    rectified where `rectify`, and the mixtures, which serve all layers.

    around: the `LocalGaussian` that tells the neighbours, of which there are TOGETHER. models: {layer: fitted
    `Snapshots`} of the same images; ValueError for others. n, seed, temperature: as of samplers.
    """
    rng = generator(n, seed, temperature)
    if any(not np.array_equal(model.images_, around.images_) for model in models.values()):
        seen = ", ".join(f"{model.n_samples_seen_} at {layer}" for layer, model in models.items())
        raise ValueError(f"expected models of the {around.n_samples_seen_} images of the neighbours; received {seen}.")
    mixtures = around._mixtures(n, rng, temperature, TOGETHER)
    return {layer: model.rectified(model.mixed(mixtures)) for layer, model in models.items()}, mixtures


class BootstrapMix(Sampler):
    """Weighted means of a few real activations: little new, but every draw keeps close to the data.

    n_mixed: how many different ones go into a draw, with random Dirichlet weights; all samples where there are fewer.
    rectify: see `Snapshots`, as all that is fitted.
    """

    CONCENTRATION = 10  # of the Dirichlet: at 1 many a draw is nearly a copy of one real activation

    def __init__(self, n_mixed: int = 3, rectify: bool = False) -> None:
        if n_mixed < 1:
            raise ValueError(f"expected n_mixed of at least 1; received {n_mixed}.")
        super().__init__(rectify)
        self.n_mixed = n_mixed

    def _mixtures(self, n, rng, temperature):
        m, mixtures = min(self.n_mixed, self.n_samples_seen_), []
        for _ in range(n):
            chosen = np.sort(rng.choice(self.n_samples_seen_, m, replace=False))
            weights = rng.dirichlet(np.full(m, self.CONCENTRATION))
            mixtures.append(Mixture(self.images_[chosen], 1 / m + temperature * (weights - 1 / m)))
        return mixtures


class ClusteredGaussian(Sampler):
    """A PCA Gaussian for each facet of a class, which k-means finds in the leading coordinates.

    n_clusters: how many facets. rectify: see `Snapshots`, as all that is fitted, and `labels_` (n,), the facet of each
    sample, from 0. Of each facet, as of a whole class in `PCAGaussian`, a fifth as many components as samples is used.
    """

    def __init__(self, n_clusters: int = 4, rectify: bool = False) -> None:
        if n_clusters < 1:
            raise ValueError(f"expected n_clusters of at least 1; received {n_clusters}.")
        super().__init__(rectify)
        self.n_clusters = n_clusters

    def fit(self, X: Samples) -> Self:
        vars(self).pop("labels_", None)
        return super().fit(X)

    @cached_property
    def labels_(self) -> np.ndarray:
        from sklearn.cluster import KMeans

        leading = self.coordinates_[:, : max(1, self.n_samples_seen_ // 5)]
        if not leading.size:  # all samples alike
            return np.zeros(self.n_samples_seen_, "int32")
        return KMeans(self.n_clusters, n_init=10, random_state=0).fit_predict(leading)

    def sample(
        self, n: int, seed: int = 0, temperature: float = 1.0, cluster: int | None = None
    ) -> np.ndarray:
        """As of every sampler; cluster: the one facet to draw from, or None for all, as often as each is in the data.

        Raises ValueError, listing the facets, for another.
        """
        mixtures = self._mixtures(n, generator(n, seed, temperature), temperature, cluster)
        return self.rectified(self.mixed(mixtures))

    def _mixtures(self, n, rng, temperature, cluster=None):
        labels = self.labels_[rng.integers(self.n_samples_seen_, size=n)]
        if cluster is not None:
            labels = np.full(n, cluster)
        if not np.isin(labels, self.labels_).all():
            raise ValueError(f"expected a cluster out of {np.unique(self.labels_).tolist()}; received {cluster!r}.")
        mixtures = [None] * n
        for label in np.unique(labels):
            members = np.flatnonzero(self.labels_ == label)
            centred = self.coordinates_[members].astype("float64")
            centred -= centred.mean(axis=0)
            m, k = len(members), max(1, len(members) // 5)
            axes, singular, _ = np.linalg.svd(centred, full_matrices=False)
            axes = axes[:, :k] * (singular[:k] > 0) / np.sqrt(max(1, m - 1))
            for i in np.flatnonzero(labels == label):
                weights = 1 / m + temperature * axes @ rng.standard_normal(axes.shape[1])
                mixtures[i] = Mixture(self.images_[members], weights)
        return mixtures
