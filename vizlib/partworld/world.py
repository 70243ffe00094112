"""PartWorld: labelled 64 x 64 scenes drawn from parts, with the truth known.

A class is an arrangement of named parts that it shares with other classes, so a picture with the right parts
in the wrong places is no member of it. Place, size, tilt, proportions, colours, light and background vary.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vizlib._arrays import Images
from vizlib.partworld.drawing import SIDE, Piece, boxes, place, render
from vizlib.partworld.living import bird, butterfly, cat, face, fish, flower, tree
from vizlib.partworld.parts import hue, pick
from vizlib.partworld.things import boat, car, clock, house, train

SIGNATURES = {  # the fewest and most parts of each kind that an object of the class has
    "face": {"ear": (2, 2), "eye": (2, 2), "nose": (1, 1), "mouth": (1, 1)},
    "cat": {"foot": (2, 2), "ear": (2, 2), "eye": (2, 2), "nose": (1, 1), "mouth": (1, 1)},
    "fish": {"fin": (3, 3), "eye": (1, 1), "mouth": (1, 1)},
    "bird": {"foot": (2, 2), "wing": (1, 1), "beak": (1, 1), "eye": (1, 1)},
    "flower": {"stem": (1, 1), "leaf": (2, 2), "petal": (5, 7)},
    "tree": {"trunk": (1, 1), "leaf": (4, 4), "fruit": (3, 3)},
    "house": {"chimney": (1, 1), "roof": (1, 1), "door": (1, 1), "window": (2, 2)},
    "car": {"window": (2, 2), "wheel": (2, 2)},
    "boat": {"mast": (1, 1), "sail": (2, 2), "window": (2, 2)},
    "clock": {"foot": (2, 2), "bell": (2, 2), "hand": (2, 2)},
    "butterfly": {"wing": (4, 4)},
    "train": {"chimney": (1, 1), "roof": (1, 1), "window": (1, 1), "wheel": (3, 3)},
}
CLASSES = tuple(SIGNATURES)
PARTS = tuple(dict.fromkeys(kind for signature in SIGNATURES.values() for kind in signature))
SKETCHES = {sketch.__name__: sketch for sketch in
            (face, cat, fish, bird, flower, tree, house, car, boat, clock, butterfly, train)}
STRAY_ODDS = (0.75, 0.19, 0.06)  # of 0, 1 and 2 stray parts


class Part(NamedTuple):
    """A drawn part.

    box: (top, left, bottom, right) in pixels, bottom and right exclusive, clipped to the image; around all that was
    drawn of the part, also where a later one covers it. stray: True if the part belongs to no object.
    """

    kind: str
    box: tuple[int, int, int, int]
    stray: bool


class Scene(NamedTuple):
    """A picture, uint8 (64, 64, 3), with its class name and every `Part` in it."""

    image: NDArray[np.uint8]
    label: str
    parts: tuple[Part, ...]


def draw_scene(class_name: str, seed: int, index: int) -> Scene:
    """Draw scene `index` of a class; the same class, seed and index give the same scene.

    Returns a `Scene`. Raises ValueError if the class is unknown or if seed or index is negative.
    """
    if class_name not in SKETCHES:
        raise ValueError(f"Expected a PartWorld class, one of {', '.join(CLASSES)}; received {class_name!r}.")
    rng = np.random.default_rng([seed, CLASSES.index(class_name), index])
    background, pieces, strays, light = compose(class_name, rng)
    image = render(background, pieces + strays, light)
    return Scene(image, class_name, _parts(pieces, False) + _parts(strays, True))


def scenes(class_name: str, n: int, seed: int = 0) -> list[Scene]:
    """The first n scenes of a class under a seed, as a list; scene i does not depend on n."""
    return [draw_scene(class_name, seed, index) for index in range(n)]


def draw(class_name: str, n: int, seed: int = 0) -> Images:
    """The images of `scenes`, float32 (n, 64, 64, 3) in [0, 1]."""
    images = np.empty((n, SIDE, SIDE, 3), np.float32)
    for index in range(n):
        images[index] = draw_scene(class_name, seed, index).image
    images /= 255
    return images


def compose(class_name: str, rng: np.random.Generator) -> tuple[np.ndarray, list[Piece], list[Piece], np.ndarray]:
    """A scene before it is drawn: background, pieces of the object, stray pieces (in pixels) and light."""
    angle, strength = rng.uniform(-2.6, -0.5), rng.uniform(0.3, 0.7)
    light = strength * np.array([np.cos(angle), np.sin(angle)])
    scale = 25.5 * rng.uniform(0.85, 1.1)
    tilt = np.deg2rad(rng.uniform(-12, 12))
    shift = SIDE / 2 + rng.uniform(-5, 5, 2)
    pieces = _into_frame(place(SKETCHES[class_name](rng), scale, tilt, shift))
    strays = _strays(class_name, pieces, rng)
    return _background(rng, shift, light), pieces, strays, light


def _parts(pieces, stray):
    """The truth about the pieces that are parts; boxes in whole pixels, clipped to the image."""
    named = [piece for piece in pieces if piece.kind]
    if not named:
        return ()
    edges = np.clip(boxes(named), 0, SIDE)
    edges = np.hstack([np.floor(edges[:, :2]), np.ceil(edges[:, 2:])]).astype(int).tolist()
    return tuple(Part(piece.kind, tuple(box), stray) for piece, box in zip(named, edges, strict=True))


def _into_frame(pieces):
    """Move an object that leaves the frame back in, or to the middle where it does not fit."""
    reach = boxes(pieces)
    low, high = reach[:, :2].min(0), reach[:, 2:].max(0)
    nudge = np.maximum(-low, 0) - np.maximum(high - SIDE, 0)
    move = np.where(high - low > SIDE, (SIDE - low - high) / 2, nudge)
    return place(pieces, shift=move[::-1]) if move.any() else pieces


def _strays(class_name, pieces, rng):
    """Up to two parts of other classes, small, near the border where the object leaves most room."""
    strays = []
    for _ in range(np.searchsorted(np.cumsum(STRAY_ODDS), rng.random())):
        other = pick(rng, [name for name in CLASSES if name != class_name])
        part = pick(rng, [piece for piece in SKETCHES[other](rng) if piece.kind])
        points = np.concatenate([shape.points for shape in part.shapes])
        low, high = points.min(0), points.max(0)
        part = place(place([part], shift=-(low + high) / 2), rng.uniform(8.5, 12) / (high - low).max(),
                     rng.uniform(-0.5, 0.5))
        half = boxes(part)[0, 2:]
        taken = boxes(pieces + strays)
        spots = rng.uniform(half, SIDE - half, (32, 2))
        spread = spots[:, None]
        size = np.minimum(spread + half, taken[:, 2:]) - np.maximum(spread - half, taken[:, :2])
        overlap = np.maximum(size, 0).prod(2).sum(1)
        strays += place(part, shift=spots[overlap.argmin()][::-1])
    return strays


def _background(rng, centre, light):
    """A muted, textured ground, lit like the object, with a soft shadow under it; uint8 (64, 64, 3)."""
    y, x = _grid()
    h, value = rng.random(), rng.uniform(0.45, 0.92)
    first = np.float32(hue(h, rng.uniform(0.06, 0.3), value))
    value *= rng.uniform(0.75, 1)
    second = np.float32(hue(h + rng.uniform(-0.12, 0.12), rng.uniform(0.06, 0.3), value))
    blend = np.float32(light[0]) * (x - 0.5) + np.float32(light[1]) * (y - 0.5) + np.float32(0.5)
    texture = pick(rng, (_stripes, _dots, _clouds, _meadow, _ripples))(rng, x, y)
    texture = texture + 2 * rng.standard_normal((SIDE, SIDE), np.float32)
    across, down = x - centre[0] / SIDE, y - (centre[1] + 20) / SIDE
    texture -= np.float32(36) * np.exp(-across**2 / 0.1) * np.exp(-down**2 / 0.02)
    image = second + (first - second) * blend[..., None] + texture[..., None].astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


@lru_cache
def _grid():
    """Row and column positions in [0, 1), float32 (64, 1) and (1, 64)."""
    steps = np.arange(SIDE, dtype=np.float32) / SIDE
    return steps[:, None], steps[None]


def _stripes(rng, x, y):
    turn, frequency = rng.uniform(0, np.pi), 2 * np.pi * rng.uniform(4, 9)
    wave = np.sin(frequency * (np.cos(turn) * x + np.sin(turn) * y))
    return rng.uniform(6, 14) * np.clip(3 * wave, -1, 1)


def _dots(rng, x, y):
    f = 2 * np.pi * rng.uniform(4, 7)
    return rng.uniform(10, 20) * np.clip(6 * np.cos(f * x) * np.cos(f * y) - 3, 0, 1)


def _clouds(rng, x, y):
    return _noise(rng, 6, rng.uniform(14, 24)) + _noise(rng, 14, 6)


def _meadow(rng, x, y):
    horizon = rng.uniform(0.55, 0.75)
    blades = _noise(rng, 32, 14)
    return np.where(y > horizon + 0.02 * np.sin(20 * x), blades - 26, _noise(rng, 5, 10))


def _ripples(rng, x, y):
    f = rng.uniform(5, 9)
    bend = 0.35 * np.sin(2 * np.pi * rng.uniform(1.5, 3) * x)
    return rng.uniform(6, 12) * np.sin(2 * np.pi * (f * y + bend))


def _noise(rng, cells, amplitude):
    """Smooth noise: `cells` x `cells` normal draws, interpolated to the image."""
    from PIL import Image

    grid = Image.fromarray(rng.normal(0, amplitude, (cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
