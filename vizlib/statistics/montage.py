"""Montages: activations of a few real images side by side, joined where they are alike."""

import math
import warnings
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vizlib._arrays import Activations, Floats, Integers
from vizlib.statistics.counts import LEAST, Counts
from vizlib.statistics.mixtures import LocalGaussian
from vizlib.statistics.seams import PARTS, least_seams
from vizlib.statistics.snapshots import Mixture, generator

POOL = 512  # images that are looked at, at most
FIRST, BESIDE = 0.8, 0.9  # of these, the most typical first, how many a draw begins with, and how many lie beside it
NEAR = 1 / 8  # of what lies beside, how many are as near to a place that was asked for
GRID = 16  # cells of a side of a layout, at most
LARGE_BYTES = 2**32  # of activations beyond which it is told beforehand what they take


class Placed(Mixture):
    """A mixture of activations that lie side by side; weights are their shares.

    layout: int (rows, columns) of a grid over the positions, which of `images` is where.
    """

    layout: Integers

    def __new__(cls, images: Integers, weights: NDArray[np.float64], layout: Integers) -> Self:
        mixture = super().__new__(cls, images, weights)
        mixture.layout = layout
        return mixture


class Montage(LocalGaussian):
    """Activations of three real images side by side, each at its own place, joined where they are alike.

    For images that have little in common, such as photographs of a class: a mixture of such is a multiple exposure, at
    any layer. Here no image has more than 40 % of the positions, and seams run where both sides look alike, so that
    things stay whole. A draw begins with an image at random, of the four fifths most typical of the class: typical is a
    mean over positions that has a high cosine with those of the others. The two beside it, of the most typical nine
    tenths, and where they lie are sought together by simulated annealing (Kirkpatrick et al. 1983), so that along the
    seams the sum is least of 1 less the cosine, about the channels' means, of what the two images have there: the
    seams of Kwatra et al. 2003 and the montages of Agarwala et al. 2004, of activations. At a deep layer, where an
    activation says what lies where and not how it looks, they are new images. No image is in two draws as long as
    there are enough; of more than 512 a random 512 are looked at. Where there are three or more for each channel, draws
    have as much of everything as they do, such as one object (`Counts`).

    temperature: how far from the typical: it multiplies these shares of the class. places: a draw of each is made of
    the eighth of the images that are nearest along the components asked for, and begins with the one of these that is
    most like the sample's own, moved.
    """

    def __init__(self, rectify: bool = False) -> None:
        super().__init__(rectify=rectify)

    def draw(
        self,
        n: int,
        seed: int = 0,
        temperature: float = 1.0,
        places: Floats | None = None,
        among: Integers | None = None,
    ) -> tuple[Activations, list[Mixture]]:
        """As of `LocalGaussian`; mixtures are `Placed`. Warns where there are too few images for a montage.

        Raises ValueError where a layer has no positions.
        """
        if len(self.shape_) != 3:
            raise ValueError(f"expected a layer with positions; received activations of shape {self.shape_}.")
        rng, members = generator(n, seed, temperature), self._members(among)
        members = members[np.sort(np.random.default_rng(0).permutation(len(members))[:POOL])]
        if len(members) < PARTS:
            warnings.warn(
                f"expected at least {PARTS} images to put side by side; received {len(members)}: draws are halves of "
                "them, or copies. Show more images.",
                stacklevel=2,
            )
        if (room := 4 * len(members) * self.mean_.size) > LARGE_BYTES:
            warnings.warn(
                f"{len(members)} activations of shape {self.shape_} take {room / 1e9:.0f} GB of memory: a deeper "
                "layer, smaller images or `LocalGaussian` take less.",
                stacklevel=2,
            )
        real = self.real(self.images_[members])
        typical = np.argsort(-self._typicality(real), kind="stable")
        first, beside = (math.ceil(share * temperature * len(members)) for share in (FIRST, BESIDE))
        firsts = np.resize(rng.permutation(typical[: max(1, first)]), n if places is None else 1)
        beside, own = typical[: max(PARTS, beside)], int(rng.integers(2**32))
        if places is None:
            sought = [(first, beside, [own, i]) for i, first in enumerate(firsts)]
        else:
            sought = [(*self._near(x, members, firsts[0], beside), [own]) for x in np.asarray(places, "float64")]
        unlike = self._unlike(real)
        counts = self._counts(real, unlike.shape[:2])
        layouts: list[Integers] = []
        for first, candidates, key in sought:
            layout = least_seams(unlike, first, np.sort(candidates), key, counts)
            taken = np.unique([*firsts, *np.ravel(layouts)] if places is None else [])
            free = np.setdiff1d(candidates, taken[taken != first])
            if np.isin(layout, free, invert=True).any() and len(free) >= PARTS:
                layout = least_seams(unlike, first, free, key, counts)
            layouts.append(layout)
        mixtures = [_placed(self.images_[members], layout) for layout in layouts]
        values = side_by_side(mixtures, self.images_[members], real)
        del real, unlike, counts  # gigabytes, maybe, that mending has other use for
        return self._mended(values, mixtures, among)

    def _mended(self, values, mixtures, among):
        """Draws whose seams are mended, and what each is made of then: here they are left as they are."""
        return values, mixtures

    def _near(self, place, members, first, beside):
        """Of those beside the one that is most like the first moved to a place, and all that are near to this place."""
        z, k = self.coordinates_[members], len(place)
        asked, target = np.flatnonzero(~np.isnan(place)), z[first].copy()
        target[asked] = (place * np.sqrt(self.explained_variance_[:k]))[asked]
        apart = np.sum((z[beside] - target)[:, asked] ** 2 / self.explained_variance_[asked], axis=1)
        n = max(PARTS, math.ceil(NEAR * len(beside))) if asked.size else len(beside)
        near = beside[np.argsort(apart, kind="stable")[:n]]
        return near[np.sum((z[near] - target) ** 2, axis=1).argmin()], near

    def _typicality(self, real):
        """How typical activations are of all of them: (m,), cosines of what is in them, wherever, with its mean."""
        means = np.stack([self.rectified(x.copy()).mean(axis=(0, 1)) for x in real])
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.finfo("float32").tiny)
        return means @ means.mean(axis=0)

    def _unlike(self, real):
        """How unlike any two of m activations are in each cell of a grid: float32 (rows, columns, m, m), in [0, 2]."""
        centre = self.channel_mean
        shape = *(min(GRID, length) for length in self.shape_[:2]), len(real), len(real)
        unlike, (rows, columns) = np.empty(shape, "float32"), map(_cells, self.shape_[:2], shape[:2])
        for row in range(shape[0]):
            strip = real[:, rows == row] - centre
            strip /= np.maximum(np.linalg.norm(strip, axis=3, keepdims=True), np.finfo("float32").tiny)
            for column in range(shape[1]):
                x = strip[:, :, columns == column]
                positions, x = x.shape[1] * x.shape[2], x.reshape(len(x), -1)
                unlike[row, column] = 1 - x @ x.T / positions
        return unlike

    def _counts(self, real, grid):
        """What all of these have as many of, as far as there are enough to know it."""
        if len(real) < LEAST * self.shape_[2]:
            return None
        rows, columns = map(_cells, self.shape_[:2], grid)
        cells = np.zeros((len(real), *grid, self.shape_[2]), "float32")
        for row, column in np.ndindex(*grid):
            here = self.rectified(real[:, rows == row][:, :, columns == column])
            cells[:, row, column] = here.sum(axis=(1, 2)) / (len(rows) * len(columns))
        return Counts().fit(cells, PARTS)


def side_by_side(mixtures: list[Placed], images: Integers, real: Activations | list[Activations]) -> Activations:
    """Activations of any layer with positions, or pixels, as the layouts of mixtures have them: (n, h, w, channels).

    images: ascending int (m,), those of the mixtures among them. real: what these have, m of float (h, w, channels),
    as one array or many.
    """
    drawn = np.empty((len(mixtures), *real[0].shape), real[0].dtype)
    for values, mixture in zip(drawn, mixtures, strict=True):
        cells = np.searchsorted(images, mixture.images)[mixture.layout]
        which = cells[np.ix_(*map(_cells, values.shape[:2], cells.shape))]
        for image in np.unique(which):
            values[which == image] = real[image][which == image]
    return drawn


def _cells(length, cells):
    """Which of so many cells in a row each position is in."""
    return np.arange(length) * cells // length


def _placed(images, layout):
    used, where = np.unique(layout, return_inverse=True)
    where = where.reshape(layout.shape)
    return Placed(images[used], np.bincount(where.ravel()) / where.size, where)
