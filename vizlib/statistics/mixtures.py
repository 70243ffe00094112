"""Samplers of weighted sums of real activations: around each, and between a few."""

from collections.abc import Callable

import numpy as np

from vizlib._arrays import Activations, Floats, Integers
from vizlib.statistics.snapshots import Mixture, Snapshots, generator


class Sampler(Snapshots):
    """Snapshots that draw mixtures of samples, `_mixtures(n, rng, temperature)`, and so new activations."""

    _mixtures: Callable[[int, np.random.Generator, float], list[Mixture]]

    def draw(self, n: int, seed: int = 0, temperature: float = 1.0) -> tuple[Activations, list[Mixture]]:
        """As `sample`, but before the ReLU; and which samples each is made of, with what weights."""
        mixtures = self._mixtures(n, generator(n, seed, temperature), temperature)
        return self.mixed(mixtures), mixtures

    def sample(self, n: int, seed: int = 0, temperature: float = 1.0) -> Activations:
        """Draw n ≥ 1 activations: float32 (n, *shape_), rectified where `rectify`.

        temperature ≥ 0: scales how far draws lie from the mean that they are drawn around; 0 gives that mean. Raises
        ValueError for another n or temperature.
        """
        return self.rectified(self.draw(n, seed, temperature)[0])


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

    def draw(
        self,
        n: int,
        seed: int = 0,
        temperature: float = 1.0,
        places: Floats | None = None,
        among: Integers | None = None,
    ) -> tuple[Activations, list[Mixture]]:
        """As of every sampler.

        places: float (m, k), to draw one sample and move it to m places along the leading k components, in standard
        deviations of the class from its mean, NaN where it may lie as it does. among: which samples draws are made of,
        int (m,), such as those of a facet; None for all.
        """
        rng, members = generator(n, seed, temperature), self._members(among)
        mixtures = self._bases(n if places is None else 1, rng, temperature, members)
        mixtures = mixtures if places is None else self.moved(mixtures[0], places)
        return self.mixed(mixtures), mixtures

    def _members(self, among):
        every = np.arange(self.n_samples_seen_)
        if among is None:
            return every
        members = every[np.isin(self.images_, among)]
        if not members.size:
            raise ValueError(f"expected among some of the {len(every)} samples; received {among}.")
        return members

    def _bases(self, n, rng, temperature, members):
        mixtures = []
        for _ in range(n):
            point = self.coordinates_[members[rng.integers(len(members))]]
            chosen = self.nearest(point, self.n_neighbours, members=members)
            noise, m = rng.standard_normal(len(chosen)), len(chosen)
            weights = 1 / m + temperature * (noise - noise.mean()) / np.sqrt(max(m - 1, 1))
            mixtures.append(Mixture(self.images_[chosen], weights))
        return mixtures

    def moved(self, mixture: Mixture, places: Floats) -> list[Mixture]:
        """A mixture moved along the leading components to `places`, as of `draw`."""
        places = np.asarray(places, "float64")
        k, (point,) = places.shape[1], self.coordinates_of([mixture])
        shifts = places * np.sqrt(self.explained_variance_[:k]) - point[:k]
        weights = np.where(np.isnan(shifts), 0, shifts) @ self.weights_[:, :k].T
        weights[:, np.searchsorted(self.images_, mixture.images)] += mixture.weights
        return [Mixture(self.images_, own) for own in weights]


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
