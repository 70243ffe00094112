"""How realistic images are: judges that were never optimised against, and distances to real images.

The judges know PartWorld: a classifier with an embedding and a finder of parts, other architectures than the
network's. Parts that belong to no complete object are stray.
"""

from typing import NamedTuple

import numpy as np

from vizlib.arrangement import complete_objects
from vizlib.embedded import embedded_file
from vizlib.images import as_images
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
    """How well images are recognised, and how far they are, as a set, from real ones.

    model: a Keras classifier of RGB images in [0, 1] that answers scores and has a layer "embedding"; None loads the
    embedded one. classes: the names of its scores.
    """

    def __init__(self, model=None, classes=CLASSES):
        import keras

        model = model or load_judge("classifier")
        self.answers = keras.Model(model.inputs, [model.outputs[0], model.get_layer("embedding").output])
        self.classes = tuple(classes)

    def __call__(self, images, labels, real):
        """Per image "accuracy" (1 where the class is the label) and "probability" of the label; "kid" to `real`.

        The kernel inception distance is taken within each class and averaged: NaN below 2 images of a class (4 real).
        """
        wanted = np.array([self.classes.index(label) for label in labels])
        scores, features = self.answers.predict(images, batch_size=64, verbose=0)
        known = features if images is real else self.answers.predict(real, batch_size=64, verbose=0)[1]
        probability = np.exp(scores - scores.max(1, keepdims=True))
        probability /= probability.sum(1, keepdims=True)
        distances = []
        for a, b in ((features[wanted == c], known[wanted == c]) for c in np.unique(wanted)):
            if images is real:  # a set is compared with itself by halves
                a, b = a[::2], b[1::2]
            distances.append(kernel_inception_distance(a, b))
        return {"accuracy": scores.argmax(1) == wanted, "probability": probability[np.arange(len(wanted)), wanted],
                "kid": np.mean(distances)}


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


def compare(methods, real, labels, judges=None, training=None):
    """How realistic the images of each method are, beside real ones: a pandas DataFrame, a row per method.

    methods: {name: images (n, h, w, 3)}, as `as_images` takes them; real: as many real images. labels: the class name
    of each image, the same for every method and for the real images. judges: functions of (images, labels, real) to
    {column: n values or one number}; None takes a `ClassJudge` and a `PartJudge`. training: images that a method
    could have copied; where given, "nearest" is the mean distance to the nearest of them (see `nearest_images`).

    Of n values the column holds the mean, and columns "..._low" and "..._high" the 95 % interval of the bootstrap
    over images. The last row, "real", is what the real images get; their "kid" is that of one half to the other.
    Raises ValueError where the numbers of images and labels differ.
    """
    import pandas as pd

    methods = {name: as_images(images) for name, images in {**methods, "real": real}.items()}
    real = methods["real"]
    for name, images in methods.items():
        if len(images) != len(labels):
            raise ValueError(f"expected an image for each of the {len(labels)} labels; received {len(images)} of "
                             f"{name!r}.")
    judges = judges or (ClassJudge(), PartJudge())
    table = {}
    for name, images in methods.items():
        columns = {key: value for judge in judges for key, value in judge(images, labels, real).items()}
        if training is not None:
            columns["nearest"] = nearest_images(images, training)[1]
        table[name] = {key: value for column in columns.items() for key, value in _summary(*column)}
    return pd.DataFrame.from_dict(table, orient="index")


def _summary(key, values):
    """The column of one number; of n values those of their mean and of its bootstrap interval."""
    if np.ndim(values) == 0:
        return [(key, float(values))]
    values = np.asarray(values, float)
    means = values[np.random.default_rng(0).integers(len(values), size=(2000, len(values)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return [(key, values.mean()), (f"{key}_low", low), (f"{key}_high", high)]


def kernel_inception_distance(features, real):
    """Squared maximum mean discrepancy of two sets of features (n, d) and (m, d), unbiased.

    The kernel is (x . y / d + 1)^3 (Binkowski et al. 2018). It is 0 on average where both come from one
    distribution, so a small negative value is no error; NaN where n or m is below 2.
    """
    features, real = np.asarray(features, float), np.asarray(real, float)
    n, m, d = len(features), len(real), features.shape[1]
    if min(n, m) < 2:
        return float("nan")
    within, across, among = ((a @ b.T / d + 1) ** 3 for a, b in ((features, features), (features, real), (real, real)))
    return float((within.sum() - np.trace(within)) / (n * (n - 1))
                 + (among.sum() - np.trace(among)) / (m * (m - 1)) - 2 * across.mean())


def nearest_images(images, training):
    """The nearest training image of each image: its index (n,) and its distance (n,).

    The distance is the root mean square difference of pixels, in [0, 1], after a Gaussian blur of 2 pixels: it is
    small for a copy, noisy or slightly moved, and does not depend on any network.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.spatial.distance import cdist

    coarse, known = (gaussian_filter(as_images(x), (0, 2, 2, 0))[:, ::4, ::4].reshape(len(x), -1)
                     for x in (images, training))
    distances = cdist(coarse, known) / np.sqrt(known.shape[1])
    return distances.argmin(1), distances.min(1)
