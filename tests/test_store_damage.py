"""Files that are damaged, foreign or made to do harm are refused in plain words; nothing wrong is ever read."""

import h5py
import numpy as np
import pytest
from stores import VALUES, N, contents, fill

from vizlib.store.store import StatsStore


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file of two classes, and what is in it. It is copied, never written."""
    path = tmp_path_factory.mktemp("whole") / "stats.h5"
    with StatsStore(path) as store:
        fill(store, "cat", keep=True)
        fill(store, "dog", ["conv"])
    return path.read_bytes(), contents(path)


@pytest.fixture
def path(whole, tmp_path):
    (tmp_path / "stats.h5").write_bytes(whole[0])
    return tmp_path / "stats.h5"


def refused_or_right(path, expected):
    """Whether the file is refused; if not, all has to be as expected."""
    try:
        assert contents(path) == expected
    except ValueError as error:
        assert "stats.h5" in str(error) and "received" in str(error), error
        return True
    return False


def test_truncated_anywhere(whole, path):
    rng = np.random.default_rng(0)
    lengths = {*range(0, 100, 10), *rng.integers(0, len(whole[0]), 40).tolist(), len(whole[0]) - 1}
    for length in lengths:
        path.write_bytes(whole[0][:length])
        assert refused_or_right(path, whole[1]), length


def test_a_bit_flipped_anywhere(whole, path):
    """Each byte of the superblock, and many others: what is read is right, or nothing is."""
    rng = np.random.default_rng(1)
    places = [*range(48), *rng.choice(np.arange(48, len(whole[0])), 160, replace=False).tolist()]
    refused = 0
    for place in places:
        damaged = bytearray(whole[0])
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        refused += refused_or_right(path, whole[1])
    assert refused > 0.6 * len(places)  # the others are bytes that nothing is in


def test_bytes_overwritten_in_a_row(whole, path):
    rng = np.random.default_rng(2)
    for filling in (b"\0", b"\xff", None):
        for start in rng.integers(0, len(whole[0]), 15).tolist():
            n = min(512, len(whole[0]) - start)
            damaged = whole[0][:start] + (filling * n if filling else rng.bytes(n)) + whole[0][start + n :]
            path.write_bytes(damaged)
            refused_or_right(path, whole[1])


def test_a_damaged_file_is_not_made_worse(whole, path):
    """To write, too, needs an intact file: what is refused stays as it is, byte for byte."""
    rng = np.random.default_rng(3)
    for place in rng.integers(0, len(whole[0]), 25).tolist():
        damaged = bytearray(whole[0])
        damaged[place] ^= 1
        path.write_bytes(damaged)
        was_refused = refused_or_right(path, whole[1])
        try:
            with StatsStore(path) as store:
                store.put("dog", "new", {"PCA": {"x": np.arange(9.0)}}, {"n_images": N, "rectify": False})
        except ValueError:
            assert path.read_bytes() == damaged
        else:
            with StatsStore(path) as store:
                store.delete("dog", "new")
            assert refused_or_right(path, whole[1]) == was_refused


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("content", [b"", b"name,value\n1,2\n", b"\x89HDF\r\n\x1a\n", bytes(5000), b"PK\x03\x04" * 99])
def test_no_hdf5_file(tmp_path, mode, content):
    file = tmp_path / "table.h5"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="expected an intact HDF5 file of statistics in .*table.h5; received"):
        StatsStore(file, mode)
    assert file.read_bytes() == content


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("libver", ["earliest", "v110"])
def test_an_hdf5_file_of_something_else(tmp_path, mode, libver):
    file = tmp_path / "weights.h5"
    with h5py.File(file, "w", libver=libver) as weights:
        weights["kernel"] = np.ones(3)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="the format 'vizlib statistics, version 3' .*weights.h5; received None"):
        StatsStore(file, mode)
    assert file.read_bytes() == before


def test_other_versions(path):
    for found in ("vizlib statistics, version 2", "vizlib statistics, version 4", 2):
        with h5py.File(path, "a") as file:
            file.attrs["format"] = found
        with pytest.raises(ValueError, match=f"version 3' .*; received .*{found}"):
            StatsStore(path)


# Made by an enemy: the checksums are right.


def dataset(name, *args, **options):
    """In the place of an array of the file, another one."""

    def harm(file):
        del file[name]
        file.create_dataset(name, *args, **options)

    return harm


def attribute(name, key, value):
    def harm(file):
        file[name].attrs[key] = value

    return harm


def link(name, target):
    def harm(file):
        del file[name]
        file[name] = file[target] if isinstance(target, str) else target

    return harm


def virtual(file):
    del file["cat/conv/activations"]
    sources = h5py.VirtualLayout(VALUES.shape, "float32")
    sources[...] = h5py.VirtualSource("other.h5", ARRAY, VALUES.shape)
    file.create_virtual_dataset("cat/conv/activations", sources)


def committed_type(file):
    del file["cat/conv/PCA"]
    file["cat/conv/PCA"] = np.dtype("float32")


def time_array(file):
    del file[MEAN]
    space, plist = h5py.h5s.create_simple((20,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    h5py.h5d.create(file.id, MEAN.encode(), h5py.h5t.UNIX_D32LE, space, plist)


def time_attribute(file):
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5a.create(file["cat/conv"].id, b"more", h5py.h5t.UNIX_D32LE, space)


def recursive(file):
    file["cat/conv/PCA/again"] = file["cat/conv"]


ARRAY, MEAN = "cat/conv/activations", "cat/conv/PCA/mean_"
SAFE = {"chunks": True, "fletcher32": True}
HARM = {
    "text": dataset(ARRAY, data=np.array([b"text"] * N, dtype=h5py.string_dtype())),
    "ragged": dataset(ARRAY, (N,), h5py.vlen_dtype("float32")),
    "compound": dataset(ARRAY, data=np.zeros((N, 2), [("a", "f4"), ("b", "f4")]), **SAFE),
    "references": dataset(ARRAY, (N,), h5py.ref_dtype),
    "opaque": dataset(ARRAY, data=np.zeros(N, "V8"), **SAFE),
    "complex": dataset(ARRAY, data=np.zeros(N, "complex64"), **SAFE),
    "another file's bytes": dataset(ARRAY, (N, 2), "uint8", external=[("/etc/passwd", 0, 2 * N)]),
    "virtual": virtual,
    "no checksums": dataset(ARRAY, data=VALUES, chunks=True),
    "not in chunks": dataset(ARRAY, data=VALUES),
    "a filter that may be a bomb": dataset(ARRAY, data=VALUES, compression="gzip", **SAFE),
    "huge": dataset(MEAN, (2**40,), "float32", chunks=(2**20,), compression="lzf", fletcher32=True),
    "huge chunk": dataset(MEAN, (20,), "float32", maxshape=(None,), chunks=(2**28,), fletcher32=True),
    "huge and empty": dataset(ARRAY, (N, 2**40), "float32", chunks=(1, 2**20), fletcher32=True),
    "a scalar": dataset(ARRAY, data=1.0),
    "null": dataset(ARRAY, data=h5py.Empty("f4")),
    "a type that NumPy has not": time_array,
    "an attribute of that type": time_attribute,
    "soft link": link("cat/conv/PCA", h5py.SoftLink("/dog/conv/PCA")),
    "soft link to nothing": link("cat/conv/PCA", h5py.SoftLink("/nothing")),
    "external link": link("cat/conv/PCA", h5py.ExternalLink("other.h5", "/cat/conv/PCA")),
    "external class": link("cat", h5py.ExternalLink("other.h5", "/cat")),
    "second name": lambda file: file.__setitem__("cat/twin", file["cat/conv"]),
    "hard link to the root": link("cat/conv", "/"),
    "hard link to itself": link("cat/conv", "cat"),
    "recursive": recursive,
    "group for array": link(MEAN, "cat/conv/Moments"),
    "array for group": dataset("cat/conv/PCA", data=np.zeros(3)),
    "array for layer": dataset("cat/conv", data=np.zeros(3)),
    "array for class": dataset("cat", data=np.zeros(3)),
    "type for group": committed_type,
    "mean of another length": dataset(MEAN, data=np.zeros(3, "float32"), **SAFE),
    "mean that is no number": dataset(MEAN, data=np.full(20, np.nan, "float32"), **SAFE),
    "mean missing": lambda file: file.__delitem__(MEAN),
    "variances below 0": dataset("cat/conv/PCA/explained_variance_", data=-np.ones(20), **SAFE),
    "count is text": attribute("cat/conv", "n_images", "many"),
    "count is many": attribute("cat", "n_images", np.arange(3)),
    "count is no integer": attribute("cat/conv", "n_images", 40.5),
    "shape is a number": attribute("cat/conv/PCA", "shape_", 20),
    "shape is huge": attribute("cat/conv/PCA", "shape_", [2**40, 2**40]),
    "rectify is text": attribute("cat/conv", "rectify", "yes"),
    "references as attribute": lambda file: file["cat/conv"].attrs.create("more", file.ref, dtype=h5py.ref_dtype),
    "null as attribute": attribute("cat/conv", "more", h5py.Empty("f4")),
    "ragged text as attribute": attribute("cat/conv/PCA", "more", "text"),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_an_enemy(path, harm):
    path.with_name("other.h5").write_bytes(path.read_bytes())  # what links lead to is there, and intact
    with h5py.File(path, "a") as file:
        harm(file)
    before = path.read_bytes()

    def read(store):
        for name in (None, "PCA", "Moments"):
            store.model("cat", "conv", name)
        store.activations("cat", "conv")
        store.collected("cat")

    with StatsStore(path, "r") as store, StatsStore(path.with_name("mine.h5")) as mine:
        with pytest.raises(ValueError, match="stats.h5"):
            read(store)
        assert store.model("dog", "conv").sample(2).shape == (2, 4, 5)
        with pytest.raises(ValueError):
            mine.merge(store)  # either it is refused, and nothing of it is there, or it can still not be read
            read(mine)
    assert path.read_bytes() == before


def test_layers_of_another_count_are_not_collected(path):
    with h5py.File(path, "a") as file:
        file["cat"].attrs["n_images"] = N + 1
        file["dog/conv"].attrs["n_images"] = N - 1
    with StatsStore(path) as store:
        assert store.collected("cat") == store.collected("dog") == {}


def test_a_changed_byte_of_an_array_is_noticed(path):
    with h5py.File(path) as file:
        offset = file["cat/conv/activations"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 100] ^= 1
    path.write_bytes(content)
    with StatsStore(path, "r") as store, pytest.raises(ValueError, match="intact HDF5 file .*stats.h5; .*filter"):
        store.activations("cat", "conv")
