"""Speed as ratios within one run, on the embedded network: medians over runs taken in turns, as machines are noisy."""

import platform
from functools import partial

import keras
import numpy as np
from keras import ops

import vizlib as viz
from benchmarks import attribution, collecting, quality, stepping, terms
from benchmarks.collecting import seconds
from vizlib.backend import BACKEND

RUNS, STEPS, LAYER = 5, 40, "block4_conv3"


def loop(net, n):
    """A step of `reconstruct`, compilation included in neither: long runs less short ones, against a bare gradient."""
    images = viz.load_images("partworld", "cat", n)
    targets = net.activations(images, [LAYER])[LAYER]
    bare_step = stepping.bare_gradient(net, LAYER, lambda values: ops.sum((values - targets) ** 2))
    pixels = ops.convert_to_tensor(images)

    def ours(steps):
        viz.reconstruct(net, targets, LAYER, steps=steps, progress=False)

    def bare():
        for _ in range(STEPS):
            ops.convert_to_numpy(bare_step(pixels))

    bare()
    rows = [(seconds(lambda: ours(STEPS + 2)) - seconds(lambda: ours(2)), seconds(bare)) for _ in range(RUNS)]
    rows = np.array(rows) / STEPS
    return *np.median(rows, axis=0), np.median(rows[:, 0] / rows[:, 1])


def first_steps(n=4):
    """Seconds until the first step of a call of `reconstruct` is done, of the first call and of later ones (median)."""
    net, times = viz.load_network("mini"), []
    for seed in range(RUNS + 1):
        images = viz.load_images("partworld", "cat", n, seed)
        targets = net.activations(images, [LAYER])[LAYER]
        one_step = partial(viz.reconstruct, callback=lambda *_: True, progress=False)
        times.append(seconds(partial(one_step, net, targets, LAYER, seed=seed)))
    return times[0], np.median(times[1:])


def main():
    net = viz.load_network("mini")
    print(f"{platform.machine()}, Python {platform.python_version()}, Keras {keras.__version__} on {BACKEND}\n")
    print("| what | vizlib, s | bare Keras, s | ratio |\n|---|---|---|---|")
    for name, row in (
        ("one step of reconstruct, 1 image, to one gradient", loop(net, 1)),
        ("one step of reconstruct, 8 images, to one gradient", loop(net, 8)),
    ):
        print("| {} | {:.3f} | {:.3f} | {:.2f} |".format(name, *row), flush=True)
    first, later = first_steps()
    print(f"\nfirst step of reconstruct, 4 images, done after {first:.2f} s, in later calls {later:.3f} s", flush=True)
    terms.main()
    attribution.main()
    stepping.main()
    quality.main()
    collecting.main()


if __name__ == "__main__":
    main()
