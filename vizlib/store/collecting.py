"""From images to activations to statistics to the store: one pass over the images serves all layers."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
from tqdm.auto import tqdm

from vizlib.images import as_images, to_uint8
from vizlib.networks.network import PRE
from vizlib.statistics import PCA, ImageStatistics, Moments
from vizlib.store.blocks import BLOCK, ActivationBlocks, quoted
from vizlib.store.locks import writer
from vizlib.store.store import IMAGE


def collect(net, images, class_name, layers, store, keep_activations=False, client=None, progress=True):
    """Show a network images of a class and keep the statistics of its activations, and the images, in a store.

    net: a `Network`. images: (n, image_size, image_size, 3), float in [0, 1] or uint8, n ≥ 2: an array, or what gives
    arrays of it for slices of rows, such as `numpy.memmap` or an HDF5 dataset. class_name: any name without a slash.
    layers: names; of one that ends in a ReLU, what comes before it is kept. store: a `StatsStore` opened with mode
    "a". keep_activations: whether the activations themselves stay in the store. client: a `distributed.Client`, whose
    workers then compute the activations (`pip install vizlib[scale]`). progress: whether to show progress bars.

    The activations, at most 4 bytes each, wait for the fit on disk, packed, in STORE.CLASS.partial; memory holds those
    of two blocks of 32 images, however many there are. When it is interrupted or killed, the same call goes on with the
    blocks and layers that are not done and ends with the same statistics; when nothing is left it returns at once.

    Raises ValueError for images, layers and names that do not fit, for a store of another network, and for a class that
    the store has of other images; TimeoutError while another process collects this class.
    """
    layers = tuple(dict.fromkeys((IMAGE, *layers)))
    for layer in layers[1:]:
        net.check_layer(layer)
    pixels = _Pixels(images, net.image_size)
    store.new_class(net, class_name, len(pixels), pixels.sha256)
    folder = f"{store.path}.{quoted(class_name)}.partial"
    blocks = ActivationBlocks(folder, {"network": net.fingerprint, "images": pixels.sha256, "n_images": len(pixels)})
    with writer(folder):
        there = store.collected(class_name)
        layers = [layer for layer in layers if layer not in there or keep_activations > there[layer]]
        names = {layer: layer + PRE * net.is_rectified(layer) for layer in layers if layer != IMAGE}
        if names:
            compute(net, pixels, names, blocks, client, f"{class_name}: activations" if progress else None)
        for layer in tqdm(layers, f"{class_name}: statistics", unit="layer", disable=not progress):
            values = pixels if layer == IMAGE else blocks.reader(layer)
            kept = values if keep_activations or layer == IMAGE else None
            _put_statistics(store, class_name, layer, values, names.get(layer, layer) != layer, kept)
            blocks.remove(layer)
        blocks.remove()


class _Pixels:
    """Images as the store keeps them, read when sliced: uint8 where that loses nothing, else float32.

    Reads them all once: `sha256` is that of their values, as float32. Raises ValueError for images that do not fit.
    """

    def __init__(self, images, size):
        self._images = images if hasattr(images, "shape") else np.asarray(images)
        self.shape = tuple(self._images.shape)
        if self.shape[1:] != (size, size, 3) or len(self) < 2:
            raise ValueError(f"expected images of shape (n ≥ 2, {size}, {size}, 3); received {self.shape}.")
        digest, lossless = hashlib.sha256(repr(self.shape).encode()), True
        for start in range(0, len(self), BLOCK):
            block = as_images(self._images[start : start + BLOCK])
            digest.update(np.ascontiguousarray(block))
            lossless = lossless and np.array_equal(as_images(to_uint8(block)), block)
        self.sha256, self.dtype = digest.hexdigest(), np.dtype("uint8" if lossless else "float32")

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        block = self._images[rows]
        return to_uint8(block) if self.dtype == "uint8" else as_images(block)


def compute(net, images, names, blocks, client=None, description=None):
    """Have the network compute, in one pass, the blocks that are not on disk yet; names: {layer: as in `features`}."""
    model = net.features(tuple(names.values()))
    missing = blocks.missing(names)
    inputs = ((index, as_images(images[BLOCK * index : BLOCK * (index + 1)])) for index in missing)
    if client is None:
        computed = ((index, model.predict_on_batch(block)) for index, block in inputs)
    else:
        from vizlib.store.cluster import on_cluster

        computed = on_cluster(client, model, inputs)
    n = len(images)
    done = n - sum(min(BLOCK, n - BLOCK * index) for index in missing)
    with (
        closing(computed),
        ThreadPoolExecutor(1) as thread,  # the disk works while the network computes the next block
        tqdm(total=n, initial=done, desc=description, unit="image", disable=description is None) as bar,
    ):
        written = None
        for index, activations in computed:
            if written:
                written.result()
            written = thread.submit(blocks.write, index, {layer: activations[name] for layer, name in names.items()})
            bar.update(min(BLOCK, n - BLOCK * index))
        if written:
            written.result()


def _put_statistics(store, class_name, layer, values, rectify, kept):
    """Fit the estimators of a layer on its values, and put them into the store."""
    estimators = [ImageStatistics()] if layer == IMAGE else [Moments(), PCA(rectify=rectify)]
    attributes = {
        "n_images": len(values),
        "rectify": rectify,
        "dtype": str(values.dtype),
        "estimators": ", ".join(_settings(estimator) for estimator in estimators),
    }
    states = {type(estimator).__name__: estimator.fit(values).state() for estimator in estimators}
    store.put(class_name, layer, states, attributes, kept)


def _settings(estimator):
    """An estimator that is not fitted yet, as in Python: "PCA(n_components=None, rectify=True)"."""
    return f"{type(estimator).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(estimator).items())})"
