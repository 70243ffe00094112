"""Where the experiments' images are from: PartWorld, or photographs and a classifier of them; and where figures go.

A folder of photographs holds `photos/train` and `photos/val`, class folders of 64 × 64 photographs, and in
`photo_vgg16` a classifier of them, `photo_vgg16.keras` with `classes.txt`, and an independent judge, `judge.keras`.
"""

import argparse
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

import vizlib as viz
from vizlib.networks.network import Network, vgg_preprocess
from vizlib.realism import ClassJudge, PartJudge, compare

ROOT = Path(__file__).resolve().parent.parent
DOCS, README = ROOT / "docs", ROOT / "README.md"
# Which images, none of which any setting of the library was chosen on: those collected, those that rows of a table are
# of, those that are inverted, those that distances are taken to.
TRAINING, HELD_OUT, INVERTED, REFERENCE = range(20, 24)
OTHERS = 96  # real images of each class that distances are taken to, or as many as there are


class World(NamedTuple):
    name: str  # what its figures and tables begin with
    net: Network
    classes: tuple
    images: Callable  # (class_name, n, which) -> n images, or fewer of photographs
    judges: Callable  # (reference) -> judges, as `compare` takes them
    training: int  # images of each class that are collected
    sampler: tuple  # of one layer alone: its class and temperature
    public: bool  # whether figures may show the images and what is inverted from them


def partworld():
    net = viz.load_network("mini")

    def images(class_name, n, which):
        return viz.load_images("partworld", class_name, n, which, net.image_size)

    def judges(reference):
        return ClassJudge(reference=reference), PartJudge()

    return World("", net, net.classes, images, judges, 300, ("QuiltedGaussian", 1.0), True)


def photographs(folder):
    own, photos = folder / "photo_vgg16", folder / "photos"
    classes = (own / "classes.txt").read_text().split("\n")[:40]
    net = viz.load_network(own / "photo_vgg16.keras", preprocess=vgg_preprocess, classes=classes)
    mean = np.array([123.68, 116.779, 103.939], "float32")
    judge = keras.models.load_model(own / "judge.keras", compile=False)
    there = tuple(sorted(path.name for path in (photos / "train").iterdir() if path.name in classes))

    def images(class_name, n, which):
        if which == TRAINING:
            return viz.load_images(photos / "train", class_name, n)
        share = {HELD_OUT: slice(1, None, 4), INVERTED: slice(3, None, 4), REFERENCE: slice(0, None, 2)}[which]
        return viz.load_images(photos / "val", class_name)[share][:n]

    def judges(reference):
        return (ClassJudge(judge, classes, lambda x: x * 255 - mean, reference),)

    return World("photo-", net, there, images, judges, 500, ("LocalGaussian", 1.3), False)


def options(description, n):
    """The world and the options of the command line; n: images of each class, of PartWorld and of photographs."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="in place of PartWorld")
    parser.add_argument("--classes", nargs="+", help="all if not given")
    parser.add_argument("--n", type=int, help=f"images of each class; {n[0]}, of photographs {n[1]}, if not given")
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    world = photographs(given.photographs) if given.photographs else partworld()
    given.n = given.n or n[not world.public]
    return world._replace(classes=tuple(given.classes or world.classes)), given


def kept(experiment, make, world, class_name, given):
    """What make(world, class_name, given) gives, {name: array}; kept in output/kept, where a cut off run goes on.

    Other code of the library or the scripts, another network or other settings make it anew.
    """
    files = (path for folder in ("vizlib", "scripts") for path in sorted((ROOT / folder).rglob("*.py")))
    state = repr((given.n, given.steps, world.net.fingerprint)).encode() + b"".join(map(Path.read_bytes, files))
    state = hashlib.sha256(state).hexdigest()[:12]
    path = ROOT / "output" / "kept" / f"{experiment}-{state}" / f"{class_name}.npz"
    if not path.exists():
        made = make(world, class_name, given)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".partial").open("wb") as file:
            np.savez(file, **made)
        path.with_suffix(".partial").replace(path)
    with np.load(path, allow_pickle=False) as file:
        print(f"{class_name}: done", flush=True)
        return dict(file)


def judged(world, methods, real):
    """`compare` of methods {name: images} to real ones, of which as many are of each class, in the world's order."""
    judges = world.judges({class_name: world.images(class_name, OTHERS, REFERENCE) for class_name in world.classes})
    training = np.concatenate([world.images(class_name, world.training, TRAINING) for class_name in world.classes])
    labels = np.repeat(world.classes, len(real) // len(world.classes))
    return compare(methods, real, labels, judges, training)


def write(name, text, path=README):
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
        names = (key, f"{key}_low", f"{key}_high") if intervals else (key,)
        value, *ends = ("" if np.isnan(row[name]) else f"{scale * row[name]:.{digits}f}" for name in names)
        return f"{value} ({'–'.join(ends)})" if ends else value

    lines = ["| images | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in frame.iterrows():
        lines.append(f"| {name} | " + " | ".join(cell(row, *column) for column in columns.values()) + " |")
    return "\n".join(lines)
