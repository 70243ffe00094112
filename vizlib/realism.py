"""How realistic images are: judges that were never optimised against, and distances to real images.

The judges know PartWorld: a classifier with an embedding and a finder of parts, other architectures than the
network's. Parts that belong to no complete object are stray.
"""

from typing import NamedTuple

import numpy as np

from vizlib import pixels
from vizlib.arrangement import complete_objects
from vizlib.embedded import embedded_file
from vizlib.images import as_images
from vizlib.metrics import NEIGHBOURS, density_and_coverage, kernel_inception_distance, told_apart, vendi_score
from vizlib.partworld import CLASSES, PARTS

SURE = 0.4  # confidence from which on a part counts as found
CELL = 2  # pixels of a side of a heat map's cell


class FoundPart(NamedTuple):
    """A part in an image: its kind, the row and column of its centre in pixels, and the confidence in [0, 1]."""

    kind: str
    row: float
    column: float
    confidence: float


def load_judge(name):
    """An embedded judge, a Keras model that takes RGB in [0, 1], (n, 64, 64, 3).

    "classifier" answers scores (n, classes) before the softmax and has a layer "embedding" (n, 96); "parts" answers
    heat maps (n, 32, 32, kinds of parts) in [0, 1]. Raises ValueError for another name, and what `embedded_file` does.
    """
    import keras

    if name not in ("classifier", "parts"):
        raise ValueError(f"expected the judge 'classifier' or 'parts'; received {name!r}.")
    return keras.models.load_model(embedded_file(f"judge_{name}.keras"), compile=False)


def find_parts(images, judge=None):
    """The parts that the judge sees: local maxima of its heat maps, a list of `FoundPart`s for each image.

    images: (n, 64, 64, 3), as `as_images` takes them. judge: the model; None loads the embedded one.
    """
    from scipy.ndimage import maximum_filter

    heat = (judge or load_judge("parts")).predict(as_images(images), batch_size=64, verbose=0)
    peaks = (heat == maximum_filter(heat, (1, 3, 3, 1))) & (heat >= SURE)
    found = [[] for _ in heat]
    for n, row, column, kind in zip(*np.nonzero(peaks), strict=True):
        place = (CELL * row + (CELL - 1) / 2, CELL * column + (CELL - 1) / 2)
        found[n].append(FoundPart(PARTS[kind], *place, float(heat[n, row, column, kind])))
    return found


def matches(found, truth):
    """Pairs (index in found, index in truth) of parts of one kind that lie together, each part in one pair at most.

    found: `FoundPart`s. truth: `partworld.Part`s. Together is at most 3 pixels, or half of the box's longer side.
    """
    from scipy.optimize import linear_sum_assignment

    allowed = np.zeros((len(found), len(truth)), bool)
    for i, part in enumerate(found):
        for j, (kind, (top, left, bottom, right), _) in enumerate(truth):
            apart = np.hypot(part.row - (top + bottom - 1) / 2, part.column - (left + right - 1) / 2)
            allowed[i, j] = part.kind == kind and apart <= max(3, (bottom - top) / 2, (right - left) / 2)
    rows, columns = linear_sum_assignment(~allowed)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]


class ClassJudge:
    """How well images are recognised, and how far they are, as a set, from real ones in an embedding.

    model: a Keras classifier with a layer "embedding", (n, d); None loads the embedded one. classes: the names of its
    scores. preprocess: as in `network.Network`; None where the model takes RGB in [0, 1]. reference: {class: images},
    real ones that distances are taken to, other than those that methods are compared with, the more the better; None
    takes these themselves.
    """

    def __init__(self, model=None, classes=CLASSES, preprocess=None, reference=None):
        from vizlib.network import Network

        self.network = Network(model or load_judge("classifier"), preprocess, classes)
        self._reference = reference and {name: self._answers(images)[1] for name, images in reference.items()}
        self._known = None, None

    def __call__(self, images, labels, real):
        """Per image "accuracy" (1 where the class is the label) and "log_probability" of the label.

        Per class, against the reference: "kid", "density", "coverage" and, with as many of it, "told_apart" (see
        `vizlib.metrics`). Without a reference it is the real images of the class, which are compared with themselves
        by halves. "vendi" is the Vendi score of the embeddings as they are, which hardly differ in direction within a
        class, so that even one image over and over comes near to real ones; "vendi_within" that of what they differ
        by from the mean of the real images of the class, where all that is wrong in the same way is no variety. Raises
        ValueError for a label that is no class of the judge, or of the reference.
        """
        from scipy.special import log_softmax

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
        return {
            "accuracy": scores.argmax(1) == wanted,
            "log_probability": log_softmax(scores.astype(float), 1)[np.arange(len(wanted)), wanted],
            "vendi": {name: vendi_score(features[i]) for name, i in members.items()},
            "vendi_within": {name: vendi_score(features[i] - known[i].mean(0)) for name, i in members.items()},
            **_distances(sets, {name: len(i) for name, i in members.items()}),
        }

    def _answers(self, images):
        answers = self.network.activations(images, ["scores", "embedding"])
        return answers["scores"], answers["embedding"]


def _distances(sets, sizes):
    """The columns of `vizlib.metrics` of {class: (features, real features)}.

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


class PartJudge:
    """Whether the parts in images make complete objects. model: as in `find_parts`; None loads the embedded one."""

    def __init__(self, model=None):
        self.model = model or load_judge("parts")

    def __call__(self, images, labels, real):
        """Per image "stray_parts", "complete_objects", and "whole": 1 where there is one object, and of the label."""
        answers = [complete_objects(parts) for parts in find_parts(images, self.model)]
        names = [[name for name, _ in objects] for objects, _ in answers]
        return {"stray_parts": [len(stray) for _, stray in answers], "complete_objects": [len(n) for n in names],
                "whole": [n == [label] for n, label in zip(names, labels, strict=True)]}


def pixel_statistics(images, labels, real):
    """What needs no judge, as one: columns of `vizlib.pixels`.

    Per image "contrast", "spectrum_slope" and "high_frequency"; against the real images of its class "naturalness"
    and "orientations". Per class "ms_ssim".
    """
    labels = np.asarray(labels)
    columns = {"contrast": pixels.contrast(images), "spectrum_slope": pixels.spectrum_slope(images),
               "high_frequency": pixels.high_frequency_energy(images),
               "naturalness": np.zeros(len(images)), "orientations": np.zeros(len(images)), "ms_ssim": {}}
    for name in np.unique(labels):
        chosen = labels == name
        made = images[chosen]
        known = made if images is real else real[chosen]
        columns["naturalness"][chosen] = pixels.naturalness(made, known)
        columns["orientations"][chosen] = pixels.orientation_naturalness(made, known)
        columns["ms_ssim"][name] = pixels.ms_ssim(made)
    return columns


def compare(methods, real, labels, judges=None, training=None):
    """How realistic the images of each method are, beside real ones: a pandas DataFrame, a row per method.

    methods: {name: images (n, h, w, 3)}, as `as_images` takes them; real: as many real images. labels: the class name
    of each image, the same for every method and for the real images. judges: functions of (images, labels, real) to
    {column: n values, {class: value} or one number}; None takes a `ClassJudge` and a `PartJudge`. The columns of
    `pixel_statistics` are always there. training: images that a method could have copied; where given, "nearest" is
    the distance to the nearest of them (see `nearest_images`), "nearest_tenth" its 10th percentile over the images,
    and "copied" the share of images that are nearer than that of the real ones.

    A column holds the mean over classes, of n values that of the means of the classes, and columns "..._low" and
    "..._high" the 95 % interval of the bootstrap over classes: NaN for a single class. One number stands alone. The
    last row, "real", is what the real images get, the floor; without a reference of the judge what compares with real
    images compares one half of them with the other. Raises ValueError where the numbers of images and labels differ.
    """
    import pandas as pd

    methods = {name: as_images(images) for name, images in {**methods, "real": real}.items()}
    real = methods["real"]
    for name, images in methods.items():
        if len(images) != len(labels):
            raise ValueError(f"expected an image for each of the {len(labels)} labels; received {len(images)} of "
                             f"{name!r}.")
    judges = (*(judges or (ClassJudge(), PartJudge())), pixel_statistics)
    table = {name: {key: value for judge in judges for key, value in judge(images, labels, real).items()}
             for name, images in methods.items()}
    if training is not None:
        distances = np.split(nearest_images(np.concatenate(list(methods.values())), training)[1], len(methods))
        tenth = np.percentile(distances[-1], 10)
        for columns, distance in zip(table.values(), distances, strict=True):
            columns |= {"nearest": distance, "nearest_tenth": np.percentile(distance, 10), "copied": distance < tenth}
    rows = {name: dict(entry for key, values in columns.items() for entry in _summary(key, values, labels))
            for name, columns in table.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _summary(key, values, labels):
    """The column of one number; of values of images or classes the mean over classes and its bootstrap interval."""
    if not isinstance(values, dict):
        if np.ndim(values) == 0:
            return [(key, float(values))]
        values, labels = np.asarray(values, float), np.asarray(labels)
        values = {name: values[labels == name].mean() for name in np.unique(labels)}
    values = np.array(list(values.values()), float)
    means = values[np.random.default_rng(0).integers(len(values), size=(2000, len(values)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5)) if len(values) > 1 else (np.nan, np.nan)
    return [(key, values.mean()), (f"{key}_low", low), (f"{key}_high", high)]


def nearest_images(images, training):
    """The nearest training image of each image: its index (n,) and its distance (n,).

    The distance is the root mean square difference of pixels, in [0, 1], after a Gaussian blur of 2 pixels: it is
    small for a copy, noisy or slightly moved, and does not depend on any network.
    """
    from scipy.ndimage import gaussian_filter
    from sklearn.metrics import pairwise_distances_argmin

    coarse, known = (gaussian_filter(as_images(x), (0, 2, 2, 0))[:, ::4, ::4].reshape(len(x), -1)
                     for x in (images, training))
    index = pairwise_distances_argmin(coarse, known)
    return index, np.sqrt(np.mean((coarse - known[index]) ** 2, axis=1, dtype=float))
