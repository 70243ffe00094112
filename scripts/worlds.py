"""Where the experiments' images are from: PartWorld, or photographs and VGG16; and where figures and tables go."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from imagenet import JUDGED, POSITIONS, judge, vgg16

import vizlib as viz
from vizlib.images import class_names
from vizlib.realism import ClassJudge, PartJudge, SimilarityJudge, WholeJudge, compare

ROOT = Path(__file__).resolve().parent.parent
DOCS, README = ROOT / "docs", ROOT / "README.md"
# Which images, none of which any setting of the library was chosen on: those collected, those that rows of a table are
# of, those that are inverted, those that distances are taken to.
TRAINING, HELD_OUT, INVERTED, REFERENCE = range(20, 24)
OTHERS = 96  # real images of each class that distances are taken to, or as many as there are
SHARES = {HELD_OUT: slice(8), INVERTED: slice(8, None), REFERENCE: slice(16, None)}  # of the held-out photographs
TUNED_ON = "golden_retriever", "church", "garbage_truck", "samoyed", "french_horn"  # by eye, while the sampler was made


class World(NamedTuple):
    title: str  # of its figures and tables, with room for the name of the experiment
    net: viz.Network
    classes: tuple
    images: Callable  # (class_name, n, which) -> n images, or fewer of photographs
    judges: Callable  # (reference) -> judges, as `compare` takes them
    training: int  # images of each class that are collected
    drawn: tuple  # the layers that samples are drawn at, and real images inverted from, deep to shallow
    chained: str  # the layer that chains begin at
    sampler: str  # of one layer alone
    public: bool  # whether figures may show the images and what is inverted from them


def partworld():
    net = viz.load_network("mini")

    def images(class_name, n, which):
        return viz.load_images("partworld", class_name, n, which, net.image_size)

    def judges(reference):
        return ClassJudge(reference=reference), PartJudge()

    drawn = "block2_conv2", "block1_conv2"
    return World("{}", net, net.classes, images, judges, 300, drawn, "block4_conv3", "QuiltedGaussian", True)


def photographs(folder, size):
    """See `imagenet`."""
    net, photos = vgg16(folder, size), folder / "imagenet/photos"

    def images(class_name, n, which):
        if which == TRAINING:
            return viz.load_images(photos / "train", class_name, size=size)[:n]
        return viz.load_images(photos / "val", class_name, size=size)[SHARES[which]][:n]

    def judges(reference):
        known = ClassJudge(*judge(folder), reference)
        return known, WholeJudge(known.network, POSITIONS), SimilarityJudge(known.network, JUDGED, reference)

    drawn, classes = ("block5_conv3", "block4_conv3"), tuple(class_names(photos / "train"))
    return World(f"photo-{{}}-{size}", net, classes, images, judges, 350, drawn, "block5_conv3", "Montage", False)


def options(description, n):
    """The world and the options of the command line; n: images of each class, of PartWorld and of photographs."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="in place of PartWorld, see `imagenet`")
    parser.add_argument("--size", type=int, default=128, help="pixels of a side of photographs; 128 if not given")
    parser.add_argument("--classes", nargs="+", help="all if not given")
    parser.add_argument("--n", type=int, help=f"images of each class; {n[0]}, of photographs {n[1]}, if not given")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--reuse", action="store_true", help="also what other code of the library made, and tell which")
    given = parser.parse_args()
    world = photographs(given.photographs, given.size) if given.photographs else partworld()
    given.n = given.n or n[not world.public]
    return world._replace(classes=tuple(given.classes or world.classes)), given


def judged(world, methods, real):
    """`compare` of methods {name: images} to real ones, of which as many are of each class, in the world's order."""
    judges = world.judges({class_name: world.images(class_name, OTHERS, REFERENCE) for class_name in world.classes})
    training = np.concatenate([world.images(class_name, world.training, TRAINING) for class_name in world.classes])
    labels = np.repeat(world.classes, len(real) // len(world.classes))
    return compare(methods, real, labels, judges, training)


def figure(world, name, rows, caption):
    """Write rows of one image of each class to docs/, and return the Markdown that shows them.

    Classes of photographs that settings were tried on have an asterisk. What looks like photographs is a tenth as large
    in JPEG.
    """
    grid = viz.plots.image_grid(rows, [name + "*" * (name in TUNED_ON) for name in world.classes])
    path = DOCS / f"{name}.{'png' if world.public else 'jpg'}"
    grid.savefig(path, dpi=max(grid.dpi, world.net.image_size))
    return f"![{caption}]({path.name})"


def write(name, text, path):
    """Put the text between the marks of this name in a file."""
    marks = f"<!-- {name}: written by `make {name}` -->", f"<!-- /{name} -->"
    before = path.read_text()
    pattern = re.escape(marks[0]) + ".*" + re.escape(marks[1])
    if not re.search(pattern, before, re.DOTALL):
        raise SystemExit(f"expected the marks {marks} in {path}; found none.")
    path.write_text(re.sub(pattern, lambda _: f"{marks[0]}\n{text}\n{marks[1]}", before, flags=re.DOTALL))


def table(frame, columns, intervals=True):
    """A data frame as a Markdown table; columns: {title: (name, scale, digits)}."""
    columns = {title: column for title, column in columns.items() if column[0] in frame}

    def cell(row, key, scale, digits):
        names = (key, f"{key}_low", f"{key}_high") if intervals and f"{key}_low" in row else (key,)
        value, *ends = ("" if np.isnan(row[name]) else f"{scale * row[name]:.{digits}f}" for name in names)
        return f"{value} ({'–'.join(ends)})" if ends else value

    lines = ["| images | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in frame.iterrows():
        lines.append(f"| {name} | " + " | ".join(cell(row, *column) for column in columns.values()) + " |")
    return "\n".join(lines)
