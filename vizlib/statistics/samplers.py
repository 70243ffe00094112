"""Samplers that keep close to real activations: around each, between a few, within facets of the class."""

from functools import cached_property

import numpy as np

from vizlib.statistics.pca import Sampler, generator

TOGETHER = 8  # images whose layers are drawn together


class LocalGaussian(Sampler):
    """A Gaussian around each real activation, of its nearest neighbours: a mixture of PCA Gaussians that overlap.

    One Gaussian for a whole class lies between poses as well as at them, and draws ghosts. A draw here picks a real
    activation at random and comes from the Gaussian of the n_neighbours activations nearest to it in the coordinates,
    itself among them, with all their components (mixtures of principal component analysers: Tipping & Bishop 1999).

    n_neighbours: at least 2; all samples where there are fewer. rectify: see `PCA`, as all that is fitted.
    """

    def __init__(self, n_neighbours=16, rectify=False):
        if n_neighbours < 2:
            raise ValueError(f"expected at least 2 n_neighbours; received {n_neighbours}.")
        super().__init__(rectify=rectify)
        self.n_neighbours = n_neighbours

    def _draw(self, n, rng, temperature):
        mixtures = (self._mixture(rng, temperature) for _ in range(n))
        return np.stack([weights @ self.coordinates_[chosen] for chosen, weights in mixtures])

    def _mixture(self, rng, temperature, n_neighbours=None):
        """A draw as a weighted sum of samples: which, int (m,), and their weights (m,), of sum 1, some negative."""
        chosen = self._nearest(self.coordinates_[rng.integers(self.n_samples_seen_)])[:n_neighbours]
        noise, m = rng.standard_normal(len(chosen)), len(chosen)
        return chosen, 1 / m + temperature * (noise - noise.mean()) / np.sqrt(m - 1)

    def _nearest(self, point):
        """Which samples are nearest to a point in the coordinates."""
        distances = np.linalg.norm(self.coordinates_ - point, axis=1)
        return np.argsort(distances, kind="stable")[: self.n_neighbours]


def drawn_together(around, models, n, seed=0, temperature=1.0):
    """Draw several layers from the joint Gaussian of a few images that are neighbours at another: {layer: (n, ...)}.

    A Gaussian of m samples draws sums of them, and the same sum of each layer is a draw of all the layers together,
    float32, rectified where `rectify`. Neighbours at a deep layer are alike in what they show more than in where it is.

    around: the `LocalGaussian` that tells the neighbours, of which there are TOGETHER. models: {layer: fitted `PCA`} of
    the same images in the same order; ValueError for others. n, seed, temperature: as of samplers.
    """
    rng = generator(n, seed, temperature)
    if any(model.n_samples_seen_ != around.n_samples_seen_ for model in models.values()):
        seen = ", ".join(f"{model.n_samples_seen_} at {layer}" for layer, model in models.items())
        raise ValueError(f"expected models of the {around.n_samples_seen_} images of the neighbours; received {seen}.")
    mixtures = [around._mixture(rng, temperature, TOGETHER) for _ in range(n)]
    return {
        layer: model.inverse_transform(np.stack([weights @ model.coordinates_[chosen] for chosen, weights in mixtures]))
        for layer, model in models.items()
    }


class BootstrapMix(Sampler):
    """Weighted means of a few real activations: little new, but every draw keeps close to the data.

    n_mixed: how many different ones go into a draw, with random Dirichlet weights; all samples where there are fewer.
    rectify: see `PCA`, as all that is fitted.
    """

    CONCENTRATION = 10  # of the Dirichlet: at 1 many a draw is nearly a copy of one real activation

    def __init__(self, n_mixed=3, rectify=False):
        if n_mixed < 1:
            raise ValueError(f"expected n_mixed of at least 1; received {n_mixed}.")
        super().__init__(rectify=rectify)
        self.n_mixed = n_mixed

    def _draw(self, n, rng, temperature):
        m = min(self.n_mixed, self.n_samples_seen_)
        draws = np.empty((n, len(self.components_)))
        for draw in draws:
            chosen = np.sort(rng.choice(self.n_samples_seen_, m, replace=False))
            weights = rng.dirichlet(np.full(m, self.CONCENTRATION))
            draw[:] = (1 / m + temperature * (weights - 1 / m)) @ self.coordinates_[chosen]
        return draws


class ClusteredGaussian(Sampler):
    """A PCA Gaussian for each facet of a class, which k-means finds in the leading coordinates.

    n_clusters: how many facets. rectify: see `PCA`, as all that is fitted, and `labels_` (n,), the facet of each
    sample, from 0. Of each facet, as of a whole class in `PCAGaussian`, a fifth as many components as samples is used.
    """

    def __init__(self, n_clusters=4, rectify=False):
        if n_clusters < 1:
            raise ValueError(f"expected n_clusters of at least 1; received {n_clusters}.")
        super().__init__(rectify=rectify)
        self.n_clusters = n_clusters

    def fit(self, X):
        vars(self).pop("labels_", None)
        return super().fit(X)

    @cached_property
    def labels_(self):
        from sklearn.cluster import KMeans

        leading = self.coordinates_[:, : max(1, self.n_samples_seen_ // 5)]
        if not leading.size:  # all samples alike
            return np.zeros(self.n_samples_seen_, "int32")
        return KMeans(self.n_clusters, n_init=10, random_state=0).fit_predict(leading)

    def sample(self, n, seed=0, temperature=1.0, cluster=None):
        """As of every sampler; cluster: the one facet to draw from, or None for all, as often as each is in the data.

        Raises ValueError, listing the facets, for another.
        """
        rng = generator(n, seed, temperature)
        labels = self.labels_[rng.integers(self.n_samples_seen_, size=n)]
        if cluster is not None:
            labels = np.full(n, cluster)
        if not np.isin(labels, self.labels_).all():
            raise ValueError(f"expected a cluster out of {np.unique(self.labels_).tolist()}; received {cluster!r}.")
        draws = np.empty((n, len(self.components_)))
        for label in np.unique(labels):
            members = self.coordinates_[self.labels_ == label].astype("float64")
            mean, k = members.mean(axis=0), max(1, len(members) // 5)
            _, singular, axes = np.linalg.svd(members - mean, full_matrices=False)
            deviation = singular[:k] / np.sqrt(max(1, len(members) - 1))
            noise = rng.standard_normal((np.sum(labels == label), len(deviation)))
            draws[labels == label] = mean + temperature * (noise * deviation) @ axes[:k]
        return self.inverse_transform(draws)
