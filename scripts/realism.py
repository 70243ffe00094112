"""Measure how realistic the images of each method are, and write the table and its figure into the README.

On PartWorld with the embedded network; with --photographs FOLDER on photographs, see `worlds`. Photographs and images
inverted from them are in no figure.
"""

import tempfile
from pathlib import Path

import numpy as np
from worlds import DOCS, HELD_OUT, INVERTED, TRAINING, judged, kept, options, table, write

import vizlib as viz

LAYER = {"": "block2_conv2", "photo-": "block3_conv3"}
DEEPER, TEMPERATURE = "block4_conv3", 1.5  # where photographs to draw from are neighbours, and how far from their mean
SAMPLERS = {  # of one layer alone: class and temperature
    "": {
        "quilted Gaussian": ("QuiltedGaussian", 1),
        "Gaussian of neighbours": ("LocalGaussian", 1),
        "Gaussian of clusters": ("ClusteredGaussian", 1),
        "PCA Gaussian": ("PCAGaussian", 1),
        "Gaussian copula": ("GaussianCopula", 1),
        "mix of three real": ("BootstrapMix", 1),
    },
    "photo-": {
        "Gaussian of neighbours, temperature 1.3": ("LocalGaussian", 1.3),
        "PCA Gaussian": ("PCAGaussian", 1),
        "mix of three real": ("BootstrapMix", 1),
    },
}
COLUMNS_SHOWN = 12  # at most, of the figure: of more classes every other one
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


def images_of(world, layers, store, class_name, n, steps, seed=TRAINING):
    """{method: images (n, h, w, 3)} of one class, all with the same seed and steps."""
    net = world.net
    statistics, known = store.model(class_name, "image"), store.activations(class_name, "image")
    settings = {"n": n, "steps": steps, "seed": seed, "progress": False}
    noise = np.random.default_rng(seed).random((n, *known.shape[1:]), "float32")

    def rebuilt(rows):  # {label: {layer: activations}}, all in one run of the loop
        targets = {layer: np.concatenate([row[layer] for row in rows.values()]) for layer in next(iter(rows.values()))}
        result = viz.reconstruct(net, targets, None, statistics, steps=steps, seed=seed, progress=False)
        return dict(zip(rows, np.split(result.images, len(rows)), strict=True))

    def drawn(sampler, temperature):
        return {layers[0]: store.model(class_name, layers[0], sampler).sample(n, seed, temperature)}

    alone = {f"one layer, {name}": drawn(*sampler) for name, sampler in SAMPLERS[world.name].items()}
    drawing = () if world.public else (TEMPERATURE, DEEPER)
    together = {
        "samples": store.sample(class_name, layers, n, seed, *drawing),
        "inversion of real images": net.activations(world.images(class_name, n, INVERTED), layers),
    }
    return {
        "noise": noise,
        "Simonyan 2013, pure": viz.simonyan(net, class_name, tuned=False, **settings).images,
        "Simonyan 2013, tuned": viz.simonyan(net, class_name, **settings).images,
        "Olah 2017": viz.olah(net, class_name, **settings).images,
        "MACO 2023": viz.maco(net, class_name, known, **settings).images,
        **rebuilt({"class mean, inverted": drawn("PCAGaussian", 0), **alone}),
        **rebuilt(together),
        "real images": world.images(class_name, n, HELD_OUT),
    }


def layers_of(world):
    """Those that samples are drawn at, deep to shallow."""
    layer = LAYER[world.name]
    return [layer, *world.net.finer_layers(layer)] if world.public else [layer]


def measured(world, class_name, given):
    """`images_of` one class, from its own store."""
    layers = layers_of(world)
    images, others = world.images(class_name, world.training, TRAINING), layers[1:] or [DEEPER]
    with tempfile.TemporaryDirectory() as folder:
        store = viz.StatsStore(Path(folder, "statistics"), world.net)
        viz.collect(store, images, class_name, [*layers[:1], *others], progress=False)
        return images_of(world, layers, store, class_name, given.n, given.steps)


def main():
    world, given = options(__doc__, (16, 8))
    name, pictures = f"{world.name}realism", {}
    for class_name in world.classes:
        for method, images in kept(name, measured, world, class_name, given).items():
            pictures.setdefault(method, []).append(images)

    methods = {method: np.concatenate(classes) for method, classes in pictures.items()}
    every = -(-len(world.classes) // COLUMNS_SHOWN)
    shown = slice(0, None, every * given.n)  # the first image of each class
    hidden = () if world.public else ("inversion of real images", "real images")
    rows = {method: images[shown] for method, images in methods.items() if method not in hidden}
    real = methods.pop("real images")
    frame = judged(world, methods, real).rename(index={"real": "real images"})
    print(frame.to_string())

    frame.to_csv(DOCS / f"{name}.csv")
    viz.plots.image_grid(rows).savefig(DOCS / f"{name}.png")
    write(
        name,
        f"{table(frame, COLUMNS)}\n\n{len(world.classes)} classes × {given.n} images, {given.steps} steps, "
        f"{' and '.join(layers_of(world))}, statistics of {world.training} images a class; 95 % intervals of the "
        f"bootstrap over classes. Written by `make {name}`; more columns in [{name}.csv](docs/{name}.csv).",
    )


if __name__ == "__main__":
    main()
