"""Collecting: the right values, whatever interrupts it, and nothing mixed up."""

import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from vizlib import store as store_module
from vizlib.collect import collect
from vizlib.network import Network
from vizlib.statistics import ImageStatistics, PCAGaussian
from vizlib.store import BLOCK, StatsStore

N = 2 * BLOCK + 6  # two whole blocks and a part of one
LAYERS = ("conv2", "pool", "scores")
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 6, 6, 3), "uint8")


@pytest.fixture
def net(tiny_cnn):
    return Network(tiny_cnn, None, ["a", "b", "c"])


class Linear:
    """A stand-in for a network, quick to make and to run."""

    image_size, fingerprint, model = 6, "f" * 64, SimpleNamespace(name="linear")

    def check_layer(self, name):
        assert name in ("near", "far")

    def is_rectified(self, name):
        return name == "near"

    def activations(self, images, names):
        factors = {"near:pre": -3, "far": 7}
        return {name: images[:, ::2] * np.float32(factors[name]) for name in names}


def contents(path):
    """Everything in a file, but not where in the file it lies."""
    found = {}

    def visit(name, item):
        found[name] = {key: str(value) for key, value in item.attrs.items()}
        if isinstance(item, h5py.Dataset):
            found[name] = item.dtype, item.shape, item[()].tobytes()

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    return found


def collected(path, net, images=IMAGES, layers=LAYERS):
    with StatsStore(path) as store:
        collect(net, images, "cat", layers, store, progress=False)
    return contents(path)


def test_values_and_statistics(tmp_path, net):
    found = collected(tmp_path / "stats.h5", net)
    pre = net.activations(IMAGES, ["conv2:pre"])["conv2:pre"]
    rest = net.activations(IMAGES, ["conv2", "pool", "scores"])
    with StatsStore(tmp_path / "stats.h5", "r") as store:
        assert store.layers("cat") == ("image", *LAYERS)
        np.testing.assert_array_equal(store.activations("cat", "conv2"), pre)
        np.testing.assert_array_equal(np.maximum(store.activations("cat", "conv2"), 0), rest["conv2"])
        np.testing.assert_array_equal(store.activations("cat", "pool"), rest["pool"])
        np.testing.assert_array_equal(store.activations("cat", "scores"), rest["scores"])
        np.testing.assert_array_equal(store.activations("cat", "image"), IMAGES / np.float32(255))

        assert [store.model("cat", layer).rectify for layer in LAYERS] == [True, False, False]
        np.testing.assert_array_equal(
            store.model("cat", "conv2").sample(3), PCAGaussian(rectify=True).fit(pre).sample(3)
        )
        image = store.model("cat", "image")
        np.testing.assert_array_equal(
            image.std_["edge_sharpness"], ImageStatistics().fit(IMAGES).std_["edge_sharpness"]
        )
    for layer in LAYERS:
        assert f"cat/{layer}/PCAGaussian/components_" in found  # kept, not only fitted when asked for


def test_images_are_kept_as_they_are(tmp_path, net):
    smooth = np.random.default_rng(0).random((5, 6, 6, 3), "float32")
    same = IMAGES / np.float32(255)
    assert collected(tmp_path / "a.h5", net, smooth)["cat/image/values"] == (
        np.dtype("f4"),
        smooth.shape,
        smooth.tobytes(),
    )
    assert collected(tmp_path / "b.h5", net, same) == collected(tmp_path / "c.h5", net, IMAGES)
    assert contents(tmp_path / "b.h5")["cat/image/values"] == (np.dtype("u1"), IMAGES.shape, IMAGES.tobytes())


@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_collection_goes_on(tmp_path, net, monkeypatch, blocks, error):
    seen = []

    def activations(images, names):
        if len(seen) == blocks:
            raise error
        seen.append(len(images))
        return Network.activations(net, images, names)

    monkeypatch.setattr(net, "activations", activations)
    with pytest.raises(error):
        collected(tmp_path / "stats.h5", net)
    monkeypatch.setattr(net, "activations", lambda *args: seen.append(len(args[0])) or Network.activations(net, *args))
    assert collected(tmp_path / "stats.h5", net) == collected(tmp_path / "whole.h5", net)
    assert seen[:3] == [BLOCK, BLOCK, 6]  # no block twice


def test_interrupted_at_any_line(tmp_path):
    """Whichever line of the store and of h5py's Python code an interrupt hits, the same call completes the file."""
    net, images = Linear(), IMAGES[: BLOCK + 2]
    files = (store_module.__file__, sys.modules["vizlib.collect"].__file__, sys.modules["h5py._hl.attrs"].__file__)
    whole = collected(tmp_path / "whole.h5", net, images, ("near", "far"))
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
            with StatsStore(path) as store:
                collect(net, images, "cat", ("near", "far"), store, progress=False)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        return limit - lines

    total = lines_used(tmp_path / "count.h5", 10**9)
    for limit in np.random.default_rng(0).integers(1, total, 20):
        path = tmp_path / f"{limit}.h5"
        assert lines_used(path, limit) == limit
        assert collected(path, net, images, ("near", "far")) == whole, f"after {limit} of {total} lines"


def test_nothing_left_to_do(tmp_path, net, monkeypatch):
    before = collected(tmp_path / "stats.h5", net)
    monkeypatch.setattr(net, "activations", None)
    monkeypatch.setattr(PCAGaussian, "fit", None)
    content = (tmp_path / "stats.h5").read_bytes()
    assert collected(tmp_path / "stats.h5", net) == before
    assert (tmp_path / "stats.h5").read_bytes() == content


def test_layers_are_added_without_repeating_others(tmp_path, net, monkeypatch):
    asked = []
    monkeypatch.setattr(
        net, "activations", lambda *args: asked.append(tuple(args[1])) or Network.activations(net, *args)
    )
    collected(tmp_path / "stats.h5", net, layers=["image", "pool"])
    assert set(asked) == {("pool",)}
    asked.clear()
    collected(tmp_path / "stats.h5", net, layers=["pool", "conv2", "scores", "conv2"])
    assert asked == [("conv2:pre", "scores")] * 3
    assert contents(tmp_path / "stats.h5") == collected(tmp_path / "once.h5", net)


def test_classes_side_by_side(tmp_path, net):
    with StatsStore(tmp_path / "stats.h5") as store:
        collect(net, IMAGES[:10], "cat", ["pool"], store, progress=False)
        collect(net, IMAGES[10:30], "dog", ["pool"], store, progress=False)
        assert store.classes == ("cat", "dog")
        np.testing.assert_array_equal(store.activations("cat", "image"), IMAGES[:10] / np.float32(255))
        np.testing.assert_array_equal(store.activations("dog", "image"), IMAGES[10:30] / np.float32(255))


@pytest.mark.parametrize(
    "others", [IMAGES[::-1], IMAGES[:-1], np.concatenate([IMAGES, IMAGES[:1]]), IMAGES ^ (IMAGES > 254)]
)
def test_other_images_under_the_same_name_are_refused(tmp_path, net, others):
    path = tmp_path / "stats.h5"
    before = collected(path, net, layers=["pool"])
    message = rf"the {N} images that 'cat' .* received {len(others)} others.* store.delete\('cat'\)"
    with pytest.raises(ValueError, match=message):
        collected(path, net, others, ["pool"])
    assert contents(path) == before
    with StatsStore(path) as store:
        store.delete("cat")
    assert collected(path, net, others, ["pool"])["cat/image/values"][2] == others.tobytes()


def test_statistics_of_another_network_are_refused(tmp_path, net, tiny_cnn):
    path = tmp_path / "stats.h5"
    before = collected(path, net, layers=["pool"])
    inverted = Network(tiny_cnn, lambda images: 1 - images, ["a", "b", "c"])
    with pytest.raises(ValueError, match="expected the network that .*stats.h5 was collected with"):
        collected(path, inverted, layers=["conv1"])
    tiny_cnn.set_weights([weight + 1 for weight in tiny_cnn.get_weights()])
    with pytest.raises(ValueError, match="of fingerprint .* received .* of fingerprint"):
        collected(path, Network(tiny_cnn, None, ["a", "b", "c"]), layers=["conv1"])
    assert contents(path) == before


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": IMAGES[:, :5]}, r"shape \(n ≥ 2, 6, 6, 3\); received \(70, 5, 6, 3\)"),
        ({"images": IMAGES[:1]}, r"n ≥ 2.* received \(1, 6"),
        ({"images": IMAGES * 2.0}, "received values from 0 to 510"),
        ({"layers": ["conv9"]}, "received 'conv9'"),
        ({"layers": ["conv2:pre"]}, "received 'conv2:pre'"),
        ({"class_name": "a/b"}, "no '/'; received 'a/b'"),
    ],
)
def test_calls_that_do_not_fit_leave_nothing_behind(tmp_path, net, change, message):
    with StatsStore(tmp_path / "stats.h5") as store:
        with pytest.raises(ValueError, match=message):
            collect(net, store=store, progress=False, **{"images": IMAGES, "class_name": "cat", "layers": []} | change)
        assert not store.classes and set(store.file.attrs) == {"format"}


def test_a_store_opened_to_read(tmp_path, net):
    collected(tmp_path / "stats.h5", net, layers=[])
    with StatsStore(tmp_path / "stats.h5", "r") as store, pytest.raises(ValueError, match="mode 'a'; .* mode 'r'"):
        collect(net, IMAGES, "cat", ["pool"], store, progress=False)


def test_progress_is_shown(tmp_path, net, capsys):
    with StatsStore(tmp_path / "stats.h5") as store:
        collect(net, IMAGES, "cat", ["pool"], store)
        assert f"{N}/{N}" in capsys.readouterr().err
        collect(net, IMAGES, "dog", ["pool"], store, progress=False)
        assert not capsys.readouterr().err
