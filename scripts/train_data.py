"""What the embedded networks learn from: PartWorld's scenes and scattered parts, augmented in batches."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from vizlib import partworld
from vizlib.partworld import drawing
from vizlib.partworld.drawing import SIDE
from vizlib.partworld.finder import CELL

BATCH = 64


class World(NamedTuple):
    """Scenes to learn from: uint8 (n, 64, 64, 3), classes (n,) and per scene the parts' (kind, x, y), (k, 3)."""

    images: np.ndarray
    classes: np.ndarray
    parts: list


def world(per_class, seed, scattered=0):
    """`per_class` scenes of each class, then `scattered` pictures of `scatter` (class -1)."""
    scenes = [scene for name in partworld.CLASSES for scene in partworld.scenes(name, per_class, seed)]
    classes = [partworld.CLASSES.index(scene.label) for scene in scenes] + [-1] * scattered
    pictures = [(scene.image, centres([part.kind for part in scene.parts], [part.box for part in scene.parts]))
                for scene in scenes]
    pictures += [scatter(np.random.default_rng([seed, index])) for index in range(scattered)]
    return World(np.stack([image for image, _ in pictures]), np.array(classes), [parts for _, parts in pictures])


def scatter(rng):
    """An image without an object, and its parts' centres: up to nine parts and bodies in any place, hardly hidden."""
    background, _, _, light = partworld.compose(rng.choice(partworld.CLASSES), rng)
    bodies, parts = [], []
    for _ in range(rng.integers(0, 10)):
        _, others, _, _ = partworld.compose(rng.choice(partworld.CLASSES), rng)
        piece = others[rng.integers(len(others))]
        low, high = drawing.boxes([piece])[0].reshape(2, 2)
        centre = rng.uniform(4, SIDE - 4, 2)
        piece = drawing.place([piece], shift=(centre - (low + high) / 2)[::-1])
        if not piece[0].kind:
            bodies += piece
        elif not parts or np.abs(drawing.boxes(parts).reshape(-1, 2, 2).mean(1) - centre).max(1).min() > 10:
            parts += piece
    parts.sort(key=lambda part: -np.ptp(drawing.boxes([part]).reshape(2, 2), 0).prod())  # small ones in front
    low, high = np.split(np.clip(drawing.boxes(parts), 0, SIDE), 2, 1) if parts else np.empty((2, 0, 2))
    boxes = np.hstack([np.floor(low), np.ceil(high)])
    return drawing.render(background, bodies + parts, light), centres([part.kind for part in parts], boxes)


def centres(kinds, boxes):
    """Kind (as a number) and centre x, y in pixels of each part, float (k, 3); boxes as in `partworld.Part`."""
    rows = [(partworld.PARTS.index(kind), (left + right - 1) / 2, (top + bottom - 1) / 2)
            for kind, (top, left, bottom, right) in zip(kinds, boxes, strict=True)]
    return np.array(rows, float).reshape(-1, 3)


def moved(images, rng, reach, fill):
    """Images moved, turned, zoomed and mirrored.

    images: uint8 (n, 64, 64, 3). reach: largest shift in pixels, smallest and largest zoom. fill: what is seen
    beyond the border, as in `keras.ops.image.affine_transform`.
    Returns float32 in [0, 1] and the affine maps (n, 2, 3) from the new pixels (x, y) to the old.
    """
    n, (shift, smallest, largest) = len(images), reach
    angle = rng.normal(0, 0.07, n)
    zoom = np.exp(rng.uniform(np.log(smallest), np.log(largest), n))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    turn = turn / zoom[:, None, None] * np.stack([rng.choice((-1, 1), n), np.ones(n)], 1)[:, None]
    middle = (SIDE - 1) / 2
    offset = middle - turn @ (middle + rng.uniform(-shift, shift, (n, 2, 1)))
    maps = np.concatenate([turn, offset], 2)
    flat = np.concatenate([maps.reshape(n, 6), np.zeros((n, 2))], 1)
    images = ops.image.affine_transform(images / np.float32(255), flat.astype("float32"), fill_mode=fill)
    return ops.convert_to_numpy(ops.clip(images, 0, 1)), maps


def degraded(images, rng):
    """Images in [0, 1], float32, as another camera would see them: recoloured, blurred or sharpened, noisy."""
    n = len(images)
    hue, saturation, contrast = rng.uniform(-0.6, 0.6, n), rng.uniform(0.6, 1.3, n), rng.uniform(0.7, 1.3, n)
    grey = np.full((3, 3), 1 / 3)
    swirl = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    c, s = np.cos(hue)[:, None, None], np.sin(hue)[:, None, None]
    colours = contrast[:, None, None] * (grey + saturation[:, None, None] * (c * (np.eye(3) - grey) + s * swirl))
    light = 0.5 + rng.uniform(-0.15, 0.15, (n, 1, 3)) + rng.uniform(-0.12, 0.12, (n, 1, 1))
    pixels = ops.reshape(images, (n, -1, 3)) - 0.5
    images = ops.reshape(ops.matmul(pixels, colours.astype("float32")) + light.astype("float32"), images.shape)

    blurred = ops.average_pool(ops.average_pool(images, 3, 1, "same"), 3, 1, "same")
    images += rng.uniform(-0.6, 0.9, (n, 1, 1, 1)).astype("float32") * (blurred - images)
    noise = rng.standard_normal(images.shape, np.float32) * rng.uniform(0, 0.06, (n, 1, 1, 1)).astype("float32")
    return ops.convert_to_numpy(ops.clip(images + noise, 0, 1))


class Batches(keras.utils.PyDataset):
    """Shuffled, augmented batches (image, target) of a world; which ones depends on the seed alone."""

    def __init__(self, world, seed, target, prepare, reach, fill, degrade=True):
        super().__init__()
        self.world, self.seed, self.target, self.prepare = world, seed, target, prepare
        self.reach, self.fill, self.degrade, self.epoch = reach, fill, degrade, 0
        self.on_epoch_end()

    def __len__(self):
        return len(self.world.images) // BATCH

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, self.epoch, index])
        rows = self.order[index * BATCH:(index + 1) * BATCH]
        images, maps = moved(self.world.images[rows], rng, self.reach, self.fill)
        images = degraded(images, rng) if self.degrade else images
        return ops.convert_to_numpy(self.prepare(images)), self.target(self.world, rows, maps)

    def on_epoch_end(self):
        self.epoch += 1
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.world.images))


def class_target(world, rows, maps):
    """One-hot classes, (n, classes)."""
    return np.eye(len(partworld.CLASSES), dtype="float32")[world.classes[rows]]


def part_target(world, rows, maps):
    """Heat maps with a Gaussian of 1 cell around the centre of each part, (n, 32, 32, parts)."""
    heat = np.zeros((len(rows), SIDE // CELL, SIDE // CELL, len(partworld.PARTS)), "float32")
    steps = np.arange(SIDE // CELL)
    for n, (row, affine) in enumerate(zip(rows, maps, strict=True)):
        kinds, old = world.parts[row][:, 0].astype(int), world.parts[row][:, 1:]
        new = np.linalg.solve(affine[:, :2], (old - affine[:, 2]).T).T
        cells = np.rint((new - (CELL - 1) / 2) / CELL)
        for kind, (x, y) in zip(kinds, cells, strict=True):
            if min(x, y) >= 0 and max(x, y) < SIDE // CELL:
                bump = np.exp(-((steps[:, None] - y) ** 2 + (steps - x) ** 2) / 2)
                heat[n, :, :, kind] = np.maximum(heat[n, :, :, kind], bump)
    return heat
