"""Image parameterisations: what the optimiser moves, and how it becomes an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import numpy as np
from keras import ops
from scipy.fft import dct
from scipy.ndimage import gaussian_filter1d

from vizlib._arrays import Images
from vizlib.backend import Tensor
from vizlib.images import Size, sides

# The mean and a square root of the covariance of RGB in natural images (ImageNet; Olah et al. 2017). Moving along the
# columns of the latter changes colour the way that photographs do, brightness first.
MEAN_COLOUR = np.array([0.485, 0.456, 0.406], "float32")
COLOUR_BASIS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], "float32")
LOGIT_BASIS = COLOUR_BASIS.T / np.linalg.norm(COLOUR_BASIS, axis=0).max()  # before a sigmoid


class Canvas(Protocol):
    """A parameterisation, a frozen dataclass: those that differ in arrays alone share a compiled function.

    Those here have a size: pixels of a side, or (height, width).
    """

    def start(self, n: int, seed: int) -> list[np.ndarray]:
        """The variables of n images: float32 arrays, image by image."""

    def image(self, variables: Sequence[Tensor]) -> Tensor:
        """The images that the variables stand for: float32 (n, height, width, 3)."""


@dataclass(frozen=True)
class Unbounded:
    """Pixels as they are, not kept in [0, 1], around the mean colour: the canvas of Simonyan et al. 2013."""

    size: Size

    def start(self, n: int, seed: int) -> list[np.ndarray]:
        return _noise(n, self.size, seed, 0.01)

    def image(self, variables: Sequence[Tensor]) -> Tensor:
        return ops.add(variables[0], MEAN_COLOUR)


@dataclass(frozen=True)
class Pixels:
    """One variable per pixel and colour, blurred and then squashed into [0, 1] by a sigmoid.

    It starts from noise with the spectrum and the colours of natural images, faint but different for each image: from
    white noise, in which the network sees nothing, all images of a class come out alike.

    blur: standard deviation of the Gaussian in pixels. Blurring what is optimised keeps out the high frequencies
    that fool a network (Yosinski et al. 2015).
    """

    size: Size
    blur: float = 0.0

    def start(self, n: int, seed: int) -> list[np.ndarray]:
        (noise,), logits = _noise(n, self.size, seed, 0.5), Cosine(self.size).logits
        # One by one: sums of a larger batch may differ in the last bit.
        return [np.concatenate([ops.convert_to_numpy(logits([noise[i : i + 1]])) for i in range(n)])]

    def image(self, variables: Sequence[Tensor]) -> Tensor:
        pixels = variables[0]
        if self.blur:
            high, wide = (gaussian_filter1d(np.eye(s, dtype="float32"), self.blur, axis=0) for s in sides(self.size))
            pixels = ops.einsum("ab,nbdc,ed->naec", high, pixels, wide)
        return ops.sigmoid(pixels)


@dataclass(frozen=True)
class Cosine:
    """Cosine (DCT) coefficients of decorrelated colours, scaled by 1 / frequency, squashed into [0, 1].

    The Fourier canvas of Olah et al. 2017, "Feature Visualization", on a cosine basis: it is real, and it does not
    tie opposite borders to each other. 1 / frequency is the amplitude spectrum of natural images, so that a step of
    Adam changes coarse and fine structure in natural proportion.
    """

    size: Size

    def start(self, n: int, seed: int) -> list[np.ndarray]:
        return _noise(n, self.size, seed, 0.01)

    def image(self, variables: Sequence[Tensor]) -> Tensor:
        return ops.sigmoid(self.logits(variables))

    def logits(self, variables: Sequence[Tensor]) -> Tensor:
        """What is squashed: float32 (n, height, width, 3)."""
        rows, columns, scale, colours = self._constants
        brightness_and_hues = ops.einsum("fy,nfgc,gx->nyxc", rows, ops.multiply(variables[0], scale), columns)
        return ops.matmul(brightness_and_hues, colours)

    @cached_property
    def _constants(self):
        """The bases (frequency, position), the scale of each frequency, and colours in logits."""
        height, width = sides(self.size)
        rows, columns = (dct(np.eye(side), norm="ortho", axis=0).astype("float32") for side in (height, width))
        cycles = np.mgrid[:height, :width] * (max(height, width) / np.array([height, width])).reshape(2, 1, 1)
        scale = 1 / np.maximum(np.hypot(*cycles), 1)  # over frequency in cycles of the longer side
        scale = (scale / np.sqrt(np.mean(scale**2)))[:, :, None].astype("float32")
        return rows, columns, scale, 4 * LOGIT_BASIS


@dataclass(frozen=True)
class Phase:
    """The phases of a Fourier spectrum whose magnitudes stay those of given images (MACO: Fel et al. 2023).

    Score maximisation cannot then add the high frequencies that fool a network. As published, the phases are
    standardised, so that steps matter less the further they have moved, and so is the image, in decorrelated colours,
    before they become RGB and are squashed into [0, 1] by a sigmoid.

    magnitude: float32 (3, height, width), of the discrete Fourier transform of decorrelated colours.
    """

    size: Size
    magnitude: np.ndarray

    @classmethod
    def of(cls, images: Images) -> Self:
        """That of images (n, height, width, 3) in [0, 1]: their mean magnitude."""
        colours = images @ np.linalg.inv(COLOUR_BASIS).T
        magnitude = np.abs(np.fft.fft2(colours, axes=(1, 2))).mean(axis=0).transpose(2, 0, 1).astype("float32")
        magnitude[:, 0, 0] = 0  # the mean, which is standardised
        return cls(images.shape[1:3], magnitude)

    def start(self, n: int, seed: int) -> list[np.ndarray]:
        return _noise(n, self.size, seed, 2**0.5)  # phases have a deviation of 2 then, and a step changes them by 2

    def image(self, variables: Sequence[Tensor]) -> Tensor:
        angles = ops.transpose(variables[0], (0, 3, 1, 2))
        mirrored = ops.roll(ops.flip(ops.flip(angles, axis=2), axis=3), (1, 1), axis=(2, 3))
        phase = _standardised(angles - mirrored)  # a real image has phases φ(−f) = −φ(f)
        parts = (ops.multiply(self.magnitude, part(phase)) for part in (ops.cos, ops.sin))
        colours, _ = ops.ifft2(tuple(parts))
        return ops.sigmoid(ops.matmul(_standardised(ops.transpose(colours, (0, 2, 3, 1))), LOGIT_BASIS))


def _standardised(values):
    """Values (n, …) less their mean, over their deviation, of each image."""
    axes = tuple(range(1, len(values.shape)))
    centred = values - ops.mean(values, axis=axes, keepdims=True)
    return centred / ops.sqrt(ops.mean(centred**2, axis=axes, keepdims=True) + 1e-12)


def _noise(n, size, seed, deviation):
    return [deviation * np.random.default_rng(seed).standard_normal((n, *sides(size), 3), "float32")]
