"""The store gives back what was put in, says what it holds, and keeps networks, images and versions apart."""

import errno
import json
import os
from datetime import UTC, datetime, timedelta

import h5py
import numpy as np
import pytest
from stores import ESTIMATORS, IMAGES, NET, VALUES, N, Net, contents, everything, fill, states

from vizlib import statistics
from vizlib.statistics import GaussianCopula, ImageStatistics, LayerPair, Marginals, Moments, Snapshots
from vizlib.store import StatsStore, files, hdf5
from vizlib.store import store as store_module


@pytest.fixture
def path(tmp_path):
    """A folder with the images and the layer "conv" of the class "cat", the activations of which are kept."""
    fill(StatsStore(tmp_path / "stats", NET), keep=True)
    return tmp_path / "stats"


@pytest.fixture
def store(path):
    return StatsStore(path, NET)


def same_state(ours, theirs):
    theirs = theirs.state()
    assert ours.state().keys() == theirs.keys()
    for name, value in ours.state().items():
        np.testing.assert_array_equal(value, theirs[name])


def test_what_was_put_in_comes_out(store):
    assert store.classes == ("cat",) and store.layers("cat") == ("image", "conv")
    assert store.n_images("cat") == N and store.collected("cat") == {"image": True, "conv": True}
    np.testing.assert_allclose(store.activations("cat", "conv"), VALUES, rtol=2**-11)
    np.testing.assert_array_equal(store.activations("cat", "image"), IMAGES / np.float32(255))
    for name in ESTIMATORS:
        fitted = getattr(statistics, name)()
        fitted.rectify = True
        same_state(store.model("cat", "conv", name), fitted.fit(VALUES))
    same_state(store.model("cat", "image"), ImageStatistics().fit(IMAGES))


@pytest.mark.parametrize(
    "name",
    ["PCAGaussian", "LocalGaussian", "QuiltedGaussian", "QuiltedMontage", "Montage", "BootstrapMix", None],
)
def test_samplers_are_made_of_the_stored_snapshots(tmp_path, name):
    store = StatsStore(tmp_path / "stats", NET)
    fill(store)
    model = store.model("cat", "conv", name)
    kind = getattr(statistics, name or "QuiltedGaussian")
    assert type(model) is kind and model.rectify
    np.testing.assert_array_equal(model.sample(5, seed=2), kind(rectify=True).fit(VALUES).sample(5, seed=2))


@pytest.mark.parametrize(
    "n, shared, sampler",
    [
        (40, 0.67, "QuiltedGaussian"),  # a class of PartWorld, of more and more images
        (150, 0.84, "QuiltedGaussian"),
        (300, 0.9, "QuiltedGaussian"),
        (200, 0.82, "QuiltedMontage"),  # scenes of small objects, anywhere
        (200, 0.45, "QuiltedMontage"),
        (350, 0.3, "Montage"),  # photographs, of many images and of few
        (60, 0.2, "Montage"),
    ],
)
def test_which_sampler_suits_a_class(store, monkeypatch, n, shared, sampler):
    monkeypatch.setattr(statistics.Snapshots, "shared_", shared)
    monkeypatch.setattr(StatsStore, "n_images", lambda store, class_name: n)
    assert store.sampler("cat", "conv") == sampler


def test_a_copula_is_fitted_when_it_is_asked_for(store):
    real = store.activations("cat", "conv")
    np.testing.assert_array_equal(
        store.model("cat", "conv", "GaussianCopula").sample(4), GaussianCopula(rectify=True).fit(real).sample(4)
    )


def test_marginals_of_the_class_and_of_some_images(store):
    same_state(store.marginals("cat", "conv"), Marginals().fit(VALUES))
    some = np.array([7, 3, 30])
    np.testing.assert_allclose(
        store.marginals("cat", "conv", some).quantiles_, Marginals().fit(VALUES[some]).quantiles_, atol=1e-3
    )


# Where activations come from.


def test_activations_come_from_the_network_once(tmp_path):
    net = Net()
    store = StatsStore(tmp_path / "stats", net)
    fill(store)
    assert store.collected("cat") == {"image": True, "conv": False}
    some = np.array([9, 2, 2, 31])
    np.testing.assert_array_equal(store.activations("cat", "conv", some), VALUES[some])
    assert net.asked == ((3, ("conv:pre",)),)  # as many as are different, before the ReLU
    np.testing.assert_array_equal(store.activations("cat", "conv", np.array([2, 5])), VALUES[[2, 5]])
    assert net.asked[1:] == ((1, ("conv:pre",)),)
    np.testing.assert_array_equal(store.activations("cat", "conv"), VALUES)
    assert net.asked[2:] == ((N - 4, ("conv:pre",)),)
    with pytest.raises(IndexError):
        store.activations("cat", "conv", np.array([N]))


def test_memory_has_an_end(tmp_path, monkeypatch):
    net = Net()
    monkeypatch.setattr(store_module, "MEMORY", 10 * VALUES[0].nbytes)
    store = StatsStore(tmp_path / "stats", net)
    fill(store)
    np.testing.assert_array_equal(store.activations("cat", "conv"), VALUES)
    store.activations("cat", "conv", np.arange(N - 10, N))
    assert len(net.asked) == 1
    store.activations("cat", "conv", np.arange(N - 11, N - 10))
    assert len(net.asked) == 2


def test_a_network_that_was_trained_since_is_not_asked(store):
    store._network = Net()
    store.network.identity = NET.identity | {"weights": "9" * 64}
    np.testing.assert_allclose(store.activations("cat", "conv", np.array([1])), VALUES[[1]], rtol=2**-11)  # from disk
    files.write_layer(store.path, "cat", "conv", states(), True)
    with pytest.raises(ValueError, match="with weights 999999999999 in place of 111111111111.*trained since"):
        store.activations("cat", "conv", np.array([2]))


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1, 1e6, 1e30])
def test_kept_activations_lose_no_range(tmp_path, scale):
    store = StatsStore(tmp_path / "stats", NET)
    fill(store, layers=())
    values = VALUES * np.float32(scale)
    values[3] = 0
    files.write_layer(store.path, "cat", "conv", {}, True, values)
    found = store.activations("cat", "conv")
    assert found.dtype == "float32" and not found[3].any()
    np.testing.assert_allclose(found, values, rtol=2**-11, atol=scale * 2**-20)


def test_without_a_network_there_is_what_needs_none(path):
    store = StatsStore(path)
    assert store.layers("cat") == ("image", "conv") and store.model("cat", "conv", "Moments").n_samples_seen_ == N
    assert store.model("cat", "conv").sample(2).shape == (2, 4, 5, 3)  # the activations are kept
    files.write_layer(path, "cat", "conv", states(), True)
    with pytest.raises(ValueError, match=r"expected StatsStore\('.*stats', network\); received a store without"):
        StatsStore(path).model("cat", "conv").sample(2)


# Draws.


def test_draws_of_some_of_the_images_and_at_places(store):
    among, places = np.arange(5, 25), [[None, -1.0], [None, 1.0]]
    drawn = store.sample("cat", ["conv"], seed=1, places=places, among=among)
    expected, mixtures = store.model("cat", "conv").draw(4, 1, places=np.array(places, float), among=among)
    np.testing.assert_array_equal(drawn["conv"], np.maximum(expected, 0))
    assert len(mixtures) == 2 and all(np.isin(mixture.images, among).all() for mixture in drawn.mixtures["conv"])
    assert drawn.facts["places"] == places and drawn.facts["among"] == among.tolist()
    again = store.sample(**{name: x for name, x in drawn.facts.items() if name != "entries"})
    np.testing.assert_array_equal(again["conv"], drawn["conv"])


def lower_layer(store):
    """A layer "near" that "conv" is a part of, so that the two go together."""
    lower = np.random.default_rng(2).standard_normal((N, 8, 10, 2)).astype("float32")
    lower[..., 0] += np.repeat(np.repeat(VALUES[..., 0], 2, axis=1), 2, axis=2)
    files.write_layer(store.path, "cat", "near", states(lower), True, lower)
    return lower


def test_a_lower_layer_is_made_of_the_images_of_the_upper_one(store):
    lower_layer(store)
    lower = store.activations("cat", "near")
    drawn = store.sample("cat", ["near", "conv"], 3, seed=1)  # in any order
    values, mixtures = store.model("cat", "conv").draw(3, seed=1)
    np.testing.assert_array_equal(drawn["conv"], np.maximum(values, 0))
    real = store.activations("cat", "conv")
    centre = store.model("cat", "conv").channel_mean
    for i, mixture in enumerate(mixtures):
        found = statistics.quilting._Patches(real[mixture.images], centre).nearest(values[i : i + 1])[0]
        under = drawn.mixtures["near"][i]
        np.testing.assert_array_equal(under.images, mixture.images[np.unique(found[0])])
        np.testing.assert_allclose(under.weights, np.unique(found[0], return_counts=True)[1] / found[0].size)
        expected = statistics.quilting._put_together(found, lower[mixture.images], 1)
        np.testing.assert_allclose(drawn["near"][i], np.maximum(expected, 0), rtol=1e-6)


def test_a_layer_without_positions_is_drawn_given_the_one_above(store):
    flat = np.random.default_rng(2).standard_normal((N, 6)).astype("float32") + VALUES[:, 0, :2].reshape(N, 6)
    files.write_layer(store.path, "cat", "far", states(flat, False), False, flat)
    drawn = store.sample("cat", ["conv", "far"], 3, seed=1)
    values, _ = store.model("cat", "conv").draw(3, seed=1)
    pair = store.pair("cat", "far", "conv")
    expected = np.concatenate([pair.sample_given(x, 1, [1, 1, j]) for j, x in enumerate(values)])
    np.testing.assert_allclose(drawn["far"], expected, rtol=1e-5, atol=1e-5)
    weights = drawn.mixtures["far"][0].weights
    np.testing.assert_allclose(weights @ store.activations("cat", "far"), drawn["far"][0], atol=1e-4)


def test_under_what_is_drawn_given_a_layer_without_positions_lie_patches_of_the_images_nearest_to_it(tmp_path):
    class Deep(Net):
        layers = ("near", "conv", "far")

    store = StatsStore(tmp_path / "stats", Deep())
    fill(store, keep=True)
    lower_layer(store)
    flat = np.random.default_rng(2).standard_normal((N, 6)).astype("float32") + VALUES[:, 0, :2].reshape(N, 6)
    files.write_layer(store.path, "cat", "far", states(flat, False), False, flat)
    drawn = store.sample("cat", ["far", "conv", "near"], 3, seed=1)
    model = store.model("cat", "conv", "Snapshots")
    for mixture, below in zip(drawn.mixtures["conv"], drawn.mixtures["near"], strict=True):
        assert mixture.weights.min() < 0  # which are no shares of patches
        apart = np.linalg.norm(model.coordinates_ - mixture.weights @ model.coordinates_[mixture.images], axis=1)
        assert {*below.images} <= {*np.argsort(apart)[: statistics.quilting.NEIGHBOURS]}


def test_the_network_is_asked_once_for_layers_drawn_together(tmp_path):
    class Both(Net):
        def activations(self, images, names):
            answers = super().activations(images, names)
            return answers | {"near:pre": answers["conv:pre"][:, ::2] * 2}

    net = Both()
    store = StatsStore(tmp_path / "stats", net)
    fill(store)
    files.write_layer(store.path, "cat", "near", states(VALUES[:, ::2] * 2), True)
    store.sample("cat", ["conv", "near"], 2)
    assert {names for _, names in net.asked} == {("conv:pre", "near:pre")}
    assert sum(n for n, _ in net.asked) <= N


def test_a_pair_of_layers(store):
    lower = lower_layer(store)
    pair = store.pair("cat", "near", "conv")
    expected = LayerPair(*(Snapshots(rectify=True).fit(x) for x in (lower, VALUES)))
    np.testing.assert_allclose(pair.canonical_correlations_, expected.canonical_correlations_, rtol=1e-6)
    np.testing.assert_allclose(pair.sample_given(VALUES[0], 3), expected.sample_given(VALUES[0], 3), atol=0.01)


# Names.


NAMES = ["base/conv", "conv#2", "image", "scores", "CON", "nul", "金魚" * 14, "x" * 300, "X" * 300, "a.h5", "..", ".",
         "-", "%43ON", "con~", "é", "e\u0301", "a\0b", " ", "Cat", "cat", "spool.part", ".lock"]


def test_any_name_is_a_name_of_a_class(tmp_path):
    store = StatsStore(tmp_path / "stats", NET)
    for name in NAMES:
        fill(store, name, (), sha=repr(name))
    assert store.classes == tuple(sorted(NAMES))
    for name in NAMES:
        assert store.images_sha256(name) == repr(name)
        assert store.layers(name) == ("image",)
    folders = [folder.name for folder in store.path.iterdir() if folder.is_dir()]
    assert len(folders) == len(NAMES) and max(map(len, folders)) < 150
    assert all(name.isascii() for name in folders) and len({name.lower() for name in folders}) >= len(NAMES) - 2
    store.delete("x" * 300)
    assert "x" * 300 not in store.classes and "X" * 300 in store.classes


def test_any_name_is_a_name_of_a_layer(tmp_path):
    names = [name for name in NAMES if name != "image"]

    class Named(Net):
        layers = tuple(names)

    store = StatsStore(tmp_path / "stats", Named())
    fill(store, layers=names)
    assert store.layers("cat") == ("image", *names)
    for name in names:
        assert store.model("cat", name, "Moments").n_samples_seen_ == N


def test_layers_that_keras_has_numbered_anew_are_told_by_their_place(path):
    class Renamed(Net):
        layers = ("near_7", "far_7", "conv_7")

    store = StatsStore(path, Renamed())
    assert store.layers("cat") == ("image", "conv_7") and store.collected("cat") == {"image": True, "conv_7": True}
    assert store.model("cat", "conv_7", "Moments").n_samples_seen_ == N
    np.testing.assert_allclose(store.activations("cat", "conv_7"), VALUES, rtol=2**-11)
    with pytest.raises(ValueError, match=r"a layer of 'cat' in .*stats \(image, conv_7\); received 'conv'"):
        store.model("cat", "conv")


@pytest.mark.parametrize("name", ["", None, 3, "dog"])
def test_unknown_classes_are_answered_with_the_known_ones(store, name):
    for act in (store.layers, store.n_images, store.delete, lambda name: store.model(name, "conv")):
        with pytest.raises(ValueError, match=r"expected a class of .*stats \(cat\); received"):
            act(name)


def test_unknown_layers_and_estimators_are_answered_with_the_known_ones(store):
    with pytest.raises(ValueError, match=r"expected a layer of 'cat' in .*stats \(image, conv\); received 'fc1'"):
        store.activations("cat", "fc1")
    with pytest.raises(ValueError, match="out of Snapshots, .*, Moments, Marginals, Strongest; received 'Image"):
        store.model("cat", "conv", "ImageStatistics")
    with pytest.raises(ValueError, match="of 'image' out of ImageStatistics; received 'Snapshots'"):
        store.model("cat", "image", "Snapshots")


@pytest.mark.parametrize("state", [{"x": None}, {"x": {}}, {"x": np.array(["a"])}, {"x": np.array([None])}])
def test_what_is_no_number_is_refused(path, state):
    before = everything(path)
    with pytest.raises(ValueError, match="expected .*numbers as 'x'; received"):
        files.write_layer(path, "cat", "conv", {"Moments": state}, False)
    assert everything(path) == before


def test_a_layer_of_some_of_the_images_is_refused(path):
    before = everything(path)
    with pytest.raises(ValueError, match=f"of {N} images of 'cat'; received {N - 1}"):
        files.write_layer(path, "cat", "conv", {}, False, VALUES[1:])
    assert everything(path) == before


def test_any_hdf5_tool_can_read_it(path):
    """The layout as it is documented, by h5py alone."""
    network = json.loads((path / "network.json").read_text())
    assert network["format"] == "vizlib statistics, version 4" and network["network_name"] == "linear"
    assert network["weights"] == "1" * 64 and network["image_size"] == 6 and network["layers"] == list(NET.layers)
    with h5py.File(path / "cat" / "images.h5") as file:
        np.testing.assert_array_equal(file["pixels"], IMAGES)
        assert file.attrs["n_images"] == N and file["pixels"].dtype == "uint8"
    with h5py.File(path / "cat" / "layers" / "conv.h5") as file:
        assert file.attrs["format"] == b"vizlib statistics, version 4" and file.attrs["weights"] == b"1" * 64
        assert (file.attrs["class_name"], file.attrs["layer"]) == (b"cat", b"conv")
        assert file.attrs["n_images"] == N and file.attrs["rectify"]
        assert file.attrs["h5py"].decode() == h5py.__version__
        assert file.attrs["backend"].decode() in ("tensorflow", "jax", "torch")
        age = datetime.now(UTC) - datetime.fromisoformat(file.attrs["time"].decode())
        assert timedelta(seconds=-1) < age < timedelta(minutes=5)
        np.testing.assert_array_equal(file["Snapshots/mean_"], Snapshots().fit(VALUES).mean_)
        values = file["activations"][()].astype("float32") * 2.0 ** file["exponents"][()].reshape(N, 1, 1, 1)
        np.testing.assert_allclose(values, VALUES, rtol=2**-11)

        def guarded(name, item):
            assert not isinstance(item, h5py.Dataset) or item.fletcher32

        file.visititems(guarded)


# Networks.


@pytest.mark.parametrize("what, value", [("weights", "c" * 64), ("preprocessing", "c" * 64), ("image_size", 64)])
def test_another_network(path, what, value):
    other = Net()
    other.identity = NET.identity | {what: value}
    before = everything(path)
    with pytest.raises(ValueError, match=f"'linear'; received 'linear' with {what} {value!s:.12} in place of"):
        StatsStore(path, other)
    assert everything(path) == before


def test_a_file_of_another_network_is_not_read(path, tmp_path):
    """Such as one that was copied there by hand."""
    other = Net()
    other.identity = NET.identity | {"weights": "9" * 64}
    fill(StatsStore(tmp_path / "other", other), "dog")
    (tmp_path / "other" / "dog").rename(path / "dog")
    store = StatsStore(path, NET)
    with pytest.raises(ValueError, match="expected the weights '111.*received '999"):
        store.model("dog", "conv")


# The whole folder.


def test_delete(store):
    fill(store, "dog")
    store.delete("cat", "conv")
    assert store.layers("cat") == ("image",) and store.layers("dog") == ("image", "conv")
    store.delete("cat")
    assert store.classes == ("dog",) and sorted(os.listdir(store.path)) == ["dog", "network.json"]
    with pytest.raises(ValueError, match=r"\(dog\); received 'cat'"):
        store.delete("cat")


def test_merge(path, tmp_path):
    other = StatsStore(tmp_path / "other", NET)
    fill(other, "cat", ["conv", "near"])
    fill(other, "dog", ["conv"], keep=True)
    store, before = StatsStore(path, NET), contents(path)
    kept = store.model("cat", "conv").entry
    store.merge(store)
    assert contents(path) == before
    store.merge(other)
    assert store.classes == ("cat", "dog") and store.collected("dog") == {"image": True, "conv": True}
    assert store.collected("cat") == {"image": True, "conv": True, "near": False}
    assert store.model("cat", "conv").entry == kept  # its own is not replaced
    same_state(store.model("cat", "near", "Moments"), other.model("cat", "near", "Moments"))
    table, theirs = store.to_dataframe(), other.to_dataframe()
    assert table[table["class"] == "dog"].time.tolist() == theirs[theirs["class"] == "dog"].time.tolist()
    copy = StatsStore(tmp_path / "new")
    copy.merge(store)
    assert contents(tmp_path / "new", NET) == contents(path)


def test_stores_that_do_not_fit_are_not_merged(path, tmp_path):
    before, store = everything(path), StatsStore(path, NET)
    other = StatsStore(tmp_path / "images", NET)
    fill(other, "ant")
    fill(other, "cat", sha="others")
    with pytest.raises(ValueError, match="images that 'cat' in .*stats was collected from; received 40 others in"):
        store.merge(other)
    foreign = Net()
    foreign.identity = NET.identity | {"image_size": 9}
    fill(foreign := StatsStore(tmp_path / "network", foreign), "dog")
    with pytest.raises(ValueError, match="with image_size 9 in place of 6"):
        store.merge(foreign)
    store.merge(StatsStore(tmp_path / "empty"))
    assert everything(path) == before


def test_a_merge_that_fails_leaves_nothing(path, tmp_path):
    other = StatsStore(tmp_path / "other", NET)
    fill(other, "ant")
    fill(other, "dog")
    damaged = tmp_path / "other" / "dog" / "layers" / "conv.h5"
    damaged.write_bytes(damaged.read_bytes()[:-500])
    before = everything(path)
    with pytest.raises(ValueError, match="intact .*conv.h5"):
        StatsStore(path, NET).merge(other)
    assert everything(path) == before and StatsStore(path).classes == ("cat",)


def test_the_table(path, store):
    table = store.to_dataframe()
    assert table["class"].tolist() == ["cat", "cat"] and table.layer.tolist() == ["image", "conv"]
    assert table.images.tolist() == [N, N] and table.activations.all()
    assert table.snapshots[1] == N and table.components[1] == N - 1 and table.snapshots.isna()[0]
    assert table.estimators.tolist() == ["ImageStatistics", "Marginals, Moments, Snapshots, Strongest"]
    sizes = [(path / "cat" / name).stat().st_size / 1e6 for name in ("images.h5", "layers/conv.h5")]
    assert table.MB.tolist() == sizes
    rows = repr(store).splitlines()
    assert rows[0] == f"StatsStore({str(path)!r})" and rows[2].split()[:3] == ["cat", "image", str(N)]
    assert rows[3].split()[:5] == ["cat", "conv", str(N), str(N), str(N - 1)]
    assert "<td>conv</td>" in store._repr_html_()
    assert len(StatsStore(path.with_name("new"), NET).to_dataframe()) == 0


def test_names_from_others_are_no_html(store):
    fill(store, "<script>alert(1)<script>")
    assert "<script" not in store._repr_html_() and "&lt;script" in store._repr_html_()


def test_files_are_small(tmp_path):
    """At most 60 bytes a unit, and 8 for each pair of images; here of 800 units and 200 images."""
    values = np.random.default_rng(0).standard_normal((200, 20, 20, 2)).astype("float32")
    store = StatsStore(tmp_path / "stats", NET)
    files.write_network(store.path, files.network_facts(NET))
    files.write_images(store.path, "cat", np.zeros((200, 6, 6, 3), "uint8"), "…")
    files.write_layer(store.path, "cat", "conv", states(values), True)
    size = (tmp_path / "stats" / "cat" / "layers" / "conv.h5").stat().st_size
    assert size < 60 * 800 + 8 * 200**2


# Writing.


@pytest.fixture
def full(monkeypatch):
    """A disk that takes some more bytes, as many as are asked for, and then no more."""

    def limit(n_bytes):
        left = [n_bytes]

        class Full(hdf5._Disk):
            def write(self, buffer):
                left[0] -= len(buffer)
                if left[0] < 0 and not self.error:
                    self.error = OSError(errno.ENOSPC, "No space left on device")
                return super().write(buffer)

        monkeypatch.setattr(hdf5, "_Disk", Full)

    return limit


@pytest.mark.parametrize("n_bytes", [0, 100, 5_000, 20_000])
def test_a_full_disk(path, full, n_bytes):
    before = everything(path)
    full(n_bytes)
    for act in (
        lambda: files.write_images(path, "cat", IMAGES.repeat(9, axis=0), "…"),
        lambda: files.write_layer(path, "cat", "more", states(), True),
        lambda: files.write_layer(path, "cat", "conv", {}, True, VALUES),
    ):
        with pytest.raises(OSError, match="No space left"):
            act()
        full(n_bytes)
    assert everything(path) == before


def test_a_disk_that_is_really_full(path):
    """/dev/full takes nothing: what HDF5 makes of it kills the process where it is not kept from it."""
    with pytest.raises(OSError, match="No space left"):
        hdf5._write("/dev/full", lambda file: file.create_dataset("x", data=np.arange(10**6)))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.ENOTSUP])
def test_a_folder_that_cannot_be_brought_to_the_disk(path, monkeypatch, number):
    """As on network drives, where fsync of a folder fails: the file is there all the same."""
    fsync = os.fsync

    def fails(fd):
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(number, os.strerror(number))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", fails)
    files.write_layer(path, "cat", "near", states(), True)
    assert StatsStore(path).layers("cat") == ("image", "near", "conv")


def test_a_folder_that_is_not_to_be_written_to(path, monkeypatch):
    def refuse(path, *args, **options):
        if "w" in args[0]:
            raise OSError(errno.EROFS, "Read-only file system", path)
        return real(path, *args, **options)

    real, before = open, everything(path)
    monkeypatch.setattr(hdf5, "open", refuse, raising=False)
    with pytest.raises(OSError, match="Read-only file system"):
        files.write_layer(path, "cat", "near", states(), True)
    assert everything(path) == before
    assert StatsStore(path, NET).model("cat", "conv").sample(2).shape == (2, 4, 5, 3)


def test_what_an_error_interrupts_is_as_before(path):
    before = everything(path)

    class Broken:
        shape, dtype = VALUES.shape, VALUES.dtype

        def __getitem__(self, rows):
            if rows.start > 5:
                raise KeyError("the source has gone")
            return VALUES[rows]

    with pytest.raises(KeyError, match="the source has gone"):
        files.write_layer(path, "cat", "conv", {}, True, Broken())
    assert everything(path) == before


def test_two_stores_at_one_folder(path):
    first, second, reader = (StatsStore(path, NET) for _ in range(3))
    fill(first, "dog")
    fill(second, "cow")
    first.delete("cat")
    assert first.classes == second.classes == reader.classes == ("cow", "dog")


def test_readers_need_no_lock(path):
    """A file that another program holds locked is read all the same."""
    import fcntl

    with open(path / "cat" / "layers" / "conv.h5", "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert StatsStore(path).model("cat", "conv", "Moments").n_samples_seen_ == N


# What is no store.


def test_nothing_is_there_yet(tmp_path):
    store = StatsStore(tmp_path / "no" / "stats", NET)
    assert store.classes == () and not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"expected a class of .*stats \(none\); received 'cat'"):
        store.model("cat", "conv")


def test_a_file_of_version_0_1(tmp_path):
    with h5py.File(tmp_path / "stats.h5", "w") as file:
        file.attrs["format"] = b"vizlib statistics, version 3"
    with pytest.raises(ValueError, match="a folder of statistics; received the file .*stats.h5. .*collect again"):
        StatsStore(tmp_path / "stats.h5", NET)


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ValueError, match=r"a folder of statistics, or a new one; received .* without network\.json"):
        StatsStore(tmp_path, NET)
    (tmp_path / "photo.jpg").rename(tmp_path / ".hidden")
    assert StatsStore(tmp_path, NET).classes == ()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '{"format": "vizlib statistics, version 5"}', '{"format": 4}',
     '{"format": "vizlib statistics, version 4"}', "\udcff"],
)
def test_a_damaged_record_of_the_network(path, text):
    (path / "network.json").write_text(text, "utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=r"expected .*(network\.json|stats).*; received"):
        StatsStore(path, NET)


def test_from_another_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = StatsStore("stats", NET)
    monkeypatch.chdir("/")
    store.delete("cat", "conv")
    assert StatsStore(path).layers("cat") == ("image",)
    assert Moments().fit(VALUES).n_samples_seen_ == N
