"""The parts PartWorld is drawn from; each looks the same kind of thing in every class that has it.

Positions and sizes are in the frame of the object, which fills about [-1, 1] x [-1, 1] with y down.
"""

from colorsys import hsv_to_rgb

import numpy as np

from vizlib.drawing import INK, Piece, Shape, box, ellipse, mix, smooth

WHITE, CREAM, GLASS = (255, 255, 255), (250, 243, 225), (165, 215, 240)
ORANGE, STEEL = (245, 155, 45), (200, 205, 214)


def piece(*shapes):
    """What is no named part: bodies, grounds, decoration."""
    return Piece(None, list(shapes))


def hue(h, saturation, value):
    """A colour in [0, 255] from hue, saturation and value in [0, 1]; hues wrap around."""
    return tuple(255 * c for c in hsv_to_rgb(h % 1, saturation, value))


def eye(x, y, r, iris):
    return Piece("eye", [Shape(ellipse(x, y, r, 1.12 * r), WHITE),
                         Shape(ellipse(x, y, 0.7 * r), iris, outline=0),
                         Shape(ellipse(x, y, 0.42 * r), (25, 20, 30), outline=0),
                         Shape(ellipse(x - 0.26 * r, y - 0.3 * r, 0.24 * r), WHITE, outline=0)])


def ear(points, colour):
    centre = points.mean(0)
    return Piece("ear", [Shape(points, colour, 2),
                         Shape(centre + 0.52 * (points - centre), mix(colour, (240, 120, 130), 0.6), outline=0)])


def nose(x, y, r, colour):
    return Piece("nose", [Shape(smooth([(x - r, y - 0.5 * r), (x, y - 0.7 * r), (x + r, y - 0.5 * r),
                                        (x, y + 0.9 * r)]), colour, 2, 0.7),
                          Shape(ellipse(x - 0.3 * r, y - 0.3 * r, 0.25 * r), mix(colour, WHITE, 0.7), outline=0)])


def mouth(x, y, width, opening):
    """A smile; `opening` is how far the lower lip hangs below the upper one."""
    w, dip = width / 2, 0.3 * width
    upper = [(x - w, y), (x, y + 0.5 * dip), (x + w, y)]
    lower = [(x + 0.6 * w, y + dip + opening), (x - 0.6 * w, y + dip + opening)]
    return Piece("mouth", [Shape(smooth(upper + lower), (165, 35, 45), outline=1.0),
                           Shape(ellipse(x, y + 0.85 * dip + opening * 0.8, 0.38 * w, 0.3 * dip + 0.3 * opening),
                                 (250, 130, 130), outline=0)])


def beak(x, y, size):
    return Piece("beak", [Shape(smooth([(x, y - 0.45 * size), (x + size, y + 0.05 * size), (x, y + 0.45 * size),
                                        (x - 0.1 * size, y)]), ORANGE, 2),
                          Shape(np.array([(x, y + 0.03 * size), (x + 0.7 * size, y + 0.06 * size)]),
                                (150, 70, 20), outline=0, width=0.03)])


def wing(points, root, colour, inner):
    """A wing with two paler fields, the smaller nearer to its root."""
    root = np.array(root)
    return Piece("wing", [Shape(points, colour, 3),
                          Shape(root + 0.72 * (points - root), inner, outline=0),
                          Shape(root + 0.4 * (points - root), colour, outline=0)])


def foot(x, y, rx, ry, colour):
    toes = [Shape(np.array([(x + dx * rx, y + 0.15 * ry), (x + dx * rx, y + 0.75 * ry)]), mix(colour, INK, 0.6),
                  outline=0, width=0.035) for dx in (-0.35, 0.35)]
    return Piece("foot", [Shape(ellipse(x, y, rx, ry), colour, 2), *toes])


def fin(points, root, colour):
    root = np.array(root)
    tips = smooth(points)[[9, 14, 19]] if len(points) >= 4 else smooth(points)[[6, 9, 12]]
    rays = [Shape(np.array([root, root + 0.75 * (tip - root)]), mix(colour, INK, 0.4), outline=0, width=0.03)
            for tip in tips]
    return Piece("fin", [Shape(smooth(points), colour, 2), *rays])


def petal(x, y, angle, length, width, colour):
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    outline = [(0, -0.25), (0.55, -1), (1, -0.45), (1, 0.45), (0.55, 1), (0, 0.25)]
    points = smooth([(x, y) + a * length * along + b * width * across for a, b in outline])
    return Piece("petal", [Shape(points, colour, 3),
                           Shape(np.array([(x, y) + 0.35 * length * along, (x, y) + 0.7 * length * along]),
                                 mix(colour, INK, 0.35), outline=0, width=0.035)])


def leaf(x, y, angle, length, colour):
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    sides = [(0, 0), (0.25, -0.24), (0.6, -0.24), (1, 0), (0.6, 0.24), (0.25, 0.24)]
    points = smooth([(x, y) + length * (a * along + b * across) for a, b in sides])
    return Piece("leaf", [Shape(points, colour, 2),
                          Shape(np.array([(x, y), (x, y) + 0.8 * length * along]), mix(colour, INK, 0.45), outline=0,
                                width=0.035)])


def fruit(x, y, r, colour):
    return Piece("fruit", [Shape(ellipse(x, y, r), colour, 3),
                           Shape(np.array([(x, y - 0.8 * r), (x + 0.3 * r, y - 1.6 * r)]), (80, 50, 30), outline=0,
                                 width=0.04)])


def roof(points, colour):
    points = np.array(points, float)
    low, high = points.min(0), points.max(0)
    rows = [low[1] + f * (high[1] - low[1]) for f in (0.45, 0.75)]
    spans = [(np.interp(row, (low[1], high[1]), (points[0, 0], points[3, 0])),
              np.interp(row, (low[1], high[1]), (points[1, 0], points[2, 0]))) for row in rows]
    tiles = [Shape(np.array([(a, row), (b, row)]), mix(colour, INK, 0.35), outline=0, width=0.035)
             for row, (a, b) in zip(rows, spans)]
    return Piece("roof", [Shape(points, colour, 2, outline=0), *tiles, Shape(points[[0, 1, 2, 3, 0]],
                          mix(colour, INK, 0.75), outline=0, width=0.045)])


def door(left, top, right, bottom, colour):
    w, h = right - left, bottom - top
    return Piece("door", [Shape(box(left, top, right, bottom, 0.05), colour, 2),
                          Shape(box(left + 0.24 * w, top + 0.14 * h, right - 0.24 * w, top + 0.46 * h),
                                mix(colour, INK, 0.35), outline=0),
                          Shape(ellipse(right - 0.2 * w, top + 0.6 * h, 0.12 * w), (255, 225, 110), outline=0)])


def window(points):
    """A pale frame around glass with a glint; `points` go left top, right top, right bottom, left bottom."""
    points = np.array(points, float)
    centre = points.mean(0)
    a, b = centre + 0.45 * (points[[3, 1]] - centre)
    return Piece("window", [Shape(points, CREAM), Shape(centre + 0.7 * (points - centre), GLASS, outline=0),
                            Shape(np.array([a, b]), WHITE, outline=0, width=0.06)])


def chimney(x, top, width, bottom, colour):
    w = width / 2
    return Piece("chimney", [Shape(box(x - w, top, x + w, bottom), colour, 2),
                             Shape(box(x - 1.35 * w, top - 0.06, x + 1.35 * w, top + 0.1, 0.02),
                                   mix(colour, INK, 0.3))])


def wheel(x, y, r, hub=STEEL):
    return Piece("wheel", [Shape(ellipse(x, y, r), (58, 54, 64), 2), Shape(ellipse(x, y, 0.58 * r), hub, outline=0),
                           Shape(ellipse(x, y, 0.2 * r), (70, 66, 76), outline=0)])


def sail(points, colour, stripe):
    points = np.array(points, float)
    low, high = (points[0] * 0.35 + points[1:] * 0.65), (points[0] * 0.55 + points[1:] * 0.45)
    return Piece("sail", [Shape(points, colour), Shape(np.vstack([low, high[::-1]]), stripe, outline=0)])


def hand(x, y, angle, length, width, colour):
    tip = (x + length * np.sin(angle), y - length * np.cos(angle))
    return Piece("hand", [Shape(np.array([(x, y), tip]), colour, outline=0, width=width)])


def bell(x, y, r, angle, colour):
    dome = np.array([(np.cos(t), np.sin(t)) for t in np.linspace(np.pi, 2 * np.pi, 12)])
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    return Piece("bell", [Shape(np.array([(0, -1.25 * r)]) @ turn + ellipse(x, y, 0.22 * r), colour),
                          Shape(dome * r @ turn + (x, y), colour, 3)])
