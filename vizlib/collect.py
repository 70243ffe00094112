"""From images to activations to statistics to the store, in one pass for all layers."""

import hashlib

import numpy as np
from tqdm.auto import tqdm

from vizlib.images import as_images, to_uint8
from vizlib.network import PRE
from vizlib.store import BLOCK, IMAGE


def collect(net, images, class_name, layers, store, progress=True):
    """Show a network images of a class and keep the statistics of its activations, and of the images, in a store.

    net: a `Network`. images: (n, image_size, image_size, 3), float in [0, 1] or uint8, n ≥ 2. class_name: any name
    without a slash. layers: names; of one that ends in a ReLU, what comes before it is kept. store: a `StatsStore`
    opened with mode "a". progress: whether to show progress bars.

    When it is interrupted, the same call goes on where it stopped and ends with the same statistics; when there is
    nothing left to do it returns at once. Raises ValueError for images, layers and names that do not fit, for a
    store of another network, and for a class that the store has of other images.
    """
    images = as_images(images)
    size = net.image_size
    if images.shape[1:] != (size, size, 3) or len(images) < 2:
        raise ValueError(f"expected images of shape (n ≥ 2, {size}, {size}, 3); received {images.shape}.")
    layers = tuple(dict.fromkeys((IMAGE, *layers)))
    for layer in layers[1:]:
        net.check_layer(layer)
    _begin(net, images, class_name, store)
    _collect_values(net, images, class_name, layers, store, progress)
    for layer in tqdm(layers, f"{class_name}: statistics", unit="layer", disable=not progress):
        store.keep_model(class_name, layer)


def _begin(net, images, class_name, store):
    """Make the group of the class, or see that it is of the same network and images."""
    if store.file.mode == "r":
        raise ValueError(f"expected a store opened with mode 'a'; received {store.path} opened with mode 'r'.")
    if store.classes:
        store.check_network(net)
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images))
    if class_name not in store.classes:
        with store.new_group(class_name) as group:
            if not store.classes:
                store.file.attrs.update({"network_name": net.model.name, "network": net.fingerprint})
            group.attrs.update({"n_images": len(images), "images_sha256": digest.hexdigest()})
    attributes = store.group(class_name).attrs
    if (attributes["n_images"], attributes["images_sha256"]) != (len(images), digest.hexdigest()):
        raise ValueError(
            f"expected the {attributes['n_images']} images that {class_name!r} in {store.path} was collected from; "
            f"received {len(images)} others. Choose another class name or another file, or call "
            f"store.delete({class_name!r}) first."
        )


def _collect_values(net, images, class_name, layers, store, progress):
    n = len(images)
    counts = {layer: store.n_collected(class_name, layer) for layer in layers}
    start = min(counts.values())
    if start == n:
        return
    rectify = {layer: layer != IMAGE and net.is_rectified(layer) for layer in layers}
    names = {layer: layer + PRE * rectify[layer] for layer in layers if layer != IMAGE and counts[layer] < n}
    pixels = to_uint8(images)
    lossless = np.array_equal(as_images(pixels), images)
    with tqdm(total=n, initial=start, desc=f"{class_name}: activations", unit="image", disable=not progress) as bar:
        for i in range(start, n, BLOCK):
            block = net.activations(images[i : i + BLOCK], names.values()) if names else {}
            block[IMAGE] = (pixels if lossless else images)[i : i + BLOCK]
            for layer in layers:
                if i + len(block[IMAGE]) > counts[layer]:
                    store.write(class_name, layer, i, block[names.get(layer, layer)], rectify[layer])
            bar.update(len(block[IMAGE]))
