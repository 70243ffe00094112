"""Distances between two sets of feature vectors, and how varied one set is.

Features are float arrays (n, d), a row for each image, such as a judge's embedding.
"""

import numpy as np
from scipy.spatial.distance import cdist

NEIGHBOURS = 5
FOLDS = 8


def kernel_inception_distance(features: np.ndarray, real: np.ndarray) -> float:
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


def density_and_coverage(
    features: np.ndarray, real: np.ndarray, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """How often features lie in the neighbourhoods of real ones, and how many of these are met (Naeem et al. 2020).

    The neighbourhood of a real feature is the ball that reaches to its k-th nearest real neighbour. Density is the
    number of balls that hold a feature of `features`, mean over these, divided by k; it is 1 on average where both
    come from one distribution, and may exceed it. Coverage, in [0, 1], is the share of balls that hold any. Both are
    NaN where there are no more than k real features.
    """
    if len(real) <= neighbours:
        return float("nan"), float("nan")
    radii = np.sort(cdist(real, real), axis=1)[:, neighbours]  # at 0 is the distance to itself
    held = cdist(real, features) < radii[:, None]
    return float(held.sum(0).mean() / neighbours), float(held.any(1).mean())


def told_apart(
    features: np.ndarray, real: np.ndarray, labels: np.ndarray, real_labels: np.ndarray
) -> dict[str, float]:
    """The classifier two-sample test (Lopez-Paz & Oquab 2017) within classes: {class: share of both sets told right}.

    labels, real_labels: the class of each feature, (n,) and (m,), the same classes. A linear classifier, logistic
    regression on standardised features, is trained on seven of eight parts of the images and asked about the rest,
    in turn. The mean of a class over both sets is taken off first, so that only what sets the two apart within
    classes is left. 0.5 on average where it cannot tell, 1 where it always can; NaN where n or m is below 4.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    smaller = min(len(features), len(real))
    x, classes = np.concatenate([features, real]).astype(float), np.concatenate([labels, real_labels])
    if smaller < 4:
        return {name: float("nan") for name in np.unique(classes)}
    for name in np.unique(classes):
        x[classes == name] -= x[classes == name].mean(0)
    made = np.arange(len(x)) < len(features)
    folds = StratifiedKFold(min(FOLDS, smaller), shuffle=True, random_state=0)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    right = cross_val_predict(classifier, x, made, cv=folds) == made
    return {name: float(right[classes == name].mean()) for name in np.unique(classes)}


def vendi_score(features: np.ndarray) -> float:
    """The effective number of different images (Friedman & Dieng 2023): from 1, all alike, to n, all orthogonal.

    It is the exponential of the entropy of the eigenvalues of the cosine similarities, divided by n.
    """
    features = np.asarray(features, float)
    features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(float).tiny)
    values = np.linalg.eigvalsh(features @ features.T / len(features))
    values = values[values > 0]
    return float(np.exp(-np.sum(values * np.log(values))))
