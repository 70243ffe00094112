"""Which of the parts found in a picture make complete objects: arrangements like those of PartWorld's own scenes."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from vizlib.partworld import world as partworld

EXAMPLES, SEED = 32, 770_000  # scenes of a class that its arrangements are taken from
TURN = np.deg2rad(30)  # an object may be turned by this much to either side
ZOOM = (0.6, 1.5)  # and be this small or large, compared with an example
TOLERANCE = 5.0  # pixels, at the size of the example, that a part may be from its place
STARTS = 4  # first guesses that are refined, of each arrangement
APART = 1e6  # the distance of two parts of different kinds


class Arrangement(NamedTuple):
    """The parts of one example: class name, kinds (m,) as numbers, places (m,) in pixels, column + 1j * row."""

    label: str
    kinds: np.ndarray
    places: np.ndarray


class Fit(NamedTuple):
    """Parts that fit an arrangement: mean distance in pixels, class name and the parts' indices."""

    distance: float
    label: str
    members: np.ndarray


@lru_cache
def arrangements() -> list[Arrangement]:
    """Arrangements of each class, those of more parts first."""
    examples = []
    for scene in (scene for name in partworld.CLASSES for scene in partworld.scenes(name, EXAMPLES, SEED)):
        parts = [part for part in scene.parts if not part.stray]
        top, left, bottom, right = np.array([part.box for part in parts], float).T
        kinds = np.array([partworld.PARTS.index(part.kind) for part in parts])
        examples.append(Arrangement(scene.label, kinds, (left + right - 1) / 2 + 1j * (top + bottom - 1) / 2))
    return sorted(examples, key=lambda example: -len(example.kinds))


@lru_cache
def _needed():
    """How many parts of each kind each arrangement has: (arrangements, kinds)."""
    return np.stack([np.bincount(example.kinds, minlength=len(partworld.PARTS)) for example in arrangements()])


def complete_objects(parts: Sequence[tuple]) -> tuple[list[tuple[str, list[int]]], list[int]]:
    """The complete objects that the parts of one picture make, and the parts that are left over.

    An object is complete when a similarity transform (small turn, moderate zoom) takes every part of some
    arrangement close to a part of its kind, each to another one. Where several fit, that with most parts is taken,
    then that with the smallest distances; what is left is searched again.

    parts: (kind, row, column, ...) of each, as `realism.find_parts` gives them, in pixels.
    Returns a list of (class name, indices of its parts) and the list of the indices of all other parts.
    """
    kinds = np.array([partworld.PARTS.index(part[0]) for part in parts], int)
    places = np.array([part[2] + 1j * part[1] for part in parts], complex)
    left, objects = np.arange(len(parts)), []
    while fit := _best_fit(kinds[left], places[left]):
        objects.append((fit.label, left[fit.members].tolist()))
        left = np.delete(left, fit.members)
    return objects, left.tolist()


def _best_fit(kinds, places):
    """The closest fit among those with most parts; None where no arrangement fits."""
    best = None
    enough = (np.bincount(kinds, minlength=len(partworld.PARTS)) >= _needed()).all(1)
    for example in (arrangements()[i] for i in np.flatnonzero(enough)):
        if best and len(example.kinds) < len(best.members):
            break
        for fit in _fits(example, kinds, places):
            if best is None or fit.distance < best.distance:
                best = fit
    return best


def _fits(example, kinds, places):
    """Fits of one arrangement, from guesses that take its two parts farthest apart to two parts of their kinds.

    There must be as many parts of each kind as the arrangement has.
    """
    same = example.kinds[:, None] == kinds
    i, j = np.unravel_index(np.abs(example.places[:, None] - example.places).argmax(), (len(example.kinds),) * 2)
    first, second = (guess.ravel() for guess in np.meshgrid(np.flatnonzero(same[i]), np.flatnonzero(same[j])))
    turn = (places[second] - places[first]) / (example.places[j] - example.places[i])
    plausible = _plausible(turn)
    first, turn = first[plausible], turn[plausible]
    expected = places[first, None] + turn[:, None] * (example.places - example.places[i])
    distances = np.where(same, np.abs(expected[..., None] - places), APART)
    worst = distances.min(2).max(1) / np.abs(turn)
    for guess in worst.argsort()[:STARTS]:
        if worst[guess] <= 2 * TOLERANCE:
            yield from _refined(example, same, places, distances[guess])


def _refined(example, same, places, distances):
    """At most one fit: assign, fit the similarity transform by least squares, assign again and check."""
    centre = example.places.mean()
    for _ in range(2):
        members = linear_sum_assignment(distances)[1]
        found = places[members]
        turn = np.vdot(example.places - centre, found - found.mean()) / np.sum(np.abs(example.places - centre) ** 2)
        expected = found.mean() + turn * (example.places - centre)
        distances = np.where(same, np.abs(expected[:, None] - places), APART)
    apart = np.abs(expected - found)
    if _plausible(turn) and apart.max() <= TOLERANCE * abs(turn):
        yield Fit(apart.mean(), example.label, members)


def _plausible(turn):
    """Whether a transform, as a complex factor, turns and zooms no more than an object may be."""
    size = np.abs(turn)
    return (np.abs(np.angle(turn)) <= TURN) & (ZOOM[0] <= size) & (size <= ZOOM[1])
