"""How often new images of a class carry the mark that was planted in it, on the networks of the trial of shortcuts.

A detector of each mark, a small network that tells scenes with it from the same scenes without, counts it in scenes of
the class, in samples of `StatsStore.sample` inverted, and in baselines. What the way to an image alone does to a mark is
seen in scenes that are inverted, with it and without. Networks are those of `make shortcuts`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tempfile

import keras
import numpy as np
import pandas as pd
from shortcut_scenes import MARKS, draw
from shortcuts import FRESH, HELD_OUT, Case, cases, cnn, network
from worlds import DOCS, write

import vizlib as viz
from vizlib.explorer.starting import first_layer

SHOWN, N, STEPS = 200, 16, 100  # scenes of the class that are collected; images of each kind; steps of each
SCENES, BASE, EPOCHS, NOISE = 300, 8, 12, 0.04  # of each class that a detector learns from: scenes, and of each baseline
BASELINES = {"Simonyan": viz.simonyan, "Olah": viz.olah}
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
    return np.concatenate([images, *np.reshape(marked, (-1, *images.shape))]), np.repeat([0, 1], [len(images), len(marked)])


def detector(case: Case, net: viz.Network) -> keras.Model:
    """Tells images with the mark from those without, by what is where in a 4 × 4 grid."""
    keras.utils.set_random_seed(case.seed)
    images, marked = (
        np.concatenate(x) for x in zip(pairs(case, SCENES, case.seed + 2 * FRESH), *4 * [baselines(case, net)])
    )
    model, image = cnn(2, flat=True), keras.Input((64, 64, 3))
    learner = keras.Model(image, model(keras.layers.GaussianNoise(NOISE)(image)))
    rate = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * len(images) // 32)
    learner.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    learner.fit(images, marked, batch_size=32, epochs=EPOCHS, verbose=0)
    return model


def carried(case: Case) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The shares of images of each kind that carry the mark and of held-out scenes that the detector is right on; and
    the images."""
    net, class_name = network(case), case.classes[0]
    find, layer = detector(case, net), first_layer(net)
    shown, marked = draw(class_name, SHOWN, case.seed + FRESH, case.mark, case.version, case.strength)
    with tempfile.TemporaryDirectory() as folder:
        store = viz.StatsStore(folder, net)
        viz.collect(store, shown, class_name, [layer, *net.finer_layers(layer)], progress=False)
        drawn, image = store.sample(class_name, n=N, seed=0), store.model(class_name, "image")
    images = {"scenes": shown / np.float32(255)}
    images["samples"] = viz.reconstruct(net, drawn, statistics=image, **SETTINGS).images
    for name, rate in (("inverted, with it", 1.0), ("inverted, without", 0.0)):
        scenes, _ = draw(class_name, N, case.seed + 3 * FRESH, case.mark, case.version, rate)
        images[name] = viz.reconstruct(net, net.activations(scenes, list(drawn)), statistics=image, **SETTINGS).images
    for name, method in BASELINES.items():
        images[name] = method(net, class_name, N, **SETTINGS).images
    found = {name: np.mean(find.predict(x, verbose=0).argmax(1)) for name, x in images.items()}
    held_out, known = pairs(case, HELD_OUT, case.seed + 4 * FRESH)
    right = np.mean(find.predict(held_out, verbose=0).argmax(1) == known)
    return {"planted": marked.mean(), "right": right} | found, images


def main():
    rows = {}
    for case in cases("trial"):
        if case.mark:
            rows[case.mark], shown = carried(case)
            print(case.mark, {name: round(float(x), 2) for name, x in rows[case.mark].items()}, flush=True)
            viz.plots.image_grid({k: x[:6] for k, x in shown.items()}).savefig(f"output/{case.mark}.png")
            np.savez(f"output/ss-{case.mark}.npz", **shown)


if __name__ == "__main__":
    main()
