"""Whether a class is recognised in the whole image, or in parts of it alone."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from scipy.special import softmax

from vizlib.networks import Network
from vizlib.realism.judges import resized


class WholeJudge:
    """How well the whole image is recognised, beside its parts.

    An object is one because its parts make a whole: the whole image of it is recognised about as well as the best crop.
    Of heads and ears all over the image the best crop has one that is whole by itself, the image is of nothing.

    network: a classifier such as that of a `ClassJudge`; images are made as large as it takes them.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    def __call__(self, images: np.ndarray, labels: Sequence[str], real: np.ndarray) -> dict[str, Any]:
        """Per class "whole_to_part": mean probability of the label over that of the best crop of each image.

        Crops have half the sides of the image and lie at 0, 1/4 and 1/2 of each of them: nine. Above 1 where more is
        recognised in the whole than in any part. Raises ValueError for a label that is no class of the network.
        """
        whole = self._probability(images, labels)
        part = np.max([self._probability(crop, labels) for crop in crops(images)], axis=0)
        labels = np.asarray(labels)
        members = {name: labels == name for name in np.unique(labels).tolist()}
        return {"whole_to_part": {name: float(whole[i].mean() / part[i].mean()) for name, i in members.items()}}

    def _probability(self, images, labels):
        wanted = [self.network.class_index(label) for label in np.asarray(labels).tolist()]
        scores = self.network.scores(resized(images, self.network.image_size)).astype(float)
        return softmax(scores, axis=1)[np.arange(len(wanted)), wanted]


def crops(images: np.ndarray) -> list[np.ndarray]:
    """The nine parts of images (n, height, width, 3) of half their sides, (n, height // 2, width // 2, 3) each."""
    height, width = images.shape[1] // 2, images.shape[2] // 2
    starts = product((0, height // 2, height), (0, width // 2, width))
    return [images[:, top : top + height, left : left + width] for top, left in starts]
