"""What channels stand for: the images they answer most to, the class they tell, what answers at a place of an image."""

from functools import reduce
from typing import NamedTuple

import numpy as np
import pandas as pd

from vizlib._arrays import Floats, Images, ImagesLike, Integers
from vizlib.attribution.gradients import summed_gradient
from vizlib.attribution.neurons import on_arrays
from vizlib.networks import Network
from vizlib.statistics import Moments
from vizlib.store import IMAGE, StatsStore

ENERGY = 0.95  # of a gradient's squares that lies in a receptive field


class StrongestImages(NamedTuple):
    """The images that a channel answers most to, the strongest first.

    images: float32 (k, h, w, 3). classes: the name of each one's class. samples: int (k,), its number there. values:
    float32 (k,), before the ReLU if the layer ends in one. positions: int (k, 2), row and column in the layer. boxes:
    int (k, 4), the part of the image that counts there, see `receptive_fields`.
    """

    images: Images
    classes: list[str]
    samples: Integers
    values: Floats
    positions: Integers
    boxes: Integers


def strongest(store: StatsStore, layer: str, channel: int, class_name: str | None = None) -> StrongestImages:
    """The images of a class, of all classes if None, that a channel answers most to: at most nine, see `Strongest`.

    Raises ValueError for a class, layer or channel that there is not.
    """
    names = [class_name] if class_name is not None else _classes(store, layer)
    models = {name: store.model(name, layer, "Strongest") for name in names}
    channels = next(iter(models.values())).shape_[-1]
    if not 0 <= channel < channels:
        raise ValueError(f"expected a channel of {layer} from 0 to {channels - 1}; received {channel}.")
    found = [
        (float(value), name, int(sample), position)
        for name, model in models.items()
        for value, sample, position in zip(
            model.values_[:, channel], model.samples_[:, channel], model.positions_[:, channel], strict=True
        )
    ]
    found = sorted(found, key=lambda entry: -entry[0])[: max(len(model.values_) for model in models.values())]
    images = np.concatenate([store.activations(name, IMAGE, np.array([sample])) for _, name, sample, _ in found])
    values, classes, samples, places = zip(*found, strict=True)
    positions = np.array(places)
    boxes = receptive_fields(store.network, images, layer, channel, positions)
    return StrongestImages(images, list(classes), np.array(samples), np.array(values, "float32"), positions, boxes)


def receptive_fields(
    net: Network, images: ImagesLike, layer: str, channel: int, positions: Integers
) -> Integers:
    """The part of each image that counts for a position of a channel: int (n, 4), top, left, bottom and right.

    The rows and the columns between which 95 % of the squares of the neuron's gradient lie, ends exclusive: the
    effective receptive field (Luo et al. 2016), which is smaller than what the neuron can see. images: (n, h, w, 3).
    positions: int (n, 2), row and column. What comes before the layer's ReLU counts.
    """
    images, name = net.as_images(images), net.before_relu(layer)
    shape = net.features((name,)).output[name].shape[1:]
    neurons = np.zeros((len(images), *shape), "float32")
    for neuron, position in zip(neurons, positions, strict=True):
        neuron[(*position, channel) if len(shape) == 3 else channel] = 1
    energy = on_arrays(net.kept(summed_gradient, name, "gradient"), neurons)(images) ** 2
    spans = [[_span(values.sum(axis=(axis, 2))) for axis in (1, 0)] for values in energy]
    return np.array([(top, left, bottom, right) for (top, bottom), (left, right) in spans])


def _span(energy):
    """The ends between which so much lies, at most half of what is left out on either side."""
    share = np.cumsum(energy) / max(energy.sum(), np.finfo("float32").tiny)
    first, last = np.searchsorted(share, [(1 - ENERGY) / 2, (1 + ENERGY) / 2])
    return (int(first), int(last) + 1) if energy.any() else (0, len(energy))


def telling_channels(store: StatsStore, class_name: str, layer: str) -> pd.DataFrame:
    """Which channels tell a class from the others that were collected: a row for each, the highest effect first.

    `effect`: Cohen's d, by how much the channel's mean over an image is higher in images of the class than of all
    others, in standard deviations of such means, pooled over both. `mean` and `others`: these means. Before the ReLU.
    The index is the channel. Raises ValueError for a class or layer that is not there, for one class alone, and for
    layers of more than 4,096 channels, which keep no covariance.
    """
    names = [name for name in _classes(store, layer) if name != class_name]
    if not names:
        raise ValueError(f"expected other classes than {class_name!r} with {layer} in {store.path}; received none.")
    own = store.model(class_name, layer, "Moments")
    others = reduce(Moments.merge, (store.model(name, layer, "Moments") for name in names))
    if own.spatial_mean_covariance_ is None:
        raise ValueError(f"expected a layer of at most 4,096 channels; received {layer} of {own.shape_[-1]}.")
    n, m = own.n_samples_seen_ - 1, others.n_samples_seen_ - 1
    variances = n * np.diag(own.spatial_mean_covariance_) + m * np.diag(others.spatial_mean_covariance_)
    spread = np.maximum(np.sqrt(variances / (n + m)), np.finfo("float32").tiny)
    found = {"mean": own.channel_mean_, "others": others.channel_mean_}
    frame = pd.DataFrame({"effect": (found["mean"] - found["others"]) / spread} | found).rename_axis("channel")
    return frame.sort_values("effect", ascending=False, kind="stable")


def channels_at(store: StatsStore, image: ImagesLike, layer: str, row: int, column: int) -> pd.DataFrame:
    """Which channels answer at a place of an image, beside what is usual in all that was collected; strongest first.

    image: (h, w, 3), as `as_images` takes it. row, column: of a pixel. `value`: of each channel at the layer's position
    there, before the ReLU. `score`: by how many standard deviations over images and positions that is above the
    channel's mean. The index is the channel. Raises ValueError for another image, layer or place.
    """
    net = store.network
    image = net.as_images(image)
    height, width = net.image_shape[:2]
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"expected a place in {height} × {width} pixels; received {(row, column)}.")
    name = net.before_relu(layer)
    values = net.activations(image, [name])[name][0]
    if values.ndim == 3:
        values = values[row * values.shape[0] // height, column * values.shape[1] // width]
    usual = reduce(Moments.merge, (store.model(other, layer, "Moments") for other in _classes(store, layer)))
    spread = np.sqrt(np.maximum(usual.channel_variance_, np.finfo("float32").tiny))
    frame = pd.DataFrame({"score": (values - usual.channel_mean_) / spread, "value": values}).rename_axis("channel")
    return frame.sort_values("score", ascending=False, kind="stable")


def _classes(store, layer):
    """The classes of a store that have a layer."""
    found = [name for name in store.classes if layer in store.layers(name)]
    if not found:
        known = ", ".join(dict.fromkeys(x for name in store.classes for x in store.layers(name)[1:])) or "none"
        raise ValueError(f"expected a layer of {store.path} ({known}); received {layer!r}.")
    return found
