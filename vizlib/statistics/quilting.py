"""Quilting: activations put together from patches of real ones, at one layer and at the layers below it."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from vizlib._arrays import THREADS, Activations, Floats, Integers
from vizlib.statistics.mixtures import LocalGaussian
from vizlib.statistics.snapshots import Mixture, Snapshots, generator

COPY = 0.6  # share of patches from one activation, beyond which a quilt is called a copy of it
LEFT_OUT = 3  # nearest activations that no quilt is made of, for its sake to be new
NEIGHBOURS = 32
CANDIDATES = 2  # draws for each sample, of which the one is kept whose patches fit together best
LAYOUTS = 8  # real ones that are tried for each sample
POOL = 512  # activations that layouts and their patches come from, at most
MOST = 0.4  # share of patches from one activation beyond which no piece grows, and a layout is passed over for another
BESIDE = 0.25  # of layouts the weight of patches beside a position's own, while patches are sought
SEAMS = 1 / 40  # of layouts what a seam right across costs, as a mean cosine, where what it joins is not alike at all
SWEEPS = 16  # how often all positions are asked which piece they go on with, at most
ROUNDS = 4  # how often patches are sought and their mean is taken
SEARCH_BYTES = 2**28  # of the distances that are compared at a time
LARGE_BYTES = 2**32  # of activations, three times over, beyond which it is told beforehand what they take
_TINY = np.finfo("float32").tiny


class _Quilt(NamedTuple):
    """A draw of patches, (h, w, channels), the images they are from, and faults: of two quilts the lesser is kept."""

    values: np.ndarray
    mixture: Mixture
    faults: np.ndarray


class _Quilter(LocalGaussian):
    """The base of samplers whose draws are put together anew from patches of real activations.

    Of `tries` draws for each sample that one is kept whose patches go together best. `beside`: see `quilted`.
    `by_cosine`: how patches are compared, by their distance if not. `other`: the sampler to turn to where draws are
    nearly copies.
    """

    tries: int
    beside: float
    by_cosine: bool
    other: str

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
        if places is None:
            samples = [[[base] for base in tries] for tries in self._tries(n, rng, temperature, members)]
        else:  # all draws are one sample
            samples = [[self.moved(base, places) for base in self._tries(1, rng, temperature, members)[0]]]
        found = iter(self._quilts([mixture for tries in samples for draws in tries for mixture in draws], members))
        tried = [[[next(found) for _ in draws] for draws in tries] for tries in samples]
        best = [min(tries, key=lambda quilts: sum(quilt.faults for quilt in quilts).tolist()) for tries in tried]
        kept = [quilt for quilts in best for quilt in quilts]
        if (share := np.mean([quilt.mixture.weights.max() for quilt in kept])) > COPY:
            warnings.warn(
                f"expected draws made of patches of several activations; received {share:.0%} of their patches from "
                f"one: they are nearly copies of it. Show more images, or use {self.other}.",
                stacklevel=3,
            )
        return np.stack([quilt.values for quilt in kept]), [quilt.mixture for quilt in kept]

    def _tries(self, n, rng, temperature, members):
        """For each of n samples the mixtures that are tried."""
        return [self._bases(self.tries, rng, temperature, members) for _ in range(n)]

    def _quilts(self, mixtures, members):
        """A `_Quilt` for each mixture, of members near it."""
        chosen = np.zeros((len(mixtures), self.n_samples_seen_), bool)
        n = min(self.n_neighbours, max(len(members) - LEFT_OUT, (len(members) + 1) // 2))
        for row, point in zip(chosen, self.coordinates_of(mixtures), strict=True):
            row[self.nearest(point, n, LEFT_OUT, members)] = True
        used = np.flatnonzero(chosen.any(axis=0))
        if (room := 3 * 4 * len(used) * self.mean_.size) > LARGE_BYTES:  # as read, side by side, and with a margin
            warnings.warn(
                f"patches of {len(used)} activations of shape {self.shape_} take {room / 1e9:.0f} GB of memory, and "
                "many minutes to look through: a deeper layer, smaller images or `LocalGaussian` take less.",
                stacklevel=4,
            )
        draws, sources = self.mixed(mixtures), self.real(self.images_[used])
        centre = _channel_mean(self) if self.by_cosine else None
        quilts, found, apart = quilted(draws, sources, chosen[:, used], self.beside, centre)
        shares = [_shares(self.images_[used], which) for which in found]
        return [
            _Quilt(values, mixture, self._faults(values, draw, mixture, gap))
            for values, mixture, draw, gap in zip(quilts, shares, draws, apart, strict=True)
        ]


class QuiltedGaussian(_Quilter):
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

    tries, beside, by_cosine, other = CANDIDATES, 1.0, False, "LocalGaussian"

    def __init__(self, n_neighbours: int = NEIGHBOURS, rectify: bool = False) -> None:
        super().__init__(n_neighbours, rectify)

    def _faults(self, values, draw, mixture, apart):
        return np.array([apart])


class QuiltedLayout(_Quilter):
    """Layouts of real activations, put together anew from patches of all others.

    For images that have little in common, such as photographs of a class: a mixture of such is a multiple exposure, at
    any layer. A draw takes a real activation at random and replaces each patch of it by the most similar patch of any
    other, as `QuiltedGaussian` does but by their cosine about the channels' means: no patch is near, and of those that
    are far the distance is the least to the emptiest. A position rather goes on with the patch of a neighbour than
    begins another that is hardly more similar, the more so the more a seam would show there (Kwatra et al. 2003), and
    within such pieces the draw is as real as they are: no mean is taken of what overlaps, which is of no image. The
    three activations nearest to the layout, itself among them, are left out, and of more than 512 a random 512 are
    looked at. Of eight layouts that one is kept which the others' patches meet best; none is tried for two samples as
    long as there are enough. At a deep layer, where an activation says what lies where and not how it looks, the draw
    is a new image of an old arrangement. temperature: how far layouts lie from the mean of the class.

    Raises ValueError where a layer has no positions.
    """

    tries, beside, by_cosine, other = LAYOUTS, BESIDE, True, "QuiltedGaussian"

    def __init__(self, rectify: bool = False) -> None:
        super().__init__(POOL, rectify)

    def _tries(self, n, rng, temperature, members):
        each = max(1, min(self.tries, len(members) // n))
        layouts = np.resize(rng.permutation(members), (n, each))
        return [[Mixture(self.images_[[i]], np.array([temperature])) for i in tries] for tries in layouts]

    def _members(self, among):
        members = super()._members(among)
        if len(self.shape_) != 3:
            raise ValueError(f"expected a layer with positions; received activations of shape {self.shape_}.")
        return members[np.sort(np.random.default_rng(0).permutation(len(members))[:POOL])]

    def _faults(self, values, draw, mixture, apart):
        missed = np.mean((values - draw) ** 2) / max(np.var(draw), _TINY)
        return np.array([mixture.weights.max() > MOST, apart + missed])


class Analogies:
    """What lies at finer layers under activations of a layer: the image analogies of Hertzmann et al. 2001.

    Where an activation is as in a patch of a real one, the most similar by their cosine about the channels' means, a
    finer layer is as under that patch. Details that the upper layer does not tell are those that went with it.

    upper: the fitted `Snapshots`, or sampler, of a layer with positions. values: float (n, *upper.shape_), as it was
    fitted: before the ReLU where its `rectify` is true. images: for each of the n which images give the patches, int
    (m,). seams: what one between two patches costs where these are not alike at all, as a cosine, so that there are
    fewer, where they are hardly seen. Raises ValueError for values of another shape.

    `images`: all of them, int (m,), ascending.
    """

    def __init__(self, upper: Snapshots, values: Floats, images: list[Integers], seams: float = 0.0) -> None:
        if len(upper.shape_) != 3 or values.shape[1:] != upper.shape_:
            expected = f"activations of shape {('n', *upper.shape_)}, of a layer with positions"
            raise ValueError(f"expected {expected}; received {values.shape}.")
        self.images = np.unique(np.concatenate(images))
        allowed = np.stack([np.isin(self.images, own) for own in images])
        self._found = _Patches(upper.real(self.images), _channel_mean(upper), seams).nearest(values, allowed)

    def below(self, real: Activations | list[Activations], beside: float = 1.0) -> tuple[Activations, list[Mixture]]:
        """Activations of a finer layer, float (n, h, w, channels), and the images' shares in them.

        real: those of `images`, m of float (h, w, channels), as one array or many; ValueError for others. beside: the
        weight of what the patches of neighbouring positions have there, that of its own being 1.
        """
        if len(real) != len(self.images) or real[0].ndim != 3:
            received = (len(real), *real[0].shape)
            raise ValueError(f"expected activations ({len(self.images)}, h, w, channels); received {received}.")
        values = np.stack([_put_together(found, real, 1, beside) for found in self._found])
        return values, [_shares(self.images, found[0]) for found in self._found]


def _channel_mean(model):
    """The mean of each channel of a fitted model, (channels,), about which patches are compared."""
    return model.mean_.reshape(-1, model.shape_[-1]).mean(axis=0)


def _shares(images, sources):
    """What is made of patches of images, the number of its source for each, as a mixture of those with a part."""
    weights = np.bincount(sources.ravel(), minlength=len(images)) / sources.size
    return Mixture(images[weights > 0], weights[weights > 0])


def _largest(sources):
    """The share of the source that most positions are from."""
    return np.bincount(sources.ravel()).max() / sources.size


def quilted(
    draws: Activations,
    sources: Activations,
    allowed: NDArray[np.bool_] | None = None,
    beside: float = 1.0,
    centre: Floats | None = None,
) -> tuple[Activations, Integers, Floats]:
    """Activations (n, h, w, channels) of the patches of sources (m, h, w, channels) that are most like their own.

    Also returns the source of the patch at each position, int (n, h, w), and by how much patches disagree where they
    overlap, (n,), as a share of the variance. Patches are compared over a quarter of the layer's height; they may come
    from up to a sixteenth of it away, at least one position. allowed: bool (n, m), the sources of each; None for all.
    beside: the weight in the mean of patches that are not a position's own, which have 1. centre: (channels,), about
    which patches are compared by their cosine, over a third of the height, and then come in pieces, of which each
    position has its own patch and no mean; None for their distance.
    """
    patches, found = _Patches(sources, centre, 0.0 if centre is None else SEAMS * draws.shape[1]), np.empty(0, int)
    for _ in range(ROUNDS):
        before, found = found, patches.nearest(draws, allowed)
        if np.array_equal(before, found):
            break
        draws = np.stack([_put_together(places, sources, patches.reach, beside) for places in found])
    own = np.stack([_put_together(places, sources, 0) for places in found])
    variances = np.maximum(draws.reshape(len(draws), -1).var(axis=1), _TINY)
    apart = ((own - draws) ** 2).mean(axis=(1, 2, 3)) / variances
    return draws if centre is None else own, found[:, 0], apart


class _Patches:
    """The patches of sources (m, h, w, channels), to look for the most similar ones again and again.

    centre: (channels,), about which a high cosine is similar, as in Li & Wand 2016; None for a low distance. seams:
    what one between two patches costs where these are not alike at all, as a cosine; 0 for no pieces.
    """

    def __init__(self, sources, centre=None, seams=0.0):
        self.shape, self.reach = sources.shape[:3], max(1, sources.shape[1] // 16)
        self._centre, self._seams = centre, seams
        self._part = 3 if seams else 4  # of a side, over which patches are compared
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
                alike = _mean_over_patches(alike - squares[:, :, None] / 2, self._part)
            else:
                alike = _mean_over_patches(alike, self._part)
                alike /= _norms(squares, self._part)[:, :, None]
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
            found = np.moveaxis(np.stack(found), (0, 3), (1, 0))
            return np.stack([*threads.map(self._in_pieces, draws, found)]) if self._seams else found

    def _in_pieces(self, draw, found):
        """What was found for one draw, (3, h, w), but for positions that rather go on with what a neighbour has.

        That is nearly as similar there, and what borders on it is more like what goes on there with the neighbour's:
        seams lie where it is hardly seen (Kwatra et al. 2003, here of activations). No source gets more than `MOST` of
        the positions by it.
        """
        kinds, kind = np.unique(found.reshape(3, -1), axis=1, return_inverse=True)
        first = kind = kind.reshape(found.shape[1:])
        cosines, places, unchanged = self._cosines(draw, kinds), np.indices(kind.shape), 0
        most = max(MOST, _largest(kinds[0, kind]))
        for sweep in range(SWEEPS):
            # Every other position at a time, as all of them would change places with their neighbours.
            at = np.nonzero((places.sum(axis=0) + sweep) % 2 == 0)
            beside = [[x + far for x, far in zip(at, by, strict=True)] for by in ((-1, 0), (1, 0), (0, -1), (0, 1))]
            there = [np.logical_and(*map(_inside, other, kind.shape)) for other in beside]
            theirs = [kind[*map(_within, other, kind.shape)] for other in beside]
            offered = np.stack([kind[at], first[at], *theirs])
            worth = cosines[offered, *at]
            for place, other, exists in zip(beside, theirs, there, strict=True):
                seams = sum(self._unlike(kinds[:, offered], kinds[:, other], *x) for x in (at, place))
                worth -= self._seams / 2 * exists * seams
            before, kind = kind, kind.copy()
            kind[at] = np.take_along_axis(offered, worth.argmax(axis=0)[None], axis=0)[0]
            if _largest(kinds[0, kind]) > most:
                return kinds[:, before]
            unchanged = unchanged + 1 if np.array_equal(before, kind) else 0
            if unchanged == 2:
                break
        return kinds[:, kind]

    def _unlike(self, one, other, rows, columns):
        """1 less the cosine of what two kinds (3, …, p) go on with at p positions: (…, p); 1 beyond their borders."""
        inside, values, squares = True, [], []
        for source, *moved in (one, other):
            places = [np.add(x, far) for x, far in zip((rows, columns), moved, strict=True)]
            inside = inside & np.logical_and(*map(_inside, places, self.shape[1:]))
            at = *(self.reach + _within(x, length) for x, length in zip(places, self.shape[1:], strict=True)), source
            values.append(self._around[at])
            squares.append(self._squares[at])
        alike = np.einsum("...pc,pc->...p", *values) / np.sqrt(np.maximum(np.multiply(*squares), _TINY))
        return np.where((one == other[:, None]).all(axis=0), 0, 1 - inside * alike)

    def _cosines(self, draw, kinds):
        """Of patches around each position of a draw and those of kinds (3, k), see `nearest`: (k, h, w)."""
        alike, squares = np.empty((2, *draw.shape[:2], kinds.shape[1]), draw.dtype)
        inside = np.empty(alike.shape, bool)
        for i, (source, *moved) in enumerate(kinds.T):
            at, inside[..., i] = self._moved(*moved)
            alike[..., i] = np.einsum("hwc,hwc->hw", self._around[*at, source], draw)
            squares[..., i] = self._squares[*at, source]
        own = _norms(np.einsum("hwc,hwc->hw", draw, draw)[..., None], self._part)
        cosines = _mean_over_patches(alike, self._part) / (own * _norms(squares, self._part))
        cosines[~inside] = -np.inf
        return np.moveaxis(cosines, 2, 0)

    def _moved(self, *by):
        """What lies so far down and right of all positions: where in what is padded, and where within the source."""
        places = [np.arange(length) + far for length, far in zip(self.shape[1:], by, strict=True)]
        at = tuple(slice(self.reach + x[0], self.reach + x[-1] + 1) for x in places)
        return at, np.logical_and.outer(*map(_inside, places, self.shape[1:]))


def _mean_over_patches(values, part):
    """Means of (h, w, …) over the patch around each position."""
    height, width = values.shape[:2]
    over_rows, over_columns = (_mean_filter(length, _side(height, part)) for length in (height, width))
    rows = (over_rows @ values.reshape(height, -1)).reshape(height, width, -1)
    return (over_columns @ rows).reshape(values.shape)


def _norms(squares, part):
    """The roots of means of squares (h, w, …) over patches, above 0."""
    return np.sqrt(np.maximum(_mean_over_patches(squares, part), _TINY))


def _mean_filter(length, side):
    """The matrix (length, length) that takes means over so many neighbours; beyond the ends lies what lies there."""
    at = _within(np.arange(length)[:, None] + np.arange(side) - side // 2, length)
    return (at[..., None] == np.arange(length)).mean(axis=1, dtype="float32")


def _put_together(found, sources, reach, beside=1.0):
    """The mean of the patches found (3, h, w) up to `reach` positions away, as (H, W, channels).

    What a patch would have beyond the border of its source does not count; a position's own is within it.
    sources: m of (H, W, channels), H ≥ h and W ≥ w. beside: the weight of those that are not a position's own.
    """
    (height, width), (fine_height, fine_width) = found.shape[1:], sources[0].shape[:2]
    rows, columns = np.mgrid[:fine_height, :fine_width]
    total, weights = 0, 0
    for down, right in _square(reach if beside else 0):
        at = _within(rows * height // fine_height + down, height), _within(columns * width // fine_width + right, width)
        source, below, aside = found[:, *at]
        places = rows + below * fine_height // height, columns + aside * fine_width // width
        inside = _inside(places[0], fine_height) & _inside(places[1], fine_width)
        weight = (inside * np.float32(1 if down == right == 0 else beside))[..., None]
        patch = _taken(sources, source, _within(places[0], fine_height), _within(places[1], fine_width))
        total, weights = total + weight * patch, weights + weight
    return total / weights


def _taken(sources, which, rows, columns):
    """Of sources, one array or many, what lies at these places: (h, w, channels)."""
    if isinstance(sources, np.ndarray):
        return sources[which, rows, columns]
    taken = np.empty((*which.shape, sources[0].shape[-1]), sources[0].dtype)
    for source in np.unique(which):
        here = which == source
        taken[here] = sources[source][rows[here], columns[here]]
    return taken


def _side(height, part):
    return max(3, height // part | 1)


def _square(reach):
    return product(range(-reach, reach + 1), repeat=2)


def _inside(positions, length):
    return (positions >= 0) & (positions < length)


def _within(positions, length):
    return np.clip(positions, 0, length - 1)
