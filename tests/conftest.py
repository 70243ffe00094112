"""Fixtures that several test files share."""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read once, when TensorFlow is first imported
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as vizlib has it, where a test imports TensorFlow before

ROOT = Path(__file__).resolve().parent.parent
COMPILES = os.environ.get("KERAS_BACKEND") != "torch"  # or else functions run as they are, see `vizlib.backend`


@pytest.fixture(scope="session")
def shared():
    """The folder of material that is no part of the project: photographs and ImageNet weights."""
    folder = Path(os.environ.get("VIZLIB_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared material in {folder} (VIZLIB_SHARED moves it)")
    return folder


@pytest.fixture(scope="session")
def mini():
    """The embedded network."""
    import vizlib

    return vizlib.load_network("mini")


@pytest.fixture
def tiny_cnn():
    """A Keras model small enough to differentiate by hand: 6 × 6 RGB, two ReLU convolutions, 3 classes.

    Its weights are multiples of 1/4 from a fixed seed: with inputs of few binary places, activations and
    their gradients are exact in float32 in whatever order they are summed.
    """
    import keras
    from keras import layers

    image = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(image)
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    model = keras.Model(image, layers.Dense(3, activation="softmax", name="predictions")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.integers(-2, 3, w.shape).astype("float32") / 4 for w in model.get_weights()])
    return model
