"""Counts: what all images of a class have as many of, wherever it lies, such as one object each."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from vizlib._arrays import Activations, Integers

LEAST = 3  # images for each channel, of fewer the covariance of the channels is not known
RANDOM = 512  # montages of random images that real ones are compared with
HELD_OUT = 1 / 3  # of the images, which say how far one may lie
USUAL = 0.9  # of these, how many lie within the limit


class Counts:
    """How unusual it is for a real image to have as much of everything as a montage of real images has.

    If each image of a class has one object, montages of some may have none, and others two, whatever their seams are
    like. Then there are directions, of the channels' means over all positions, in which montages vary more than real
    images do: generalised eigenvectors of both covariances, of montages of random images and of real ones, with an
    eigenvalue λ above 1. Along these, with z the distance to the mean in standard deviations of real images, the log
    odds of two Gaussians are ½ (1 − 1/λ) z², by which draws are weighed in sampling importance resampling (Rubin 1987).
    Where nothing is counted, no direction is left. The covariance of real images, of two thirds of them, is shrunken
    (Ledoit & Wolf 2004).

    `limit`: what nine tenths of the other third have at most.
    """

    limit: float

    def fit(self, cells: Activations, parts: int) -> Self:
        """Fit on what is in each cell of m images, float (m, rows, columns, channels), and montages of `parts` images.

        Cells are sums over positions, as shares of a mean over the image: those of an image add up to its means.
        """
        from sklearn.covariance import ledoit_wolf

        rng, (m, *grid, channels) = np.random.default_rng(0), cells.shape
        means = cells.sum(axis=(1, 2), dtype="float64")
        held_out, shown = np.split(rng.permutation(m), [int(HELD_OUT * m)])
        random = self._means(cells, _random_layouts(rng, m, parts, grid))
        real, _ = ledoit_wolf(means[shown])
        real += np.finfo("float32").eps * (np.trace(real) or 1) / channels * np.eye(channels)
        values, vectors = eigh(np.cov(random.T).reshape(channels, channels), real)
        counted = values > 1
        self._cells, self._centre = cells, means[shown].mean(axis=0)
        self._scaled = vectors[:, counted] * np.sqrt((1 - 1 / values[counted]) / 2)
        self.limit = float(np.quantile(self._unusual(means[held_out]), USUAL))
        return self

    def unusual(self, layouts: Integers) -> NDArray[np.float64]:
        """The log odds, 0 or more, of layouts, int (n, rows, columns), which of the m is in each cell: float64 (n,)."""
        return self._unusual(self._means(self._cells, layouts))

    def _unusual(self, means):
        return np.sum(((means - self._centre) @ self._scaled) ** 2, axis=1)

    @staticmethod
    def _means(cells, layouts):
        rows, columns = np.indices(cells.shape[1:3])
        return np.stack([cells[layout, rows, columns].sum(axis=(0, 1), dtype="float64") for layout in layouts])


def _random_layouts(rng, m, parts, grid):
    """Each cell is of the image whose random spot is nearest: int (RANDOM, rows, columns)."""
    at = np.moveaxis(np.indices(grid), 0, -1)[None, :, :, None]
    spots = rng.random((RANDOM, 1, 1, parts, 2)) * grid
    nearest = np.sum((at - spots) ** 2, axis=-1).argmin(axis=-1)
    images = rng.permuted(np.tile(np.arange(m), (RANDOM, 1)), axis=1)[:, :parts]
    return np.take_along_axis(images, nearest.reshape(RANDOM, -1), axis=1).reshape(nearest.shape)
