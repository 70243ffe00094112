"""Principal components of activations: the decomposition that all samplers share."""

from math import prod

import numpy as np

from vizlib.statistics.streaming import blocks, centred_blocks, leading_vectors

MAX_COMPONENTS = 512
ROUNDING = 1e-12  # what is left of a squared norm when so little is, is rounding, and differs with the threads of BLAS
COMPONENT_BYTES = 2**28  # of float32: a model of 256 MiB can still be loaded next to a network


class PCA:
    """Principal component analysis, as scikit-learn's, of arrays that need not fit into memory.

    n_components: how many to keep; None for all of them, but at most 512 and at most 256 MiB. Directions in which the
    data do not vary are never kept. rectify: whether activations pass through a ReLU after they are drawn; they are
    then fitted on what comes before it, which is far closer to Gaussian.

    Fitted, for n samples of p features and K components: `mean_` float32 (p,); `components_` float32 (K, p),
    orthonormal rows; `explained_variance_` float64 (K,), descending; `total_variance_`, and the share of each
    component in it, `explained_variance_ratio_`; `coordinates_` float32 (n, K), where each sample lies; `residual_`
    float64 (n,), its squared distance to the subspace; `shape_`, of one sample; `n_samples_seen_`.
    """

    def __init__(self, n_components=None, rectify=False):
        self.n_components = n_components
        self.rectify = rectify

    def fit(self, X):
        """Fit on X: float (n, ...), n ≥ 2: an array, an HDF5 dataset, anything that gives X[:, a:b].

        Raises ValueError for fewer than two samples, for n_components outside 1 … n − 1 and for values not finite.
        """
        if len(X.shape) < 2 or len(X) < 2 or 0 in X.shape:
            raise ValueError(f"expected at least 2 samples, (n, ...); received the shape {X.shape}.")
        n, self.shape_ = len(X), tuple(X.shape[1:])
        p = prod(self.shape_)
        vectors = leading_vectors(X, self._n_kept(n, p))

        self.mean_, projected = np.empty(p, "float32"), np.empty((vectors.shape[1], p), "float32")
        product, norms = np.zeros(vectors.shape), np.zeros(n)
        for columns, mean, centred in centred_blocks(X):
            self.mean_[columns] = mean
            norms += np.einsum("ij,ij->i", centred, centred)
            rows = vectors.T @ centred
            product += centred @ rows.T
            projected[:, columns] = rows

        # The rows span the subspace. An orthonormal basis of it, then in that the axes of largest variance.
        values, turn = np.linalg.eigh(vectors.T @ product)
        varies = values > values[-1] * n * np.finfo("float64").eps
        turn = turn[:, varies] / np.sqrt(values[varies])
        left, singular, right = np.linalg.svd(product @ turn, full_matrices=False)
        signs = np.sign(left[np.abs(left).argmax(axis=0), np.arange(len(singular))])  # else only defined up to sign
        turn = turn @ (right.T * signs)
        step = max(1, COMPONENT_BYTES // (32 * len(projected)))
        for i in range(0, p, step):
            projected[: turn.shape[1], i : i + step] = turn.T @ projected[:, i : i + step]

        self.components_ = projected[: turn.shape[1]]
        self.coordinates_ = (left * singular * signs).astype("float32")
        residual = norms - ((left * singular) ** 2).sum(axis=1)
        self.residual_ = np.where(residual > ROUNDING * norms, residual, 0)
        self.explained_variance_ = singular**2 / (n - 1)
        self.total_variance_ = float(norms.sum()) / (n - 1)
        return self

    def _n_kept(self, n, p):
        if self.n_components is None:
            return max(1, min(n - 1, p, MAX_COMPONENTS, COMPONENT_BYTES // (4 * p)))
        if not 1 <= self.n_components < n:
            raise ValueError(
                f"expected n_components from 1 to {n - 1}, one less than samples; received {self.n_components}."
            )
        return min(self.n_components, p)

    @property
    def n_samples_seen_(self):
        return len(self.coordinates_)

    @property
    def explained_variance_ratio_(self):
        return self.explained_variance_ / (self.total_variance_ or 1.0)

    def transform(self, X):
        """The coordinates of X: float (n, *shape_) to float32 (n, K). Raises ValueError for another shape."""
        return self._project(X, len(self.components_))[0].astype("float32")

    def _project(self, X, k):
        """The leading k coordinates of X, and the squared distances of X to the mean: float64 (n, k) and (n,)."""
        if tuple(X.shape[1:]) != self.shape_:
            raise ValueError(f"expected activations of shape {('n', *self.shape_)}; received {X.shape}.")
        coordinates, norms = np.zeros((len(X), k)), np.zeros(len(X))
        for columns, values in blocks(X, rows=k):
            values -= self.mean_[columns]
            coordinates += values @ self.components_[:k, columns].T
            norms += np.einsum("ij,ij->i", values, values)
        return coordinates, norms

    def inverse_transform(self, Z):
        """Activations at the leading coordinates Z (n, k ≤ K): float32 (n, *shape_), rectified where `rectify`."""
        activations = self._restored(Z)
        return np.maximum(activations, 0, out=activations) if self.rectify else activations

    def _restored(self, Z):
        """As `inverse_transform`, before the ReLU."""
        Z = np.asarray(Z, "float32")
        activations = Z @ self.components_[: Z.shape[1]]
        activations += self.mean_
        return activations.reshape(len(Z), *self.shape_)

    def state(self):
        """All that a fitted model is, as {name: array or number}."""
        return {"rectify": self.rectify, "shape_": self.shape_, "n_samples_seen_": self.n_samples_seen_} | {
            name: getattr(self, name) for name in (*_ARRAYS, "total_variance_")
        }

    @classmethod
    def from_state(cls, state, **parameters):
        """The model of a `state`, whichever class made it; parameters: others of this class than its defaults.

        Raises ValueError if parts are missing, do not fit together or cannot be.
        """
        missing = {"rectify", "shape_", "n_samples_seen_", "total_variance_", *_ARRAYS} - set(state)
        if missing:
            raise ValueError(f"expected a whole state; received one without {', '.join(sorted(missing))}.")
        model = cls(rectify=bool(state["rectify"]), **parameters)
        model.shape_ = tuple(int(length) for length in state["shape_"])
        model.total_variance_ = float(state["total_variance_"])
        for name, dtype in _ARRAYS.items():
            setattr(model, name, np.asarray(state[name], dtype))
        n, p, k = int(state["n_samples_seen_"]), prod(model.shape_), model.explained_variance_.size
        expected = (p,), (k, p), (k,), (n, k), (n,)
        received = tuple(getattr(model, name).shape for name in _ARRAYS)
        if received != expected:
            raise ValueError(f"expected arrays of shapes {expected} of {model.shape_}; received shapes {received}.")
        for name in (*_ARRAYS, "total_variance_"):
            value = getattr(model, name)
            if not np.isfinite(value).all() or (name in _NOT_NEGATIVE and np.any(value < 0)):
                raise ValueError(
                    f"expected finite numbers, none negative where it is a variance; received {name} {value}."
                )
        return model


_ARRAYS = {
    "mean_": "float32",
    "components_": "float32",
    "explained_variance_": "float64",
    "coordinates_": "float32",
    "residual_": "float64",
}
_NOT_NEGATIVE = ("explained_variance_", "residual_", "total_variance_")


class Sampler(PCA):
    """A PCA that draws new coordinates, `_draw(n, rng, temperature)` → (n, k), and so new activations."""

    def sample(self, n, seed=0, temperature=1.0):
        """Draw n ≥ 1 activations: float32 (n, *shape_), rectified where `rectify`.

        temperature ≥ 0: scales how far draws lie from the mean that they are drawn around; 0 gives that mean. Raises
        ValueError for another n or temperature.
        """
        return self.inverse_transform(self._draw(n, generator(n, seed, temperature), temperature))


def generator(n, seed, temperature):
    """The random generator of a seed; ValueError unless n samples can be drawn at the temperature."""
    if n < 1 or not 0 <= temperature < np.inf:
        raise ValueError(f"expected n ≥ 1 and a temperature ≥ 0; received n={n} and temperature={temperature}.")
    return np.random.default_rng(seed)
