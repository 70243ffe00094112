"""Views: the slightly different looks at an image that the network gets, a new one at each step.

What survives all of them is no accident of single pixels (Olah et al. 2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from keras import ops

from vizlib.backend import Tensor
from vizlib.images import Size, sides


class View(Protocol):
    """A way to look at images. Views that see alike, whatever they draw, are equal and share a compiled function."""

    def draw(self, rng: np.random.Generator) -> list[np.ndarray]:
        """The random numbers of a step."""

    def see(self, images: Tensor, draw: Sequence[Tensor]) -> Tensor:
        """What the network gets to see of images (n, height, width, 3), of the same shape."""


@dataclass(frozen=True)
class Jitter:
    """Images moved by whole pixels, up to a reach, with mirrored borders.

    reach: pixels.
    """

    reach: float = field(compare=False)
    margin: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "margin", int(np.ceil(self.reach)))

    def draw(self, rng: np.random.Generator) -> list[np.ndarray]:
        return [(self.margin + np.round(self.reach * rng.uniform(-1, 1, 2))).astype("int32")]

    def see(self, images: Tensor, draw: Sequence[Tensor]) -> Tensor:
        (corner,), m = draw, self.margin
        if not m:
            return images
        padded = ops.pad(images, [[0, 0], [m, m], [m, m], [0, 0]], mode="reflect")
        return ops.slice(padded, [0, corner[0], corner[1], 0], tuple(images.shape))


@dataclass(frozen=True)
class Camera:
    """Images moved, zoomed and turned, with mirrored borders and bilinear interpolation, and with noise on top.

    size: pixels of a side, or (height, width). shift: the largest move, in pixels. zoom: the range, of which the
    logarithm is uniform. turn: the largest, in degrees. noise: its standard deviation, in units of the image.
    """

    size: Size
    shift: float = field(default=0.0, compare=False)
    zoom: tuple[float, float] = field(default=(1.0, 1.0), compare=False)
    turn: float = field(default=0.0, compare=False)
    noise: float = field(default=0.0, compare=False)

    def draw(self, rng: np.random.Generator) -> list[np.ndarray]:
        zoom = np.exp(rng.uniform(*np.log(self.zoom)))
        angle = np.deg2rad(rng.uniform(-self.turn, self.turn))
        row, column = rng.uniform(-self.shift, self.shift, 2)
        height, width = sides(self.size)
        middle = (height - 1) / 2, (width - 1) / 2
        y, x = np.mgrid[:height, :width].reshape(2, -1) - np.reshape(middle, (2, 1))
        y, x = (
            (np.cos(angle) * y - np.sin(angle) * x) / zoom + middle[0] + row,
            (np.sin(angle) * y + np.cos(angle) * x) / zoom + middle[1] + column,
        )
        noise = rng.standard_normal((height, width, 3), "float32")
        return [*_bilinear(y, x, height, width), np.float32(self.noise) * noise]

    def see(self, images: Tensor, draw: Sequence[Tensor]) -> Tensor:
        index, weight, noise = draw
        pixels = ops.reshape(images, (images.shape[0], -1, 3))
        corners = [ops.take(pixels, index[i], axis=1) * weight[i][:, None] for i in range(4)]
        return ops.reshape(sum(corners), images.shape) + noise


def _bilinear(y, x, height, width):
    """The four pixels around each place, int32 (4, places), and how much of each, float32 (4, places)."""
    y, x = _mirrored(y, height), _mirrored(x, width)
    top, left = np.minimum(y.astype("int32"), height - 2), np.minimum(x.astype("int32"), width - 2)
    below, right = y - top, x - left
    index = np.stack([(top + i) * width + left + j for i in (0, 1) for j in (0, 1)])
    weight = [np.abs(1 - i - below) * np.abs(1 - j - right) for i in (0, 1) for j in (0, 1)]
    return index.astype("int32"), np.stack(weight).astype("float32")


def _mirrored(places, size):
    return np.abs((places + size - 1) % (2 * size - 2) - (size - 1))
