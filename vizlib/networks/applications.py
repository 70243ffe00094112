"""The networks of keras.applications, with what each of them takes for an image."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import ops

from vizlib._files import keras_home

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the colours of ImageNet, RGB in [0, 1]


def vgg_preprocess(images: np.ndarray | keras.KerasTensor) -> keras.KerasTensor:
    """RGB in [0, 1] to what VGG16 was trained on: BGR in [0, 255] minus the mean colour of ImageNet."""
    return ops.flip(images, axis=-1) * 255 - ops.array([103.939, 116.779, 123.68], dtype="float32")


def symmetric_preprocess(images: np.ndarray | keras.KerasTensor) -> keras.KerasTensor:
    """RGB in [0, 1] to [-1, 1]."""
    return images * 2.0 - 1.0


def standard_preprocess(images: np.ndarray | keras.KerasTensor) -> keras.KerasTensor:
    """RGB in [0, 1] minus the mean colour of ImageNet, over the standard deviation."""
    return (images - ops.array(MEAN, dtype="float32")) / ops.array(STD, dtype="float32")


def bytes_preprocess(images: np.ndarray | keras.KerasTensor) -> keras.KerasTensor:
    """RGB in [0, 1] to [0, 255], of networks that have what comes next among their layers."""
    return images * 255.0


PREPROCESSING = {  # by the module of keras.applications that a network is from
    **dict.fromkeys(("vgg16", "vgg19", "resnet"), vgg_preprocess),
    **dict.fromkeys(
        ("inception_resnet_v2", "inception_v3", "mobilenet", "mobilenet_v2", "nasnet", "resnet_v2", "xception"),
        symmetric_preprocess,
    ),
    "densenet": standard_preprocess,
    **dict.fromkeys(("convnext", "efficientnet", "efficientnet_v2", "mobilenet_v3"), bytes_preprocess),
}


APPLICATIONS = {  # {"resnet50": "ResNet50"}, of all whose preprocessing is known
    name.lower(): name
    for name, builder in vars(keras.applications).items()
    if inspect.isfunction(builder) and builder.__module__.rpartition(".")[2] in PREPROCESSING
}
_MODULES = {name: sys.modules[getattr(keras.applications, own).__module__] for name, own in APPLICATIONS.items()}


def preprocessing_of(name: str) -> Callable:
    """What a network of keras.applications takes, of RGB in [0, 1]; name: in lower case, such as "resnet50"."""
    return PREPROCESSING[_MODULES[name].__name__.rpartition(".")[2]]


def imagenet_model(name: str) -> keras.Model:
    """A network of keras.applications with ImageNet weights, which Keras downloads on first use and checks.

    Raises FileNotFoundError, which says what to put where, if they cannot be had.
    """
    try:
        return getattr(keras.applications, APPLICATIONS[name])(weights="imagenet")
    except Exception as error:  # Keras raises bare exceptions for what a network does
        folder = keras_home() / "models"
        file = Path(getattr(_MODULES[name], "WEIGHTS_PATH", "")).name or "the file that is named below"
        raise FileNotFoundError(
            f"expected the ImageNet weights of {APPLICATIONS[name]}, which Keras downloads on first use. Without "
            f"internet, copy {file} into {folder} by hand, or use load_network('mini'), which is embedded; received: "
            f"{error}"
        ) from error
