"""Terms: what an image is asked to be. Each looks at the activations of the images and returns a loss per image.

A term is frozen; `2 * term` is a new one of twice the weight. The image itself is the layer "image".
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from keras import ops

from vizlib.canvas import MEAN_COLOUR
from vizlib.network import SCORES
from vizlib.statistics import colour_composition, edge_sharpness, total_variation


@dataclass(frozen=True, kw_only=True)
class Term:
    """The base of all terms.

    `layers`: names of the layers it looks at, besides "image". `measure(activations)`: the loss of each image
    (n,), float32, before the weight; activations: {layer: (n, h, w, channels) or (n, units)}.
    """

    weight: float = 1.0
    layers = ()

    @property
    def name(self):
        return type(self).__name__

    def __rmul__(self, factor):
        return replace(self, weight=factor * self.weight)

    def __call__(self, activations):
        return self.weight * self.measure(activations)


@dataclass(frozen=True)
class Distance(Term):
    """‖φ(x) − t‖² / ‖t‖² to target activations t at a layer (Mahendran & Vedaldi 2015).

    targets: float32 (n, h, w, channels) or (n, units), one for each image.
    """

    layer: str
    targets: Any

    @property
    def layers(self):
        return (self.layer,)

    def measure(self, activations):
        axes = tuple(range(1, len(self.targets.shape)))
        error = ops.sum((activations[self.layer] - self.targets) ** 2, axis=axes)
        return error / ops.maximum(ops.sum(ops.square(self.targets), axis=axes), 1e-12)


@dataclass(frozen=True)
class ClassScore(Term):
    """Minus the score of a class before the softmax (Simonyan et al. 2013). index: its position in the scores."""

    index: int
    layers = (SCORES,)

    def measure(self, activations):
        return -activations[SCORES][:, self.index]


@dataclass(frozen=True)
class SquaredNorm(Term):
    """‖x − mean‖², summed over pixels and colours: the regulariser of Simonyan et al. 2013. mean: RGB in [0, 1]."""

    mean: tuple = tuple(MEAN_COLOUR.tolist())

    def measure(self, activations):
        return ops.sum((activations["image"] - ops.array(self.mean)) ** 2, axis=(1, 2, 3))


@dataclass(frozen=True)
class Typical(Term):
    """How far a statistic of the image lies outside the usual range of a class: a prior.

    The loss is the mean over the statistic's entries of max(0, |z| − 1), z being the distance to the mean of the
    class in standard deviations: whatever two thirds of the real images do costs nothing, and no single entry rules.

    statistic: from images (n, h, w, 3) in [0, 1] to (n, entries), one of those in `vizlib.statistics`. mean, std:
    float32 (entries,), of the real images.
    """

    statistic: Any
    mean: Any
    std: Any

    @property
    def name(self):
        return self.statistic.__name__.replace("_", " ")

    def measure(self, activations):
        z = (self.statistic(activations["image"]) - self.mean) / self.std
        return ops.mean(ops.relu(ops.abs(z) - 1), axis=1)


@dataclass(frozen=True)
class TotalVariation(Term):
    """The mean gradient magnitude of the image, as a share of what is usual for the class (Rudin et al. 1992).

    Of all images with the activations asked for it prefers the smoothest, and smooth between edges rather than blurred.
    usual: the mean gradient magnitude of real images of the class.
    """

    usual: float
    name = "total variation"

    def measure(self, activations):
        return ops.exp(total_variation(activations["image"])[:, 0]) / self.usual


def priors(image_statistics):
    """The priors that a class sets, from a fitted `ImageStatistics`: total variation, colours and edges."""
    mean, std = image_statistics.mean_, image_statistics.std_
    smoothness = TotalVariation(float(np.exp(mean[total_variation.__name__][0])), weight=0.2)
    return [smoothness] + [
        Typical(function, mean[function.__name__], std[function.__name__], weight=0.02)
        for function in (colour_composition, edge_sharpness)
    ]
