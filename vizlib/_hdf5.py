"""What the store writes into HDF5, so that every damage shows, and reads from files that anyone may have made.

Only plain numbers and text come out, from groups and datasets that lie in the file itself, have one name, and carry
checksums; nothing is unpickled and no other file is opened. Anything else is a ValueError.
"""

import hashlib
import zlib
from contextlib import contextmanager
from math import prod

import h5py
import numpy as np

BLOCK = 32  # images that are kept in one chunk
CHUNK_BYTES = 2**20
MAX_COMPRESSION = 100  # LZF packs zeros 88 to 1
FILTERS = {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_LZF, h5py.h5z.FILTER_FLETCHER32}


@contextmanager
def intact(path):
    """Whatever h5py raises on a damaged file in the `with` block becomes a ValueError that names the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError) as error:
        if getattr(error, "errno", None) or isinstance(error, TimeoutError):  # of the system: disk full, no right
            raise
        raise ValueError(f"expected an intact HDF5 file of statistics in {path}; received: {error}") from error


def damaged(item, found):
    return ValueError(f"expected intact statistics in {item.file.filename}; received, at {item.name}: {found}.")


def checked(name):
    """A name, if it is one and no path."""
    if not isinstance(name, str) or name in ("", ".") or "/" in name or "\0" in name:
        raise ValueError(f"expected a name that is not empty or '.' and has no '/'; received {name!r}.")
    return name


def child(parent, name, kind=h5py.Group):
    """The group or dataset of this name in a group."""
    link = parent.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise damaged(parent, f"{name!r} is {link!r}")
    item = parent[name]
    if not isinstance(item, kind) or h5py.h5o.get_info(item.id).rc != 1:  # of two names, one may lie inside the other
        raise damaged(parent, f"{name!r} is {item!r}, of {h5py.h5o.get_info(item.id).rc} names")
    if isinstance(item, h5py.Dataset):
        _check_dataset(item)
    return item


def _check_dataset(dataset):
    pipeline = dataset.id.get_create_plist()
    filters = {pipeline.get_filter(i)[0] for i in range(pipeline.get_nfilters())}
    if _kind(dataset) not in "biuf" or dataset.shape is None or dataset.external or dataset.is_virtual:
        raise damaged(dataset, f"type {_kind(dataset)}, shape {dataset.shape}, files {dataset.external}")
    if not filters <= FILTERS or (dataset.size and h5py.h5z.FILTER_FLETCHER32 not in filters):
        raise damaged(dataset, f"filters {sorted(filters)}, or no checksums")
    stored = min(stored_bytes(dataset), dataset.file.id.get_filesize())
    if max(dataset.size, prod(dataset.chunks or ())) * dataset.dtype.itemsize > MAX_COMPRESSION * stored + CHUNK_BYTES:
        raise damaged(dataset, f"a shape of {dataset.shape} in {stored} bytes")


def _kind(item):
    """The kind of numbers in a dataset or attribute, a letter as of NumPy, which has none for some: "?"."""
    try:
        return item.dtype.kind
    except TypeError:
        return "?"


def stored_bytes(item):
    """How many bytes of the file the numbers of a dataset take."""
    return item.id.get_storage_size() if isinstance(item, h5py.Dataset) else 0


def attributes(item):
    """The attributes of a group, {name: str, number or array}."""
    found = {}
    for name in item.attrs:
        raw = item.attrs.get_id(name)
        kind = _kind(raw)
        if kind not in "biufS" or raw.shape is None:
            raise damaged(item, f"attribute {name!r} of type {kind!r}, shape {raw.shape}")
        value = item.attrs[name]
        if value.ndim == 0:
            value = value.decode(errors="replace") if kind == "S" else value.item()
        found[name] = value
    return found


def attribute(item, name, kind):
    """One attribute, which has to be a `kind`: str, int or bool."""
    value = attributes(item).get(name)
    if type(value) is not kind:
        raise damaged(item, f"its {name} is {value!r}")
    return value


def write_attributes(item, values):
    """Set attributes: str, numbers or short arrays of them. Text has a fixed length, as HDF5 guards no other."""
    for name, value in values.items():
        if isinstance(value, str):
            value = np.array(value.encode() or b"\0")
        value = np.asarray(value)
        if value.dtype.kind not in "biufS":
            raise ValueError(f"expected text or numbers as {name!r}; received {value!r}.")
        item.attrs.create(name, value)


def read_state(group):
    """The state of an estimator: the attributes and datasets of its group."""
    return attributes(group) | {name: child(group, name, h5py.Dataset)[()] for name in group}


def sha256(states):
    """The SHA-256 of states of estimators, {name: {name: array or number}}."""
    found = hashlib.sha256()
    for estimator, state in sorted(states.items()):
        for name, value in sorted(state.items()):
            value = np.ascontiguousarray(value)
            found.update(repr((estimator, name, value.shape, value.dtype.str)).encode() + value.tobytes())
    return found.hexdigest()


def write_state(group, state):
    """Write the state of an estimator: arrays become datasets, all else attributes."""
    for name, value in state.items():
        if isinstance(value, np.ndarray) and value.ndim:
            write_array(group, name, value)
        else:
            write_attributes(group, {name: value})


def write_array(group, name, array):
    """Write what has a shape, a dtype and blocks of rows `array[a:b]` as a dataset, in chunks with checksums."""
    shape, dtype = array.shape, np.dtype(array.dtype)
    if dtype.kind not in "biuf":
        raise ValueError(f"expected numbers as {name!r}; received {dtype}.")
    if 0 in shape:
        group.create_dataset(name, shape, dtype)
        return
    chunks = _chunks(shape, dtype.itemsize)
    first = np.ascontiguousarray(array[0 : chunks[0]]).tobytes()[:CHUNK_BYTES]
    packed = len(zlib.compress(first, 1)) < 0.8 * len(first)  # LZF reads a third as fast, and saves 7 % of components
    options = {"compression": "lzf", "shuffle": True} if packed else {}
    dataset = group.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=True, **options)
    for start in range(0, len(array), chunks[0]):
        dataset[start : start + chunks[0]] = array[start : start + chunks[0]]


def _chunks(shape, itemsize):
    """Of at most CHUNK_BYTES: some images and part of the next axis, that both can be read without the rest.

    All are of about one size, as the last one of an axis takes as much room as the others.
    """
    rows = _part(shape[0], BLOCK if shape[1:] else CHUNK_BYTES // itemsize)
    most = CHUNK_BYTES // (rows * prod(shape[2:]) * itemsize)
    return (rows, *(_part(length, most) for length in shape[1:2]), *shape[2:])


def _part(length, most):
    """The length over the fewest parts that are not above `most`."""
    return -(-length // -(-length // max(most, 1)))


def foreign_datasets(group):
    """{path: dataset} of all that is in a group of a file that others wrote, such as a network's weights.

    Raises ValueError unless all are plain numbers that lie in the file itself, in about as many bytes as they declare.
    """
    links = []
    group.visititems_links(lambda path, link: links.append((path, link)))
    for path, link in links:
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"expected all of a weights file in it; received {path!r}, {link!r}.")
    found = {path: group[path] for path, _ in links if isinstance(group[path], h5py.Dataset)}
    for path, item in found.items():
        stored = item.id.get_storage_size()
        elsewhere = item.external or item.is_virtual or h5py.h5o.get_info(item.id).rc != 1
        if _kind(item) not in "biufV" or item.shape is None or elsewhere:
            raise ValueError(f"expected numbers that lie in the file once; received {path!r} of type {_kind(item)!r}.")
        if item.size * item.dtype.itemsize > MAX_COMPRESSION * stored:
            raise ValueError(
                f"expected numbers as many as declared; received {path!r} of shape {item.shape} in {stored:,} bytes."
            )
    return found
