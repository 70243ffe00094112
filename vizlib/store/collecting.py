"""Collecting: one class, or many, one after the other or side by side on a Dask cluster."""

from functools import lru_cache
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import keras

from vizlib._progress import progress_bar
from vizlib.images import load_images
from vizlib.networks import Network
from vizlib.store.files import IMAGE
from vizlib.store.fitting import collect_class
from vizlib.store.sources import ImageSource
from vizlib.store.store import StatsStore

if TYPE_CHECKING:
    from distributed import Client


def collect(
    store: StatsStore,
    images: ImageSource | str | PathLike,
    class_name: str | list[str],
    layers: list[str] | tuple[str, ...],
    keep_activations: bool = False,
    n: int | None = None,
    client: "Client | None" = None,
    progress: bool = True,
) -> None:
    """Show the network of a store images of a class, and keep these and the statistics of its activations.

    images: RGB of the network's size, at least 2: an array (n, size, size, 3), float in [0, 1] or uint8; a
    `numpy.memmap` or HDF5 dataset of that form; or batches of them, such as a `tf.data.Dataset` or what
    `keras.utils.image_dataset_from_directory` makes (floats in [0, 255], labels are left alone), a
    `keras.utils.PyDataset`, a generator. They are read once, and need not fit in memory. n: how many; None for all
    there are. class_name: any name. layers: names; of one that ends in a ReLU, what comes before it counts.

    Of several classes, a list of names, images is what `load_images` takes as its source, and n images of each are
    loaded. client: a `distributed.Client`, on which each class is a task; its workers see the folder of the store.

    keep_activations: whether activations stay on disk, in float16, of all layers; if False, of those alone that take at
    most twice the room of the images. progress: whether to show progress bars.

    A call that was interrupted or killed goes on where it was when it is made again, and ends with the same
    statistics; where nothing is left to do, the images are compared with those that are there, and that is all. Two
    processes may collect a class at once: one waits for the other. Memory holds 1.5 GB beside the network, however many
    images there are.

    Raises ValueError for images, layers and names that do not fit, for a network other than that of the store, and for
    a class that is there of other images; OSError where the disk is full or the folder cannot be written to.
    """
    store.check_network()
    net, layers = store.network, tuple(dict.fromkeys(layer for layer in layers if layer != IMAGE))
    for layer in layers:
        net.check_layer(layer)
    if layers:
        net.features(tuple(net.before_relu(layer) for layer in layers))  # raises for what takes images of another size
    names = list(class_name) if isinstance(class_name, (list, tuple)) else [class_name]
    if not all(isinstance(name, str) and name.encode("utf-8", "ignore").decode() == name != "" for name in names):
        raise ValueError(f"expected names of classes, text that is not empty; received {class_name!r}.")
    if not isinstance(class_name, str):
        _collect_classes(store, images, names, layers, keep_activations, n, client, progress)
    elif client is None:
        collect_class(store, images, class_name, layers, keep_activations, n, progress)  # type: ignore[arg-type]
    else:
        raise ValueError(f"expected a list of class names, each a task of the client; received {class_name!r}.")


def _collect_classes(store, source, class_names, layers, keep_activations, n, client, progress):
    net = store.network
    if client is None:
        for class_name in progress_bar(class_names, "classes", unit="class", disable=not progress):
            images = load_images(source, class_name, n, size=net.image_size, dtype="uint8", progress=progress)
            collect_class(store, images, class_name, layers, keep_activations, progress=progress)
        return
    from dask.distributed import as_completed

    network = client.submit(bytes, _saved(net.model))  # computed, so that it is made again where its worker dies
    shared = (net.settings, str(store.path), source, layers, keep_activations, n)
    tasks = [client.submit(_collect_on_worker, network, name, *shared, pure=False) for name in class_names]
    try:
        for task in progress_bar(as_completed(tasks), "classes", len(tasks), "class", disable=not progress):
            task.result()
    finally:
        client.cancel(tasks)


def _collect_on_worker(network, class_name, settings, path, source, layers, keep_activations, n):
    net = Network(_loaded(network), **settings)
    images = load_images(source, class_name, n, size=net.image_size, dtype="uint8", progress=False)
    collect_class(StatsStore(path, net), images, class_name, layers, keep_activations, progress=False)


def _saved(model):
    with TemporaryDirectory() as folder:
        path = Path(folder, "network.keras")
        model.save(path)
        return path.read_bytes()


@lru_cache(maxsize=1)
def _loaded(network):
    """The model of the bytes of a .keras file, read in Keras's safe mode, once in each process."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "network.keras")
        path.write_bytes(network)
        return keras.models.load_model(path, compile=False)
