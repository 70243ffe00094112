"""One HDF5 file of activations and of the statistics fitted on them.

    /                         attributes: format (with its version), network (SHA-256), network_name
    /CLASS                    attributes: n_images, images_sha256
    /CLASS/LAYER              attributes: n_collected, rectify
    /CLASS/LAYER/values       (n_images, ...), one row for each image: float32, before the ReLU where rectify is true
    /CLASS/LAYER/ESTIMATOR/…  the state of a fitted estimator, a dataset for each entry

The layer "image" is the images themselves, uint8 where that loses nothing. Arrays are chunked, shuffled, packed (LZF)
and carry checksums (Fletcher-32). Rows of `values` from n_collected on are not there yet.
"""

from contextlib import AbstractContextManager, contextmanager
from math import prod
from pathlib import Path

import h5py
import numpy as np

from vizlib import statistics
from vizlib.images import as_images

FORMAT = "vizlib statistics, version 1"
IMAGE = "image"
BLOCK = 32  # images that are collected at a time; chunks never straddle two blocks
CHUNK_BYTES = 2**20
MAX_COMPRESSION = 100  # LZF packs zeros 88 to 1


class StatsStore(AbstractContextManager):
    """An open file of statistics, to be used in a `with` statement.

    path: the file. mode: "a" to read and write, making the file if there is none; "r" to read, or FileNotFoundError.
    Raises ValueError for a file of another kind or version, or a damaged one, and so do all methods, and for a class or
    layer that is not there or not whole yet.
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
            self._check_file()
        except BaseException:
            self.close()
            raise

    def _check_file(self):
        """Refuse another format, and, as files come from anyone, all but plain numbers in the file itself."""
        if self.file.mode != "r" and not self.file.keys() and dict(self.file.attrs) in ({}, {"format": ""}):
            self.file.attrs["format"] = FORMAT
        found = self.file.attrs.get("format")
        if not isinstance(found, str) or found != FORMAT:
            raise ValueError(f"expected the format {FORMAT!r} in {self.path}; received {found!r}.")
        foreign = self.file.id.links.visit(lambda name, to: name if to.type != h5py.h5l.TYPE_HARD else None, info=True)
        foreign = foreign or self.file.visititems(_foreign_data)
        if foreign:
            raise ValueError(f"expected plain numbers in {self.path} itself; received links or others at {foreign!r}.")

    def close(self):
        self.file.close()

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        rows = [
            f"\n  {class_name:16} {layer:16} {self.n_collected(class_name, layer)} of {self._n_images(class_name)}"
            for class_name in (self.classes if self.file else ())
            for layer in self.layers(class_name)
        ]
        return f"StatsStore({str(self.path)!r}{'' if self.file else ', closed'})" + "".join(rows)

    @property
    def classes(self):
        """The names of the classes."""
        return tuple(self.file)

    def layers(self, class_name):
        """The names of the layers of a class, in the order in which they were collected; the first is "image"."""
        return tuple(self.group(class_name))

    def model(self, class_name, layer, estimator=None):
        """A fitted estimator of `vizlib.statistics`.

        estimator: its name; None for "ImageStatistics" at the layer "image" and "PCAGaussian" at any other, which the
        file holds. Another one, such as "BootstrapMix", is fitted here and now.
        """
        known = ("PCAGaussian", "LocalGaussian", "BootstrapMix", *(["ImageStatistics"] if layer == IMAGE else []))
        name = estimator or _default(layer)
        if name not in known:
            raise ValueError(f"expected an estimator of {layer!r} out of {', '.join(known)}; received {name!r}.")
        kind = getattr(statistics, name)
        values = self._values(class_name, layer)
        if name in values.parent:
            group = self.group(class_name, layer, name)
            state = {key: self._load(self._dataset(group, key)) for key in group}
            try:
                return kind.from_state(state)
            except (KeyError, TypeError, ValueError) as error:
                raise self._damaged(group, error) from error
        model = kind(rectify=True) if self._attribute(values.parent, "rectify", bool) else kind()
        try:
            return model.fit(as_images(values[...]) if layer == IMAGE else values)
        except OSError as error:
            raise self._damaged(values, error) from error

    def activations(self, class_name, layer):
        """What was collected: float32 (n, ...), before the ReLU if the layer ends in one; of "image" the images."""
        values = self._load(self._values(class_name, layer))
        return as_images(values) if layer == IMAGE else values

    def delete(self, class_name, layer=None):
        """Remove a class, or one layer of it. The file keeps its size, and uses the room again."""
        names = [class_name] if layer is None else [class_name, layer]
        del self.group(*names).parent[names[-1]]

    def check_network(self, net):
        """Raise ValueError unless the statistics are of this very network: layers, weights and preprocessing."""
        expected = self._attribute(self.file, "network", str)
        if expected != net.fingerprint:
            raise ValueError(
                f"expected the network that {self.path} was collected with, {self.file.attrs.get('network_name')!r} "
                f"of fingerprint {expected[:12]}; received {net.model.name!r} of fingerprint {net.fingerprint[:12]}."
            )

    def group(self, *names):
        """The HDF5 group of a class, of a layer of a class, or of an estimator of a layer."""
        group = self.file
        for kind, name in zip(("class", "layer", "estimator"), names, strict=False):
            if _checked(name) not in group:
                known = ", ".join(group) or "none"
                raise ValueError(f"expected a {kind} of {self.path}{group.name} ({known}); received {name!r}.")
            group = self._child(group, name, h5py.Group)
        return group

    # For `collect`: an interrupt at any point leaves a file that the same call completes.

    @contextmanager
    def new_group(self, *names):
        """A new group for the `with` block, which gets its name when the block ends well: it is whole or not there."""
        parent, name = self.group(*names[:-1]), _checked(names[-1])
        group = parent.create_group(None, track_order=True)
        yield group
        parent[name] = group

    def n_collected(self, class_name, layer):
        """Of how many images of a class a layer has been collected."""
        layers = self.group(class_name)
        return self._attribute(self.group(class_name, layer), "n_collected", int) if layer in layers else 0

    def write(self, class_name, layer, start, block, rectify):
        """Write the values of images start, start + 1, …: the rows of block, float32 or uint8."""
        if layer not in self.group(class_name):
            with self.new_group(class_name, layer) as group:
                group.attrs.update({"rectify": rectify, "n_collected": 0})
                _create(group, "values", (self._n_images(class_name), *block.shape[1:]), block.dtype)
        group = self.group(class_name, layer)
        self._child(group, "values", h5py.Dataset)[start : start + len(block)] = block
        group.attrs.modify("n_collected", start + len(block))  # in place, so that it is there at any time
        self.file.flush()

    def keep_model(self, class_name, layer):
        """Fit the default estimator and write it, unless it is there."""
        name = _default(layer)
        if name in self.group(class_name, layer):
            return
        with self.new_group(class_name, layer, name) as group:
            for key, value in self.model(class_name, layer).state().items():
                value = np.asarray(value)
                _create(group, key, value.shape, value.dtype)[...] = value
        self.file.flush()

    def _child(self, parent, name, kind):
        child = parent.get(name)
        if not isinstance(child, kind):
            raise self._damaged(parent, f"{name!r} is {child!r}")
        return child

    def _dataset(self, group, name):
        """A dataset that is safe to read: of not many more numbers than it has bytes for."""
        dataset = self._child(group, name, h5py.Dataset)
        stored = min(dataset.id.get_storage_size(), self.path.stat().st_size)
        if dataset.nbytes > MAX_COMPRESSION * stored + CHUNK_BYTES:
            raise self._damaged(dataset, f"a shape of {dataset.shape} in {stored} bytes")
        return dataset

    def _load(self, dataset):
        try:
            return dataset[()]
        except OSError as error:  # a wrong checksum
            raise self._damaged(dataset, error) from error

    def _values(self, class_name, layer):
        group, n = self.group(class_name, layer), self._n_images(class_name)
        if (collected := self.n_collected(class_name, layer)) != n:
            raise ValueError(
                f"expected {layer!r} of {class_name!r} for {n} images; {self.path} has {collected}: collecting it was "
                "interrupted. The same call of collect() completes it."
            )
        values = self._dataset(group, "values")
        if values.ndim < 2 or len(values) != n:
            raise self._damaged(values, f"a shape of {values.shape} for {n} images")
        return values

    def _n_images(self, class_name):
        return self._attribute(self.group(class_name), "n_images", int)

    def _attribute(self, group, name, kind):
        value = group.attrs.get(name)
        value = value.item() if isinstance(value, np.generic) else value
        if type(value) is not kind:
            raise self._damaged(group, f"its {name} is {value!r}")
        return value

    def _damaged(self, item, found):
        return ValueError(f"expected intact statistics in {self.path}; at {item.name} found: {found}.")


def _default(layer):
    return "ImageStatistics" if layer == IMAGE else "PCAGaussian"


def _checked(name):
    if not name or name == "." or "/" in name or "\0" in name:
        raise ValueError(f"expected a name that is not empty or '.' and has no '/'; received {name!r}.")
    return name


def _foreign_data(name, item):
    if isinstance(item, h5py.Dataset) and (item.dtype.kind not in "biuf" or item.external or item.is_virtual):
        return name


def _create(group, name, shape, dtype):
    """A dataset; if an array, in chunks of about CHUNK_BYTES: a block of rows and part of the next axis."""
    if not shape or 0 in shape:
        return group.create_dataset(name, shape, dtype)
    rows = min(shape[0], BLOCK)
    part = CHUNK_BYTES // (rows * prod(shape[2:]) * np.dtype(dtype).itemsize)
    chunks = (rows, *(min(max(part, 1), length) for length in shape[1:2]), *shape[2:])
    return group.create_dataset(name, shape, dtype, chunks=chunks, compression="lzf", shuffle=True, fletcher32=True)
