"""Stochastic deconvolution on real VGG16 and photographs: `photographs.py FOLDER CLASS ... [--out FILE]`.

FOLDER holds `vgg16/vgg16_blocks1to3.h5` and `vgg16/vgg16_blocks4to5.h5`, the ImageNet weights of the thirteen
convolutions (/<layer>/kernel and /<layer>/bias, as in Keras), and `imagenet/photos/train`, a folder of class folders of
photographs of ImageNet.
"""

import argparse
import tempfile
from pathlib import Path

import h5py
import keras

import vizlib as viz
from vizlib.networks import vgg_preprocess

LAYERS = ["block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"]


def vgg16(folder, size=64):
    """The thirteen convolutions of VGG16 with the weights in a folder, as a `Network` of images of `size` pixels."""
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(size, size, 3))
    for part in ("1to3", "4to5"):
        with h5py.File(folder / f"vgg16_blocks{part}.h5") as file:
            for name, layer in file.items():
                model.get_layer(name).set_weights([layer["kernel"][()], layer["bias"][()]])
    return viz.Network(model, vgg_preprocess)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("classes", nargs="+", metavar="CLASS")
    parser.add_argument("--n", type=int, default=1, help="samples of each class")
    parser.add_argument("--size", type=int, default=224, help="pixels of a side")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("output/photographs.png"))
    options = parser.parse_args()
    net = vgg16(options.folder / "vgg16", options.size)
    columns = {}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out.parent) as folder:
        store = viz.StatsStore(Path(folder, "statistics"), net)
        for name in options.classes:
            photographs = viz.load_images(options.folder / "imagenet/photos/train", name, size=options.size)
            viz.collect(store, photographs, name, LAYERS)
            targets = store.sample(name, n=options.n, seed=options.seed)
            result = viz.reconstruct(net, targets, statistics=store.model(name, "image"), steps=options.steps)
            columns[name] = result.images
    rows = {f"sample {i + 1}": [images[i] for images in columns.values()] for i in range(options.n)}
    viz.plots.image_grid(rows, [name.replace("_", "\n") for name in columns]).savefig(options.out, dpi=240)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
