"""The layer experiment: at which layer is the information best for sampling and for reconstruction?

Each layer is asked alone, see `vizlib.sweep`, and its samples are judged. Writes a table into docs/layers.md, and a
figure beside it, on PartWorld with the embedded network; with --photographs FOLDER on photographs, see `worlds`.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from worlds import DOCS, HELD_OUT, INVERTED, REFERENCE, TRAINING, options, table, write

import vizlib as viz
from vizlib.realism import compare

OTHERS = 96  # real images of each class that distances are taken to, or as many as there are
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


def main():
    world, given = options(__doc__, (8, 8))
    sampler, temperature = world.sampler
    name, answers, training, real = f"{world.name}layers", {}, [], []
    with tempfile.TemporaryDirectory() as folder:
        for class_name in world.classes:
            training.append(world.images(class_name, world.training, TRAINING))
            real.append(world.images(class_name, given.n, HELD_OUT))
            fresh = world.images(class_name, 50, INVERTED)
            with viz.StatsStore(Path(folder, f"{class_name}.h5")) as store:
                viz.collect(world.net, training[-1], class_name, LAYERS, store, progress=False)
                answers[class_name] = viz.sweep(
                    world.net, store, class_name, LAYERS, fresh, given.n, given.steps, TRAINING, sampler, temperature
                )
            store.path.unlink()
            print(f"{class_name}: done", flush=True)

    samples = {layer: np.concatenate([answer[layer].samples for answer in answers.values()]) for layer in LAYERS}
    judges = world.judges({class_name: world.images(class_name, OTHERS, REFERENCE) for class_name in world.classes})
    labels, real = np.repeat(world.classes, given.n), np.concatenate(real)
    frame = compare(samples, real, labels, judges, np.concatenate(training))
    told = [pd.DataFrame({layer: answer[layer][: len(MEASURES)] for layer in LAYERS}) for answer in answers.values()]
    frame = frame.join(pd.DataFrame((sum(told).astype(float) / len(told)).T.to_numpy(), LAYERS, MEASURES))
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
