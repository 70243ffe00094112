"""The layer experiment: at which layer is the information best for sampling and for reconstruction?"""

import warnings
from typing import NamedTuple

import numpy as np

from vizlib._arrays import Images, ImagesLike
from vizlib.store import StatsStore
from vizlib.synthesis.methods import reconstruct


class LayerAnswer(NamedTuple):
    """What one layer tells of a class.

    explained: share of the variance of fresh activations that the components of the class explain, at most 1 and
    negative where they lead astray. likelihood: how much more likely fresh activations are under the joint Gaussian
    than if all units were independent, in nats a unit. error: normalised distance of inverted real images from their
    targets. pixel_error: root mean square difference of their pixels from the real ones. copies: whether the sampler
    warned that draws are nearly copies. inverted, samples: images float32 (n, size, size, 3) in [0, 1].
    """

    explained: float
    likelihood: float
    error: float
    pixel_error: float
    copies: bool
    inverted: Images
    samples: Images


def sweep(
    store: StatsStore,
    class_name: str,
    layers: list[str],
    fresh: ImagesLike,
    n: int = 4,
    steps: int = 128,
    seed: int = 0,
    sampler: str | None = None,
    temperature: float = 1.0,
) -> dict[str, LayerAnswer]:
    """Ask each layer alone: {layer: `LayerAnswer`}.

    store: a `StatsStore` with the class, those layers and the images. fresh: images of the class that were not
    collected, (m ≥ n, size, size, 3), as `Network.activations` takes them, of which n are inverted; as many are
    sampled. steps, seed: as `reconstruct` takes them. sampler, temperature: as `StatsStore.model` and samplers take
    them. Raises ValueError for a class, layer or sampler that is not there, and for fewer than n fresh images.
    """
    if len(fresh) < n:
        raise ValueError(f"expected at least {n} fresh images; received {len(fresh)}.")
    net, statistics, answers = store.network, store.model(class_name, "image"), {}
    before = {layer: net.before_relu(layer) for layer in layers}
    found = net.activations(fresh, [*dict.fromkeys([*layers, *before.values()])])
    for layer in layers:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            drawn = store.model(class_name, layer, sampler).sample(n, seed, temperature)
        targets = np.concatenate([found[layer][:n], drawn])
        result = reconstruct(net, targets, layer, statistics, steps=steps, seed=seed, progress=False)
        inverted, samples = np.split(result.images, 2)
        models = (store.model(class_name, layer, name) for name in ("PCAGaussian", "Moments"))
        explained, likelihood = _known(found[before[layer]], *models)
        answers[layer] = LayerAnswer(
            explained,
            likelihood,
            float(result.history["Distance"][-1, :n].mean()),
            float(np.sqrt(np.mean((inverted - fresh[:n]) ** 2))),
            bool(caught),
            inverted,
            samples,
        )
    return answers


def _known(values, gaussian, moments):
    """How much of the variance of activations a Gaussian explains, and what it gains in likelihood over `moments`."""
    flat = values.reshape(len(values), -1).astype("float64")
    centred = flat - gaussian.mean_
    along = gaussian.transform(values)[:, : gaussian.n_components_].astype("float64")
    off = (centred**2).sum(axis=1) - (along**2).sum(axis=1)
    variance = np.maximum(moments.variance_.ravel(), 1e-6 * moments.variance_.mean() + np.finfo("float32").tiny)
    deviation = (flat - moments.mean_.ravel()) ** 2 / variance
    independent = -(np.log(2 * np.pi * variance) + deviation).sum(axis=1) / 2
    gain = (gaussian.score_samples(values) - independent).mean() / flat.shape[1]
    return 1 - off.sum() / (centred**2).sum(), float(gain)
