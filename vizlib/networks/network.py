"""A Keras model seen as named layers of activations, from RGB images in [0, 1] to class scores."""

import hashlib
from functools import cached_property, lru_cache
from math import inf, prod

import keras
import numpy as np
from keras import ops

from vizlib.images import as_images
from vizlib.networks.graph import PRE, Graph, is_graph

MEMORY = 2**32  # bytes, about, of the activations of a batch
DTYPES = "float32", "bfloat16", "float16"
TRAINED = 12  # bytes of memory for each of them, with gradients
SCORES = "scores"  # the pseudo-layer of class scores before the softmax


def vgg_preprocess(images):
    """RGB in [0, 1] to what VGG16 was trained on: BGR in [0, 255] minus the mean colour of ImageNet."""
    return ops.flip(images, axis=-1) * 255 - ops.array([103.939, 116.779, 123.68], dtype="float32")


class Network:
    """A functional or sequential Keras image model as named layers of activations.

    model: one input of square RGB images (n, h, w, 3). preprocess: from RGB images in [0, 1] to the model's input,
    written in `keras.ops` so that gradients pass; None if the model takes RGB in [0, 1]. classes: names in the order of
    the model's first output. size: pixels of a side, for models that leave it open (224 if not given) or for the
    layers of others that take images of any size. dtype: what activations are computed in, "float32", or "bfloat16" or
    "float16" (mixed precision: weights, losses and what is returned are float32), which GPUs compute faster. It is no
    part of `identity`: statistics are of the network, however it is computed.

    `batch_size`: how many images go through the network at a time, as many as memory should hold; can be set.
    `layers`: names, shallow → deep, those of the layers in a model "base" within the model as "base/NAME", and the
    second call of a layer as "NAME#2". `classes`: names. `image_size`: pixels of a side. Raises ValueError for a model
    that does not take images, or whose classes do not match its outputs.
    """

    def __init__(self, model, preprocess=None, classes=(), size=None, dtype="float32"):
        if isinstance(model, keras.Sequential) and not is_graph(model):
            raise ValueError(
                f"expected a Sequential model that knows its input; received {model.name!r}, which does after "
                "model.build((None, size, size, 3))."
            )
        if not is_graph(model):
            raise ValueError(f"expected a functional or sequential Keras model; received {model!r}.")
        shapes = [tuple(x.shape) for x in model.inputs]
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] != 3 or shapes[0][1] != shapes[0][2]:
            raise ValueError(f"expected a model with one input of images (n, size, size, 3); received {shapes}.")
        units = model.outputs[0].shape[-1]
        if classes and (len(model.outputs[0].shape) != 2 or len(classes) != units):
            raise ValueError(f"expected a class name for each of the {units} outputs; received {len(classes)} names.")
        if dtype not in DTYPES:
            raise ValueError(f"expected a dtype out of {', '.join(DTYPES)}; received {dtype!r}.")
        self.model, self.dtype = model, dtype
        self.preprocess = preprocess or (lambda images: images)
        self.classes = tuple(classes)
        self.image_size = size or shapes[0][1] or 224
        self.graph = lru_cache(maxsize=4)(self._graph)
        self.features = lru_cache(maxsize=16)(self._features)
        self.kept = lru_cache(maxsize=16)(lambda function, *arguments: function(self, *arguments))

    def __repr__(self):
        layers, classes = len(self.layers), len(self.classes)
        return f"Network({self.model.name!r}, {layers} layers, {self.image_size} px, {classes} classes)"

    def _repr_html_(self):
        from vizlib.networks.summary import summary

        return summary(self)

    @cached_property
    def layers(self):
        return tuple(self.graph()[1].layers)

    @cached_property
    def batch_size(self):
        numbers = sum(prod(tensor.shape[1:]) for tensor in self.graph()[1].tensors.values())
        return int(np.clip(MEMORY // (TRAINED * numbers), 1, 64))

    def _graph(self, relu=None):
        """The `Graph` of the network from "images", RGB in [0, 1], on."""
        images = keras.Input((self.image_size, self.image_size, 3), name="images")
        policy = keras.DTypePolicy(f"mixed_{self.dtype}") if self.dtype != "float32" else None
        return images, Graph(self.model, self.preprocess(images), relu, policy)

    def _features(self, layers, relu=None):
        """The network up to the deepest of the layers: a model from RGB images in [0, 1] to {layer: activations}.

        layers: a tuple of names out of `layers`; "scores" stands for the class scores before the softmax and
        NAME:pre for what a layer computes before its activation function. relu: a function that takes the place of
        every ReLU on the way, see `Graph`. Raises ValueError for an unknown layer, for one that cannot take images of
        this size, and where there is no ReLU to replace.
        """
        images, graph = self.graph(relu)
        cut = keras.Model(images, {name: self._tensor(graph, name) for name in layers})
        if relu:
            graph.check_rule(cut)
        return cut

    def _tensor(self, graph, name):
        self.check_layer(name.removesuffix(PRE))
        tensor = graph.scores if name == SCORES else graph.tensors.get(name)
        if tensor is None:
            own, size = self.model.inputs[0].shape[1], self.image_size
            raise ValueError(f"expected images of {own} px, which {name} is made for; received a size of {size} px.")
        return ops.cast(tensor, "float32") if self.dtype != "float32" else tensor

    def is_rectified(self, name):
        """Whether a layer ends in a ReLU, one without a maximum."""
        return self.graph()[1].ceiling.get(name) == inf

    def finer_layers(self, name):
        """Of each resolution finer than that of a layer the last layer before it that ends in a ReLU, deep to shallow.

        What a layer leaves open of an image, they tell: VGG16's block3_conv3 has block2_conv2 and block1_conv2.
        """
        self.check_layer(name)
        tensors, last = self.graph()[1].tensors, {}

        def height(layer):
            shape = tensors[layer].shape if layer in tensors else ()
            return shape[1] if len(shape) == 4 else 0

        for earlier in self.layers[: (*self.layers, SCORES).index(name)]:
            if self.is_rectified(earlier) and height(earlier) > height(name):
                last[height(earlier)] = earlier
        return tuple(last[key] for key in sorted(last))

    def check_layer(self, name):
        """Raise ValueError, listing the layers, if there is no such layer."""
        if name not in (*self.layers, SCORES):
            raise ValueError(f"expected a layer out of {', '.join(self.layers)} or {SCORES}; received {name!r}.")

    def class_index(self, name):
        """The position of a class in the scores; `name` may be the position itself, as of classes of the same name.

        Raises ValueError, listing the classes, if there is none of this name, and their positions if there are several.
        """
        found = [i for i, known in enumerate(self.classes) if known == name]
        if isinstance(name, (int, np.integer)) and 0 <= name < len(self.classes):
            return int(name)
        if not found:
            raise ValueError(f"expected a class out of {', '.join(self.classes) or '(none named)'}; received {name!r}.")
        if len(found) > 1:
            raise ValueError(f"expected one of the positions {found}, of classes of one name; received {name!r}.")
        return found[0]

    def activations(self, images, layers):
        """What the layers answer: {layer: float32 array (n, h, w, channels) or (n, units)}.

        images: (n, image_size, image_size, 3), float in [0, 1] or uint8. layers: names. Raises ValueError for
        other images and unknown layers.
        """
        images = as_images(images)
        size = self.image_size
        if images.shape[1:] != (size, size, 3):
            raise ValueError(f"expected images of shape (n, {size}, {size}, 3); received {images.shape}.")
        answers = self.features(tuple(layers)).predict(images, batch_size=self.batch_size, verbose=0)
        return {name: np.asarray(values, "float32") for name, values in answers.items()}

    def scores(self, images):
        """Class scores before the softmax, float32 (n, classes); `images` as in `activations`."""
        return self.activations(images, [SCORES])[SCORES]

    @cached_property
    def identity(self):
        """What activations depend on: {"weights": SHA-256 over the layers' names and weights, "preprocessing":
        SHA-256 of what it makes of a few colours, "image_size": pixels of a side}.
        """
        weights = hashlib.sha256(repr(self.layers).encode())
        for weight in self.model.weights:
            value = np.ascontiguousarray(ops.convert_to_numpy(weight))
            weights.update(repr((weight.path, value.shape)).encode() + value.tobytes())
        probe = np.linspace(0, 1, 48, dtype="float32").reshape(1, 4, 4, 3)
        colours = np.round(ops.convert_to_numpy(self.preprocess(probe)), 3) + 0.0  # which makes -0 a 0
        preprocessing = hashlib.sha256(colours.tobytes())
        return {
            "weights": weights.hexdigest(),
            "preprocessing": preprocessing.hexdigest(),
            "image_size": self.image_size,
        }

    @cached_property
    def fingerprint(self):
        """SHA-256 over layers, weights, preprocessing and image size: equal only if the activations are."""
        return hashlib.sha256(repr(sorted(self.identity.items())).encode()).hexdigest()
