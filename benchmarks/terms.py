"""What each term of the loop costs beside a bare gradient of the same network, at 64 px and at 224.

    python -m benchmarks.terms

Each row is what a step of `optimize` takes longer with this term than without it, in bare gradients of the layer that
is inverted; the first is what all else takes: the distance to the targets, canvas and update. Terms look at the
layers that an inversion from there uses. Weights of VGG16 are random: they cost the same.
"""

import tempfile
import time
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

import vizlib as viz
from benchmarks.stepping import SKIPPED, bare_gradient, steps_of
from vizlib.networks import vgg_preprocess
from vizlib.statistics.marginals import of_regions
from vizlib.synthesis.terms import Distance, Marginals, priors

SHOWN, ROUNDS = 16, 5  # images that the statistics are of; runs of each, in turns
REGION = 16  # pixels of a side, as photographs are inverted with: one for each position of block5


def bare(net: viz.Network, layer: str, targets: np.ndarray, steps: int) -> np.ndarray:
    """Seconds of gradients of the distance to the targets with respect to the pixels, brought back to NumPy."""
    gradient, times = bare_gradient(net, layer, lambda values: ops.sum((values - targets) ** 2)), []
    images = ops.convert_to_tensor(np.random.default_rng(0).random((len(targets), *net.image_shape), "float32"))
    for _ in range(steps):
        ops.convert_to_numpy(gradient(images))
        times.append(time.perf_counter())
    return np.diff(times)[SKIPPED:]


def rows(net: viz.Network, layer: str, finer: list[str], n: int, steps: int) -> Iterator[tuple[str, float]]:
    """(name, cost in bare gradients) of all else and of each term."""
    images = np.random.default_rng(0).random((SHOWN, *net.image_shape), "float32")
    with tempfile.TemporaryDirectory() as folder:
        store = viz.StatsStore(folder, net)
        viz.collect(store, images, "noise", finer, progress=False)
        terms = priors({name: store.model("noise", name, "Moments") for name in finer[-1:]}
                       | {"image": store.model("noise", "image")})  # fmt: skip
        quantiles = {name: store.marginals("noise", name).quantiles_.astype("float32") for name in finer}
    marginals = [Marginals(net.before_relu(name), np.stack(n * [values])) for name, values in quantiles.items()]
    distance = Distance(layer, net.activations(images[:n], [layer])[layer])
    asked = {"all else": []} | {term.name: [term] for term in terms}
    asked |= {f"{term.name} of {term.layer.removesuffix(':pre')}": [term] for term in marginals}
    before, grid = [term.layer for term in marginals], (net.image_size // REGION,) * 2
    real = net.activations(images[:n], before)
    asked[f"{marginals[0].name} of all three, by regions"] = [Marginals(x, of_regions(real[x], *grid)) for x in before]
    times = {name: [] for name in ("bare", *asked)}
    for _ in range(ROUNDS):
        times["bare"] += [*bare(net, layer, distance.targets, steps)]
        for name, more in asked.items():
            times[name] += [*steps_of(net, [distance, *more], n, steps)]
    one, without = np.median(times.pop("bare")), np.median(times["all else"])
    for name, spent in times.items():
        yield name, (np.median(spent) - (one if name == "all else" else without)) / one


def main() -> None:
    large = viz.load_network(keras.applications.VGG16(weights=None), vgg_preprocess, [str(i) for i in range(1000)])
    finer = ["block1_conv2", "block2_conv2", "block3_conv3"]
    for net, n, steps in ((viz.load_network("mini"), 8, 40), (viz.load_network("mini"), 1, 40), (large, 2, 5)):
        print(f"\n{net.image_size} px, {n} images, block4_conv3 | bare gradients\n---|---")
        for name, cost in rows(net, "block4_conv3", finer, n, steps):
            print(f"{name} | {cost:.2f}", flush=True)


if __name__ == "__main__":
    main()
