"""Living things of PartWorld, each an arrangement of parts.

A sketch is a function of a random generator and returns `Piece`s in a frame where the object fills about
[-1, 1] x [-1, 1], y down, later pieces in front.
"""

import numpy as np

from vizlib.partworld import parts as part
from vizlib.partworld.drawing import INK, Piece, Shape, ellipse, flat, line, mix, smooth, smooth_open
from vizlib.partworld.parts import ORANGE, SIDES, WHITE, blob, hue, mirrored, pick, piece

COATS = [(235, 150, 65), (150, 150, 160), (95, 90, 100), (240, 225, 200), (170, 115, 75), (205, 175, 135)]
SKINS = [(255, 222, 195), (245, 200, 160), (220, 165, 120), (170, 115, 80), (120, 80, 58)]
HAIRS = [(60, 42, 36), (110, 68, 38), (225, 175, 85), (185, 80, 40), (40, 38, 50), (190, 185, 180)]
HEARTS = [(255, 205, 60), (150, 90, 45), (250, 235, 150)]
DARK = (60, 45, 50)


def face(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    skin, hair, iris = pick(rng, SKINS), pick(rng, HAIRS), hue(u(0.05, 0.6), 0.6, 0.6)
    wide, hair_end, gaze, apart = u(0.62, 0.7), u(-0.1, 0.75), u(-0.06, 0.04), u(0.26, 0.31)
    outer, parting = wide + 0.14, u(-0.25, 0.25)
    back = mirrored([(0.6, -0.75), (outer, -0.1), (wide + 0.1, hair_end), (wide - 0.3, hair_end + 0.1)], -1)
    head = mirrored([(0.5, -0.72), (wide, -0.1), (wide - 0.12, 0.5), (0.26, 0.92)], -0.85)
    fringe = [(-wide - 0.06, 0), (-0.66, -0.6), (0, -0.96), (0.66, -0.6), (wide + 0.06, 0),
              (wide - 0.16, -0.3), (parting + 0.2, -0.48), (parting, -0.6), (parting - 0.2, -0.46),
              (0.16 - wide, -0.3)]
    brow = np.array([(-0.14, -0.2 + gaze), (0, -0.26 + gaze), (0.14, -0.2 + gaze)])
    brows = [line(smooth_open(brow + (s * apart, 0)), mix(hair, INK, 0.3), 0.055) for s in SIDES]
    cheeks = [flat(ellipse(s * 0.42, 0.32, 0.12, 0.09), mix(skin, (250, 90, 90), 0.35)) for s in SIDES]
    return [piece(blob(back, hair, 4)),
            *[part.ear(ellipse(s * (wide + 0.03), 0.1, 0.13, 0.19), skin) for s in SIDES],
            piece(blob(head, skin, 6), *cheeks, blob(fringe, hair, 2), *brows),
            *[part.eye(s * apart, 0.02 + gaze, 0.155, iris) for s in SIDES],
            part.nose(0, 0.28, 0.11, mix(skin, (205, 80, 70), 0.4)),
            part.mouth(0, 0.5, u(0.42, 0.6), u(0, 0.14))]


def cat(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    coat, iris = pick(rng, COATS), hue(u(0.12, 0.45), 0.75, 0.85)
    pale, dark = mix(coat, WHITE, 0.55), mix(coat, INK, 0.5)
    tip, lift, x = u(-0.1, 0.3), u(0.85, 1.08), u(-0.06, 0.06)
    tail = smooth_open([(0.3, 0.8), (0.72, 0.78), (0.86, 0.45), (0.66, tip), (0.8, tip - 0.2)])
    body = [(-0.3, 0), (0.3, 0), (0.56, 0.55), (0.5, 0.94), (-0.5, 0.94), (-0.56, 0.55)]
    head = np.array(mirrored([(0.5, -0.6), (0.66, -0.22), (0.3, 0.14)], -0.76)) + (x, 0)
    ear = np.array([(0.6, -0.4), (0.56, -0.75), (0.53, -lift), (0.42, 0.06 - lift), (0.1, -0.68),
                    (0.3, -0.4)])
    stripes = [line([(x + dx, -0.72), (x + 0.7 * dx, -0.55)], dark, 0.06) for dx in (-0.14, 0, 0.14)]
    whiskers = [line([(x + s * 0.24, dy - 0.1), (x + s * 0.72, 2.4 * dy - 0.14)], mix(dark, INK, 0.5), 0.025)
                for s in SIDES for dy in (-0.03, 0.05)]
    return [piece(Shape(tail, coat, width=0.16), blob(body, coat, 5), flat(ellipse(0, 0.5, 0.24, 0.3), pale)),
            *[part.foot(s * 0.22, 0.87, 0.2, 0.14, pale) for s in SIDES],
            *[part.ear(smooth(ear * (s, 1) + (x, 0)), coat) for s in SIDES],
            piece(blob(head, coat, 5), *stripes, flat(ellipse(x, -0.02, 0.28, 0.15), pale), *whiskers),
            *[part.eye(x + s * 0.28, -0.33, 0.155, iris) for s in SIDES],
            part.nose(x, -0.13, 0.085, (225, 110, 125)),
            part.mouth(x, 0, 0.26, u(0, 0.04))]


def fish(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    h = u(0, 1)
    scales, trim = hue(h, u(0.65, 0.9), 0.95), hue(h + u(0.08, 0.5), 0.75, 0.95)
    tall, fork, crest = u(0.46, 0.58), u(0.4, 0.55), u(0.7, 0.9)
    body = [(-0.96, 0.03), (-0.7, -0.36), (-0.2, -tall), (0.35, -0.34), (0.68, -0.08), (0.68, 0.1),
            (0.35, 0.36), (-0.2, tall), (-0.7, 0.4)]
    band = np.array([(-0.07, -tall), (0.07, -tall), (0.13, 0), (0.07, tall), (-0.07, tall), (0, 0)])
    bands = [flat(smooth(band * (1, a) + (x, 0)), trim) for x, a in ((-0.05, 0.88), (0.3, 0.66))]
    bubbles = [Shape(ellipse(x, y, r), (215, 240, 250), outline=0.6)
               for x, y, r in ((-0.8, -0.6, 0.07), (-0.72, -0.8, 0.05))]
    tail = [(0.5, 0), (0.7, -0.25), (1, -fork), (0.86, 0), (1, fork), (0.7, 0.25)]
    side = [(-0.28, 0.1), (-0.08, 0.08), (0.18, 0.26), (0.02, 0.38), (-0.2, 0.3)]
    return [part.fin(tail, (0.55, 0), trim),
            part.fin([(-0.4, -0.3), (-0.25, -crest), (0.2, 0.04 - crest), (0.4, -0.25)], (0, -0.2), trim),
            piece(blob(body, scales, 6), *bands, *bubbles),
            part.fin(side, (-0.25, 0.16), trim),
            part.eye(-0.56, -0.12, 0.17, hue(u(0, 1), 0.4, 0.5)),
            part.mouth(-0.74, 0.14, 0.24, u(0, 0.08))]


def bird(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    h = u(0, 1)
    coat, pale = hue(h, u(0.6, 0.85), u(0.75, 0.95)), hue(h + u(-0.12, 0.12), 0.2, 1)
    plume, drop, lift = mix(coat, INK, 0.3), u(-0.25, 0.1), u(0, 0.16)
    tail = [(-0.4, 0.05), (-0.98, drop - 0.16), (-1.02, drop + 0.08), (-0.85, drop + 0.2), (-0.35, 0.4)]
    body = [(0.1, -0.75), (0.42, -0.86), (0.7, -0.66), (0.72, -0.35), (0.64, 0.2), (0.3, 0.62), (-0.2, 0.64),
            (-0.62, 0.3), (-0.4, 0), (0, -0.35)]
    belly = smooth([(0.6, -0.18), (0.56, 0.25), (0.25, 0.55), (-0.1, 0.56), (0.3, 0.2)])
    wing = smooth([(0.22, -0.12), (0.3, 0.15), (0.05, 0.4), (-0.4, 0.4 - lift), (-0.66, 0.18 - 2 * lift),
                   (-0.2, -0.1 - lift)])
    tuft = smooth_open([(0.34, -0.82), (0.3, -0.95), (0.16, -1)])
    leg = np.array([(0, 0.55), (0.03, 0.92)])
    legs = [Shape(leg + (x, 0), ORANGE, outline=0.6, width=0.05) for x in (-0.1, 0.2)]
    return [piece(*legs),
            *[part.foot(x, 0.93, 0.15, 0.08, ORANGE) for x in (-0.04, 0.28)],
            piece(blob(tail, plume, 2), Shape(tuft, coat, width=0.07), blob(body, coat, 6),
                  flat(belly, pale)),
            part.wing(wing, (0.2, 0.02), plume, mix(coat, WHITE, 0.35)),
            part.beak(0.68, -0.5, 0.34),
            part.eye(0.44, -0.54, 0.155, hue(u(0, 1), 0.5, 0.45))]


def butterfly(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    h = u(0, 1)
    colour, inner = hue(h, u(0.65, 0.9), u(0.8, 1)), hue(h + u(0.08, 0.3), u(0.4, 0.7), 1)
    reach, rise, low = u(0.86, 1), u(-0.9, -0.72), u(0.55, 0.72)
    upper = smooth([(0.06, -0.1), (0.3, -0.55), (reach * 0.8, rise), (reach, rise + 0.3), (0.8, -0.05),
                    (0.3, 0.1)])
    lower = smooth([(0.06, 0.05), (0.5, 0.02), (1.15 * low, 0.3), (low, 0.7), (0.4, 0.78), (0.14, 0.45)])
    feeler = smooth_open([(0.03, -0.45), (0.1, -0.75), (0.26, -0.9)])
    feelers = [shape for s in SIDES for shape in
               (line(feeler * (s, 1), DARK, 0.05), flat(ellipse(s * 0.27, -0.92, 0.05), DARK))]
    body = [(-0.09, -0.35), (0.09, -0.35), (0.1, 0.2), (0, 0.68), (-0.1, 0.2)]
    return [*[part.wing(lower * (s, 1), (s * 0.2, 0.15), mix(colour, inner, 0.3), inner) for s in SIDES],
            *[part.wing(upper * (s, 1), (s * 0.2, -0.08), colour, inner) for s in SIDES],
            piece(*feelers, blob(body, (95, 70, 65), 2), Shape(ellipse(0, -0.42, 0.12), (95, 70, 65), 2))]


def flower(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    green, colour = hue(u(0.27, 0.38), u(0.6, 0.8), u(0.5, 0.7)), hue(u(0.72, 1.1), u(0.45, 0.85), u(0.9, 1))
    heart, n, turn, bend, y = pick(rng, HEARTS), rng.integers(5, 8), u(0, 2 * np.pi), u(-0.14, 0.14), -0.36
    stalk = smooth_open([(0.5 * bend, -0.05), (bend, 0.35), (0, 0.98)])
    around = turn + np.arange(n) * 2 * np.pi / n
    seeds = [flat(ellipse(0.1 * np.cos(a), y + 0.1 * np.sin(a), 0.025), mix(heart, INK, 0.5)) for a in around]
    return [Piece("stem", [Shape(stalk, green, width=0.09)]),
            part.leaf(0.7 * bend, 0.72, np.pi + u(0.35, 0.75), u(0.5, 0.68), green),
            part.leaf(0.7 * bend, 0.8, -u(0.35, 0.75), u(0.5, 0.68), green),
            *[part.petal(0.1 * np.cos(a), y + 0.1 * np.sin(a), a, 0.53, 1.02 / n + 0.06, colour)
              for a in around],
            piece(Shape(ellipse(0, y, 0.2), heart, 3), *seeds)]


def tree(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    green, bark = hue(u(0.2, 0.4), u(0.5, 0.8), u(0.45, 0.75)), hue(u(0.04, 0.09), 0.55, u(0.4, 0.6))
    ripe, fresh = hue(pick(rng, [0, 0.03, 0.08, 0.13, 0.93]), 0.85, 0.95), mix(green, (215, 240, 90), 0.5)
    lumps, turn = rng.integers(7, 10), u(0, 2 * np.pi)
    theta = np.linspace(0, 2 * np.pi, 6 * lumps, endpoint=False)
    radius = 0.54 + 0.09 * np.abs(np.sin(lumps * theta / 2))[:, None]
    crown = radius * np.stack([1.35 * np.cos(theta + turn), 1.1 * np.sin(theta + turn)], 1) + (0, -0.36)
    trunk = [(-0.14, 0.05), (0.14, 0.05), (0.13, 0.6), (0.34, 0.96), (0, 0.93), (-0.34, 0.96), (-0.13, 0.6)]
    around = np.array([-2.6, -1.9, -1.2, -0.5]) + u(-0.2, 0.2, 4)
    spots = np.array([(-0.38, -0.2), (0.02, -0.42), (0.38, -0.14)]) + u(-0.06, 0.06, (3, 2))
    knot = line([(0.02, 0.35), (0, 0.75)], mix(bark, INK, 0.5), 0.05)
    return [Piece("trunk", [blob(trunk, bark, 2), knot]),
            piece(Shape(crown, green, 5)),
            *[part.leaf(0.66 * np.cos(a), 0.5 * np.sin(a) - 0.36, a + u(-0.3, 0.3), 0.36, fresh)
              for a in around],
            *[part.fruit(x, y, 0.11, ripe) for x, y in spots]]
