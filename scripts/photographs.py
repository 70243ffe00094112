"""Stochastic deconvolution on real VGG16 and photographs: `photographs.py FOLDER CLASS ... [--out FILE]`.

FOLDER is described in `imagenet`.
"""

import argparse
import tempfile
from pathlib import Path

from imagenet import LAYERS, vgg16

import vizlib as viz


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
    net = vgg16(options.folder, options.size)
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
