"""The layer experiment: at which layer is the information best for sampling and for reconstruction?

Each layer is asked alone, see `vizlib.sweep`, and its samples are judged. Writes a table into docs/layers.md, and a
figure beside it, on PartWorld with the embedded network; with --photographs FOLDER on photographs, see `worlds`.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from worlds import DOCS, HELD_OUT, INVERTED, TRAINING, judged, kept, options, table, write

import vizlib as viz

LAYERS = ["block1_conv2", "block2_conv2"]
LAYERS += [f"block{block}_conv{convolution}" for block in (3, 4, 5) for convolution in (1, 3)]
MEASURES = ["explained", "likelihood", "error", "pixel_error", "copies"]
COLUMNS = {
    "explained": ("explained", 1, 2),
    "likelihood gained, nats a unit": ("likelihood", 1, 2),
    "error of inversion, at the layer": ("error", 1, 3),
    "and in pixels": ("pixel_error", 1, 2),
    "recognised, %": ("accuracy", 100, 0),
    "whole, %": ("whole", 100, 0),
    "KID": ("kid", 1, 2),
    "told apart, %": ("told_apart", 100, 0),
    "variety (Vendi)": ("vendi_within", 1, 1),
    "contrast": ("contrast", 1, 3),
    "high frequencies": ("high_frequency", 1, 3),
    "nearest training image": ("nearest", 1, 3),
    "nearly copies, %": ("copies", 100, 0),
}


def asked(world, class_name, given):
    """What `vizlib.sweep` finds of one class from its own store: {layer: its samples}, and their measures."""
    fresh = world.images(class_name, 50, INVERTED)
    with tempfile.TemporaryDirectory() as folder:
        store = viz.StatsStore(Path(folder, "statistics"), world.net)
        viz.collect(store, world.images(class_name, world.training, TRAINING), class_name, LAYERS, progress=False)
        answer = viz.sweep(store, class_name, LAYERS, fresh, given.n, given.steps, TRAINING, *world.sampler)
    measures = np.array([answer[layer][: len(MEASURES)] for layer in LAYERS], "float64")
    return {layer: answer[layer].samples for layer in LAYERS} | {"measures": measures}


def main():
    world, given = options(__doc__, (8, 8))
    sampler, temperature = world.sampler
    name = f"{world.name}layers"
    answers = [kept(name, asked, world, class_name, given) for class_name in world.classes]

    samples = {layer: np.concatenate([answer[layer] for answer in answers]) for layer in LAYERS}
    real = np.concatenate([world.images(class_name, given.n, HELD_OUT) for class_name in world.classes])
    frame = judged(world, samples, real)
    measures = np.mean([answer["measures"] for answer in answers], axis=0)
    frame = frame.join(pd.DataFrame(measures, LAYERS, MEASURES))
    print(frame.to_string())

    frame.to_csv(DOCS / f"{name}.csv")
    rows = {layer: images[:: given.n] for layer, images in samples.items()}
    if world.public:
        rows["real"] = real[:: given.n]
    viz.plots.image_grid(rows, [name.replace("_", "\n") for name in world.classes]).savefig(DOCS / f"{name}.png")
    write(
        name,
        f"{table(frame.rename(index={'real': 'real images'}), COLUMNS, intervals=False)}\n\n"
        f"{len(world.classes)} classes × {given.n} images, {given.steps} steps, `{sampler}` at temperature "
        f"{temperature}, statistics of {world.training} images a class; means over classes. Written by `make {name}`; "
        f"with intervals and more columns in [{name}.csv]({name}.csv).",
        DOCS / "layers.md",
    )


if __name__ == "__main__":
    main()
