"""Whether a class is recognised in the whole image and in one place, or in parts all over it."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import keras
import numpy as np

from vizlib._arrays import ImagesLike
from vizlib.images import sides
from vizlib.networks import Network
from vizlib.realism.judges import resized

ZOOM = 2  # as which an image is looked at for places: a part of half its sides is then as large as a whole image


class WholeJudge:
    """Whether an image is of one object: recognised as a whole, and in one place.

    network: a classifier, such as that of a `ClassJudge`, whose layer "embedding" is the global average of `positions`,
    a layer (n, h, w, d). Images are made as large as it takes them.
    """

    def __init__(self, network: Network, positions: str) -> None:
        self.network, self.positions = network, positions
        height, width = sides(network.image_size)
        self._zoomed = network.resized((ZOOM * height, ZOOM * width))
        _, graph = network.graph()
        self._head = keras.Model(graph.tensors["embedding"], graph.scores)

    def __call__(self, images: ImagesLike, labels: Sequence[str], real: ImagesLike) -> dict[str, Any]:
        """Per class "whole_to_part", per image "spread".

        "whole_to_part": mean probability of the label over that of the best crop of each image, of the nine that have
        half its sides and lie at 0, 1/4 and 1/2 of each of them. "spread": how far the places where the label is
        recognised lie from their centre, root mean square in sides of the image, each place with the weight of the
        probability that the classifier gives to the label there (class activation maps: Zhou et al. 2016), at twice the
        size. It is 0.41 where all places are alike.

        Raises ValueError for a label that is no class of the network.
        """
        labels = np.asarray(labels)
        wanted = np.array([self.network.class_index(label) for label in labels.tolist()])
        whole = self._probability(images, wanted)
        part = np.max([self._probability(crop, wanted) for crop in crops(images)], axis=0)
        members = {name: labels == name for name in np.unique(labels).tolist()}
        ratios = {name: float(whole[i].mean() / part[i].mean()) for name, i in members.items()}
        return {"whole_to_part": ratios, "spread": spread(self._maps(images, wanted))}

    def _probability(self, images, wanted):
        scores = self.network.scores(resized(images, self.network.image_size)).astype(float)
        return np.exp(self.network.log_probabilities(scores))[np.arange(len(wanted)), wanted]

    def _maps(self, images, wanted):
        """The probability of the wanted class at each position, (n, h, w)."""
        large = resized(images, self._zoomed.image_size)
        found = self._zoomed.activations(large, [self.positions])[self.positions]
        scores = np.stack([self._head(x.reshape(-1, x.shape[-1])) for x in found]).astype(float)
        chosen = np.exp(self.network.log_probabilities(scores))[np.arange(len(wanted)), :, wanted]
        return chosen.reshape(found.shape[:3])


def crops(images: np.ndarray) -> list[np.ndarray]:
    """The nine parts of images (n, height, width, 3) of half their sides, (n, height // 2, width // 2, 3) each."""
    height, width = images.shape[1] // 2, images.shape[2] // 2
    starts = product((0, height // 2, height), (0, width // 2, width))
    return [images[:, top : top + height, left : left + width] for top, left in starts]


def spread(maps: np.ndarray) -> np.ndarray:
    """The standard deviation of the place under weights (n, h, w) ≥ 0, in sides of the image: (n,)."""
    variance = 0
    for others in (2, 1):
        weights = maps.sum(others) / maps.sum((1, 2))[:, None]
        places = (np.arange(weights.shape[1]) + 0.5) / weights.shape[1]
        variance = variance + weights @ places**2 - (weights @ places) ** 2
    return np.sqrt(variance)
