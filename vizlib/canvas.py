"""Image parameterisations: what the optimiser moves, and how it becomes an image."""

import numpy as np
from keras import ops
from scipy.fft import dct

# Square root of the covariance of RGB in natural images (ImageNet), as published with Olah et al. 2017: moving
# along its columns changes colour the way that photographs do, brightness first.
COLOUR_BASIS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], "float32")


def _logit(images):
    images = np.clip(images, 0.02, 0.98)
    return np.log(images / (1 - images))


class Pixels:
    """One variable per pixel and colour, squashed into [0, 1] by a sigmoid.

    size: pixels of a side. noise: standard deviation of the start around mid-grey, in logits.
    """

    def __init__(self, size, noise=0.1):
        self.size, self.noise = size, noise

    def start(self, n, seed):
        """The variables of n images of noise: a list of one float32 array (n, size, size, 3)."""
        draws = np.random.default_rng(seed).standard_normal((n, self.size, self.size, 3), "float32")
        return [self.noise * draws]

    def image(self, variables):
        """The images (n, size, size, 3), float32 in [0, 1], that the variables stand for."""
        return ops.sigmoid(variables[0])


class Cosine:
    """Cosine (DCT) coefficients of decorrelated colours, scaled so that all frequencies move alike.

    The idea of Olah et al. 2017, "Feature Visualization", with a cosine in place of a Fourier basis: it is real and
    does not wrap around, so opposite borders are not tied to each other. `decay` is the power of 1 / frequency that
    the coefficients are scaled by; 1 is the amplitude spectrum of natural images.
    """

    def __init__(self, size, noise=0.1, decay=1.0):
        self.size, self.noise = size, noise
        self._basis = dct(np.eye(size), norm="ortho", axis=0).astype("float32")  # (frequency, position)
        frequency = np.hypot(*np.meshgrid(np.arange(size), np.arange(size))) / size
        scale = 1 / np.maximum(frequency, 1 / size) ** decay
        self._scale = (scale / np.sqrt(np.mean(scale**2)))[:, :, None].astype("float32")
        colours = COLOUR_BASIS / np.linalg.norm(COLOUR_BASIS, axis=0).max()
        self._colours = (4 * colours.T).astype("float32")  # a unit step is about the contrast of a photograph

    def start(self, n, seed):
        """The variables of n images of noise: a list of one float32 array (n, size, size, 3)."""
        draws = np.random.default_rng(seed).standard_normal((n, self.size, self.size, 3), "float32")
        return [self.noise * draws]

    def image(self, variables):
        """The images (n, size, size, 3), float32 in [0, 1], that the variables stand for."""
        spectrum = variables[0] * self._scale
        columns = ops.einsum("fy,nfgc->nygc", self._basis, spectrum)
        colours = ops.einsum("gx,nygc->nyxc", self._basis, columns)
        return ops.sigmoid(ops.matmul(colours, self._colours))
