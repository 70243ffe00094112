"""Samplers against the distribution that they say they draw from, worked out on the activations themselves."""

import numpy as np
import pytest

from vizlib.statistics import (
    BootstrapMix,
    GaussianCopula,
    LocalGaussian,
    PCAGaussian,
)

SAMPLERS = [PCAGaussian, LocalGaussian, BootstrapMix, GaussianCopula]


@pytest.mark.parametrize("kind", SAMPLERS)
def test_one_interface(kind):
    X = np.random.default_rng(0).standard_normal((30, 4, 5)).astype("float32")
    model = kind().fit(X)
    draws = model.sample(6, seed=1)
    assert draws.dtype == "float32" and draws.shape == (6, 4, 5)
    np.testing.assert_array_equal(model.sample(6, seed=1), draws)
    assert np.abs(model.sample(6, seed=2) - draws).max() > 0.1
    cold = model.sample(6, seed=1, temperature=0.01)
    still = model.sample(6, seed=1, temperature=0)
    assert np.abs(cold - still).max() < np.abs(draws - still).max() / 10
    assert (kind(rectify=True).fit(X).sample(6, seed=1) >= 0).all()


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("n, temperature", [(0, 1), (-1, 1), (3, -0.1), (3, np.nan), (3, np.inf)])
def test_what_cannot_be_drawn(kind, n, temperature):
    model = kind().fit(np.random.default_rng(0).standard_normal((30, 5)))
    with pytest.raises(ValueError, match="temperature ≥ 0; received n="):
        model.sample(n, temperature=temperature)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_data_without_variance(kind):
    np.testing.assert_array_equal(kind().fit(np.full((10, 3, 2), 7.0)).sample(4), np.full((4, 3, 2), 7))


@pytest.mark.parametrize("kind", [LocalGaussian, BootstrapMix])
def test_rectified_after_drawing(kind):
    X = np.random.default_rng(0).standard_normal((20, 5)).astype("float32")
    raw, draws = kind().fit(X).sample(50), kind(rectify=True).fit(X).sample(50)
    np.testing.assert_array_equal(draws, np.maximum(raw, 0))


@pytest.mark.parametrize(
    "kind, number", [(LocalGaussian, 1), (BootstrapMix, 0)], ids=lambda value: str(value)
)
def test_parameters_out_of_range(kind, number):
    with pytest.raises(ValueError, match=f"at least .*; received {number}"):
        kind(number)


@pytest.mark.parametrize("temperature", [0, 0.5, 1])
@pytest.mark.parametrize("shape", [(9,), (4, 3, 20)], ids=str)
def test_a_local_gaussian_is_that_of_the_activations_themselves(shape, temperature):
    """Coordinates are an isometry: neighbours and draws are those of the raw activations."""
    X = np.random.default_rng(0).standard_normal((25, *shape)).astype("float32")
    draws = LocalGaussian(6).fit(X).sample(8, seed=2, temperature=temperature)
    rng, flat = np.random.default_rng(2), X.reshape(25, -1)
    for draw in draws:
        distances = np.linalg.norm(flat - flat[rng.integers(25)], axis=1)
        near, noise = np.argsort(distances)[:6], rng.standard_normal(6)
        expected = flat[near].mean(axis=0) + temperature * noise @ (flat[near] - flat[near].mean(axis=0)) / np.sqrt(5)
        np.testing.assert_allclose(draw.ravel(), expected, atol=1e-4)


def test_a_gaussian_of_all_neighbours_has_the_moments_of_the_data():
    X = np.random.default_rng(0).standard_normal((12, 2, 3)).astype("float32")
    for model in (LocalGaussian(12), LocalGaussian(99)):  # no more neighbours than samples
        draws = model.fit(X).sample(20000, seed=1).reshape(20000, 6)
        flat = X.reshape(12, 6)
        np.testing.assert_allclose(draws.mean(0), flat.mean(0), atol=0.03)
        np.testing.assert_allclose(np.cov(draws.T), np.cov(flat.T), atol=0.06)


def two_clusters(n=20):
    """Two far clusters on axes of their own: float32 (2 n, 4)."""
    rng = np.random.default_rng(0)
    X = np.zeros((2 * n, 4), "float32")
    X[:n, :2], X[n:, 2:] = 10 + rng.standard_normal((n, 2)), 10 + rng.standard_normal((n, 2))
    return X


def test_no_draw_lies_between_two_clusters():
    """Of two far clusters on axes of their own no draw has both: that is what a Gaussian of all gets wrong."""
    X = two_clusters()
    draws = LocalGaussian(8).fit(X).sample(200, seed=3)
    first, second = np.abs(draws[:, :2]).max(1) > 1e-3, np.abs(draws[:, 2:]).max(1) > 1e-3
    assert (first != second).all() and 0.3 < first.mean() < 0.7
    ghosts = PCAGaussian(4).fit(X).sample(200, seed=3)
    assert (np.minimum(ghosts[:, 0], ghosts[:, 2]) > 2).mean() > 0.3


def test_facets_and_draws_of_one():
    X = two_clusters(100)[:140]  # 100 and 40
    model = LocalGaussian(8).fit(X)
    labels = model.facets(2)
    assert (labels[:100] == labels[0]).all() and (labels[100:] == 1 - labels[0]).all()
    draws, mixtures = model.draw(200, seed=1, among=np.flatnonzero(labels == labels[-1]))
    assert np.abs(draws[:, :2]).max() < 1e-3 and draws[:, 2:].min() > 5
    assert all((mixture.images >= 100).all() for mixture in mixtures)
    with pytest.raises(ValueError, match="expected from 1 to 140 facets; received 141"):
        model.facets(141)
    assert (LocalGaussian().fit(np.ones((6, 3))).facets(1) == 0).all()


def test_a_mix_lies_between_a_few_different_samples():
    X = np.random.default_rng(0).standard_normal((6, 2, 4)).astype("float32")
    model = BootstrapMix().fit(X)

    def weights(draws):
        system = np.vstack([X.reshape(6, 8).T, np.ones(6)])  # weights that sum to 1
        found, residual, rank, _ = np.linalg.lstsq(system, np.vstack([draws.reshape(-1, 8).T, np.ones(len(draws))]))
        assert rank == 6 and residual.max() < 1e-8
        return found

    hot = weights(model.sample(2000, seed=1))
    assert hot.min() > -1e-5
    assert (np.sum(hot > 1e-4, axis=0) == 3).all()
    assert hot.max() < 0.75
    np.testing.assert_allclose(hot.mean(axis=1), 1 / 6, atol=0.02)  # every sample is as likely
    np.testing.assert_allclose(hot[hot > 1e-4].var(), (1 / 3) * (2 / 3) / 31, rtol=0.1)  # Dirichlet(10)
    cold = weights(model.sample(2000, seed=1, temperature=0))
    np.testing.assert_allclose(cold[hot > 1e-4], 1 / 3, atol=1e-4)


def test_a_mix_of_all_where_there_are_fewer():
    X = np.array([[0.0, 1], [2, 5]])
    np.testing.assert_allclose(BootstrapMix(3).fit(X).sample(1, temperature=0), [[1, 3]], atol=1e-6)
