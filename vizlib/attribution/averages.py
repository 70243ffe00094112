"""Gradients averaged over images around the one that is asked about: with noise, and on the way from a baseline."""

import warnings

import numpy as np

from vizlib._arrays import Images, ImagesLike
from vizlib.attribution.gradients import gradients
from vizlib.attribution.neurons import Neuron, chosen, in_batches, values
from vizlib.networks.network import Network

INCOMPLETE = 0.05  # of what an image does to a neuron that may be missing before a warning


def smooth_grad(
    net: Network,
    images: ImagesLike,
    layer: str,
    neuron: Neuron,
    n: int = 32,
    noise: float = 0.15,
    rule: str = "gradient",
    seed: int = 0,
    progress: bool = True,
) -> Images:
    """SmoothGrad (Smilkov et al. 2017): the mean of `saliency` over noisy copies of an image, float32 (n, h, w, 3).

    n: how many copies. noise: standard deviation of the normal noise of each, in units of the range of an image's
    values. Copies may leave [0, 1]. An image's noise depends on the seed and on its number alone. Other arguments and
    errors as of `saliency`; ValueError also for n < 1 and a negative noise.
    """
    if n < 1 or not 0 <= noise < np.inf:
        raise ValueError(f"expected n ≥ 1 and noise ≥ 0; received n={n} and noise={noise}.")
    images, gradient = net.as_images(images), gradients(net, layer, neuron, rule)

    def mean(batch, first, tick):
        draws = [np.random.default_rng([seed, first + i]) for i in range(len(batch))]
        spread = noise * np.ptp(batch, axis=(1, 2, 3)).astype("float32")[:, None, None, None]
        total = np.zeros_like(batch)
        for _ in range(n):
            noisy = np.stack([draw.standard_normal(batch.shape[1:], "float32") for draw in draws])
            total += gradient(batch + spread * noisy)
            tick()
        return total / n

    return in_batches(net, images, mean, n, "SmoothGrad" if progress else None)


def integrated_gradients(
    net: Network,
    images: ImagesLike,
    layer: str,
    neuron: Neuron,
    baseline: np.ndarray | float = 0.0,
    steps: int = 50,
    progress: bool = True,
) -> Images:
    """What each pixel adds to a neuron on the straight way from a baseline to the image, float32 (n, h, w, 3).

    The sum over an image is what the neuron answers to it less what it answers to the baseline (completeness;
    Sundararajan et al. 2017); a warning says of how many images more than 5 % of that is missing, which more steps
    mend. baseline: a level in [0, 1] (0 is black), a colour (3,), an image (h, w, 3) or one for each image. steps: the
    points of Gauss–Legendre quadrature at which gradients are taken. Other arguments and errors as of `saliency`;
    ValueError also for steps < 1 and for a baseline of another shape or outside [0, 1].
    """
    images, gradient = net.as_images(images), gradients(net, layer, neuron)
    baselines, answer = _baselines(baseline, images), values(net, *chosen(net, layer, neuron))
    if steps < 1:
        raise ValueError(f"expected steps ≥ 1; received {steps}.")
    points, weights = np.polynomial.legendre.leggauss(steps)
    points, weights = ((points + 1) / 2).astype("float32"), (weights / 2).astype("float32")

    def integral(batch, first, tick):
        start = baselines[first : first + len(batch)]
        start = np.concatenate([start, batch[len(start) :]])
        way, total = batch - start, np.zeros_like(batch)
        for point, weight in zip(points, weights, strict=True):
            total += weight * gradient(start + point * way)
            tick()
        return way * total

    found = in_batches(net, images, integral, steps, "integrated gradients" if progress else None)
    starts = baselines if np.shape(baseline) == images.shape else baselines[:1]  # often one that all images share
    end, start = (in_batches(net, x, lambda batch, *_: answer(batch)) for x in (images, starts))
    wanted, received = end - start, found.sum(axis=(1, 2, 3), dtype="float64")
    incomplete = np.abs(received - wanted) > INCOMPLETE * np.maximum(np.abs(wanted), np.abs(end).max() / 100)
    if incomplete.any():
        worst = np.argmax(np.abs(received - wanted) * incomplete)
        warnings.warn(
            f"expected integrated gradients that add up to what the neuron answers; received of {incomplete.sum()} of "
            f"{len(images)} images other sums, {received[worst]:.3g} in place of {wanted[worst]:.3g}: take more than "
            f"{steps} steps.",
            stacklevel=2,
        )
    return found


def _baselines(baseline, images):
    """A baseline for each image, float32, not copied where they share one."""
    values = np.asarray(baseline, "float32")
    fitting = values.shape in ((), (3,), images.shape[1:], images.shape)
    if not fitting or not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"expected a baseline in [0, 1]: a level, a colour (3,), an image {images.shape[1:]} or one for each; "
            f"received shape {values.shape} and values from {values.min():g} to {values.max():g}."
        )
    return np.broadcast_to(values, images.shape)
