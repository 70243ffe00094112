"""The classes of PartWorld, each an arrangement of parts.

Every sketch is a function of a random generator and returns `Piece`s in a frame where the object fills about
[-1, 1] x [-1, 1], y down, later pieces in front. Objects always face the same way.
"""

import numpy as np

from vizlib.drawing import INK, Piece, Shape, box, ellipse, mix, smooth, smooth_open
from vizlib.drawn_parts import (CREAM, ORANGE, STEEL, WHITE, beak, bell, chimney, door, ear, eye, fin, foot, fruit,
                                hand, hue, leaf, mouth, nose, petal, piece, roof, sail, wheel, window, wing)

COATS = [(235, 150, 65), (150, 150, 160), (95, 90, 100), (240, 225, 200), (170, 115, 75), (205, 175, 135)]
SKINS = [(255, 222, 195), (245, 200, 160), (220, 165, 120), (170, 115, 80), (120, 80, 58)]
HAIRS = [(60, 42, 36), (110, 68, 38), (225, 175, 85), (185, 80, 40), (40, 38, 50), (190, 185, 180)]


def face(rng):
    u = rng.uniform
    skin, hair, iris = pick(rng, SKINS), pick(rng, HAIRS), hue(u(0.05, 0.6), 0.6, 0.6)
    wide, drop, gaze, apart = u(0.62, 0.7), u(-0.1, 0.75), u(-0.06, 0.04), u(0.26, 0.31)
    back = smooth([(-wide - 0.14, -0.1), (-0.6, -0.75), (0, -1), (0.6, -0.75), (wide + 0.14, -0.1),
                   (wide + 0.1, drop), (wide - 0.3, drop + 0.1), (0.3 - wide, drop + 0.1), (-wide - 0.1, drop)])
    part = u(-0.25, 0.25)
    fringe = smooth([(-wide - 0.06, 0), (-0.66, -0.6), (0, -0.96), (0.66, -0.6), (wide + 0.06, 0),
                     (wide - 0.16, -0.3), (part + 0.2, -0.48), (part, -0.6), (part - 0.2, -0.46), (0.16 - wide, -0.3)])
    brows = [Shape(smooth_open([(s * (apart - 0.14), -0.2 + gaze), (s * apart, -0.26 + gaze),
                                (s * (apart + 0.14), -0.2 + gaze)]), mix(hair, INK, 0.3), outline=0, width=0.055)
             for s in (-1, 1)]
    cheeks = [Shape(ellipse(s * 0.42, 0.32, 0.12, 0.09), mix(skin, (250, 90, 90), 0.35), outline=0) for s in (-1, 1)]
    return [piece(Shape(back, hair, 4)),
            *[ear(ellipse(s * (wide + 0.03), 0.1, 0.13, 0.19), skin) for s in (-1, 1)],
            piece(Shape(smooth([(-wide, -0.1), (-0.5, -0.72), (0, -0.85), (0.5, -0.72), (wide, -0.1), (wide - 0.12, 0.5),
                                (0.26, 0.92), (-0.26, 0.92), (0.12 - wide, 0.5)]), skin, 6)),
            piece(*cheeks), piece(Shape(fringe, hair, 2)), piece(*brows),
            *[eye(s * apart, 0.02 + gaze, 0.155, iris) for s in (-1, 1)],
            nose(0, 0.28, 0.11, mix(skin, (205, 80, 70), 0.4)), mouth(0, 0.5, u(0.42, 0.6), u(0, 0.14))]


def cat(rng):
    u = rng.uniform
    coat = pick(rng, COATS)
    pale, dark, iris = mix(coat, WHITE, 0.55), mix(coat, INK, 0.5), hue(u(0.12, 0.45), 0.75, 0.85)
    tip, lift, turn = u(-0.1, 0.3), u(0.85, 1.08), u(-0.06, 0.06)
    stripes = [Shape(np.array([(turn + dx, -0.72), (turn + 0.7 * dx, -0.55)]), dark, outline=0, width=0.06)
               for dx in (-0.14, 0, 0.14)]
    whiskers = [Shape(np.array([(turn + s * 0.24, -0.1 + dy), (turn + s * 0.72, -0.14 + 2.4 * dy)]), mix(dark, INK, 0.5),
                      outline=0, width=0.025) for s in (-1, 1) for dy in (-0.03, 0.05)]
    ears = [smooth([(turn + s * 0.6, -0.4), (turn + s * 0.56, -0.75), (turn + s * 0.53, -lift), (turn + s * 0.42, -lift + 0.06),
                    (turn + s * 0.1, -0.68), (turn + s * 0.3, -0.4)]) for s in (-1, 1)]
    return [piece(Shape(smooth_open([(0.3, 0.8), (0.72, 0.78), (0.86, 0.45), (0.66, tip), (0.8, tip - 0.2)]), coat,
                        width=0.16)),
            piece(Shape(smooth([(-0.3, 0), (0.3, 0), (0.56, 0.55), (0.5, 0.94), (-0.5, 0.94), (-0.56, 0.55)]), coat, 5)),
            piece(Shape(ellipse(0, 0.5, 0.24, 0.3), pale, outline=0)),
            *[foot(s * 0.22, 0.87, 0.2, 0.14, pale) for s in (-1, 1)],
            *[ear(points, coat) for points in ears],
            piece(Shape(smooth([(turn - 0.5, -0.6), (turn, -0.76), (turn + 0.5, -0.6), (turn + 0.66, -0.22),
                                (turn + 0.3, 0.14), (turn - 0.3, 0.14), (turn - 0.66, -0.22)]), coat, 5), *stripes,
                  Shape(ellipse(turn, -0.02, 0.28, 0.15), pale, outline=0), *whiskers),
            *[eye(turn + s * 0.28, -0.33, 0.155, iris) for s in (-1, 1)],
            nose(turn, -0.13, 0.085, (225, 110, 125)), mouth(turn, 0, 0.26, u(0, 0.04))]


def fish(rng):
    u = rng.uniform
    h = u(0, 1)
    body, trim = hue(h, u(0.65, 0.9), 0.95), hue(h + u(0.08, 0.5), 0.75, 0.95)
    tall, fork, crest = u(0.46, 0.58), u(0.4, 0.55), u(0.7, 0.9)
    bands = [Shape(smooth([(x - 0.07, -tall * a), (x + 0.07, -tall * a), (x + 0.13, 0), (x + 0.07, tall * a),
                           (x - 0.07, tall * a), (x, 0)]), trim, outline=0) for x, a in ((-0.05, 0.88), (0.3, 0.66))]
    bubbles = [Shape(ellipse(-0.8 + dx, -0.6 - dy, r), (215, 240, 250), outline=0.6)
               for dx, dy, r in ((0, 0, 0.07), (0.08, 0.2, 0.05))]
    return [fin([(0.5, 0), (0.7, -0.25), (1, -fork), (0.86, 0), (1, fork), (0.7, 0.25)], (0.55, 0), trim),
            fin([(-0.4, -0.3), (-0.25, -crest), (0.2, -crest + 0.04), (0.4, -0.25)], (0, -0.2), trim),
            piece(Shape(smooth([(-0.96, 0.03), (-0.7, -0.36), (-0.2, -tall), (0.35, -0.34), (0.68, -0.08), (0.68, 0.1),
                                (0.35, 0.36), (-0.2, tall), (-0.7, 0.4)]), body, 6), *bands),
            fin([(-0.28, 0.1), (-0.08, 0.08), (0.18, 0.26), (0.02, 0.38), (-0.2, 0.3)], (-0.25, 0.16), trim),
            eye(-0.56, -0.12, 0.17, hue(u(0, 1), 0.4, 0.5)), mouth(-0.74, 0.14, 0.24, u(0, 0.08)), piece(*bubbles)]


def bird(rng):
    u = rng.uniform
    h = u(0, 1)
    coat, belly = hue(h, u(0.6, 0.85), u(0.75, 0.95)), hue(h + u(-0.12, 0.12), 0.2, 1)
    tail, lift = u(-0.25, 0.1), u(0, 0.16)
    plume = mix(coat, INK, 0.3)
    tuft = [Shape(smooth_open([(0.34, -0.82), (0.3, -0.95), (0.16, -1)]), coat, width=0.07)]
    legs = [Shape(np.array([(x, 0.55), (x + 0.03, 0.92)]), ORANGE, outline=0.6, width=0.05) for x in (-0.1, 0.2)]
    wing_points = smooth([(0.22, -0.12), (0.3, 0.15), (0.05, 0.4), (-0.4, 0.4 - lift), (-0.66, 0.18 - 2 * lift),
                          (-0.2, -0.1 - lift)])
    return [piece(*legs), *[foot(x, 0.93, 0.15, 0.08, ORANGE) for x in (-0.04, 0.28)],
            piece(Shape(smooth([(-0.4, 0.05), (-0.98, tail - 0.16), (-1.02, tail + 0.08), (-0.85, tail + 0.2),
                                (-0.35, 0.4)]), plume, 2), *tuft),
            piece(Shape(smooth([(0.1, -0.75), (0.42, -0.86), (0.7, -0.66), (0.72, -0.35), (0.64, 0.2), (0.3, 0.62),
                                (-0.2, 0.64), (-0.62, 0.3), (-0.4, 0.0), (0, -0.35)]), coat, 6),
                  Shape(smooth([(0.6, -0.18), (0.56, 0.25), (0.25, 0.55), (-0.1, 0.56), (0.3, 0.2)]), belly, outline=0)),
            wing(wing_points, (0.2, 0.02), plume, mix(coat, WHITE, 0.35)),
            beak(0.68, -0.5, 0.34), eye(0.44, -0.54, 0.155, hue(u(0, 1), 0.5, 0.45))]


def flower(rng):
    u = rng.uniform
    h, green = u(0.72, 1.15), hue(u(0.27, 0.38), u(0.6, 0.8), u(0.5, 0.7))
    colour, heart = hue(h, u(0.45, 0.85), u(0.9, 1)), pick(rng, [(255, 205, 60), (150, 90, 45), (250, 235, 150)])
    n, turn, bend, y = rng.integers(5, 8), u(0, 2 * np.pi), u(-0.14, 0.14), -0.36
    if np.hypot(*np.subtract(colour[:2], heart[:2])) < 60:
        heart = (150, 90, 45)
    stalk = smooth_open([(0.5 * bend, -0.05), (bend, 0.35), (0, 0.98)])
    left, right = u(0.5, 0.68, 2)
    petals = [petal(0.1 * np.cos(a), y + 0.1 * np.sin(a), a, 0.53, 1.02 / n + 0.06, colour)
              for a in turn + np.arange(n) * 2 * np.pi / n]
    return [Piece("stem", [Shape(stalk, green, width=0.09)]),
            leaf(bend * 0.7, 0.72, np.pi + 0.5 + u(-0.15, 0.25), left, green),
            leaf(bend * 0.7, 0.8, -0.5 - u(-0.15, 0.25), right, green), *petals,
            piece(Shape(ellipse(0, y, 0.2), heart, 3),
                  *[Shape(ellipse(0.1 * np.cos(a), y + 0.1 * np.sin(a), 0.025), mix(heart, INK, 0.5), outline=0)
                    for a in np.arange(5) * 1.256])]


def tree(rng):
    u = rng.uniform
    green, bark = hue(u(0.2, 0.4), u(0.5, 0.8), u(0.45, 0.75)), hue(u(0.04, 0.09), 0.55, u(0.4, 0.6))
    ripe, lumps, turn = hue(pick(rng, [0, 0.03, 0.08, 0.13, 0.93]), 0.85, 0.95), rng.integers(7, 10), u(0, 6.28)
    theta = np.linspace(0, 2 * np.pi, 6 * lumps, endpoint=False)
    radius = 0.54 + 0.09 * np.abs(np.sin(lumps * theta / 2))
    crown = np.stack([1.35 * radius * np.cos(theta + turn), -0.36 + 1.1 * radius * np.sin(theta + turn)], 1)
    fresh = mix(green, (215, 240, 90), 0.5)
    leaves = [leaf(0.66 * np.cos(a), -0.36 + 0.5 * np.sin(a), a + u(-0.3, 0.3), 0.36, fresh)
              for a in np.array([-2.6, -1.9, -1.2, -0.5]) + u(-0.2, 0.2, 4)]
    fruits = [fruit(x + u(-0.06, 0.06), y + u(-0.06, 0.06), 0.11, ripe)
              for x, y in ((-0.38, -0.2), (0.02, -0.42), (0.38, -0.14))]
    return [Piece("trunk", [Shape(smooth([(-0.14, 0.05), (0.14, 0.05), (0.13, 0.6), (0.34, 0.96), (0, 0.93), (-0.34, 0.96),
                                          (-0.13, 0.6)]), bark, 2),
                            Shape(np.array([(0.02, 0.35), (0.0, 0.75)]), mix(bark, INK, 0.5), outline=0, width=0.05)]),
            piece(Shape(crown, green, 5)), *leaves, *fruits]


def house(rng):
    u = rng.uniform
    wall, tiles, wood = hue(u(0, 1), u(0.1, 0.5), u(0.85, 1)), hue(pick(rng, [0, 0.03, 0.06, 0.6, 0.75, 0.38]), 0.7, 0.75), \
        hue(u(0, 1), 0.65, 0.65)
    wide, ridge, flat, x = u(0.66, 0.8), u(-0.92, -0.78), u(0.0, 0.25), pick(rng, [-0.36, 0.36])
    side = -1 if x > 0 else 1
    return [chimney(side * 0.5, ridge - 0.06, 0.22, -0.35, (190, 95, 75)),
            piece(Shape(box(-wide, -0.3, wide, 0.92), wall),
                  Shape(box(0.04 - wide, -0.2, wide - 0.04, -0.06), mix(wall, INK, 0.3), outline=0),
                  Shape(box(0.02 - wide, 0.76, wide - 0.02, 0.9), mix(wall, INK, 0.4), outline=0)),
            roof([(-flat - 0.02, ridge), (flat + 0.02, ridge), (wide + 0.2, -0.16), (-wide - 0.2, -0.16)], tiles),
            door(x - 0.17, 0.28, x + 0.17, 0.92, wood),
            *[window(box(cx - w, cy - w, cx + w, cy + w)) for cx, cy, w in
              ((-x, 0.26, 0.21), (x, 0.05, 0.14))]]


def car(rng):
    u = rng.uniform
    paint = hue(u(0, 1), u(0.65, 0.9), u(0.75, 0.95))
    top, back, bonnet, r = u(-0.62, -0.5), u(-0.7, -0.58), u(0.3, 0.42), u(0.22, 0.26)
    body = smooth([(-0.98, 0), (-0.95, -0.05), (back - 0.04, -0.14), (back + 0.16, top), (0.08, top), (bonnet + 0.06, -0.12),
                   (0.9, 0.02), (0.99, 0.2), (0.96, 0.42), (0, 0.46), (-0.96, 0.42)])
    y, low = top + 0.1, -0.1
    return [piece(Shape(body, paint, 4),
                  Shape(np.array([(-0.94, 0.2), (0.95, 0.2)]), mix(paint, WHITE, 0.45), outline=0, width=0.05),
                  Shape(ellipse(0.9, 0.1, 0.08, 0.09), (255, 235, 140), outline=0.7),
                  Shape(box(-0.98, 0.04, -0.88, 0.18), (225, 50, 50), outline=0.5),
                  Shape(np.array([(-0.06, 0.07), (0.06, 0.07)]), INK, outline=0, width=0.04)),
            window([(back + 0.2, y), (-0.2, y), (-0.2, low), (back + 0.06, low)]),
            window([(-0.1, y), (0.06, y), (bonnet - 0.06, low), (-0.1, low)]),
            *[wheel(x, 0.44, r) for x in (-0.54, 0.54)]]


def boat(rng):
    u = rng.uniform
    paint, cloth = hue(u(0, 1), u(0.6, 0.85), u(0.6, 0.9)), pick(rng, [WHITE, CREAM, (255, 225, 140), (250, 190, 180)])
    stripe, sea = hue(u(0, 1), 0.7, 0.85), hue(u(0.52, 0.62), u(0.45, 0.7), u(0.65, 0.85))
    top, boom, jib = u(-1, -0.88), u(0.62, 0.82), u(0.5, 0.7)
    waves = [(x, 0.78 + 0.05 * (-1) ** i) for i, x in enumerate(np.linspace(-1.05, 1.05, 12))]
    return [Piece("mast", [Shape(box(-0.08, top - 0.04, 0.02, 0.45), (150, 95, 50), 2)]),
            sail([(0.06, top + 0.06), (boom, 0.2), (0.06, 0.2)], cloth, stripe),
            sail([(-0.13, top + 0.2), (-0.13, 0.2), (-0.13 - jib, 0.2)], mix(cloth, stripe, 0.15), stripe),
            piece(Shape(smooth([(-0.98, 0.34), (-0.5, 0.38), (0.5, 0.38), (0.98, 0.3), (0.8, 0.7), (0.5, 0.96), (-0.5, 0.96),
                                (-0.8, 0.74)]), paint, 4),
                  Shape(np.array([(-0.86, 0.46), (0.88, 0.46)]), mix(paint, WHITE, 0.6), outline=0, width=0.06)),
            *[window(box(x - 0.12, 0.53, x + 0.12, 0.74)) for x in (-0.3, 0.3)],
            piece(Shape(np.vstack([smooth_open(waves), [(0.85, 1), (-0.85, 1)]]), sea, outline=0.6),
                  Shape(smooth_open(waves), mix(sea, WHITE, 0.6), outline=0, width=0.05))]


def clock(rng):
    u = rng.uniform
    h = u(0, 1)
    case, brass, dial = hue(h, u(0.6, 0.85), u(0.7, 0.95)), hue(u(0.1, 0.15), 0.65, 0.95), mix(WHITE, hue(u(0, 1), 0.3, 1), u(0, 0.5))
    hour = u(0, 2 * np.pi)
    minute = hour + u(0.8, 2 * np.pi - 0.8)
    ring = np.arange(12) * np.pi / 6
    ticks = [Shape(np.array([(0.42 * np.cos(a), 0.12 + 0.42 * np.sin(a)), (0.5 * np.cos(a), 0.12 + 0.5 * np.sin(a))]),
                   (70, 60, 80), outline=0, width=0.06 if i % 3 == 0 else 0.03) for i, a in enumerate(ring)]
    return [*[foot(s * 0.46, 0.88, 0.18, 0.12, mix(case, INK, 0.25)) for s in (-1, 1)],
            piece(Shape(smooth_open([(-0.16, -0.6), (-0.14, -0.9), (0.14, -0.9), (0.16, -0.6)]), STEEL, width=0.06)),
            *[bell(s * 0.47, -0.56, 0.3, s * 0.62, brass) for s in (-1, 1)],
            piece(Shape(ellipse(0, 0.12, 0.74), case, 3), Shape(ellipse(0, 0.12, 0.57), dial, outline=0.7), *ticks),
            hand(0, 0.12, hour, 0.28, 0.12, (40, 35, 50)), hand(0, 0.12, minute, 0.42, 0.07, (40, 35, 50)),
            piece(Shape(ellipse(0, 0.12, 0.07), (220, 60, 60), outline=0))]


def butterfly(rng):
    u = rng.uniform
    h = u(0, 1)
    colour, inner = hue(h, u(0.65, 0.9), u(0.8, 1)), hue(h + u(0.08, 0.3), u(0.4, 0.7), 1)
    reach, rise, low = u(0.86, 1), u(-0.9, -0.72), u(0.55, 0.72)
    uppers = [smooth([(s * 0.06, -0.1), (s * 0.3, -0.55), (s * reach * 0.8, rise), (s * reach, rise + 0.3),
                      (s * 0.8, -0.05), (s * 0.3, 0.1)]) for s in (-1, 1)]
    lowers = [smooth([(s * 0.06, 0.05), (s * 0.5, 0.02), (s * low * 1.15, 0.3), (s * low, 0.7), (s * 0.4, 0.78),
                      (s * 0.14, 0.45)]) for s in (-1, 1)]
    feelers = [Shape(smooth_open([(s * 0.03, -0.45), (s * 0.1, -0.75), (s * 0.26, -0.9)]), (60, 45, 50), outline=0,
                     width=0.05) for s in (-1, 1)]
    dots = [Shape(ellipse(s * 0.27, -0.92, 0.05), (60, 45, 50), outline=0) for s in (-1, 1)]
    return [*[wing(points, (s * 0.2, 0.15), mix(colour, inner, 0.3), inner) for s, points in zip((-1, 1), lowers)],
            *[wing(points, (s * 0.2, -0.08), colour, inner) for s, points in zip((-1, 1), uppers)],
            piece(*feelers, *dots, Shape(smooth([(-0.09, -0.35), (0.09, -0.35), (0.1, 0.2), (0, 0.68), (-0.1, 0.2)]),
                                         (95, 70, 65), 2), Shape(ellipse(0, -0.42, 0.12), (95, 70, 65), 2))]


def train(rng):
    u = rng.uniform
    paint, trim = hue(u(0, 1), u(0.6, 0.85), u(0.6, 0.85)), hue(u(0, 1), 0.7, 0.8)
    stack, r, puff = u(-0.72, -0.58), u(0.2, 0.23), u(0.16, 0.22)
    smoke = [Shape(ellipse(x, y, s * puff), (240, 240, 245), 2, 0.7) for x, y, s in
             ((-0.12, stack - 0.24, 1.1), (-0.4, stack - 0.2, 0.8), (-0.58, stack - 0.06, 0.7))]
    return [piece(*smoke), chimney(-0.58, stack + 0.14, 0.24, -0.16, (75, 70, 85)),
            piece(Shape(ellipse(-0.14, -0.2, 0.13), (250, 205, 80), 2),
                  Shape(box(-0.86, -0.2, 0.3, 0.36, 0.14), paint, 4),
                  *[Shape(np.array([(x, -0.17), (x, 0.34)]), (250, 205, 80), outline=0, width=0.06)
                    for x in (-0.62, -0.14)],
                  Shape(box(0.22, -0.5, 0.92, 0.42), trim), Shape(box(-0.92, 0.32, 0.96, 0.52), (80, 75, 90), 1),
                  Shape(np.array([(-0.92, 0.4), (-1.04, 0.72), (-0.72, 0.72), (-0.76, 0.4)]), (205, 60, 50)),
                  Shape(ellipse(-0.9, 0.02, 0.09), (255, 240, 150), outline=0.7)),
            roof([(0.2, -0.78), (0.94, -0.78), (1.04, -0.5), (0.1, -0.5)], mix(trim, INK, 0.4)),
            window(box(0.38, -0.38, 0.76, -0.02)),
            *[wheel(x, 0.6, r, (235, 195, 90)) for x in (-0.42, 0.08, 0.6)]]


SKETCHES = {sketch.__name__: sketch for sketch in
            (face, cat, fish, bird, flower, tree, house, car, boat, clock, butterfly, train)}


def pick(rng, options):
    return options[rng.integers(len(options))]
