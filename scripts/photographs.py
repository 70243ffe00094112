"""Stochastic deconvolution on real VGG16 and photographs: `photographs.py FOLDER CLASS ... [--out FILE]`.

FOLDER holds `vgg16/vgg16_blocks1to3.h5` and `vgg16/vgg16_blocks4to5.h5`, the ImageNet weights of the thirteen
convolutions (/<layer>/kernel and /<layer>/bias, as in Keras), and `photos/train`, a folder of class folders of 64 × 64
photographs.
"""

import argparse
import tempfile
from pathlib import Path

import h5py
import keras

import vizlib as viz
from vizlib.networks import vgg_preprocess

LAYER = "block3_conv3"


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
    parser.add_argument("--n", type=int, default=5, help="samples of each class")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--sampler", default="LocalGaussian", help="an estimator of vizlib.statistics")
    parser.add_argument("--temperature", type=float, default=1.3, help="above 1, as neighbours are chosen to be alike")
    parser.add_argument("--out", type=Path, default=Path("output/photographs.png"))
    options = parser.parse_args()
    net = vgg16(options.folder / "vgg16")
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        store = viz.StatsStore(Path(folder, "statistics"), net)
        for name in options.classes:
            viz.collect(store, viz.load_images(options.folder / "photos" / "train", name), name, [LAYER])
            targets = store.model(name, LAYER, options.sampler).sample(options.n, 0, options.temperature)
            rows[name] = viz.reconstruct(net, targets, LAYER, store.model(name, "image"), steps=options.steps).images
    options.out.parent.mkdir(parents=True, exist_ok=True)
    viz.plots.image_grid(rows).savefig(options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
