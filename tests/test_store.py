"""The store gives back what was put in, says what it holds, and keeps networks, images and versions apart."""

import errno
import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from stores import IMAGES, NET, VALUES, N, contents, fill

from vizlib import statistics
from vizlib.statistics import PCA, GaussianCopula, ImageStatistics, LayerPair, Moments
from vizlib.store import journal
from vizlib.store.store import StatsStore


@pytest.fixture
def path(tmp_path):
    """A file with the layers "image" and "conv" of the class "cat", the activations of which are kept."""
    with StatsStore(tmp_path / "stats.h5") as store:
        fill(store, keep=True)
    return tmp_path / "stats.h5"


def same_state(ours, theirs):
    theirs = theirs.state()
    assert ours.state().keys() == theirs.keys()
    for name, value in ours.state().items():
        np.testing.assert_array_equal(value, theirs[name])


def test_what_was_put_in_comes_out(path):
    with StatsStore(path, "r") as store:
        assert store.classes == ("cat",) and store.layers("cat") == ("image", "conv")
        assert store.n_images("cat") == N and store.collected("cat") == {"image": True, "conv": True}
        np.testing.assert_array_equal(store.activations("cat", "conv"), VALUES)
        np.testing.assert_array_equal(store.activations("cat", "image"), IMAGES / np.float32(255))
        same_state(store.model("cat", "conv", "PCA"), PCA(rectify=True).fit(VALUES))
        same_state(store.model("cat", "conv", "Moments"), Moments().fit(VALUES))
        same_state(store.model("cat", "image"), ImageStatistics().fit(IMAGES))


@pytest.mark.parametrize(
    "name", ["PCAGaussian", "LocalGaussian", "QuiltedGaussian", "BootstrapMix", "ClusteredGaussian", None]
)
def test_samplers_are_made_of_the_stored_pca(path, name):
    with StatsStore(path, "r") as store:
        model = store.model("cat", "conv", name)
    kind = getattr(statistics, name or "QuiltedGaussian")
    assert type(model) is kind and model.rectify
    expected = kind.from_state(PCA(rectify=True).fit(VALUES).state())
    np.testing.assert_array_equal(model.sample(5, seed=2), expected.sample(5, seed=2))


def test_what_is_not_stored_is_fitted_on_what_is_kept(path):
    with StatsStore(path, "r") as store:
        copula = store.model("cat", "conv", "GaussianCopula")
        same_state(copula, GaussianCopula(rectify=True).fit(VALUES))
        same_state(store.model("cat", "image", "PCA"), PCA().fit(IMAGES / np.float32(255)))


def test_layers_drawn_together(path):
    with StatsStore(path, "r") as store:
        drawn = store.sample("cat", ["conv"], 3, seed=1, temperature=0.5, neighbours_at="image")
        around = store.model("cat", "image", "PCA")
    around = statistics.LocalGaussian.from_state(around.state())
    expected = statistics.drawn_together(around, {"conv": PCA(rectify=True).fit(VALUES)}, 3, 1, 0.5)
    np.testing.assert_array_equal(drawn["conv"], expected["conv"])


def test_a_pair_of_layers(path):
    lower = np.random.default_rng(2).standard_normal((N, 6)).astype("float32") + VALUES[:, :2, :3].reshape(N, 6)
    with StatsStore(path) as store:
        store.put("cat", "lower", {"PCA": PCA().fit(lower).state()}, {"n_images": N, "rectify": False})
        pair = store.pair("cat", "lower", "conv")
    expected = LayerPair(PCA().fit(lower), PCA(rectify=True).fit(VALUES))
    np.testing.assert_array_equal(pair.canonical_correlations_, expected.canonical_correlations_)
    np.testing.assert_array_equal(pair.sample_given(VALUES[0], 3), expected.sample_given(VALUES[0], 3))


def test_activations_that_are_not_kept(tmp_path):
    with StatsStore(tmp_path / "stats.h5") as store:
        fill(store)
        assert store.collected("cat") == {"image": True, "conv": False}
        for read in (store.activations, lambda *names: store.model(*names, "GaussianCopula")):
            with pytest.raises(ValueError, match=r"keep_activations=True\) keeps; .* which has Moments, PCA"):
                read("cat", "conv")


def test_activations_are_read_in_blocks_of_rows(tmp_path):
    asked = []

    class Rows:
        shape, dtype = (1000, 500, 3), np.dtype("float32")

        def __len__(self):
            return 1000

        def __getitem__(self, rows):
            asked.append(rows.stop - rows.start)
            return np.full((len(range(1000)[rows]), 500, 3), rows.start, "float32")

    with StatsStore(tmp_path / "stats.h5") as store:
        store.new_class(NET, "cat", 1000, "…")
        store.put("cat", "conv", {}, {"n_images": 1000, "rectify": False}, Rows())
        assert max(asked) == 32
        np.testing.assert_array_equal(store.activations("cat", "conv")[:, 7, 2], np.arange(1000) // 32 * 32)


@pytest.mark.parametrize("value", [0, 255])
def test_values_that_compress_best_are_not_taken_for_a_bomb(tmp_path, value):
    images = np.full((N, 256, 256, 3), value, "uint8")
    with StatsStore(tmp_path / "stats.h5") as store:
        store.new_class(NET, "night", N, "…")
        store.put("night", "image", {}, {"n_images": N, "rectify": False}, images)
        assert (store.activations("night", "image") == value / 255).all()
    assert (tmp_path / "stats.h5").stat().st_size < images.nbytes / 40


def test_unknown_names_are_answered_with_the_known_ones(path):
    with StatsStore(path, "r") as store:
        with pytest.raises(ValueError, match=r"expected a class of .*stats.h5/ \(cat\); received 'dog'"):
            store.model("dog", "conv")
        with pytest.raises(ValueError, match=r"expected a layer of .*/cat \(image, conv\); received 'fc1'"):
            store.activations("cat", "fc1")
        with pytest.raises(ValueError, match="out of PCA, .*, GaussianCopula, Moments; received 'ImageStatistics'"):
            store.model("cat", "conv", "ImageStatistics")


@pytest.mark.parametrize("name", ["", ".", "a/b", "/", "a\0b", None])
def test_names_that_hdf5_would_take_for_paths_are_refused(path, name):
    before = path.read_bytes()
    with StatsStore(path) as store:
        for act in (
            lambda: store.layers(name),
            lambda: store.new_class(NET, name, N, "…"),
            lambda: store.put("cat", name, {}, {"n_images": N, "rectify": False}),
            lambda: store.put("cat", "x", {name: {}}, {"n_images": N, "rectify": False}),
        ):
            with pytest.raises(ValueError, match="expected a name"):
                act()
    assert path.read_bytes() == before


@pytest.mark.parametrize("n, values", [(N - 1, None), (N, VALUES[1:]), (N + 1, VALUES)])
def test_a_layer_of_some_of_the_images_is_refused(path, n, values):
    before = path.read_bytes()
    with StatsStore(path) as store, pytest.raises(ValueError, match=f"of {N} images of 'cat'; received"):
        store.put("cat", "conv", {}, {"n_images": n, "rectify": False}, values)
    assert path.read_bytes() == before


@pytest.mark.parametrize("state", [{"x": None}, {"x": {}}, {"x": np.array(["a"])}, {"x": np.array([None])}])
def test_what_is_no_number_is_refused(path, state):
    before = path.read_bytes()
    with StatsStore(path) as store, pytest.raises(ValueError, match="expected .*numbers as 'x'; received"):
        store.put("cat", "conv", {"PCA": state}, {"n_images": N, "rectify": False})
    assert path.read_bytes() == before


def test_a_layer_is_replaced(path):
    with StatsStore(path) as store:
        store.put("cat", "conv", {"PCA": PCA().fit(VALUES + 1).state()}, {"n_images": N, "rectify": False})
        same_state(store.model("cat", "conv", "PCA"), PCA().fit(VALUES + 1))
        assert store.collected("cat") == {"image": True, "conv": False}


def test_any_hdf5_tool_can_read_it(path):
    """The layout as it is documented, by h5py alone."""
    with h5py.File(path, "r") as file:
        assert file.attrs["format"] == b"vizlib statistics, version 3" and file.attrs["network_name"] == b"net"
        assert file.attrs["network"] == b"f" * 64 and file.attrs["weights"] == b"a" * 64
        assert file.attrs["image_size"] == 8 and file["cat"].attrs["n_images"] == N
        layer = file["cat/conv"]
        assert layer.attrs["n_images"] == N and layer.attrs["rectify"]
        assert layer.attrs["h5py"].decode() == h5py.__version__
        assert layer.attrs["backend"].decode() in ("tensorflow", "jax", "torch")
        age = datetime.now(UTC) - datetime.fromisoformat(layer.attrs["time"].decode())
        assert timedelta(seconds=-1) < age < timedelta(minutes=5)
        np.testing.assert_array_equal(layer["PCA/mean_"], PCA().fit(VALUES).mean_)
        assert layer["PCA"].attrs["n_samples_seen_"] == N
        np.testing.assert_array_equal(layer["activations"], VALUES)

        def guarded(name, item):
            assert not isinstance(item, h5py.Dataset) or item.fletcher32

        file.visititems(guarded)


# Networks and images.


@pytest.mark.parametrize("what, value", [("weights", "c" * 64), ("preprocessing", "c" * 64), ("image_size", 64)])
def test_another_network(path, what, value):
    other = SimpleNamespace(identity=NET.identity | {what: value}, fingerprint="e", model=SimpleNamespace(name="o"))
    before = path.read_bytes()
    with StatsStore(path) as store:
        store.check_network(NET)
        for act in (lambda: store.check_network(other), lambda: store.new_class(other, "dog", N, "…")):
            with pytest.raises(ValueError, match=f"'net'; received 'o' with {what} {value!s:.12} in place of"):
                act()
        assert path.read_bytes() == before
        store.delete("cat")
        store.new_class(other, "dog", N, "…")  # nothing is left of the first
        store.check_network(other)


@pytest.mark.parametrize("n, sha", [(N, "other"), (N + 1, "…")])
def test_other_images_of_a_class(path, n, sha):
    with StatsStore(path) as store:
        store.new_class(NET, "cat", N, "…")
        message = rf"expected the {N} images that 'cat' in .* received {n} others.* store.delete\('cat'\)"
        with pytest.raises(ValueError, match=message):
            store.new_class(NET, "cat", n, sha)


# The whole file.


def test_delete(path):
    with StatsStore(path) as store:
        fill(store, "dog")
        store.delete("cat", "conv")
        assert store.layers("cat") == ("image",) and store.layers("dog") == ("image", "conv")
        store.delete("cat")
        assert store.classes == ("dog",)
        with pytest.raises(ValueError, match=r"\(dog\); received 'cat'"):
            store.delete("cat")


def test_room_is_given_back(path):
    values = np.random.default_rng(3).standard_normal((N, 25_000)).astype("float32")  # 4 MB
    expected = contents(path)
    with StatsStore(path) as store:
        for i in range(5):  # in between, something is written behind it, so that no end can be cut off
            store.put("cat", "big", {}, {"n_images": N, "rectify": False}, values)
            store.new_class(NET, f"{i}", N, "…")
            assert path.stat().st_size < 3 * values.nbytes
        np.testing.assert_array_equal(store.activations("cat", "big"), values)
        store.delete("cat", "big")
        assert path.stat().st_size < 2**20 + values.nbytes / 2
        for i in range(5):
            store.delete(f"{i}")
        assert store.layers("cat") == ("image", "conv")
    assert contents(path) == expected and os.listdir(path.parent) == ["stats.h5"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), TimeoutError("in use")])
def test_room_that_cannot_be_given_back_now(path, monkeypatch, error):
    """What was asked for is done all the same, and the next to write gives the room back."""
    expected, values = contents(path), np.random.default_rng(3).standard_normal((N, 25_000)).astype("float32")

    def fails(path):
        raise error

    with StatsStore(path) as store:
        store.put("cat", "big", {}, {"n_images": N, "rectify": False}, values)
        store.new_class(NET, "dog", N, "…")
        with monkeypatch.context() as patch:
            patch.setattr(journal, "replacement", fails)
            store.delete("cat", "big")
        assert contents(path) == expected | {"dog": N} and path.stat().st_size > values.nbytes
        store.delete("dog")
    assert contents(path) == expected and path.stat().st_size < 2**20


def test_small_stores_are_small(path):
    with StatsStore(path) as store:
        data = 1e6 * store.to_dataframe().MB.sum()
        for i in range(20):
            store.new_class(NET, f"{i}", N, "…")
            store.delete(f"{i}")
    assert path.stat().st_size < data + 2**17


def test_merge(path, tmp_path):
    with StatsStore(tmp_path / "other.h5") as other:
        fill(other, "cat", ["image", "conv", "deep"])
        fill(other, "dog", ["conv"], keep=True)
    with StatsStore(path) as store, StatsStore(tmp_path / "other.h5", "r") as other:
        before = contents(path)
        store.merge(store)
        assert contents(path) == before
        store.merge(other)
        assert store.classes == ("cat", "dog") and store.collected("dog") == {"conv": True}
        assert store.collected("cat") == {"image": True, "conv": True, "deep": False}
        same_state(store.model("cat", "deep"), other.model("cat", "deep"))
        np.testing.assert_array_equal(store.activations("dog", "conv"), VALUES)
        table, theirs = store.to_dataframe(), other.to_dataframe()
        assert table[table["class"] == "dog"].time.tolist() == theirs[theirs["class"] == "dog"].time.tolist()
    with StatsStore(path, "r") as store, StatsStore(tmp_path / "new.h5") as copy:
        copy.merge(store)
        copy.check_network(NET)
    assert contents(tmp_path / "new.h5") == contents(path)


def test_stores_that_do_not_fit_are_not_merged(path, tmp_path):
    before = path.read_bytes()
    with StatsStore(tmp_path / "images.h5") as other:
        fill(other, "ant")
        other.new_class(NET, "cat", N, "others")
    with StatsStore(tmp_path / "network.h5") as foreign:
        foreign.new_class(SimpleNamespace(**vars(NET) | {"identity": NET.identity | {"image_size": 9}}), "dog", 5, "…")
    with StatsStore(path) as store:
        with pytest.raises(ValueError, match="images that 'cat' in .*stats.h5 was collected from; received 40 others"):
            store.merge(other := StatsStore(tmp_path / "images.h5", "r"))
        with pytest.raises(ValueError, match="with image_size 9 in place of 8"):
            store.merge(StatsStore(tmp_path / "network.h5", "r"))
        store.merge(StatsStore(tmp_path / "empty.h5"))
        other.close()
    assert path.read_bytes() == before


def test_the_table(path):
    with StatsStore(path, "r") as store:
        table = store.to_dataframe()
        assert table["class"].tolist() == ["cat", "cat"] and table.layer.tolist() == ["image", "conv"]
        assert table.images.tolist() == [N, N] and table.activations.all()
        assert table.components[1] == 20 and table.components.isna()[0]  # 4 × 5 dimensions
        assert table.estimators.tolist() == ["ImageStatistics", "Moments, PCA"]
        stored = []
        with h5py.File(path) as file:
            for name in ("image", "conv"):
                found = []
                file["cat"][name].visititems(lambda _, x, found=found: found.append(x))
                stored.append(sum(x.id.get_storage_size() for x in found if isinstance(x, h5py.Dataset)) / 1e6)
        assert table.MB.tolist() == pytest.approx(stored) and 0.007 < table.MB[0] < 0.009  # 7680 bytes of noise
        rows = repr(store).splitlines()
        assert rows[0] == f"StatsStore({str(path)!r})" and rows[2].split()[:3] == ["cat", "image", str(N)]
        assert rows[3].split()[:4] == ["cat", "conv", str(N), "20"]
        assert "<td>conv</td>" in store._repr_html_()
    assert repr(store) == f"StatsStore({str(path)!r}, closed)" and store._repr_html_() is None


def test_names_from_others_are_no_html(path):
    with StatsStore(path) as store:
        fill(store, "<script>alert(1)<script>", ["conv"])
        assert "<script" not in store._repr_html_() and "&lt;script" in store._repr_html_()


def test_a_full_disk(path, monkeypatch):
    before = path.read_bytes()

    def full(file, buffer):
        raise OSError(errno.ENOSPC, "No space left on device")

    with StatsStore(path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(journal, "_write_all", full)
            for act in (
                lambda: fill(store, "dog"),
                lambda: store.put("cat", "more", {}, {"n_images": N, "rectify": False}, VALUES),
                lambda: store.delete("cat"),
                lambda: StatsStore(path.with_name("new.h5")),
            ):
                with pytest.raises(OSError, match="No space left"):
                    act()
                assert path.read_bytes() == before and os.listdir(path.parent) == ["stats.h5"]
        fill(store, "dog")
    assert list(contents(path))[0] == "cat"


def test_an_interrupt_leaves_the_old_layer(path):
    before = path.read_bytes()

    class Interrupted:
        shape, dtype = VALUES.shape, VALUES.dtype

        def __len__(self):
            return N

        def __getitem__(self, rows):
            if rows.start:
                raise KeyboardInterrupt
            return VALUES[rows]

    with StatsStore(path) as store, pytest.raises(KeyboardInterrupt):
        store.put("cat", "conv", {"PCA": {"x": 1}}, {"n_images": N, "rectify": False}, Interrupted())
    assert path.read_bytes() == before


def test_two_stores_at_one_file(path):
    with StatsStore(path) as first, StatsStore(path) as second, StatsStore(path, "r") as reader:
        fill(first, "dog")
        fill(second, "cow")
        first.delete("cat")
        assert first.classes == second.classes == reader.classes == ("dog", "cow")


# Opening and closing.


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="collect.*missing.h5"):
        StatsStore(tmp_path / "missing.h5", "r")
    with pytest.raises(FileNotFoundError, match="no_folder"):
        StatsStore(tmp_path / "no_folder" / "stats.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["w", "r+", "x", None])
def test_other_modes_are_refused_before_the_file_is_touched(path, mode):
    before = path.read_bytes()
    with pytest.raises(ValueError, match="mode 'r' or 'a'; received"):
        StatsStore(path, mode)
    assert path.read_bytes() == before


def test_a_store_to_read_is_not_written(path):
    before = path.read_bytes()
    with StatsStore(path, "r") as store:
        for act in (lambda: fill(store), lambda: store.delete("cat")):
            with pytest.raises(ValueError, match="mode 'a'; received .* mode 'r'"):
                act()
    assert path.read_bytes() == before


def test_a_closed_store(path):
    with StatsStore(path) as store:
        pass
    for act in (lambda: store.classes, lambda: store.model("cat", "conv"), lambda: store.delete("cat")):
        with pytest.raises(ValueError, match="expected an open store; received .*stats.h5, which has been closed"):
            act()


def test_a_file_by_another_name_and_from_another_folder(path, tmp_path, monkeypatch):
    (tmp_path / "link.h5").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    with StatsStore("link.h5") as store:
        monkeypatch.chdir("/")
        store.delete("cat", "image")
    assert (tmp_path / "link.h5").is_symlink()
    with StatsStore(path) as store:
        assert store.layers("cat") == ("conv",)
