"""Real VGG16, photographs of ImageNet and a judge of it, from a folder that is no part of the project.

FOLDER holds in `vgg16` the ImageNet weights of the thirteen convolutions (vgg16_blocks1to3.h5 and vgg16_blocks4to5.h5:
/<layer>/kernel and /<layer>/bias, as in Keras); in `imagenet` a head of 20 classes on the global average of block5_pool
(head20.h5, and head20.txt with their names), photographs at 224 px in class folders of `photos/train` and `photos/val`,
and judge_efficientnet_lite0.keras, which knows all 1,000 classes.
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import keras
from keras import layers

from vizlib.networks import Network, imagenet_classes, vgg_preprocess

LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")  # the last of each block
JUDGED = tuple(f"_blocks-{i}-_bn1_relu" for i in range(16))  # the judge's blocks, within their bottlenecks
POSITIONS = "_bn1_relu"  # what the judge averages


def vgg16(folder: Path, size: int = 224) -> Network:
    """VGG16 with the head of 20 classes, for images of any size."""
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(size, size, 3))
    average = layers.GlobalAveragePooling2D(name="average")(base.output)
    model = keras.Model(base.input, layers.Dense(20, "softmax", name="predictions")(average), name="vgg16")
    for path in ("vgg16/vgg16_blocks1to3.h5", "vgg16/vgg16_blocks4to5.h5", "imagenet/head20.h5"):
        with h5py.File(folder / path) as file:
            for name, layer in file.items():
                model.get_layer(name).set_weights([layer["kernel"][()], layer["bias"][()]])
    lines = (folder / "imagenet/head20.txt").read_text().splitlines()
    return Network(model, vgg_preprocess, [line for line in lines if not line.startswith("#")][:20])


def judge(folder: Path) -> tuple[keras.Model, list[str], Callable]:
    """EfficientNet-Lite0, its classes under the names that folders of photographs have, and its preprocessing."""
    model = keras.models.load_model(folder / "imagenet/judge_efficientnet_lite0.keras", compile=False)
    return model, [name.lower() for name in imagenet_classes()], lambda images: (images * 255 - 127) / 128
