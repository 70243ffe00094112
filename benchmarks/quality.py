"""Time to quality: how near an inversion comes to its targets, at full size from noise and coarse to fine.

    python -m benchmarks.quality [NETWORK [SIZE]]    # mini, or vgg16 and 224

Coarse to fine fits targets averaged over 2 × 2 positions at half the size, and starts from the coefficients of those
images at full size. Seconds are of the steps, without the first of each call, which compiles.
"""

import sys
import time

import numpy as np

import vizlib as viz
from vizlib.synthesis import Cosine

LAYER, N, WHOLE, COARSE, FINE = "block3_conv3", 2, 256, 100, 60


def enlarged(coefficients):
    """The variables of a `Cosine` of twice the size, for the same images."""
    n, size = coefficients.shape[:2]
    larger = np.zeros((n, 2 * size, 2 * size, 3), "float32")
    scale, larger_scale = (Cosine(s)._constants[2] for s in (size, 2 * size))
    larger[:, :size, :size] = 2 * coefficients * scale / larger_scale[:size, :size]
    return larger


def inverted(net, targets, steps, start=None):
    """A result, and the seconds of its steps."""
    times = []
    result = viz.reconstruct(net, targets, LAYER, steps=steps, start=start, progress=False,
                             callback=lambda *_: times.append(time.perf_counter()))
    return result, (times[-1] - times[0]) * steps / (steps - 1)


def main(network="mini", size=64):
    net, half = (viz.load_network(network, size=int(size) // shrink) for shrink in (1, 2))
    images = viz.load_images("partworld", "cat", N, size=net.image_size)
    targets = net.activations(images, [LAYER])[LAYER]
    n, height, width, channels = targets.shape
    pooled = targets.reshape(n, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))

    whole, seconds = inverted(net, targets, WHOLE)
    coarse, first = inverted(half, pooled, COARSE)
    fine, second = inverted(net, targets, FINE, [enlarged(coarse.variables[0])])
    third, shorter = inverted(net, targets, round(WHOLE * (first + second) / seconds))
    print(f"\n{network}, {size} px, {LAYER} | time | error at the layer | in the pixels\n---|---|---|---")
    for name, result, spent in (
        (f"{WHOLE} steps from noise", whole, seconds),
        (f"coarse to fine, {COARSE} and {FINE} steps", fine, first + second),
        ("as long from noise", third, shorter),
    ):
        error, pixels = result.history["Distance"][-1].mean(), np.sqrt(np.mean((result.images - images) ** 2))
        print(f"{name} | {spent / seconds:.2f} | {error:.4f} | {pixels:.3f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
