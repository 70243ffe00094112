"""The store gives back what was put in, and refuses files that are no statistics, damaged, or made to do harm."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from vizlib.statistics import BootstrapMix, ImageStatistics, PCAGaussian
from vizlib.store import BLOCK, StatsStore

N = BLOCK + 8  # more than one block
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), "uint8")
VALUES = np.random.default_rng(1).standard_normal((N, 4, 5)).astype("float32")


def fill(store, class_name="cat", layers=("image", "conv"), n=N, models=True):
    """What `collect` does, for n of the N images."""
    with store.new_group(class_name) as group:
        group.attrs.update({"n_images": N, "images_sha256": "…"})
    store.file.attrs.update({"network": "a" * 64, "network_name": "net"})
    for layer in layers:
        values = IMAGES if layer == "image" else VALUES
        for i in range(0, n, BLOCK):
            store.write(class_name, layer, i, values[i : min(i + BLOCK, n)], rectify=layer == "conv")
        if models:
            store.keep_model(class_name, layer)


@pytest.fixture
def path(tmp_path):
    """A file with the layers "image" and "conv" of the class "cat"."""
    with StatsStore(tmp_path / "stats.h5") as store:
        fill(store)
    return tmp_path / "stats.h5"


def same_state(ours, theirs):
    theirs = theirs.state()
    assert ours.state().keys() == theirs.keys()
    for name, value in ours.state().items():
        np.testing.assert_array_equal(value, theirs[name])


def test_what_was_written_comes_back(path):
    with StatsStore(path, "r") as store:
        assert store.classes == ("cat",)
        assert store.layers("cat") == ("image", "conv")
        np.testing.assert_array_equal(store.activations("cat", "conv"), VALUES)
        np.testing.assert_array_equal(store.activations("cat", "image"), IMAGES / np.float32(255))
        same_state(store.model("cat", "conv"), PCAGaussian(rectify=True).fit(VALUES))
        same_state(store.model("cat", "image"), ImageStatistics().fit(IMAGES))


def test_other_estimators_are_fitted_on_demand(path):
    with StatsStore(path, "r") as store:
        mix = store.model("cat", "conv", "BootstrapMix")
        assert isinstance(mix, BootstrapMix) and mix.rectify
        np.testing.assert_array_equal(mix.sample(5, seed=2), BootstrapMix(rectify=True).fit(VALUES).sample(5, seed=2))
        faces = store.model("cat", "image", "PCAGaussian")
        same_state(faces, PCAGaussian().fit(IMAGES / np.float32(255)))


def test_models_outlive_the_file(path):
    with StatsStore(path, "r") as store:
        models = [store.model("cat", "conv"), store.model("cat", "conv", "BootstrapMix")]
    assert [model.sample(2).shape for model in models] == [(2, 4, 5)] * 2


@pytest.mark.parametrize("value", [0, 255])
def test_values_that_compress_best_are_not_taken_for_a_bomb(tmp_path, value):
    images = np.full((N, 256, 256, 3), value, "uint8")
    with StatsStore(tmp_path / "stats.h5") as store:
        with store.new_group("night") as group:
            group.attrs.update({"n_images": N, "images_sha256": "…"})
        for i in range(0, N, BLOCK):
            store.write("night", "image", i, images[i : i + BLOCK], rectify=False)
        assert (store.activations("night", "image") == value / 255).all()


def test_unknown_names_are_answered_with_the_known_ones(path):
    with StatsStore(path, "r") as store:
        with pytest.raises(ValueError, match=r"expected a class of .*stats.h5/ \(cat\); received 'dog'"):
            store.model("dog", "conv")
        with pytest.raises(ValueError, match=r"expected a layer of .*/cat \(image, conv\); received 'fc1'"):
            store.activations("cat", "fc1")
        with pytest.raises(ValueError, match="PCAGaussian, LocalGaussian, BootstrapMix; received 'ImageStatistics'"):
            store.model("cat", "conv", "ImageStatistics")


@pytest.mark.parametrize("name", ["", ".", "a/b", "/", "a\0b", None])
def test_names_that_hdf5_would_take_for_paths_are_refused(path, name):
    with StatsStore(path) as store:
        with pytest.raises(ValueError, match="expected a name"):
            store.layers(name)
        with pytest.raises(ValueError, match="expected a name"), store.new_group("cat", name):
            pass
        assert store.classes == ("cat",) and store.layers("cat") == ("image", "conv")


def test_an_interrupted_collection_says_so(tmp_path):
    with StatsStore(tmp_path / "stats.h5") as store:
        fill(store, n=BLOCK, models=False)
        for read in (store.model, store.activations):
            with pytest.raises(ValueError, match=f"for {N} images; .* has {BLOCK}: .* interrupted"):
                read("cat", "conv")
        assert f"{BLOCK} of {N}" in repr(store)


def test_values_without_a_model_are_fitted_when_asked_for(tmp_path):
    with StatsStore(tmp_path / "stats.h5") as store:
        fill(store, models=False)
        same_state(store.model("cat", "conv"), PCAGaussian(rectify=True).fit(VALUES))


def test_delete(path):
    with StatsStore(path) as store:
        fill(store, "dog")
        store.delete("cat", "conv")
        assert store.layers("cat") == ("image",) and store.layers("dog") == ("image", "conv")
        store.delete("cat")
        assert store.classes == ("dog",)
        with pytest.raises(ValueError, match=r"\(dog\); received 'cat'"):
            store.delete("cat")


def test_check_network(path):
    net = SimpleNamespace(fingerprint="a" * 64, model=SimpleNamespace(name="other"))
    with StatsStore(path, "r") as store:
        store.check_network(net)
        net.fingerprint = "b" * 64
        with pytest.raises(ValueError, match="'net' of fingerprint aaaaaaaaaaaa; received 'other' of fingerprint bbbb"):
            store.check_network(net)


def test_repr_is_a_table(path):
    with StatsStore(path, "r") as store:
        assert [row.split() for row in repr(store).splitlines()[1:]] == [
            ["cat", "image", str(N), "of", str(N)],
            ["cat", "conv", str(N), "of", str(N)],
        ]
    assert repr(store) == f"StatsStore({str(path)!r}, closed)"


# Files that are not what they should be.


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="collect.*missing.h5"):
        StatsStore(tmp_path / "missing.h5", "r")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["w", "r+", "x", None])
def test_other_modes_are_refused_before_the_file_is_touched(path, mode):
    before = path.read_bytes()
    with pytest.raises(ValueError, match="mode 'r' or 'a'; received"):
        StatsStore(path, mode)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode, content", [("r", b""), ("r", b"name,value\n1,2\n"), ("a", b"name,value\n1,2\n")])
def test_no_hdf5_file(tmp_path, mode, content):
    file = tmp_path / "table.h5"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="whole HDF5 file of statistics; .*table.h5"):
        StatsStore(file, mode)
    assert file.read_bytes() == content


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_truncated_file(path, mode, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="whole HDF5 file"):
        StatsStore(path, mode)


@pytest.mark.parametrize("mode", ["r", "a"])
def test_an_hdf5_file_of_something_else(tmp_path, mode):
    file = tmp_path / "weights.h5"
    with h5py.File(file, "w") as weights:
        weights["kernel"] = np.ones(3)
    before = file.read_bytes()
    with pytest.raises(
        ValueError, match="expected the format 'vizlib statistics, version 1' .*weights.h5; received None"
    ):
        StatsStore(file, mode)
    assert file.read_bytes() == before


def test_another_version(path):
    with h5py.File(path, "a") as file:
        file.attrs["format"] = "vizlib statistics, version 2"
    with pytest.raises(ValueError, match="version 1' .* received 'vizlib statistics, version 2'"):
        StatsStore(path)


def test_a_changed_byte_is_noticed(path):
    with h5py.File(path) as file:
        offset = file["cat/conv/values"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 100] ^= 1
    path.write_bytes(content)
    with StatsStore(path, "r") as store:
        for read in (store.activations, lambda *names: store.model(*names, "BootstrapMix")):
            with pytest.raises(ValueError, match="expected intact statistics in .*stats.h5; at /cat/conv/values"):
                read("cat", "conv")


def text(file):
    del file["cat/conv/values"]
    file["cat/conv/values"] = np.array([b"text"] * N, dtype=h5py.string_dtype())


def ragged(file):
    del file["cat/conv/values"]
    file.create_dataset("cat/conv/values", (N,), h5py.vlen_dtype("float32"))


def compound(file):
    del file["cat/conv/values"]
    file["cat/conv/values"] = np.zeros((N, 2), dtype=[("a", "f4"), ("b", "f4")])


def raw_file(file):
    del file["cat/conv/values"]
    file.create_dataset("cat/conv/values", (N, 2), "uint8", external=[("/etc/passwd", 0, 2 * N)])


def virtual(file):
    del file["cat/conv/values"]
    layout = h5py.VirtualLayout((N, 2), "float32")
    layout[...] = h5py.VirtualSource("other.h5", "x", (N, 2))
    file.create_virtual_dataset("cat/conv/values", layout)


def soft_link(file):
    file["dog"] = h5py.SoftLink("/cat")


def external_link(file):
    file["cat/conv/PCAGaussian/more"] = h5py.ExternalLink("other.h5", "/")


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("harm", [text, ragged, compound, raw_file, virtual, soft_link, external_link])
def test_all_but_plain_numbers_of_the_file_itself_is_refused(path, harm, mode):
    with h5py.File(path, "a") as file:
        harm(file)
    with pytest.raises(ValueError, match="expected plain numbers in .*stats.h5 itself; received"):
        StatsStore(path, mode)
    with h5py.File(path, "a"):
        pass  # and it is closed again


def huge_values(file):
    del file["cat/conv/values"]
    file.create_dataset("cat/conv/values", (N, 2**30), "float32", chunks=(1, 2**20))[0, :5] = 1


def huge_mean(file):
    del file["cat/conv/PCAGaussian/mean_"]
    file.create_dataset("cat/conv/PCAGaussian/mean_", (2**40,), "float32", chunks=(2**20,), compression="lzf")


def other_count(file):
    file["cat"].attrs["n_images"] = N - 1
    file["cat/conv"].attrs["n_collected"] = N - 1


def count_is_text(file):
    file["cat/conv"].attrs["n_collected"] = "many"


def counts_are_many(file):
    file["cat"].attrs["n_images"] = np.arange(3)


def no_mean(file):
    del file["cat/conv/PCAGaussian/mean_"]


def no_model(file):
    del file["cat/conv/PCAGaussian"]
    file["cat/conv/PCAGaussian"] = np.zeros(3)


def no_values(file):
    del file["cat/conv/values"]
    file.create_group("cat/conv/values")


def no_layer(file):
    del file["cat/conv"]
    file["cat/conv"] = np.zeros(3)


def wrong_mean(file):
    del file["cat/conv/PCAGaussian/mean_"]
    file["cat/conv/PCAGaussian/mean_"] = np.zeros(3, "float32")


def shape_is_a_number(file):
    del file["cat/conv/PCAGaussian/shape_"]
    file["cat/conv/PCAGaussian/shape_"] = 20


@pytest.mark.parametrize(
    "harm",
    [
        huge_values,
        huge_mean,
        other_count,
        count_is_text,
        counts_are_many,
        no_mean,
        no_model,
        no_values,
        no_layer,
        wrong_mean,
        shape_is_a_number,
    ],
)
def test_contents_that_cannot_be_are_refused(path, harm):
    with h5py.File(path, "a") as file:
        harm(file)
    with (
        StatsStore(path, "r") as store,
        pytest.raises(ValueError, match="expected intact statistics in .*stats.h5; at /"),
    ):
        store.model("cat", "conv")
