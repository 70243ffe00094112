"""Principal components of activations of any size, in the dual form: how the images lie to each other."""

from math import prod
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from vizlib._arrays import Activations, Floats, Integers, Matrix
from vizlib.statistics.streaming import Samples, fit_together

MAX_SNAPSHOTS = 5000  # whose Gram matrix is decomposed in some 20 s and 1 GB
COMPONENT_BYTES = 2**31  # the most that components as arrays may take
ROW_BYTES = 2**27  # of the real activations that are held at a time
ROWS = 8  # of which blocks are multiples: a network that has to compute fewer again takes as long as for so many
INSIDE = 1e-3  # of a sample's share in directions without variance, beyond which it is no rounding
NEGLIGIBLE = 1e-6  # weight of a mixture below which it is rounding, and the image has no part in it


class Mixture(NamedTuple):
    """A weighted sum of real activations, the same for every layer.

    images: int (m,), ascending or not, which of the images of the class. weights: float64 (m,), of sum 1; some may be
    negative. Of what is put together from patches they are the shares of the patches.
    """

    images: Integers
    weights: NDArray[np.float64]


class Snapshots:
    """Principal component analysis by the method of snapshots (Sirovich 1987), with nothing cut.

    Components of n samples are weighted sums of these samples. So all that has to be kept is how the samples lie to
    each other, in as many directions as there are: n − 1, at any number of features. The samples themselves are looked
    at again, through `source`, when activations are asked for. Agrees with scikit-learn's PCA of all components.

    rectify: whether activations pass through a ReLU after they are drawn; they are then fitted on what comes before
    it, which is far closer to Gaussian.

    Fitted, for n samples of p features and K directions, n − 1 unless the data vary in fewer: `mean_` float32 (p,);
    `explained_variance_` float64 (K,), descending; `total_variance_`, and the share of each component in it,
    `explained_variance_ratio_`; `coordinates_` float32 (n, K), where each sample lies; `residual_` float64 (n,), its
    squared distance to these directions, 0 up to rounding; `weights_` float64 (n, K), of the samples less their mean in
    each component; `shape_`, of one sample; `images_` int (n,), which samples those are: all of them, or of more than
    5,000 so many, chosen at random by a fixed seed; `n_samples_seen_` of them.

    source: something with X[rows], rows an ascending int array, that gives the samples again, float (rows, *shape_), as
    an array that may be overwritten; what the model was fitted on, or what `from_state` is given.
    """

    def __init__(self, rectify: bool = False) -> None:
        self.rectify = rectify

    def fit(self, X: Samples) -> Self:
        """Fit on X: float (n, ...), n ≥ 2: an array, an HDF5 dataset, anything that gives X[:, a:b] and X[rows].

        Raises ValueError for fewer than two samples and for values not finite.
        """
        return fit_together([self], X)[0]

    def _begin(self, X, dtype):
        if len(X.shape) < 2 or len(X) < 2 or 0 in X.shape:
            raise ValueError(f"expected at least 2 samples, (n, ...); received the shape {X.shape}.")
        self.source, self.shape_ = X, tuple(X.shape[1:])
        self.images_ = np.sort(np.random.default_rng(0).permutation(len(X))[:MAX_SNAPSHOTS])
        self.mean_ = np.empty(prod(self.shape_), "float32")
        self._gram = np.zeros((len(self.images_),) * 2)
        self._precision = np.finfo(dtype).eps

    def _add(self, columns, values, mean):
        self.mean_[columns] = mean

    def _add_centred(self, columns, centred):
        if len(self.images_) < len(centred):
            centred = centred[self.images_]
            mean = centred.mean(axis=0)
            self.mean_[columns] += mean
            centred -= mean
        self._gram += centred @ centred.T

    def _end(self):
        gram, n = self._gram, len(self.images_)
        del self._gram
        gram -= gram.mean(axis=0)  # of what rounding has left of the mean
        gram -= gram.mean(axis=1)[:, None]
        norms = np.diag(gram).copy()
        values, vectors = eigh(gram, overwrite_a=True, check_finite=False)
        # Rounding of each product is about that of the largest, of all twice the root of n; and eigh's own.
        rounding = 2 * np.sqrt(n) * self._precision * norms.max(initial=0), n * np.finfo("float64").eps * values[-1]
        first = np.searchsorted(values, max(rounding), "right")
        values, vectors = values[first:][::-1], vectors[:, first:][:, ::-1]
        signs = np.sign(vectors.max(axis=0, initial=0) + vectors.min(axis=0, initial=0))  # else only defined up to sign
        vectors *= np.sqrt(values) * np.where(signs, signs, 1)
        self.coordinates_ = vectors.astype("float32")
        self.residual_ = np.maximum(norms - np.einsum("ij,ij->i", vectors, vectors), 0)
        self.explained_variance_ = values / (n - 1)
        self.total_variance_ = float(norms.sum()) / (n - 1)

    @property
    def n_samples_seen_(self) -> int:
        return len(self.coordinates_)

    @property
    def channel_mean(self) -> Floats:
        """The mean of each channel, over positions too: (channels,)."""
        return self.mean_.reshape(-1, self.shape_[-1]).mean(axis=0)

    @property
    def explained_variance_ratio_(self) -> NDArray[np.float64]:
        return self.explained_variance_ / (self.total_variance_ or 1.0)

    @property
    def weights_(self) -> NDArray[np.float64]:
        return self.coordinates_ / (self.explained_variance_ * (self.n_samples_seen_ - 1))

    @property
    def shared_(self) -> float:
        """What samples have in common: the share of the squared distance of one to the mean of the others that their
        span holds, each left out in turn. Near 1 for variations of one theme, lower the less the others tell.
        """
        n, values = self.n_samples_seen_, self.explained_variance_ * (self.n_samples_seen_ - 1)
        squares = self.coordinates_.astype("float64") ** 2
        # In the span of the others is a sample with a part in the directions in which no sample lies off the mean.
        inside = 1 - 1 / n - np.sum(squares / values, axis=1) > INSIDE
        apart = np.where(inside, 0, 1 / np.maximum(np.sum(squares / values**2, axis=1), np.finfo("float64").tiny))
        return 1 - float(apart.sum() / max(squares.sum() * (n / (n - 1)) ** 2, np.finfo("float64").tiny))

    def facets(self, n: int = 4) -> Integers:
        """Which facet of the class each sample belongs to, by k-means on the leading coordinates: int (n samples,).

        n: how many facets, from 1 to the number of samples; ValueError for another. Samplers draw from one with `among`
        (facets as starts: Nguyen, Yosinski & Clune 2016).
        """
        from sklearn.cluster import KMeans

        if not 1 <= n <= self.n_samples_seen_:
            raise ValueError(f"expected from 1 to {self.n_samples_seen_} facets; received {n}.")
        leading = self.coordinates_[:, : max(1, self.n_samples_seen_ // 5)]
        if not leading.size:  # all samples alike
            return np.zeros(self.n_samples_seen_, "int32")
        return KMeans(n, n_init=10, random_state=0).fit_predict(leading)

    def transform(self, X: Floats) -> Matrix:
        """The coordinates of X: float (m, *shape_) to float32 (m, K). Raises ValueError for another shape."""
        return self._project(X)[0].astype("float32")

    def _project(self, X):
        """The coordinates of X, and its squared distances to the mean: float64 (m, K) and (m,)."""
        if tuple(X.shape[1:]) != self.shape_:
            raise ValueError(f"expected activations of shape {('n', *self.shape_)}; received {X.shape}.")
        centred = np.asarray(X, "float64").reshape(len(X), self.mean_.size) - self.mean_
        products = np.empty((len(X), self.n_samples_seen_))
        for rows, real in self._centred_in_blocks(self.images_):
            products[:, rows] = centred @ real.T
        return products @ self.weights_, np.einsum("ij,ij->i", centred, centred)

    def components(self, k: int | None = None) -> Matrix:
        """The leading k components, all if None, as arrays: float32 (k, p), orthonormal rows, from one pass.

        Raises ValueError where they would take more than 2 GiB.
        """
        weights, p = self.weights_[:, :k].astype("float32"), self.mean_.size
        if 4 * weights.shape[1] * p > COMPONENT_BYTES:
            raise ValueError(
                f"expected components of at most {COMPONENT_BYTES // 2**20:,} MiB; received {weights.shape[1]} of "
                f"{p:,} units: ask for fewer, for a layer of fewer units or for smaller images."
            )
        components = np.zeros((weights.shape[1], p), "float32")
        for rows, real in self._centred_in_blocks(self.images_):
            components += weights[rows].T @ real
        return components

    @property
    def components_(self) -> Matrix:
        return self.components()

    def inverse_transform(self, Z: Floats) -> Activations:
        """Activations at the leading coordinates Z (m, k ≤ K): float32 (m, *shape_), rectified where `rectify`.

        Those of samples come from the samples alone, others from a pass over all of them.
        """
        return self.rectified(self.mixed(self.mixtures_at(Z)))

    def mixtures_at(self, Z: Floats) -> list[Mixture]:
        """The mixtures of samples that lie at coordinates Z (m, k ≤ K)."""
        Z = np.asarray(Z, "float64")
        weights = 1 / self.n_samples_seen_ + Z @ self.weights_[:, : Z.shape[1]].T
        part = np.abs(weights) > NEGLIGIBLE * np.abs(weights).max(axis=1, keepdims=True)
        return [Mixture(self.images_[p], w[p]) for w, p in zip(weights, part, strict=True)]

    def coordinates_of(self, mixtures: list[Mixture]) -> NDArray[np.float64]:
        """Where mixtures of samples lie: float64 (m, K)."""
        places = [np.searchsorted(self.images_, mixture.images) for mixture in mixtures]
        return np.stack([m.weights @ self.coordinates_[i] for m, i in zip(mixtures, places, strict=True)])

    def nearest(
        self, point: Floats, n: int, left_out: int = 0, members: Integers | None = None
    ) -> Integers:
        """Which n samples are nearest to a point (K,) in the coordinates, int, but for so many if there are enough.

        members: int (m,), the samples to choose from; None for all.
        """
        members = np.arange(self.n_samples_seen_) if members is None else members
        apart = np.linalg.norm(self.coordinates_[members] - point, axis=1)
        order = members[np.argsort(apart, kind="stable")]
        return order[min(left_out, max(0, len(order) - n)) :][:n]

    def mixed(self, mixtures: list[Mixture]) -> Activations:
        """The activations that are mixtures of samples: float32 (m, *shape_), before the ReLU where `rectify`."""
        images = np.unique(np.concatenate([mixture.images for mixture in mixtures]))
        weights = np.zeros((len(mixtures), len(images)), "float32")
        for row, mixture in zip(weights, mixtures, strict=True):
            np.add.at(row, np.searchsorted(images, mixture.images), mixture.weights)
        activations = np.tile(self.mean_, (len(mixtures), 1))
        for rows, real in self._centred_in_blocks(images):
            activations += weights[:, rows] @ real
        return activations.reshape(len(mixtures), *self.shape_)

    def real(self, images: Integers) -> Activations:
        """The samples of these numbers, int (m,), in any order: float32 (m, *shape_), before the ReLU if there is one.

        Raises ValueError for a model that has no `source` to get them from.
        """
        if self.source is None:
            raise ValueError("expected a model with a source of its activations, such as a store with its network has.")
        ascending, back = np.unique(images, return_inverse=True)
        values = np.asarray(self.source[ascending], "float32")
        return values if len(back) == len(ascending) and (np.diff(back) > 0).all() else values[back]

    def _centred_in_blocks(self, images):
        """Some samples a few at a time: a slice of `images`, and these samples less the mean, float32 (rows, p)."""
        step = max(1, ROW_BYTES // (4 * self.mean_.size * ROWS)) * ROWS
        for start in range(0, len(images), step):
            rows = slice(start, min(start + step, len(images)))
            real = self.real(images[rows]).reshape(-1, self.mean_.size)
            yield rows, np.subtract(real, self.mean_, out=real)  # as memory for another array would take its time

    def rectified(self, activations: Activations) -> Activations:
        """Activations, overwritten, after the ReLU where `rectify`."""
        return np.maximum(activations, 0, out=activations) if self.rectify else activations

    def state(self) -> dict:
        """All that a fitted model is but its source, as {name: array or number}."""
        return {"rectify": self.rectify, "shape_": self.shape_, "total_variance_": self.total_variance_} | {
            name: getattr(self, name) for name in _ARRAYS
        }

    @classmethod
    def from_state(cls, state: dict, source: Samples | None = None, **parameters: object) -> Self:
        """The model of a `state`, whichever class made it; parameters: others of this class than its defaults.

        Raises ValueError if parts are missing, do not fit together or cannot be.
        """
        missing = {"rectify", "shape_", "total_variance_", *_ARRAYS} - set(state)
        if missing:
            raise ValueError(f"expected a whole state; received one without {', '.join(sorted(missing))}.")
        model = cls(rectify=bool(state["rectify"]), **parameters)
        model.source, model.shape_ = source, tuple(int(length) for length in state["shape_"])
        model.total_variance_ = float(state["total_variance_"])
        for name, dtype in _ARRAYS.items():
            setattr(model, name, np.asarray(state[name], dtype))
        p, k, n = prod(model.shape_), model.explained_variance_.size, model.residual_.size
        expected = (p,), (k,), (n, k), (n,), (n,)
        received = tuple(getattr(model, name).shape for name in _ARRAYS)
        if received != expected:
            raise ValueError(f"expected arrays of shapes {expected} of {model.shape_}; received shapes {received}.")
        for name in (*_ARRAYS, "total_variance_"):
            value = getattr(model, name)
            if not np.isfinite(value).all() or (name not in ("mean_", "coordinates_") and np.any(value < 0)):
                raise ValueError(
                    f"expected finite numbers, none negative where it is a variance; received {name} {value}."
                )
        if (np.diff(model.images_) <= 0).any() or (model.explained_variance_ == 0).any():
            raise ValueError(f"expected images in ascending order, and variances above 0; received {model.images_}.")
        return model


_ARRAYS = {
    "mean_": "float32",
    "explained_variance_": "float64",
    "coordinates_": "float32",
    "residual_": "float64",
    "images_": "int64",
}


def generator(n: int, seed: int | list[int], temperature: float) -> np.random.Generator:
    """The random generator of a seed; ValueError unless n samples can be drawn at the temperature."""
    if n < 1 or not 0 <= temperature < np.inf:
        raise ValueError(f"expected n ≥ 1 and a temperature ≥ 0; received n={n} and temperature={temperature}.")
    return np.random.default_rng(seed)
