"""What a network is, whatever its layers are called: hashes of what activations depend on."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

import keras
import numpy as np
from keras import ops

from vizlib.backend import as_array
from vizlib.networks.graph import Graph, function_name

# What layers of Keras are told that changes what they compute, and may change neither their weights nor their outputs'
# shape.
SETTINGS = ("strides", "padding", "dilation_rate", "pool_size", "cropping", "interpolation", "scale", "offset")
SETTINGS += ("epsilon", "negative_slope", "max_value", "threshold")


def weights_hash(model: keras.Model) -> str:
    """SHA-256 over the layers in their order: what kind each is, its activation function, settings, output, weights.

    Names are no part of it, which Keras counts on in a notebook whose cell is run again, nor is what Keras writes of a
    layer into a file, which is another thing in each version; nor is what is no layer, such as `x + 1`, nor which layer
    feeds which.
    """
    graph = Graph(model, [keras.Input(x.shape[1:], dtype=x.dtype) for x in model.inputs])
    digest, numbers = hashlib.sha256(), {}
    for number, name in enumerate(graph.layers):
        layer = graph.origin[name]
        first = numbers.setdefault(id(layer), number)  # another number where the layer is called again
        shapes = [tuple(weight.shape) for weight in layer.weights]
        kind = type(layer).__name__, function_name(layer), _settings(layer)
        digest.update(repr((first, kind, tuple(graph.tensors[name].shape[1:]), shapes)).encode())
        for weight in layer.weights if first == number else ():
            digest.update(_bytes(weight))
    return digest.hexdigest()


def preprocessing_hash(preprocess: Callable, channels: int = 3, given: Mapping[str, np.ndarray] | None = None) -> str:
    """SHA-256 of what a preprocessing makes of a few colours, or greys, and of what a model is given beside images."""
    probe = np.linspace(0, 1, 16 * channels, dtype="float32").reshape(1, 4, 4, channels)
    colours = np.round(ops.convert_to_numpy(preprocess(ops.convert_to_tensor(probe))), 3) + 0.0  # which makes -0 a 0
    digest = hashlib.sha256(colours.tobytes())
    for name, value in sorted((given or {}).items()):
        digest.update(repr((name, value.shape, value.tolist())).encode())
    return digest.hexdigest()


def checksums(weights: Sequence[keras.Variable]) -> tuple[int, ...]:
    """A number for each weight that is another once it was trained; VGG16's take 0.1 s here, their SHA-256 0.3 s."""
    return tuple(crc32(_bytes(weight)) for weight in weights)


def _bytes(weight):
    return np.ascontiguousarray(as_array(ops.convert_to_tensor(weight))).view("uint8")


def _settings(layer):
    found = {key: getattr(layer, key, None) for key in SETTINGS}
    return [(key, np.ravel(x).tolist()) for key, x in found.items() if isinstance(x, (int, float, str, tuple, list))]
