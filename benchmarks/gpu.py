"""Images × steps a second of the loop on a GPU, as a share of what the card was measured to multiply matrices at.

    KERAS_BACKEND=jax python -m benchmarks.gpu [batch ...]    # 1 4 16 64 256 if none is given; jax[cuda12] installed

VGG16 up to block5_conv3 at 224 px, random weights, in float32, TF32 and bfloat16. A step is the forward pass and the
gradient with respect to the image, twice the operations of the forward pass. Medians of the steps after the first two.
"""

import os
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import vizlib as viz
from benchmarks.stepping import Channel
from vizlib.networks import vgg_preprocess
from vizlib.synthesis.canvases import Cosine
from vizlib.synthesis.loop import optimize

LAYER, STEPS, SKIPPED, SIDE = "block5_conv3", 12, 2, 8192
PRECISIONS = {"float32": ("float32", "highest"), "TF32": ("float32", "tensorfloat32"), "bfloat16": ("bfloat16", None)}


def matrix_peak(dtype, side):
    """Operations a second of a product of two square matrices, the best of ten."""
    import jax

    a = jax.random.normal(jax.random.key(0), (side, side), dtype)
    product, best = jax.jit(lambda a: a @ a), np.inf
    for _ in range(10):
        start = time.perf_counter()
        product(a).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def forward_operations(net):
    """Of one image up to the layer: two for each weight at each position."""
    total = 0
    for layer in net.model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            total += 2 * np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:3])
        if layer.name == LAYER:
            return float(total)


def seconds_a_step(net, n):
    times = []
    optimize(net, [Channel(LAYER)], Cosine(net.image_size), n, STEPS, progress=False,
             callback=lambda *_: times.append(time.perf_counter()))
    return float(np.median(np.diff(times)[SKIPPED:]))


def main(batches, size=224, side=SIDE):
    import jax

    device, versions = jax.devices()[0].device_kind, f"JAX {jax.__version__}, Keras {keras.__version__}"
    print(f"{device}, {versions}; VGG16 to {LAYER}, {size} px\n")
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(size, size, 3))
    print("precision | matrix peak, TFLOP/s | images | s a step | images × steps a second | share of the peak")
    print("---|---|---|---|---|---")
    for name, (dtype, precision) in PRECISIONS.items():
        with jax.default_matmul_precision(precision):
            net, peak = viz.load_network(model, vgg_preprocess, dtype=dtype), matrix_peak(dtype, side)
            for n in batches:
                net.batch_size, spent = n, seconds_a_step(net, n)
                share = 2 * forward_operations(net) * n / spent / peak
                print(f"{name} | {peak / 1e12:.1f} | {n} | {spent:.4f} | {n / spent:.1f} | {share:.0%}", flush=True)


if __name__ == "__main__":
    main([int(n) for n in sys.argv[1:]] or [1, 4, 16, 64, 256])
