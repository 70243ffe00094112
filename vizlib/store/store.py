"""The store: one HDF5 file of fitted estimators, and of activations where they are kept (see `vizlib.store.layout`)."""

from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from vizlib import __version__, statistics
from vizlib import _hdf5 as hdf5
from vizlib.images import as_images
from vizlib.store import journal, layout

IMAGE = "image"
DEFAULT_SAMPLER = "QuiltedGaussian"
# The state of a PCA is enough for these.
FROM_PCA = ("PCA", "PCAGaussian", "LocalGaussian", "QuiltedGaussian", "BootstrapMix", "ClusteredGaussian")
SAMPLERS = (*FROM_PCA, "GaussianCopula")


class Draw(dict):
    """Activations that `StatsStore.sample` drew: {layer: float32 (n, ...)}. `facts`: how, {str: JSON value}."""

    def __init__(self, values, facts):
        super().__init__(values)
        self.facts = facts


class StatsStore(AbstractContextManager):
    """A file of statistics, to be used in a `with` statement; between two calls it is not open.

    path: the file. mode: "a" to read and write, making the file if there is none; "r" to read, or FileNotFoundError.

    Several programs can use a file at once. Each call that writes is a transaction: whenever it stops, the file is as
    before or as after it. All methods raise ValueError for a file of another kind or version, or a damaged one, and for
    a class or layer that is not there; TimeoutError if another program writes for longer than 10 s; OSError if the
    disk is full.
    """

    def __init__(self, path, mode="a"):
        if mode not in ("r", "a"):
            raise ValueError(f"expected mode 'r' or 'a'; received {mode!r}.")
        self.path, self.mode, self.closed = Path(path).resolve(), mode, False
        if not self.path.exists():
            if mode == "r":
                raise FileNotFoundError(f"expected a file of statistics, which collect() makes; found no file {path}.")
            with suppress(FileExistsError), journal.replacement(self.path) as file:
                if self.path.exists():  # another program has made it meanwhile
                    raise FileExistsError
                hdf5.write_attributes(file, {"format": layout.FORMAT, "vizlib": __version__, "unused": 0})
        with self._read():
            pass

    def close(self):
        self.closed = True

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        if self.closed:
            return f"StatsStore({str(self.path)!r}, closed)"
        return f"StatsStore({str(self.path)!r})\n{self.to_dataframe().to_string(index=False, na_rep='')}"

    def _repr_html_(self):
        return None if self.closed else self.to_dataframe().to_html(index=False, na_rep="")

    def to_dataframe(self):
        """What is inside: a pandas DataFrame of a row for each layer of each class; MB are 10⁶ bytes in the file."""
        import pandas

        with self._read() as file:
            rows = [layout.row(group) for c in file for group in layout.layers(file, c)]
        return pandas.DataFrame(rows, columns=layout.COLUMNS).astype({"components": "Int64"})

    @property
    def classes(self):
        """The names of the classes."""
        with self._read() as file:
            return tuple(file)

    def layers(self, class_name):
        """The names of the layers of a class, in the order in which they were collected."""
        with self._read() as file:
            return tuple(layout.open_group(file, class_name))

    def n_images(self, class_name):
        """Of how many images a class is."""
        with self._read() as file:
            return hdf5.attribute(layout.open_group(file, class_name), "n_images", int)

    def collected(self, class_name):
        """The layers of a class that are there for all of its images: {name: whether activations are kept}."""
        n = self.n_images(class_name)
        with self._read() as file:
            groups = layout.layers(file, class_name)
            whole = (group for group in groups if hdf5.attribute(group, "n_images", int) == n)
            return {layout.layer_name(group): layout.open_activations(group) is not None for group in whole}

    def entries(self, class_name):
        """What statistics of a class are there: {layer: SHA-256 of them}."""
        with self._read() as file:
            groups = layout.layers(file, class_name)
            return {layout.layer_name(group): hdf5.attribute(group, "sha256", str) for group in groups}

    def model(self, class_name, layer, estimator=None):
        """A fitted estimator of `vizlib.statistics`; its `entry` says which, {str: str}.

        estimator: its name; None for "ImageStatistics" at the layer "image" and DEFAULT_SAMPLER at any other. A sampler
        whose state the file does not hold, such as "GaussianCopula", is fitted here and now on the activations, which
        have to be kept.
        """
        name = estimator or ("ImageStatistics" if layer == IMAGE else DEFAULT_SAMPLER)
        with self._read() as file:
            group = layout.open_group(file, class_name, layer)
            known = (*SAMPLERS, *(x for x in ("Moments", "ImageStatistics") if x in group))
            if name not in known:
                raise ValueError(f"expected an estimator of {layer!r} out of {', '.join(known)}; received {name!r}.")
            stored = "PCA" if name in FROM_PCA else name
            state = hdf5.read_state(hdf5.child(group, stored)) if stored in group else None
            rectify, sha256 = hdf5.attribute(group, "rectify", bool), hdf5.attribute(group, "sha256", str)
        kind = getattr(statistics, name)
        if state is None:
            model = kind(rectify=rectify).fit(self.activations(class_name, layer))
        else:
            try:
                model = kind.from_state(state)
            except (KeyError, TypeError, ValueError) as error:
                at = f"/{class_name}/{layer}/{stored}"
                raise ValueError(f"expected intact statistics in {self.path}; received, at {at}: {error!r}.") from error
        model.entry = {"class_name": class_name, "layer": layer, "estimator": name, "sha256": sha256}
        return model

    def pair(self, class_name, lower, upper):
        """The joint model of two layers, a `vizlib.statistics.LayerPair`."""
        return statistics.LayerPair(*(self.model(class_name, layer, "PCA") for layer in (lower, upper)))

    def sample(self, class_name, layers, n=4, seed=0, temperature=1.0, neighbours_at=None):
        """Draw activations of layers that belong together, a `Draw`, as `reconstruct` takes them.

        layers: their names, deep to shallow. The first is drawn by the default sampler, each other put together under
        the one before (`QuiltedPair`), or drawn given it (`LayerPair`) where one of them has no positions. seed,
        temperature: as of samplers. Raises ValueError for a class or layer that is not there.

        neighbours_at: another layer, a deeper one. All layers are then drawn together, from the joint Gaussian of a few
        images that are neighbours there (`drawn_together`). For photographs, which are too few and too unlike each
        other for quilts.
        """
        layers = list(layers)
        entries = {name: sha for name, sha in self.entries(class_name).items() if name in (*layers, neighbours_at)}
        facts = {"class_name": class_name, "layers": layers, "n": n, "seed": seed, "temperature": temperature}
        facts |= {"neighbours_at": neighbours_at, "entries": entries}
        if neighbours_at is not None:
            around = self.model(class_name, neighbours_at, "LocalGaussian")
            models = {layer: self.model(class_name, layer, "PCA") for layer in layers}
            return Draw(statistics.drawn_together(around, models, n, seed, temperature), facts)
        drawn, above = {}, None
        for i, layer in enumerate(layers):
            model = self.model(class_name, layer)
            rectify, model.rectify = model.rectify, False  # layers were fitted together before the ReLU
            if above is None:
                values = model.sample(n, seed, temperature)
            elif {len(model.shape_), len(above.shape_)} == {3}:
                values = statistics.QuiltedPair(model, above).below(values)
            else:
                pair = statistics.LayerPair(model, above)
                draws = (pair.sample_given(v, 1, [seed, i, j], temperature) for j, v in enumerate(values))
                values = np.concatenate(list(draws))
            drawn[layer], above = np.maximum(values, 0) if rectify else values, model
        return Draw(drawn, facts)

    def activations(self, class_name, layer):
        """What was kept: float32 (n, ...), before the ReLU if the layer ends in one; of "image" the images."""
        with self._read() as file:
            group = layout.open_group(file, class_name, layer)
            values = layout.open_activations(group)
            if values is None:
                raise ValueError(
                    f"expected activations of {layer!r} of {class_name!r}, which collect(…, keep_activations=True) "
                    f"keeps; received {self.path}, which has {', '.join(group)}."
                )
            values = values[()]
        return as_images(values) if layer == IMAGE else values

    def check_network(self, net):
        """Raise ValueError, saying what differs, unless the statistics are of this very network and preprocessing."""
        with self._read() as file:
            layout.check_network(file, layout.network(net))

    def new_class(self, net, class_name, n_images, images_sha256):
        """Make room for a class of n_images images, of which `images_sha256` is the hash, or see that it is there.

        Raises ValueError for a network other than that of the classes that are there, and for a class of this name of
        other images.
        """
        with self._write() as file:
            layout.set_network(file, layout.network(net))
            layout.make_class(file, class_name, {"n_images": n_images, "images_sha256": images_sha256})

    def put(self, class_name, layer, states, attributes, activations=None):
        """Write the statistics of a layer, in the place of those that are there.

        states: {name of estimator: its `state()`}. attributes: {name: str or number}, "n_images" and "rectify" among
        them; versions of libraries, the time and a hash of the states are added. activations: what to keep of them,
        something with a shape, a dtype and blocks of rows `activations[a:b]`. Raises ValueError unless they are of all
        images of the class.
        """
        received = {attributes["n_images"], *([] if activations is None else activations.shape[:1])}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        attributes = layout.versions() | {"time": now, "sha256": hdf5.sha256(states)} | attributes
        with self._write() as file:
            group = layout.open_group(file, class_name)
            expected = hdf5.attribute(group, "n_images", int)
            if received != {expected}:
                raise ValueError(f"expected {layer!r} of {expected} images of {class_name!r}; received {received}.")
            layout.make_layer(group, layer, states, attributes, activations)

    def delete(self, class_name, layer=None):
        """Remove a class, or one layer of it."""
        names = [class_name] if layer is None else [class_name, layer]
        with self._write() as file:
            del layout.open_group(file, *names).parent[names[-1]]

    def merge(self, other):
        """Copy the classes and layers of another store that this one lacks: all of them or, if that fails, none.

        Raises ValueError if it is of another network, or has a class of the same name of other images.
        """
        if other.path == self.path or not other.classes:
            return
        with other._read() as theirs, self._write() as ours:
            layout.set_network(ours, hdf5.attributes(theirs))
            for class_name in theirs:
                layout.copy_class(ours, theirs, class_name)

    @contextmanager
    def _read(self):
        self._check_open()
        with hdf5.intact(self.path), journal.reading(self.path) as file:
            layout.check_format(file)
            yield file

    @contextmanager
    def _write(self):
        """A transaction. When more than half of the file is room that nothing uses, the file is written anew."""
        self._check_open()
        if self.mode == "r":
            raise ValueError(f"expected a store opened with mode 'a'; received {self.path} opened with mode 'r'.")
        with hdf5.intact(self.path), journal.transaction(self.path) as file:
            layout.check_format(file)
            yield file
            unused = hdf5.attribute(file, "unused", int) + file.id.get_freespace()
            hdf5.write_attributes(file, {"unused": unused})
        if unused > max(self.path.stat().st_size // 2, 2**20):
            with suppress(OSError):  # a full disk, or another writer: the transaction stands, and the next tries again
                self._rewrite()

    def _rewrite(self):
        with hdf5.intact(self.path), journal.replacement(self.path) as new, journal.reading(self.path) as old:
            hdf5.write_attributes(new, hdf5.attributes(old) | {"unused": 0})
            for class_name in old:
                old.copy(class_name, new)

    def _check_open(self):
        if self.closed:
            raise ValueError(f"expected an open store; received {self.path}, which has been closed.")
