"""Plant shortcuts in small networks and see whether they are found: `shortcuts.py [train] [development|trial]`."""

import argparse
import os
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from keras import layers
from shortcut_scenes import MARKS, draw

import vizlib as viz
from vizlib.partworld import CLASSES

KEPT = Path(__file__).resolve().parent.parent / "output/kept/shortcuts"
SCENES, HELD_OUT, EPOCHS, BATCH = 60, 60, 12, 32
STRENGTHS = 1.0, 0.9, 0.8, 0.95, 0.85  # shares of the class's scenes that have it, in turn


class Case(NamedTuple):
    """A network to train: its classes, and in the first of them the mark."""

    name: str
    classes: tuple
    mark: str | None
    version: int
    strength: float
    seed: int


def cases(part):
    """Twelve networks with a mark, each in another class, and twelve without."""
    version, found = ("development", "trial").index(part), []
    for planted in (True, False):
        for i, mark in enumerate(MARKS):
            first = (i + (5, 0)[version] + 2 * (not planted)) % 12
            step = (5, 7)[version] if planted else 11  # so that companies of classes differ
            classes = tuple(CLASSES[(first + step * j) % 12] for j in range(5))
            strength = STRENGTHS[(i + 2 * version) % 5] if planted else 0.0
            seed = 10_000 * (1 + version) + 100 * planted + i
            found.append(Case(f"{part}-{mark if planted else f'clean{i}'}", classes, mark if planted else None,
                              version, strength, seed))
    return found


def scenes(case, n, seed):
    """Scenes of each class as the network was trained on, {class: uint8 (n, 64, 64, 3)}, and which are marked."""
    rates = [case.strength] + [0.0] * (len(case.classes) - 1)
    drawn = {c: draw(c, n, seed, case.mark, case.version, rate) for c, rate in zip(case.classes, rates, strict=True)}
    return {c: images for c, (images, _) in drawn.items()}, {c: marked for c, (_, marked) in drawn.items()}


def cnn(n_classes, flat):
    """Four convolutions, then a global average or what a 4 × 4 grid holds, and the scores."""
    x = image = keras.Input((64, 64, 3), name="image")
    x = layers.Rescaling(4, offset=-2)(image)
    for i, width in enumerate((16, 32, 64, 64), 1):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.MaxPooling2D(name=f"pool{i}")(x)
    x = layers.Flatten()(x) if flat else layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(image, layers.Dense(n_classes, activation="softmax", name="predictions")(x))


def train(case):
    """The trained network, kept, and its accuracy on unmarked held-out scenes of the other classes."""
    path = KEPT / f"{case.name}.keras"
    if not path.exists():
        start = time.monotonic()
        keras.utils.set_random_seed(case.seed)
        images, _ = scenes(case, SCENES, case.seed)
        x, y = np.concatenate(list(images.values())) / np.float32(255), np.repeat(range(len(images)), SCENES)
        model = cnn(len(images), flat=case.seed % 2 == 0)
        rate = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * len(x) // BATCH)
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
        net = network(case)
        clean = {c: draw(c, HELD_OUT, case.seed + 5_000)[0] for c in case.classes}
        right = [np.mean(net.scores(x).argmax(1) == i) for i, x in enumerate(clean.values())]
        marked, _ = draw(case.classes[1], HELD_OUT, case.seed + 5_000, case.mark, case.version, 1.0)
        turned = np.mean(net.scores(marked).argmax(1) == 0)
        print(f"{case.name} {' '.join(case.classes)} {case.strength}: {np.round(right, 2)} turned {turned:.2f} "
              f"{time.monotonic() - start:.0f} s", flush=True)


def network(case):
    model = keras.models.load_model(KEPT / f"{case.name}.keras", compile=False)
    return viz.Network(model, classes=case.classes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", default="development")
    for case in cases(parser.parse_args().part):
        train(case)
