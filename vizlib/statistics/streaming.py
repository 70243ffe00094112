"""Linear algebra on data of many features, read in blocks of columns: never n × p in memory, never p × p at all."""

from math import prod

import numpy as np
from scipy.linalg import eigh

BLOCK_BYTES = 2**27  # of float64, the most that is held of the data at a time
EXACT = 2000  # samples up to which the Gram matrix is decomposed whole
KRYLOV = 6  # passes over the data of more samples than that
OVERSAMPLING = 32
RESOLUTION = 1e-6  # of single precision, in which the passes are: what is less adds nothing


def blocks(X, rows=1):
    """The features of X in turn: a slice of columns of (n, p), and the columns, float64.

    X: anything with `shape`, `len` and X[:, a:b] over the first feature axis: an array, an HDF5 dataset. rows: of the
    tallest matrix that is cut in the same columns, if that is taller than X.
    """
    width = prod(X.shape[2:])
    step = max(1, BLOCK_BYTES // (8 * max(len(X), rows) * width))
    for start in range(0, X.shape[1], step):
        block = np.array(X[:, start : start + step], "float64")
        block = block.reshape(len(X), prod(block.shape[1:]))
        yield slice(start * width, start * width + block.shape[1]), block


def centred_blocks(X):
    """As `blocks`, with the mean of the columns between, and the columns less their mean."""
    for columns, block in blocks(X):
        mean = block.mean(axis=0)
        block -= mean
        yield columns, mean, block


def leading_vectors(X, k):
    """The leading k eigenvectors (n, k) of the Gram matrix C Cᵀ of X less its mean: float64, orthonormal columns.

    Up to `EXACT` samples they are those of the whole n × n matrix. For more, those of its restriction to a block
    Krylov space of a random start (Musco & Musco 2015), in which no matrix is wider than KRYLOV · (k + OVERSAMPLING).
    Raises ValueError for data that are not finite.
    """
    if len(X) <= EXACT:
        return _top(_finite(sum(centred @ centred.T for _, _, centred in centred_blocks(X))), k)

    block = np.random.default_rng(0).standard_normal((len(X), min(len(X), k + OVERSAMPLING)))
    basis = np.empty((len(X), min(len(X), KRYLOV * block.shape[1])), order="F")
    restricted, size = np.zeros((basis.shape[1],) * 2, order="F"), 0
    for _ in range(KRYLOV):
        block = _new_directions(block, basis[:, :size])[:, : basis.shape[1] - size]
        if not block.shape[1]:  # the space holds all that varies
            break
        new, size = slice(size, size + block.shape[1]), size + block.shape[1]
        basis[:, new] = block
        block = _finite(_gram_product(X, block))
        restricted[new, :size] = block.T @ basis[:, :size]
    return basis[:, :size] @ _top(restricted[:size, :size], min(k, size))


def _top(matrix, k):
    """The leading k eigenvectors of a symmetric matrix, which is overwritten, from its lower half."""
    n = len(matrix)
    return eigh(matrix, subset_by_index=(n - k, n - 1), overwrite_a=True, check_finite=False)[1][:, ::-1]


def _new_directions(block, basis):
    """An orthonormal basis of what the columns of block add to those of basis."""
    scale = np.linalg.eigvalsh(block.T @ block)[-1]
    for _ in range(2):  # once leaves what rounding has mixed in
        block = block - basis @ (basis.T @ block)
        values, turn = np.linalg.eigh(block.T @ block)
        adds = values > RESOLUTION**2 * scale
        block = block @ (turn[:, adds] / np.sqrt(values[adds]))
        scale = 1
    return block


def _gram_product(X, vectors):
    """C Cᵀ vectors. Single precision is enough to find a subspace, and twice as fast."""
    vectors = vectors.astype("float32")
    product = np.zeros(vectors.shape)
    for _, _, centred in centred_blocks(X):
        centred = centred.astype("float32")
        product += centred @ (centred.T @ vectors)
    return product


def _finite(array):
    if not np.isfinite(array).all():
        raise ValueError("expected finite activations; received some that are not.")
    return array
