"""Quilting: activations put together from patches of real ones, at one layer and at the layers below it."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from vizlib._arrays import THREADS, Activations, Floats, Integers
from vizlib.statistics.mixtures import LocalGaussian
from vizlib.statistics.montage import Montage
from vizlib.statistics.snapshots import Mixture, Snapshots, generator

COPY = 0.6  # share of patches from one activation, beyond which a quilt is called a copy of it
LEFT_OUT = 3  # nearest activations that no quilt is made of, for its sake to be new
NEIGHBOURS = 32
BESIDE = 12  # activations that are nearest to each of a montage, of which it is mended
CANDIDATES = 2  # draws for each sample, of which the one is kept whose patches fit together best
ROUNDS = 4  # how often patches are sought and their mean is taken
SEARCH_BYTES = 2**28  # of the distances that are compared at a time
LARGE_BYTES = 2**32  # of activations, three times over, beyond which it is told beforehand what they take
_TINY = np.finfo("float32").tiny


class QuiltedGaussian(LocalGaussian):
    """A `LocalGaussian` whose draws are put together anew from patches of the activations around them.

    A mean of neighbours blurs what lies in a different place in each of them: eyes, mouths, wheels. Each patch of a
    draw is therefore replaced by the nearest patch of activations near to it, a little moved if need be, and where
    patches overlap their mean is taken: close together, things are as in a real image, and further apart as in the
    Gaussian. The three activations nearest to the draw are left out, so that it is no copy; of two draws that one
    is kept whose patches agree more where they overlap. Patches of images were quilted by Efros & Freeman 2001, of
    activations by Li & Wand 2016; the rounds of search and mean are those of Wexler et al. 2007. Layers without
    positions are drawn as by `LocalGaussian`.

    Among images that are few or very unlike each other the nearest patches are mostly those of one, of which the draw
    is then nearly a copy. `sample` and `draw` warn of it; `LocalGaussian` does not copy.
    """

    def __init__(self, n_neighbours: int = NEIGHBOURS, rectify: bool = False) -> None:
        super().__init__(n_neighbours, rectify)

    def draw(
        self,
        n: int,
        seed: int = 0,
        temperature: float = 1.0,
        places: Floats | None = None,
        among: Integers | None = None,
    ) -> tuple[Activations, list[Mixture]]:
        """As of `LocalGaussian`: weights are shares of patches. Warns where most are those of one activation."""
        if len(self.shape_) != 3:
            return super().draw(n, seed, temperature, places, among)
        rng, members = generator(n, seed, temperature), self._members(among)
        samples = [self._bases(CANDIDATES, rng, temperature, members) for _ in range(n if places is None else 1)]
        if places is not None:  # all draws are one sample
            (tries,) = samples
            samples = [[x for base in tries for x in self.moved(base, places)]]
        each = len(samples[0]) // CANDIDATES  # draws that are kept or given up together
        values, shares, apart = self._quilts([mixture for tries in samples for mixture in tries], members)
        faults = apart.reshape(len(samples), CANDIDATES, each).sum(axis=2)
        best = np.arange(len(apart)).reshape(len(samples), CANDIDATES, each)[range(len(samples)), faults.argmin(axis=1)]
        kept = [shares[i] for i in best.ravel()]
        if (share := np.mean([mixture.weights.max() for mixture in kept])) > COPY:
            warnings.warn(
                f"expected draws made of patches of several activations; received {share:.0%} of their patches from "
                "one: they are nearly copies of it. Show more images, or use LocalGaussian.",
                stacklevel=3,
            )
        return values[best.ravel()], kept

    def _quilts(self, mixtures, members):
        """The quilts of mixtures, of members near each, (n, h, w, channels); shares of these; and see `quilted`."""
        chosen = np.zeros((len(mixtures), self.n_samples_seen_), bool)
        n = min(self.n_neighbours, max(len(members) - LEFT_OUT, (len(members) + 1) // 2))
        for row, point in zip(chosen, self.coordinates_of(mixtures), strict=True):
            row[self.nearest(point, n, LEFT_OUT, members)] = True
        _tell_size(self, chosen)
        return _quilts_of(self, self.mixed(mixtures), chosen)


class QuiltedMontage(Montage):
    """A `Montage` whose seams are mended: it is put together anew from patches of its images and of those near them.

    For scenes with an object anywhere. A mean of neighbours, which a `QuiltedGaussian` begins with, has no object
    where each of them has it elsewhere; in a montage there is one, of which a seam may have cut a part. As in a quilt,
    each patch is replaced by the nearest one, a little moved if need be, of the images of the draw and of the twelve
    nearest to each of these: within an image that is its own, and across a seam one that goes on as things do.

    Weights are shares of patches.
    """

    def _mended(self, values, mixtures, among):
        members, chosen = self._members(among), np.zeros((len(values), self.n_samples_seen_), bool)
        for row, mixture in zip(chosen, mixtures, strict=True):
            for image in np.searchsorted(self.images_, mixture.images):
                row[self.nearest(self.coordinates_[image], 1 + BESIDE, members=members)] = True
        _tell_size(self, chosen)
        return _quilts_of(self, values, chosen)[:2]


def _tell_size(model, chosen):
    n = np.count_nonzero(chosen.any(axis=0))
    if (room := 3 * 4 * n * model.mean_.size) > LARGE_BYTES:  # as read, side by side, and with a margin
        warnings.warn(
            f"patches of {n} activations of shape {model.shape_} take {room / 1e9:.0f} GB of memory, and many minutes "
            "to look through: a deeper layer, smaller images or `LocalGaussian` take less.",
            stacklevel=5,
        )


def _quilts_of(model, draws, chosen):
    """Quilts of draws (n, h, w, channels), from samples chosen for each, bool (n, m); their shares; see `quilted`."""
    used = np.flatnonzero(chosen.any(axis=0))
    images = model.images_[used]
    quilts, found, apart = quilted(draws, model.real(images), chosen[:, used])
    return quilts, [_shares(images, which) for which in found], apart


class Analogies:
    """What lies at finer layers under activations of a layer: the image analogies of Hertzmann et al. 2001.

    Where an activation is as in a patch of a real one, the most similar by their cosine about the channels' means, a
    finer layer is as under that patch. Details that the upper layer does not tell are those that went with it.

    upper: the fitted `Snapshots`, or sampler, of a layer with positions. values: float (n, *upper.shape_), as it was
    fitted: before the ReLU where its `rectify` is true. images: for each of the n which images give the patches, int
    (m,). Raises ValueError for values of another shape.

    `images`: all of them, int (m,), ascending.
    """

    def __init__(self, upper: Snapshots, values: Floats, images: list[Integers]) -> None:
        if len(upper.shape_) != 3 or values.shape[1:] != upper.shape_:
            expected = f"activations of shape {('n', *upper.shape_)}, of a layer with positions"
            raise ValueError(f"expected {expected}; received {values.shape}.")
        self.images = np.unique(np.concatenate(images))
        allowed = np.stack([np.isin(self.images, own) for own in images])
        self._found = _Patches(upper.real(self.images), upper.channel_mean).nearest(values, allowed)

    def below(self, real: Activations) -> tuple[Activations, list[Mixture]]:
        """Activations of a finer layer, float (n, h, w, channels), and the images' shares in them.

        real: those of `images`, float (m, h, w, channels); ValueError for others.
        """
        if len(real) != len(self.images) or real.ndim != 4:
            raise ValueError(f"expected activations ({len(self.images)}, h, w, channels); received {real.shape}.")
        values = np.stack([_put_together(found, real, 1) for found in self._found])
        return values, [_shares(self.images, found[0]) for found in self._found]


def _shares(images, sources):
    """What is made of patches of images, the number of its source for each, as a mixture of those with a part."""
    weights = np.bincount(sources.ravel(), minlength=len(images)) / sources.size
    return Mixture(images[weights > 0], weights[weights > 0])


def quilted(
    draws: Activations,
    sources: Activations,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[Activations, Integers, Floats]:
    """Activations (n, h, w, channels) of the patches of sources (m, h, w, channels) that are most like their own.

    Also returns the source of the patch at each position, int (n, h, w), and by how much patches disagree where they
    overlap, (n,), as a share of the variance. Patches are compared over a quarter of the layer's height; they may come
    from up to a sixteenth of it away, at least one position. allowed: bool (n, m), the sources of each; None for all.
    """
    patches, found = _Patches(sources), np.empty(0, int)
    for _ in range(ROUNDS):
        before, found = found, patches.nearest(draws, allowed)
        if np.array_equal(before, found):
            break
        draws = np.stack([_put_together(places, sources, patches.reach) for places in found])
    own = np.stack([_put_together(places, sources, 0) for places in found])
    variances = np.maximum(draws.reshape(len(draws), -1).var(axis=1), _TINY)
    apart = ((own - draws) ** 2).mean(axis=(1, 2, 3)) / variances
    return draws, found[:, 0], apart


class _Patches:
    """The patches of sources (m, h, w, channels), to look for the most similar ones again and again.

    centre: (channels,), about which a high cosine is similar, as in Li & Wand 2016; None for a low distance.
    """

    def __init__(self, sources, centre=None):
        self.shape, self.reach, self._centre = sources.shape[:3], max(1, sources.shape[1] // 16), centre
        margin = (self.reach, self.reach)
        self._around = np.pad(np.moveaxis(sources, 0, 2), (margin, margin, (0, 0), (0, 0)), mode="edge")
        if centre is not None:
            self._around -= centre  # in place, as these may be gigabytes
        self._squares = np.einsum("hwmc,hwmc->hwm", self._around, self._around)

    def nearest(self, draws, allowed=None):
        """For each position of draws (n, h, w, channels) the source of the most similar patch, and how far down and
        right of it that lies, within the source: int (n, 3, h, w). allowed: bool (n, m), the sources of each; None for
        all.
        """
        (m, height, width), n = self.shape, len(draws)
        step = max(1, SEARCH_BYTES // (4 * height * width * m * THREADS))
        parts = (slice(start, start + step) for start in range(0, n, step))
        return np.concatenate([self._nearest(draws[i], None if allowed is None else allowed[i]) for i in parts])

    def _nearest(self, draws, allowed):
        draws = draws if self._centre is None else draws - self._centre
        wanted = np.ascontiguousarray(np.moveaxis(draws, 0, 2))
        barred = 0 if allowed is None else np.where(allowed, 0, -np.inf).astype(wanted.dtype)

        def compared(moved):
            at, inside = self._moved(*moved)
            alike, squares = wanted @ self._around[at].swapaxes(2, 3), self._squares[at]
            if self._centre is None:  # minus half the squared distance, but for what is the same of all candidates
                alike = _mean_over_patches(alike - squares[:, :, None] / 2)
            else:
                alike = _mean_over_patches(alike)
                alike /= np.sqrt(np.maximum(_mean_over_patches(squares), _TINY))[:, :, None]
            alike += barred
            alike[~inside] = -np.inf
            source = alike.argmax(axis=3)
            return source, np.take_along_axis(alike, source[..., None], axis=3)[..., 0]

        moves = list(_square(self.reach))
        # BLAS's own threads wait for each other at every position.
        with threadpool_limits(1), ThreadPoolExecutor(THREADS) as threads:
            sources, alike = map(np.stack, zip(*threads.map(compared, moves), strict=True))
            best = alike.argmax(axis=0)[None]
            found = np.take_along_axis(sources, best, axis=0)[0], *np.array(moves).T[:, best[0]]
            return np.moveaxis(np.stack(found), (0, 3), (1, 0))

    def _moved(self, *by):
        """What lies so far down and right of all positions: where in what is padded, and where within the source."""
        places = [np.arange(length) + far for length, far in zip(self.shape[1:], by, strict=True)]
        at = tuple(slice(self.reach + x[0], self.reach + x[-1] + 1) for x in places)
        return at, np.logical_and.outer(*map(_inside, places, self.shape[1:]))


def _mean_over_patches(values):
    """Means of (h, w, …) over the patch around each position."""
    height, width = values.shape[:2]
    side = max(3, height // 4 | 1)
    over_rows, over_columns = (_mean_filter(length, side) for length in (height, width))
    rows = (over_rows @ values.reshape(height, -1)).reshape(height, width, -1)
    return (over_columns @ rows).reshape(values.shape)


def _mean_filter(length, side):
    """The matrix (length, length) that takes means over so many neighbours; beyond the ends lies what lies there."""
    at = _within(np.arange(length)[:, None] + np.arange(side) - side // 2, length)
    return (at[..., None] == np.arange(length)).mean(axis=1, dtype="float32")


def _put_together(found, sources, reach):
    """The mean of the patches found (3, h, w) up to `reach` positions away, as (H, W, channels).

    What a patch would have beyond the border of its source does not count; a position's own is within it.
    sources: (m, H, W, channels), H ≥ h and W ≥ w.
    """
    (height, width), (fine_height, fine_width) = found.shape[1:], sources[0].shape[:2]
    rows, columns = np.mgrid[:fine_height, :fine_width]
    total, weights = 0, 0
    for down, right in _square(reach):
        at = _within(rows * height // fine_height + down, height), _within(columns * width // fine_width + right, width)
        source, below, aside = found[:, *at]
        places = rows + below * fine_height // height, columns + aside * fine_width // width
        inside = _inside(places[0], fine_height) & _inside(places[1], fine_width)
        weight = inside.astype("float32")[..., None]
        patch = sources[source, _within(places[0], fine_height), _within(places[1], fine_width)]
        total, weights = total + weight * patch, weights + weight
    return total / weights


def _square(reach):
    return product(range(-reach, reach + 1), repeat=2)


def _inside(positions, length):
    return (positions >= 0) & (positions < length)


def _within(positions, length):
    return np.clip(positions, 0, length - 1)
