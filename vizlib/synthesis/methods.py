"""The methods: each a composition of terms, handed to the one loop."""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizlib._arrays import Activations, Images, ImagesLike
from vizlib.networks import Network
from vizlib.statistics import ImageStatistics, PatchBank
from vizlib.store import StatsStore
from vizlib.synthesis.baselines import score as neuron_score
from vizlib.synthesis.canvases import Cosine
from vizlib.synthesis.loop import Callback, Result, optimize
from vizlib.synthesis.recipes import recorded
from vizlib.synthesis.rules import Falling, adam
from vizlib.synthesis.terms import Distance, Marginals, Outliers, priors
from vizlib.synthesis.transforms import Jitter

QUANTILE = 0.99  # of the distances of held-out patches, beyond which a patch is an outlier
RATE = 0.8  # of Adam, over the root of the pixels of a side: 0.1 is best at 64 px, 0.05 at 160 and 224 px
SMOOTHNESS, MOST = 1.1, 0.3  # weight of the total variation where targets have as many numbers as the image; at most
HUES = 4  # what they count for in it, beside marginals: the finest structure of photographs is nearly grey
FINER = 0.5  # weight of the marginals of a layer finer than the targets
SCORE, PUSH, SMOOTH = 0.002, 6.0, 0.2  # weights of the score, of the outliers and of the total variation
BANK_BYTES = 2**28  # of the activations of a layer that patches are taken from, at most


@dataclass(frozen=True, kw_only=True)
class Suppression(Result):
    """What `suppress` returns.

    before: what `images` were when only their score had been maximised, with the priors. outliers: {layer: (before,
    after)}, where patches are outliers there, bool (n, h, w), of a layer without positions (n, 1, 1). terms: {layer:
    `terms.Outliers`}, to ask the same of other images, see `find_outliers`.
    """

    before: Images
    outliers: dict[str, tuple[NDArray[np.bool_], ...]]
    terms: dict[str, Outliers] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Chain(Result):
    """What `chain` returns. stages: {layer: images}, deep to shallow: all that was drawn down to it, inverted."""

    stages: dict[str, Images]


@recorded
def reconstruct(
    net: Network,
    targets: Activations | dict[str, Activations],
    layer: str | None = None,
    statistics: ImageStatistics | dict | None = None,
    prior_weight: float = 1.0,
    steps: int = 128,
    seed: int = 0,
    start: list[np.ndarray] | None = None,
    callback: Callback | None = None,
    progress: bool = True,
) -> Result:
    """Images whose activations at a layer, or at several, are the targets: inversion (Mahendran & Vedaldi 2015).

    With targets sampled from the statistics of a class this is stochastic deconvolution: each is a new image of it.
    With a `PCAGaussian`'s draw at temperature 0 it is the inversion of the mean activation.

    targets: float32 (n, h, w, channels) or (n, units), activations of the layer as `model.sample` gives them; or
    {layer: such targets}, all for the same n images, such as `StatsStore.sample` draws. Where these have marginals, as
    montages do, they are asked for as well, and the targets by a robust `Distance`. statistics:
    what `terms.priors` takes, such as `store.model(class_name, "image")`: how smooth, sharp and coloured images of the
    class are; without them no prior applies. prior_weight: scales all of the priors. start: the `variables` of an
    earlier result, from which images move on to the targets without having to find their coarse structure first.
    callback, progress, the returned `Result` and its errors: see `optimize`.

    Raises ValueError for targets that do not have the layer's shape or are not finite.
    """
    drawn: dict[Any, Activations] = targets if isinstance(targets, dict) else {layer: targets}
    targets = {name: _checked_targets(net, values, name) for name, values in drawn.items()}
    n = len(next(iter(targets.values())))
    if any(len(values) != n for values in targets.values()):
        received = ", ".join(f"{len(values)} at {name}" for name, values in targets.items())
        raise ValueError(f"expected targets for the same images at each layer; received {received}.")
    marginals = getattr(drawn, "marginals", {})
    sizes = np.array([values.size for values in targets.values()])
    terms = [
        weight * Distance(name, values, robust=bool(marginals))
        for weight, (name, values) in zip(sizes / sizes.sum(), targets.items(), strict=True)
    ]
    terms += [FINER * Marginals(net.before_relu(name), values) for name, values in marginals.items()]
    if statistics is not None and prior_weight:
        undecided = n * prod(net.image_shape) / sizes.sum()
        smoothness = min(SMOOTHNESS * undecided**2, MOST)
        terms += [prior_weight * term for term in priors(statistics, smoothness, HUES if marginals else 1)]
    rule = adam(RATE / np.sqrt(net.side))
    result = optimize(net, terms, Cosine(net.image_size), n, steps, seed, rule, None, start, callback, progress)
    return result.with_facts(layers=list(targets))


@recorded
def suppress(
    store: StatsStore,
    class_name: str,
    n: int = 4,
    steps: int = 256,
    seed: int = 0,
    layers: list[str] | None = None,
    callback: Callback | None = None,
    progress: bool = True,
) -> Suppression:
    """Images that maximise the score of a class, rid of the patches that no image of the class has.

    In the first quarter of the steps the score is maximised, with the priors of the class. In the others, patches of
    shallow layers are sought, every five steps, that are farther from those of all images of the class, at the same
    place, than 99 % of the patches of held-out images are (Roth et al. 2022). Their neurons, and no others, are moved
    back to what is near. A patch spans half of the layer: an object, and not a mark that could be part of many. It
    joins the ascent of Simonyan et al. 2013 to a deconvolution of exactly what should not be.

    What is near is mostly a large piece of one image: results are closer to the images shown than real ones are. Of
    VGG16 and photographs the score is so low beside the priors that hardly a patch is an outlier, and little is moved.

    store: a `StatsStore` with the layers and the images. layers: where to look for outliers; None for the last of the
    two resolutions next to the finest in there. A bank of patches takes 256 MiB at most, of a random choice of images
    where they need more. callback, progress and errors: see `optimize`, which runs twice. Returns a `Suppression`,
    which says what was suppressed and where. Raises ValueError for a class or layer that is not there.
    """
    net, score = store.network, SCORE * neuron_score(store.network, class_name)
    layers = layers or list(store.last_of_resolutions(class_name)[-3:][:2])
    outliers = {layer: Outliers(net.before_relu(layer), _bank(store, class_name, layer)) for layer in layers}
    canvas, first = Cosine(net.image_size), steps // 4
    terms = [score, *priors(store.model(class_name, "image"), SMOOTH)]
    before = optimize(net, terms, canvas, n, first, seed, adam(), Jitter(4), None, callback, progress)
    terms += [PUSH / len(layers) * term for term in outliers.values()]
    rule = adam(Falling(RATE / np.sqrt(net.side), steps - first), beta_2=0.9)  # what is near changes
    after = optimize(net, terms, canvas, n, steps - first, seed, rule, None, before.variables, callback, progress)
    both = [find_outliers(net, outliers, images) for images in (before.images, after.images)]
    found = {layer: tuple(where[layer] for where in both) for layer in layers}
    facts = {"layers": list(layers), "quantile": QUANTILE}
    return Suppression(**vars(after.with_facts(**facts)), before=before.images, outliers=found, terms=outliers)


def find_outliers(net: Network, terms: dict[str, Outliers], images: ImagesLike) -> dict[str, NDArray[np.bool_]]:
    """Where patches of images are outliers: {layer: bool (n, h, w)}, of a layer without positions (n, 1, 1).

    terms: {layer: `terms.Outliers`}, such as those of a `Suppression`. images: as `Network.activations` takes them.
    """
    activations = net.activations(images, [term.layer for term in terms.values()])
    return {layer: term.bank.outliers(activations[term.layer]) for layer, term in terms.items()}


@recorded
def chain(
    store: StatsStore,
    class_name: str,
    layers: str | list[str] | None = None,
    n: int = 4,
    steps: int = 128,
    seed: int = 0,
    temperature: float = 1.0,
    callback: Callback | None = None,
    progress: bool = True,
) -> Chain:
    """Images drawn layer by layer: the deepest from the class, each below given the one above, and inverted.

    What is drawn, by `StatsStore.sample`, is asked for layer by layer: each stage goes on from the images of the one
    before, so that they take shape from the deepest layer to the finest.

    store: a `StatsStore` with the layers. layers, temperature: as of `StatsStore.sample`; None for what it chooses.
    callback, progress and errors: see `optimize`, which runs once for each layer, so many steps each. Returns a
    `Chain`; each of its stages has what was drawn down to a layer, its images have it all.

    Raises ValueError for a class or layer that is not there.
    """
    drawn, stages = store.sample(class_name, layers, n, seed, temperature), {}
    result: Any = None
    statistics, every = store.model(class_name, "image"), (*drawn, *drawn.marginals)
    for i, layer in enumerate(every, 1):
        start = result and result.variables
        shown = drawn.only(every[:i])
        result = reconstruct(store.network, shown, None, statistics, 1.0, steps, seed, start, callback, progress)
        stages[layer] = result.images
    return Chain(**vars(result.with_facts(layers=layers)), stages=stages)


@recorded
def walk(
    store: StatsStore,
    class_name: str,
    layer: str,
    component: int = 0,
    n: int = 7,
    reach: float = 2.0,
    steps: int = 128,
    seed: int = 0,
    callback: Callback | None = None,
    progress: bool = True,
) -> Result:
    """One sample of a class moved along a principal component, from −reach to reach standard deviations from the mean.

    At each place it is put together anew from patches or regions of real activations, see `StatsStore.sample`: a mean
    of them all, moved along a component, would be no image of the class.

    store: a `StatsStore` with the layer, and with finer ones for details. component: from 0, that of the largest
    variance. seed: of the sample. The rest: as `reconstruct`.
    """
    known = len(store.model(class_name, layer, "Snapshots").explained_variance_)
    if not 0 <= component < known:
        raise ValueError(f"expected a component from 0 to {known - 1}; received {component}.")
    places = np.full((n, component + 1), np.nan)
    places[:, component] = np.linspace(-reach, reach, n)
    targets, statistics = store.sample(class_name, layer, n, seed, places=places), store.model(class_name, "image")
    return reconstruct(store.network, targets, None, statistics, 1.0, steps, seed, None, callback, progress)


def _bank(store, class_name, layer):
    rng, total = np.random.default_rng(0), store.n_images(class_name)
    most = max(2, BANK_BYTES // (4 * prod(store.shape(class_name, layer))))
    rows = np.sort(rng.choice(total, min(total, most), replace=False))
    return PatchBank(quantile=QUANTILE).fit(store.activations(class_name, layer, rows))


def _checked_targets(net, targets, layer):
    expected = net.features((layer,)).output[layer].shape[1:]
    targets = np.asarray(targets, "float32")
    if targets.shape[1:] != tuple(expected) or not len(targets):
        raise ValueError(f"expected targets of shape (n, {', '.join(map(str, expected))}); received {targets.shape}.")
    if not np.isfinite(targets).all():
        raise ValueError(f"expected finite targets; received {np.sum(~np.isfinite(targets))} that are not.")
    return targets
