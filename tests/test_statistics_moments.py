"""Moments against NumPy and scikit-learn, and whatever the split and the order of what is added up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import EmpiricalCovariance

from vizlib.statistics import Moments, Snapshots, moments, streaming


def data(seed, n, shape, mean=3.0):
    """Correlated channels, some of the values negative: float32 (n, *shape)."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((shape[-1], shape[-1]))
    return (rng.standard_normal((n, *shape)) @ mixing + mean * rng.standard_normal(shape)).astype("float32")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [(4, 3, 5), (6,)], ids=str)
def test_moments_are_those_of_numpy(seed, shape):
    X = data(seed, 70, shape).astype("float64")
    model, c = Moments().fit(X), shape[-1]
    pixels, spatial_means = X.reshape(-1, c), X.reshape(70, -1, c).mean(axis=1)
    expected = {
        "mean_": X.mean(axis=0),
        "variance_": X.var(axis=0, ddof=1),
        "zeros_": (X <= 0).mean(axis=0),
        "max_": X.max(axis=0),
        "channel_mean_": pixels.mean(axis=0),
        "channel_variance_": pixels.var(axis=0, ddof=1),
        "channel_zeros_": (pixels <= 0).mean(axis=0),
        "channel_max_": pixels.max(axis=0),
        "channel_covariance_": np.cov(pixels.T),
        "spatial_mean_covariance_": np.cov(spatial_means.T),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(model, name), value, rtol=1e-10, atol=1e-12, err_msg=name)
    n = len(pixels)
    sklearn = EmpiricalCovariance().fit(pixels).covariance_ * n / (n - 1)
    np.testing.assert_allclose(model.channel_covariance_, sklearn, rtol=1e-10, atol=1e-12)
    assert (model.n_samples_seen_, model.channel_count_) == (70, n)
    if len(shape) == 1:
        np.testing.assert_allclose(model.spatial_mean_covariance_, model.channel_covariance_, rtol=1e-10)


def test_moments_by_hand():
    X = np.array([[[[1.0], [0]]], [[[3], [-2]]]])  # two images, 1 × 2 positions, one channel
    model = Moments().fit(X)
    np.testing.assert_array_equal(model.mean_.ravel(), [2, -1])
    np.testing.assert_array_equal(model.variance_.ravel(), [2, 2])
    np.testing.assert_array_equal(model.zeros_.ravel(), [0, 1])
    np.testing.assert_array_equal(model.max_.ravel(), [3, 0])
    np.testing.assert_allclose(model.channel_mean_, [0.5])
    np.testing.assert_allclose(model.channel_covariance_, [[(0.25 + 0.25 + 6.25 + 6.25) / 3]])
    np.testing.assert_allclose(model.spatial_mean_covariance_, [[0]])
    np.testing.assert_array_equal(model.channel_zeros_, [0.5])
    one = Moments().fit(X[:1])
    np.testing.assert_array_equal(one.variance_, 0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_split_in_any_order_is_one_pass(draw):
    n = draw.draw(st.integers(2, 40))
    offset = draw.draw(st.sampled_from([0.0, 1.0, 1e3]))
    scale = draw.draw(st.sampled_from([1e-3, 1.0, 1e4]))
    shape = draw.draw(st.sampled_from([(2, 3, 4), (5,)]))
    X = (data(draw.draw(st.integers(0, 2**32 - 1)), n, shape).astype("float64") + offset) * scale
    whole = Moments().fit(X)
    cuts = sorted(draw.draw(st.sets(st.integers(1, n - 1), max_size=6)))
    parts = [Moments().partial_fit(part) for part in np.split(draw.draw(st.sampled_from([X, X[::-1]])), cuts)]
    while len(parts) > 1:  # a tree of any form
        first = parts.pop(draw.draw(st.integers(0, len(parts) - 1)))
        second = parts.pop(draw.draw(st.integers(0, len(parts) - 1)))
        parts.append(first.merge(second))
    assert_same(parts[0], whole)


def assert_same(model, expected):
    for name, value in expected.state().items():
        scale = np.abs(value).max()  # an off-diagonal of 0 is only as exact as the diagonal
        np.testing.assert_allclose(model.state()[name], value, rtol=1e-10, atol=1e-10 * scale, err_msg=name)
    np.testing.assert_allclose(model.variance_, expected.variance_, rtol=1e-10)
    np.testing.assert_allclose(model.channel_variance_, np.diag(expected.channel_covariance_), rtol=1e-10)


def test_merging_leaves_both_as_they_were():
    X = data(0, 20, (2, 2, 3))
    first, second = Moments().fit(X[:8]), Moments().fit(X[8:])
    before = first.state()
    merged = first.merge(second)
    for name, value in before.items():
        np.testing.assert_array_equal(first.state()[name], value)
    assert_same(merged, Moments().fit(X))
    assert_same(first.partial_fit(X[8:]), merged)
    assert_same(first.fit(X[:8]), Moments().fit(X[:8]))  # fit starts anew
    with pytest.raises(ValueError, match=r"\(2, 2, 3\); received those of \(3,\)"):
        first.merge(Moments().fit(np.ones((4, 3))))


@pytest.mark.parametrize("seed", range(3))
def test_a_mean_far_from_zero_costs_little(seed):
    X = np.random.default_rng(seed).standard_normal((200, 3)) + 1e6
    exact = np.cov((X - 1e6).T)  # the subtraction is exact
    np.testing.assert_allclose(Moments().fit(X).channel_covariance_, exact, rtol=1e-9, atol=1e-9)


def test_the_total_variance_is_that_of_the_components():
    X = data(0, 50, (3, 4))
    assert Moments().fit(X).variance_.sum() == pytest.approx(Snapshots().fit(X).total_variance_, rel=1e-10)


def test_wide_layers_keep_no_covariance(monkeypatch):
    monkeypatch.setattr(moments, "MAX_CHANNELS", 4)
    X = data(0, 20, (2, 5))
    model = Moments().fit(X[:9]).merge(Moments().fit(X[9:]))
    assert model.channel_covariance_ is None and model.spatial_mean_covariance_ is None
    np.testing.assert_allclose(model.channel_variance_, X.reshape(-1, 5).astype("float64").var(axis=0, ddof=1))
    assert Moments.from_state(model.state()).channel_covariance_ is None


@pytest.mark.parametrize("X", [np.ones(3), np.ones((0, 3)), np.array([[1.0, np.nan]]), np.array([[np.inf]])], ids=str)
def test_what_has_no_moments(X):
    with pytest.raises(ValueError, match="expected .*activations.*; received"):
        Moments().partial_fit(X)


@pytest.mark.parametrize("shape", [(2, 3, 4), (5,)], ids=str)
def test_a_state_is_all_of_the_moments(shape):
    X = data(0, 30, shape)
    model = Moments().fit(X[:20])
    again = Moments.from_state(model.state())
    assert_same(again.partial_fit(X[20:]), Moments().fit(X))


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_samples_seen_": 0},
        {"mean_": np.zeros((2, 2))},
        {"mean_": np.float64(1)},
        {"squares_": np.full((2, 3), -1.0)},
        {"max_": np.full((2, 3), np.nan)},
        {"zero_counts_": np.full((2, 3), 21)},
        {"channel_scatter_": np.zeros((2, 2))},
        {"spatial_mean_scatter_": np.full((3, 3), np.inf)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_moments_that_cannot_be_are_refused(wrong):
    state = Moments().fit(data(0, 20, (2, 3))).state()
    with pytest.raises(ValueError, match="expected .* received"):
        Moments.from_state(state | wrong)
    del state["squares_"]
    with pytest.raises(ValueError, match="without squares_"):
        Moments.from_state(state)


@pytest.mark.parametrize("shape", [(30, 20, 6), (40,)], ids=str)
def test_of_many_values_products_are_in_single_precision(shape, monkeypatch):
    """Not their sums: what is far from 0, of 700 images, is found to seven digits of its deviation."""
    X = data(3, 700, shape) + 100
    exact = Moments().fit(X.astype("float64"))
    monkeypatch.setattr(streaming, "DOUBLE", 0)
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 4 * 700 * 500)
    model = Moments().fit(X)
    np.testing.assert_array_equal(model.zero_counts_, exact.zero_counts_)
    np.testing.assert_array_equal(model.max_, exact.max_)
    np.testing.assert_allclose(model.mean_, exact.mean_, rtol=1e-6)
    np.testing.assert_allclose(model.variance_, exact.variance_, rtol=1e-5)
    scale = np.abs(exact.channel_covariance_).max()
    np.testing.assert_allclose(model.channel_covariance_, exact.channel_covariance_, atol=1e-5 * scale)
    scale = np.abs(exact.spatial_mean_covariance_).max()
    np.testing.assert_allclose(model.spatial_mean_covariance_, exact.spatial_mean_covariance_, atol=1e-4 * scale)
