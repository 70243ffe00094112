"""The copula against the marginals of the data and the correlations that the data were made with."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, norm, spearmanr

from vizlib.statistics import GaussianCopula, streaming

MEANS = np.array([-1.5, -0.5, 0, 0.5, 2])


def latent(n, seed=0):
    """Units that go together, two strong factors, most of them often below 0: float32 (n, 5)."""
    rng = np.random.default_rng(seed)
    loads = np.array([[0.9, 0.8, 0.7, -0.8, 0], [0.3, 0, -0.5, 0, 0.95]])
    own = np.sqrt(1 - (loads**2).sum(axis=0))
    return (rng.standard_normal((n, 2)) @ loads + own * rng.standard_normal((n, 5)) + MEANS).astype("float32")


def rectified(n, seed=0):
    return np.maximum(latent(n, seed), 0)


def test_marginals_are_those_of_the_data():
    X = rectified(400)
    draws = GaussianCopula().fit(X).sample(20_000)
    np.testing.assert_allclose((draws == 0).mean(axis=0), (X == 0).mean(axis=0), atol=0.015)
    np.testing.assert_allclose((draws == 0).mean(axis=0), norm.cdf(-MEANS), atol=0.07)
    for unit in range(5):
        assert ks_2samp(draws[:, unit], X[:, unit]).statistic < 0.03
        assert draws[:, unit].max() <= X[:, unit].max()


def test_other_distributions_keep_their_shape():
    X = np.random.default_rng(0).exponential(3, (500, 4)) ** 1.5 - 2  # no atom, heavy tail, below 0
    model = GaussianCopula().fit(X)
    draws = model.sample(20_000)
    for unit in range(4):
        assert ks_2samp(draws[:, unit], X[:, unit]).statistic < 0.03
    np.testing.assert_allclose(model.atom_share_, 1 / 500)
    median = np.stack([np.median(X, axis=0)] * 2)
    np.testing.assert_allclose(model.sample(2, temperature=0), median, rtol=0.1)  # between two of 64 levels


def test_units_go_together_as_in_the_data():
    X = latent(1000, seed=1)
    real = spearmanr(np.maximum(X, 0)).statistic
    before, after = GaussianCopula(4, rectify=True).fit(X), GaussianCopula(4).fit(np.maximum(X, 0))
    for name in ("atom_", "atom_share_", "quantiles_"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    ours = spearmanr(before.sample(20_000)).statistic
    assert real[0, 1] > 0.3 and real[1, 3] < -0.4
    np.testing.assert_allclose(ours, real, atol=0.08)
    weaker = spearmanr(after.sample(20_000)).statistic  # zeros ranked at random
    off_diagonal = ~np.eye(5, dtype=bool)
    assert 0.4 < np.abs(weaker[off_diagonal]).sum() / np.abs(real[off_diagonal]).sum() < 0.9
    assert (np.sign(weaker) == np.sign(real))[np.abs(real) > 0.15].all()


def test_quantiles_by_hand():
    model = GaussianCopula().fit(np.array([[0.0, 5], [0, 5], [1, 5], [3, 5]]))
    np.testing.assert_array_equal(model.atom_, [0, 5])
    np.testing.assert_array_equal(model.atom_share_, [0.5, 1])
    np.testing.assert_allclose(model.quantiles_[[0, -1]], [[1, 5], [3, 5]])
    np.testing.assert_allclose(model.quantiles_[21, 0], 1 + 2 * 21 / 63)
    ranks = np.array([[0.2, 0.2], [0.5, 0.5], [0.75, 1], [1, 1]])
    np.testing.assert_allclose(model._back(ranks), [[0, 5], [1, 5], [2, 5], [3, 5]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 4), (5, 5, 4)])
def test_scores_do_not_depend_on_the_blocks(shape, monkeypatch):
    X = rectified(50).reshape(50, 5, 1).repeat(np.prod(shape[1:]), axis=2).reshape(50, *shape)
    whole = GaussianCopula().fit(X)
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 8 * 50 * 4 * 2)
    in_blocks = GaussianCopula().fit(X)
    np.testing.assert_allclose(in_blocks.scores_.explained_variance_, whole.scores_.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(in_blocks.sample(9), whole.sample(9), atol=1e-4)


def test_values_that_are_not_finite():
    X = rectified(50)
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match="finite activations"):
        GaussianCopula().fit(X)
