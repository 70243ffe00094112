"""Shortcuts: what, beside its object, carries a class on its own when it is put into images of other classes."""

import hashlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from vizlib import __version__
from vizlib._files import quoted, written
from vizlib._progress import progress_bar
from vizlib.attribution.components import AXES, box, cells, exchanges, off_centre, shifted, turns
from vizlib.attribution.gradients import saliency
from vizlib.networks.network import SCORES, Network

FEWEST = 8  # images of a class
USUAL = 90  # percentile of what a cell of the other classes' images does: a patch does more
UNIT = 0.1  # a share of the margin that is not worth telling from none
LEVEL = 1.5  # how many times as much as expected, and UNIT, a shortcut does beyond it; see docs/shortcuts.md
PAIRS = 3  # of images that each cell of an image is tried on to find its patch, and as many more that tell what it does
DRAWS = 1000  # of the bootstrap


class Experiment(NamedTuple):
    """What a class is tried on: its number k; its n images; n images of others, n donors for them.

    centres: of each of the three, (n, 2), where their objects are. pairs: (n, 2), the classes of the others and of the
    donors. gap: how far the mean margins of its own images and of the others are apart.
    """

    k: int
    own: np.ndarray
    others: np.ndarray
    donors: np.ndarray
    centres: tuple[np.ndarray, np.ndarray, np.ndarray]
    pairs: np.ndarray
    gap: float


class Outcome(NamedTuple):
    """What a component does to the margin, in shares of the gap: put in, (n,), and taken out, (n,); and how many of the
    others are taken for the class with it."""

    put_in: np.ndarray
    taken_out: np.ndarray
    turned: float

    def effect(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The lesser of both means, (...); rows: indices (..., n) into the images, or a boolean (n,)."""
        return np.minimum(self.put_in[rows].mean(-1), self.taken_out[rows].mean(-1))


def shortcuts(
    net: Network,
    images: Mapping[str | int, ArrayLike],
    progress: bool = True,
    folder: str | PathLike | None = None,
) -> pd.DataFrame:
    """What carries each class beside its object, ranked: a pandas DataFrame, a row per class and candidate.

    Candidates are places (cells, bands, the frame), brightness, tones and tint, octaves of waves and their directions,
    blocks of 8 pixels, position, pose, and "patch": of each image the cell that does most, on three pairs of others,
    beyond what cells at its place do, in the half of the images where that is most. A position is where the object is,
    the centre of what speaks for an image's own class (gradient times the difference from the mean colour, squared):
    images are moved until it is where that of another image is.

    Each is a factorial experiment. Images of other classes take it from images of the class or, as a control, from each
    other: how much higher is the margin (log odds of the class) for it? Images of the class take it from each other or
    from others. Of a place the control is also what lies in the middle of the others, moved there: any object may do as
    much. What it does is told in shares of the gap between the mean margins of the class's images and of others: 0 is
    nothing, 1 makes the one the other. Of waves amplitudes are exchanged, as objects lie in the phases (Oppenheim and
    Lim 1981).

    images: {class: images (n, h, w, 3)}, float in [0, 1] or uint8, of three classes or more, at least 8 of each, such
    as the network was trained on. The more classes, the better is known what an object does. folder: where what was
    tried of each class is kept, if anywhere, so that a call that was stopped goes on with the others.

    Columns: "class", "kind", "name"; "put_in", "taken_out": mean effects in shares of the gap; "effect": the lesser,
    "low" and "high" its 95 % interval (bootstrap over images); "expected": what the same does for other classes
    (median, without the images of the class; for "patch" the most, cell by cell), at least 0; "ratio":
    (low − expected) / (expected + 0.1), by which rows are ranked; "turned": the share of other classes' images that the
    network takes for the class with it; "confident": whether the ratio is above 1.5;
    "where": of a patch and of a position a list of (image, top, left, bottom, right), in pixels: where it is.

    Raises ValueError for fewer classes or images, for images of another size, and for a class whose images the network
    does not tell from others.
    """
    shown = {name: net.as_images(x) for name, x in images.items()}
    if len(shown) < 3 or min(map(len, shown.values())) < FEWEST:
        received = ", ".join(f"{len(x)} of {name}" for name, x in shown.items()) or "none"
        raise ValueError(f"expected at least {FEWEST} images of three classes or more; received {received}.")
    centres = {name: _centres(net, x, name) for name, x in shown.items()}
    experiments = {name: _experiment(net, shown, centres, name) for name in shown}
    components, ways = exchanges(net.image_shape[:2]), turns()
    squares = [*cells(net.image_shape[:2]).values()]
    each = len(components) + len(AXES) + len(ways) + len(squares)
    outcomes, maps, about = {}, {}, _about(net, shown)
    with progress_bar(None, "shortcuts", len(shown) * each, "candidate", disable=not progress) as bar:
        for name, experiment in experiments.items():
            path = folder and Path(folder) / f"{quoted(str(name))}.npz"
            if kept := path and _read(path, about):
                bar.update(each)
            else:
                tried = _outcomes(net, experiment, components, ways, bar.update)
                kept = tried, _map(net, experiment, squares, bar.update)
                if path:
                    _keep(path, about, *kept)
            outcomes[name], maps[name] = kept
    rows = []
    for name in shown:
        others = [other for other in shown if other != name]
        k = experiments[name].k
        by_others = [_without(experiments[other], maps[other], k) for other in others]
        patch, expected, where = _patch(net, experiments[name], squares, maps[name].mean(0), by_others)
        for key, outcome in outcomes[name].items():
            apart = [outcomes[other][key].effect(~(experiments[other].pairs == k).any(1)) for other in others]
            lies = _boxes(net.image_shape[:2], centres[name]) if key[0] == "position" else ()
            rows.append(_row(name, key, outcome, np.median(apart), lies))
        rows.append(_row(name, ("patch", "anywhere"), patch, expected, where))
    return pd.DataFrame(rows).sort_values("ratio", ascending=False, ignore_index=True)


def _about(net, images):
    """What all that is tried depends on: SHA-256."""
    shown = [(name, x.shape, hashlib.sha256(x.tobytes()).hexdigest()) for name, x in images.items()]
    return hashlib.sha256(repr((__version__, net.fingerprint, shown)).encode()).hexdigest()


def _read(path, about):
    """What `_keep` wrote about the same; None where there is no such file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["about"]) != about:
                return None
            rows = zip(file["keys"], file["put_in"], file["taken_out"], file["turned"], strict=True)
            return {tuple(map(str, key)): Outcome(*outcome) for key, *outcome in rows}, file["map"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile):
        return None


def _keep(path, about, outcomes, found):
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {name: [getattr(x, name) for x in outcomes.values()] for name in Outcome._fields}
    with written(path) as part, part.open("wb") as file:
        np.savez(file, about=about, keys=[*outcomes], map=found, **told)


def _centres(net, images, name):
    """Where the object is that the network knows each image by, (n, 2), (row, column) in pixels."""
    gradient = saliency(net, images, SCORES, name)
    weights = (gradient * (images - images.mean((1, 2), keepdims=True))).sum(-1) ** 2
    weights += np.finfo("float32").tiny  # where nothing speaks for the class it is the middle
    weights /= weights.sum((1, 2), keepdims=True)
    return np.stack([weights.sum(2) @ np.arange(images.shape[1]), weights.sum(1) @ np.arange(images.shape[2])], axis=1)


def _boxes(shape, centres):
    """Squares of a quarter of a side around centres: a list of (image, top, left, bottom, right)."""
    sides = np.array(shape) // 4
    starts = np.clip(np.rint(centres - sides / 2), 0, shape - sides).astype(int)
    return [(i, *map(int, start), *map(int, start + sides)) for i, start in enumerate(starts)]


def _experiment(net, images, centres, name):
    k, own = net.class_index(name), images[name]
    others, n = [other for other in images if other != name], len(own)
    i, m = np.arange(n), len(others)
    base, donor = i % m, (i + 1 + i // m) % m  # every pair of classes, as far as there are images

    def picked(arrays, which, shift):
        return np.stack([arrays[others[j]][(a + shift) % len(arrays[others[j]])] for a, j in enumerate(which)])

    (bases, donors), lying = ((picked(x, base, 0), picked(x, donor, n // 2)) for x in (images, centres))
    gap = _margins(net, own, k).mean() - _margins(net, bases, k).mean()
    if gap <= 0:
        raise ValueError(f"expected a network that tells {name!r} from the other classes; received one that does not.")
    numbers = np.array([net.class_index(other) for other in others])
    pairs = numbers[np.stack([base, donor], 1)]
    return Experiment(k, own, bases, donors, (centres[name], *lying), pairs, gap)


def _margins(net, images, k):
    """The log odds of a class, (n,)."""
    scores = np.concatenate([found[SCORES] for _, found in net.batches(images, [SCORES])])
    return scores[:, k] if net.is_sigmoid else scores[:, k] - logsumexp(np.delete(scores, k, 1), axis=1)


def _outcomes(net, experiment, components, ways, done):
    """{(kind, name): `Outcome`} of components, positions and turns; done: called after each."""
    own, others, donors = experiment.own, experiment.others, experiment.donors
    own_donors, found = np.roll(own, 1, 0), {}
    for kind, name, apply, shift in components:
        controls = [donors] + [shifted(donors, np.multiply(shift, donors.shape[1:3]))] * any(shift)
        without = [(apply(others, x), apply(own, x)) for x in controls]
        found[kind, name] = _outcome(net, experiment, (apply(others, own), apply(own, own_donors)), *without)
        done()
    at, others_at, donors_at = experiment.centres
    for name, axis in AXES.items():
        pictures = [(shifted(others, axis * (x - others_at)), shifted(own, axis * (y - at)))
                    for x, y in ((at, np.roll(at, 1, 0)), (donors_at, donors_at))]
        found["position", name] = _outcome(net, experiment, *pictures)
        done()
    for name, there, back in ways:
        found["pose", name] = _outcome(net, experiment, (there(others), own), (back(others), back(own)))
        done()
    return found


def _outcome(net, experiment, *pictures):
    """The `Outcome` of a component: pairs of others and own images, (n, h, w, 3) each, the first pair with it, then
    one without for each control, of which that counts which does more."""
    margins = _margins(net, np.concatenate([x for pair in pictures for x in pair]), experiment.k)
    margins = margins.reshape(len(pictures), 2, -1)
    most = margins[1:].mean(-1).argmax(0)
    put_in, taken_out = (margins[0] - margins[1 + most, [0, 1]]) / experiment.gap
    return Outcome(put_in, taken_out, float(np.mean(margins[0, 0] > 0)))


def _map(net, experiment, squares, done):
    """What each cell of each image of a class does, put into others and taken out of it: (pairs, n, cells).

    On several pairs: on one, what a cell does is mostly what lies under it.
    """
    own, pasted, found = experiment.own, [], []
    for rows in (_paired(experiment, i) for i in range(PAIRS)):
        others, donors = experiment.others[rows], experiment.donors[rows]
        pasted += [(own, others), (donors, others), (donors, own)]
    whole = _margins(net, own, experiment.k)
    for mask in squares:
        pictures = [np.where(mask[..., None], x, onto) for x, onto in pasted]
        margins = _margins(net, np.concatenate(pictures), experiment.k)
        put_in, control, left = margins.reshape(PAIRS, 3, -1).swapaxes(0, 1)
        found.append((put_in - control + whole - left) / 2 / experiment.gap)
        done()
    return np.stack(found, axis=2)


def _without(experiment, found, k):
    """The mean of a map over the pairs that have no image of class k, of the images that have such pairs: (m, cells).

    Where that class has a shortcut, whatever lies at its place in others takes it away, and seems to do much.
    """
    apart = np.stack([(experiment.pairs[_paired(experiment, i)] != k).all(1) for i in range(PAIRS)])[..., None]
    some = apart.any((0, 2))
    return np.mean(found[:, some], axis=0, where=apart[:, some])


def _paired(experiment, i):
    """Rows of others and donors that go with the images of the class, other ones for each i below 2 `PAIRS`: (n,)."""
    n, classes = len(experiment.own), len(np.unique(experiment.pairs))
    step = n // (2 * PAIRS)
    step -= step % classes == 0  # or it would be images of the same class again
    return np.roll(np.arange(n), i * step)


def _patch(net, experiment, squares, by_own, by_others):
    """Of the half of the images where a cell does most beyond the usual: the `Outcome` of these cells, on other pairs
    of images than they were found on; what they do for the class where they do most, on average; and where they are,
    (image, top, left, bottom, right)."""
    beyond = by_own - np.percentile(np.concatenate(by_others), USUAL, axis=0)
    expected = np.max([x.mean(0) for x in by_others], axis=0)
    half = np.sort(beyond.max(1).argsort()[len(beyond) // 2 :])
    best = beyond.argmax(1)[half]
    mask, own = np.stack([squares[i] for i in best])[..., None], experiment.own[half]
    away, found = np.array([off_centre(squares[i]) for i in best]) * own.shape[1:3], []
    for i in range(PAIRS, 2 * PAIRS):
        rows = _paired(experiment, i)[half]
        others, donors = experiment.others[rows], experiment.donors[rows]
        without = [(np.where(mask, x, others), np.where(mask, x, own)) for x in (donors, shifted(donors, away))]
        found.append(_outcome(net, experiment, (np.where(mask, own, others), own), *without))
    outcome = Outcome(*(np.mean(x, axis=0) for x in zip(*found, strict=True)))
    return outcome, expected[best].mean(), [(int(i), *box(squares[j])) for i, j in zip(half, best, strict=True)]


def _row(name, key, outcome, expected, where=()):
    n, expected = len(outcome.put_in), max(expected, 0.0)
    draws = outcome.effect(np.random.default_rng(0).integers(n, size=(DRAWS, n)))
    low, high = np.percentile(draws, (2.5, 97.5))
    ratio = (low - expected) / (expected + UNIT)
    return dict(zip(("class", "kind", "name"), (name, *key), strict=True)) | {
        "put_in": outcome.put_in.mean(), "taken_out": outcome.taken_out.mean(), "effect": outcome.effect(),
        "low": low, "high": high, "expected": expected, "ratio": ratio, "turned": outcome.turned,
        "confident": ratio > LEVEL, "where": where}
