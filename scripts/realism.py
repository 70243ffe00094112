"""Measure how realistic the images of each method are, and write the table and its figure into the README."""

import argparse
import re
import tempfile
from pathlib import Path

import numpy as np

import vizlib as viz
from vizlib.realism import compare

ROOT = Path(__file__).resolve().parent.parent
FIGURE = ROOT / "docs" / "methods.png"
MARKS = "<!-- realism: written by `make realism` -->", "<!-- /realism -->"
TRAINING, HELD_OUT = 0, 1  # seeds of the scenes that are collected and of those that the methods are compared with


def images_of(net, store, class_name, layer, n, steps, seed=0):
    """{method: images (n, h, w, 3)} of one class, all with the same seed and number of steps."""
    statistics = store.model(class_name, "image")
    real = viz.load_images("partworld", class_name, n, seed=HELD_OUT, size=net.image_size)

    def rebuilt(targets):
        return viz.reconstruct(net, targets, layer, statistics, steps=steps, seed=seed, progress=False).images

    def drawn(estimator):
        return rebuilt(store.model(class_name, layer, estimator).sample(n, seed))

    return {
        "Simonyan 2013, pure": viz.simonyan(net, class_name, n, steps, seed, tuned=False, progress=False).images,
        "Simonyan 2013, tuned": viz.simonyan(net, class_name, n, steps, seed, progress=False).images,
        "reconstruction, Gaussian of neighbours": drawn("LocalGaussian"),
        "reconstruction, PCA Gaussian": drawn("PCAGaussian"),
        "reconstruction, mix of three real": drawn("BootstrapMix"),
        "inversion of real images": rebuilt(net.activations(real, [layer])[layer]),
        "real images": real,
    }


def table(frame):
    """The frame as a Markdown table."""

    def interval(row, key, scale, digits):
        low, high = (f"{scale * row[f'{key}_{end}']:.{digits}f}" for end in ("low", "high"))
        return f"{scale * row[key]:.{digits}f} ({low}–{high})"

    lines = [
        "| images | recognised, % | stray parts an image | complete objects an image | KID | nearest training image |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in frame.iterrows():
        lines.append(
            f"| {name} | {interval(row, 'accuracy', 100, 0)} | {interval(row, 'stray_parts', 1, 2)} | "
            f"{interval(row, 'complete_objects', 1, 2)} | {row['kid']:.3f} | {row['nearest']:.3f} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layer", default="block2_conv2")
    parser.add_argument("--n", type=int, default=8, help="images of each class and method")
    parser.add_argument("--training", type=int, default=300, help="images of each class that the statistics are of")
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()

    net = viz.load_network("mini")
    pictures, training = {}, []
    with tempfile.TemporaryDirectory() as folder, viz.StatsStore(Path(folder, "stats.h5")) as store:
        for class_name in net.classes:
            images = viz.load_images("partworld", class_name, options.training, TRAINING, net.image_size)
            viz.collect(net, images, class_name, [options.layer], store, progress=False)
            training.append(images)
            for method, made in images_of(net, store, class_name, options.layer, options.n, options.steps).items():
                pictures.setdefault(method, []).append(made)
            print(f"{class_name}: done", flush=True)

    methods = {method: np.concatenate(classes) for method, classes in pictures.items()}
    labels = np.repeat(net.classes, options.n)
    real = methods.pop("real images")
    frame = compare(methods, real, labels, training=np.concatenate(training))
    frame = frame.rename(index={"real": "real images"})
    print(frame.to_string())

    FIGURE.parent.mkdir(exist_ok=True)
    shown = slice(0, len(labels), options.n)  # the first image of each class
    figure = viz.plots.image_grid({name: images[shown] for name, images in {**methods, "real images": real}.items()})
    figure.savefig(FIGURE)
    text = (
        f"{MARKS[0]}\n{table(frame)}\n\n{len(net.classes)} classes × {options.n} images, {options.steps} steps, "
        f"`{options.layer}`, statistics of {options.training} scenes a class; 95 % intervals of the bootstrap over "
        f"images. Written by `make realism`.\n{MARKS[1]}"
    )
    readme = ROOT / "README.md"
    before = readme.read_text()
    pattern = re.escape(MARKS[0]) + ".*" + re.escape(MARKS[1])
    if not re.search(pattern, before, re.DOTALL):
        raise SystemExit(f"expected the marks {MARKS} in {readme}; found none.")
    readme.write_text(re.sub(pattern, lambda _: text, before, flags=re.DOTALL))


if __name__ == "__main__":
    main()
