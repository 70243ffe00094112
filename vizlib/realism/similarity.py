"""Whether another network processes generated images as it does real ones of their class, layer by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from vizlib._arrays import ImagesLike
from vizlib.networks import Network
from vizlib.networks.network import FEW
from vizlib.realism.judges import resized


class SimilarityJudge:
    """How similar the activations of images are to those of real ones, along a network (Geirhos et al. 2024).

    What only looks like a class to the network that was asked takes another way through one that was not. Similarity is
    Spearman's rank correlation of the activations of two images, mean over pairs. It is scaled, on average over the
    classes, so that real images of one class get 1 and real images of two classes 0.

    network: a network that nothing was optimised against; images are made as large as it takes them. layers: names,
    shallow → deep, at least three. reference: {class: real images}, of two classes at least two each.
    """

    def __init__(self, network: Network, layers: Sequence[str], reference: Mapping[str, ImagesLike]) -> None:
        self.network, self.layers = network, tuple(layers)
        # A correlation is a product of standardised ranks, and the mean of all pairs a product of two means.
        self._real = {name: self._means(images) for name, images in reference.items()}
        self._floor, gaps = {}, []
        for name, mean in self._real.items():
            others = [_products(mean, other) for key, other in self._real.items() if key != name]
            self._floor[name], n = np.mean(others, axis=0), len(reference[name])
            same = (n * _products(mean, mean) - 1) / (n - 1)  # without those of an image with itself
            gaps.append(same - self._floor[name])
        self._scale = np.mean(gaps, axis=0)

    def __call__(self, images: ImagesLike, labels: Sequence[str], real: ImagesLike) -> dict[str, Any]:
        """Per class "similarity_1" and so on of each layer, and their means of the first, second and last third of the
        layers, "similarity_early", "similarity_middle" and "similarity_late".

        Raises ValueError for a label of which there is no reference.
        """
        labels = np.asarray(labels)
        if missing := {*labels.tolist()} - {*self._real}:
            raise ValueError(f"expected a reference for every class; received none of {', '.join(sorted(missing))}.")
        columns = {}
        for name in np.unique(labels).tolist():
            similar = _products(self._means(images[labels == name]), self._real[name])
            scaled = (similar - self._floor[name]) / self._scale
            thirds = zip(("early", "middle", "late"), map(np.mean, np.array_split(scaled, 3)), strict=True)
            for key, value in (*enumerate(scaled, 1), *thirds):
                columns.setdefault(f"similarity_{key}", {})[name] = float(value)
        return columns

    def _means(self, images):
        """Of each layer the mean of the standardised ranks of the activations of images."""
        sums = dict.fromkeys(self.layers, 0)
        for _, found in self.network.batches(resized(images, self.network.image_size), self.layers, FEW):
            for layer, values in found.items():
                sums[layer] = sums[layer] + np.sum([standardised_ranks(x) for x in values], axis=0)
        return [sums[layer] / len(images) for layer in self.layers]


def _products(ours, theirs):
    return np.array([a @ b for a, b in zip(ours, theirs, strict=True)])


def standardised_ranks(values: np.ndarray) -> np.ndarray:
    """The ranks of numbers, float32 (p,), of mean 0 and norm 1; zeros where all are the same.

    The product of two of these is Spearman's rank correlation.
    """
    ranks = rankdata(values)
    ranks -= ranks.mean()
    return (ranks / max(np.linalg.norm(ranks), np.finfo(float).tiny)).astype("float32")
