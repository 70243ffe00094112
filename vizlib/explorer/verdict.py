"""What can be said of a few images beside a panel: what a judge sees, how natural they are, how new."""

from os import PathLike
from typing import NamedTuple

import numpy as np

from vizlib._arrays import ImagesLike
from vizlib.networks import Network
from vizlib.realism import ClassJudge, nearest_images
from vizlib.realism.pixels import naturalness


class Verdict(NamedTuple):
    """recognised: as what, a few words. text: that and the rest, a line. nearest: the known image nearest to each."""

    recognised: str
    text: str
    nearest: ImagesLike


class Jury:
    """Judges the images of one class.

    net: the `Network` that made them; it names classes itself where no embedded judge, which it was not optimised
    against, knows them. source: where the classes come from.
    """

    def __init__(self, net: Network, source: str | PathLike) -> None:
        self.network = ClassJudge().network if source == "partworld" else net
        self.impartial = source == "partworld"

    def __call__(self, images: ImagesLike, class_name: str, known: ImagesLike) -> Verdict:
        """The `Verdict` on images (n, size, size, 3), as `as_images` takes them, beside known real ones of the class.

        It has the share that is recognised with the mean probability, the naturalness (see `pixels.naturalness`) and
        the least distance to a known image (see `realism.nearest_images`).
        """
        index, distance = nearest_images(images, known)
        recognised = self._recognised(images, class_name)
        natural = naturalness(images, known[:100]).mean()
        parts = recognised, f"naturalness {natural:.2f}", f"nearest {distance.min():.3f}"
        return Verdict(recognised, " · ".join(filter(None, parts)), known[index])

    def _recognised(self, images, class_name):
        if class_name not in self.network.classes or images.shape[1:] != self.network.image_shape:
            return ""
        scores, k = self.network.scores(images), self.network.class_index(class_name)
        wanted = np.exp(self.network.log_probabilities(scores)[:, k])
        seen = int(self.network.recognised(scores)[:, k].sum())
        whose = "a judge" if self.impartial else "this network"
        return f"{whose} sees {class_name} in {seen} of {len(images)} ({wanted.mean():.0%})"
