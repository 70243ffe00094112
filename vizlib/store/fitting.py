"""One class, from images to activations to statistics to files: one pass over the images serves all layers."""

import errno
import shutil
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from uuid import uuid4

import filelock
import numpy as np
from threadpoolctl import threadpool_limits

from vizlib._files import TEMPORARY, leftovers
from vizlib._progress import progress_bar
from vizlib.images import as_images
from vizlib.networks import Network
from vizlib.statistics import Moments, Snapshots, Strongest
from vizlib.statistics.streaming import fit_together
from vizlib.store import files
from vizlib.store.sources import ImageSource, SpooledImages
from vizlib.store.spool import Spool
from vizlib.store.store import StatsStore

BATCH_BYTES = 2**29  # of the activations of all layers that the network computes at a time
MOST = 32  # images at a time, however small they are
KEPT = 2  # times the room of the images, up to which the activations of a layer are kept without being asked for
AT_ONCE = 2  # blocks that are taken, and then layers that are fitted, at a time
# What file systems without locks answer: the last two are the ENOTSUPP and EBADFD of some network drives.
LOCKLESS = {errno.ENOLCK, errno.EBADF, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, 524, 77}


def collect_class(
    store: StatsStore,
    images: ImageSource,
    class_name: str,
    layers: tuple[str, ...],
    keep_activations: bool = False,
    n: int | None = None,
    progress: bool = True,
) -> None:
    """Collect one class; see `vizlib.collect`."""
    store.check_network()
    files.write_network(store.path, files.network_facts(store.network))
    folder = files.class_folder(store.path, class_name)
    with _alone(folder, class_name) as spool_name:
        _take_images(store, images, class_name, n, progress)
        there = store.collected(class_name)
        left = [layer for layer in layers if layer not in there or keep_activations > there[layer]]
        with _spool(store, class_name, left, folder / spool_name) as spool:
            _compute(store, class_name, spool, f"{class_name}: activations" if progress else None)
            kept = partial(_is_kept, store.network, spool.shapes, keep_activations)
            _fit(store, class_name, spool, kept, f"{class_name}: statistics" if progress else None)
        spool.remove()


@contextmanager
def _alone(folder: Path, class_name: str) -> Iterator[str]:
    """Be the only process that collects a class, where the file system knows locks; the name of a folder to spool in.

    What crashes left is removed. If there is no class in the end, nothing is left of it.
    """
    folder.mkdir(exist_ok=True)
    lock, spool_name = filelock.FileLock(folder / ".lock"), f"spool{TEMPORARY}"
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            warnings.warn(f"another process collects {class_name!r}: waiting until it has ended.", stacklevel=4)
            lock.acquire()
        for path in (*leftovers(folder), *leftovers(folder / files.LAYERS)):
            if path.name != spool_name:
                path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in {None, *LOCKLESS}:
            raise OSError(error.errno, f"expected a folder to write to; received: {error.strerror}", folder) from error
        warnings.warn(
            f"the file system of {folder} knows no locks ({error}): while this runs, let no other process collect "
            f"{class_name!r}, as both would do all of the work.",
            stacklevel=4,
        )
        spool_name = f"spool.{uuid4().hex}{TEMPORARY}"
    try:
        yield spool_name
    finally:
        lock.release()
        if not (folder / files.IMAGES).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _take_images(store, images, class_name, n, progress):
    """Put the images of a class into the store or, where there are some, see that they are the same."""
    net, there = store.network, class_name in store.classes
    path = files.class_folder(store.path, class_name) / f"images.{uuid4().hex}{TEMPORARY}"
    spooled = SpooledImages(None if there else path, net.image_shape, net.as_images)
    try:
        spooled.take(images, n, f"{class_name}: images" if progress else None)
        if not there:
            files.write_images(store.path, class_name, spooled, spooled.sha256)
        elif store.images_sha256(class_name) != spooled.sha256:
            raise ValueError(
                f"expected the {store.n_images(class_name)} images that {class_name!r} in {store.path} was collected "
                f"from; received {len(spooled)} others. Choose another class name or another folder, or call "
                f"store.delete({class_name!r}) first."
            )
    finally:
        path.unlink(missing_ok=True)


def _spool(store, class_name, layers, folder):
    net = store.network
    numbers = sum(prod(tensor.shape[1:]) for tensor in net.graph()[1].tensors.values())
    origin = {
        "network": net.fingerprint,
        "images": store.images_sha256(class_name),
        "n_images": store.n_images(class_name),
        "step": int(np.clip(BATCH_BYTES // (4 * numbers), 1, MOST)),
    }
    names = [net.before_relu(layer) for layer in layers]
    outputs = net.features(tuple(names)).output if names else {}
    return Spool(folder, origin, {layer: outputs[name].shape[1:] for layer, name in zip(layers, names, strict=True)})


def _compute(store, class_name, spool, description):
    """Have the network compute, in one pass, the blocks that are not there yet."""
    net, missing, n = store.network, spool.missing() if spool.shapes else [], spool.n_images
    names = {layer: net.before_relu(layer) for layer in spool.shapes}
    counts = {index: spool.rows(index).stop - spool.rows(index).start for index in missing}
    with (
        files.reading(store.path, class_name, files.IMAGE) as file,
        ThreadPoolExecutor(AT_ONCE) as threads,  # they sort and write while the network computes the next blocks
        progress_bar(None, description, n, "image", initial=n - sum(counts.values()), disable=not description) as bar,
    ):
        under_way = deque()
        for index in missing:
            pixels = as_images(files.read_rows(file, files.PIXELS, spool.rows(index)))
            (_, activations), = net.batches(pixels, tuple(names.values()), spool.step)
            if len(under_way) == AT_ONCE:
                under_way.popleft().result()
            activations = {layer: activations[name] for layer, name in names.items()}
            under_way.append(threads.submit(spool.put, index, activations))
            bar.update(counts[index])
        for task in under_way:
            task.result()


def _is_kept(net: Network, shapes, keep_activations, layer):
    return keep_activations or 2 * prod(shapes[layer]) <= KEPT * prod(net.image_shape)


def _fit(store, class_name, spool, is_kept, description):
    """Fit the statistics of all layers in a spool, and write them in turn."""
    rectified, readers = store.network.is_rectified, {layer: spool.reader(layer) for layer in spool.shapes}
    threads = ThreadPoolExecutor(AT_ONCE)
    with threadpool_limits(1, "blas"):  # threads of BLAS beside each other spend their time waiting
        try:
            states = threads.map(_states, readers.values(), map(rectified, readers), map(spool.marginals, readers))
            fitted = zip(readers, states, strict=True)
            for layer, state in progress_bar(fitted, description, len(readers), "layer", disable=not description):
                kept = readers[layer] if is_kept(layer) else None
                files.write_layer(store.path, class_name, store.stored_name(layer), state, rectified(layer), kept)
        finally:
            threads.shutdown(cancel_futures=True)


def _states(X, rectify, marginals):
    models = (*fit_together([Moments(), Snapshots(rectify), Strongest()], X), marginals)
    return {type(model).__name__: model.state() for model in models}
