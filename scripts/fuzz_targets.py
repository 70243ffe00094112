"""What reads files of others: for each reader a few sound files to change, and what reads one that was changed."""

import io
import json
import shutil
import sys
import tarfile
import warnings
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

import h5py
import keras
import numpy as np
from PIL import Image

import vizlib as viz
from vizlib.images.files import FORMATS, read_image
from vizlib.images.imagenet import _unpack
from vizlib.images.labels import labelled
from vizlib.synthesis import Result, recipes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
STATS = "statistics"


class Target(NamedTuple):
    """write: writes sound files into a folder, each set of them into a folder there. read: reads such a set, in which
    one file was changed, or raises one of `errors`.
    """

    write: Callable[[Path], None]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = (ValueError, OSError)


def write_images(folder):
    """A picture of each format and of some of their variants."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (24, 20, 3), "uint8"))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "turned"
    variants = [(rgb, form, {}) for form in FORMATS]
    variants += [(rgb, "JPEG", {"exif": exif, "progressive": True}), (rgb.convert("CMYK"), "JPEG", {})]
    variants += [(rgb.convert("P"), "PNG", {"transparency": 3})]
    variants += [(rgb.convert("L").convert("I;16"), "PNG", {"exif": exif})]
    variants += [(rgb.convert("RGBA"), "WEBP", {"lossless": True}), (rgb.convert("P"), "BMP", {})]
    variants += [(rgb.convert("P"), "GIF", {"save_all": True, "append_images": [rgb.rotate(90).convert("P")]})]
    variants += [(rgb, "TIFF", {"compression": how}) for how in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")]
    variants += [(rgb.convert("F"), "TIFF", {}), (rgb.convert("1"), "TIFF", {"compression": "group4"})]
    for i, (picture, form, options) in enumerate(variants):
        (folder / f"{i}").mkdir()
        picture.save(folder / f"{i}" / "picture.image", form, **options)


def read_picture(folder):
    pixels, assumed = read_image(folder / "picture.image", (16, 16))
    assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8 and isinstance(assumed, str)


def write_labels(folder):
    names = [f"{i}.png" for i in range(4)]
    rows = [{"file": name, "label": f"class {i % 2}"} for i, name in enumerate(names)]
    csv = "\n".join(["file,label,width", *(f"{row['file']},{row['label']},3" for row in rows)])
    by_class = json.dumps({"even": names[::2], "odd": names[1::2]})
    tables = {"labels.csv": csv, "rows.json": json.dumps(rows), "classes.json": by_class}
    for i, (name, text) in enumerate(tables.items()):
        (folder / f"{i}").mkdir()
        (folder / f"{i}" / name).write_text(text)


def read_labels(folder):
    (table,) = folder.iterdir()
    pictures = [folder / f"{i}.png" for i in range(4)]
    classes, _ = labelled(table, pictures)
    assert {file for own in classes.values() for file in own} <= {*pictures}


def tiny():
    """A small model, the same in each process."""
    image = keras.Input((6, 6, 3), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(image)
    x = keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="conv2")(x)
    x = keras.layers.Flatten(name="flatten")(keras.layers.MaxPooling2D(2, name="pool")(x))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="predictions")(x), name="tiny")
    rng = np.random.default_rng(0)
    model.set_weights([rng.integers(-2, 3, w.shape).astype("float32") / 4 for w in model.get_weights()])
    return model


@cache
def collected(root):
    """A store of the small network in a folder."""
    net = viz.load_network(tiny(), classes=["face", "cat", "fish"])
    store = viz.StatsStore(root / STATS, net)
    viz.collect(store, viz.load_images("partworld", "cat", 24, size=6), "cat", ["conv1", "conv2"], progress=False)
    return store


def write_recipes(folder):
    store = collected(folder.parent)
    draw, rest = store.sample("cat", ["conv2"], n=1), {"steps": 2, "progress": False}
    results = [
        viz.simonyan(store.network, "cat", n=1, **rest),
        viz.reconstruct(store.network, draw, statistics=store.model("cat", "image"), **rest),
        viz.maco(store.network, "cat", store.activations("cat", "image"), n=1, **rest),
    ]
    for i, result in enumerate(results):
        (folder / f"{i}").mkdir()
        result.save(folder / f"{i}" / "image.png")


def read_recipe(folder):
    """Read a recipe and follow it up to the draw and the method, which are not called, as they may do any work."""
    store = collected(folder.parent)
    made = viz.recipe(folder / "image.png")
    result = Result(np.zeros((1, 6, 6, 3)), {}, {"pixels": "0" * 64})

    def uncalled(module):
        methods = vars(import_module(module))
        return SimpleNamespace(**{x: wraps(methods[x])(lambda **_: result) for x in recipes.HOMES if x in methods})

    def undrawn(**facts):
        signature(viz.StatsStore.sample).bind(store, **facts)

    with mock.patch.object(recipes, "import_module", uncalled), mock.patch.object(store, "sample", undrawn):
        viz.rerun(made, store.network, store, progress=False)


def write_networks(folder):
    from test_keras2 import save, tutorial, twin

    for name in ("0", "1", "2", "3"):
        (folder / name).mkdir()
    tiny().save(folder / "0" / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny().save(folder / "1" / "model.h5")
    save(folder / "2" / "model.keras", tutorial(), twin())
    save(folder / "3" / "model.h5", tutorial(), twin())
    (folder / "0" / "model.txt").write_text("a\nb\nc\n")


def read_network(folder):
    (path,) = (path for path in folder.iterdir() if path.suffix != ".txt")
    net = viz.load_network(path)
    assert all(isinstance(name, str) for name in net.layers) and len(net.identity["weights"]) == 64


def write_caffe(folder):
    from test_convert import caffemodel, prototxt

    for version in ("old", "new"):
        (folder / version).mkdir()
        (folder / version / "net.prototxt").write_text(prototxt(version))
        (folder / version / "net.caffemodel").write_bytes(caffemodel(version).SerializeToString())


def read_caffe(folder):
    viz.convert_vgg16(folder / "net.caffemodel", folder / "net.keras", folder / "net.prototxt")


def write_theano(folder):
    (folder / "0").mkdir()
    rng = np.random.default_rng(0)
    inputs, outputs = (3, *[2] * 12, 2, 3, 3), (*[2] * 13, 3, 3, 4)
    with h5py.File(folder / "0" / "weights.h5", "w") as file:
        for i, (of, out) in enumerate(zip(inputs, outputs, strict=True)):
            kernel = (out, of, 3, 3) if i < 13 else (of, out)
            file[f"layer_{i}/param_0"] = rng.standard_normal(kernel).astype("float32")
            file[f"layer_{i}/param_1"] = rng.standard_normal(out).astype("float32")


def read_theano(folder):
    viz.convert_vgg16(folder / "weights.h5", folder / "net.keras")


def write_stores(folder):
    from stores import NET, VALUES, files, fill, states

    store = viz.StatsStore(folder / "0" / "stats", NET)
    fill(store, keep=True)
    files.write_layer(store.path, "cat", "far", states(), True, VALUES)


def read_store(folder):
    """All that a store tells, and merging it into another."""
    from stores import NET, contents

    store = viz.StatsStore(folder / "stats", NET)
    assert contents(folder / "stats", NET).keys() and len(store.to_dataframe())
    for class_name in store.classes:
        store.entries(class_name), store.last_of_resolutions(class_name)
        for layer in store.layers(class_name):
            model = store.model(class_name, layer)
            assert model.entry["layer"] == layer and len(model.entry["sha256"]) == 64
    viz.StatsStore(folder / "merged").merge(store)


def write_archives(folder):
    (folder / "0").mkdir()
    with tarfile.open(folder / "0" / "pictures.tgz", "w:gz") as tar:
        for name, content in {"a/1.png": b"x" * 600, "b/2.png": b"y" * 50, "b/c/3.png": b""}.items():
            member = tarfile.TarInfo(f"pictures/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def read_archive(folder):
    _unpack(folder / "pictures.tgz", folder / "pictures")
    assert (folder / "pictures").is_dir()
    shutil.rmtree(folder / "pictures")


TARGETS = {
    "images": Target(write_images, read_picture, (Exception,)),  # who calls it turns all of them into a warning
    "labels": Target(write_labels, read_labels),
    "recipes": Target(write_recipes, read_recipe),
    "networks": Target(write_networks, read_network),
    "caffe": Target(write_caffe, read_caffe),
    "theano": Target(write_theano, read_theano),
    "stores": Target(write_stores, read_store),
    "archives": Target(write_archives, read_archive),
}
