"""Drawing: new activations of several layers that belong together, from the statistics of a class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vizlib._arrays import Activations, Floats, Integers
from vizlib.statistics import Analogies, LayerPair, Mixture, Placed, Snapshots, side_by_side
from vizlib.statistics.marginals import of_regions
from vizlib.statistics.quilting import NEIGHBOURS
from vizlib.store.files import IMAGE

if TYPE_CHECKING:
    from vizlib.store.store import StatsStore


class Draw(dict[str, Activations]):
    """Activations that `StatsStore.sample` drew: {layer: float32 (n, ...)}, deep to shallow, and how.

    facts: {str: JSON value}. mixtures: {layer: for each of the n the `Mixture` of images that it is made of}.
    marginals: {layer: float32 (n, rows, columns, q, channels)}, of finer layers before their ReLU, and of the "image",
    what values there are in each region, see `terms.Marginals`.
    """

    def __init__(
        self,
        values: dict[str, Activations],
        facts: dict,
        mixtures: dict[str, list[Mixture]],
        marginals: dict[str, Activations],
    ) -> None:
        super().__init__(values)
        self.facts, self.mixtures, self.marginals = facts, mixtures, marginals

    def only(self, layers: Sequence[str]) -> Self:
        """The same draw of some of its layers."""
        values, marginals = ({x: own[x] for x in own if x in layers} for own in (self, self.marginals))
        return type(self)(values, self.facts, self.mixtures, marginals)


def draw(
    store: "StatsStore",
    class_name: str,
    layers: str | list[str] | tuple[str, ...] | None,
    n: int,
    seed: int,
    temperature: float,
    places: Floats | None,
    among: Integers | None,
) -> Draw:
    """What `StatsStore.sample` returns."""
    store.check_network()
    by_place, finer = _chosen(store, class_name, layers)
    places = None if places is None else np.asarray(places, "float64")
    told = layers if layers is None or isinstance(layers, str) else list(by_place)
    facts: dict[str, Any] = {"class_name": class_name, "layers": told, "n": n, "seed": seed, "temperature": temperature}
    facts |= {"places": _listed(places), "among": _listed(among)}
    used = {*by_place, *finer, *store.last_of_resolutions(class_name)[-2:][:1]}  # the last tells the sampler
    facts["entries"] = {layer: sha256 for layer, sha256 in store.entries(class_name).items() if layer in used}
    deepest, *lower = by_place
    sampler = store.sampler(class_name, deepest)
    together = (*(lower if sampler == "Montage" else by_place), *finer)  # which the network is asked for at once
    models = {layer: store.model(class_name, layer, "Snapshots", together) for layer in lower}
    above = store.model(class_name, deepest, sampler, together)
    values, found = above.draw(n, seed, temperature, places, among)
    drawn, mixtures = {deepest: above.rectified(values.copy())}, {deepest: found}
    for i, layer in enumerate(lower, 1):
        model = models[layer]
        if len(model.shape_) == 3 and (placed := _placed(found)):
            images = _of(placed)
            values = side_by_side(placed, images, model.real(images))
        elif len(model.shape_) == len(above.shape_) == 3:
            under = Analogies(above, values, [_sources(above, mixture) for mixture in found])
            values, found = under.below(model.real(under.images))
        else:
            pair, points = LayerPair(model, above), above.transform(values)
            draws = (pair.mixtures_given(point, 1, [seed, i, j], temperature) for j, point in enumerate(points))
            found = [mixture for (mixture,) in draws]
            values = model.mixed(found)
        drawn[layer], mixtures[layer], above = model.rectified(values.copy()), found, model
    marginals = {}
    if finer:
        images = _of(placed := _placed(found))
        real: dict[str, Any] = {layer: store.each(class_name, layer, images, together) for layer in finer}
        real[IMAGE] = store.real(class_name, IMAGE, images)
        grid = drawn[deepest].shape[1:3]
        marginals = {layer: of_regions(side_by_side(placed, images, x), *grid) for layer, x in real.items()}
    return Draw(drawn, facts, mixtures, marginals)


def _chosen(store, class_name, layers):
    """The layers to draw, deep to shallow, and those of which marginals are taken."""
    known, down = store.layers(class_name), store.last_of_resolutions(class_name)
    if isinstance(layers, (list, tuple)):
        shapes = {layer: store.shape(class_name, layer) for layer in layers}  # raises for a layer that is not there
        return tuple(sorted(shapes, key=known.index, reverse=True)), ()
    if layers is not None:
        shape = store.shape(class_name, layers)
        height, earlier = shape[0] if len(shape) == 3 else 0, known[: known.index(layers)]
        down = (layers, *(x for x in down if x in earlier and store.shape(class_name, x)[0] >= height))
    if not down:
        received = ", ".join(known[1:]) or "none"
        raise ValueError(f"expected layers with positions of {class_name!r}; received {received}.")
    if store.sampler(class_name, down[0]) == "Montage":
        return down[:2], down[2:]
    return (down if layers else down[-2:]), ()


def _placed(mixtures):
    return [mixture for mixture in mixtures if isinstance(mixture, Placed)]


def _of(mixtures):
    """The images of mixtures, int (m,), ascending."""
    return np.unique(np.concatenate([mixture.images for mixture in mixtures]))


def _sources(model: Snapshots, mixture: Mixture) -> Integers:
    """The images whose patches may lie under a draw: those of its patches, or else the nearest to it."""
    if (mixture.weights > 0).all():
        return mixture.images
    (point,) = model.coordinates_of([mixture])
    return model.images_[model.nearest(point, NEIGHBOURS)]


def _listed(array):
    """An array as JSON has it: NaN is null."""
    return None if array is None else np.where(np.isnan(array), None, array).tolist()
