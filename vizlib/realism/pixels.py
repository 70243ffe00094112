"""Statistics of images as they are, without a network: contrast, spectrum, gradients, likeness to one another.

Images are (n, height, width, 3), as `images.as_images` takes them; brightness is the luma of ITU-R BT.601.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter

from vizlib._arrays import ImagesLike, Integers
from vizlib.images import as_images

HIGH = 0.25  # cycles per pixel from which on a frequency is high: half of the highest
ORIENTATIONS = 18  # bins of gradient directions, as Mahendran and Vedaldi have them
MAGNITUDES = np.concatenate([[0], np.geomspace(0.01, 6, 26)])  # edges of bins of Sobel magnitudes, at most 4 * sqrt(2)
WINDOW, DEVIATION = 11, 1.5  # pixels: the Gaussian window of SSIM
SCALES = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])  # weights of MS-SSIM, from fine to coarse
C1, C2 = 0.01**2, 0.03**2  # constants of SSIM for values in [0, 1]


def contrast(images: ImagesLike) -> np.ndarray:
    """Standard deviation over the pixels and colours of each image: (n,), in [0, 0.5]."""
    return as_images(images).std((1, 2, 3), dtype=float)


def spectrum_slope(images: ImagesLike) -> np.ndarray:
    """Slope of the logarithm of the power over that of the frequency: (n,), about -2 for natural images (Field 1987).

    Least squares over rings of whole frequencies, from 2 cycles an image to half a cycle a pixel; 0 for one colour.
    """
    power, frequency = _power(images)
    side = min(power.shape[1:])
    ring = np.rint(frequency * side).astype(int)
    rings = np.arange(2, side // 2 + 1)
    means = np.stack([power[:, ring == r].mean(1) for r in rings], axis=1)
    return np.polyfit(np.log(rings), np.log(means + 1e-12).T, 1)[0]


def high_frequency_energy(images: ImagesLike) -> np.ndarray:
    """Share of the power at frequencies above 0.25 cycles a pixel: (n,), in [0, 1]; 0 for one colour."""
    power, frequency = _power(images)
    return power[:, frequency > HIGH].sum(1) / np.maximum(power.sum((1, 2)), 1e-12)


def naturalness(images: ImagesLike, real: ImagesLike) -> np.ndarray:
    """How like the distribution of their gradient magnitudes is to that of real images: (n,), in [0, 1].

    The intersection (sum of the smaller shares) of the histogram of an image with that of each real image, mean over
    these; where `images` is `real`, an image is not compared with itself. It is the measure of Mahendran and Vedaldi
    (2016) with magnitudes in place of orientations, see `orientation_naturalness`: blur and noise change magnitudes.
    """
    return _intersection(_magnitudes, images, real)


def orientation_naturalness(images: ImagesLike, real: ImagesLike) -> np.ndarray:
    """The gradient histogram intersection of Mahendran and Vedaldi (2016): (n,), in [0, 1], as `naturalness`.

    The histogram has 18 directions of Sobel gradients, weighted by magnitude. They compare the inversion of an image
    with that image; here there is none, so each of the real ones is taken. It depends neither on contrast nor much on
    sharpness: of PartWorld scenes real ones get 0.85, uniform noise 0.85 and the mean of a class 0.86.
    """
    return _intersection(_directions, images, real)


# TensorFlow, which has it, takes 3 to 20 times as long, as it filters each image anew for every pair, and beside JAX it
# would also take the memory of the GPU. scikit-image has the one scale alone, and is slower still.
def ms_ssim(images: ImagesLike) -> float:
    """Multi-scale structural similarity (Wang et al. 2003), mean over all pairs and colours: 1 where all are alike.

    There are as many of the five scales, each half the size of the one before, as have room for the window of 11
    pixels: three at 64 pixels, all five from 176 on. The weights of those left are scaled to sum to 1. A negative
    structure term counts as 0. NaN for a single image; raises ValueError for images smaller than the window.
    """
    images = np.moveaxis(as_images(images), -1, 1)
    if min(images.shape[2:]) < WINDOW:
        raise ValueError(f"expected images of at least {WINDOW} pixels a side; received {images.shape[2:]}.")
    if len(images) < 2:
        return float("nan")
    scales = min(len(SCALES), int(np.log2(min(images.shape[2:]) / WINDOW)) + 1)
    products = 1
    for scale, weight in enumerate(SCALES[:scales] / SCALES[:scales].sum()):
        products = products * np.maximum(_likeness(images, last=scale == scales - 1), 0) ** weight
        images = _halved(images)
    return float(np.mean(products))


def _likeness(images, last):
    """The structure term of SSIM for each pair and colour, (pairs, 3); at the last scale times that of brightness."""
    mean = _smooth(images)
    variance = _smooth(images**2) - mean**2
    terms = []
    for i in range(len(images) - 1):
        covariance = _smooth(images[i] * images[i + 1 :]) - mean[i] * mean[i + 1 :]
        term = (2 * covariance + C2) / (variance[i] + variance[i + 1 :] + C2)
        if last:
            term = term * (2 * mean[i] * mean[i + 1 :] + C1) / (mean[i] ** 2 + mean[i + 1 :] ** 2 + C1)
        terms.append(term.mean((2, 3)))
    return np.concatenate(terms)


def _smooth(images):
    """Means over the Gaussian window, where it fits: (..., h - 10, w - 10)."""
    reach = WINDOW // 2
    return gaussian_filter(images, DEVIATION, radius=reach, axes=(-2, -1))[..., reach:-reach, reach:-reach]


def _halved(images):
    """Means of 2 × 2 pixels of (n, 3, h, w); an odd last row or column is left out."""
    n, c, h, w = images.shape
    return images[..., : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))


def nearest_images(images: ImagesLike, training: ImagesLike) -> tuple[Integers, NDArray[np.float64]]:
    """The nearest training image of each image: its index (n,) and its distance (n,).

    The distance is the root mean square difference of pixels, in [0, 1], after a Gaussian blur of 2 pixels: it is
    small for a copy, noisy or slightly moved, and does not depend on any network.
    """
    from sklearn.metrics import pairwise_distances_argmin

    coarse, known = (gaussian_filter(as_images(x), (0, 2, 2, 0))[:, ::4, ::4].reshape(len(x), -1)
                     for x in (images, training))
    index = pairwise_distances_argmin(coarse, known)
    return index, np.sqrt(np.mean((coarse - known[index]) ** 2, axis=1, dtype=float))


def _brightness(images):
    return as_images(images) @ np.array([0.299, 0.587, 0.114])


def _power(images):
    """The power spectrum of brightness (n, h, w) and the frequencies (h, w) in cycles a pixel.

    A Hann window hides that opposite borders differ, which would show as a cross.
    """
    x = _brightness(images)
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in x.shape[1:]))
    x = (x - (x * window).sum((1, 2), keepdims=True) / window.sum()) * window
    power = np.abs(np.fft.fft2(x)) ** 2 / (window**2).sum()
    return power, np.hypot(*np.meshgrid(*map(np.fft.fftfreq, x.shape[1:]), indexing="ij"))


def _gradients(images):
    """Magnitudes and directions, in [-pi, pi], of the Sobel gradients of brightness, (n, h, w) each."""
    x = _brightness(images)  # scipy's own Sobel filter would smooth over the images as well
    down, right = (correlate1d(correlate1d(x, (-1, 0, 1), axis, mode="nearest"), (1, 2, 1), 3 - axis, mode="nearest")
                   for axis in (1, 2))
    return np.hypot(down, right), np.arctan2(-down, right)


def _magnitudes(images):
    return np.stack([np.histogram(magnitude, MAGNITUDES)[0] for magnitude in _gradients(images)[0]])


def _directions(images):
    bins = np.linspace(-np.pi, np.pi, ORIENTATIONS + 1)
    return np.stack([np.histogram(d, bins, weights=m)[0] for m, d in zip(*_gradients(images), strict=True)])


def _intersection(histograms, images, real):
    ours, theirs = (shares / np.maximum(shares.sum(1, keepdims=True), 1e-12)
                    for shares in (histograms(images), histograms(real)))
    common = np.minimum(ours[:, None], theirs).sum(2)
    if images is real:
        return (common.sum(1) - np.diag(common)) / max(len(common) - 1, 1)
    return common.mean(1)
