"""Occlusion: what a neuron loses when a part of the image is covered."""

import numpy as np

from vizlib._arrays import ImagesLike, Maps
from vizlib.attribution.neurons import Neuron, chosen, in_batches, values
from vizlib.networks.network import Network


def occlusion(
    net: Network,
    images: ImagesLike,
    layer: str,
    neuron: Neuron,
    patch: int | None = None,
    stride: int | None = None,
    fill: float | tuple[float, float, float] = 0.5,
    progress: bool = True,
) -> Maps:
    """By how much a neuron's activation falls where a square covers a pixel, float32 (n, h, w): Zeiler & Fergus 2014.

    The mean over the squares that cover the pixel; negative where it rises. patch: pixels of the square's side, an
    eighth of the image's shorter one if None. stride: pixels from one square to the next, half of `patch` if None; the
    last ones end at the image's ends, so that every pixel is covered. fill: level or colour of the square, in [0, 1].
    Other arguments and errors as of `saliency`; ValueError also for squares that do not fit.
    """
    images, answer = net.as_images(images), values(net, *chosen(net, layer, neuron))
    height, width = images.shape[1:3]
    patch = patch or max(1, min(height, width) // 8)
    stride = stride or max(1, patch // 2)
    colour = np.broadcast_to(np.asarray(fill, "float32"), 3)
    if not 1 <= patch <= min(height, width) or not 1 <= stride <= patch:
        wanted = f"1 ≤ stride ≤ patch ≤ {min(height, width)}"
        raise ValueError(f"expected {wanted}; received stride={stride} and patch={patch}.")
    if not (colour.min() >= 0 and colour.max() <= 1):
        raise ValueError(f"expected a fill in [0, 1]; received {fill}.")
    places = [(top, left) for top in _starts(height, patch, stride) for left in _starts(width, patch, stride)]

    def falls(batch, _, tick):
        whole, covered = answer(batch), batch.copy()
        total, times = np.zeros(batch.shape[:3], "float32"), np.zeros((height, width), "float32")
        for top, left in places:
            square = slice(top, top + patch), slice(left, left + patch)
            covered[:, *square] = colour
            total[:, *square] += (whole - answer(covered))[:, None, None]
            covered[:, *square] = batch[:, *square]
            times[square] += 1
            tick()
        return total / times

    return in_batches(net, images, falls, len(places), "occlusion" if progress else None)


def _starts(length, patch, stride):
    return sorted({*range(0, length - patch, stride), length - patch})
