"""The architectures of the embedded networks: a narrow VGG16 and two judges that are not VGG."""

from functools import cached_property, partial

import keras
import numpy as np
from keras import layers, ops

from vizlib.backend import value_and_gradient
from vizlib.networks import vgg_preprocess
from vizlib.partworld import CLASSES, PARTS
from vizlib.partworld.drawing import SIDE

WIDTHS, DEPTHS, UNITS = (24, 48, 96, 128, 128), (2, 2, 3, 3, 3), 256
PICTURE_SCALE = 1 / 64  # of the levels 0 to 255 less the mean colour, for training


class Robust(keras.Model):
    """Learns from images moved to where its answer is worst, within a ball (Madry et al. 2018).

    The gradients of an ordinary small network are noise to the eye, and so is what maximises its scores. Those of one
    that withstands small changes look like parts of the class, and its features can be inverted (Engstrom et al. 2019).
    """

    RADIUS = 3 * 255  # of the ball: root of the sum of squares over the pixels, in levels
    RAMP = 200  # steps from 0 to the radius

    def train_step(self, data):
        images, classes = data
        targets = [classes] + [images * PICTURE_SCALE] * (len(self.outputs) - 1)
        return super().train_step((images + self.worst(images, classes), targets))

    def worst(self, images, classes):
        """From a random point in the ball one step up the loss of the class, and back onto the ball."""
        radius = self.RADIUS * ops.minimum(ops.cast(self.optimizer.iterations, "float32") / self.RAMP, 1)
        start = keras.random.uniform((ops.shape(images)[0], 1, 1, 1), 0, radius, seed=self.randomness)
        change = start * direction(keras.random.normal(ops.shape(images), seed=self.randomness))

        def loss(change):
            answers = self(images + change, training=True)[0]
            return ops.sum(keras.losses.categorical_crossentropy(classes, answers)), ()

        change += 1.25 * radius * direction(value_and_gradient(loss)(change)[1])
        return ops.minimum(norm(change), radius) * direction(change)

    @cached_property
    def randomness(self):
        return keras.random.SeedGenerator(0)


def norm(images):
    return ops.sqrt(ops.sum(images**2, (1, 2, 3), keepdims=True))


def direction(images):
    return images / (norm(images) + 1e-6)


def decoded(features, name):
    """The picture as a linear map sees it in the features.

    A network for a thousand classes of photographs has to keep nearly all of a picture; for twelve drawn ones it may
    forget colours and details, and there would be little to see in it. A picture to give back makes it keep them.
    """
    side = features.shape[1]
    cell = SIDE // side
    x = layers.Conv2D(3 * cell**2, 3, padding="same", name=f"{name}_patches")(features)
    x = layers.Permute((1, 3, 2, 4, 5))(layers.Reshape((side, side, cell, cell, 3))(x))
    return layers.Reshape((SIDE, SIDE, 3), name=name)(x)


def vgg16(training):
    """VGG16 (Simonyan & Zisserman 2015), narrower; to train, with batch normalisation and a decoder on each block.

    It answers the probabilities of the classes; to train, a list of them and the decoded pictures.
    """
    x = image = keras.Input((SIDE, SIDE, 3), name="image")
    pictures = []
    if training:
        x = layers.Rescaling(PICTURE_SCALE)(x)

    def unit(x, kind, width, name):
        if not training:
            return kind(width, activation="relu", name=name)(x)
        x = kind(width, use_bias=False, name=name)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.95, name=f"{name}_norm")(x))

    conv = partial(layers.Conv2D, kernel_size=3, padding="same")
    for block, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True), 1):
        for i in range(1, depth + 1):
            x = unit(x, conv, width, f"block{block}_conv{i}")
        pictures += [decoded(x, f"picture{block}")] if training else []
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc1", "fc2"):
        x = unit(x, layers.Dense, UNITS, name)
        x = layers.Dropout(0.3)(x) if training else x
    x = layers.Dense(len(CLASSES), "softmax", name="predictions")(x)
    return Robust(image, [x, *pictures]) if training else keras.Model(image, x, name="mini")


def folded(trained):
    """The classes of a trained `vgg16(True)` with scale and batch normalisation folded into kernels and biases."""
    plain = vgg16(False)
    for layer in plain.layers:
        if layer.name == "predictions":
            layer.set_weights(trained.get_layer(layer.name).get_weights())
        elif layer.weights:
            (kernel,) = trained.get_layer(layer.name).get_weights()
            norm = trained.get_layer(f"{layer.name}_norm")
            gamma, beta, mean, variance = norm.get_weights()
            gain = gamma / np.sqrt(variance + norm.epsilon)
            scale = PICTURE_SCALE if layer.name == "block1_conv1" else 1
            layer.set_weights([kernel * gain * scale, beta - mean * gain])
    probe = vgg_preprocess(np.random.default_rng(0).random((8, SIDE, SIDE, 3), np.float32))
    apart = float(np.abs(plain.predict(probe, verbose=0) - trained.predict(probe, verbose=0)[0]).max())
    if apart > 1e-4:
        raise ArithmeticError(f"expected the folded network to answer the same; received a difference of {apart:g}.")
    return plain


def residual(x, width, stride=1):
    """A pre-activation residual block of separable convolutions (He et al. 2016)."""
    y = layers.Activation("silu")(layers.BatchNormalization(momentum=0.95)(x))
    short = layers.Conv2D(width, 1, strides=stride, use_bias=False)(y) if x.shape[-1] != width or stride > 1 else x
    y = layers.SeparableConv2D(width, 3, stride, "same", use_bias=False)(y)
    y = layers.Activation("silu")(layers.BatchNormalization(momentum=0.95)(y))
    return layers.Add()([short, layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(y)])


def classifier():
    """A small residual network from RGB in [0, 1] to the scores of the classes."""
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(4, offset=-2)(image)
    x = layers.Conv2D(32, 5, 2, "same", use_bias=False)(x)
    for width, stride in ((48, 1), (96, 2), (96, 1), (160, 2), (160, 1), (224, 2)):
        x = residual(x, width, stride)
    x = layers.Activation("silu")(layers.BatchNormalization(momentum=0.95)(x))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(96, name="embedding")(x)
    x = layers.Dropout(0.2)(layers.Activation("silu")(x))
    return keras.Model(image, layers.Dense(len(CLASSES), name="scores")(x), name="judge_classifier")


def part_finder():
    """A small hourglass from RGB in [0, 1] to one heat map a kind of part (Zhou et al. 2019, "Objects as points")."""
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(4, offset=-2)(image)
    x = fine = residual(layers.Conv2D(40, 5, 2, "same", use_bias=False)(x), 48)
    x = middle = residual(residual(x, 96, 2), 96)
    x = residual(residual(residual(x, 160, 2), 160), 160)
    for skip, width in ((middle, 96), (fine, 64)):
        x = layers.Conv2D(width, 1, use_bias=False)(x)
        x = layers.Concatenate()([layers.UpSampling2D(interpolation="bilinear")(x), skip])
        x = residual(x, width)
    x = layers.Activation("silu")(layers.BatchNormalization(momentum=0.95)(x))
    rare = keras.initializers.Constant(-4)  # start from "no part here"
    heat = layers.Conv2D(len(PARTS), 3, padding="same", activation="sigmoid", bias_initializer=rare,
                         name="heat")(x)
    return keras.Model(image, heat, name="judge_parts")


def focal_loss(target, heat):
    """Penalty-reduced focal loss of heat maps (Law & Deng 2018), per image."""
    heat = ops.clip(heat, 1e-5, 1 - 1e-5)
    centre = ops.cast(target > 0.99, "float32")
    found = centre * (1 - heat) ** 2 * ops.log(heat)
    empty = (1 - centre) * (1 - target) ** 4 * heat**2 * ops.log(1 - heat)
    return -ops.sum(found + empty, (1, 2, 3)) / 8
