"""How realistic the images of several methods are, beside real ones, in one table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vizlib._arrays import ImagesLike
from vizlib.images import as_images
from vizlib.realism import pixels
from vizlib.realism.judges import ClassJudge, Judge, PartJudge
from vizlib.realism.pixels import nearest_images


def compare(
    methods: Mapping[str, ImagesLike],
    real: ImagesLike,
    labels: Sequence[str],
    judges: Sequence[Judge] | None = None,
    training: ImagesLike | None = None,
) -> pd.DataFrame:
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
    methods = {name: as_images(images) for name, images in {**methods, "real": real}.items()}
    real = methods["real"]
    for name, images in methods.items():
        if len(images) != len(labels):
            raise ValueError(f"expected an image for each of the {len(labels)} labels; received {len(images)} of "
                             f"{name!r}.")
    judges = (*((ClassJudge(), PartJudge()) if judges is None else judges), pixel_statistics)
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


def pixel_statistics(images: ImagesLike, labels: Sequence[str], real: ImagesLike) -> dict[str, Any]:
    """What needs no judge, as one: columns of `vizlib.realism.pixels`.

    Per image "contrast", "spectrum_slope" and "high_frequency"; against the real images of its class "naturalness"
    and "orientations". Per class "ms_ssim".
    """
    labels = np.asarray(labels)
    columns: dict[str, Any] = {"contrast": pixels.contrast(images), "spectrum_slope": pixels.spectrum_slope(images),
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
