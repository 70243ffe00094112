"""Judges that were never optimised against: a classifier with an embedding, and a finder of parts.

Those of PartWorld are embedded, and of other architectures than the network. Parts that belong to no complete object
are stray.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from vizlib._arrays import ImagesLike
from vizlib.backend import as_array
from vizlib.images import Size, sides
from vizlib.networks import Network
from vizlib.partworld import CLASSES
from vizlib.partworld.arrangement import complete_objects
from vizlib.partworld.embedded import load_judge
from vizlib.partworld.finder import find_parts
from vizlib.realism.distances import (
    NEIGHBOURS,
    density_and_coverage,
    kernel_inception_distance,
    told_apart,
    vendi_score,
)

BATCH = 64  # images that are resized at a time
TOP = 5  # highest scores, as ImageNet's errors are counted

Judge = Callable[[ImagesLike, Sequence[str], ImagesLike], dict[str, Any]]  # of images, labels and real images


class ClassJudge:
    """How well images are recognised, and how far they are, as a set, from real ones in an embedding.

    model: a Keras classifier with a layer "embedding", (n, d); None loads the embedded one. classes: the names of its
    scores. preprocess: as in `Network`; None where the model takes RGB in [0, 1]. reference: {class: images},
    real ones that distances are taken to, other than those that methods are compared with, the more the better; None
    takes these themselves.
    """

    def __init__(
        self,
        model: keras.Model | None = None,
        classes: Sequence[str] = CLASSES,
        preprocess: Callable | None = None,
        reference: Mapping[str, ImagesLike] | None = None,
    ) -> None:
        self.network = Network(model or load_judge("classifier"), preprocess, classes)
        self._reference = reference and {name: self._answers(images)[1] for name, images in reference.items()}
        self._known: tuple[Any, Any] = None, None

    def __call__(self, images: ImagesLike, labels: Sequence[str], real: ImagesLike) -> dict[str, Any]:
        """Per image "accuracy" (1 where the class is the label), "top5" (1 where it is among the five highest scores;
        of more than five classes), "probability" and "log_probability" of the label.

        Per class, against the reference: "kid", "density", "coverage" and, with as many of it, "told_apart" (see
        `vizlib.realism.distances`). Without a reference it is the real images of the class, which are compared with
        themselves by halves. "vendi" is the Vendi score of the embeddings as they are, which hardly differ in direction
        within a class, so that even one image over and over comes near to real ones; "vendi_within" that of what they
        differ by from the mean of the real images of the class, where all that is wrong in the same way is no variety.
        Raises ValueError for a label that is no class of the judge, or of the reference.
        """
        labels = np.asarray(labels)
        wanted = np.array([self.network.class_index(label) for label in labels.tolist()])
        if self._known[0] is not real:
            self._known = real, self._answers(real)
        scores, features = self._known[1] if images is real else self._answers(images)
        known = self._known[1][1]
        members = {name: np.flatnonzero(labels == name) for name in np.unique(labels).tolist()}
        if self._reference:
            if missing := set(members) - set(self._reference):
                raise ValueError(f"expected a reference for every class; received none of {', '.join(missing)}.")
            sets = {name: (features[i], self._reference[name]) for name, i in members.items()}
        elif images is real:
            sets = {name: (features[i[::2]], known[i[1::2]]) for name, i in members.items()}
        else:
            sets = {name: (features[i], known[i]) for name, i in members.items()}
        chances = self.network.log_probabilities(scores.astype(float))
        chance = chances[np.arange(len(wanted)), wanted]
        higher = (chances > chance[:, None]).sum(1)
        top = {"top5": higher < TOP} if len(self.network.classes) > TOP else {}
        return {
            "accuracy": scores.argmax(1) == wanted,
            **top,
            "probability": np.exp(chance),
            "log_probability": chance,
            "vendi": {name: vendi_score(features[i]) for name, i in members.items()},
            "vendi_within": {name: vendi_score(features[i] - known[i].mean(0)) for name, i in members.items()},
            **_distances(sets, {name: len(i) for name, i in members.items()}),
        }

    def _answers(self, images):
        images = resized(images, self.network.image_size)
        answers = self.network.activations(images, ["scores", "embedding"])
        return answers["scores"], answers["embedding"]


def _distances(sets, sizes):
    """The columns of `vizlib.realism.distances` of {class: (features, real features)}.

    sizes: real images of each class. The number of neighbours is such that halves of them have as many.
    """
    columns = {"kid": {}, "density": {}, "coverage": {}}
    for name, (features, known) in sets.items():
        neighbours = max(1, min(NEIGHBOURS, sizes[name] // 2 - 1))
        columns["kid"][name] = kernel_inception_distance(features, known)
        columns["density"][name], columns["coverage"][name] = density_and_coverage(features, known, neighbours)
    sets = {name: (features, known[: len(features)]) for name, (features, known) in sets.items()}
    ours, theirs = (np.concatenate(both) for both in zip(*sets.values(), strict=True))
    labels = (np.repeat(list(sets), [len(pair[k]) for pair in sets.values()]) for k in (0, 1))
    return columns | {"told_apart": told_apart(ours, theirs, *labels)}


def resized(images: ImagesLike, size: Size) -> ImagesLike:
    """Images at another size, bicubic and antialiased: float32 (n, height, width, 3), in [0, 1]."""
    if images.shape[1:3] == sides(size):
        return images
    resize = partial(keras.ops.image.resize, size=sides(size), interpolation="bicubic", antialias=True)
    batches = np.array_split(images, -(-len(images) // BATCH))
    return np.concatenate([as_array(resize(batch)) for batch in batches]).clip(0, 1)


class PartJudge:
    """Whether the parts in images make complete objects. model: as in `find_parts`; None loads the embedded one."""

    def __init__(self, model: keras.Model | None = None) -> None:
        self.model = model or load_judge("parts")

    def __call__(self, images: ImagesLike, labels: Sequence[str], real: ImagesLike) -> dict[str, Any]:
        """Per image "stray_parts", "complete_objects", and "whole": 1 where there is one object, and of the label."""
        answers = [complete_objects(parts) for parts in find_parts(images, self.model)]
        names = [[name for name, _ in objects] for objects, _ in answers]
        return {"stray_parts": [len(stray) for _, stray in answers], "complete_objects": [len(n) for n in names],
                "whole": [n == [label] for n, label in zip(names, labels, strict=True)]}
