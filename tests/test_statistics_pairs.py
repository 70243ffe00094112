"""The conditional Gaussian of two layers against SciPy's joint density, and what held-out images make of it."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from vizlib.statistics import LayerPair, PCAGaussian, Snapshots, pairs


def layers(seed, n, common=1.0, noise=0.3):
    """Two layers that share `common` times three factors: float32 (n, 4, 5) and (n, 30)."""
    rng = np.random.default_rng(seed)
    shared, mixing = rng.standard_normal((n, 3)), rng.standard_normal((2, 3, 20)) * np.array([3, 2, 1])[:, None]
    lower = shared @ mixing[0] + noise * rng.standard_normal((n, 20))
    others = common * shared + np.sqrt(1 - common**2) * rng.standard_normal((n, 3))
    upper = others @ np.hstack([mixing[1], mixing[1][:, :10]]) + noise * rng.standard_normal((n, 30))
    return lower.reshape(n, 4, 5).astype("float32"), upper.astype("float32") + 7


def pair(X, Y, kind=Snapshots):
    return LayerPair(kind().fit(X), kind().fit(Y))


def joint(pair, k, m):
    """The covariance of the leading k coordinates of the lower and m of the upper layer, the cross part shrunk."""
    coordinates = np.hstack([pair.lower.coordinates_[:, :k], pair.upper.coordinates_[:, :m]]).astype("float64")
    covariance = np.cov(coordinates.T)
    covariance[:k, k:] *= pair.shrinkage_
    covariance[k:, :k] *= pair.shrinkage_
    return covariance


@pytest.mark.parametrize("seed, n, common", [(0, 60, 0.9), (1, 50, 0.6), (2, 30, 1.0)])
@pytest.mark.parametrize("kind", [Snapshots, PCAGaussian])
def test_draws_are_those_of_the_conditional_gaussian(seed, n, common, kind):
    X, Y = layers(seed, n, common)
    model, k = pair(X, Y, kind), n // 10
    covariance = joint(model, k, k)
    b = model.upper.transform(Y[:1])[0, :k].astype("float64")
    weights = covariance[:k, k:] @ np.linalg.inv(covariance[k:, k:])
    mean, conditional = weights @ b, covariance[:k, :k] - weights @ covariance[k:, :k]

    draws = model.sample_given(Y[0], 40_000, seed=seed)
    assert draws.dtype == "float32" and draws.shape == (40_000, 4, 5)
    a = model.lower.transform(draws)
    scale = np.sqrt(np.diag(conditional))
    np.testing.assert_allclose(a[:, :k].mean(axis=0), mean, atol=0.03 * scale.max())
    np.testing.assert_allclose(np.cov(a[:, :k].T), conditional, atol=0.03 * scale.max() ** 2)
    assert np.abs(a[:, k:]).max() < 1e-3
    np.testing.assert_allclose(
        model.lower.transform(model.sample_given(Y[0], 1, temperature=0))[0, :k], mean, atol=1e-3 * scale.max()
    )

    # log p(a | b) = log p(a, b) − log p(b): SciPy's densities know no formula of conditionals.
    points = a[:5, :k].astype("float64")
    both = np.hstack([points, np.tile(b, (5, 1))])
    log_joint = multivariate_normal(np.zeros(2 * k), covariance).logpdf(both)
    log_given = log_joint - multivariate_normal(np.zeros(k), covariance[k:, k:]).logpdf(b)
    np.testing.assert_allclose(multivariate_normal(mean, conditional).logpdf(points), log_given, rtol=1e-6)


def test_the_seed_decides_and_temperature_scales():
    X, Y = layers(0, 60)
    model = pair(X, Y)
    draws, mean = model.sample_given(Y[3], 4, seed=5), model.sample_given(Y[3], 1, temperature=0)
    np.testing.assert_array_equal(model.sample_given(Y[3], 4, seed=5), draws)
    assert np.abs(model.sample_given(Y[3], 4, seed=6) - draws).max() > 0.01
    np.testing.assert_allclose(model.sample_given(Y[3], 4, 5, 2.0) - mean, 2 * (draws - mean), atol=1e-4)


def test_draws_are_rectified_where_the_lower_layer_is():
    X, Y = layers(0, 60)
    raw = pair(X, Y).sample_given(Y[0], 9)
    rectified = LayerPair(Snapshots(rectify=True).fit(X), Snapshots().fit(Y)).sample_given(Y[0], 9)
    np.testing.assert_array_equal(rectified, np.maximum(raw, 0))


@pytest.mark.parametrize("seed", range(3))
def test_correlations_are_shrunk_by_as_much_as_held_out_images_say(seed):
    strong, none, few = (
        pair(*layers(seed, n, common, noise=0.5)) for n, common in ((200, 0.98), (200, 0.0), (60, 0.5))
    )
    assert strong.shrinkage_ > 0.9 and strong.canonical_correlations_[0] > 0.95
    assert none.shrinkage_ < 0.4 and none.canonical_correlations_[0] > 0.2  # chance alone
    assert few.shrinkage_ < strong.shrinkage_


@pytest.mark.parametrize("seed", range(3))
def test_the_shrinkage_is_the_likeliest_of_the_grid(seed):
    """Held-out log densities of a given b by SciPy, on the coordinates themselves."""
    X, Y = layers(seed, 60, 0.7)
    model = pair(X, Y)
    a, b = (m.coordinates_[:, :6].astype("float64") for m in (model.lower, model.upper))
    scores = np.zeros(len(pairs.SHRINKAGES))
    for held_out in np.array_split(np.random.default_rng(0).permutation(60), 5):
        train = np.hstack([np.delete(x, held_out, axis=0) for x in (a, b)])
        mean, covariance = train.mean(axis=0), np.cov(train.T, bias=True)
        for i, shrinkage in enumerate(pairs.SHRINKAGES):
            joint = covariance.copy()
            joint[:6, 6:] *= shrinkage
            joint[6:, :6] *= shrinkage
            scores[i] += multivariate_normal(mean, joint).logpdf(np.hstack([a, b])[held_out]).sum()
    assert model.shrinkage_ == pairs.SHRINKAGES[scores.argmax()]
    assert 0.2 < model.shrinkage_ < 0.99


def test_the_upper_layer_tells_of_the_lower():
    X, Y = layers(0, 300, 0.95)
    model = pair(X[:200], Y[:200])
    guesses = np.concatenate([model.sample_given(y, 1, temperature=0) for y in Y[200:]]).reshape(100, 20)
    errors, others = (np.linalg.norm(x.reshape(100, 20) - guesses, axis=1) for x in (X[200:], X[200:][::-1]))
    assert np.median(errors) < 0.6 * np.median(others)


def test_no_draw_replays_an_image():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((40, 500)), rng.standard_normal((40, 600))  # fewer images than features
    model = pair(X, Y)
    assert model.canonical_correlations_.max() < 0.9
    a, b = Snapshots().fit(X), Snapshots().fit(Y)
    whole = (a.coordinates_ / np.sqrt(a.explained_variance_)).T @ (b.coordinates_ / np.sqrt(b.explained_variance_)) / 39
    np.testing.assert_allclose(np.linalg.svd(whole)[1], 1, rtol=1e-4)  # with all components all are 1


def test_layers_that_do_not_belong_together():
    X, Y = layers(0, 60)
    with pytest.raises(ValueError, match="same images.*received 60 and 59"):
        LayerPair(Snapshots().fit(X), Snapshots().fit(Y[:59]))
    with pytest.raises(ValueError, match="at least 5; received 4 and 4"):
        LayerPair(Snapshots().fit(X[:4]), Snapshots().fit(Y[:4]))
    model = pair(X, Y)
    with pytest.raises(ValueError, match=r"shape \(30,\); received \(1, 30\)"):
        model.sample_given(Y[:1], 2)
    with pytest.raises(ValueError, match="received n=0"):
        model.sample_given(Y[0], 0)


def test_a_spectral_norm_of_one_or_more_is_never_used():
    X, Y = layers(0, 60)
    lower, upper = Snapshots().fit(X), Snapshots().fit(Y)
    lower.explained_variance_ = lower.explained_variance_ / 4  # a state whose parts fit but are not of one fit
    with pytest.raises(ArithmeticError, match="spectral norm below 1; received"):
        LayerPair(lower, upper)


def test_layers_without_variance():
    X, Y = layers(0, 20)
    constant = np.full((20, 3), 7.0)
    np.testing.assert_array_equal(pair(constant, Y).sample_given(Y[0], 2), constant[:2])
    assert np.isfinite(pair(X, constant).sample_given(constant[0], 2)).all()
