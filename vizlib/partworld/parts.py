"""The parts PartWorld is drawn from; each looks the same kind of thing in every class that has it.

Positions and sizes are in the frame of the object, which fills about [-1, 1] x [-1, 1] with y down.
"""

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from vizlib.partworld.drawing import INK, Colour, Piece, Shape, box, ellipse, flat, line, mix, smooth

T = TypeVar("T")
WHITE, CREAM, GLASS = (255, 255, 255), (250, 243, 225), (165, 215, 240)
ORANGE, STEEL = (245, 155, 45), (200, 205, 214)
SIDES = (-1, 1)  # left and right


def piece(*shapes: Shape) -> Piece:
    """What is no named part: bodies, grounds, decoration."""
    return Piece(None, list(shapes))


def hue(h: float, saturation: float, value: float) -> Colour:
    """A colour in [0, 255] from hue, saturation and value in [0, 1]; hues wrap around."""
    red, green, blue = hsv_to_rgb(h % 1, saturation, value)
    return 255 * red, 255 * green, 255 * blue


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of a sequence of options."""
    return options[int(rng.integers(len(options)))]


def blob(points: ArrayLike, colour: Colour, tones: int) -> Shape:
    """A shaded shape with a smooth closed outline through `points`."""
    return Shape(smooth(points), colour, tones)


def mirrored(right: Sequence[tuple[float, float]], top: float) -> list[tuple[float, float]]:
    """A left-right symmetric outline: (0, top), the right side downwards, the left side upwards."""
    return [(0, top), *right, *[(-x, y) for x, y in reversed(right)]]


def eye(x: float, y: float, r: float, iris: Colour) -> Piece:
    return Piece("eye", [Shape(ellipse(x, y, r, 1.12 * r), WHITE),
                         flat(ellipse(x, y, 0.7 * r), iris),
                         flat(ellipse(x, y, 0.42 * r), (25, 20, 30)),
                         flat(ellipse(x - 0.26 * r, y - 0.3 * r, 0.24 * r), WHITE)])


def ear(points: np.ndarray, colour: Colour) -> Piece:
    centre = points.mean(0)
    return Piece("ear", [Shape(points, colour, 2),
                         flat(centre + 0.52 * (points - centre), mix(colour, (240, 120, 130), 0.6))])


def nose(x: float, y: float, r: float, colour: Colour) -> Piece:
    outline = [(-1, -0.5), (0, -0.7), (1, -0.5), (0, 0.9)]
    return Piece("nose", [Shape(smooth([(x + a * r, y + b * r) for a, b in outline]), colour, 2, 0.7),
                          flat(ellipse(x - 0.3 * r, y - 0.3 * r, 0.25 * r), mix(colour, WHITE, 0.7))])


def mouth(x: float, y: float, width: float, opening: float) -> Piece:
    """A smile; `opening` is how far the lower lip hangs below the upper one."""
    w, dip = width / 2, 0.3 * width
    upper = [(x - w, y), (x, y + 0.5 * dip), (x + w, y)]
    lower = [(x + 0.6 * w, y + dip + opening), (x - 0.6 * w, y + dip + opening)]
    tongue = ellipse(x, y + 0.85 * dip + 0.8 * opening, 0.38 * w, 0.3 * (dip + opening))
    return Piece("mouth", [Shape(smooth(upper + lower), (165, 35, 45), outline=1.0),
                           flat(tongue, (250, 130, 130))])


def beak(x: float, y: float, size: float) -> Piece:
    outline = [(0, -0.45), (1, 0.05), (0, 0.45), (-0.1, 0)]
    gape = line([(x, y + 0.03 * size), (x + 0.7 * size, y + 0.06 * size)], (150, 70, 20), 0.03)
    return Piece("beak", [blob([(x + a * size, y + b * size) for a, b in outline], ORANGE, 2), gape])


def wing(points: np.ndarray, root: ArrayLike, colour: Colour, inner: Colour) -> Piece:
    """A wing with two paler fields, the smaller nearer to its root."""
    root = np.array(root)
    return Piece("wing", [Shape(points, colour, 3),
                          flat(root + 0.72 * (points - root), inner),
                          flat(root + 0.4 * (points - root), colour)])


def foot(x: float, y: float, rx: float, ry: float, colour: Colour) -> Piece:
    toe = np.array([(x, y + 0.15 * ry), (x, y + 0.75 * ry)])
    toes = [line(toe + (dx * rx, 0), mix(colour, INK, 0.6), 0.035) for dx in (-0.35, 0.35)]
    return Piece("foot", [Shape(ellipse(x, y, rx, ry), colour, 2), *toes])


def fin(points: ArrayLike, root: ArrayLike, colour: Colour) -> Piece:
    """A fin with three rays that spread from its root."""
    root, outline = np.array(root), smooth(points)
    rays = [line([root, root + 0.75 * (tip - root)], mix(colour, INK, 0.4), 0.03) for tip in outline[9:20:5]]
    return Piece("fin", [Shape(outline, colour, 2), *rays])


def petal(x: float, y: float, angle: float, length: float, width: float, colour: Colour) -> Piece:
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    outline = [(0, -0.25), (0.55, -1), (1, -0.45), (1, 0.45), (0.55, 1), (0, 0.25)]
    points = smooth([(x, y) + a * length * along + b * width * across for a, b in outline])
    crease = [(x, y) + a * length * along for a in (0.35, 0.7)]
    return Piece("petal", [Shape(points, colour, 3), line(crease, mix(colour, INK, 0.35), 0.035)])


def leaf(x: float, y: float, angle: float, length: float, colour: Colour) -> Piece:
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    sides = [(0, 0), (0.25, -0.24), (0.6, -0.24), (1, 0), (0.6, 0.24), (0.25, 0.24)]
    points = smooth([(x, y) + length * (a * along + b * across) for a, b in sides])
    return Piece("leaf", [Shape(points, colour, 2),
                          line(np.array([(x, y), (x, y) + 0.8 * length * along]), mix(colour, INK, 0.45), 0.035)])


def fruit(x: float, y: float, r: float, colour: Colour) -> Piece:
    return Piece("fruit", [Shape(ellipse(x, y, r), colour, 3),
                           line([(x, y - 0.8 * r), (x + 0.3 * r, y - 1.6 * r)], (80, 50, 30), 0.04)])


def roof(points: ArrayLike, colour: Colour) -> Piece:
    """A roof with two rows of tiles; `points` go left top, right top, right bottom, left bottom."""
    points = np.array(points, float)
    top, bottom = points[:2], points[3:1:-1]
    rows = [line(top + f * (bottom - top), mix(colour, INK, 0.35), 0.035) for f in (0.45, 0.75)]
    return Piece("roof", [Shape(points, colour, 2), *rows])


def door(left: float, top: float, right: float, bottom: float, colour: Colour) -> Piece:
    w, h = right - left, bottom - top
    return Piece("door", [Shape(box(left, top, right, bottom, 0.05), colour, 2),
                          flat(box(left + 0.24 * w, top + 0.14 * h, right - 0.24 * w, top + 0.46 * h),
                               mix(colour, INK, 0.35)),
                          flat(ellipse(right - 0.2 * w, top + 0.6 * h, 0.12 * w), (255, 225, 110))])


def window(points: ArrayLike) -> Piece:
    """A pale frame around glass with a glint; `points` go left top, right top, right bottom, left bottom."""
    points = np.array(points, float)
    centre = points.mean(0)
    a, b = centre + 0.45 * (points[[3, 1]] - centre)
    return Piece("window", [Shape(points, CREAM), flat(centre + 0.7 * (points - centre), GLASS),
                            line([a, b], WHITE, 0.06)])


def chimney(x: float, top: float, width: float, bottom: float, colour: Colour) -> Piece:
    w = width / 2
    return Piece("chimney", [Shape(box(x - w, top, x + w, bottom), colour, 2),
                             Shape(box(x - 1.35 * w, top - 0.06, x + 1.35 * w, top + 0.1, 0.02),
                                   mix(colour, INK, 0.3))])


def wheel(x: float, y: float, r: float, hub: Colour) -> Piece:
    return Piece("wheel", [Shape(ellipse(x, y, r), (58, 54, 64), 2), flat(ellipse(x, y, 0.58 * r), hub),
                           flat(ellipse(x, y, 0.2 * r), (70, 66, 76))])


def sail(points: ArrayLike, colour: Colour, stripe: Colour) -> Piece:
    """A triangle, its top first, with one stripe across."""
    points = np.array(points, float)
    low, high = points[0] + 0.65 * (points[1:] - points[0]), points[0] + 0.45 * (points[1:] - points[0])
    return Piece("sail", [Shape(points, colour), flat(np.vstack([low, high[::-1]]), stripe)])


def hand(x: float, y: float, angle: float, length: float, width: float, colour: Colour) -> Piece:
    tip = (x + length * np.sin(angle), y - length * np.cos(angle))
    return Piece("hand", [line([(x, y), tip], colour, width)])


def bell(x: float, y: float, r: float, angle: float, colour: Colour) -> Piece:
    dome = np.array([(np.cos(t), np.sin(t)) for t in np.linspace(np.pi, 2 * np.pi, 12)])
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    return Piece("bell", [Shape(np.array([(0, -1.25 * r)]) @ turn + ellipse(x, y, 0.22 * r), colour),
                          Shape(dome * r @ turn + (x, y), colour, 3)])
