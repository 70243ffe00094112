"""The density of a PCA Gaussian against dense formulas, scikit-learn and cross-validation on the data itself."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.covariance import OAS, LedoitWolf
from sklearn.decomposition import PCA as Oracle

from vizlib.statistics import PCAGaussian, pooled, relative_mahalanobis, streaming


def data(seed, n, p, rank=4, noise=0.5):
    """A few strong directions in noise, far from 0: float32 (n, p). A seed has one distribution, whatever n is."""
    rng = np.random.default_rng(seed)
    mixing, mean = rng.standard_normal((rank, p)) * np.arange(rank, 0, -1)[:, None], rng.normal(0, 9, p)
    X = rng.standard_normal((n, rank)) @ mixing + noise * rng.standard_normal((n, p)) + mean
    return X.astype("float32")


def dense(model):
    """The covariance that the model says: shrunk variances along its components, noise in all other directions."""
    variances, noise = model._variances()
    components = model.components_[: len(variances)].astype("float64")
    components = np.linalg.qr(components.T)[0].T
    return components.T * (variances - noise) @ components + noise * np.eye(model.mean_.size)


@pytest.mark.parametrize("n, k", [(4, 1), (9, 1), (10, 2), (52, 10)])
def test_a_fifth_of_the_samples_by_default(n, k):
    model = PCAGaussian().fit(data(0, n, 70))
    assert model.n_components_ == k and len(model.components_) == n - 1


def test_n_components_are_those_of_samples_not_those_kept():
    X = data(0, 40, 70)
    model = PCAGaussian(3).fit(X)
    assert len(model.components_) == 39
    centred = model.sample(500).reshape(500, -1) - model.mean_
    assert np.linalg.matrix_rank(centred, tol=1e-3 * np.linalg.norm(centred, 2)) == 3
    assert PCAGaussian(40).fit(X).n_components_ == 39
    with pytest.raises(ValueError, match="n_components of at least 1, or None; received 0"):
        PCAGaussian(0)


@pytest.mark.parametrize("seed", range(3))
def test_samples_have_the_mean_and_covariance_of_the_model(seed):
    model = PCAGaussian(3).fit(data(seed, 40, 6))
    draws = model.sample(200_000, seed=seed).astype("float64")
    covariance = model.components_[:3].T * model.explained_variance_[:3] @ model.components_[:3]
    deviation = np.sqrt(model.explained_variance_.sum())
    np.testing.assert_allclose(draws.mean(axis=0), model.mean_, atol=0.01 * deviation)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.02 * deviation**2)


def test_seed_and_temperature_decide_the_sample():
    model = PCAGaussian().fit(data(0, 30, 20).reshape(30, 4, 5))
    draws = model.sample(3, seed=7)
    assert draws.dtype == "float32" and draws.shape == (3, 4, 5)
    np.testing.assert_array_equal(model.sample(3, seed=7), draws)
    assert not np.isclose(model.sample(3, seed=8), draws).any()
    mean = model.mean_.reshape(4, 5)
    np.testing.assert_allclose(model.sample(3, temperature=0), np.stack([mean] * 3), atol=1e-5)
    np.testing.assert_allclose(model.sample(3, 7, 0.5) - mean, (draws - mean) / 2, atol=1e-5)


def test_rectified_samples_have_the_share_of_zeros_of_the_data():
    means = np.array([-1.5, -0.5, 0, 1, 2])
    X = np.random.default_rng(0).standard_normal((500, 1)) + means  # units that go together
    model = PCAGaussian(1, rectify=True).fit(X)
    draws = model.sample(20_000)
    assert draws.min() == 0
    np.testing.assert_allclose((draws == 0).mean(axis=0), norm.cdf(-means), atol=0.05)
    np.testing.assert_allclose((draws == 0).mean(axis=0), (X <= 0).mean(axis=0), atol=0.05)
    model.rectify = False
    np.testing.assert_array_equal(np.maximum(model.sample(20_000), 0), draws)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [2, 5])
def test_log_densities_are_those_of_scikit_learn(seed, k, monkeypatch):
    X, new = data(seed, 60, 12), data(seed, 70, 12)[60:] + 1
    theirs = Oracle(k, svd_solver="full").fit(X.astype("float64"))
    monkeypatch.setattr(PCAGaussian, "noise_variance_", theirs.noise_variance_)  # the likeliest one, not held out
    model = PCAGaussian(k, shrinkage=None).fit(X)
    np.testing.assert_allclose(model.score_samples(new), theirs.score_samples(new), rtol=1e-5)


@pytest.mark.parametrize("n, p", [(60, 12), (20, 150)])
@pytest.mark.parametrize("shrinkage", ["ledoit_wolf", "oas", None])
def test_scores_are_those_of_the_dense_formulas(n, p, shrinkage):
    X, new = data(1, n, p), data(1, n + 7, p)[n:].astype("float64")
    model = PCAGaussian(shrinkage=shrinkage).fit(X)
    covariance, centred = dense(model), new - model.mean_
    precision = np.linalg.inv(covariance)
    log_density = multivariate_normal(model.mean_, covariance).logpdf(new)
    np.testing.assert_allclose(model.score_samples(new), log_density, rtol=1e-5)
    distances = np.sqrt(np.einsum("ij,jk,ik->i", centred, precision, centred))
    np.testing.assert_allclose(model.mahalanobis(new), distances, rtol=1e-4)


def test_variances_are_shrunk_as_scikit_learn_does():
    X = data(0, 50, 30, rank=9, noise=0.1)
    for name, oracle in (("ledoit_wolf", LedoitWolf), ("oas", OAS)):
        model = PCAGaussian(9, shrinkage=name).fit(X)
        theirs = oracle(assume_centered=True).fit(model.coordinates_[:, :9]).covariance_
        np.testing.assert_allclose(model._variances()[0], np.diag(theirs) * 50 / 49, rtol=1e-4)
        assert model._variances()[0][0] < model.explained_variance_[0]
    with pytest.raises(ValueError, match="received 'ridge'"):
        PCAGaussian(shrinkage="ridge")


def held_out(X, k):
    """Straight from the data: of each fold its indices, the PCA of the others, and its squared residuals."""
    for indices in np.array_split(np.random.default_rng(0).permutation(len(X)), 5):
        theirs = Oracle(k, svd_solver="full").fit(np.delete(X, indices, axis=0).astype("float64"))
        along = theirs.transform(X[indices].astype("float64"))
        off = ((X[indices] - theirs.inverse_transform(along)) ** 2).sum(axis=1)
        yield indices, theirs, along, off


@pytest.mark.parametrize("n, p", [(60, 12), (30, 200)])
def test_noise_and_thresholds_are_those_of_held_out_data(n, p):
    X = data(2, n, p)
    model = PCAGaussian(4, shrinkage=None).fit(X)
    folds = list(held_out(X, 4))
    noise = np.concatenate([off for *_, off in folds]).mean() / (p - 4)
    np.testing.assert_allclose(model.noise_variance_, noise, rtol=1e-4)

    distances = []
    for _, theirs, along, off in folds:
        variances = np.maximum(theirs.explained_variance_, noise)
        distances.append(np.sqrt((along**2 / variances).sum(axis=1) + off / noise))
    for quantile in (0, 0.5, 0.95, 1):
        expected = np.quantile(np.concatenate(distances), quantile)
        assert model.threshold(quantile) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError):
        model.threshold(95)


def test_thresholds_hold_for_new_data_where_the_samples_own_do_not():
    beyond, beyond_own = [], []
    for seed in range(6):
        X = data(seed, 400, 300, noise=2)
        X, new = X[:100], X[100:]
        model = PCAGaussian().fit(X)
        own_noise = model.explained_variance_[model.n_components_ :].sum() / (300 - model.n_components_)
        assert model.noise_variance_ > 1.3 * own_noise
        distances = model.mahalanobis(new)
        beyond.append((distances > model.threshold(0.9)).mean())
        beyond_own.append((distances > np.quantile(model.mahalanobis(X), 0.9)).mean())
    assert np.mean(beyond) == pytest.approx(0.1, abs=0.05)
    assert np.min(beyond_own) > 0.8  # what a threshold from the samples themselves would call odd


def test_a_refit_forgets_the_folds():
    first, second = data(0, 40, 20), 3 * data(1, 30, 20)
    model = PCAGaussian().fit(first)
    model.threshold(0.5)
    assert model.fit(second).noise_variance_ == PCAGaussian().fit(second).noise_variance_


@pytest.mark.parametrize("seed", range(3))
def test_relative_distances_tell_classes(seed):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((6, 40)) * 3
    X = [rng.standard_normal((90, 6)) @ shared + rng.standard_normal((90, 40)) for _ in range(2)]
    X[1] += rng.normal(0, 1, 40)
    models = [PCAGaussian().fit(x[:60]) for x in X]
    background = pooled(models)
    own = relative_mahalanobis(X[0][60:], models[0], background)
    other = relative_mahalanobis(X[1][60:], models[0], background)
    np.testing.assert_allclose(
        other, models[0].mahalanobis(X[1][60:]) ** 2 - background.mahalanobis(X[1][60:]) ** 2, rtol=1e-10
    )
    assert np.median(own) < np.quantile(other, 0.1)


@pytest.mark.parametrize("sizes, p", [((30, 20), (8, 10)), ((25, 30, 20), (70,))])
def test_pooled_models_are_the_model_of_all_samples(sizes, p, monkeypatch):
    X = [data(seed, n, int(np.prod(p))).reshape(n, *p) + 5 * seed for seed, n in enumerate(sizes)]
    whole = PCAGaussian().fit(np.concatenate(X))
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 8 * sum(sizes) * 30)
    model = pooled([PCAGaussian().fit(x) for x in X])
    varies = whole.explained_variance_ > 1e-6 * whole.explained_variance_[0]
    np.testing.assert_allclose(model.mean_, whole.mean_, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.explained_variance_[varies], whole.explained_variance_[varies], rtol=1e-4)
    np.testing.assert_allclose(model.coordinates_[:, :9], whole.coordinates_[:, :9], atol=2e-2)
    assert model.total_variance_ == pytest.approx(whole.total_variance_, rel=1e-5)
    assert model.noise_variance_ == pytest.approx(whole.noise_variance_, rel=1e-3)


def test_models_that_cannot_be_pooled():
    with pytest.raises(ValueError, match="models of one shape.*received"):
        pooled([PCAGaussian().fit(data(0, 9, 4)), PCAGaussian().fit(data(0, 9, 5))])
    with pytest.raises(ValueError, match=r"received \[\]"):
        pooled([])


@pytest.mark.parametrize("X", [np.full((10, 3), 7.0), np.eye(2), np.repeat(np.eye(3), 4, axis=0)], ids=["1", "2", "3"])
def test_degenerate_data_have_finite_scores(X):
    model = PCAGaussian().fit(X)
    for scores in (model.score_samples(X), model.mahalanobis(X)):
        assert np.isfinite(scores).all()
    assert np.isfinite(model.threshold(0.9))
