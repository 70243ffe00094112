"""Antialiased picture-book drawing: outlined, softly shaded shapes on a small RGB image, with exact boxes.

A picture is a list of `Piece`s, plain values drawn in order, so that a scene can be inspected, changed and
drawn again. Points are (x, y) with y pointing down.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Colour = tuple[float, float, float]  # red, green and blue in [0, 255]
SIDE = 64
SUPERSAMPLING = 4  # each pixel is the mean of 4 x 4 samples
ROUNDING = 0.3  # pixels; how much farther than asked a shape reaches, because Pillow rounds to samples
INK, GLOW = (38, 30, 46), (255, 250, 235)  # what shadows and lights tend to


class Shape(NamedTuple):
    """A filled polygon, or an open stroke where `width` is above 0 (in the units of `points`)."""

    points: np.ndarray
    colour: Colour
    tones: int = 1  # nested lighter copies that make the soft shading
    outline: float = 0.9  # pixels
    width: float = 0.0


class Piece(NamedTuple):
    """Shapes that belong together; `kind` names the part they make, None for what is no named part."""

    kind: str | None
    shapes: list[Shape]


def flat(points: np.ndarray, colour: Colour) -> Shape:
    """A filled polygon without outline or shading."""
    return Shape(points, colour, outline=0)


def line(points: ArrayLike, colour: Colour, width: float) -> Shape:
    """A stroke without outline through `points`."""
    return Shape(np.asarray(points, float), colour, outline=0, width=width)


def ellipse(x: float, y: float, rx: float, ry: float | None = None, angle: float = 0.0) -> np.ndarray:
    """Points of an ellipse with centre (x, y), radii rx and ry, turned by `angle` radians; (28, 2)."""
    points = _circle() * (rx, rx if ry is None else ry)
    return (points @ _rotation(angle) if angle else points) + (x, y)


def box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> np.ndarray:
    """Points of an upright box with rounded corners."""
    if not radius:
        return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
    quarters = _circle()
    centres = np.array([(right, bottom), (left, bottom), (left, top), (right, top)]) \
        + radius * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    return (quarters.reshape(4, 7, 2) * radius + centres[:, None]).reshape(-1, 2)


def smooth(points: ArrayLike) -> np.ndarray:
    """A closed Catmull-Rom curve through `points` (k, 2); (6 k, 2)."""
    points = np.asarray(points, float)
    return _spline(len(points)) @ points


def smooth_open(points: ArrayLike) -> np.ndarray:
    """An open Catmull-Rom curve from the first to the last of `points` (k, 2); (6 k - 5, 2)."""
    points = np.asarray(points, float)
    ends = 2 * points[[0, -1]] - points[[1, -2]]
    return (_spline(len(points) + 2) @ np.vstack([ends[:1], points, ends[1:]]))[6:-11]


def place(pieces: list[Piece], scale: float = 1.0, angle: float = 0.0, shift: ArrayLike = (0.0, 0.0)) -> list[Piece]:
    """The pieces scaled, turned by `angle` radians, then moved by `shift` (x, y)."""
    points = np.concatenate([shape.points for piece in pieces for shape in piece.shapes])
    points = points @ (scale * _rotation(angle)) + shift
    placed, start = [], 0
    for kind, shapes in pieces:
        moved = []
        for old, colour, tones, outline, width in shapes:
            stop = start + len(old)
            moved.append(Shape(points[start:stop], colour, tones, outline, width * scale))
            start = stop
        placed.append(Piece(kind, moved))
    return placed


def boxes(pieces: list[Piece]) -> np.ndarray:
    """The bounding box (top, left, bottom, right) of each drawn piece, outlines included; float (n, 4)."""
    shapes = [shape for piece in pieces for shape in piece.shapes]
    points = np.concatenate([shape.points for shape in shapes])[:, ::-1]
    reach = np.array([s.width / 2 + s.outline * (1 if s.width else 0.5) for s in shapes])[:, None] + ROUNDING
    first_point = np.cumsum([0] + [len(shape.points) for shape in shapes[:-1]])
    first_shape = np.cumsum([0] + [len(piece.shapes) for piece in pieces[:-1]])
    low = np.minimum.reduceat(np.minimum.reduceat(points, first_point) - reach, first_shape)
    high = np.maximum.reduceat(np.maximum.reduceat(points, first_point) + reach, first_shape)
    return np.hstack([low, high])


def render(background: np.ndarray, pieces: list[Piece], light: np.ndarray) -> np.ndarray:
    """Draw pieces, in pixel coordinates, over a background.

    background : uint8 (64, 64, 3)
    light : (x, y), towards the light; its length, above 0 and at most 1, is the strength of the shading
    Returns uint8 (64, 64, 3).
    """
    from PIL import Image, ImageDraw

    size = SIDE * SUPERSAMPLING
    image = Image.fromarray(background).resize((size, size), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    for piece in pieces:
        for shape in piece.shapes:
            (_draw_stroke if shape.width else _draw_polygon)(draw, shape, light)
    return np.asarray(image.reduce(SUPERSAMPLING))


def mix(colour: Colour, other: Colour, amount: float) -> Colour:
    """`colour` moved towards `other` by `amount` in [0, 1]; a tuple of three floats in [0, 255]."""
    (r, g, b), (x, y, z) = colour, other
    return r + amount * (x - r), g + amount * (y - g), b + amount * (z - b)


def _draw_polygon(draw, shape, light):
    points = shape.points * SUPERSAMPLING
    if shape.tones == 1:
        draw.polygon(points.ravel().tolist(), fill=_rgb(shape.colour))
    else:
        strength = math.hypot(*light)
        centre = points.mean(0)
        focus = centre + 0.3 * np.abs(points - centre).max(0) * light / strength
        step = np.arange(shape.tones) / (shape.tones - 1)
        nested = points + 0.62 * step[:, None, None] * (focus - points)
        levels = (strength * (step - 0.5)).tolist()
        for corners, level in zip(nested.reshape(shape.tones, -1).tolist(), levels, strict=True):
            draw.polygon(corners, fill=_rgb(mix(shape.colour, GLOW if level > 0 else INK, abs(level))))
    if shape.outline:
        path = points.ravel().tolist()
        width = round(shape.outline * SUPERSAMPLING)
        draw.line(path + path[:4], fill=_rgb(mix(shape.colour, INK, 0.75)), width=width)


def _draw_stroke(draw, shape, light):
    points = shape.points * SUPERSAMPLING
    path = points.ravel().tolist()
    passes = [(shape.width + 2 * shape.outline, mix(shape.colour, INK, 0.75))] if shape.outline else []
    for width, colour in [*passes, (shape.width, shape.colour)]:
        width = max(round(width * SUPERSAMPLING), 1)
        draw.line(path, fill=_rgb(colour), width=width)
        if width > 4:  # round ends and joints
            r = width / 2 - 0.5
            for x, y in points.tolist():
                draw.ellipse((x - r, y - r, x + r, y + r), fill=_rgb(colour))


def _rgb(colour):
    r, g, b = colour
    return int(r), int(g), int(b)


def _rotation(angle):
    c, s = math.cos(angle), math.sin(angle)
    return np.array([(c, s), (-s, c)])


@lru_cache
def _circle(n=28):
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], 1)


@lru_cache
def _spline(k, steps=6):
    """The matrix (steps k, k) that takes k control points to the closed Catmull-Rom curve through them."""
    t = np.arange(steps)[:, None] / steps
    weights = np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2])
    matrix = np.zeros((k, steps, k))
    for i in range(k):
        for j in range(4):
            matrix[i, :, (i + j - 1) % k] += weights[:, j] / 2
    return matrix.reshape(k * steps, k)
