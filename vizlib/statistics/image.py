"""Simple statistics of images of a class: how smooth, how coloured, how sharp."""

from collections.abc import Callable
from typing import Self

import numpy as np
from keras import ops
from scipy.fft import dct

from vizlib.backend import Tensor, compiled, with_gradient
from vizlib.images import Rows, as_images


class ImageStatistics:
    """The usual range of simple statistics of images of a class, for priors (`vizlib.synthesis.terms.priors`).

    `functions`: {name: function from images (n, h, w, 3) in [0, 1] to (n, entries)}, in `keras.ops`, so that
    gradients pass; all are finite, also on an image of one colour. Fitted: `mean_` and `std_`, {name: float32
    (entries,)}, over images; `n_samples_seen_`.
    """

    MIN_STD = 0.01  # below which real images may as well be called all the same

    @property
    def functions(self) -> dict[str, Callable]:
        return {function.__name__: function for function in FUNCTIONS}

    def fit(self, images: Rows) -> Self:
        """Fit on images (n, h, w, 3), as `images.as_images` takes them, read a few at a time."""
        self.mean_, self.std_, self.n_samples_seen_ = {}, {}, len(images)
        parts = {name: [] for name in self.functions}
        for block in (as_images(images[i : i + BATCH]) for i in range(0, len(images), BATCH)):
            n, whole = len(block), np.resize(block, (BATCH, *block.shape[1:]))  # of one shape, which it is compiled for
            for name, values in zip(parts, _statistics(ops.convert_to_tensor(whole)), strict=True):
                parts[name].append(ops.convert_to_numpy(values)[:n])
        for name, part in parts.items():
            values = np.concatenate(part).astype("float64")
            self.mean_[name] = values.mean(axis=0).astype("float32")
            self.std_[name] = np.maximum(values.std(axis=0), self.MIN_STD).astype("float32")
        return self

    def state(self) -> dict:
        """All that a fitted model is, as {name: array or number}: for each function its means above its deviations."""
        moments = {name: np.stack([self.mean_[name], self.std_[name]]) for name in self.functions}
        return moments | {"n_samples_seen_": self.n_samples_seen_}

    @classmethod
    def from_state(cls, state: dict) -> Self:
        """The model of a `state`; ValueError if its parts do not fit together."""
        model = cls()
        model.n_samples_seen_ = int(state["n_samples_seen_"])
        moments = {name: np.asarray(state[name], "float32") for name in model.functions}
        for name, value in moments.items():
            if value.ndim != 2 or len(value) != 2 or not np.isfinite(value).all() or not (value[1] > 0).all():
                raise ValueError(f"expected means and deviations (2, entries) of {name}; received {value!r}.")
        model.mean_ = {name: value[0] for name, value in moments.items()}
        model.std_ = {name: value[1] for name, value in moments.items()}
        return model


# Added to squares before a root or a logarithm. It keeps gradients finite and hides differences of 0.01, under three
# of the 256 levels of a pixel, which nobody sees and which would otherwise rule the logarithm.
EPSILON = 1e-4


def total_variation(images: Tensor) -> Tensor:
    """The logarithm of the mean gradient magnitude: (n, 1)."""
    return ops.log(ops.mean(_gradient_magnitude(images), axis=(1, 2)))[:, None]


def colour_composition(images: Tensor) -> Tensor:
    """Mean and log standard deviation of red, green and blue, then their correlations rg, rb, gb: (n, 9)."""
    pixels = ops.reshape(images, (-1, images.shape[1] * images.shape[2], 3))
    mean = ops.mean(pixels, axis=1)
    centred = pixels - mean[:, None]
    covariance = ops.matmul(ops.transpose(centred, (0, 2, 1)), centred) / pixels.shape[1]
    std = ops.sqrt(ops.diagonal(covariance, axis1=1, axis2=2) + EPSILON)
    correlations = [covariance[:, i, j] / (std[:, i] * std[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    return ops.concatenate([mean, ops.log(std), ops.stack(correlations, axis=1)], axis=1)


def edge_sharpness(images: Tensor) -> Tensor:
    """Mean and standard deviation of the log gradient magnitude, at full, half and quarter size: (n, 6).

    Gradients of real images are heavy-tailed, few strong edges among much that is flat (Huang & Mumford 1999): blur
    and noise both narrow the distribution. A size of fewer than 2 × 2 pixels is left out.
    """
    entries = []
    for scale in range(3):
        if scale:
            images = ops.average_pool(images, 2, strides=2)  # said twice, as Keras on JAX gets it wrong otherwise
        if min(images.shape[1:3]) < 2:
            break
        log = ops.log(_gradient_magnitude(images))
        mean = ops.mean(log, axis=(1, 2))
        entries += [mean, ops.sqrt(ops.mean((log - mean[:, None, None]) ** 2, axis=(1, 2)) + EPSILON)]
    return ops.stack(entries, axis=1)


def power_spectrum(images: Tensor) -> Tensor:
    """The logarithm of the mean power of each octave of frequencies, of the brightness: (n, octaves).

    By the cosine transform, whose borders do not tie. Natural images have a power of 1 / frequency² (Field 1987).
    """
    height, width = images.shape[1:3]
    rows, columns = (dct(np.eye(side), norm="ortho", axis=0).astype("float32") for side in (height, width))
    spectrum = ops.einsum("fy,nyx,gx->nfg", rows, ops.mean(images, axis=-1), columns)
    frequency = np.hypot(*np.mgrid[:height, :width]).ravel()
    octave = np.floor(np.log2(np.maximum(frequency, 0.5))).clip(max=np.log2(min(height, width)) - 1)
    bands = np.equal.outer(octave, np.unique(octave)[1:]).astype("float32")  # but for the mean
    power = ops.matmul(ops.reshape(spectrum**2, (-1, height * width)), bands / bands.sum(axis=0))
    return ops.log(power + EPSILON)


def _differences(images):
    """Those of each pixel to its neighbours at the right and below: (n, h − 1, w − 1, colours) each."""
    h, w, colours = images.shape[1:]
    rows = ops.reshape(images, (-1, h, w * colours))  # of which slices are copied faster
    here, right, below = rows[:, :-1, :-colours], rows[:, :-1, colours:], rows[:, 1:, :-colours]
    return [ops.reshape(there - here, (-1, h - 1, w - 1, colours)) for there in (right, below)]


def _magnitude(images):
    """√(Σ dx² + dy²) over colours, from differences of neighbouring pixels: (n, h − 1, w − 1)."""
    return _length(*_differences(images))


def _length(dx, dy):
    return ops.sqrt(ops.sum(dx**2 + dy**2, axis=-1) + EPSILON)


def _magnitude_backwards(images, upstream):
    dx, dy = _differences(images)
    share = (upstream / _length(dx, dy))[..., None]
    dx, dy = share * dx, share * dy

    def placed(values, down, right):
        return ops.pad(values, [[0, 0], [down, 1 - down], [right, 1 - right], [0, 0]])

    return placed(dx, 0, 1) + placed(dy, 1, 0) - placed(dx + dy, 0, 0)


# Slice by slice TensorFlow takes three times as long, most of it for gradients of slices as large as the image.
_gradient_magnitude = with_gradient(_magnitude, _magnitude_backwards)

FUNCTIONS = (total_variation, colour_composition, edge_sharpness, power_spectrum)
BATCH = 64  # images that are looked at at a time
_statistics = compiled(lambda images: [function(images) for function in FUNCTIONS])
