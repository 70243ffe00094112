"""Made things of PartWorld, each an arrangement of parts.

A sketch is a function of a random generator and returns `Piece`s in a frame where the object fills about
[-1, 1] x [-1, 1], y down, later pieces in front.
"""

import numpy as np

from vizlib.partworld import parts as part
from vizlib.partworld.drawing import INK, Piece, Shape, box, ellipse, flat, line, mix, smooth_open
from vizlib.partworld.parts import CREAM, SIDES, STEEL, WHITE, blob, hue, pick, piece

TILES = (0, 0.03, 0.06, 0.38, 0.6, 0.75)  # hues
CLOTHS = [WHITE, CREAM, (255, 225, 140), (250, 190, 180)]
LAMP, BRASS = (255, 238, 145), (250, 205, 80)


def house(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    wall, tiles = hue(u(0, 1), u(0.1, 0.5), u(0.85, 1)), hue(pick(rng, TILES), 0.7, 0.75)
    wood, brick = hue(u(0, 1), 0.65, 0.65), (190, 95, 75)
    wide, ridge, top, side = u(0.66, 0.8), u(-0.92, -0.78), u(0.02, 0.27), pick(rng, SIDES)
    x = -0.36 * side
    return [part.chimney(side * 0.5, ridge - 0.06, 0.22, -0.35, brick),
            piece(Shape(box(-wide, -0.3, wide, 0.92), wall),
                  flat(box(0.04 - wide, -0.2, wide - 0.04, -0.06), mix(wall, INK, 0.3)),
                  flat(box(0.02 - wide, 0.76, wide - 0.02, 0.9), mix(wall, INK, 0.4))),
            part.roof([(-top, ridge), (top, ridge), (wide + 0.2, -0.16), (-wide - 0.2, -0.16)], tiles),
            part.door(x - 0.17, 0.28, x + 0.17, 0.92, wood),
            part.window(box(-x - 0.21, 0.05, -x + 0.21, 0.47)),
            part.window(box(x - 0.14, -0.09, x + 0.14, 0.19))]


def car(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    paint, r = hue(u(0, 1), u(0.65, 0.9), u(0.75, 0.95)), u(0.22, 0.26)
    top, back, bonnet = u(-0.62, -0.5), u(-0.7, -0.58), u(0.3, 0.42)
    body = [(-0.98, 0), (-0.95, -0.05), (back - 0.04, -0.14), (back + 0.16, top), (0.08, top),
            (bonnet + 0.06, -0.12), (0.9, 0.02), (0.99, 0.2), (0.96, 0.42), (0, 0.46), (-0.96, 0.42)]
    high, low = top + 0.1, -0.1
    return [piece(blob(body, paint, 4),
                  line([(-0.94, 0.2), (0.95, 0.2)], mix(paint, WHITE, 0.45), 0.05),
                  line([(-0.06, 0.07), (0.06, 0.07)], INK, 0.04),
                  Shape(ellipse(0.9, 0.1, 0.08, 0.09), LAMP, outline=0.7),
                  Shape(box(-0.98, 0.04, -0.88, 0.18), (225, 50, 50), outline=0.5)),
            part.window([(back + 0.2, high), (-0.2, high), (-0.2, low), (back + 0.06, low)]),
            part.window([(-0.1, high), (0.06, high), (bonnet - 0.06, low), (-0.1, low)]),
            *[part.wheel(x, 0.44, r, STEEL) for x in (-0.54, 0.54)]]


def train(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    paint, trim = hue(u(0, 1), u(0.6, 0.85), u(0.6, 0.85)), hue(u(0, 1), 0.7, 0.8)
    top, r, puff, iron = u(-0.58, -0.44), u(0.2, 0.23), u(0.16, 0.22), (78, 73, 88)
    smoke = [Shape(ellipse(x, top + dy, size * puff), (240, 240, 245), 2, 0.7)
             for x, dy, size in ((-0.12, -0.38, 1.1), (-0.4, -0.34, 0.8), (-0.58, -0.2, 0.7))]
    bands = [line([(x, -0.17), (x, 0.34)], BRASS, 0.06) for x in (-0.62, -0.14)]
    plough = np.array([(-0.92, 0.4), (-1.04, 0.72), (-0.72, 0.72), (-0.76, 0.4)])
    return [piece(*smoke),
            part.chimney(-0.58, top, 0.24, -0.16, iron),
            piece(Shape(ellipse(-0.14, -0.2, 0.13), BRASS, 2),
                  Shape(box(-0.86, -0.2, 0.3, 0.36, 0.14), paint, 4), *bands,
                  Shape(box(0.22, -0.5, 0.92, 0.42), trim), Shape(box(-0.92, 0.32, 0.96, 0.52), iron),
                  Shape(plough, (205, 60, 50)), Shape(ellipse(-0.9, 0.02, 0.09), LAMP, outline=0.7)),
            part.roof([(0.2, -0.78), (0.94, -0.78), (1.04, -0.5), (0.1, -0.5)], mix(trim, INK, 0.4)),
            part.window(box(0.38, -0.38, 0.76, -0.02)),
            *[part.wheel(x, 0.6, r, BRASS) for x in (-0.42, 0.08, 0.6)]]


def boat(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    paint, cloth = hue(u(0, 1), u(0.6, 0.85), u(0.6, 0.9)), pick(rng, CLOTHS)
    stripe, sea = hue(u(0, 1), 0.7, 0.85), hue(u(0.52, 0.62), u(0.45, 0.7), u(0.65, 0.85))
    top, boom, jib = u(-1, -0.88), u(0.62, 0.82), u(0.5, 0.7)
    hull = [(-0.98, 0.34), (-0.5, 0.38), (0.5, 0.38), (0.98, 0.3), (0.8, 0.7), (0.5, 0.96),
            (-0.5, 0.96), (-0.8, 0.74)]
    waves = smooth_open([(x, 0.78 + 0.05 * (-1) ** i) for i, x in enumerate(np.linspace(-1.05, 1.05, 12))])
    return [Piece("mast", [Shape(box(-0.08, top - 0.04, 0.02, 0.45), (150, 95, 50), 2)]),
            part.sail([(0.06, top + 0.06), (boom, 0.2), (0.06, 0.2)], cloth, stripe),
            part.sail([(-0.13, top + 0.2), (-0.13, 0.2), (-0.13 - jib, 0.2)], mix(cloth, stripe, 0.15),
                      stripe),
            piece(blob(hull, paint, 4), line([(-0.86, 0.46), (0.88, 0.46)], mix(paint, WHITE, 0.6), 0.06)),
            *[part.window(box(x - 0.12, 0.53, x + 0.12, 0.74)) for x in (-0.3, 0.3)],
            piece(Shape(np.vstack([waves, [(0.85, 1), (-0.85, 1)]]), sea, outline=0.6),
                  line(waves, mix(sea, WHITE, 0.6), 0.05))]


def clock(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    case, metal = hue(u(0, 1), u(0.6, 0.85), u(0.7, 0.95)), hue(u(0.1, 0.15), 0.65, 0.95)
    dial, dark, y = mix(WHITE, hue(u(0, 1), 0.3, 1), u(0, 0.5)), (45, 38, 55), 0.12
    hour = u(0, 2 * np.pi)
    minute = hour + u(0.8, 2 * np.pi - 0.8)  # apart, so that neither hides the other
    handle = smooth_open([(-0.16, -0.6), (-0.14, -0.9), (0.14, -0.9), (0.16, -0.6)])
    rays = [np.array([np.cos(a), np.sin(a)]) for a in np.arange(12) * np.pi / 6]
    ticks = [line([0.42 * ray + (0, y), 0.5 * ray + (0, y)], (95, 85, 110), 0.03 if i % 3 else 0.06)
             for i, ray in enumerate(rays)]
    return [*[part.foot(s * 0.46, 0.88, 0.18, 0.12, mix(case, INK, 0.25)) for s in SIDES],
            piece(Shape(handle, STEEL, width=0.06)),
            *[part.bell(s * 0.47, -0.56, 0.3, s * 0.62, metal) for s in SIDES],
            piece(Shape(ellipse(0, y, 0.74), case, 4), Shape(ellipse(0, y, 0.57), dial, outline=0.7), *ticks),
            part.hand(0, y, hour, 0.28, 0.12, dark),
            part.hand(0, y, minute, 0.42, 0.07, dark),
            piece(flat(ellipse(0, y, 0.07), (220, 60, 60)))]
