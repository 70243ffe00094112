"""Where things lie in a folder of statistics, version 4. A file is written once, whole, and never changed.

    FOLDER/network.json           of which network all of it is: format, network_name, layers, weights, preprocessing,
                                  image_size
    FOLDER/CLASS/images.h5        /pixels (n, h, w, 3), uint8 where that loses nothing; /ImageStatistics/…
    FOLDER/CLASS/layers/LAYER.h5  /ESTIMATOR/…, the state of a fitted estimator: numbers are attributes, arrays
                                  datasets; where they are kept /activations, float16 (n, ...), before the ReLU where
                                  rectify is true, and /exponents, int16 (n,): the power of 2 that each image is over

Attributes of both kinds of files: format, weights (of the network), class_name, layer, n_images, images_sha256, time,
versions of libraries, and for each estimator sha256 ESTIMATOR, of its state; of a layer also rectify. Names of folders
and files are quoted.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vizlib import statistics
from vizlib._files import TEMPORARY, leftovers, quoted, unquoted, written
from vizlib.images import Rows
from vizlib.networks import Network
from vizlib.store import hdf5

FORMAT = "vizlib statistics, version 4"
IDENTITY = {"weights": (str,), "preprocessing": (str,), "image_size": (int, list)}
IMAGE = "image"  # the layer that is the images themselves
IMAGES, LAYERS, NETWORK, ENDING = "images.h5", "layers", "network.json", ".h5"
PIXELS, ACTIVATIONS, EXPONENTS, SHA256 = "pixels", "activations", "exponents", "sha256"


def write_network(folder: Path, facts: dict) -> None:
    """Say of which network a folder is, as `network_facts` does, unless it is said already.

    What crashes left of an attempt is removed, and so is another process's that comes too late.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / NETWORK).exists():
        try:
            with written(folder / NETWORK) as part:
                part.write_text(json.dumps({"format": FORMAT} | facts, indent=1), "utf-8")
        except FileNotFoundError:
            if not (folder / NETWORK).exists():
                raise
            check_network(folder, facts)
    for path in leftovers(folder):
        if path.name.startswith(NETWORK):
            path.unlink(missing_ok=True)


def network_facts(net: Network) -> dict:
    """What tells a `Network` from others, and the names of its layers."""
    return {"network_name": net.model.name, "layers": list(net.layers)} | net.identity


def read_network(folder: Path) -> dict[str, Any]:
    """What `write_network` wrote; nothing for a folder that is empty or not there, ValueError for any other."""
    if folder.is_file():
        raise ValueError(
            f"expected a folder of statistics; received the file {folder}. If version 0.1 wrote it, collect again."
        )
    try:
        facts = json.loads((folder / NETWORK).read_bytes())
    except FileNotFoundError:
        if folder.is_dir() and any(path.suffix != TEMPORARY and path.name[0] != "." for path in folder.iterdir()):
            wanted = f"expected a folder of statistics, or a new one; received {folder} without {NETWORK}."
            raise ValueError(wanted) from None
        return {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected an intact {NETWORK} in {folder}; received: {error}.") from error
    found = facts.get("format") if isinstance(facts, dict) else None
    if found != FORMAT:
        raise ValueError(f"expected the format {FORMAT!r} in {folder / NETWORK}; received {found!r}.")
    wanted = {"network_name": (str,), "layers": (list,)} | IDENTITY
    if wrong := [name for name, kinds in wanted.items() if type(facts.get(name)) not in kinds]:
        raise ValueError(f"expected an intact {NETWORK} in {folder}; received no {', '.join(wrong)}.")
    if not all(isinstance(name, str) for name in facts["layers"]):
        raise ValueError(f"expected an intact {NETWORK} in {folder}; received the layers {facts['layers']}.")
    return facts


def check_network(folder: Path, received: dict) -> None:
    """Raise ValueError, saying what differs, unless a folder is of the network of these facts, or of none yet."""
    found = read_network(folder)
    other = [
        f"{name} {str(received[name])[:12]} in place of {str(found[name])[:12]}"
        for name in IDENTITY
        if found and received[name] != found[name]
    ]
    if other:
        raise ValueError(
            f"expected the network that {folder} was collected with, {found['network_name']!r}; received "
            f"{received['network_name']!r} with {' and '.join(other)}. Statistics of another network, or of one that "
            "was trained since, belong in a folder of their own."
        )


def class_names(folder: Path) -> tuple[str, ...]:
    """The classes of a folder that have images, by name."""
    return tuple(sorted(_names(folder.glob(f"*/{IMAGES}"), lambda path: path.parent.name, "class_name")))


def layer_names(folder: Path, class_name: str) -> tuple[str, ...]:
    """The layers of a class, by name."""
    paths = (class_folder(folder, class_name) / LAYERS).glob(f"*{ENDING}")
    return tuple(sorted(_names(paths, lambda path: path.name.removesuffix(ENDING), "layer")))


def _names(paths, quoted_name, attribute):
    for path in paths:
        name = unquoted(quoted_name(path))
        if name is None:
            with hdf5.opened(path) as file:
                name = hdf5.attribute(file, attribute, str)
        yield name


def class_folder(folder: Path, class_name: str) -> Path:
    """Where all of a class lies."""
    return folder / quoted(class_name)


def path_of(folder: Path, class_name: str, layer: str) -> Path:
    """The file of a layer of a class, or of its images."""
    return class_folder(folder, class_name) / (
        IMAGES if layer == IMAGE else f"{LAYERS}/{quoted(layer)}{ENDING}"
    )


@contextmanager
def reading(folder: Path, class_name: str, layer: str) -> Iterator[h5py.File]:
    """The file of a layer of a class, or of its images, open to read. Raises ValueError unless it is what it is for."""
    path = path_of(folder, class_name, layer)
    wanted = {"format": FORMAT, "weights": read_network(folder)["weights"], "class_name": class_name, "layer": layer}
    with hdf5.opened(path) as file:
        hdf5.attributes(file)  # of which none may be hostile
        for name, expected in wanted.items():
            if (found := hdf5.attribute(file, name, str)) != expected:
                raise ValueError(f"expected the {name} {expected!r} in {path}; received {found!r}.")
        yield file


def write_images(folder: Path, class_name: str, pixels: Rows, images_sha256: str) -> None:
    """Write the images of a class, something with a shape, a dtype and rows [a:b], and their statistics."""
    path = path_of(folder, class_name, IMAGE)
    path.parent.mkdir(exist_ok=True)
    states = {"ImageStatistics": statistics.ImageStatistics().fit(pixels).state()}
    attributes = {"weights": read_network(folder)["weights"], "class_name": class_name, "layer": IMAGE}
    attributes |= {"n_images": pixels.shape[0], "images_sha256": images_sha256}
    hdf5.write_file(path, lambda file: _fill(file, attributes, states, {PIXELS: pixels}))


def write_layer(
    folder: Path, class_name: str, layer: str, states: dict[str, dict], rectify: bool, activations: Rows | None = None
) -> None:
    """Write what is known of a layer of a class whose images are there, in the place of what was.

    states: {name of estimator: its `state()`}. activations: those to keep, something with a shape and rows [a:b].
    Raises ValueError unless they are of as many images.
    """
    with reading(folder, class_name, IMAGE) as images:
        of_images = hdf5.attributes(images)
        attributes = {name: of_images[name] for name in ("weights", "class_name", "n_images", "images_sha256")}
    n, arrays = attributes["n_images"], {}
    if activations is not None:
        if activations.shape[0] != n:
            raise ValueError(f"expected {layer!r} of {n} images of {class_name!r}; received {activations.shape[0]}.")
        halved = _Halved(activations)
        arrays = {EXPONENTS: halved.exponents.astype("int16"), ACTIVATIONS: halved}
    path = path_of(folder, class_name, layer)
    path.parent.mkdir(exist_ok=True)
    attributes |= {"layer": layer, "rectify": rectify}
    hdf5.write_file(path, lambda file: _fill(file, attributes, states, arrays))


def _fill(file, attributes, states, arrays):
    now = datetime.now(UTC).isoformat(timespec="seconds")
    hashes = {f"{SHA256} {estimator}": hdf5.sha256(state) for estimator, state in states.items()}
    hdf5.write_attributes(file, {"format": FORMAT, "time": now} | hashes | versions() | attributes)
    for estimator, state in states.items():
        hdf5.write_state(file.create_group(estimator), state)
    for name, array in arrays.items():
        hdf5.write_array(file, name, array)


class _Halved:
    """Activations as float16, each image over a power of 2 that makes the most of its range."""

    dtype = np.dtype("float16")

    def __init__(self, values):
        self.values, self.shape = values, values.shape
        largest = [np.abs(values[i : i + 1]).max(initial=0) for i in range(self.shape[0])]
        self.exponents = np.frexp(largest)[1] - 15  # so that all lie below 2 ** 15, where float16 ends at 2 ** 16

    def __getitem__(self, rows):
        values = self.values[rows]
        return np.ldexp(values, -self.exponents[rows].reshape(-1, *(1,) * (values.ndim - 1))).astype("float16")


def read_state(file: h5py.File, estimator: str) -> dict:
    """The state of an estimator in a file of a layer; ValueError if it is not as it was written."""
    if estimator not in file:
        known = ", ".join(estimators(file))
        raise ValueError(
            f"expected an estimator of {file.filename} out of {known}; received {estimator!r}. A layer that was "
            "collected before there was one is collected again after store.delete(class_name, layer)."
        )
    state = hdf5.read_state(hdf5.child(file, estimator))
    if hdf5.sha256(state) != hdf5.attribute(file, f"{SHA256} {estimator}", str):
        raise hdf5.damaged(file[estimator], "statistics with another SHA-256 than they were written with")
    return state


def estimators(file: h5py.File) -> list[str]:
    """The names of the estimators in a file of a layer."""
    return [name for name in file if isinstance(file[name], h5py.Group)]


def sha256(file: h5py.File) -> str:
    """The SHA-256 of all statistics in a file of a layer, made of those of its estimators."""
    hashes = [f"{name} {hdf5.attribute(file, f'{SHA256} {name}', str)}" for name in estimators(file)]
    return hashlib.sha256(" ".join(sorted(hashes)).encode()).hexdigest()


def described(file: h5py.File) -> tuple:
    """What is to be said of a file in a table: n_images, snapshots, components, estimators, whether kept, MB, time."""
    attributes, size = hdf5.attributes(file), Path(file.filename).stat().st_size / 1e6
    snapshots = (None, None)
    if "Snapshots" in file:
        snapshots = hdf5.child(hdf5.child(file, "Snapshots"), "coordinates_", h5py.Dataset).shape
    kept = PIXELS in file or ACTIVATIONS in file
    return attributes.get("n_images"), *snapshots, ", ".join(estimators(file)), kept, size, attributes.get("time")


def shape(file: h5py.File) -> tuple[int, ...]:
    """The shape of the activations of one image at the layer of a file."""
    group = hdf5.child(file, "Snapshots")
    found = hdf5.attributes(group).get("shape_")
    if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind not in "iu":
        raise hdf5.damaged(group, f"a shape_ of {found!r}")
    return tuple(found.tolist())


def read_rows(file: h5py.File, name: str, rows: np.ndarray | slice) -> np.ndarray:
    """Rows of the pixels, or as float32 of the activations that are kept, of a file."""
    values = hdf5.child(file, name, h5py.Dataset)
    if values.shape[:1] != (hdf5.attribute(file, "n_images", int),):
        raise hdf5.damaged(values, f"a shape of {values.shape}")
    if name == PIXELS:
        return _rows(values, rows)
    exponents = hdf5.child(file, EXPONENTS, h5py.Dataset)[()]
    if exponents.shape != values.shape[:1] or exponents.dtype.kind != "i":
        raise hdf5.damaged(values, f"exponents of shape {exponents.shape}")
    found = _rows(values, rows).astype("float32")
    return np.ldexp(found, exponents[rows].reshape(-1, *(1,) * (found.ndim - 1)), out=found)


def _rows(values, rows):
    """Rows of a dataset: one by one, since HDF5 takes ten times as long for a list of them."""
    return values[rows] if isinstance(rows, slice) else np.stack([values[row] for row in rows])


@cache
def versions() -> dict[str, str]:
    """Of the libraries that activations are computed and kept with: {name: version}, and which is the backend."""
    import keras

    backend = keras.config.backend()
    return {name: version(name) for name in ("keras", backend, "h5py", "numpy")} | {"backend": backend}
