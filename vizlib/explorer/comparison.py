"""Three views of a class: saliency of real images, the Simonyan baseline, and what a method makes of the statistics."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from vizlib._arrays import Images
from vizlib.attribution.gradients import saliency
from vizlib.networks.network import SCORES
from vizlib.plots import gradient_colours
from vizlib.store import IMAGE, StatsStore
from vizlib.synthesis import methods
from vizlib.synthesis.baselines import maco, olah, simonyan
from vizlib.synthesis.loop import Result


class Comparison(NamedTuple):
    """What three methods show of a class.

    neuron: the class name, or (layer, channel). real: images float32 (n, size, size, 3) in [0, 1]; saliency: of the
    neuron in these, float32 and signed, of the same shape. baseline, made: a `Result` each; what a stop left undone is
    None.
    """

    class_name: str
    layer: str
    neuron: object
    real: Images
    saliency: Images
    baseline: Result | None = None
    made: Result | None = None


def compare_class(
    store: StatsStore,
    class_name: str,
    layer: str,
    channel: int | None = None,
    method: str = "samples",
    rule: str = "guided",
    n: int = 4,
    steps: int = 100,
    seed: int = 0,
    prior_weight: float = 1.0,
    watch: Callable[[str, float, np.ndarray], bool] | None = None,
) -> Comparison:
    """Saliency of real images, the Simonyan baseline and images made by a method: a `Comparison`.

    store: a `StatsStore` that holds the class, at the layer and at the finer ones before it (see
    `Network.finer_layers`). channel: of the layer, whose saliency and baseline are shown; None for the class score.
    method: a name out of METHODS. rule: that of `saliency`. n: images of each kind. steps, seed, prior_weight: as
    `reconstruct` takes them. watch(panel, done, images): called as the work goes on with "saliency", "baseline" or
    "made", the share of its work that is done, and images so far; where it returns True, the work ends, and the
    comparison holds the best so far.

    Raises ValueError for a class, layer, channel or method that the network or the store does not have.
    """
    if method not in METHODS:
        raise ValueError(f"expected a method out of {', '.join(METHODS)}; received {method!r}.")
    watch = watch or (lambda panel, done, images: False)

    def follow(panel):
        return lambda step, images, losses: watch(panel, (step + 1) / (steps + 1), images)

    settings = {"n": n, "steps": steps, "seed": seed, "progress": False}
    net, neuron = store.network, class_name if channel is None else (layer, channel)
    real = store.activations(class_name, IMAGE, np.arange(min(n, store.n_images(class_name))))
    at, unit = (SCORES, class_name) if channel is None else (layer, channel)
    gradients = saliency(net, real, at, unit, rule)
    found = Comparison(class_name, layer, neuron, real, gradients)
    if watch("saliency", 1.0, _pairs(real, gradients)):
        return found
    baseline = simonyan(net, neuron, callback=follow("baseline"), **settings)
    found = found._replace(baseline=baseline)
    if watch("baseline", 1.0, baseline.images):
        return found
    make = METHODS[method]
    made = make(store, class_name, layer, neuron, prior_weight, callback=follow("made"), **settings)
    watch("made", 1.0, made.images)
    return found._replace(made=made)


def _pairs(real, gradients):
    """Real images, each followed by its saliency, n in all (one more where n is odd)."""
    pairs = np.stack([real, gradient_colours(gradients)], axis=1)[: (len(real) + 1) // 2]
    return pairs.reshape(-1, *real.shape[1:])


def _sampled(store, class_name, layer, neuron, prior_weight, n, seed, finer=True, **settings):
    drawn = store.sample(class_name, layer if finer else [layer], n, seed)
    statistics = store.model(class_name, IMAGE)
    return methods.reconstruct(store.network, drawn, None, statistics, prior_weight, seed=seed, **settings)


def _chained(store, class_name, layer, neuron, prior_weight, **settings):
    return methods.chain(store, class_name, layer, **settings)


def _suppressed(store, class_name, layer, neuron, prior_weight, **settings):
    layers = [layer, *store.network.finer_layers(layer)][:2]
    return methods.suppress(store, class_name, layers=layers, **settings)


def _olah(store, class_name, layer, neuron, prior_weight, **settings):
    return olah(store.network, neuron, **settings)


def _maco(store, class_name, layer, neuron, prior_weight, **settings):
    return maco(store.network, neuron, store.activations(class_name, IMAGE), **settings)


METHODS: dict[str, Callable] = {
    "samples": _sampled,
    "samples of one layer": partial(_sampled, finer=False),
    "chain": _chained,
    "suppress": _suppressed,
    "olah": _olah,
    "maco": _maco,
}
WEIGHED = "samples", "samples of one layer"  # by prior_weight
