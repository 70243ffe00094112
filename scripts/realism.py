"""Measure how realistic the images of each method are, and write the table and its figure into the README.

On PartWorld with the embedded network; with --photographs FOLDER on photographs: FOLDER holds `photos/train` and
`photos/val`, class folders of 64 × 64 photographs, and in `photo_vgg16` a classifier of them, `photo_vgg16.keras` with
`classes.txt`, and an independent judge, `judge.keras`. Photographs and images inverted from them are in no figure.
"""

import argparse
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

import vizlib as viz
from vizlib.network import Network, vgg_preprocess
from vizlib.realism import ClassJudge, compare

DOCS, README = (Path(__file__).resolve().parent.parent / name for name in ("docs", "README.md"))
TRAINING, HELD_OUT, INVERTED = range(3)  # which images: those collected, those compared with, those inverted
SAMPLERS = {  # of one layer alone
    "quilted Gaussian": "QuiltedGaussian",
    "Gaussian of neighbours": "LocalGaussian",
    "Gaussian of clusters": "ClusteredGaussian",
    "PCA Gaussian": "PCAGaussian",
    "Gaussian copula": "GaussianCopula",
    "mix of three real": "BootstrapMix",
}
COLUMNS = {  # of the table: what is shown of each column, its scale and digits
    "recognised, %": ("accuracy", 100, 0),
    "whole, %": ("whole", 100, 0),
    "stray parts": ("stray_parts", 1, 2),
    "complete objects": ("complete_objects", 1, 2),
    "KID": ("kid", 1, 2),
    "told apart, %": ("told_apart", 100, 0),
    "variety (Vendi)": ("vendi_within", 1, 1),
    "naturalness": ("naturalness", 1, 2),
    "contrast": ("contrast", 1, 3),
    "high frequencies": ("high_frequency", 1, 3),
    "nearest training image": ("nearest", 1, 3),
}


class World(NamedTuple):
    """Where images are from. images(class_name, n, which): those for training, comparison or inversion."""

    name: str
    net: Network
    classes: tuple
    layers: list  # deep to shallow
    images: Callable
    training: int  # images of each class that are collected
    judges: tuple | None
    samplers: tuple  # names out of SAMPLERS
    together: bool  # whether the layers are also sampled together
    hidden: tuple = ()  # rows that no figure may show
    warmer: dict = {}  # {name of a sampler: a temperature that it is also drawn at}


def partworld():
    net = viz.load_network("mini")
    layers = ["block2_conv2", *net.finer_layers("block2_conv2")]

    def images(class_name, n, which):
        return viz.load_images("partworld", class_name, n, which, net.image_size)

    return World("realism", net, net.classes, layers, images, 300, None, tuple(SAMPLERS), True)


def photographs(folder):
    own = folder / "photo_vgg16"
    classes = (own / "classes.txt").read_text().split("\n")[:40]
    net = viz.load_network(own / "photo_vgg16.keras", preprocess=vgg_preprocess, classes=classes)
    mean = np.array([123.68, 116.779, 103.939], "float32")
    judge = ClassJudge(keras.models.load_model(own / "judge.keras", compile=False), classes, lambda x: x * 255 - mean)
    there = tuple(sorted(path.name for path in (folder / "photos" / "train").iterdir() if path.name in classes))

    def images(class_name, n, which):
        if which == TRAINING:
            return viz.load_images(folder / "photos" / "train", class_name, n)
        return viz.load_images(folder / "photos" / "val", class_name, 2 * n)[which - 1 :: 2]

    samplers, warmer = ("Gaussian of neighbours", "mix of three real"), {"Gaussian of neighbours": 1.3}
    hidden = ("inversion of real images", "real images")
    return World("photo-realism", net, there, ["block3_conv3"], images, 500, (judge,), samplers, False, hidden, warmer)


def images_of(world, store, class_name, n, steps, seed=0):
    """{method: images (n, h, w, 3)} of one class, all with the same seed and steps."""
    net, layers = world.net, world.layers
    statistics, known = store.model(class_name, "image"), store.activations(class_name, "image")
    settings = {"n": n, "steps": steps, "seed": seed, "progress": False}
    noise = np.random.default_rng(seed).random((n, *known.shape[1:]), "float32")

    def rebuilt(rows):  # {label: {layer: activations}}, all in one run of the loop
        targets = {layer: np.concatenate([row[layer] for row in rows.values()]) for layer in next(iter(rows.values()))}
        result = viz.reconstruct(net, targets, None, statistics, steps=steps, seed=seed, progress=False)
        return dict(zip(rows, np.split(result.images, len(rows)), strict=True))

    def drawn(name, temperature=1.0):
        sampler = store.model(class_name, layers[0], SAMPLERS[name])
        return {layers[0]: sampler.sample(n, seed, temperature)}

    alone = {f"one layer, {name}": drawn(name) for name in world.samplers}
    alone |= {f"one layer, {name}, temperature {t}": drawn(name, t) for name, t in world.warmer.items()}
    together = {"inversion of real images": net.activations(world.images(class_name, n, INVERTED), layers)}
    if world.together:
        together = {"samples": store.sample(class_name, layers, n, seed)} | together
    return {
        "noise": noise,
        "Simonyan 2013, pure": viz.simonyan(net, class_name, tuned=False, **settings).images,
        "Simonyan 2013, tuned": viz.simonyan(net, class_name, **settings).images,
        "Olah 2017": viz.olah(net, class_name, **settings).images,
        "MACO 2023": viz.maco(net, class_name, known, **settings).images,
        **rebuilt({"class mean, inverted": drawn("PCA Gaussian", 0), **alone}),
        **rebuilt(together),
        "real images": world.images(class_name, n, HELD_OUT),
    }


def table(frame):
    """The frame as a Markdown table."""
    columns = {title: column for title, column in COLUMNS.items() if column[0] in frame}

    def interval(row, key, scale, digits):
        value, *ends = (f"{scale * row[name]:.{digits}f}" for name in (key, f"{key}_low", f"{key}_high"))
        return f"{value} ({'–'.join(ends)})"

    lines = ["| images | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in frame.iterrows():
        lines.append(f"| {name} | " + " | ".join(interval(row, *column) for column in columns.values()) + " |")
    return "\n".join(lines)


def write(name, text):
    """Put the text between the marks of this name in the README."""
    marks = f"<!-- {name}: written by `make {name}` -->", f"<!-- /{name} -->"
    before = README.read_text()
    pattern = re.escape(marks[0]) + ".*" + re.escape(marks[1])
    if not re.search(pattern, before, re.DOTALL):
        raise SystemExit(f"expected the marks {marks} in {README}; found none.")
    README.write_text(re.sub(pattern, lambda _: f"{marks[0]}\n{text}\n{marks[1]}", before, flags=re.DOTALL))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, metavar="FOLDER")
    parser.add_argument("--classes", nargs="+", help="all if not given")
    parser.add_argument("--n", type=int, help="images of each class and method; 16, of photographs 8, if not given")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()

    world = photographs(options.photographs) if options.photographs else partworld()
    world = world._replace(classes=tuple(options.classes or world.classes))
    n = options.n or (8 if options.photographs else 16)
    pictures, training = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for class_name in world.classes:
            images = world.images(class_name, world.training, TRAINING)
            training.append(images)
            keep = "Gaussian copula" in world.samplers  # which is fitted on activations
            with viz.StatsStore(Path(folder, f"{class_name}.h5")) as store:
                viz.collect(world.net, images, class_name, world.layers[1:], store, progress=False)
                viz.collect(world.net, images, class_name, world.layers[:1], store, keep, progress=False)
                for method, made in images_of(world, store, class_name, n, options.steps).items():
                    pictures.setdefault(method, []).append(made)
            store.path.unlink()
            print(f"{class_name}: done", flush=True)

    methods = {method: np.concatenate(classes) for method, classes in pictures.items()}
    labels = np.repeat(world.classes, n)
    shown = slice(0, len(labels), n)  # the first image of each class
    rows = {name: images[shown] for name, images in methods.items() if name not in world.hidden}
    real = methods.pop("real images")
    frame = compare(methods, real, labels, world.judges, np.concatenate(training))
    frame = frame.rename(index={"real": "real images"})
    print(frame.to_string())

    frame.to_csv(DOCS / f"{world.name}.csv")
    viz.plots.image_grid(rows).savefig(DOCS / f"{world.name}.png")
    write(
        world.name,
        f"{table(frame)}\n\n{len(world.classes)} classes × {n} images, {options.steps} steps, "
        f"{' and '.join(world.layers)}, statistics of {world.training} images a class; 95 % intervals of the bootstrap "
        f"over classes. Written by `make {world.name}`; more columns in [{world.name}.csv](docs/{world.name}.csv).",
    )


if __name__ == "__main__":
    main()
