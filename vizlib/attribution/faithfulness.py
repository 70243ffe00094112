"""Whether a map tells what a network looks at: what happens when it is followed, and when the network is scrambled."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

from vizlib._arrays import Images, ImagesLike, Maps
from vizlib.attribution.neurons import Neuron, chosen, in_batches, values
from vizlib.networks.network import SCORES, Network


class Curves(NamedTuple):
    """What a neuron answers while pixels are taken out of images, and put in, the most relevant first.

    deletion, insertion: float64 (n, steps + 1), of a class score its probability, from 0 % to 100 % of the pixels.
    deletion_area, insertion_area: float64 (n,), the areas under them; a faithful map makes the first small and the
    second large.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    deletion_area: NDArray[np.float64]
    insertion_area: NDArray[np.float64]


def curves(
    net: Network,
    images: ImagesLike,
    maps: Maps | Images,
    layer: str,
    neuron: Neuron,
    steps: int = 32,
    fill: float = 0.5,
    blur: float | None = None,
    progress: bool = True,
) -> Curves:
    """Deletion and insertion (Petsiuk et al. 2018): the order of a map's pixels put to the test.

    images, layer, neuron: as of `saliency`. maps: float (n, h, w), or (n, h, w, 3), whose colours are added up; only
    their order counts, and places of equal value come row by row. steps: into how many parts the pixels are divided.
    fill: the level of pixels that are taken out. blur: pixels, the standard deviation of the Gaussian that makes the
    image in which pixels are put back; a twentieth of a side if None. Raises ValueError for maps that do not fit the
    images and for steps that are not between 1 and the number of pixels.
    """
    images = net.as_images(images)
    if maps.shape not in (images.shape, images.shape[:3]) or not np.isfinite(maps).all():
        wanted = f"finite maps of shape {images.shape[:3]} or {images.shape}"
        raise ValueError(f"expected {wanted}; received shape {maps.shape}.")
    pixels = images.shape[1] * images.shape[2]
    if not 1 <= steps <= pixels:
        raise ValueError(f"expected steps from 1 to {pixels}; received {steps}.")
    relevance = maps.reshape(len(maps), pixels, -1).sum(axis=2)
    ranks = np.empty(relevance.shape, "int64")
    orders = np.argsort(-relevance, axis=1, kind="stable")
    np.put_along_axis(ranks, orders, np.arange(pixels)[None], axis=1)
    ranks = ranks.reshape(images.shape[:3])
    sigma = blur if blur is not None else net.side / 20
    blurred = gaussian_filter(images, (0, sigma, sigma, 0))
    layer, weights = chosen(net, layer, neuron)
    answer = _probability(net, weights) if layer == SCORES and net.classes else values(net, layer, weights)

    def followed(batch, first, tick):
        n = len(batch)
        rank, start = (_filled(x[first : first + n], n) for x in (ranks, blurred))
        found = np.empty((n, 2, steps + 1))
        for step in range(steps + 1):
            taken = (rank < pixels * step // steps)[..., None]
            found[:, 0, step] = answer(np.where(taken, np.float32(fill), batch))
            found[:, 1, step] = answer(np.where(taken, batch, start))
            tick()
        return found

    found = in_batches(net, images, followed, steps + 1, "deletion and insertion" if progress else None)
    areas = (found[..., :-1] + found[..., 1:]).mean(axis=2) / 2
    return Curves(found[:, 0], found[:, 1], areas[:, 0], areas[:, 1])


def sanity_check(
    method: Callable, net: Network, images: ImagesLike, neuron: str | int, seed: int = 0, **settings: object
) -> pd.DataFrame:
    """Whether maps change as the network's weights are scrambled, from the scores down (Adebayo et al. 2018).

    method: a function such as `grad_cam`, of (net, images, "scores", neuron, **settings), to maps (n, h, w, …). The
    weights of one layer after the other are put in random order, which keeps how they are distributed. A row for each
    layer that has weights, from the last to the first, down to which they are scrambled: `correlation`, the mean over
    images of the rank correlation of the maps' magnitudes with those of the network as it is, and its lowest and
    highest. What stays near 1 shows the image, not what was learned. Maps without variation count as 0.

    Raises ValueError for a model that Keras cannot clone.
    """
    rng, images = np.random.default_rng(seed), net.as_images(images)
    try:
        model = keras.models.clone_model(net.model)
    except Exception as error:  # whatever the code of a layer of one's own raises
        raise ValueError(f"expected a model that Keras can clone; received {net.model.name!r} ({error}).") from error
    model.set_weights(net.model.get_weights())
    scrambled, rows = Network(model, **net.settings), {}
    shown, origin = _ranked(method(net, images, SCORES, neuron, **settings)), scrambled.graph()[1].origin
    whole = {name.rpartition("/")[0] for name in scrambled.layers}  # layers whose own layers have their turn
    own = {id(origin[name]): name for name in scrambled.layers if origin[name].weights and name not in whole}
    for name in sorted(own.values(), key=scrambled.layers.index, reverse=True):
        origin[name].set_weights([rng.permutation(x.ravel()).reshape(x.shape) for x in origin[name].get_weights()])
        found = _ranked(method(scrambled, images, SCORES, neuron, **settings))
        like = np.einsum("ij,ij->i", shown, found)
        rows[name] = {"correlation": like.mean(), "lowest": like.min(), "highest": like.max()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")


def _probability(net, weights):
    """A function of a batch of images to the probability of the chosen class."""
    scores, index = values(net, SCORES, np.eye(len(weights), dtype="float32")), int(np.argmax(weights))
    return lambda images: np.exp(net.log_probabilities(scores(images))[:, index])


def _filled(values, n):
    return np.concatenate([values, np.zeros((n - len(values), *values.shape[1:]), values.dtype)])


def _ranked(maps):
    """The ranks of the magnitudes of each map, of mean 0 and length 1, so that their products are correlations."""
    ranks = rankdata(np.abs(maps).reshape(len(maps), -1), axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1, keepdims=True)
    return ranks / np.where(lengths > 0, lengths, 1)
