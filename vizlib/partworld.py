"""PartWorld: labelled 64 x 64 scenes drawn from parts, with the truth known.

A class is an arrangement of named parts that it shares with other classes, so a picture with the right parts in
the wrong places is no member of it. Place, size, tilt, proportions, colours, light and background vary.
"""

from typing import NamedTuple

import numpy as np

from vizlib.drawing import SIDE, extent, pixel_box, place, render
from vizlib.sketches import SKETCHES, hue, pick

CLASSES = tuple(SKETCHES)
PARTS = ("eye", "ear", "nose", "mouth", "beak", "wing", "foot", "fin", "petal", "leaf", "stem", "trunk", "fruit",
         "roof", "door", "window", "chimney", "wheel", "mast", "sail", "hand", "bell")
STRAY_ODDS = (0.75, 0.19, 0.06)  # of 0, 1 and 2 stray parts


class Part(NamedTuple):
    """A drawn part: its kind, its box (top, left, bottom, right) in pixels, and whether it belongs to no object."""

    kind: str
    box: tuple
    stray: bool


class Scene(NamedTuple):
    """A picture, uint8 (64, 64, 3), with its class name and every `Part` in it."""

    image: np.ndarray
    label: str
    parts: tuple


def draw_scene(class_name, seed, index):
    """Draw scene `index` of a class; the same class, seed and index give the same scene.

    Returns a `Scene`. Raises ValueError if the class is unknown or if seed or index is negative.
    """
    if class_name not in SKETCHES:
        raise ValueError(f"Expected a PartWorld class, one of {', '.join(CLASSES)}; received {class_name!r}.")
    rng = np.random.default_rng([seed, CLASSES.index(class_name), index])
    background, pieces, strays, light = compose(class_name, rng)
    image = render(background, pieces + strays, light)
    parts = [Part(p.kind, pixel_box(p), stray) for group, stray in ((pieces, False), (strays, True))
             for p in group if p.kind]
    return Scene(image, class_name, tuple(parts))


def scenes(class_name, n, seed=0):
    """The first n scenes of a class under a seed, as a list; scene i does not depend on n."""
    return [draw_scene(class_name, seed, index) for index in range(n)]


def draw(class_name, n, seed=0):
    """The images of `scenes`, float32 (n, 64, 64, 3) in [0, 1]."""
    images = np.empty((n, SIDE, SIDE, 3), np.float32)
    for index in range(n):
        images[index] = draw_scene(class_name, seed, index).image
    images /= 255
    return images


def compose(class_name, rng):
    """A scene before it is drawn: background image, the object's pieces, stray pieces (in pixels), and the light."""
    angle, strength = rng.uniform(-2.6, -0.5), rng.uniform(0.3, 0.7)
    light = strength * np.array([np.cos(angle), np.sin(angle)])
    scale = 24.5 * rng.uniform(0.85, 1.1)
    tilt = np.deg2rad(rng.uniform(-12, 12))
    shift = SIDE / 2 + rng.uniform(-5, 5, 2)
    pieces = [place(p, scale, tilt, shift) for p in SKETCHES[class_name](rng)]
    pieces = _inside(pieces)
    strays = _strays(class_name, pieces, rng)
    return _background(rng, shift, light), pieces, strays, light


def _inside(pieces, margin=1.0):
    """Move the object, where it leaves the frame, back in as far as it fits."""
    reach = np.array([extent(p) for p in pieces])
    low, high = reach[:, :2].min(0), reach[:, 2:].max(0)
    move = np.where(high - low > SIDE - 2 * margin, (SIDE - low - high) / 2,
                    np.clip(0, margin - low, np.maximum(SIDE - margin - high, margin - low)))
    return [place(p, 1, 0, move[::-1]) for p in pieces]


def _strays(class_name, pieces, rng):
    """Up to two parts of other classes, small, at the places near the border that the object leaves free."""
    count = np.searchsorted(np.cumsum(STRAY_ODDS), rng.random())
    taken = [np.array(extent(p)) for p in pieces]
    strays = []
    for _ in range(count):
        other = pick(rng, [name for name in CLASSES if name != class_name])
        part = pick(rng, [p for p in SKETCHES[other](rng) if p.kind])
        top, left, bottom, right = extent(part)
        half = np.array([right - left, bottom - top]) / 2
        size = rng.uniform(4.0, 5.5)
        part = place(part, size / half.max(), rng.uniform(-0.5, 0.5), (0, 0))
        top, left, bottom, right = extent(part)
        part = place(part, 1, 0, (-(left + right) / 2, -(top + bottom) / 2))
        spots = rng.uniform(6.5, SIDE - 6.5, (24, 2))
        spots = spots[np.abs(spots - SIDE / 2).max(1) > 20]
        part = min((place(part, 1, 0, spot) for spot in spots), key=lambda p: _overlap(extent(p), taken))
        taken.append(np.array(extent(part)))
        strays.append(part)
    return strays


def _overlap(box, others):
    others = np.array(others)
    size = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return np.prod(np.maximum(size, 0), 1).sum()


def _background(rng, centre, light):
    """A muted, textured ground, lit like the object, with a soft shadow under it; uint8 (64, 64, 3)."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    h, value = rng.random(), rng.uniform(0.45, 0.92)
    first = np.array(hue(h, rng.uniform(0.08, 0.35), value))
    second = np.array(hue(h + rng.uniform(-0.12, 0.12), rng.uniform(0.08, 0.35), value * rng.uniform(0.75, 1)))
    turn = rng.uniform(0, np.pi)
    along = np.cos(turn) * x + np.sin(turn) * y
    blend = 0.5 + 0.5 * (x * light[0] + y * light[1] - (light[0] + light[1]) / 2)
    texture = pick(rng, (_stripes, _dots, _clouds, _meadow, _ripples))(rng, x, y, along)
    grain = rng.normal(0, 2.0, (SIDE, SIDE, 1))
    shadow = np.exp(-((x - centre[0] / SIDE) ** 2 / 0.1 + (y - (centre[1] + 20) / SIDE) ** 2 / 0.02))
    image = second + (first - second) * blend[..., None] + grain + (texture - 36 * shadow)[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def _stripes(rng, x, y, along):
    return rng.uniform(6, 14) * np.tanh(4 * np.sin(2 * np.pi * rng.uniform(4, 9) * along))


def _dots(rng, x, y, along):
    f = 2 * np.pi * rng.uniform(4, 7)
    return rng.uniform(10, 20) * np.clip(6 * np.cos(f * x) * np.cos(f * y) - 3, 0, 1)


def _clouds(rng, x, y, along):
    return _noise(rng, 6, rng.uniform(14, 24)) + _noise(rng, 14, 6)


def _meadow(rng, x, y, along):
    horizon = rng.uniform(0.55, 0.75)
    blades = _noise(rng, 32, 14)
    return np.where(y > horizon + 0.02 * np.sin(20 * x), blades - 26, _noise(rng, 5, 10))


def _ripples(rng, x, y, along):
    f = rng.uniform(5, 9)
    return rng.uniform(6, 12) * np.sin(2 * np.pi * (f * y + 0.35 * np.sin(2 * np.pi * rng.uniform(1.5, 3) * x)))


def _noise(rng, cells, amplitude):
    """Smooth noise: `cells` x `cells` normal draws, interpolated to the image."""
    from PIL import Image

    grid = Image.fromarray(rng.normal(0, amplitude, (cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
