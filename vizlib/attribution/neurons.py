"""Which neuron of a network is asked about, and images that go through a function a batch at a time."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from keras import ops

from vizlib._progress import progress_bar
from vizlib.backend import compiled
from vizlib.networks.network import SCORES, Network

Neuron = str | int | Sequence[int]


def chosen(net: Network, layer: str, neuron: Neuron) -> tuple[str, np.ndarray]:
    """The layer that counts, "scores" for that of the classes, and the weight of each of its neurons, 1 or 0.

    neuron: a class name there, the index of a unit or channel (a channel stands for the sum over its positions), or
    (row, column, channel). Raises ValueError for an unknown layer or neuron.
    """
    layer = SCORES if net.classes and layer == net.layers[-1] else layer
    shape = net.features((layer,)).output[layer].shape[1:]
    weights = np.zeros(shape, "float32")
    weights[_index(net, layer, neuron, shape)] = 1
    return layer, weights


def _index(net, layer, neuron, shape):
    """The position of a neuron in activations of this shape (without the batch), as a tuple of indices and slices."""
    if isinstance(neuron, str):
        if layer != SCORES:
            raise ValueError(f"expected an index at layer {layer}; received the class name {neuron!r}.")
        return (net.class_index(neuron),)
    index = tuple(int(i) for i in np.atleast_1d(neuron))
    if len(index) not in (1, len(shape)) or not all(0 <= i < s for i, s in zip(index[::-1], shape[::-1], strict=False)):
        raise ValueError(f"expected an index into the last axis, or a neuron, of shape {shape}; received {neuron!r}.")
    return (*(slice(None),) * (len(shape) - len(index)), *index)


def in_batches(
    net: Network, images: np.ndarray, function: Callable, passes: int = 1, progress: str | None = None
) -> np.ndarray:
    """What a function of (images of a batch, the number of the first, tick) answers to all images, side by side.

    Batches have one shape, for which functions are compiled: all are about as large, the last is filled up with black.
    progress: what a bar is called of all passes of the network, after each of which the function calls tick(); None for
    no bar.
    """
    n, answers = -(-len(images) // net.batch_size), []
    size = -(-len(images) // n)
    with progress_bar(None, progress, passes * n, "pass", disable=progress is None) as bar:
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            if len(batch) < size:
                batch = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])
            answers.append(function(batch, start, bar.update))
    return np.concatenate(answers)[: len(images)]


def seen_by_head(net: Network, images: np.ndarray, layer: str) -> tuple[Network, np.ndarray]:
    """The network, and the images, as the class scores are of them, which may be of one size alone (`Network.scored`);
    of other layers as they are."""
    if layer != SCORES or net.scored is net:
        return net, images
    return net.scored, resized(images, net.scored)


def resized(images: np.ndarray, net: Network) -> np.ndarray:
    """Images, or maps (n, h, w, 1), in the size of a network's."""
    size = net.image_shape[:2]
    if images.shape[1:3] == size:
        return images
    return ops.convert_to_numpy(ops.image.resize(images, size, antialias=True))


def on_arrays(function: Callable, weights: np.ndarray) -> Callable:
    """A compiled function of (images, weights) as one of a batch of images, from array to array."""
    weights = ops.convert_to_tensor(weights)
    return lambda images, *_: ops.convert_to_numpy(function(ops.convert_to_tensor(images), weights))


def values(net: Network, layer: str, weights: np.ndarray) -> Callable:
    """A function of a batch of images to the weighted sum of a layer's neurons, float32 (n,).

    weights: those of `chosen`, (*shape); or several, (k, *shape), for sums (n, k).
    """
    ask, several = net.kept(_values, layer), weights.ndim == len(net.features((layer,)).output[layer].shape)
    sums = on_arrays(ask, weights if several else weights[None])
    return sums if several else lambda images: sums(images)[:, 0]


def _values(net, layer):
    features = net.features((layer,))

    @compiled
    def sums(images, weights):
        activations, size = features(images)[layer], prod(weights.shape[1:])
        return ops.reshape(activations, (-1, size)) @ ops.transpose(ops.reshape(weights, (-1, size)))

    return sums
