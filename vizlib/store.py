"""One HDF5 file of activations and of the statistics fitted on them.

    /                         attributes: format, version, network (SHA-256), network_name
    /CLASS                    attributes: n_images, images_sha256
    /CLASS/LAYER              attributes: n_collected, rectify
    /CLASS/LAYER/values       (n_images, ...), one row for each image: float32, before the ReLU where rectify is true
    /CLASS/LAYER/ESTIMATOR/…  the state of a fitted estimator, a dataset for each entry

The layer "image" is the images themselves, uint8 where that loses nothing. Arrays are chunked, shuffled,
LZF-compressed and carry Fletcher-32 checksums; rows of `values` from n_collected on are not there yet.

A file may come from anyone: only plain numbers that lie in the file itself are read, and never much more of them than
the file has bytes for.
"""

from pathlib import Path

import h5py
import numpy as np

from vizlib import statistics
from vizlib.images import as_images

FORMAT = "vizlib statistics"
VERSION = 1
IMAGE = "image"
BLOCK = 32  # images that are collected at a time; chunks never straddle two blocks
CHUNK_BYTES = 2**20
MAX_COMPRESSION = 100  # LZF packs zeros about 88 to 1


class StatsStore:
    """An open file of statistics, to be used in a `with` statement.

    path: the file. mode: "a" to read and write, making the file if there is none; "r" to read.

    Raises FileNotFoundError if there is nothing to read, ValueError for a file of another kind or version. All
    methods raise ValueError for a class or layer that is not there, for statistics whose collection was interrupted,
    and for a file that is damaged.
    """

    def __init__(self, path, mode="a"):
        if mode not in ("r", "a"):
            raise ValueError(f"expected mode 'r' or 'a'; received {mode!r}.")
        self.path = Path(path)
        if mode == "r" and not self.path.is_file():
            raise FileNotFoundError(f"expected a file of statistics, which collect() makes; found no file {path}.")
        try:
            self.file = h5py.File(self.path, mode)
        except OSError as error:
            if error.errno is not None:  # what the system refuses: no permission, no such folder, locked
                raise
            raise ValueError(f"expected a whole HDF5 file of statistics; {path} gave: {error}") from error
        try:
            self._check_format(new=mode == "a" and not self.file.keys() and not self.file.attrs)
        except BaseException:
            self.close()
            raise

    def _check_format(self, new):
        if new:
            self.file.attrs.update({"version": VERSION, "format": FORMAT})
        found = f"{self.file.attrs.get('format')}, version {self.file.attrs.get('version')}"
        if found != f"{FORMAT}, version {VERSION}":
            raise ValueError(f"expected {FORMAT}, version {VERSION}, in {self.path}; received {found}.")

    def close(self):
        self.file.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        if not self.file:
            return f"StatsStore({str(self.path)!r}, closed)"
        rows = [f"StatsStore({str(self.path)!r})"]
        for class_name in self.classes:
            for layer in self.layers(class_name):
                counts = f"{self.n_collected(class_name, layer)} of {self._n_images(class_name)}"
                rows.append(f"  {class_name:16} {layer:16} {counts}")
        return "\n".join(rows)

    @property
    def classes(self):
        """The names of the classes."""
        return tuple(self.file)

    def layers(self, class_name):
        """The names of the layers of a class, in the order in which they were collected; the first is "image"."""
        return tuple(self._group(class_name))

    def model(self, class_name, layer, estimator=None):
        """A fitted estimator of `vizlib.statistics`.

        estimator: its name; if None, "ImageStatistics" for the layer "image" and "PCAGaussian" for others, which are
        kept in the file. Another one, such as "BootstrapMix", is fitted here and now.
        """
        name = estimator or default_estimator(layer)
        known = ("PCAGaussian", "BootstrapMix", "ImageStatistics" if layer == IMAGE else "")
        if name not in filter(None, known):
            raise ValueError(f"expected an estimator out of {', '.join(filter(None, known))}; received {name!r}.")
        estimator = getattr(statistics, name)
        values = self._values(class_name, layer)
        try:
            if name in values.parent:
                return estimator.from_state(self._read_state(values.parent, name))
            model = estimator(rectify=True) if self._attribute(values.parent, "rectify", np.bool_) else estimator()
            return model.fit(as_images(values[...]) if layer == IMAGE else values)
        except (OSError, KeyError) as error:
            raise self._damaged(values.parent, error) from error

    def activations(self, class_name, layer):
        """What was collected: float32 (n, ...), before the ReLU if the layer ends in one; of "image" the images."""
        values = self._values(class_name, layer)
        try:
            return as_images(values[...]) if layer == IMAGE else values[...]
        except OSError as error:
            raise self._damaged(values, error) from error

    def delete(self, class_name, layer=None):
        """Remove a class, or one layer of it. The file keeps its size, but the room is used again."""
        group = self._group(class_name, layer)
        del group.parent[group.name.rsplit("/")[-1]]

    def check_network(self, net):
        """Raise ValueError if the statistics are of another network, or of this one with other weights."""
        expected = self.file.attrs.get("network")
        if expected != net.fingerprint:
            name = self.file.attrs.get("network_name")
            raise ValueError(
                f"expected the network that {self.path} was collected with, {name!r} of fingerprint "
                f"{str(expected)[:12]}; received {net.model.name!r} of fingerprint {net.fingerprint[:12]}."
            )

    # What follows is for `collect`. Each step can be taken again, so that an interrupted one does no harm.

    def begin(self, net, class_name, n_images, images_sha256):
        """Open a class for writing; ValueError if it, or the file, holds something else."""
        if self.file.mode == "r":
            raise ValueError(f"expected a store opened with mode 'a'; received {self.path} opened with mode 'r'.")
        if "network" not in self.file.attrs:
            self.file.attrs.update({"network_name": net.model.name, "network": net.fingerprint})
        self.check_network(net)
        group = self._make_group(self.file, class_name)
        if "images_sha256" not in group.attrs:
            group.attrs.update({"n_images": n_images, "images_sha256": images_sha256})
        if group.attrs["images_sha256"] != images_sha256:
            raise ValueError(
                f"expected the {self._n_images(class_name)} images that {class_name!r} in {self.path} was collected "
                f"from; received {n_images} others. Choose another class name or another file, or call "
                f"store.delete({class_name!r}) first."
            )

    def n_collected(self, class_name, layer):
        """How many images of a class a layer has been collected of."""
        if layer not in self._group(class_name):
            return 0
        group = self._group(class_name, layer)
        return self._attribute(group, "n_collected", np.integer) if "n_collected" in group.attrs else 0

    def write(self, class_name, layer, start, block, rectify):
        """Write the values of images start, start + 1, …: the rows of block, float32 or uint8."""
        group = self._make_group(self._group(class_name), layer)
        if "values" not in group:
            group.attrs["rectify"] = rectify
            _create(group, "values", (self._n_images(class_name), *block.shape[1:]), block.dtype)
        self._child(group, "values", h5py.Dataset)[start : start + len(block)] = block
        group.attrs["n_collected"] = start + len(block)
        self.file.flush()

    def keep_model(self, class_name, layer):
        """Fit the default estimator and write it, unless it is there."""
        name, group = default_estimator(layer), self._group(class_name, layer)
        if name in group:
            return
        if "unfinished" in group:
            del group["unfinished"]
        part = group.create_group("unfinished")
        for key, value in self.model(class_name, layer).state().items():
            value = np.asarray(value)
            _create(part, key, value.shape, value.dtype)[...] = value
        group.move("unfinished", name)
        self.file.flush()

    # Reading what may come from anyone.

    def _group(self, class_name, layer=None):
        group = self.file
        for kind, name in (("class", class_name), ("layer", layer)):
            if name is None:
                break
            if _checked(name) not in group:
                where = self.path if kind == "class" else f"{class_name!r} in {self.path}"
                known = ", ".join(group) or "none"
                raise ValueError(f"expected a {kind} of {where} ({known}); received {name!r}.")
            group = self._child(group, name, h5py.Group)
        return group

    def _make_group(self, parent, name):
        if _checked(name) not in parent:
            parent.create_group(name, track_order=True)
        return self._child(parent, name, h5py.Group)

    def _child(self, parent, name, kind):
        """A group or dataset that lies in the file itself."""
        if not isinstance(parent.get(name, getlink=True), h5py.HardLink) or not isinstance(parent[name], kind):
            raise self._damaged(parent, f"{name!r} is no {kind.__name__.lower()}")
        return parent[name]

    def _dataset(self, group, name):
        """A dataset that is safe to read: plain numbers, in the file itself, about as many as it has bytes for."""
        dataset = self._child(group, name, h5py.Dataset)
        if dataset.dtype.kind not in "biuf" or dataset.external or dataset.is_virtual:
            raise self._damaged(dataset, f"{dataset.dtype}, or data in other files")
        stored = min(dataset.id.get_storage_size(), self.path.stat().st_size)
        if dataset.nbytes > MAX_COMPRESSION * stored + CHUNK_BYTES:
            raise self._damaged(dataset, f"a shape of {dataset.shape} for {stored} bytes")
        return dataset

    def _values(self, class_name, layer):
        group, n = self._group(class_name, layer), self._n_images(class_name)
        collected = self.n_collected(class_name, layer)
        if collected != n:
            raise ValueError(
                f"expected {layer!r} of {class_name!r} for {n} images; {self.path} has {collected}: the collection "
                "was interrupted. Call collect() again with the same images to complete it."
            )
        values = self._dataset(group, "values")
        if values.ndim < 2 or len(values) != n:
            raise self._damaged(values, f"a shape of {values.shape} for {n} images")
        return values

    def _read_state(self, group, name):
        group = self._child(group, name, h5py.Group)
        return {key: self._dataset(group, key)[()] for key in group}

    def _n_images(self, class_name):
        return self._attribute(self._group(class_name), "n_images", np.integer)

    def _attribute(self, group, name, kind):
        value = group.attrs.get(name)
        if not isinstance(value, kind):
            raise self._damaged(group, f"its {name} is {value!r}")
        return value.item()

    def _damaged(self, item, found):
        return ValueError(f"expected intact statistics in {self.path}; at {item.name} found: {found}.")


def default_estimator(layer):
    return "ImageStatistics" if layer == IMAGE else "PCAGaussian"


def _checked(name):
    """The name, if HDF5 takes it for a single one."""
    if not name or name == "." or "/" in name or "\0" in name:
        raise ValueError(f"expected a name without '/' that is not empty or '.'; received {name!r}.")
    return name


def _create(group, name, shape, dtype):
    """A dataset; if an array, in chunks of about CHUNK_BYTES: a block of rows and part of the next axis."""
    if not shape or 0 in shape:
        return group.create_dataset(name, shape, dtype)
    rows = min(shape[0], BLOCK)
    chunks = (rows, *shape[1:])
    if len(shape) > 1:
        part = CHUNK_BYTES // (rows * int(np.prod(shape[2:])) * np.dtype(dtype).itemsize)
        chunks = (rows, min(max(part, 1), shape[1]), *shape[2:])
    return group.create_dataset(name, shape, dtype, chunks=chunks, compression="lzf", shuffle=True, fletcher32=True)
