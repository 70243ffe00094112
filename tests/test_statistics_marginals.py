"""Mean marginals against sorting by hand, whatever the split, for the class and for any of its images."""

import numpy as np
import pytest

from vizlib.statistics import Marginals
from vizlib.statistics.marginals import of_regions


def data(seed, n=12, shape=(6, 5, 3)):
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype("float32")


def test_marginals_by_hand():
    X = np.array([[[[3.0, 0], [1, 5]]], [[[0, 2], [4, 2]]]])  # two images, 1 × 2 positions, two channels
    np.testing.assert_array_equal(Marginals().fit(X).quantiles_, [[0.5, 1], [3.5, 3.5]])
    np.testing.assert_array_equal(Marginals().fit(X[:, 0, 0]).quantiles_, [[1.5, 1]])  # units have one position


@pytest.mark.parametrize("seed", range(3))
def test_they_are_the_mean_of_sorted_values(seed):
    X = data(seed)
    expected = np.sort(X.reshape(12, 30, 3).astype("float64"), axis=1).mean(axis=0)
    np.testing.assert_allclose(Marginals().fit(X).quantiles_, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 5, 1), (3,)])
def test_what_is_fitted_stays_as_it_is(shape):
    X = data(0, 4, shape)
    before = X.copy()
    X.flags.writeable = False  # as what TensorFlow gives
    Marginals().fit(X)
    X.flags.writeable = True
    Marginals().fit(X)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("side", [32, 33, 100])
def test_of_more_positions_neighbours_in_the_order_are_averaged(side):
    X = data(1, 2, (side, side, 2))
    model = Marginals().fit(X)
    assert model.quantiles_.shape == (1024, 2) and (np.diff(model.quantiles_, axis=0) >= 0).all()
    for i, channel in np.ndindex(1, 2):
        mine, positions = np.sort(X[i, :, :, channel].ravel().astype("float64")), side**2
        groups = [mine[k * positions // 1024 : (k + 1) * positions // 1024].mean() for k in range(1024)]
        np.testing.assert_allclose(Marginals().fit(X[i : i + 1]).quantiles_[:, channel], groups, rtol=1e-12, atol=1e-15)
    if side == 32 or side == 100:
        weights = np.diff(np.arange(1025) * side**2 // 1024)[:, None]
        np.testing.assert_allclose((model.quantiles_ * weights).sum(0) / side**2, X.mean(axis=(0, 1, 2)), atol=1e-6)


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_any_split_is_one_pass(cut):
    X = data(2)
    merged = Marginals().fit(X[cut:]).merge(Marginals().fit(X[:cut]))
    np.testing.assert_allclose(merged.quantiles_, Marginals().fit(X).quantiles_, rtol=1e-12, atol=1e-15)
    assert merged.n_samples_seen_ == 12


def test_where_values_lie_does_not_count():
    X = data(3)
    shuffled = np.random.default_rng(0).permuted(X.reshape(12, 30, 3), axis=1).reshape(X.shape)
    np.testing.assert_array_equal(Marginals().fit(shuffled).quantiles_, Marginals().fit(X).quantiles_)


def test_a_state_comes_back():
    for X in (data(4), data(5, 3, (40, 50, 2)), np.full((3, 70, 70, 2), 0.1, "float32")):
        model = Marginals().fit(X)
        again = Marginals.from_state(model.state())
        np.testing.assert_allclose(again.quantiles_, model.quantiles_, rtol=1e-6)
        assert again.n_samples_seen_ == model.n_samples_seen_


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantiles_": np.zeros(4)},
        {"quantiles_": np.zeros((1025, 2))},
        {"quantiles_": np.array([[1.0], [0]])},
        {"quantiles_": np.array([[np.nan], [0]])},
        {"n_samples_seen_": 0},
    ],
)
def test_what_is_no_state_is_refused(wrong):
    with pytest.raises(ValueError, match="expected .* received"):
        Marginals.from_state(Marginals().fit(data(0)).state() | wrong)
    with pytest.raises(ValueError, match="without quantiles_"):
        Marginals.from_state({"n_samples_seen_": 3})


def test_what_has_no_marginals_is_refused():
    with pytest.raises(ValueError, match="n ≥ 1.*received the shape"):
        Marginals().fit(np.zeros(5))
    with pytest.raises(ValueError, match="finite"):
        Marginals().fit(np.array([[[[np.inf], [0]]]]))
    with pytest.raises(ValueError, match=r"marginals \(quantiles, channels\) \(30, 3\); received \(4, 3\)"):
        Marginals().fit(data(0)).merge(Marginals().fit(data(0, shape=(2, 2, 3))))


def test_values_of_regions_by_hand():
    values = np.arange(20.0).reshape(1, 4, 5, 1)[:, ::-1]  # the fifth column lies in no region
    found = of_regions(values, 2, 2)[0, :, :, :, 0]
    np.testing.assert_array_equal(found, [[[10, 11, 15, 16], [12, 13, 17, 18]], [[0, 1, 5, 6], [2, 3, 7, 8]]])


def test_one_region_is_the_image():
    X = data(3, 1, (40, 40, 2))
    np.testing.assert_allclose(of_regions(X, 1, 1)[0, 0, 0], Marginals().fit(X).quantiles_, atol=1e-6)
