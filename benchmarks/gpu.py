"""What a GPU gives: images × steps a second of the loop, their share of its matrix peak, and how long a picture takes.

    KERAS_BACKEND=torch python -m benchmarks.gpu [--photographs FOLDER]    # or jax, tensorflow; see scripts/imagenet.py
    python -m benchmarks.gpu --small                                       # minutes on a CPU, to see that it runs

VGG16 up to block5_conv3 at 224 px, random weights, in float32, TF32 and bfloat16. A step is the forward pass and the
gradient with respect to the image, twice the operations of the forward pass. Medians of the steps after the first two.
The peak is that of products of two square matrices in the same precision, on the same backend. The picture is the
README's of ImageNet, at 224 px: the statistics of 350 photographs of a class, and 4 images by each method.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
from keras import ops

import vizlib as viz
from benchmarks.collecting import seconds
from benchmarks.stepping import Channel
from vizlib.backend import BACKEND, compiled
from vizlib.networks import vgg_preprocess
from vizlib.synthesis.canvases import Cosine
from vizlib.synthesis.loop import optimize

LAYER, STEPS, SKIPPED, CLASS, PRODUCTS = "block5_conv3", 12, 2, "golden_retriever", 4
PRECISIONS = {"float32": ("float32", False), "TF32": ("float32", True), "bfloat16": ("bfloat16", True)}


def round_products(tf32):
    """Whether products of float32 are of ten binary digits (TF32), where the card has them."""
    if BACKEND == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 else "highest")
    elif BACKEND == "torch":
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    else:
        import tensorflow

        tensorflow.config.experimental.enable_tensor_float_32_execution(tf32)


def device():
    """The name of what it runs on."""
    if BACKEND == "jax":
        import jax

        return jax.devices()[0].device_kind
    if BACKEND == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    import tensorflow

    cards = tensorflow.config.list_physical_devices("GPU")
    return tensorflow.config.experimental.get_device_details(cards[0])["device_name"] if cards else "CPU"


def matrix_peak(dtype, side):
    """Operations a second of products of two square matrices, the best of ten runs of a few, one after the other."""
    a = ops.cast(np.random.default_rng(0).standard_normal((side, side), "float32") / side**0.5, dtype)

    @compiled
    def product(a):
        b = a
        for _ in range(PRODUCTS):
            b = ops.matmul(a, b)
        return b

    def run():
        ops.convert_to_numpy(ops.cast(product(a)[0, 0], "float32"))  # waits for all of it

    best = min(seconds(run) for _ in range(10))
    return PRODUCTS * 2 * side**3 / best


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


def steps(batches, size, side):
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(size, size, 3))
    print("precision | matrix peak, TFLOP/s | images | s a step | images × steps a second | share of the peak")
    print("---|---|---|---|---|---")
    for name, (dtype, tf32) in PRECISIONS.items():
        round_products(tf32)
        net, peak = viz.load_network(model, vgg_preprocess, dtype=dtype), matrix_peak(dtype, side)
        for n in batches:
            net.batch_size, spent = n, seconds_a_step(net, n)
            share = 2 * forward_operations(net) * n / spent / peak
            print(f"{name} | {peak / 1e12:.3g} | {n} | {spent:.4f} | {n / spent:.3g} | {share:.0%}", flush=True)


def picture(folder, size, training, n, steps):
    """Seconds of each part of the README's picture, of one of its six classes."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
    from methods import Task, methods_of
    from worlds import photographs

    world = photographs(folder, size)._replace(training=training)
    print(f"\nthe picture, {size} px, {n} images of a class, {steps} steps | s\n---|---")
    with TemporaryDirectory() as kept:
        task = Task(world, CLASS, n, steps, Path(kept))
        print(f"statistics of {training} photographs | {seconds(lambda: task.store):.1f}", flush=True)
        for name, method in methods_of(world).items():
            print(f"{name} | {seconds(lambda method=method: method(task)):.1f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="for the picture; none if not given")
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    print(f"{device()}, Keras {keras.__version__} on {BACKEND}; VGG16 to {LAYER}\n")
    small = given.small
    steps((1,) if small else (1, 4, 16, 64, 256), 64 if small else 224, 256 if small else 8192)
    if given.photographs:
        picture(given.photographs, *((64, 12, 1, 2) if small else (224, 350, 4, 100)))
