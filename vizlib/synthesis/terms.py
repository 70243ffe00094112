"""Terms: what an image is asked to be. Each looks at the activations of the images and returns a loss per image.

A term is frozen; `2 * term` is a new one of twice the weight. The image itself is the layer "image".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar, Self

import numpy as np
from keras import ops

from vizlib.backend import Tensor, matched
from vizlib.networks.graph import IMAGE, SCORES
from vizlib.statistics import (
    ImageStatistics,
    Moments,
    PatchBank,
    colour_composition,
    edge_sharpness,
    total_variation,
)
from vizlib.synthesis.canvases import MEAN_COLOUR


@dataclass(frozen=True, kw_only=True)
class Term:
    """The base of all terms.

    `layers`: names of the layers it looks at, besides "image". `measure(activations)`: the loss of each image
    (n,), float32, before the weight; activations: {layer: (n, h, w, channels) or (n, units)}. `per_image`:
    names of the fields that hold an entry for each image. Fields that are neither arrays nor floats have to be
    hashable: terms that differ in numbers alone share one compiled function. `measure` does not see fields that do not
    count when terms are compared.

    `every`: after how many steps `renewed` takes the place of a term, from the first step on; 0 for never.
    """

    weight: float = 1.0
    layers: ClassVar[tuple[str, ...]] = ()
    every: ClassVar[int] = 0
    per_image: ClassVar[tuple[str, ...]] = ()
    measure: ClassVar[Callable[..., Tensor]]

    @property
    def name(self) -> str:
        return type(self).__name__

    def __rmul__(self, factor: float) -> Self:
        return replace(self, weight=factor * self.weight)

    def renewed(self, activations: Mapping[str, np.ndarray]) -> Self:
        """The term that goes on, of the activations that the images cause now."""
        return self

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        return self.weight * self.measure(activations)


@dataclass(frozen=True)
class LayerTerm(Term):
    """The base of terms that look at one layer. layer: its name, one of `Network.layers`, or "image"."""

    layer: str

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.layer == IMAGE else (self.layer,)


@dataclass(frozen=True)
class Distance(LayerTerm):
    """‖φ(x) − t‖² / ‖t‖² to target activations t at a layer (Mahendran & Vedaldi 2015).

    targets: float32 (n, h, w, channels) or (n, units), one for each image. robust: whether what counts is the mean over
    positions of the distance, not of its square, over the root of the mean of ‖t‖²: positions that no image can meet,
    such as the seams of a montage, then do not draw others away from theirs.
    """

    targets: np.ndarray
    robust: bool = False
    per_image = ("targets",)

    def measure(self, activations: Mapping[str, Tensor]) -> Tensor:
        axes = tuple(range(1, len(self.targets.shape)))
        missed = ops.subtract(activations[self.layer], self.targets)
        squares = ops.sum(ops.square(self.targets), axis=axes)
        if self.robust:
            distances, positions = _norm(missed), self.targets.shape[1:-1]
            return ops.sum(distances, axis=axes[:-1]) / ops.maximum(ops.sqrt(squares * prod(positions)), 1e-12)
        return ops.sum(missed**2, axis=axes) / ops.maximum(squares, 1e-12)


@dataclass(frozen=True)
class ClassScore(Term):
    """Minus the score of a class before the softmax (Simonyan et al. 2013). index: its position in the scores."""

    index: int | np.integer
    layers = (SCORES,)

    def measure(self, activations: Mapping[str, Tensor]) -> Tensor:
        return -ops.take(activations[SCORES], self.index, axis=1)


@dataclass(frozen=True)
class CrossEntropy(ClassScore):
    """Minus the logarithm of the probability of a class. sigmoid: whether each class has a probability of its own."""

    sigmoid: bool = False

    def measure(self, activations: Mapping[str, Tensor]) -> Tensor:
        if self.sigmoid:
            return ops.softplus(super().measure(activations))
        return ops.logsumexp(activations[SCORES], axis=1) + super().measure(activations)


@dataclass(frozen=True)
class ChannelScore(LayerTerm):
    """Minus the activation of a channel, or unit, summed over its positions. index: into the last axis of the layer."""

    index: int | np.integer

    def measure(self, activations: Mapping[str, Tensor]) -> Tensor:
        values = ops.take(activations[self.layer], self.index, axis=-1)
        return -ops.sum(ops.reshape(values, (values.shape[0], -1)), axis=1)


@dataclass(frozen=True)
class SquaredNorm(Term):
    """‖x − mean‖², summed over pixels and colours: the regulariser of Simonyan et al. 2013. mean: RGB in [0, 1]."""

    mean: tuple[float, ...] = tuple(MEAN_COLOUR.tolist())

    def measure(self, activations: Mapping[str, Tensor]) -> Tensor:
        return ops.sum(ops.subtract(activations["image"], ops.array(self.mean)) ** 2, axis=(1, 2, 3))


@dataclass(frozen=True)
class Typical(Term):
    """How far a statistic of the image lies outside the usual range of a class: a prior.

    The loss is the mean over the statistic's entries of max(0, |z| − 1), z being the distance to the mean of the
    class in standard deviations: whatever two thirds of the real images do costs nothing, and no single entry rules.

    statistic: from images (n, h, w, 3) in [0, 1] to (n, entries), one of those in `vizlib.statistics`. mean, std:
    float32 (entries,), of the real images.
    """

    statistic: Callable[[Tensor], Tensor]
    mean: np.ndarray
    std: np.ndarray

    @property
    def name(self) -> str:
        return self.statistic.__name__.replace("_", " ")

    def measure(self, activations: Mapping[str, Tensor]) -> Tensor:
        z = (self.statistic(activations["image"]) - self.mean) / self.std
        return _excess(z, 1)


@dataclass(frozen=True)
class TotalVariation(Term):
    """The mean gradient magnitude of the image, as a share of what is usual for the class (Rudin et al. 1992).

    Of all images with the activations asked for it prefers the smoothest, and smooth between edges rather than blurred.
    usual: the mean gradient magnitude of real images of the class. hues: by how much the gradients of what a colour
    differs by from grey are taken for larger than they are, a whole number, which is compiled in.
    """

    usual: float
    hues: int = 1
    name = "total variation"

    @classmethod
    def of(cls, statistics: ImageStatistics, weight: float = 1.0, hues: int = 1) -> Self:
        """That of the images that `ImageStatistics` were fitted on."""
        return cls(float(np.exp(statistics.mean_[total_variation.__name__][0])), hues, weight=weight)

    def measure(self, activations: Mapping[str, Tensor]) -> Tensor:
        images = activations["image"]
        if self.hues != 1:
            grey = ops.mean(images, axis=-1, keepdims=True)
            images = grey + self.hues * ops.subtract(images, grey)
        return ops.exp(total_variation(images)[:, 0]) / self.usual


@dataclass(frozen=True)
class ChannelMoments(LayerTerm):
    """‖μ(x) − μ‖ / ‖σ‖ + ‖σ²(x) − σ²‖ / ‖σ²‖ of the means and variances of an image's channels over its positions.

    mean, variance: μ and σ², float32 (channels,).
    """

    mean: np.ndarray
    variance: np.ndarray

    def measure(self, activations: Mapping[str, Tensor]) -> Tensor:
        values = activations[self.layer]
        values = ops.reshape(values, (values.shape[0], -1, values.shape[-1]))
        mean, variance = ops.moments(values, axes=[1])
        apart = _norm(mean - self.mean) / ops.sqrt(ops.sum(self.variance))
        return apart + _norm(variance - self.variance) / _norm(self.variance)


@dataclass(frozen=True)
class ChannelStatistics(LayerTerm):
    """How far channel means and covariances at a layer are from those of a class: texture (Gatys et al. 2015).

    The mean over channels of max(0, |z| − 1), z being the distance of the image's channel mean to that of the class in
    standard deviations over images, plus ‖C(x) − C‖² / ‖C‖² of the second moments about the means of the class.

    moments: the fitted `Moments` of the layer.
    """

    moments: Moments

    def measure(self, activations: Mapping[str, Tensor]) -> Tensor:
        mean, covariance, deviation = (
            ops.array(x, "float32")
            for x in (
                self.moments.channel_mean_,
                self.moments.channel_covariance_,
                np.sqrt(np.diag(self.moments.spatial_mean_covariance_) + 1e-12),  # type: ignore[arg-type]
            )
        )
        values = activations[self.layer]
        centred = ops.reshape(values, (values.shape[0], -1, values.shape[-1])) - mean
        z = ops.mean(centred, axis=1) / deviation
        found = ops.matmul(ops.transpose(centred, (0, 2, 1)), centred) / centred.shape[1]
        error = ops.sum((found - covariance) ** 2, axis=(1, 2)) / ops.sum(covariance**2)
        return _excess(z, 1) + error


@dataclass(frozen=True)
class Outliers(LayerTerm):
    """How far patches of a layer that no image of the class has are from what is near: a share of the variance.

    Outliers are sought every few steps (`renewed`). The squared distance of their neurons to the nearest patches of the
    class is the loss; it moves these neurons and no others. A patch that has been an outlier once stays one, since the
    other terms would make it one again.

    bank: the fitted `PatchBank` of the layer. found: bool (n, h, w), the outliers so far. expected: float32 (n, h, w,
    channels) or (n, units), what is near to them. weights: float32 (n, h, w), the share of outliers among the patches
    around a position, over the variance. All three are None until they have been sought.
    """

    bank: PatchBank = field(compare=False)
    found: np.ndarray | None = None
    expected: np.ndarray | None = None
    weights: np.ndarray | None = None
    every = 5
    per_image = ("found", "expected", "weights")

    def renewed(self, activations: Mapping[str, np.ndarray]) -> Self:
        values = activations[self.layer]
        found = self.bank.outliers(values)
        if self.found is not None:
            found |= self.found
        expected, shares = self.bank.expected(values, found)
        return replace(self, found=found, expected=expected, weights=shares / self.bank.variance_)

    def measure(self, activations: Mapping[str, Tensor]) -> Tensor:
        errors = (activations[self.layer] - self.expected) ** 2
        errors = ops.mean(ops.reshape(errors, (*self.weights.shape, -1)), axis=-1)  # type: ignore[union-attr]
        return ops.mean(self.weights * errors, axis=(1, 2))


@dataclass(frozen=True)
class Marginals(LayerTerm):
    """How far the sorted values of each channel are from target quantiles: the one-dimensional transport of each.

    Where values lie does not count, only how often each occurs (VITAL: Gorgun et al. 2025), in the whole image or in
    each of its regions. The squared distance over the variance of the quantiles within their channels; the order of the
    values is held fixed in the gradient.

    quantiles: float32 (n, q, channels), ascending along the second axis, for each image, q at most the number of
    positions, as `statistics.Marginals` and `StatsStore.marginals` give them; or (n, rows, columns, q, channels), for
    each region of a grid; what is left of a layer beyond the last whole positions of the regions is not looked at.
    """

    quantiles: np.ndarray
    per_image = ("quantiles",)

    def measure(self, activations: Mapping[str, Tensor]) -> Tensor:
        values, targets = activations[self.layer], self.quantiles
        n, *grid, q, channels = targets.shape
        rows, columns = grid or (1, 1)
        values = ops.reshape(values, (n, *(values.shape[1:-1] or (1, 1)), channels))
        high, wide = values.shape[1] // rows, values.shape[2] // columns
        values = ops.reshape(values[:, : high * rows, : wide * columns], (n, rows, high, columns, wide, channels))
        values = ops.reshape(ops.transpose(values, (0, 1, 3, 2, 4, 5)), (-1, high * wide, channels))
        targets = ops.reshape(targets, (-1, q, channels))
        errors = ops.reshape((values - matched(values, targets)) ** 2, (n, -1))
        targets = ops.reshape(targets, (n, -1, channels))
        spread = ops.mean((targets - ops.mean(targets, axis=1, keepdims=True)) ** 2, axis=(1, 2))
        return ops.mean(errors, axis=1) / ops.maximum(spread, 1e-12)


def _norm(values):
    """Along the last axis; with a gradient at 0 as well."""
    return ops.sqrt(ops.sum(ops.square(values), axis=-1) + 1e-12)


def _excess(z, usual):
    """How far scores z (n, entries) are beyond what is usual, to either side, mean over the entries: (n,)."""
    return ops.mean(ops.relu(ops.abs(z) - usual), axis=1)


def priors(
    statistics: ImageStatistics | dict[str, ImageStatistics | Moments], smoothness: float = 0.07, hues: int = 1
) -> list[Term]:
    """The priors that a class sets: of its images total variation, colours and edges; of layers their channels.

    The power spectrum is none of them: as a `Typical` it is met at least cost by single black and white pixels.

    statistics: the fitted `ImageStatistics`, or {"image": those, layer: fitted `Moments`}. smoothness: the weight of
    the total variation, which always pulls; all others cost nothing within the usual range. Where it is low, so is
    theirs: edges beside activations that say more of them are met by single bright pixels. hues: see `TotalVariation`.
    """
    of_layers: dict[str, Any] = dict(statistics) if isinstance(statistics, dict) else {"image": statistics}
    image, weight = of_layers.pop("image", None), min(0.02, 0.8 * smoothness)
    terms: list[Term] = [ChannelStatistics(layer, moments, weight=weight) for layer, moments in of_layers.items()]
    if image is None:
        return terms
    typical = (
        Typical(function, image.mean_[function.__name__], image.std_[function.__name__], weight=weight)
        for function in (colour_composition, edge_sharpness)
    )
    return [TotalVariation.of(image, smoothness, hues), *typical, *terms]
