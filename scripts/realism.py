"""Measure how realistic the images of each method are, and write the table and its figure into the README."""

import argparse
import re
import tempfile
from pathlib import Path

import numpy as np

import vizlib as viz
from vizlib.realism import compare

ROOT = Path(__file__).resolve().parent.parent
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
FIGURE, TABLE = ROOT / "docs" / "methods.png", ROOT / "docs" / "realism.csv"
MARKS = "<!-- realism: written by `make realism` -->", "<!-- /realism -->"
TRAINING, HELD_OUT, INVERTED = 0, 1, 2  # seeds of scenes: collected, compared with, inverted


def images_of(net, store, class_name, layers, n, steps, seed=0):
    """{method: images (n, h, w, 3)} of one class, all with the same seed and steps; layers: deep to shallow."""
    statistics, known = store.model(class_name, "image"), store.activations(class_name, "image")
    settings = {"n": n, "steps": steps, "seed": seed, "progress": False}
    noise = np.random.default_rng(seed).random((n, *known.shape[1:]), "float32")
    real, others = (viz.load_images("partworld", class_name, n, seed, net.image_size) for seed in (HELD_OUT, INVERTED))

    def rebuilt(targets):
        return viz.reconstruct(net, targets, None, statistics, steps=steps, seed=seed, progress=False).images

    def drawn(estimator, **options):
        return rebuilt({layers[0]: store.model(class_name, layers[0], estimator).sample(n, seed, **options)})

    return {
        "noise": noise,
        "Simonyan 2013, pure": viz.simonyan(net, class_name, tuned=False, **settings).images,
        "Simonyan 2013, tuned": viz.simonyan(net, class_name, **settings).images,
        "Olah 2017": viz.olah(net, class_name, **settings).images,
        "MACO 2023": viz.maco(net, class_name, known, **settings).images,
        "class mean, inverted": drawn("PCAGaussian", temperature=0),
        **{f"one layer, {name}": drawn(estimator) for name, estimator in SAMPLERS.items()},
        "samples": rebuilt(store.sample(class_name, layers, n, seed)),
        "inversion of real images": rebuilt(net.activations(others, layers)),
        "real images": real,
    }


def table(frame):
    """The frame as a Markdown table."""

    def interval(row, key, scale, digits):
        value, *ends = (f"{scale * row[name]:.{digits}f}" for name in (key, f"{key}_low", f"{key}_high"))
        return f"{value} ({'–'.join(ends)})"

    lines = ["| images | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in frame.iterrows():
        lines.append(f"| {name} | " + " | ".join(interval(row, *column) for column in COLUMNS.values()) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layer", default="block2_conv2")
    parser.add_argument("--n", type=int, default=16, help="images of each class and method")
    parser.add_argument("--training", type=int, default=300, help="images of each class that the statistics are of")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()

    net = viz.load_network("mini")
    layers = [options.layer, *net.finer_layers(options.layer)]
    pictures, training = {}, []
    with tempfile.TemporaryDirectory() as folder, viz.StatsStore(Path(folder, "stats.h5")) as store:
        for class_name in net.classes:
            images = viz.load_images("partworld", class_name, options.training, TRAINING, net.image_size)
            viz.collect(net, images, class_name, layers[1:], store, progress=False)
            viz.collect(net, images, class_name, layers[:1], store, keep_activations=True, progress=False)
            training.append(images)
            for method, made in images_of(net, store, class_name, layers, options.n, options.steps).items():
                pictures.setdefault(method, []).append(made)
            print(f"{class_name}: done", flush=True)

    methods = {method: np.concatenate(classes) for method, classes in pictures.items()}
    labels = np.repeat(net.classes, options.n)
    real = methods.pop("real images")
    frame = compare(methods, real, labels, training=np.concatenate(training))
    frame = frame.rename(index={"real": "real images"})
    print(frame.to_string())

    frame.to_csv(TABLE)
    shown = slice(0, len(labels), options.n)  # the first image of each class
    figure = viz.plots.image_grid({name: images[shown] for name, images in {**methods, "real images": real}.items()})
    figure.savefig(FIGURE)
    text = (
        f"{MARKS[0]}\n{table(frame)}\n\n{len(net.classes)} classes × {options.n} images, {options.steps} steps, "
        f"{' and '.join(layers)}, statistics of {options.training} scenes a class; 95 % intervals of the bootstrap "
        f"over classes. Written by `make realism`.\n{MARKS[1]}"
    )
    readme = ROOT / "README.md"
    before = readme.read_text()
    pattern = re.escape(MARKS[0]) + ".*" + re.escape(MARKS[1])
    if not re.search(pattern, before, re.DOTALL):
        raise SystemExit(f"expected the marks {MARKS} in {readme}; found none.")
    readme.write_text(re.sub(pattern, lambda _: text, before, flags=re.DOTALL))


if __name__ == "__main__":
    main()
