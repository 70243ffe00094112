"""What attribution costs: against as many bare gradients, in batches of as many images; and its memory.

    python -m benchmarks.attribution

A ratio is how long a method takes over how long its number of bare gradients, or of bare passes forward, do.
"""

import subprocess
import sys
from functools import partial

import numpy as np
from keras import ops

import vizlib as viz
from benchmarks.collecting import resident, seconds
from benchmarks.stepping import bare_gradient
from vizlib.backend import compiled

RUNS, IMAGES, PASSES, PATCH, LAYER = 5, 500, 8, 32, "block4_conv3"
MEMORY_AT = 100, 500
QUIET = {"progress": False}


def in_turns(ours, bare):
    """Median seconds of both and the median of the ratios, from pairs of runs after one to warm up."""
    ours(), bare()
    pairs = np.array([(seconds(ours), seconds(bare)) for _ in range(RUNS)])
    return *np.median(pairs, axis=0), np.median(pairs[:, 0] / pairs[:, 1])


def bare_passes(net, layer, index, images, times, backward=True):
    """A function that takes so many gradients of all images, or passes them forward, in batches as vizlib does."""
    def summed(values):
        return ops.sum(values[..., index])

    features = net.features((layer,))
    one = bare_gradient(net, layer, summed) if backward else compiled(lambda x: summed(features(x)[layer]))

    def run():
        for _ in range(times):
            for start in range(0, len(images), net.batch_size):
                ops.convert_to_numpy(one(ops.convert_to_tensor(images[start : start + net.batch_size])))

    return run


def rows(net):
    """(name, (seconds of ours, of bare passes, ratio)) of each method."""
    images, face = viz.load_images("partworld", "face", IMAGES, dtype="float32"), net.class_index("face")
    asked, scores = (net, images, LAYER, 0), (net, images, "scores", "face")
    gradients = partial(bare_passes, net, "scores", face, images)
    squares = (2 * net.image_size // PATCH - 1) ** 2  # at steps of half a patch
    yield "saliency, 1 gradient", in_turns(partial(viz.saliency, *asked), bare_passes(net, LAYER, 0, images, 1))
    yield "Grad-CAM, 1 gradient", in_turns(partial(viz.grad_cam, *scores), gradients(1))
    yield "LRP, 1 gradient", in_turns(partial(viz.lrp, *scores), gradients(1))
    smooth = partial(viz.smooth_grad, *scores, n=PASSES, **QUIET)
    yield f"SmoothGrad, {PASSES} gradients", in_turns(smooth, gradients(PASSES))
    integrated = partial(viz.integrated_gradients, *scores, steps=PASSES, **QUIET)
    yield f"integrated gradients, {PASSES} gradients", in_turns(integrated, gradients(PASSES))
    occluded = partial(viz.occlusion, *scores, patch=PATCH, **QUIET)
    yield f"occlusion, {squares + 1} passes", in_turns(occluded, gradients(squares + 1, backward=False))


def peak_memory(n):
    """Peak resident memory, in MB, of a process that takes SmoothGrad of n images, beyond what it held before."""
    code = f"from benchmarks.attribution import smooth_noise; smooth_noise({n})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def smooth_noise(n):
    net = viz.load_network("mini")
    viz.smooth_grad(net, np.zeros((net.batch_size + 1, 64, 64, 3), "uint8"), "scores", 0, n=2, **QUIET)
    images = np.random.default_rng(0).integers(0, 256, (n, 64, 64, 3), "uint8")

    before = resident("VmHWM")
    viz.smooth_grad(net, images, "scores", 0, n=2, **QUIET)
    print(resident("VmHWM") - before)


def main():
    print(f"\n{IMAGES} images | vizlib, s | bare Keras, s | ratio\n---|---|---|---")
    for name, row in rows(viz.load_network("mini")):
        print("{} | {:.2f} | {:.2f} | {:.2f}".format(name, *row), flush=True)
    peaks = ", ".join(f"{peak_memory(n)} MB for {n}" for n in MEMORY_AT)
    print(f"\npeak memory of SmoothGrad beyond what the process held, images and maps included: {peaks}")


if __name__ == "__main__":
    main()
