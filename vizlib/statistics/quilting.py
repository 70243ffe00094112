"""Quilting: activations put together from patches of real ones, at one layer and at the layers below it."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from vizlib.statistics.mixtures import LocalGaussian, Sampler
from vizlib.statistics.snapshots import Mixture, Snapshots, generator

COPY = 0.6  # share of patches from one activation, beyond which a quilt is called a copy of it
LEFT_OUT = 3  # nearest activations that no quilt is made of, for its sake to be new
NEIGHBOURS = 32
CANDIDATES = 2  # draws for each sample, of which the one is kept whose patches fit together best
LAYOUTS = 8  # real ones that are tried for each sample
POOL = 512  # activations that the patches of a layout come from, at most
MOST = 0.4  # share of patches from one activation that a layout is passed over for, if there is another
BESIDE, BELOW = 0.25, 0.1  # of layouts the weights of patches beside a position's own, there and at the layer below
ROUNDS = 4  # how often patches are sought and their mean is taken


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

    def draw(self, n: int, seed: int = 0, temperature: float = 1.0) -> tuple[np.ndarray, list[Mixture]]:
        """As of every sampler: weights are shares of patches. Warns where most are those of one activation."""
        if len(self.shape_) < 3:
            return super().draw(n, seed, temperature)
        mixtures = self._mixtures(CANDIDATES * n, generator(n, seed, temperature), temperature)
        points = self.coordinates_of(mixtures)
        images = [np.sort(self.images_[self.nearest(point, self.n_neighbours, LEFT_OUT)]) for point in points]
        quilts = []
        self.real(np.unique(images))  # that a source which computes them does so for all at once
        with ThreadPoolExecutor(CANDIDATES) as threads:
            for i in range(0, len(mixtures), CANDIDATES):
                of = slice(i, i + CANDIDATES)
                quilted_draws = threads.map(quilted, self.mixed(mixtures[of]), map(self.real, images[of]))
                candidates = zip(images[of], quilted_draws, strict=True)
                quilts.append(min(candidates, key=lambda candidate: candidate[1][2]))
        return _drawn(quilts, "LocalGaussian")


class QuiltedLayout(Sampler):
    """Layouts of real activations, put together anew from patches of all others.

    For images that have little in common, such as photographs of a class: a mixture of such is a multiple exposure, at
    any layer. A draw takes a real activation at random and replaces each patch of it by the nearest patch of any other,
    as `QuiltedGaussian` does; the three activations nearest to the layout, itself among them, are left out, and of more
    than 512 the nearest 512 are looked at. Of eight layouts that one is kept which the others' patches meet best. At a
    deep layer, where an activation says what lies where and not how it looks, the draw is a new image of an old
    arrangement.

    Raises ValueError where a layer has no positions.
    """

    def draw(self, n: int, seed: int = 0, temperature: float = 1.0) -> tuple[np.ndarray, list[Mixture]]:
        """As of every sampler: weights are shares of patches. temperature: how far layouts lie from the mean."""
        rng = generator(n, seed, temperature)
        if len(self.shape_) < 3:
            raise ValueError(f"expected a layer with positions; received activations of shape {self.shape_}.")
        mean, total, quilts = self.mean_.reshape(self.shape_), self.n_samples_seen_, []
        for _ in range(n):
            best = None
            for i in rng.choice(total, min(LAYOUTS, total), replace=False):
                others = self.nearest(self.coordinates_[i], min(POOL, max(1, total - LEFT_OUT)), LEFT_OUT)
                others = np.sort(self.images_[others])
                layout = mean + temperature * (self.real(self.images_[[i]])[0] - mean)
                quilt, sources, apart = quilted(layout, self.real(others), BESIDE)
                share = np.bincount(sources.ravel()).max() / sources.size
                missed = np.mean((quilt - layout) ** 2) / max(np.var(layout), np.finfo("float32").tiny)
                worth = share > MOST, apart + missed
                if best is None or worth < best[0]:
                    used, sources = np.unique(sources, return_inverse=True)
                    best = worth, (others[used], (quilt, sources, apart))
            quilts.append(best[1])
        return _drawn(quilts, "QuiltedGaussian")


def _drawn(quilts, other):
    """What is drawn, as quilts of images; warns where most patches are those of one."""
    mixtures = [_shares(images, sources) for images, (_, sources, _) in quilts]
    if (share := np.mean([mixture.weights.max() for mixture in mixtures])) > COPY:
        warnings.warn(
            f"expected draws made of patches of several activations; received {share:.0%} of their patches from "
            f"one: they are nearly copies of it. Show more images, or use {other}.",
            stacklevel=4,
        )
    return np.stack([quilt for _, (quilt, _, _) in quilts]), mixtures


class QuiltedPair:
    """Two layers on the same images, to put together the lower one under a quilt of the upper.

    Where the upper activation is as in a patch of a real one, the lower is as under that patch: the image analogies of
    Hertzmann et al. 2001 between layers. Details that the upper layer does not tell are those that went with it.

    lower, upper: fitted `Snapshots`, or samplers, of the same images, of layers with positions. Raises ValueError for
    others.
    """

    def __init__(self, lower: Snapshots, upper: Snapshots) -> None:
        if not np.array_equal(lower.images_, upper.images_):
            received = f"{lower.n_samples_seen_} and {upper.n_samples_seen_}"
            raise ValueError(f"expected two models of the same images; received {received} images.")
        if {len(lower.shape_), len(upper.shape_)} != {3}:
            raise ValueError(f"expected layers with positions; received {lower.shape_} and {upper.shape_}.")
        self.lower, self.upper = lower, upper

    def below(
        self, upper: np.ndarray, images: list[np.ndarray], beside: float = 1.0
    ) -> tuple[np.ndarray, list[Mixture]]:
        """The lower activations, float32 (n, *lower.shape_), under upper ones, and the shares of the images in them.

        upper: float (n, *upper.shape_); both are as the models were fitted: before the ReLU where their `rectify` is
        true. images: for each of the n which images give the patches, int (m,). beside: the weight of what the patches
        of neighbouring positions have there, that of its own being 1. Raises ValueError for upper activations of
        another shape.
        """
        if upper.shape[1:] != self.upper.shape_:
            raise ValueError(f"expected activations of shape {('n', *self.upper.shape_)}; received {upper.shape}.")
        values, mixtures = zip(*(self._below(*each, beside) for each in zip(upper, images, strict=True)), strict=True)
        return np.stack(values), list(mixtures)

    def _below(self, upper, images, beside):
        found = _Patches(self.upper.real(images)).nearest(upper)
        return _put_together(found, self.lower.real(images), 1, beside), _shares(images, found[0])


def _shares(images, sources):
    """What is made of patches of images, the number of its source for each, as a mixture."""
    return Mixture(images, np.bincount(sources.ravel(), minlength=len(images)) / sources.size)


def quilted(draw: np.ndarray, sources: np.ndarray, beside: float = 1.0) -> tuple[np.ndarray, np.ndarray, float]:
    """An activation (h, w, channels) of the patches of sources (m, h, w, channels) that are nearest to its own.

    Also returns the source of the patch at each position, int (h, w), and by how much patches disagree where they
    overlap, as a share of the variance. Patches are compared over a quarter of the layer's height; they may come from
    up to a sixteenth of it away, at least one position. beside: the weight in the mean of patches that are not a
    position's own, which have 1.
    """
    patches, found = _Patches(sources), None
    for _ in range(ROUNDS):
        before, found = found, patches.nearest(draw)
        if before is not None and np.array_equal(before, found):
            break
        draw = _put_together(found, sources, max(1, _side(len(draw)) // 4), beside)
    apart = np.mean((_put_together(found, sources, 0) - draw) ** 2)
    return draw, found[0], float(apart / max(np.var(draw), np.finfo("float32").tiny))


class _Patches:
    """The patches of sources (m, h, w, channels), to look for the nearest ones again and again."""

    def __init__(self, sources):
        self.n_sources, self.reach = len(sources), max(1, sources.shape[1] // 16)
        r = self.reach
        around = np.pad(np.moveaxis(sources, 0, 2), ((r, r), (r, r), (0, 0), (0, 0)), mode="edge")
        half = np.einsum("hwmc,hwmc->hwm", around, around) / 2
        self._around, self._half = self._candidates(around), self._candidates(half)

    def _candidates(self, values):
        """What may lie beside each position in one axis, which takes no copy."""
        windows = np.moveaxis(sliding_window_view(values, 2 * self.reach + 1, axis=1), -1, 2)
        return windows.reshape(*windows.shape[:2], -1, *values.shape[3:])

    def nearest(self, draw):
        """For each position the source of the nearest patch, and how far down and right of it that lies: (3, h, w)."""
        height, width = draw.shape[:2]
        over_rows, over_columns = (_mean_filter(length, _side(height)) for length in (height, width))
        least, found = np.full((height, width), np.inf), np.zeros((3, height, width), int)
        for down in range(-self.reach, self.reach + 1):
            rows = slice(self.reach + down, self.reach + down + height)
            # half the squared distance, but for what is the same of all candidates
            apart = self._half[rows] - (self._around[rows] @ draw[..., None])[..., 0]
            apart = over_columns @ (over_rows @ apart.reshape(height, -1)).reshape(apart.shape)
            right, source = np.divmod(apart.argmin(axis=2), self.n_sources)
            nearest = apart.min(axis=2)
            nearer = nearest < least
            least[nearer] = nearest[nearer]
            found[:, nearer] = np.stack([source, np.full_like(source, down), right - self.reach])[:, nearer]
        return found


def _mean_filter(length, side):
    """The matrix (length, length) that takes means over so many neighbours; beyond the ends lies what lies there."""
    at = _within(np.arange(length)[:, None] + np.arange(side) - side // 2, length)
    return (at[..., None] == np.arange(length)).mean(axis=1, dtype="float32")


def _put_together(found, sources, reach, beside=1.0):
    """The mean of the patches found (3, h, w) up to `reach` positions away, as (H, W, channels).

    sources: (m, H, W, channels), H ≥ h and W ≥ w. beside: the weight of those that are not a position's own.
    """
    (height, width), (fine_height, fine_width) = found.shape[1:], sources.shape[1:3]
    rows, columns = np.mgrid[:fine_height, :fine_width]
    total, weights = 0, 0
    for down, right in _square(reach if beside else 0):
        at = _within(rows * height // fine_height + down, height), _within(columns * width // fine_width + right, width)
        source, below, aside = found[:, *at]
        below, aside = below * fine_height // height, aside * fine_width // width
        weight = 1.0 if down == right == 0 else beside
        patch = sources[source, _within(rows + below, fine_height), _within(columns + aside, fine_width)]
        total, weights = total + weight * patch, weights + weight
    return total / weights


def _side(height):
    return max(3, height // 4 | 1)


def _square(reach):
    return product(range(-reach, reach + 1), repeat=2)


def _within(positions, length):
    return np.clip(positions, 0, length - 1)
