"""The store: a folder of statistics of a network's activations, a file for each layer of a class."""

import shutil
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from cachetools import LRUCache

from vizlib import statistics
from vizlib._arrays import Activations, Floats, Integers
from vizlib._files import TEMPORARY, written
from vizlib.images import as_images
from vizlib.networks import Network
from vizlib.networks.network import FEW
from vizlib.statistics import (
    LayerPair,
    Marginals,
)
from vizlib.statistics.snapshots import MAX_SNAPSHOTS
from vizlib.store import files
from vizlib.store.drawing import Draw, draw
from vizlib.store.files import IMAGE

if TYPE_CHECKING:
    import pandas as pd

# The state of the snapshots is enough for these.
SAMPLERS = "Snapshots", "PCAGaussian", "LocalGaussian", "QuiltedGaussian", "QuiltedMontage", "Montage", "BootstrapMix"
COPULA = "GaussianCopula"  # which is fitted when it is asked for
LITTLE = 0.4  # of what images have in common, below which seams of montages are left as they are
SHRINKS = 0.6  # how what an image has of its own shrinks with the number n of images: as n to the power of -0.6
DIVERSE = 3.8  # what that is of one image, beyond which images are no variations of one theme
MEMORY = 2**31  # bytes of activations that a store remembers
COLUMNS = ("class", "layer", "images", "snapshots", "components", "estimators", "activations", "MB", "time")


class StatsStore:
    """A folder of statistics of the activations of one network.

    path: the folder, which `collect` makes. network: the `Network`; None to look at what is there, merge and delete.

    Files are written once and renamed when they are whole: several programs, on several machines, can use a folder at
    once, and whatever stops one of them, each file is there or not. All methods raise ValueError for a folder of
    something else, of another version or network, for a damaged file, and for a class or layer that is not there;
    OSError if the disk is full or not to be written to.
    """

    def __init__(self, path: str | PathLike, network: Network | None = None) -> None:
        self.path, self._network = Path(path).resolve(), network
        self._memory = LRUCache(MEMORY, getsizeof=attrgetter("nbytes"))  # {(class, layer, image): array}
        self._shared = {}  # {(class, layer, SHA-256): what images have in common there}
        if network is None:
            files.read_network(self.path)
        else:
            self.check_network()

    def __repr__(self) -> str:
        return f"StatsStore({str(self.path)!r})\n{self.to_dataframe().to_string(index=False, na_rep='')}"

    def _repr_html_(self) -> str:
        return self.to_dataframe().to_html(index=False, na_rep="")

    @property
    def network(self) -> Network:
        """The network; ValueError for a store without one."""
        if self._network is None:
            raise ValueError(f"expected StatsStore({str(self.path)!r}, network); received a store without its network.")
        return self._network

    def to_dataframe(self) -> "pd.DataFrame":
        """What is inside: a pandas DataFrame of a row for each layer of each class.

        "snapshots" are the images that carry coordinates, all unless there are very many; "components" the directions
        in which these vary; "MB" are 10⁶ bytes of the file.
        """
        import pandas as pd

        rows = [self._row(name, layer) for name in self.classes for layer in self.layers(name)]
        return pd.DataFrame(rows, columns=COLUMNS).astype({"snapshots": "Int64", "components": "Int64"})

    def _row(self, class_name, layer):
        with self._reading(class_name, layer) as file:
            return (class_name, layer, *files.described(file))

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in alphabetical order."""
        return files.class_names(self.path) if files.read_network(self.path) else ()

    def layers(self, class_name: str) -> tuple[str, ...]:
        """The names of the layers of a class, IMAGE first, then shallow to deep."""
        self._check_class(class_name)
        found, (stored, own) = set(files.layer_names(self.path, class_name)), self._names()
        known = [name for before, name in zip(stored, own, strict=True) if before in found]
        return (IMAGE, *known, *sorted(found - set(stored)))

    def n_images(self, class_name: str) -> int:
        """Of how many images a class is."""
        return self._attribute(class_name, "n_images", int)

    def images_sha256(self, class_name: str) -> str:
        """The SHA-256 of the images of a class, as float32, and their shape."""
        return self._attribute(class_name, "images_sha256", str)

    def _attribute(self, class_name, name, kind):
        with self._reading(class_name, IMAGE) as file:
            return files.hdf5.attribute(file, name, kind)

    def collected(self, class_name: str) -> dict[str, bool]:
        """The layers of a class: {name: whether activations are kept}."""
        return {layer: self._keeps(class_name, layer) for layer in self.layers(class_name)}

    def _keeps(self, class_name, layer):
        """Whether the activations of a layer are kept; ValueError for a layer that is not there."""
        with self._reading(class_name, layer) as file:
            return layer == IMAGE or files.ACTIVATIONS in file

    def entries(self, class_name: str) -> dict[str, str]:
        """What statistics of a class are there: {layer: SHA-256 of them}."""
        found = {}
        for layer in self.layers(class_name):
            with self._reading(class_name, layer) as file:
                found[layer] = files.sha256(file)
        return found

    def model(
        self, class_name: str, layer: str, estimator: str | None = None, together: tuple[str, ...] = ()
    ) -> Any:
        """A fitted estimator of `vizlib.statistics`; its `entry` says which, {str: str}.

        estimator: its name; None for "ImageStatistics" at the layer "image" and at any other the sampler that suits the
        class, see `sample`. Samplers look at the real activations through the store, see `real`. "GaussianCopula" is
        fitted here and now on them. together: layers that are likely to be asked for next, see `real`.
        """
        name = estimator or ("ImageStatistics" if layer == IMAGE else self.sampler(class_name, layer))
        known = ("ImageStatistics",) if layer == IMAGE else (*SAMPLERS, COPULA, "Moments", "Marginals", "Strongest")
        if name not in known:
            raise ValueError(f"expected an estimator of {layer!r} out of {', '.join(known)}; received {name!r}.")
        kind, stored = getattr(statistics, name), "Snapshots" if name in SAMPLERS else name
        with self._reading(class_name, layer) as file:
            sha256 = files.sha256(file)
            if name == COPULA:
                model = kind(rectify=files.hdf5.attribute(file, "rectify", bool))
            else:
                source = {"source": _RealActivations(self, class_name, layer, together)} if name in SAMPLERS else {}
                try:
                    model = kind.from_state(files.read_state(file, stored), **source)
                except (KeyError, TypeError, ValueError) as error:
                    wanted = f"expected intact statistics in {file.filename}"
                    raise ValueError(f"{wanted}; received, at /{stored}: {error!r}.") from error
        if name == COPULA:
            model.fit(self.activations(class_name, layer))
        model.entry = {"class_name": class_name, "layer": layer, "estimator": name, "sha256": sha256}
        return model

    def marginals(self, class_name: str, layer: str, images: Integers | None = None) -> Marginals:
        """The mean marginals of a layer over the images of a class, or over some of them, int (m,)."""
        if images is None:
            return self.model(class_name, layer, "Marginals")
        return Marginals().fit(self.activations(class_name, layer, images))

    def pair(self, class_name: str, lower: str, upper: str) -> LayerPair:
        """The joint model of two layers."""
        return LayerPair(*(self.model(class_name, layer, "Snapshots", (lower, upper)) for layer in (lower, upper)))

    def sample(
        self,
        class_name: str,
        layers: str | list[str] | tuple[str, ...] | None = None,
        n: int = 4,
        seed: int = 0,
        temperature: float = 1.0,
        places: Floats | None = None,
        among: Integers | None = None,
    ) -> Draw:
        """Draw activations of layers that belong together, as `reconstruct` takes them.

        Images that are variations of one theme, which `Snapshots.shared_` at the second finest resolution in the store
        tells, are drawn by `QuiltedGaussian`. Mixtures of others are multiple exposures: of scenes, with an object
        anywhere, draws are by `QuiltedMontage`, of images with little in common, such as photographs, by `Montage`.

        layers: their names, in any order. The deepest is drawn so, each other put together under the one before from
        the same images (`Analogies`; of a montage the same regions of them), or drawn given it (`LayerPair`) where one
        of them has no positions. The name of one stands for it and the last layers of all finer resolutions in the
        store, None for those of the two finest. Of images with little in common, such as photographs, one stands for it
        and the next finer, None for the two deepest: of all finer ones, and of the image, the draw's `marginals` say
        what values there are under each position of the deepest.

        seed, temperature, places, among: as of `LocalGaussian.draw`, at the deepest layer; with places n is their
        number.
        """
        return draw(self, class_name, layers, n, seed, temperature, places, among)

    def sampler(self, class_name: str, layer: str) -> str:
        """The name of the sampler that suits a class, at a layer, see `sample`."""
        if len(self.shape(class_name, layer)) < 3:
            return "QuiltedGaussian"
        asked = self.last_of_resolutions(class_name)[-2:][0]
        with self._reading(class_name, asked) as file:
            key = class_name, asked, files.sha256(file)
        if key not in self._shared:
            self._shared[key] = self.model(class_name, asked, "Snapshots").shared_
        if (shared := self._shared[key]) < LITTLE:
            return "Montage"
        own = (1 - shared) * min(self.n_images(class_name), MAX_SNAPSHOTS) ** SHRINKS
        return "QuiltedGaussian" if own < DIVERSE else "QuiltedMontage"

    def last_of_resolutions(self, class_name: str) -> tuple[str, ...]:
        """Of the layers of a class that have positions the last of each resolution, deep to shallow.

        Of a vision transformer, whose layers have one resolution, all of them.
        """
        shapes = {layer: self.shape(class_name, layer) for layer in self.layers(class_name)[1:]}
        heights = {layer: shape[0] for layer, shape in shapes.items() if len(shape) == 3}
        last = {height: layer for layer, height in heights.items()}
        if len(last) == 1 and self._network and {*heights} <= self.network.graph()[1].tokens:
            return tuple(heights)[::-1]
        return tuple(last[height] for height in sorted(last))

    def shape(self, class_name: str, layer: str) -> tuple[int, ...]:
        """The shape of the activations of one image at a layer."""
        with self._reading(class_name, layer) as file:
            return files.shape(file)

    def activations(self, class_name: str, layer: str, images: Integers | None = None) -> Activations:
        """The activations of the images of a class, float32 (m, ...), before the ReLU if there is one.

        images: int (m,), which of them; None for all. Of the layer "image" they are the images themselves, in [0, 1].
        They come from memory, from disk where they are kept, in float16, or else from the network, exact.
        """
        every = np.arange(self.n_images(class_name))
        ascending, back = np.unique(every if images is None else every[np.asarray(images)], return_inverse=True)
        return self.real(class_name, layer, ascending)[back]

    def real(self, class_name: str, layer: str, rows: Integers, together: tuple[str, ...] = ()) -> Activations:
        """As `activations`, of images in ascending order.

        together: layers that are likely to be asked for next; where the network has to be asked, it is asked for all.
        """
        if layer == IMAGE:
            with self._reading(class_name, IMAGE) as file:
                return as_images(files.read_rows(file, files.PIXELS, rows))
        found = self.each(class_name, layer, rows, together)
        return np.stack(found) if found else np.empty((0, *self.shape(class_name, layer)), "float32")

    def each(
        self, class_name: str, layer: str, rows: Integers, together: tuple[str, ...] = ()
    ) -> list[Activations]:
        """As `real`, but the activations of each image as they lie in memory, not to be written to.

        Putting those of many images side by side takes longer than reading a patch of each.
        """
        found = {row: self._memory[key] for row in rows.tolist() if (key := (class_name, layer, row)) in self._memory}
        if lacking := [row for row in rows.tolist() if row not in found]:
            found |= zip(lacking, self._recalled(class_name, layer, np.array(lacking), together), strict=True)
        return [found[row] for row in rows.tolist()]

    def _recalled(self, class_name, layer, rows, together):
        """The activations of images from disk, where they are kept, or else from the network; they are remembered."""
        if self._keeps(class_name, layer):
            with self._reading(class_name, layer) as file:
                answers = files.read_rows(file, files.ACTIVATIONS, rows)
            self._remember(class_name, layer, rows, answers)
            return answers
        self.check_network()
        net, images = self.network, self.real(class_name, IMAGE, rows)
        layers = dict.fromkeys((layer, *(x for x in together if not self._keeps(class_name, x))))
        names, answers = {x: net.before_relu(x) for x in layers}, []
        # A few images at a time, whose answers are remembered as they are: each copy of so much would take its time.
        for part, found in net.batches(images, names.values(), min(FEW, net.batch_size)):
            answers.extend(found[names[layer]])
            for x, name in names.items():
                self._remember(class_name, x, rows[part], found[name])
        return answers

    def _remember(self, class_name, layer, rows, values):
        for row, value in zip(rows.tolist(), values, strict=True):
            self._memory[class_name, layer, row] = value

    def check_network(self) -> None:
        """Raise ValueError, saying what differs, unless the statistics are of this very network and preprocessing."""
        files.check_network(self.path, files.network_facts(self.network))

    def delete(self, class_name: str, layer: str | None = None) -> None:
        """Remove a class, or one layer of it."""
        self._check_class(class_name)
        if layer is not None:
            self._path(class_name, layer).unlink()
            return
        folder = files.class_folder(self.path, class_name)
        gone = folder.with_name(f"{uuid4().hex}{TEMPORARY}")
        folder.rename(gone)
        shutil.rmtree(gone)

    def merge(self, other: "StatsStore") -> None:
        """Copy the classes and layers of another store that this one lacks: all of them or, if that fails, none.

        Raises ValueError if it is of another network, or has a class of the same name of other images.
        """
        if other.path == self.path or not other.classes:
            return
        files.check_network(self.path, theirs := files.read_network(other.path))
        for class_name in other.classes:
            if class_name in self.classes and self.images_sha256(class_name) != other.images_sha256(class_name):
                raise ValueError(
                    f"expected the {self.n_images(class_name)} images that {class_name!r} in {self.path} was collected "
                    f"from; received {other.n_images(class_name)} others in {other.path}."
                )
        files.write_network(self.path, {name: x for name, x in theirs.items() if name != "format"})
        copied = []
        try:
            for class_name in other.classes:
                for layer in other.layers(class_name):
                    path = files.path_of(self.path, class_name, layer)
                    if not path.exists():
                        with other._reading(class_name, layer) as file:
                            for name in files.estimators(file):
                                files.read_state(file, name)  # that what is damaged does not spread
                        path.parent.mkdir(parents=True, exist_ok=True)
                        with written(path) as part:
                            shutil.copyfile(other._path(class_name, layer), part)
                        copied.append(path)
        except BaseException:
            for path in copied:
                path.unlink(missing_ok=True)
            raise

    def _names(self):
        """What the layers are called in the folder and by the network: names that Keras numbers, such as conv2d_3, may
        be others in each session.
        """
        stored = files.read_network(self.path)["layers"]
        return stored, self._network.layers if self._network else stored

    def stored_name(self, layer: str) -> str:
        """What a layer of the network is called in the folder."""
        stored, own = self._names()
        return dict(zip(own, stored, strict=True)).get(layer, layer)

    def _path(self, class_name, layer):
        self._check_class(class_name)
        path, (stored, own) = files.path_of(self.path, class_name, self.stored_name(layer)), self._names()
        if layer in set(stored) - set(own) or not path.is_file():
            known = ", ".join(self.layers(class_name))
            raise ValueError(f"expected a layer of {class_name!r} in {self.path} ({known}); received {layer!r}.")
        return path

    def _reading(self, class_name, layer):
        self._path(class_name, layer)
        return files.reading(self.path, class_name, self.stored_name(layer))

    def _check_class(self, class_name):
        if not isinstance(class_name, str) or not files.path_of(self.path, class_name, IMAGE).is_file():
            known = ", ".join(self.classes) or "none"
            raise ValueError(f"expected a class of {self.path} ({known}); received {class_name!r}.")


class _RealActivations:
    """The activations of the images of a class, as the model of a layer looks at them: X[rows], rows ascending."""

    def __init__(self, *of):
        self._store, self._class_name, self._layer, self._together = of

    def __getitem__(self, rows):
        return self._store.real(self._class_name, self._layer, rows, self._together)
