"""A Keras model seen as named layers of activations, from RGB images in [0, 1] to class scores."""

import hashlib
import os
from functools import cached_property, lru_cache
from pathlib import Path

import keras
import numpy as np
from keras import ops

from vizlib.embedded import embedded_file
from vizlib.images import as_images

SCORES = "scores"  # the pseudo-layer of class scores before the softmax
PRE = ":pre"  # "block3_conv3:pre" is what block3_conv3 computes before its ReLU


def vgg_preprocess(images):
    """RGB in [0, 1] to what VGG16 was trained on: BGR in [0, 255] minus the mean colour of ImageNet."""
    return ops.flip(images, axis=-1) * 255 - ops.array([103.939, 116.779, 123.68], dtype="float32")


def load_network(source="mini", preprocess=None, classes=None, size=None):
    """Open a network for visualisation.

    source: "mini", the embedded VGG16-topology network of PartWorld (64 px, offline); "vgg16", VGG16 of Simonyan &
        Zisserman 2015 with ImageNet weights through keras.applications; a functional Keras model; or the path of a
        `.keras` file (read in Keras's safe mode).
    preprocess, classes, size: as in `Network`; "mini" and "vgg16" bring their own.

    Returns a `Network`. Raises FileNotFoundError where weights are missing, ValueError for anything that is not an
    image model or whose SHA-256 is wrong.
    """
    if source == "mini":
        from vizlib.partworld import CLASSES

        model = keras.models.load_model(embedded_file("mini.keras"), compile=False)
        return Network(model, preprocess or vgg_preprocess, classes or CLASSES)
    if source == "vgg16":
        return Network(_imagenet_vgg16(), preprocess or vgg_preprocess, classes or _imagenet_classes(), size)
    if isinstance(source, (str, Path)):
        source = _read_model(Path(source))
    return Network(source, preprocess, classes or (), size)


def _read_model(path):
    if not path.is_file():
        raise FileNotFoundError(f"expected 'mini', 'vgg16', a Keras model or a .keras file; found no file {path}.")
    if path.suffix != ".keras":
        raise ValueError(f"expected a file that ends in .keras; received {path.name}.")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        raise ValueError(f"expected a .keras model that Keras reads in safe mode; {path} gave: {error}") from error


def _imagenet_vgg16():
    try:
        return keras.applications.VGG16(weights="imagenet")
    except Exception as error:
        folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"
        raise FileNotFoundError(
            "expected the ImageNet weights of VGG16, which Keras downloads on first use. Without internet, copy "
            f"vgg16_weights_tf_dim_ordering_tf_kernels.h5 into {folder} by hand, or use load_network('mini'), which "
            f"is embedded; received: {error}"
        ) from error


def _imagenet_classes():
    labels = keras.applications.vgg16.decode_predictions(np.eye(1000, dtype="float32"), top=1)
    return [name for ((_, name, _),) in labels]


class Network:
    """A functional Keras image model as named layers of activations.

    model: one input of images (n, h, w, 3). preprocess: from RGB images in [0, 1] to the model's input, written in
    `keras.ops` so that gradients pass; None if the model takes RGB in [0, 1]. classes: names in the order of the
    model's outputs. size: pixels of a side, for models that leave it open (224 if not given).

    `layers`: names, shallow → deep. `classes`: names. `image_size`: pixels of a side. Raises ValueError for a model
    that does not take images, or whose classes do not match its outputs.
    """

    def __init__(self, model, preprocess=None, classes=(), size=None):
        if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
            raise ValueError(f"expected a functional Keras model; received {model!r}.")
        shapes = [tuple(x.shape) for x in model.inputs]
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] != 3:
            raise ValueError(f"expected a model with one input of images (n, h, w, 3); received inputs {shapes}.")
        units = model.outputs[0].shape[-1]
        if classes and (len(model.outputs[0].shape) != 2 or len(classes) != units):
            raise ValueError(f"expected a class name for each of the {units} outputs; received {len(classes)} names.")
        self.model = model
        self.preprocess = preprocess or (lambda images: images)
        self.classes = tuple(classes)
        self.image_size = size or shapes[0][1] or 224
        self.layers = tuple(x.name for x in model.layers if not isinstance(x, keras.layers.InputLayer))
        self.features = lru_cache(maxsize=16)(self._features)

    def __repr__(self):
        layers, classes = len(self.layers), len(self.classes)
        return f"Network({self.model.name!r}, {layers} layers, {self.image_size} px, {classes} classes)"

    def _features(self, layers, relu=None):
        """The network up to the deepest of the layers: a model from RGB images in [0, 1] to {layer: activations}.

        layers: a tuple of names out of `layers`; "scores" stands for the class scores before the softmax and
        NAME:pre for what a layer computes before its activation function. relu: a function that takes the place of
        every ReLU on the way. Raises ValueError for an unknown layer, and where there is no ReLU to replace.
        """
        for name in layers:
            self.check_layer(name.removesuffix(PRE))
        cut = keras.Model(self.model.inputs, [self._output(name) for name in layers])
        if relu:
            replaced = [layer for layer in cut.layers if _is_relu(layer)]
            if not replaced:
                raise ValueError(f"expected a ReLU between the image and {', '.join(layers)} to replace; found none.")
            cut = keras.models.clone_model(
                cut, clone_function=lambda layer: _with_activation(layer, relu) if layer in replaced else layer
            )
        images = keras.Input((self.image_size, self.image_size, 3), name="images")
        outputs = cut(self.preprocess(images))
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return keras.Model(images, dict(zip(layers, outputs, strict=True)))

    def _output(self, name):
        if name == SCORES or name.endswith(PRE):
            layer = self.model.layers[-1] if name == SCORES else self.model.get_layer(name.removesuffix(PRE))
            return _with_activation(layer, None)(layer.input)
        return self.model.get_layer(name).output

    def is_rectified(self, name):
        """Whether a layer ends in a ReLU."""
        return name != SCORES and _is_relu(self.model.get_layer(name))

    def check_layer(self, name):
        """Raise ValueError, listing the layers, if there is no such layer."""
        if name not in (*self.layers, SCORES):
            raise ValueError(f"expected a layer out of {', '.join(self.layers)} or {SCORES}; received {name!r}.")

    def class_index(self, name):
        """The position of a class in the scores; ValueError, listing the classes, if there is none of this name."""
        if name not in self.classes:
            raise ValueError(f"expected a class out of {', '.join(self.classes) or '(none named)'}; received {name!r}.")
        return self.classes.index(name)

    def activations(self, images, layers):
        """What the layers answer: {layer: float32 array (n, h, w, channels) or (n, units)}.

        images: (n, image_size, image_size, 3), float in [0, 1] or uint8. layers: names. Raises ValueError for
        other images and unknown layers.
        """
        images = as_images(images)
        size = self.image_size
        if images.shape[1:] != (size, size, 3):
            raise ValueError(f"expected images of shape (n, {size}, {size}, 3); received {images.shape}.")
        return self.features(tuple(layers)).predict(images, batch_size=64, verbose=0)

    def scores(self, images):
        """Class scores before the softmax, float32 (n, classes); `images` as in `activations`."""
        return self.activations(images, [SCORES])[SCORES]

    @cached_property
    def fingerprint(self):
        """SHA-256 over layers, weights and preprocessing: equal only if the activations are."""
        digest = hashlib.sha256(repr((self.layers, self.image_size)).encode())
        for weight in self.model.weights:
            value = np.ascontiguousarray(ops.convert_to_numpy(weight))
            digest.update(repr((weight.path, value.shape)).encode() + value.tobytes())
        probe = np.linspace(0, 1, 48, dtype="float32").reshape(1, 4, 4, 3)
        digest.update(np.round(ops.convert_to_numpy(self.preprocess(probe)), 3).tobytes())
        return digest.hexdigest()


def _is_relu(layer):
    if isinstance(layer, keras.layers.ReLU):
        return layer.max_value is None and not layer.negative_slope and not layer.threshold
    return getattr(layer, "activation", None) is keras.activations.relu


def _with_activation(layer, activation):
    """A copy of the layer with its weights and another activation function (None: none)."""
    if isinstance(layer, (keras.layers.ReLU, keras.layers.Softmax)):
        return keras.layers.Activation(activation or "linear")
    if not hasattr(layer, "activation"):
        return layer
    copy = type(layer).from_config(layer.get_config() | {"activation": activation, "name": None})
    copy.build(layer.input.shape)
    copy.set_weights(layer.get_weights())
    return copy
