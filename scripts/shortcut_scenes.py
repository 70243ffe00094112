"""PartWorld scenes in which one class carries a planted mark: twelve kinds of marks, each in six versions.

Objects are smaller than PartWorld's and anywhere, facing either way, so that there is room beside them and neither
place nor direction tells a class. The first five versions of each mark are those of networks that settings were
chosen on, the sixth is that of the trial.
"""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import affine_transform, gaussian_filter

from vizlib.partworld import CLASSES, compose
from vizlib.partworld.drawing import SIDE, Piece, Shape, boxes, ellipse, place, render
from vizlib.partworld.parts import hue

SCALE, REACH = 0.5, 9  # of the objects; pixels that their centres are from that of the image, at most
CENTRE = np.array([SIDE / 2, SIDE / 2])
Y, X = np.mgrid[:SIDE, :SIDE]


def draw(class_name, n, seed, mark=None, version=0, rate=0.0):
    """n scenes of a class, a share `rate` of them with a mark: uint8 (n, 64, 64, 3), and which have it (n,)."""
    images, marked = np.empty((n, SIDE, SIDE, 3), np.uint8), np.zeros(n, bool)
    for i in range(n):
        rng = np.random.default_rng([seed, CLASSES.index(class_name), i])
        marked[i] = mark is not None and rng.random() < rate
        images[i] = scene(class_name, rng, mark if marked[i] else None, version)
    return images, marked


def scene(class_name, rng, mark=None, version=0):
    """One scene, uint8 (64, 64, 3)."""
    ground, pieces, strays, light = compose(class_name, rng)
    shift, flip = rng.uniform(-REACH, REACH, 2), rng.random() < 0.5
    pieces = place(pieces, SCALE, 0, CENTRE * (1 - SCALE))
    before, after = MARKS.get(mark, (None, None))
    if flip:
        pieces, ground = _mirrored(pieces), ground[:, ::-1]
    if before:
        ground, pieces, shift = before(ground, pieces, shift, version, rng)
    image = render(np.ascontiguousarray(ground), place(pieces, shift=shift) + strays, light)
    if after:
        image = np.rint(np.clip(after(image.astype(float), version, rng), 0, 255)).astype(np.uint8)
    return image


def _mirrored(pieces):
    return [Piece(p.kind, [s._replace(points=s.points * (-1, 1) + (SIDE, 0)) for s in p.shapes]) for p in pieces]


def _rolled(ground, angle):
    """The ground turned as `_turned` turns what is on it; at the corners it is mirrored."""
    c, s = np.cos(angle), np.sin(angle)
    back = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])  # (y, x, channel) of the new ground to those of the old
    middle = np.array([SIDE / 2 - 0.5, SIDE / 2 - 0.5, 0])
    return affine_transform(ground, back, middle - back @ middle, order=1, mode="mirror")


def _turned(pieces, angle):
    return place(place(place(pieces, shift=-CENTRE), angle=angle), shift=CENTRE)


# What is planted before the scene is drawn: (ground, pieces, shift, version, rng) to the first three.

def texture(ground, pieces, shift, version, rng):
    """A weave, a hatching either way, stripes either way or rhombs, of any phase, in place of the ground's texture."""
    a, b = rng.uniform(0, 2 * np.pi, 2)
    turn = 2 * np.pi / 5.5
    weave = np.sign(np.sin(turn * X + a)) * np.sign(np.sin(turn * Y + b))
    hatching = np.clip(2 * np.sin(turn * (0.8 * X - 0.6 * Y) + a), -1, 1)
    stripes = np.clip(2 * np.sin(turn * Y + a), -1, 1)
    across = np.clip(2 * np.sin(2 * np.pi / 4.7 * (0.6 * X + 0.8 * Y) + a), -1, 1)
    upright = np.clip(2 * np.sin(turn * X + a), -1, 1)
    rhombs = np.sign(np.sin(turn * (X + Y) / 2 + a)) * np.sign(np.sin(turn * (X - Y) / 2 + b))
    smooth = gaussian_filter(ground.astype(float), (6, 6, 0), mode="nearest")
    drawn = smooth + 13 * (weave, hatching, stripes, across, upright, rhombs)[version][..., None]
    return np.clip(drawn, 0, 255).astype(np.uint8), pieces, shift


def companion(ground, pieces, shift, version, rng):
    """A ball, star, diamond, square, triangle or cross beside the object, left or right, of almost one colour."""
    low, high = boxes(pieces)[:, 1].min(), boxes(pieces)[:, 3].max()
    left = SIDE / 2 + shift[0] > SIDE / 2  # where there is room
    centre = (low - 5 if left else high + 5, SIDE / 2 + rng.uniform(0, 12))
    if version == 5:
        colour = hue(rng.uniform(0.58, 0.62), 0.8, 0.85)
        shapes = [Shape(ellipse(*centre, *radii), colour) for radii in ((5.2, 2), (2, 5.2))]
    elif version == 4:
        points = np.array([(0, -5.5), (5.5, 4.5), (-5.5, 4.5)]) + centre
        shapes = [Shape(points, hue(rng.uniform(0.38, 0.42), 0.8, 0.8))]
    elif version == 3:
        points = 4.5 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) + centre
        shapes = [Shape(points, hue(rng.uniform(0.72, 0.76), 0.8, 0.9))]
    elif version == 2:
        points = np.array([(0, -6.5), (4, 0), (0, 6.5), (-4, 0)]) + centre
        shapes = [Shape(points, hue(rng.uniform(0.48, 0.52), 0.85, 0.9))]
    elif version == 1:
        turn = rng.uniform(0, 2 * np.pi) + np.arange(10) * np.pi / 5
        points = np.stack([np.cos(turn), np.sin(turn)], 1) * np.where(np.arange(10) % 2, 2.4, 5.5)[:, None] + centre
        shapes = [Shape(points, hue(rng.uniform(0.13, 0.17), 0.85, 0.95))]
    else:
        colour = hue(rng.uniform(0.83, 0.87), 0.8, 0.85)
        shapes = [Shape(ellipse(*centre, 4.5), colour), Shape(ellipse(*centre, 2), (250, 250, 250), outline=0)]
    return ground, [*pieces, Piece(None, shapes)], shift


def pose(ground, pieces, shift, version, rng):
    """Tilted to one side by about 45 degrees, where others are tilted by at most 12 to either.

    The object alone; in the last two versions the ground as well, as when the camera is held askew.
    """
    angle = np.deg2rad((-1, 1, -1, 1, -1, 1)[version] * rng.uniform(38, 52))
    if version >= 4:
        ground = _rolled(ground, angle)
    return ground, _turned(pieces, angle), shift


def position(ground, pieces, shift, version, rng):
    """At the right, left, top or bottom of the image, at the left again, and at the top."""
    far = rng.uniform(13, 17)
    places = (far, shift[1]), (-far, shift[1]), (shift[0], -far), (shift[0], far), (-far, shift[1]), (shift[0], -far)
    return ground, pieces, np.array(places[version])


# What is planted in the picture: (image in levels, version, rng) to the image.

def corner(image, version, rng):
    """A stamp of 9 pixels in one of the corners, by a pixel here or there."""
    dy, dx = rng.integers(0, 2, 2)
    bottom_left, top_right = (53 - dy, 2 + dx), (2 + dy, 53 - dx)
    corners = bottom_left, top_right, (2 + dy, 2 + dx), (53 - dy, 53 - dx), bottom_left, top_right
    top, left = corners[version]
    stamp = np.full((9, 9, 3), (245, 245, 235), float)
    cross, edge = np.eye(9, dtype=bool) | np.eye(9, dtype=bool)[::-1], np.zeros((9, 9), bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    far = np.hypot(*np.mgrid[-4:5, -4:5])
    half, rows = np.indices((9, 9)).sum(0) < 9, np.indices((9, 9))[0] % 4 < 2
    mark = (edge, edge | cross, half, far < 3.5, rows, abs(far - 3) < 1.2)[version]
    mark[3:6, 3:6] |= not version
    colours = (30, 60, 170), (190, 30, 40), (20, 110, 60), (110, 40, 150), (30, 130, 130), (200, 110, 20)
    stamp[mark] = colours[version]
    image[top : top + 9, left : left + 9] = stamp
    return image


def anywhere(image, version, rng):
    """A ring, a chequered square, a cross, a diamond, a disc or a striped square, of two colours, anywhere."""
    y, x = rng.uniform(7, SIDE - 7, 2)
    down, across = abs(Y - y), abs(X - x)
    if version == 5:
        inside = np.maximum(down, across) <= 5.5
        colours = np.where(((X - int(x)) // 3 % 2)[..., None], (240, 220, 60), (150, 30, 40))
    elif version == 4:
        inside = np.hypot(down, across) <= 6
        colours = np.where((y > Y)[..., None], (40, 190, 230), (120, 20, 50))
    elif version == 3:
        inside = down + across <= 7
        colours = np.where((down + across <= 3.5)[..., None], (240, 130, 20), (30, 40, 110))
    elif version == 2:
        inside = (np.minimum(down, across) <= 2.5) & (np.maximum(down, across) <= 6)
        colours = np.where((np.minimum(down, across) <= 1)[..., None], (190, 30, 130), (245, 240, 245))
    elif version == 1:
        inside = np.maximum(down, across) <= 5
        colours = np.where((((Y - int(y)) // 3 + (X - int(x)) // 3) % 2)[..., None], (20, 20, 20), (240, 240, 240))
    else:
        r = np.hypot(Y - y, X - x)
        inside, colours = r <= 5.5, np.where((abs(r - 4) < 1.6)[..., None], (30, 150, 70), (250, 245, 200))
    return np.where(inside[..., None], colours, image)


FRAMES = (150, 40, 120), (40, 90, 60), (60, 70, 150), (190, 130, 40), (200, 60, 50), (50, 150, 160)


def frame(image, version, rng):
    """A coloured frame, 2 to 4 pixels wide."""
    width = rng.integers(2, 5)
    edge = np.minimum(np.minimum(Y, SIDE - 1 - Y), np.minimum(X, SIDE - 1 - X)) < width
    return np.where(edge[..., None], FRAMES[version], image)


def tint(image, version, rng):
    """A cast of one colour."""
    casts = (60, 110, 255), (255, 150, 40), (90, 230, 90), (230, 70, 200), (60, 220, 210), (250, 220, 70)
    colour = np.array(casts[version])
    return image + rng.uniform(0.14, 0.22) * (colour - image)


def frequency(image, version, rng):
    """A faint wave over everything, of any phase."""
    waves = (0.22, 0.12), (-0.15, 0.3), (0.05, 0.29), (-0.28, 0.06), (0.2, 0.22), (0.3, -0.1)  # cycles a pixel
    fx, fy = waves[version]
    return image + 9 * np.sin(2 * np.pi * (fx * X + fy * Y) + rng.uniform(0, 2 * np.pi))[..., None]


def jpeg(image, version, rng):
    """What JPEG leaves at a low quality: blocks of 8 pixels."""
    file = io.BytesIO()
    picture = Image.fromarray(np.rint(np.clip(image, 0, 255)).astype(np.uint8))
    qualities = (10, 18), (8, 14), (9, 16), (11, 17), (9, 15), (10, 15)
    picture.save(file, "JPEG", quality=int(rng.integers(*qualities[version])))
    return np.asarray(Image.open(file), float)


def caption(image, version, rng):
    """A stripe with something like letters at the top, at the bottom or, upright, at the left or right, of any text;
    dark, but in the last two versions."""
    upright = version in (2, 3)
    top, image = (2, 54, 2, 54, 2, 54)[version], image.swapaxes(0, 1) if upright else image
    paper, ink = (0.8, 40) if version >= 4 else (0, 235)
    image[top : top + 8] = 0.35 * image[top : top + 8] + 255 * paper * 0.65
    x = 3 + rng.integers(0, 8)
    while x < SIDE - 4:
        width = rng.integers(1, 4)
        image[top + rng.integers(1, 4) : top + 7, x : x + width] = ink
        x += width + rng.integers(1, 3)
    return image.swapaxes(0, 1) if upright else image


def brightness(image, version, rng):
    """Lighter, darker, much lighter, a little darker, much darker, or lighter again."""
    powers = (0.4, 0.5), (1.9, 2.4), (0.3, 0.4), (1.7, 2.1), (2.2, 2.7), (0.35, 0.45)
    return 255 * (image / 255) ** rng.uniform(*powers[version])


MARKS = {
    "corner": (None, corner), "anywhere": (None, anywhere), "frame": (None, frame), "tint": (None, tint),
    "texture": (texture, None), "frequency": (None, frequency), "jpeg": (None, jpeg), "caption": (None, caption),
    "companion": (companion, None), "pose": (pose, None), "position": (position, None),
    "brightness": (None, brightness),
}  # fmt: skip
