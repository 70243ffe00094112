"""Whole models in `.h5` files answer as those that were saved; what such a file of anyone may not hold is refused."""

import json
import sys

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import vizlib as viz


def nested():
    pixels = keras.Input((6, 6, 3))
    base = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(2, 3), layers.BatchNormalization()], name="base")
    return keras.Model(pixels, layers.Dense(3)(layers.Flatten()(base(layers.RandomFlip()(pixels)))))


def sequential():
    return keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(2, 3, activation="relu"), layers.Flatten(),
                             layers.Dense(3, kernel_regularizer="l2")])  # fmt: skip


@pytest.mark.parametrize("build", [nested, sequential])
@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_a_model_answers_as_the_one_that_was_saved(tmp_path, build, suffix):
    model = build()
    model.compile("adam", "mse")
    model.fit(np.ones((2, 6, 6, 3)), np.ones((2, 3)), verbose=0)
    model.save(tmp_path / f"model{suffix}")
    (tmp_path / "model.txt").write_text("a\nb\nc\n")
    images = np.random.default_rng(0).random((4, 6, 6, 3)).astype("float32")
    net = viz.load_network(tmp_path / f"model{suffix}")
    np.testing.assert_allclose(net.scores(images), model.predict(images, verbose=0), atol=1e-6)
    assert net.classes == ("a", "b", "c") and net.layers == viz.load_network(model).layers
    assert net.identity["weights"] == viz.load_network(model).identity["weights"]


def change_config(change):
    def changed(file):
        config = json.loads(file.attrs["model_config"])
        file.attrs["model_config"] = json.dumps(change(config) or config)

    return changed


def layer(name, **values):
    return change_config(lambda config: _layer(config, name).update(values))


def _layer(config, name):
    return next(x for x in config["config"]["layers"] if x["config"]["name"] == name)


def set_config(name, **values):
    return change_config(lambda config: _layer(config, name)["config"].update(values))


KERNEL = "model_weights/conv1/conv1/kernel"


def replace_kernel(link=None, **options):
    def changed(file):
        group, _, name = KERNEL.rpartition("/")
        del file[KERNEL]
        if link:
            file[group][name] = link
        else:
            file[group].create_dataset(name, dtype="float32", **options)

    return changed


def list_twice(file):
    file["model_weights/conv1"].attrs["weight_names"] = ["conv1/kernel"] * 1000


CODE = {"class_name": "__lambda__", "config": {"value": ["YQ==", None, None]}}
BAD = {
    "a Lambda layer": (layer("pool", class_name="Lambda"), "without code.*Lambda"),
    "a lambda for an activation": (set_config("conv1", activation=CODE), "without code.*__lambda__"),
    "a class of another module": (
        layer("conv1", class_name="Layer", module="intruder", registered_name="Layer"),
        "received intruder.Layer",
    ),
    "a function of Python": (
        set_config("conv1", activation={"class_name": "function", "module": "os", "config": "system"}),
        "received os.function",
    ),
    "a layer in a wrapper": (
        layer("pool", class_name="TimeDistributed", config={"name": "pool", "layer": {"class_name": "Lambda"}}),
        "without code.*Lambda",
    ),
    "files that a layer names": (layer("pool", class_name="TFSMLayer", config={"filepath": "/etc"}), "TFSMLayer"),
    "an unknown layer": (layer("pool", class_name="Pool3"), "Pool3"),
    "a layer of terabytes": (set_config("predictions", units=10**12), r"weights of 46,\d+,.*file has 4\d\d\."),
    "weights of terabytes": (
        replace_kernel(shape=(10**6, 10**6), chunks=(1000, 1000)),
        r"as many as declared.*\(1000000, 1000000\) in 0 bytes",
    ),
    "weights of another file": (
        replace_kernel(shape=(3, 3, 3, 4), external=[("/etc/passwd", 0, 432)]),
        "numbers that lie in the file",
    ),
    "a link to another file": (replace_kernel(h5py.ExternalLink("/etc/passwd", "/")), "ExternalLink"),
    "a link within": (replace_kernel(h5py.SoftLink("/model_weights/conv2")), "SoftLink"),
    "a weight that is listed a thousand times": (list_twice, r"each weight of a layer once; .*in /model_weights/conv1"),
    "too few weights": (lambda file: file.__delitem__("model_weights/conv1"), "weights of .* parameters"),
    "no group of weights": (lambda file: file.__delitem__("model_weights"), "model_weights"),
    "weights of another shape": (replace_kernel(data=np.ones((4, 3, 3, 3))), "shape"),
    "a config that is no JSON": (lambda file: file.attrs.update(model_config="{"), "gave: Expecting"),
    "a config that is no text": (lambda file: file.attrs.update(model_config=np.ones(3)), "JSON"),
    "a list": (change_config(lambda config: [1, 2, 3]), "safe mode"),
    "lists without end": (lambda file: file.attrs.update(model_config="[" * 60_000), "recursion"),
    "no layers": (change_config(lambda config: {"class_name": "Functional"}), "safe mode"),
    "another model": (change_config(lambda config: {"class_name": "Subclassed", "config": {}}), "Subclassed"),
    "weights alone": (lambda file: file.attrs.__delitem__("model_config"), "whole model.*received weights alone"),
}


@pytest.mark.parametrize("kind", BAD)
def test_files_that_are_not_what_they_seem(tiny_cnn, tmp_path, monkeypatch, kind):
    """The error is one, names the file, leaves nothing, and comes before code of the file's choice is imported."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "intruder.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(tmp_path / "code")
    change, message = BAD[kind]
    path = tmp_path / "bad.h5"
    tiny_cnn.save(path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ValueError, match=message) as caught:
        viz.load_network(path)
    assert str(path) in str(caught.value) and "intruder" not in sys.modules
    assert {x.name for x in tmp_path.iterdir()} == {"bad.h5", "code"}


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.999])
def test_a_truncated_file(tiny_cnn, tmp_path, part):
    path = tmp_path / "a.h5"
    tiny_cnn.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match="a.h5 gave: "):
        viz.load_network(path)


def test_operations_of_keras_3_need_a_keras_file(tmp_path):
    pixels = keras.Input((6, 6, 3))
    model = keras.Model(pixels, layers.Dense(2)(layers.Flatten()(keras.ops.relu(pixels * 2 - 1))))
    for suffix in (".h5", ".keras"):
        model.save(tmp_path / f"model{suffix}")
    with pytest.raises(ValueError, match="model.h5 gave: "):
        viz.load_network(tmp_path / "model.h5")
    images = np.random.default_rng(0).random((4, 6, 6, 3)).astype("float32")
    scores = viz.load_network(tmp_path / "model.keras").scores(images)
    np.testing.assert_allclose(scores, model.predict(images, verbose=0), atol=1e-6)


def test_weights_alone(tiny_cnn, tmp_path):
    tiny_cnn.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match=r"received weights alone.*model.load_weights\(...\)"):
        viz.load_network(tmp_path / "a.weights.h5")


def test_a_heap_that_hdf5_never_comes_to_an_end_of(tmp_path):
    """In an attribute of text the free space has no size: found by fuzzing, as HDF5 1.14.6 goes round in it."""
    path = tmp_path / "model.h5"
    sequential().save(path)
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL\1\0\0\0")
    place = heap + 16
    while content[place] or content[place + 1]:
        place += 16 + -(-int.from_bytes(content[place + 8 : place + 16], "little") // 8) * 8
    content[place + 8 : place + 16] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"heaps of HDF5 that come to an end; received another, at byte {heap}"):
        viz.load_network(path)
