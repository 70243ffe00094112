"""Collecting: the right values, whatever interrupts it, and nothing mixed up."""

import sys
import tracemalloc
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from linear import Linear

from vizlib.networks.network import Network
from vizlib.statistics import PCA, ImageStatistics, Moments, QuiltedGaussian
from vizlib.store import blocks as blocks_module
from vizlib.store.blocks import BLOCK
from vizlib.store.collecting import collect
from vizlib.store.locks import writer
from vizlib.store.store import StatsStore

N = 2 * BLOCK + 6  # two whole blocks and a part of one
LAYERS = ("conv2", "pool", "scores")
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 6, 6, 3), "uint8")


@pytest.fixture
def net(tiny_cnn):
    return Network(tiny_cnn, None, ["a", "b", "c"])


def contents(path):
    """Everything in a store, but not when it was written nor where in the file it lies."""
    found = {}

    def visit(name, item):
        found[name] = {key: str(value) for key, value in item.attrs.items() if key not in ("time", "unused")}
        if isinstance(item, h5py.Dataset):
            found[name] = item.dtype, item.shape, item[()].tobytes()

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    return found


def collected(path, net, images=IMAGES, layers=LAYERS, **options):
    with StatsStore(path) as store:
        collect(net, images, "cat", layers, store, progress=False, **options)
    assert list(path.parent.glob(f"{path.name}.*")) == []  # nothing that was on disk meanwhile is left
    return contents(path)


def count_predictions(monkeypatch, net, before=lambda n: None):
    """Make the network say how many images it sees, and with which layers; `before` is called with the count so far."""
    seen = []
    features = net.features

    def counting(names):
        model = features(names)

        class Counting:
            output = model.output

            def predict_on_batch(self, images):
                before(len(seen))
                seen.append((len(images), names))
                return model.predict_on_batch(images)

        return Counting()

    monkeypatch.setattr(net, "features", counting)
    return seen


def same_state(ours, theirs):
    theirs = theirs.state()
    assert ours.state().keys() == theirs.keys()
    for name, value in ours.state().items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def test_values_and_statistics(tmp_path, net):
    collected(tmp_path / "stats.h5", net, keep_activations=True)
    pre = net.activations(IMAGES, ["conv2:pre"])["conv2:pre"]
    rest = net.activations(IMAGES, ["conv2", "pool", "scores"])
    with StatsStore(tmp_path / "stats.h5", "r") as store:
        assert store.collected("cat") == dict.fromkeys(("image", *LAYERS), True)
        np.testing.assert_array_equal(store.activations("cat", "conv2"), pre)
        np.testing.assert_array_equal(np.maximum(store.activations("cat", "conv2"), 0), rest["conv2"])
        np.testing.assert_array_equal(store.activations("cat", "pool"), rest["pool"])
        np.testing.assert_array_equal(store.activations("cat", "scores"), rest["scores"])
        np.testing.assert_array_equal(store.activations("cat", "image"), IMAGES / np.float32(255))

        for layer, values in {"conv2": pre, "pool": rest["pool"], "scores": rest["scores"]}.items():
            same_state(store.model("cat", layer, "PCA"), PCA(rectify=layer == "conv2").fit(values))
            same_state(store.model("cat", layer, "Moments"), Moments().fit(values))
        sample = store.model("cat", "conv2").sample(3)
        np.testing.assert_array_equal(sample, QuiltedGaussian(rectify=True).fit(pre).sample(3))
        assert sample.min() == 0
        image = store.model("cat", "image")
        np.testing.assert_array_equal(
            image.std_["edge_sharpness"], ImageStatistics().fit(IMAGES).std_["edge_sharpness"]
        )


def test_activations_are_kept_only_if_asked_for(tmp_path, net, monkeypatch):
    found = collected(tmp_path / "stats.h5", net)
    assert [name for name in found if name.endswith("/activations")] == ["cat/image/activations"]
    kept = collected(tmp_path / "kept.h5", net, keep_activations=True)
    assert found.items() <= kept.items() and len(kept) == len(found) + len(LAYERS)

    seen = count_predictions(monkeypatch, net)
    assert collected(tmp_path / "stats.h5", net, layers=["pool"], keep_activations=True).keys() == (
        found.keys() | {"cat/pool/activations"}
    )
    assert {names for _, names in seen} == {("pool",)}
    seen.clear()
    collected(tmp_path / "stats.h5", net)  # and are not thrown away
    assert "cat/pool/activations" in contents(tmp_path / "stats.h5") and not seen


def test_provenance(tmp_path, net):
    found = collected(tmp_path / "stats.h5", net)
    for layer, rectify in {"image": "False", "conv2": "True", "pool": "False"}.items():
        attributes = found[f"cat/{layer}"]
        assert (attributes["n_images"], attributes["rectify"]) == (str(N), rectify)
        assert "float32" in attributes["dtype"] or layer == "image" and "uint8" in attributes["dtype"]
    assert "Moments(), PCA(n_components=None, rectify=True)" in found["cat/conv2"]["estimators"]
    assert "ImageStatistics()" in found["cat/image"]["estimators"]


def test_images_are_kept_as_they_are(tmp_path, net):
    smooth = np.random.default_rng(0).random((5, 6, 6, 3), "float32")
    same = IMAGES / np.float32(255)
    found = collected(tmp_path / "a.h5", net, smooth)["cat/image/activations"]
    assert found == (np.dtype("f4"), smooth.shape, smooth.tobytes())
    assert collected(tmp_path / "b.h5", net, same) == collected(tmp_path / "c.h5", net, IMAGES)
    assert contents(tmp_path / "b.h5")["cat/image/activations"] == (np.dtype("u1"), IMAGES.shape, IMAGES.tobytes())
    assert collected(tmp_path / "d.h5", net, list(same)) == contents(tmp_path / "b.h5")


def test_images_may_lie_in_a_file(tmp_path, net):
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["images"] = IMAGES
        assert collected(tmp_path / "stats.h5", net, file["images"]) == collected(tmp_path / "whole.h5", net)


@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_collection_goes_on(tmp_path, net, monkeypatch, blocks, error):
    def interrupt(n):
        if n == blocks:
            raise error

    with monkeypatch.context() as patch, pytest.raises(error):
        count_predictions(patch, net, interrupt)
        collected(tmp_path / "stats.h5", net)
    seen = count_predictions(monkeypatch, net)
    assert collected(tmp_path / "stats.h5", net) == collected(tmp_path / "whole.h5", net)
    assert [n for n, _ in seen] == [BLOCK, BLOCK, 6][blocks:] + [BLOCK, BLOCK, 6]  # no block twice


@pytest.mark.parametrize("estimator", [ImageStatistics, Moments, PCA])
def test_an_interrupted_fit_goes_on(tmp_path, net, monkeypatch, estimator):
    whole = collected(tmp_path / "whole.h5", net)
    fit, calls = estimator.fit, []

    def interrupted(self, X):
        calls.append(X)
        if len(calls) == 2 or estimator is ImageStatistics:
            raise KeyboardInterrupt
        return fit(self, X)

    path = tmp_path / "stats.h5"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(estimator, "fit", interrupted)
        collected(path, net)
    with StatsStore(path, "r") as store:  # what is done is done
        assert store.layers("cat") == (() if estimator is ImageStatistics else ("image", "conv2"))
    seen = count_predictions(monkeypatch, net)
    assert collected(path, net) == whole
    assert not seen


def test_a_block_that_exists_but_is_damaged_is_not_done(tmp_path, net, monkeypatch):
    path = tmp_path / "stats.h5"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PCA, "fit", lambda self, X: (_ for _ in ()).throw(KeyboardInterrupt))
        collected(path, net)
    block = tmp_path / "stats.h5.cat.partial" / "pool" / "000001.block"
    block.write_bytes(block.read_bytes()[:-100])
    seen = count_predictions(monkeypatch, net)
    assert collected(path, net) == collected(tmp_path / "whole.h5", net)
    assert [n for n, _ in seen][:-3] == [BLOCK]


def test_interrupted_at_any_line(tmp_path):
    """Whichever line of collecting or of the store an interrupt hits, the same call completes the file."""
    net, images = Linear(), IMAGES[: BLOCK + 2]
    names = ("store.collecting", "store.blocks", "store.store", "_hdf5", "statistics.pca")
    files = {sys.modules[f"vizlib.{name}"].__file__ for name in names}
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


def test_a_full_disk(tmp_path, net, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(blocks_module, "_written", full)
        collected(tmp_path / "stats.h5", net)
    assert collected(tmp_path / "stats.h5", net) == collected(tmp_path / "whole.h5", net)


def test_nothing_left_to_do(tmp_path, net, monkeypatch):
    before = collected(tmp_path / "stats.h5", net)
    monkeypatch.setattr(net, "features", None)
    monkeypatch.setattr(PCA, "fit", None)
    assert collected(tmp_path / "stats.h5", net) == before


def test_what_a_kill_left_after_the_last_layer_is_removed(tmp_path, net, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(blocks_module.ActivationBlocks, "remove", lambda self, layer=None: None)
        with StatsStore(tmp_path / "stats.h5") as store:
            collect(net, IMAGES, "cat", LAYERS, store, progress=False)
    assert (tmp_path / "stats.h5.cat.partial" / "pool").is_dir()
    monkeypatch.setattr(net, "features", None)
    collected(tmp_path / "stats.h5", net)


def test_layers_are_added_without_repeating_others(tmp_path, net, monkeypatch):
    seen = count_predictions(monkeypatch, net)
    collected(tmp_path / "stats.h5", net, layers=["image", "pool"])
    assert seen == [(BLOCK, ("pool",)), (BLOCK, ("pool",)), (6, ("pool",))]
    seen.clear()
    collected(tmp_path / "stats.h5", net, layers=["pool", "conv2", "scores", "conv2"])
    assert {names for _, names in seen} == {("conv2:pre", "scores")} and len(seen) == 3
    assert contents(tmp_path / "stats.h5") == collected(tmp_path / "once.h5", net)


def test_layers_may_change_between_an_interrupt_and_the_next_call(tmp_path, net, monkeypatch):
    path = tmp_path / "stats.h5"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PCA, "fit", lambda self, X: (_ for _ in ()).throw(KeyboardInterrupt))
        collected(path, net, layers=["conv1", "pool"])
    seen = count_predictions(monkeypatch, net)
    assert collected(path, net, layers=["pool"]) == collected(tmp_path / "pool.h5", net, layers=["pool"])
    assert len(seen) == 3  # of the second store alone
    assert collected(path, net) == collected(tmp_path / "whole.h5", net)


def test_classes_side_by_side(tmp_path, net):
    with StatsStore(tmp_path / "stats.h5") as store:
        collect(net, IMAGES[:10], "cat", ["pool"], store, progress=False)
        collect(net, IMAGES[10:30], "..", ["pool"], store, progress=False)
        assert store.classes == ("cat", "..")
        np.testing.assert_array_equal(store.activations("cat", "image"), IMAGES[:10] / np.float32(255))
        np.testing.assert_array_equal(store.activations("..", "image"), IMAGES[10:30] / np.float32(255))
    assert [path.name for path in tmp_path.iterdir()] == ["stats.h5"]


@pytest.mark.parametrize(
    "others", [IMAGES[::-1], IMAGES[:-1], np.concatenate([IMAGES, IMAGES[:1]]), IMAGES ^ (IMAGES > 254)]
)
def test_other_images_under_the_same_name_are_refused(tmp_path, net, others):
    path = tmp_path / "stats.h5"
    before = collected(path, net, layers=["pool"])
    with pytest.raises(ValueError, match=rf"expected .*{N} images.* received {len(others)}"):
        collected(path, net, others, ["pool"])
    assert contents(path) == before
    with StatsStore(path) as store:
        store.delete("cat")
    assert collected(path, net, others, ["pool"])["cat/image/activations"][2] == others.tobytes()


def test_blocks_of_images_that_were_given_up_are_not_used(tmp_path, net, monkeypatch):
    path = tmp_path / "stats.h5"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PCA, "fit", lambda self, X: (_ for _ in ()).throw(KeyboardInterrupt))
        collected(path, net)
    with StatsStore(path) as store:
        store.delete("cat")
    assert collected(path, net, IMAGES[::-1]) == collected(tmp_path / "whole.h5", net, IMAGES[::-1])


def test_statistics_of_another_network_are_refused(tmp_path, net, tiny_cnn):
    path = tmp_path / "stats.h5"
    before = collected(path, net, layers=["pool"])
    inverted = Network(tiny_cnn, lambda images: 1 - images, ["a", "b", "c"])
    with pytest.raises(ValueError, match="preprocessing"):
        collected(path, inverted, layers=["conv1"])
    tiny_cnn.set_weights([weight + 1 for weight in tiny_cnn.get_weights()])
    with pytest.raises(ValueError, match="weights"):
        collected(path, Network(tiny_cnn, None, ["a", "b", "c"]), layers=["conv1"])
    assert contents(path) == before


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": IMAGES[:, :5]}, r"shape \(n ≥ 2, 6, 6, 3\); received \(70, 5, 6, 3\)"),
        ({"images": IMAGES[:1]}, r"n ≥ 2.* received \(1, 6"),
        ({"images": IMAGES[0]}, r"n ≥ 2.* received \(6, 6, 3\)"),
        ({"images": IMAGES * 2.0}, "received values from 0 to 510"),
        ({"images": np.where(np.arange(N) < N - 1, 0.5, np.nan)[:, None, None, None] * np.ones((6, 6, 3))}, "nan"),
        ({"layers": ["conv9"]}, "received 'conv9'"),
        ({"layers": ["conv2:pre"]}, "received 'conv2:pre'"),
        ({"class_name": "a/b"}, "no '/'; received 'a/b'"),
    ],
)
def test_calls_that_do_not_fit_leave_nothing_behind(tmp_path, net, change, message):
    with StatsStore(tmp_path / "stats.h5") as store:
        with pytest.raises(ValueError, match=message):
            collect(net, store=store, progress=False, **{"images": IMAGES, "class_name": "cat", "layers": []} | change)
        assert not store.classes
    assert [path.name for path in tmp_path.iterdir()] == ["stats.h5"]


def test_a_store_opened_to_read(tmp_path, net):
    collected(tmp_path / "stats.h5", net, layers=[])
    with StatsStore(tmp_path / "stats.h5", "r") as store, pytest.raises(ValueError, match="mode 'a'; .* mode 'r'"):
        collect(net, IMAGES, "cat", ["pool"], store, progress=False)


def test_a_class_is_collected_by_one_process_at_a_time(tmp_path, net, monkeypatch):
    monkeypatch.setattr("vizlib.store.locks.WAIT", 0.1)
    with writer(tmp_path / "stats.h5.cat.partial"), pytest.raises(TimeoutError, match="in use by process"):
        collected(tmp_path / "stats.h5", net)
    collected(tmp_path / "stats.h5", net)


def test_progress_is_shown(tmp_path, net, capsys):
    with StatsStore(tmp_path / "stats.h5") as store:
        collect(net, IMAGES, "cat", ["pool"], store)
        assert f"{N}/{N}" in capsys.readouterr().err
        collect(net, IMAGES, "dog", ["pool"], store, progress=False)
        assert not capsys.readouterr().err


class Wide(Linear):
    """40,500 values for each image."""

    def features(self, names):
        narrow, weights = super().features(names), np.linspace(-1, 1, 2250, dtype="float32")

        def predict_on_batch(images):
            (name, values), = narrow.predict_on_batch(images).items()
            return {name: (values[..., :1] * weights).reshape(-1, 54, 250, 3)}

        return SimpleNamespace(predict_on_batch=predict_on_batch)


def test_memory_does_not_grow_with_the_images(tmp_path, monkeypatch):
    """320 images in place of 64 have 41 MB more of activations, of which memory sees almost nothing."""
    monkeypatch.setattr("vizlib.statistics.streaming.BLOCK_BYTES", 2**22)
    monkeypatch.setattr("vizlib.statistics.pca.MAX_COMPONENTS", 8)
    peaks = []
    for n in (64, 64, 320):  # the first warms up
        images = np.random.default_rng(n).integers(0, 256, (n, 6, 6, 3), "uint8")
        tracemalloc.start()
        collected(tmp_path / f"{len(peaks)}.h5", Wide(), images, ["far"])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 8e6, peaks
