"""What `load_network` makes of sources of every kind: networks, their names, one clear error for each bad one."""

import hashlib
import io
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import vizlib as viz
from vizlib.images import SYNSETS
from vizlib.networks import imagenet_classes, vgg_preprocess


def rewritten(path, config=None, weights=None, **options):
    """A .keras file with its config, a dict, and its weights, an open HDF5 file, changed in place."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if config:
        found = json.loads(members["config.json"])
        members["config.json"] = json.dumps(config(found) or found)
    if weights:
        file = io.BytesIO(members["model.weights.h5"])
        with h5py.File(file, "r+") as opened:
            weights(opened)
        members["model.weights.h5"] = file.getvalue()
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def layer(config, name):
    return next(x for x in config["config"]["layers"] if x["config"]["name"] == name)


def set_config(name, **values):
    return lambda config: layer(config, name)["config"].update(values)


def from_elsewhere(config):
    layer(config, "conv1").update(module="intruder", class_name="Layer", registered_name="intruder>Layer")


def function(module, name):
    value = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    return set_config("conv1", activation=value)


def lambda_inside(config):
    layer(config, "pool").update(class_name="Lambda")


def drop_weights(file):
    for name in [name for name, item in file["layers"].items() if "vars" in item][:1]:
        del file["layers"][name]


def first_kernel(file):
    return next(item["vars/0"] for item in file["layers"].values() if "0" in item.get("vars", ()))


def replace_kernel(**options):
    def change(file):
        kernel = first_kernel(file)
        name, group = kernel.name.rpartition("/")[2], kernel.parent
        del group[name]
        if "link" in options:
            group[name] = options["link"]
        else:
            group.create_dataset(name, dtype="float32", **options)

    return change


BAD = {
    "a class of another module": ({"config": from_elsewhere}, "layers of Keras.*received intruder.Layer"),
    "a Lambda layer": ({"config": lambda_inside}, "layers of Keras, without code.*Lambda"),
    "a function of Python": ({"config": function("os", "system")}, "received os.function"),
    "a function that runs text": ({"config": function("builtins", "eval")}, "received builtins.function"),
    "a function that loads files": ({"config": function("keras.utils", "get_file")}, "received keras.utils.function"),
    "a layer of terabytes": ({"config": set_config("predictions", units=10**12)}, r"file has 4\d\d\."),
    "an unknown layer": ({"config": lambda c: layer(c, "pool").update(class_name="Pool3")}, "safe mode"),
    "weights of terabytes": (
        {"weights": replace_kernel(shape=(10**6, 10**6), chunks=(1000, 1000))},
        r"as many as declared.*\(1000000, 1000000\) in 0 bytes",
    ),
    "weights of another file": (
        {"weights": replace_kernel(shape=(3, 3, 3, 4), external=[("/etc/passwd", 0, 432)])},
        "numbers that lie in the file",
    ),
    "a link to another file": ({"weights": replace_kernel(link=h5py.ExternalLink("/etc/passwd", "/"))}, "ExternalLink"),
    "a link within": ({"weights": replace_kernel(link=h5py.SoftLink("/layers"))}, "SoftLink"),
    "too few weights": ({"weights": drop_weights}, "weights of .* parameters"),
    "no layers": ({"config": lambda config: {"class_name": "Functional"}}, "safe mode"),
    "a list": ({"config": lambda config: [1, 2, 3]}, "safe mode"),
    "text without end": ({"config": lambda config: {"a": " " * 2**26}}, "config.json of at most 67,108,864 bytes"),
    "text that is a bomb": (
        {"config": lambda config: {"a": " " * 10**7}, "compression": zipfile.ZIP_DEFLATED},
        r"parts of a plausible size; received 10,\d+,\d+ bytes",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_keras_files_that_are_not_what_they_seem(tiny_cnn, tmp_path, monkeypatch, kind):
    """The error is one, names the file, and comes before code of the file's choice is imported."""
    (tmp_path / "intruder.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(tmp_path)
    change, message = BAD[kind]
    path = tmp_path / "bad.keras"
    tiny_cnn.save(path)
    rewritten(path, **change)
    with pytest.raises(ValueError, match=message) as caught:
        viz.load_network(path)
    assert str(path) in str(caught.value) and "intruder" not in sys.modules


class Intruder:
    def __reduce__(self):
        return os.mkdir, (self.path,)


def contents(tmp_path):
    """{name: (bytes of a file, what is said of it)}"""
    intruder = Intruder()
    intruder.path = str(tmp_path / "executed")
    return {
        "empty.keras": (b"", "zip archive"),
        "text.keras": (b"a text\n" * 99, "zip archive"),
        "pickle.keras": (pickle.dumps(intruder), "zip archive"),
        "pickle.pkl": (pickle.dumps(intruder), r"ends in \.keras or \.h5; received pickle.pkl. Keras writes one"),
        "model.h5": (b"\x89HDF\r\n\x1a\n", "model.h5 gave: .*open file"),
        "vgg16": (b"", r"ends in \.keras"),
    }


@pytest.mark.parametrize("name", contents(Path()))
def test_files_of_other_kinds(tmp_path, name):
    content, message = contents(tmp_path)[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        viz.load_network(tmp_path / name)
    assert [x.name for x in tmp_path.iterdir()] == [name]


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="'mini', 'vgg16'.*nothing.keras"):
        viz.load_network(tmp_path / "nothing.keras")
    (tmp_path / "model.keras").mkdir()
    with pytest.raises(ValueError, match="received the folder"):
        viz.load_network(tmp_path / "model.keras")


def test_what_a_model_needs_not_is_not_unpacked(tiny_cnn, tmp_path):
    tiny_cnn.save(tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/zeros", bytes(2 * 10**7))
    with pytest.raises(ValueError, match=r"a.keras gave: .* parts of a plausible size; received 20,\d+,\d+ bytes"):
        viz.load_network(tmp_path / "a.keras")


@pytest.mark.parametrize("names", [[], ["config.json", "config.json"]])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_without_its_config_or_with_two(tiny_cnn, tmp_path, names):
    tiny_cnn.save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as whole, zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        for name in [*names, "metadata.json", "model.weights.h5"]:
            archive.writestr(name, whole.read(name))
    with pytest.raises(ValueError, match=r"expected one file config\.json in the archive; received \["):
        viz.load_network(tmp_path / "a.keras")


@pytest.mark.parametrize("part", [0.3, 0.6, 0.999])
def test_a_truncated_file(tiny_cnn, tmp_path, part):
    tiny_cnn.save(tmp_path / "a.keras")
    content = (tmp_path / "a.keras").read_bytes()
    (tmp_path / "a.keras").write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match="zip archive.*a.keras"):
        viz.load_network(tmp_path / "a.keras")


def test_a_damaged_file(tiny_cnn, tmp_path):
    """A byte of the weights that flipped on the way: the archive's checksum says so."""
    tiny_cnn.save(tmp_path / "a.keras")
    content = bytearray((tmp_path / "a.keras").read_bytes())
    content[content.index(b"\x89HDF") + 9000] ^= 1
    (tmp_path / "a.keras").write_bytes(content)
    with pytest.raises(ValueError, match="a.keras gave: .*CRC"):
        viz.load_network(tmp_path / "a.keras")


def dense(*shapes):
    inputs = [keras.Input(shape) for shape in shapes]
    flat = [layers.Flatten()(x) for x in inputs]
    return keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(flat) if len(flat) > 1 else flat[0]))


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize(
    "shapes, message",
    [
        ([(8,)], r"one input of images \(n, height, width, 3\) or \(n, .*, 1\); received \[\(None, 8\)\]"),
        ([(6, 6, 2)], r"received \[\(None, 6, 6, 2\)\]"),
        ([(6, 6, 4)], r"received \[\(None, 6, 6, 4\)\]"),
        ([(3, 6, 6)], r"received \[\(None, 3, 6, 6\)\]"),
        ([(6, 6, 3), (6, 6, 3)], r"one input .*given=.*received inputs {.*: \(None, 6, 6, 3\), .*: \(None, 6, 6, 3\)}"),
    ],
)
def test_models_that_do_not_take_images(tmp_path, shapes, message, saved):
    source = dense(*shapes)
    if saved:
        source.save(tmp_path / "model.keras")
        source = tmp_path / "model.keras"
    with pytest.raises(ValueError, match=message):
        viz.load_network(source)


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    "source, message",
    [
        (7, "functional or sequential Keras model; received 7"),
        (None, "received None"),
        (layers.Dense(2), "received <Dense"),
        (Subclassed(), "functional or sequential Keras model; received <Subclassed"),
        (keras.Sequential([layers.Dense(2)], name="late"), r"received 'late', which does after model.build"),
    ],
)
def test_sources_that_are_no_graph(source, message):
    with pytest.raises(ValueError, match=message):
        viz.load_network(source)


def test_a_users_file_with_its_own_preprocessing(tmp_path):
    """Pixels to 255, normalised by the mean and deviation of the user's images, turned over while training only."""
    rng = np.random.default_rng(0)
    theirs = rng.integers(0, 256, (20, 8, 8, 3)).astype("float32")
    images = rng.random((3, 8, 8, 3)).astype("float32")
    normalise = layers.Normalization()
    normalise.adapt(theirs)
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Rescaling(0.5), layers.Rescaling(2.0), normalise])
    for x in (layers.RandomFlip(), layers.Conv2D(4, 3, name="conv"), layers.LeakyReLU(), layers.Flatten(),
              layers.Dropout(0.5), layers.Dense(3, activation="softmax")):  # fmt: skip
        model.add(x)
    model.compile("adam", "mse")
    model.save(tmp_path / "user.keras")
    net = viz.load_network(tmp_path / "user.keras", preprocess=lambda x: x * 255, classes="abc")
    mean, deviation = theirs.mean((0, 1, 2)), theirs.std((0, 1, 2))
    kernel, bias = model.get_layer("conv").get_weights()
    windows = np.lib.stride_tricks.sliding_window_view((images * 255 - mean) / deviation, (3, 3), (1, 2))
    expected = np.einsum("nijcab,abco->nijo", windows, kernel) + bias
    np.testing.assert_allclose(net.activations(images, ["conv"])["conv"], expected, atol=1e-4)
    scores = np.exp(net.scores(images).astype(float))
    np.testing.assert_allclose(scores / scores.sum(1, keepdims=True), model.predict(images * 255, verbose=0), atol=1e-6)


def test_registered_layers_of_ones_own(tmp_path):
    @keras.saving.register_keras_serializable("test_loaders")
    class Twice(layers.Layer):
        def call(self, x):
            return x * 2

    image = keras.Input((6, 6, 3))
    keras.Model(image, layers.Conv2D(1, 1, name="conv")(Twice(name="twice")(image))).save(tmp_path / "own.keras")
    images = np.random.default_rng(0).random((2, 6, 6, 3)).astype("float32")
    net = viz.load_network(tmp_path / "own.keras")
    np.testing.assert_array_equal(net.activations(images, ["twice"])["twice"], images * 2)


def test_the_names_of_imagenet_are_those_of_keras():
    """The JSON that Keras downloads, made anew from the file in the package, has the hash that Keras checks."""
    rows = {str(i): [*entry] for i, entry in enumerate(SYNSETS.items())}
    assert hashlib.md5(json.dumps(rows).encode()).hexdigest() == "c2c37ea517e94d9795004a39431a14cb"
    names = imagenet_classes()
    assert len(names) == 1000 and names[0] == "tench" and names[1] == "goldfish" and names[-1] == "toilet_tissue"


def test_names_that_two_classes_have(tiny_cnn):
    net = viz.Network(tiny_cnn, classes=("crane", "dog", "crane"))
    assert net.class_index("dog") == net.class_index(1) == 1 and net.class_index(2) == 2
    with pytest.raises(ValueError, match=r"one of the positions \[0, 2\].*received 'crane'"):
        net.class_index("crane")
    for unknown in (3, -1, "cat"):
        with pytest.raises(ValueError, match=f"crane, dog, crane; received {unknown!r}"):
            net.class_index(unknown)


@pytest.fixture(scope="module")
def vgg16():
    keras.utils.set_random_seed(0)
    return keras.applications.VGG16(weights=None)


def test_imagenet_vgg16_is_preprocess_input_and_the_keras_model(vgg16, monkeypatch):
    """Random weights in place of those of ImageNet: names, class scores, convolutions at any size."""
    monkeypatch.setattr(keras.applications, "VGG16", lambda weights: vgg16 if weights == "imagenet" else None)
    images = np.random.default_rng(0).random((1, 224, 224, 3)).astype("float32")
    net = viz.load_network("vgg16")
    assert net.classes == tuple(imagenet_classes()) and net.image_size == 224 and net.class_index("goldfish") == 1
    received = net.features(("block1_conv2", "block5_conv3", "scores"))(images)
    part = keras.Model(vgg16.inputs, [vgg16.get_layer(x).output for x in ("block1_conv2", "block5_conv3")])
    theirs = keras.applications.vgg16.preprocess_input(images * 255)
    for name, expected in zip(("block1_conv2", "block5_conv3"), part(theirs), strict=True):
        np.testing.assert_allclose(received[name], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    softmax = keras.ops.softmax(received["scores"])
    np.testing.assert_allclose(softmax, vgg16(theirs), rtol=1e-4)

    size = viz.load_network("vgg16", size=40)
    convolutions = keras.applications.vgg16.VGG16(weights=None, include_top=False, input_shape=(40, 40, 3))
    convolutions.set_weights(vgg16.get_weights()[:26])
    small = images[:, :40, :40]
    expected = convolutions(vgg_preprocess(small))
    np.testing.assert_allclose(size.features(("block5_pool",))(small)["block5_pool"], expected, rtol=1e-4)
    with pytest.raises(ValueError, match="images of 224 px, which fc1 is made for; received a size of 40 px"):
        size.activations(small, ["fc1"])
    enlarged = keras.ops.image.resize(small, (224, 224), antialias=True)
    np.testing.assert_allclose(keras.ops.softmax(size.scores(small)), vgg16(vgg_preprocess(enlarged)), rtol=1e-3)


def test_classes_stand_in_a_text_file_beside_the_model(tiny_cnn, tmp_path):
    path, names = tmp_path / "model.keras", tmp_path / "model.txt"
    tiny_cnn.save(path)
    assert viz.load_network(path).classes == ()
    names.write_text("house\n\ncat \nfish\n", "utf-8")
    assert viz.load_network(path).classes == ("house", "cat", "fish")
    assert viz.load_network(path, classes=["a", "b", "c"]).classes == ("a", "b", "c")
    names.write_text("house\n", "utf-8")
    with pytest.raises(ValueError, match="a class name for each of the 3 outputs; received 1"):
        viz.load_network(path)
    names.write_bytes(b"\xff\n")
    with pytest.raises(ValueError, match="class names in UTF-8"):
        viz.load_network(path)
    names.write_bytes(b"a\n" * 2**20)
    with pytest.raises(ValueError, match="at most 1048576 bytes; received 2097152"):
        viz.load_network(path)
