"""Collecting: the right values, whatever interrupts it, and nothing mixed up."""

import errno
import os
import sys
import threading
import time
import tracemalloc
import warnings
from types import SimpleNamespace

import filelock
import h5py
import numpy as np
import pytest
from linear import Linear

from vizlib.networks import Network
from vizlib.statistics import (
    GaussianCopula,
    ImageStatistics,
    Marginals,
    Moments,
    QuiltedGaussian,
    Snapshots,
    streaming,
)
from vizlib.store import StatsStore, collect, fitting, hdf5, sources, spool

BLOCK = fitting.MOST
N = 2 * BLOCK + 6  # two whole blocks and a part of one
LAYERS = ("conv2", "pool", "scores")
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 6, 6, 3), "uint8")


@pytest.fixture
def net(tiny_cnn):
    return Network(tiny_cnn, None, ["a", "b", "c"])


def contents(path):
    """Everything in a store, but not when it was written nor where in a file it lies."""
    found = {}
    for path_of_file in sorted(path.rglob("*.h5")):
        name = path_of_file.relative_to(path).as_posix()

        def visit(inside, item, name=name):
            found[name, inside] = {key: str(value) for key, value in item.attrs.items() if key != "time"}
            if isinstance(item, h5py.Dataset):
                found[name, inside] = item.dtype, item.shape, item[()].tobytes()

        with h5py.File(path_of_file) as file:
            visit("/", file)
            file.visititems(visit)
    return found


def collected(path, net, images=IMAGES, layers=LAYERS, **options):
    collect(StatsStore(path, net), images, "cat", layers, progress=False, **options)
    assert sorted(os.listdir(path)) == ["cat", "network.json"]  # nothing that was on disk meanwhile is left
    assert set(os.listdir(path / "cat")) <= {".lock", "images.h5", "layers"}
    return contents(path)


def kept(found):
    return sorted(name for name, inside in found if inside == "activations")


def count_predictions(monkeypatch, net, before=lambda n: None):
    """Make the network say how many images it sees, and with which layers; `before` is called with the count so far."""
    seen, batches = [], net.batches

    def counting(images, names, size=None):
        before(len(seen))
        seen.append((len(images), tuple(names)))
        return batches(images, names, size)

    monkeypatch.setattr(net, "batches", counting)
    return seen


def same_state(ours, theirs):
    theirs = theirs.state()
    assert ours.state().keys() == theirs.keys()
    for name, value in ours.state().items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def test_values_and_statistics(tmp_path, net):
    collected(tmp_path / "stats", net)
    pre = net.activations(IMAGES, ["conv2:pre"])["conv2:pre"]
    rest = net.activations(IMAGES, ["conv2", "pool", "scores"])
    store = StatsStore(tmp_path / "stats", net)
    assert store.collected("cat") == dict(zip(("image", *LAYERS), (True, True, True, True), strict=True))
    real = {"conv2": pre, "pool": rest["pool"], "scores": rest["scores"]}
    for layer, values in real.items():
        np.testing.assert_allclose(store.activations("cat", layer), values, rtol=2**-11)
        same_state(store.model("cat", layer, "Snapshots"), Snapshots(layer == "conv2").fit(values))
        same_state(store.model("cat", layer, "Moments"), Moments().fit(values))
        same_state(store.model("cat", layer, "Marginals"), Marginals.from_state(Marginals().fit(values).state()))
    np.testing.assert_array_equal(store.activations("cat", "image"), IMAGES / np.float32(255))
    sample = store.model("cat", "conv2").sample(3)
    expected = QuiltedGaussian.from_state(Snapshots(True).fit(pre).state(), store.activations("cat", "conv2"))
    np.testing.assert_array_equal(sample, expected.sample(3))
    assert sample.min() == 0
    image = store.model("cat", "image")
    np.testing.assert_array_equal(image.std_["edge_sharpness"], ImageStatistics().fit(IMAGES).std_["edge_sharpness"])


def test_activations_are_kept_where_they_take_little_room_or_if_asked_for(tmp_path, net, monkeypatch):
    """6 × 6 × 3 values of an image: at most twice as many bytes are 108 values in float16."""
    layers = ["conv1", "conv2", "pool"]  # 144, 180 and 45 values
    monkeypatch.setattr(fitting, "KEPT", 2)
    found = collected(tmp_path / "stats", net, layers=layers)
    assert kept(found) == ["cat/layers/pool.h5"]
    every = collected(tmp_path / "kept", net, layers=layers, keep_activations=True)
    assert found.items() <= every.items() and len(every) == len(found) + 4  # and their exponents

    seen = count_predictions(monkeypatch, net)
    again = collected(tmp_path / "stats", net, layers=["conv2", "pool"], keep_activations=True)
    assert kept(again) == ["cat/layers/conv2.h5", "cat/layers/pool.h5"]
    assert {names for _, names in seen} == {("conv2:pre",)}
    seen.clear()
    assert kept(collected(tmp_path / "stats", net, layers=layers)) == kept(again) and not seen  # nor thrown away


@pytest.fixture(autouse=True)
def keep_most(monkeypatch):
    """Of these small layers all but the first would be too large to be kept."""
    monkeypatch.setattr(fitting, "KEPT", 10)


def test_what_is_not_kept_comes_from_the_network(tmp_path, net, monkeypatch):
    monkeypatch.setattr(fitting, "KEPT", 0)
    collected(tmp_path / "stats", net)
    store = StatsStore(tmp_path / "stats", net)
    pre = net.activations(IMAGES, ["conv2:pre"])["conv2:pre"]
    np.testing.assert_array_equal(store.activations("cat", "conv2"), pre)
    model = store.model("cat", "conv2", "Snapshots")
    np.testing.assert_allclose(model.inverse_transform(model.coordinates_), np.maximum(pre, 0), atol=1e-5)
    copula = store.model("cat", "conv2", "GaussianCopula")
    np.testing.assert_array_equal(copula.sample(2), GaussianCopula(rectify=True).fit(pre).sample(2))


def test_provenance(tmp_path, net):
    found = collected(tmp_path / "stats", net)
    for name, rectify in {"layers/conv2": "True", "layers/pool": "False"}.items():
        attributes = found[f"cat/{name}.h5", "/"]
        assert (attributes["n_images"], attributes["rectify"]) == (str(N), rectify)
        assert net.identity["weights"] in attributes["weights"] and "vizlib statistics" in attributes["format"]
    assert StatsStore(tmp_path / "stats").n_images("cat") == N


# Images from anywhere.


def test_images_are_kept_as_they_are(tmp_path, net):
    smooth = np.random.default_rng(0).random((5, 6, 6, 3), "float32")
    same, pixels = IMAGES / np.float32(255), ("cat/images.h5", "pixels")
    assert collected(tmp_path / "a", net, smooth)[pixels] == (np.dtype("f4"), smooth.shape, smooth.tobytes())
    assert collected(tmp_path / "b", net, same) == collected(tmp_path / "c", net, IMAGES)
    assert contents(tmp_path / "b")[pixels] == (np.dtype("u1"), IMAGES.shape, IMAGES.tobytes())
    assert collected(tmp_path / "d", net, list(same)) == contents(tmp_path / "b")
    mixed = np.concatenate([same, smooth])  # the first batches could be uint8
    assert collected(tmp_path / "e", net, mixed)[pixels][2] == mixed.tobytes()


class Sequence:
    """What a `keras.utils.PyDataset` is to those who iterate: it never says that it has ended."""

    num_batches = 6

    def __len__(self):
        return 6

    def __getitem__(self, i):
        return IMAGES[13 * i % 78 : 13 * i % 78 + 13], np.zeros(13)


def batches_of(kind, tmp_path):
    import tensorflow as tf

    if kind == "memmap":
        IMAGES.tofile(tmp_path / "raw")
        return np.memmap(tmp_path / "raw", "uint8", "r", shape=IMAGES.shape)
    if kind == "HDF5":
        file = h5py.File(tmp_path / "images.h5", "w")
        return file.create_dataset("images", data=IMAGES)
    if kind == "PyDataset":
        return Sequence()
    if kind == "generator":
        return (IMAGES[i : i + 9] for i in range(0, N, 9))
    if kind == "generator of images":
        return iter(IMAGES)
    if kind == "floats up to 255":
        return [IMAGES[i : i + 10].astype("float32") for i in range(0, N, 10)].__iter__()
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES.astype("float32"), np.arange(N))).batch(11)
    return dataset if kind == "tf.data with labels" else dataset.map(lambda x, y: tf.cast(x, "uint8"))


KINDS = ["memmap", "HDF5", "PyDataset", "generator", "generator of images", "floats up to 255", "tf.data",
         "tf.data with labels"]


@pytest.mark.parametrize("kind", KINDS)
def test_images_may_come_from_anything(tmp_path, net, kind):
    expected = collected(tmp_path / "whole", net)
    assert collected(tmp_path / "stats", net, batches_of(kind, tmp_path)) == expected
    assert collected(tmp_path / "stats", net, batches_of(kind, tmp_path)) == expected  # and are the same again


def test_a_keras_folder_of_images(tmp_path, net):
    import keras
    from PIL import Image

    for i, image in enumerate(IMAGES[:9]):
        (tmp_path / "images" / "cat").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "images" / "cat" / f"{i}.png")
    dataset = keras.utils.image_dataset_from_directory(
        tmp_path / "images", image_size=(6, 6), batch_size=4, shuffle=False, verbose=False
    )
    assert collected(tmp_path / "stats", net, dataset) == collected(tmp_path / "whole", net, IMAGES[:9])


@pytest.mark.parametrize("kind", ["memmap", "generator", "tf.data"])
def test_some_of_the_images(tmp_path, net, kind):
    some = collected(tmp_path / "a", net, batches_of(kind, tmp_path), n=12)
    assert some == collected(tmp_path / "b", net, IMAGES[:12])


def test_an_endless_generator(tmp_path, net):
    def endless():
        while True:
            yield IMAGES[:10]

    assert collected(tmp_path / "a", net, endless(), n=10) == collected(tmp_path / "b", net, IMAGES[:10])


@pytest.mark.parametrize(
    "images, n, message",
    [
        (IMAGES[:, :5], None, r"shape \(n ≥ 2, 6, 6, 3\); received \(70, 5, 6, 3\)"),
        (IMAGES[:1], None, r"n ≥ 2.* received \(1, 6"),
        (IMAGES[0], None, r"shape \(n, height, width, 3\); received \(6, 6, 3\)"),
        (IMAGES * 2.0, None, "received values from 0 to 510"),
        (np.where(np.arange(N) < N - 1, 0.5, np.nan)[:, None, None, None] * np.ones((6, 6, 3)), None, "nan"),
        (iter([IMAGES[:9] / 255, IMAGES[9:] * 1.0]), None, "received values from 0 to 255"),
        (iter([IMAGES[:9], IMAGES[9:, :5]]), None, r"n ≥ 2, 6, 6, 3\); received \(61, 5, 6, 3\)"),
        (iter([]), None, r"received \(0, 6, 6, 3\)"),
        (iter([IMAGES[:9]]), 12, "expected 12 images; received 9"),
        (IMAGES, N + 1, f"expected {N + 1} images; received {N}"),
        (3, None, "an array or an iterable of batches; received int"),
    ],
)
def test_images_that_do_not_fit_leave_nothing_behind(tmp_path, net, monkeypatch, images, n, message):
    seen = count_predictions(monkeypatch, net)
    store = StatsStore(tmp_path / "stats", net)
    with pytest.raises(ValueError, match=message):
        collect(store, images, "cat", LAYERS, n=n, progress=False)
    assert not store.classes and not seen and os.listdir(tmp_path / "stats") == ["network.json"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"layers": ["conv9"]}, "received 'conv9'"),
        ({"layers": ["conv2:pre"]}, "received 'conv2:pre'"),
        ({"class_name": ""}, "text that is not empty; received ''"),
        ({"class_name": "\ud800"}, "text that is not empty"),
        ({"class_name": None}, "received None"),
        ({"client": "a client"}, "a list of class names, each a task of the client; received 'cat'"),
    ],
)
def test_calls_that_do_not_fit_leave_nothing_behind(tmp_path, net, change, message):
    store = StatsStore(tmp_path / "stats", net)
    with pytest.raises(ValueError, match=message):
        collect(store, **{"images": IMAGES, "class_name": "cat", "layers": []} | change, progress=False)
    assert os.listdir(tmp_path) == []


def test_a_store_without_a_network(tmp_path):
    with pytest.raises(ValueError, match="received a store without its network"):
        collect(StatsStore(tmp_path / "stats"), IMAGES, "cat", ["pool"], progress=False)


# Interrupted, killed, on a full disk.


@pytest.mark.parametrize("memory", [0, 10**9])
@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_collection_goes_on(tmp_path, net, monkeypatch, memory, blocks, error):
    monkeypatch.setattr(spool, "MEMORY", memory)

    def interrupt(n):
        if n == blocks:
            raise error

    with monkeypatch.context() as patch, pytest.raises(error):
        count_predictions(patch, net, interrupt)
        collected(tmp_path / "stats", net)
    seen = count_predictions(monkeypatch, net)
    assert collected(tmp_path / "stats", net) == collected(tmp_path / "whole", net)
    assert [n for n, _ in seen] == [BLOCK, BLOCK, 6][blocks:] + [BLOCK, BLOCK, 6]  # no block twice


@pytest.mark.parametrize("memory", [0, 10**9])
@pytest.mark.parametrize("estimator", [ImageStatistics, Moments, Snapshots])
def test_an_interrupted_fit_goes_on(tmp_path, net, monkeypatch, estimator, memory):
    monkeypatch.setattr(spool, "MEMORY", memory)
    whole, calls = collected(tmp_path / "whole", net), []
    name = "fit" if estimator is ImageStatistics else "_begin"
    begin = getattr(estimator, name)

    def interrupted(self, X, *args):
        calls.append(X)
        if estimator is ImageStatistics or X.shape[1:] == (3, 3, 5):  # the second layer
            raise KeyboardInterrupt
        return begin(self, X, *args)

    path = tmp_path / "stats"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(estimator, name, interrupted)
        collected(path, net)
    store = StatsStore(path, net)  # what is done is done
    assert store.classes == () if estimator is ImageStatistics else store.layers("cat") == ("image", "conv2")
    seen = count_predictions(monkeypatch, net)
    assert collected(path, net) == whole
    assert len(seen) == (3 if estimator is ImageStatistics else 0)


def test_a_block_that_exists_but_is_damaged_is_not_done(tmp_path, net, monkeypatch):
    path = tmp_path / "stats"
    for i, damage in enumerate((lambda x: x[:-100], lambda x: x[:50] + b"!" + x[51:], lambda x: b"")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Snapshots, "_end", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
            collected(path, net)
        block = path / "cat" / "spool.part" / "pool" / "000001.block"
        block.write_bytes(damage(block.read_bytes()))
        seen = count_predictions(monkeypatch, net)
        assert collected(path, net) == collected(tmp_path / f"whole{i}", net)
        assert [n for n, _ in seen][:-3] == [BLOCK]
        monkeypatch.undo()
        monkeypatch.setattr(fitting, "KEPT", 10)
        StatsStore(path, net).delete("cat")


def test_interrupted_at_any_line(tmp_path):
    """Whichever line of collecting or of the store an interrupt hits, the same call completes the folder."""
    net, images = Linear(), IMAGES[: BLOCK + 2]
    names = ("collecting", "fitting", "sources", "spool", "files", "store", "hdf5")
    files = {sys.modules[f"vizlib.{name}"].__file__ for name in (*(f"store.{name}" for name in names), "_files")}
    whole = collected(tmp_path / "whole", net, images, ("near", "far"))
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        lines -= event == "line"
        if not lines:
            raise KeyboardInterrupt
        return trace

    def lines_used(path, limit):
        nonlocal lines
        lines = limit
        before = sys.gettrace()
        try:
            sys.settrace(trace)
            collect(StatsStore(path, net), images, "cat", ("near", "far"), progress=False)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        return limit - lines

    total = lines_used(tmp_path / "count", 10**9)
    for limit in np.random.default_rng(0).choice(np.arange(1, total), 30, replace=False):
        path = tmp_path / f"{limit}"
        assert lines_used(path, limit) == limit
        assert collected(path, net, images, ("near", "far")) == whole, f"after {limit} of {total} lines"


@pytest.mark.parametrize("where", ["images", "blocks", "layers"])
def test_a_full_disk(tmp_path, net, monkeypatch, where):
    monkeypatch.setattr(spool, "MEMORY", 0)

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        if where == "images":
            patch.setattr(sources, "open", full, raising=False)
        elif where == "blocks":
            patch.setattr(spool, "open", full, raising=False)
        else:
            write = hdf5.write_file
            patch.setattr(hdf5, "write_file", lambda path, fill: write(path, fill) if "images" in path.name else full())
        collect(StatsStore(tmp_path / "stats", net), IMAGES, "cat", LAYERS, progress=False)
    assert collected(tmp_path / "stats", net) == collected(tmp_path / "whole", net)


def test_nothing_left_to_do(tmp_path, net, monkeypatch):
    before = collected(tmp_path / "stats", net)
    seen = count_predictions(monkeypatch, net)
    monkeypatch.setattr(fitting, "_states", None)
    assert collected(tmp_path / "stats", net) == before and not seen


def test_what_a_kill_left_is_removed(tmp_path, net, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(spool.Spool, "remove", lambda self: None)
        collect(StatsStore(tmp_path / "stats", net), IMAGES, "cat", LAYERS, progress=False)
    assert (tmp_path / "stats" / "cat" / "spool.part").is_dir()
    (tmp_path / "stats" / "cat" / "layers" / "pool.h5.0123.part").touch()
    (tmp_path / "stats" / "cat" / "spool.0123.part").mkdir()
    seen = count_predictions(monkeypatch, net)
    collected(tmp_path / "stats", net)
    assert not seen


def test_layers_are_added_without_repeating_others(tmp_path, net, monkeypatch):
    seen = count_predictions(monkeypatch, net)
    collected(tmp_path / "stats", net, layers=["image", "pool"])
    assert seen == [(BLOCK, ("pool",)), (BLOCK, ("pool",)), (6, ("pool",))]
    seen.clear()
    collected(tmp_path / "stats", net, layers=["pool", "conv2", "scores", "conv2"])
    assert {names for _, names in seen} == {("conv2:pre", "scores")} and len(seen) == 3
    assert contents(tmp_path / "stats") == collected(tmp_path / "once", net)


def test_layers_may_change_between_an_interrupt_and_the_next_call(tmp_path, net, monkeypatch):
    path = tmp_path / "stats"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Snapshots, "_end", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        collected(path, net, layers=["conv1", "pool"])
    seen = count_predictions(monkeypatch, net)
    assert collected(path, net, layers=["pool"]) == collected(tmp_path / "pool", net, layers=["pool"])
    assert len(seen) == 3  # of the second store alone
    assert collected(path, net) == collected(tmp_path / "whole", net)


def test_classes_side_by_side(tmp_path, net):
    store = StatsStore(tmp_path / "stats", net)
    collect(store, IMAGES[:10], "cat", ["pool"], progress=False)
    collect(store, IMAGES[10:30], "..", ["pool"], progress=False)
    assert store.classes == ("..", "cat")
    np.testing.assert_array_equal(store.activations("cat", "image"), IMAGES[:10] / np.float32(255))
    np.testing.assert_array_equal(store.activations("..", "image"), IMAGES[10:30] / np.float32(255))
    assert [path.name for path in tmp_path.iterdir()] == ["stats"]


def test_many_classes(tmp_path, mini):
    """Each from the source, as `load_images` gives it."""
    import vizlib as viz

    store = StatsStore(tmp_path / "stats", mini)
    collect(store, "partworld", ["cat", "house"], ["block5_conv3"], n=6, progress=False)
    assert store.classes == ("cat", "house") and store.layers("house") == ("image", "block5_conv3")
    images = viz.load_images("partworld", "house", n=6)
    np.testing.assert_allclose(store.activations("house", "image"), images, atol=1e-6)
    with pytest.raises(ValueError, match="received 'dog'"):
        collect(store, "partworld", ["cat", "dog"], [], n=6, progress=False)


@pytest.mark.parametrize(
    "others", [IMAGES[::-1], IMAGES[:-1], np.concatenate([IMAGES, IMAGES[:1]]), IMAGES ^ (IMAGES > 254)]
)
def test_other_images_under_the_same_name_are_refused(tmp_path, net, others):
    path = tmp_path / "stats"
    before = collected(path, net, layers=["pool"])
    message = rf"expected .*{N} images.* received {len(others)} others.*store.delete\('cat'\)"
    with pytest.raises(ValueError, match=message):
        collected(path, net, others, ["pool"])
    assert contents(path) == before
    StatsStore(path, net).delete("cat")
    assert collected(path, net, others, ["pool"])["cat/images.h5", "pixels"][2] == others.tobytes()


def test_blocks_of_images_that_were_given_up_are_not_used(tmp_path, net, monkeypatch):
    path = tmp_path / "stats"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Snapshots, "_end", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        collected(path, net)
    (path / "cat" / "images.h5").unlink()
    assert collected(path, net, IMAGES[::-1]) == collected(tmp_path / "whole", net, IMAGES[::-1])


def test_statistics_of_another_network_are_refused(tmp_path, net, tiny_cnn):
    path = tmp_path / "stats"
    before, store = collected(path, net, layers=["pool"]), StatsStore(path, net)
    inverted = Network(tiny_cnn, lambda images: 1 - images, ["a", "b", "c"])
    with pytest.raises(ValueError, match="preprocessing"):
        collected(path, inverted, layers=["conv1"])
    tiny_cnn.set_weights([weight + 1 for weight in tiny_cnn.get_weights()])
    for act in (
        lambda: collected(path, net, layers=["conv1"]),  # the same object, trained on meanwhile
        lambda: collect(store, IMAGES, "dog", ["pool"], progress=False),
        lambda: collected(path, Network(tiny_cnn, None, ["a", "b", "c"]), layers=["conv1"]),
    ):
        with pytest.raises(ValueError, match="weights .* trained since"):
            act()
    assert contents(path) == before


def test_a_nested_model_and_names_of_its_own(tmp_path):
    """Layers called "base/conv", "image#2" and "scores#2" are collected as any other."""
    import keras
    from keras import layers

    inner = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(2, 3, name="conv")], name="base")
    x = image = keras.Input((6, 6, 3))
    x = layers.Conv2D(3, 1, name="image")(inner(x))
    model = keras.Model(image, layers.Dense(2, name="predictions")(layers.Flatten()(layers.ReLU(name="scores")(x))))
    net, names = Network(model), ["base/conv", "image#2", "scores#2", "scores"]
    store = StatsStore(tmp_path / "stats", net)
    collect(store, IMAGES, "cat", [*names, "image"], progress=False)
    assert store.layers("cat") == ("image", *names)
    real = net.activations(IMAGES, names)
    np.testing.assert_allclose(store.activations("cat", "image#2"), real["image#2"], rtol=1e-3)
    np.testing.assert_allclose(store.model("cat", "base/conv", "Moments").mean_, real["base/conv"].mean(0), atol=1e-6)


def test_a_cell_that_is_run_twice_makes_the_same_network(tmp_path):
    """Keras counts its automatic names on, which makes no other network of it."""
    import keras
    from keras import layers

    def cell():
        keras.utils.set_random_seed(0)
        return Network(keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(2, 3), layers.Flatten()]))

    first, again = cell(), cell()
    assert first.layers != again.layers
    collect(StatsStore(tmp_path / "stats", first), IMAGES, "cat", first.layers[:1], progress=False)
    store = StatsStore(tmp_path / "stats", again)
    assert store.layers("cat") == ("image", again.layers[0])
    collect(store, IMAGES, "cat", again.layers, progress=False)
    assert store.layers("cat") == ("image", *again.layers)
    assert StatsStore(tmp_path / "stats", first).layers("cat") == ("image", *first.layers)


# Beside others.


def test_another_process_is_waited_for(tmp_path, net):
    store = StatsStore(tmp_path / "stats", net)
    collect(store, IMAGES, "dog", ["pool"], progress=False)
    (tmp_path / "stats" / "cat").mkdir()
    held, ended = threading.Event(), []

    def other():
        with filelock.FileLock(tmp_path / "stats" / "cat" / ".lock"):
            held.set()
            time.sleep(1)
            ended.append(store.classes)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    with pytest.warns(UserWarning, match="another process collects 'cat': waiting until it has ended"):
        collect(store, IMAGES, "cat", ["pool"], progress=False)
    assert ended == [("dog",)] and store.layers("cat") == ("image", "pool")
    thread.join()


@pytest.mark.parametrize("number", [37, 9, 524, 77, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_that_knows_no_locks(tmp_path, net, monkeypatch, number):
    """ENOLCK, EBADF, ENOTSUPP and EBADFD are what network drives answer."""

    def fails(self, *args, **options):
        raise OSError(number, "no locks here")

    with monkeypatch.context() as patch:
        patch.setattr(filelock.FileLock, "acquire", fails)
        with pytest.warns(UserWarning, match="knows no locks .* let no other process collect 'cat'") as caught:
            found = collected(tmp_path / "stats", net)
    assert len([w for w in caught if "locks" in str(w.message)]) == 1
    assert found == collected(tmp_path / "whole", net)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_is_not_to_be_written_to(tmp_path, net, monkeypatch, number):
    def fails(self, *args, **options):
        raise OSError(number, os.strerror(number))

    before = collected(tmp_path / "stats", net, layers=["pool"])
    with monkeypatch.context() as patch:
        patch.setattr(filelock.FileLock, "acquire", fails)
        with pytest.raises(OSError, match="expected a folder to write to; received: "):
            collected(tmp_path / "stats", net)
    assert contents(tmp_path / "stats") == before


def test_progress_is_shown(tmp_path, net, capsys, monkeypatch):
    monkeypatch.setattr("vizlib._progress.EVERY", 0)
    store = StatsStore(tmp_path / "stats", net)
    collect(store, IMAGES, "cat", ["pool"])
    assert f"cat: images: {N} of {N}, " in (told := capsys.readouterr().err) and "cat: statistics: 1 of 1, " in told
    collect(store, IMAGES, "dog", ["pool"], progress=False)
    assert not capsys.readouterr().err


class Wide(Linear):
    """40,500 values for each image."""

    weights = np.linspace(-1, 1, 2250, dtype="float32")

    def graph(self):
        return None, SimpleNamespace(tensors={"far": np.empty((1, 40, 300, 3))}, tokens=set())

    def features(self, names):
        return SimpleNamespace(output={name: np.empty((1, 54, 250, 3)) for name in names})

    def batches(self, images, names, size):
        for rows, activations in super().batches(images, names, size):
            yield rows, {name: (x[..., :1] * self.weights).reshape(-1, 54, 250, 3) for name, x in activations.items()}


def test_memory_does_not_grow_with_the_images(tmp_path, monkeypatch):
    """320 images in place of 64 have 41 MB more of activations, of which memory sees almost nothing."""
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 2**22)
    monkeypatch.setattr(streaming, "DOUBLE", 0)
    monkeypatch.setattr(spool, "MEMORY", 2**21)
    monkeypatch.setattr(fitting, "KEPT", 0)
    peaks = []
    for n in (64, 64, 320):  # the first warms up
        images = np.random.default_rng(n).integers(0, 256, (n, 6, 6, 3), "uint8")
        tracemalloc.start()
        collected(tmp_path / f"{len(peaks)}", Wide(), images, ["far"])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 8e6, peaks


def test_nothing_warns(tmp_path, net):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collected(tmp_path / "stats", net)
