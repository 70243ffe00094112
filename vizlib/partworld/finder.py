"""The parts that are seen in pictures, found by the embedded judge of parts."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vizlib._arrays import ImagesLike, as_images
from vizlib.partworld.embedded import load_judge
from vizlib.partworld.world import PARTS, Part

if TYPE_CHECKING:
    import keras

SURE = 0.4  # confidence from which on a part counts as found
BATCH = 64  # images at a time
CELL = 2  # pixels of a side of a heat map's cell


class FoundPart(NamedTuple):
    """A part in an image: its kind, the row and column of its centre in pixels, and the confidence in [0, 1]."""

    kind: str
    row: float
    column: float
    confidence: float


def find_parts(images: ImagesLike, judge: "keras.Model | None" = None) -> list[list[FoundPart]]:
    """The parts that the judge sees: local maxima of its heat maps, a list of `FoundPart`s for each image.

    images: (n, 64, 64, 3), as `as_images` takes them. judge: the model; None for the embedded one.
    """
    from keras import ops
    from scipy.ndimage import maximum_filter

    judge, images = judge or _embedded_judge(), as_images(images)
    # Not by its `predict`, which warns where many models predict images of many numbers.
    batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    heat = np.concatenate([ops.convert_to_numpy(judge([batch], training=False)) for batch in batches])
    peaks = (heat == maximum_filter(heat, (1, 3, 3, 1))) & (heat >= SURE)
    found = [[] for _ in heat]
    for n, row, column, kind in zip(*np.nonzero(peaks), strict=True):
        place = (CELL * row + (CELL - 1) / 2, CELL * column + (CELL - 1) / 2)
        found[n].append(FoundPart(PARTS[kind], *place, float(heat[n, row, column, kind])))
    return found


@lru_cache(maxsize=1)
def _embedded_judge():
    return load_judge("parts")


def matches(found: Sequence[FoundPart], truth: Sequence[Part]) -> list[tuple[int, int]]:
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
