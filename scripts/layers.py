"""The layer experiment: at which layer is the information best for sampling and for reconstruction?

Each layer is asked alone, see `vizlib.sweep`, and its samples are judged. Writes a table into docs/layers.md, and a
figure beside it, on PartWorld with the embedded network; with --photographs FOLDER on photographs, see `imagenet`.
Called again, it goes on from where it was stopped; called twice, the two share the work.
"""

import numpy as np
import pandas as pd
from kept import Kept
from worlds import DOCS, HELD_OUT, INVERTED, TRAINING, figure, judged, options, table, write

import vizlib as viz
from vizlib.realism import layers as sweeping

LAYERS = ["block1_conv2", "block2_conv2"]
LAYERS += [f"block{block}_conv{convolution}" for block in (3, 4, 5) for convolution in (1, 3)]
MEASURES = ["explained", "likelihood", "error", "pixel_error", "copies"]
COLUMNS = {
    "explained": ("explained", 1, 2),
    "likelihood gained, nats a unit": ("likelihood", 1, 2),
    "error of inversion, at the layer": ("error", 1, 3),
    "and in pixels": ("pixel_error", 1, 2),
    "recognised, %": ("accuracy", 100, 0),
    "in the first five, %": ("top5", 100, 0),
    "whole to part": ("whole_to_part", 1, 2),
    "spread": ("spread", 1, 2),
    "late layers alike": ("similarity_late", 1, 2),
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
    world, given = options(__doc__, (8, 4))
    name = world.title.format("layers")
    # Activations of finer ones are 2 GB and more of 350 photographs.
    layers = LAYERS if world.public else LAYERS[2:]
    kept = Kept(name, (given.n, given.steps), world.net.fingerprint, (__file__, sweeping.__file__), given.reuse)
    store = viz.StatsStore(kept.folder / f"statistics-{kept.code}", world.net)

    def answers_of(class_name):
        """{layer: its samples and what `vizlib.sweep` finds} of a class."""
        def asked(layer):
            viz.collect(store, world.images(class_name, world.training, TRAINING), class_name, layers, progress=False)
            fresh = world.images(class_name, 50, INVERTED)
            answer, = viz.sweep(
                store, class_name, [layer], fresh, given.n, given.steps, TRAINING, world.sampler
            ).values()
            return {"samples": answer.samples, "measures": np.array(answer[: len(MEASURES)], "float64")}

        return {layer: kept.of(class_name, layer, lambda layer=layer: asked(layer)) for layer in layers}

    answers = kept.each(world.classes, answers_of).values()
    samples = {layer: np.concatenate([answer[layer]["samples"] for answer in answers]) for layer in layers}
    real = np.concatenate([world.images(class_name, given.n, HELD_OUT) for class_name in world.classes])
    frame = judged(world, samples, real)
    measures = [np.mean([answer[layer]["measures"] for answer in answers], axis=0) for layer in layers]
    frame = frame.join(pd.DataFrame(measures, layers, MEASURES))
    print(frame.to_string())

    frame.to_csv(DOCS / f"{name}.csv")
    rows = {layer: images[:: given.n] for layer, images in samples.items()}
    if world.public:
        rows["real"] = real[:: given.n]
    shown = figure(world, name, rows, "Samples drawn at each layer alone")
    write(
        name,
        f"{shown}\n\n"
        f"{table(frame.rename(index={'real': 'real images'}), COLUMNS, intervals=False)}\n\n"
        f"{len(world.classes)} classes × {given.n} images, {given.steps} steps, `{world.sampler}`, "
        f"statistics of {world.training} images a class; means over classes. Written by `make {name}`; "
        f"with intervals and more columns in [{name}.csv]({name}.csv).",
        DOCS / "layers.md",
    )


if __name__ == "__main__":
    main()
