"""Estimators of what images of a class have in common, with the contract of scikit-learn.

Those of activations draw new ones with `sample`. Where a layer ends in a ReLU they are fitted on what comes before
it, which is far closer to Gaussian than what comes after, and rectify what they draw (`rectify`).
"""

from math import prod

import numpy as np
from keras import ops

from vizlib.images import as_images

BLOCK_BYTES = 2**27  # of float64, the most that PCAGaussian holds of the data at a time


class PCAGaussian:
    """A Gaussian over the leading principal components of activations (Tipping & Bishop 1999, without the noise).

    n_components: how many to keep; None for a fifth of the samples, so that a draw is no replay of one of them.
    Directions in which the data does not vary are never kept. rectify: whether samples pass through a ReLU.

    Fitted: `mean_` float32 (p,); `components_` float32 (k, p), orthonormal rows; `explained_variance_` float64 (k,),
    descending, and `explained_variance_ratio_`, its share of `total_variance_`; `shape_`, of one sample;
    `n_samples_seen_`.
    """

    def __init__(self, n_components=None, rectify=False):
        self.n_components = n_components
        self.rectify = rectify

    def fit(self, X):
        """Fit on X: float (n, ...), an array or an h5py dataset, with n ≥ 2.

        Exact through the n × n Gram matrix, summed over blocks of features. Raises ValueError for fewer than two
        samples and for n_components outside 1 … n − 1.
        """
        if len(X.shape) < 2 or len(X) < 2:
            raise ValueError(f"expected at least 2 samples, (n, ...); received the shape {X.shape}.")
        n, self.shape_ = len(X), tuple(X.shape[1:])
        k = max(1, n // 5) if self.n_components is None else self.n_components
        if not 1 <= k < n:
            raise ValueError(f"expected n_components from 1 to {n - 1}, one less than samples; received {k}.")

        self.mean_ = np.empty(prod(self.shape_), "float32")
        gram = np.zeros((n, n))
        for columns, mean, centred in _blocks(X):
            self.mean_[columns] = mean
            gram += centred @ centred.T

        values, vectors = np.linalg.eigh(gram)
        values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
        varies = values > values[0] * n * np.finfo("float64").eps
        values, vectors = values[varies], vectors[:, varies]
        largest = np.abs(vectors).argmax(axis=0)
        signs = np.sign(vectors[largest, np.arange(len(values))])  # eigenvectors are defined up to their sign

        self.components_ = np.empty((len(values), self.mean_.size), "float32")
        for columns, _, centred in _blocks(X):
            self.components_[:, columns] = (vectors * (signs / np.sqrt(values))).T @ centred
        self.explained_variance_ = values / (n - 1)
        self.total_variance_ = float(np.trace(gram)) / (n - 1)
        self.n_samples_seen_ = n
        return self

    @property
    def explained_variance_ratio_(self):
        return self.explained_variance_ / (self.total_variance_ or 1.0)

    def sample(self, n, seed=0):
        """Draw n activations: float32 (n, *shape_)."""
        z = np.random.default_rng(seed).standard_normal((n, len(self.components_)))
        draws = (z * np.sqrt(self.explained_variance_)).astype("float32") @ self.components_ + self.mean_
        return _finish(draws.reshape(n, *self.shape_), self.rectify)

    def state(self):
        """All that a fitted model is, as {name: array or number}."""
        names = ("mean_", "components_", "explained_variance_", "total_variance_", "shape_", "n_samples_seen_")
        return {"rectify": self.rectify} | {name: getattr(self, name) for name in names}

    @classmethod
    def from_state(cls, state):
        """The model of a `state`; ValueError if its parts do not fit together."""
        model = cls(rectify=bool(state["rectify"]))
        model.mean_ = np.asarray(state["mean_"], "float32")
        model.components_ = np.asarray(state["components_"], "float32")
        model.explained_variance_ = np.asarray(state["explained_variance_"], "float64")
        model.total_variance_ = float(state["total_variance_"])
        model.shape_ = tuple(int(length) for length in state["shape_"])
        model.n_samples_seen_ = int(state["n_samples_seen_"])
        shapes = model.mean_.shape, model.components_.shape, model.explained_variance_.shape
        p, k = prod(model.shape_), len(model.explained_variance_)
        if shapes != ((p,), (k, p), (k,)) or not (model.explained_variance_ >= 0).all():
            raise ValueError(f"expected a mean, components and variances of {model.shape_}; received shapes {shapes}.")
        return model


class _RealMixture:
    """What samplers share that keep real activations and draw weighted sums of a few of them.

    Fitted: `values_` float32 (n, ...), `n_samples_seen_`.
    """

    def fit(self, X):
        """Keep X: float (n, ...), an array or an h5py dataset. Raises ValueError for too few samples."""
        self._check(len(X))
        self.values_ = np.asarray(X, "float32")
        self.n_samples_seen_ = len(X)
        return self

    def sample(self, n, seed=0):
        """Draw n activations: float32 (n, ...)."""
        rng = np.random.default_rng(seed)
        draws = np.empty((n, *self.values_.shape[1:]), "float32")
        for draw in draws:
            chosen, weights = self._choose(rng)
            draw[...] = np.tensordot(weights.astype("float32"), self.values_[chosen], axes=1)
        return _finish(draws, self.rectify)


class LocalGaussian(_RealMixture):
    """A Gaussian around each real activation, of its nearest neighbours: a mixture of PCA Gaussians that overlap.

    One Gaussian for a whole class lies between poses as well as at them, and draws ghosts. A draw here picks a real
    activation at random and comes from the PCA Gaussian of the n_neighbours activations nearest to it, itself among
    them, all components kept (mixtures of principal component analysers: Tipping & Bishop 1999).

    n_neighbours: at least 2. rectify: whether samples pass through a ReLU. Fitted: `values_` float32 (n, ...),
    `n_samples_seen_`.
    """

    def __init__(self, n_neighbours=16, rectify=False):
        self.n_neighbours = n_neighbours
        self.rectify = rectify

    def _check(self, n):
        if not 2 <= self.n_neighbours <= n:
            raise ValueError(f"expected n_neighbours from 2 to the {n} samples; received {self.n_neighbours}.")

    def _choose(self, rng):
        flat = self.values_.reshape(len(self.values_), -1)
        distances = np.linalg.norm(flat - flat[rng.integers(len(flat))], axis=1)
        noise = rng.standard_normal(self.n_neighbours)
        weights = 1 / self.n_neighbours + (noise - noise.mean()) / np.sqrt(self.n_neighbours - 1)
        return np.argsort(distances, kind="stable")[: self.n_neighbours], weights


class BootstrapMix(_RealMixture):
    """Weighted means of a few real activations: little new, but every draw keeps close to the data.

    n_mixed: how many different ones go into a draw, with random Dirichlet weights. rectify: whether samples pass
    through a ReLU. Fitted: `values_` float32 (n, ...), `n_samples_seen_`.
    """

    CONCENTRATION = 10  # of the Dirichlet: at 1 many a draw is nearly a copy of one real activation

    def __init__(self, n_mixed=3, rectify=False):
        self.n_mixed = n_mixed
        self.rectify = rectify

    def _check(self, n):
        if n < self.n_mixed:
            raise ValueError(f"expected at least the {self.n_mixed} samples that are mixed; received {n}.")

    def _choose(self, rng):
        chosen = np.sort(rng.choice(len(self.values_), self.n_mixed, replace=False))
        return chosen, rng.dirichlet(np.full(self.n_mixed, self.CONCENTRATION))


class ImageStatistics:
    """The usual range of simple statistics of images of a class, for priors (`vizlib.terms.priors`).

    `functions`: {name: function from images (n, h, w, 3) in [0, 1] to (n, entries)}, in `keras.ops`, so that
    gradients pass; all are finite, also on an image of one colour. Fitted: `mean_` and `std_`, {name: float32
    (entries,)}, over images; `n_samples_seen_`.
    """

    MIN_STD = 0.01  # below which real images may as well be called all the same

    @property
    def functions(self):
        return {function.__name__: function for function in (total_variation, colour_composition, edge_sharpness)}

    def fit(self, images):
        """Fit on images (n, h, w, 3), as `images.as_images` takes them."""
        images = as_images(images)
        self.mean_, self.std_, self.n_samples_seen_ = {}, {}, len(images)
        for name, function in self.functions.items():
            parts = [ops.convert_to_numpy(function(images[i : i + 64])) for i in range(0, len(images), 64)]
            values = np.concatenate(parts).astype("float64")
            self.mean_[name] = values.mean(axis=0).astype("float32")
            self.std_[name] = np.maximum(values.std(axis=0), self.MIN_STD).astype("float32")
        return self

    def state(self):
        """All that a fitted model is, as {name: array or number}: for each function its means above its deviations."""
        moments = {name: np.stack([self.mean_[name], self.std_[name]]) for name in self.functions}
        return moments | {"n_samples_seen_": self.n_samples_seen_}

    @classmethod
    def from_state(cls, state):
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


def total_variation(images):
    """The logarithm of the mean gradient magnitude: (n, 1)."""
    return ops.log(ops.mean(_gradient_magnitude(images), axis=(1, 2)))[:, None]


def colour_composition(images):
    """Mean and log standard deviation of red, green and blue, then their correlations rg, rb, gb: (n, 9)."""
    pixels = ops.reshape(images, (-1, images.shape[1] * images.shape[2], 3))
    mean = ops.mean(pixels, axis=1)
    centred = pixels - mean[:, None]
    std = ops.sqrt(ops.mean(centred**2, axis=1) + EPSILON)
    normal = centred / std[:, None]
    correlations = [ops.mean(normal[..., i] * normal[..., j], axis=1) for i, j in ((0, 1), (0, 2), (1, 2))]
    return ops.concatenate([mean, ops.log(std), ops.stack(correlations, axis=1)], axis=1)


def edge_sharpness(images):
    """Mean and standard deviation of the log gradient magnitude, at full, half and quarter size: (n, 6).

    Gradients of real images are heavy-tailed, few strong edges among much that is flat (Huang & Mumford 1999): blur
    and noise both narrow the distribution. A size of fewer than 2 × 2 pixels is left out.
    """
    entries = []
    for scale in range(3):
        if scale:
            images = ops.average_pool(images, 2)
        if min(images.shape[1:3]) < 2:
            break
        log = ops.log(_gradient_magnitude(images))
        mean = ops.mean(log, axis=(1, 2))
        entries += [mean, ops.sqrt(ops.mean((log - mean[:, None, None]) ** 2, axis=(1, 2)) + EPSILON)]
    return ops.stack(entries, axis=1)


def _gradient_magnitude(images):
    """√(Σ dx² + dy²) over colours, from differences of neighbouring pixels: (n, h − 1, w − 1)."""
    dx = images[:, :-1, 1:] - images[:, :-1, :-1]
    dy = images[:, 1:, :-1] - images[:, :-1, :-1]
    return ops.sqrt(ops.sum(dx**2 + dy**2, axis=-1) + EPSILON)


def _blocks(X):
    """The features of X in turn: a slice of columns of (n, p), their mean, and the columns less it, as float64."""
    width = prod(X.shape[2:])
    step = max(1, BLOCK_BYTES // (8 * len(X) * width))
    for start in range(0, X.shape[1], step):
        block = X[:, start : start + step].astype("float64").reshape(len(X), -1)
        mean = block.mean(axis=0)
        block -= mean
        yield slice(start * width, start * width + block.shape[1]), mean, block


def _finish(activations, rectify):
    return np.maximum(activations, 0) if rectify else activations
