"""How often new images of a class carry the mark planted in it, on the networks of the first trial of shortcuts.

A detector of each mark, a small network that tells scenes with it from the same scenes without, counts it in scenes of
the class, in samples of `StatsStore.sample` inverted, and in baselines. What the way to an image does to a mark is
seen in scenes that are inverted, with it and without. Whether there is an object of the class beside the mark, a
network says that has learned all classes from scenes without marks. Networks are those of `shortcuts.py first`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tempfile

import keras
import numpy as np
import pandas as pd
from shortcut_scenes import MARKS, draw
from shortcuts import FRESH, HELD_OUT, NETWORKS, Case, cases, cnn, fit, keep, network
from worlds import DOCS, write

import vizlib as viz
from vizlib._files import written
from vizlib.explorer.starting import first_layer
from vizlib.partworld import CLASSES

SHOWN, N, STEPS = 200, 32, 100  # scenes of the class that are collected; images of each kind; steps of each
SCENES, BASE = 300, 8  # of each class that a detector learns from: scenes, and images of each baseline
EPOCHS, NOISE, TIMES = 12, 0.04, 4  # of its training; how often it sees the baselines in one of them
OBJECTS, OBJECT_EPOCHS = 400, 25  # scenes of each class that objects are learned from, how often
BASELINES = {"Simonyan": viz.simonyan, "Olah": viz.olah}
KINDS = "scenes", "samples", "inverted, with it", "inverted, without", *BASELINES
WITH_OBJECT = {f"object in {kind}": kind for kind in KINDS[:2]}
SEEN = 3  # samples of each network in the figure
SETTINGS = {"steps": STEPS, "seed": 0, "progress": False}


def pairs(case: Case, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n scenes of each class without the mark and the same with it: float32 in [0, 1], and 0 or 1."""
    drawn = [draw(c, n, seed, case.mark, case.version, rate)[0] for rate in (0.0, 1.0) for c in case.classes]
    return np.concatenate(drawn) / np.float32(255), np.repeat([0, 1], n * len(case.classes))


def baselines(case: Case, net: viz.Network) -> tuple[np.ndarray, np.ndarray]:
    """Baselines of the classes without a mark, and the same with it where it can be put into a picture.

    Whoever has seen scenes alone takes what is no scene for whatever it likes.
    """
    images = np.concatenate([f(net, c, BASE, **SETTINGS).images for f in BASELINES.values() for c in case.classes[1:]])
    plant, rng = MARKS[case.mark][1], np.random.default_rng(case.seed)
    marked = [plant(255 * x.astype(float), case.version, rng).clip(0, 255) / 255 for x in images] if plant else []
    both = np.concatenate([images, *np.reshape(marked, (-1, *images.shape))])
    return both, np.repeat([0, 1], [len(images), len(marked)])


def detector(case: Case, net: viz.Network) -> keras.Model:
    """Tells images with the mark from those without, by what is where in a 4 × 4 grid."""
    keras.utils.set_random_seed(case.seed)
    seen = [pairs(case, SCENES, case.seed + 2 * FRESH), *TIMES * [baselines(case, net)]]
    images, marked = (np.concatenate(x) for x in zip(*seen, strict=True))
    model, image = cnn(2, flat=True), keras.Input((64, 64, 3))
    learner = keras.Model(image, model(keras.layers.GaussianNoise(NOISE)(image)))
    fit(learner, images, marked, EPOCHS)
    return model


def carried(case: Case) -> dict[str, np.ndarray]:
    """Images of each kind; which of them carry the mark, "KIND: found"; and the share of held-out scenes that the
    detector is right on, "right"."""
    net, class_name = network(case), case.classes[0]
    find, layer = detector(case, net), first_layer(net)
    shown, _ = draw(class_name, SHOWN, case.seed + FRESH, case.mark, case.version, case.strength)
    with tempfile.TemporaryDirectory() as folder:
        store = viz.StatsStore(folder, net)
        viz.collect(store, shown, class_name, [layer, *net.finer_layers(layer)], progress=False)
        drawn, image = store.sample(class_name, n=N, seed=0), store.model(class_name, "image")
    images = {"scenes": shown / np.float32(255)}
    images["samples"] = viz.reconstruct(net, drawn, statistics=image, **SETTINGS).images
    for kind, rate in (("inverted, with it", 1.0), ("inverted, without", 0.0)):
        scenes, _ = draw(class_name, N, case.seed + 3 * FRESH, case.mark, case.version, rate)
        images[kind] = viz.reconstruct(net, net.activations(scenes, list(drawn)), statistics=image, **SETTINGS).images
    for kind, method in BASELINES.items():
        images[kind] = method(net, class_name, N, **SETTINGS).images
    found = {f"{kind}: found": find.predict(x, verbose=0).argmax(1) == 1 for kind, x in images.items()}
    held_out, known = pairs(case, HELD_OUT, case.seed + 4 * FRESH)
    right = np.mean(find.predict(held_out, verbose=0).argmax(1) == known)
    return images | found | {"right": right}


def kept_carried(case: Case) -> dict[str, np.ndarray]:
    """`carried`, kept beside the networks."""
    path = NETWORKS / f"samples-{case.name}.npz"
    if not path.exists():
        with written(path) as part, open(part, "wb") as file:
            np.savez_compressed(file, **carried(case))
    with np.load(path) as file:
        return dict(file)


def recogniser() -> keras.Model:
    """Tells the objects of all classes, wherever they are, and whatever else there is; kept beside the networks."""
    path = NETWORKS / "objects.keras"
    if not path.exists():
        keras.utils.set_random_seed(0)
        images = np.concatenate([draw(name, OBJECTS, FRESH)[0] for name in CLASSES]) / np.float32(255)
        model = cnn(len(CLASSES), flat=True)
        fit(model, images, np.repeat(range(len(CLASSES)), OBJECTS), OBJECT_EPOCHS)
        keep(model, path)
    return keras.models.load_model(path)


def report(frame: pd.DataFrame) -> str:
    """The table, in Markdown."""
    head = ["planted", "in", "of its scenes", *KINDS, *WITH_OBJECT]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in frame.itertuples(index=False):
        lines.append(f"| {row[0]} | {row[1]} | " + " | ".join(f"{100 * x:.0f}" for x in row[2:-1]) + " |")
    return "\n".join(lines)


def main():
    rows, shown, objects = [], {}, recogniser()
    for case in cases("first"):
        if not case.mark:
            continue
        found = kept_carried(case)
        shares = {kind: found[f"{kind}: found"].mean() for kind in KINDS}
        own = CLASSES.index(case.classes[0])
        held = {name: np.mean(objects.predict(found[kind], verbose=0).argmax(1) == own)
                for name, kind in WITH_OBJECT.items()}
        rows.append({"planted": case.mark, "in": case.classes[0], "strength": case.strength} | shares | held
                    | {"detector right": float(found["right"])})
        print({name: x if isinstance(x, str) else round(float(x), 2) for name, x in rows[-1].items()}, flush=True)
        shown[case.mark] = {kind: found[kind][:SEEN] for kind in ("samples", *BASELINES)}
        shown[case.mark]["scene with it"] = found["scenes"][found["scenes: found"]]
    pictures = {f"{kind} {i + 1}" if i else kind: np.stack([shown[mark][kind][i] for mark in shown])
                for kind in ("scene with it", "samples", *BASELINES) for i in range(SEEN if kind == "samples" else 1)}
    viz.plots.image_grid(pictures, list(shown)).savefig(DOCS / "shortcut-samples.png", dpi=120)
    frame = pd.DataFrame(rows)
    frame.round(4).to_csv(DOCS / "shortcut-samples.csv", index=False)
    write("shortcut-samples", report(frame), DOCS / "shortcuts.md")


if __name__ == "__main__":
    main()
