"""Files that are damaged, foreign or made to do harm are refused in plain words; nothing wrong is ever read."""

import shutil

import h5py
import numpy as np
import pytest
from stores import NET, VALUES, N, contents, everything, fill, states

from vizlib.store import StatsStore, files

IMAGES, LAYER, NETWORK = "cat/images.h5", "cat/layers/conv.h5", "network.json"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder of two classes, and what is in it. It is copied, never written."""
    path = tmp_path_factory.mktemp("whole") / "stats"
    fill(StatsStore(path, NET), "cat", keep=True)
    fill(StatsStore(path, NET), "dog")
    return path, contents(path)


@pytest.fixture
def path(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "stats")
    return tmp_path / "stats"


def refused_or_right(path, expected):
    """Whether the folder is refused; if not, all has to be as expected."""
    try:
        assert contents(path, NET) == expected
    except ValueError as error:
        assert "stats" in str(error) and "received" in str(error), error
        return True
    return False


def damaged(path, name, change, expected):
    """Whether a file that was changed is refused; it is put back as it was."""
    file = path / name
    before = file.read_bytes()
    file.write_bytes(change(before))
    try:
        return refused_or_right(path, expected)
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("name", [IMAGES, LAYER, NETWORK])
def test_truncated_anywhere(whole, path, name):
    rng, size = np.random.default_rng(0), (path / name).stat().st_size
    for length in {*range(0, 100, 20), *rng.integers(0, size, 15).tolist(), size - 1}:
        assert damaged(path, name, lambda content, length=length: content[:length], whole[1]), length


@pytest.mark.parametrize("name, share", [(IMAGES, 0.6), (LAYER, 0.6), (NETWORK, 0.3)])
def test_a_bit_flipped_anywhere(whole, path, name, share):
    """Each byte of the superblock, and many others: what is read is right, or nothing is."""
    rng, size = np.random.default_rng(1), (path / name).stat().st_size
    places = [*range(48), *rng.choice(np.arange(48, size), 90, replace=False).tolist()]

    def flipped(content, place):
        content = bytearray(content)
        content[place] ^= 1 << int(rng.integers(8))
        return bytes(content)

    refused = sum(damaged(path, name, lambda x, place=place: flipped(x, place), whole[1]) for place in places)
    assert refused > share * len(places)  # the others are bytes that nothing is in, or the name of the network


@pytest.mark.parametrize("name", [IMAGES, LAYER])
def test_bytes_overwritten_in_a_row(whole, path, name):
    rng = np.random.default_rng(2)
    for filling in (b"\0", b"\xff", None):
        for start in rng.integers(0, (path / name).stat().st_size - 512, 12).tolist():
            damaged(path, name, lambda x, at=start, by=filling: x[:at] + (by * 512 if by else rng.bytes(512))
                    + x[at + 512 :], whole[1])


def test_facts_of_a_network_that_are_nested_without_end(path):
    (path / NETWORK).write_text("[" * 10**5)
    with pytest.raises(ValueError, match=f"expected an intact {NETWORK}"):
        StatsStore(path, NET)


def test_damage_stays_where_it_is(whole, path):
    """What is refused stays as it is, byte for byte; other layers and classes are read and written as ever."""
    content = bytearray((path / LAYER).read_bytes())
    content[len(content) // 2] ^= 1
    (path / LAYER).write_bytes(content)
    store = StatsStore(path, NET)
    files.write_layer(path, "cat", "near", states(), True)
    assert store.model("cat", "near", "Moments").n_samples_seen_ == N == store.model("dog", "conv").n_samples_seen_
    assert refused_or_right(path, whole[1]) and (path / LAYER).read_bytes() == content
    store.delete("cat", "conv")
    store.delete("cat", "near")
    fill(store, "cat", keep=True)
    assert contents(path) == whole[1]


@pytest.mark.parametrize("content", [b"", b"name,value\n1,2\n", b"\x89HDF\r\n\x1a\n", bytes(5000), b"PK\x03\x04" * 99])
def test_no_hdf5_file(path, content):
    (path / LAYER).write_bytes(content)
    with pytest.raises(ValueError, match="expected an intact HDF5 file of statistics in .*conv.h5; received"):
        StatsStore(path, NET).model("cat", "conv")


@pytest.mark.parametrize("libver", ["earliest", "v110"])
def test_an_hdf5_file_of_something_else(path, libver):
    with h5py.File(path / LAYER, "w", libver=libver) as weights:
        weights["kernel"] = np.ones(3)
    with pytest.raises(ValueError, match="intact statistics in .*conv.h5; received, at /: its format is None"):
        StatsStore(path, NET).model("cat", "conv")


def test_other_versions(path):
    for found in ("vizlib statistics, version 3", "vizlib statistics, version 5"):
        with h5py.File(path / LAYER, "a") as file:
            file.attrs["format"] = np.array(found.encode())
        with pytest.raises(ValueError, match=f"version 4' .*conv.h5; received '{found}'"):
            StatsStore(path, NET).model("cat", "conv")


def test_a_file_in_the_place_of_another(path):
    """A layer, or a class, under another's name would give wrong statistics without a word."""
    shutil.copy(path / LAYER, path / "cat" / "layers" / "near.h5")
    shutil.copytree(path / "cat", path / "cow")
    store = StatsStore(path, NET)
    with pytest.raises(ValueError, match="expected the layer 'near' in .*near.h5; received 'conv'"):
        store.model("cat", "near")
    with pytest.raises(ValueError, match="expected the class_name 'cow' in .*conv.h5; received 'cat'"):
        store.model("cow", "conv")


def test_statistics_that_were_changed_with_right_checksums(path):
    """The SHA-256 of the content finds what HDF5's own checksums cannot."""
    with h5py.File(path / LAYER, "a") as file:
        file["Moments/mean_"][0, 0, 0] += 1
    with pytest.raises(ValueError, match="conv.h5; .*another SHA-256"):
        StatsStore(path, NET).model("cat", "conv", "Moments")


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
    del file[ARRAY]
    sources = h5py.VirtualLayout(VALUES.shape, "float16")
    sources[...] = h5py.VirtualSource("other.h5", ARRAY, VALUES.shape)
    file.create_virtual_dataset(ARRAY, sources)


def committed_type(file):
    del file["Snapshots"]
    file["Snapshots"] = np.dtype("float32")


def time_array(file):
    del file[MEAN]
    space, plist = h5py.h5s.create_simple((LENGTH,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    h5py.h5d.create(file.id, MEAN.encode(), h5py.h5t.UNIX_D32LE, space, plist)


def time_attribute(file):
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5a.create(file.id, b"more", h5py.h5t.UNIX_D32LE, space)


def recursive(file):
    file["Snapshots/again"] = file["Snapshots"]


ARRAY, MEAN, LENGTH = "activations", "Snapshots/mean_", 60
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
    "huge chunk": dataset(MEAN, (LENGTH,), "float32", maxshape=(None,), chunks=(2**28,), fletcher32=True),
    "huge and empty": dataset(ARRAY, (N, 2**40), "float16", chunks=(1, 2**20), fletcher32=True),
    "a scalar": dataset(ARRAY, data=1.0),
    "null": dataset(ARRAY, data=h5py.Empty("f4")),
    "a type that NumPy has not": time_array,
    "an attribute of that type": time_attribute,
    "soft link": link("Snapshots", h5py.SoftLink("/Moments")),
    "soft link to nothing": link("Snapshots", h5py.SoftLink("/nothing")),
    "external link": link("Snapshots", h5py.ExternalLink("other.h5", "/Snapshots")),
    "second name": lambda file: file.__setitem__("twin", file["Snapshots"]),
    "hard link to the root": link("Snapshots", "/"),
    "recursive": recursive,
    "group for array": link(MEAN, "Moments"),
    "array for group": dataset("Snapshots", data=np.zeros(3)),
    "group for activations": link(ARRAY, "Moments"),
    "type for group": committed_type,
    "mean of another length": dataset(MEAN, data=np.zeros(3, "float32"), **SAFE),
    "mean that is no number": dataset(MEAN, data=np.full(LENGTH, np.nan, "float32"), **SAFE),
    "mean missing": lambda file: file.__delitem__(MEAN),
    "activations of fewer images": dataset(ARRAY, data=VALUES[1:].astype("float16"), **SAFE),
    "exponents missing": lambda file: file.__delitem__("exponents"),
    "exponents of fewer images": dataset("exponents", data=np.zeros(N - 1, "int16"), **SAFE),
    "exponents that are no integers": dataset("exponents", data=np.zeros(N, "float32"), **SAFE),
    "count is text": attribute("/", "n_images", "many"),
    "count is another": attribute("/", "n_images", N + 1),
    "count is many": attribute("/", "n_images", np.arange(3)),
    "count is no integer": attribute("/", "n_images", 40.5),
    "shape is a number": attribute("Snapshots", "shape_", 20),
    "shape is huge": attribute("Snapshots", "shape_", [2**40, 2**40]),
    "rectify is text": attribute("/", "rectify", "yes"),
    "references as attribute": lambda file: file.attrs.create("more", file.ref, dtype=h5py.ref_dtype),
    "null as attribute": attribute("/", "more", h5py.Empty("f4")),
    "ragged text as attribute": attribute("Snapshots", "more", "text"),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_an_enemy(path, harm):
    (path / "cat" / "layers" / "other.h5").write_bytes((path / LAYER).read_bytes())  # what links lead to, intact
    with h5py.File(path / LAYER, "a") as file:
        harm(file)
    (path / "cat" / "layers" / "other.h5").rename(path / "other.h5")
    before = everything(path)

    def read(store):
        for name in (None, "PCAGaussian", "Moments", "GaussianCopula"):
            store.model("cat", "conv", name)
        store.activations("cat", "conv")
        store.collected("cat")

    store, mine = StatsStore(path, NET), StatsStore(path.with_name("mine"), NET)
    with pytest.raises(ValueError, match="conv.h5"):
        read(store)
    assert store.model("dog", "conv").sample(2).shape == (2, 4, 5, 3)
    with pytest.raises(ValueError):
        mine.merge(store)  # either it is refused, and nothing of it is there, or it can still not be read
        read(mine)
    assert everything(path) == before


def test_a_changed_byte_of_an_array_is_noticed(path):
    with h5py.File(path / LAYER) as file:
        offset = file[ARRAY].id.get_chunk_info(0).byte_offset
    content = bytearray((path / LAYER).read_bytes())
    content[offset + 100] ^= 1
    (path / LAYER).write_bytes(content)
    with pytest.raises(ValueError, match="intact HDF5 file .*conv.h5; .*filter"):
        StatsStore(path, NET).activations("cat", "conv")


def test_links_in_the_place_of_files_lead_no_further_than_their_content(path, tmp_path):
    """A link to a file of something else is read as that file, and refused as such."""
    (tmp_path / "secret").write_text("secret")
    (path / LAYER).unlink()
    (path / LAYER).symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="expected an intact HDF5 file"):
        StatsStore(path, NET).model("cat", "conv")
