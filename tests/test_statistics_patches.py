"""The memory bank of patches: distances, thresholds and what is near, against plain loops."""

import numpy as np
import pytest

from vizlib.statistics import PatchBank


def patch(values, row, column, side):
    """The patch (side, side, channels) around a position; beyond the border lies what lies there."""
    around = np.arange(side) - side // 2
    rows, columns = (np.clip(at + around, 0, n - 1) for at, n in zip((row, column), values.shape, strict=False))
    return values[np.ix_(rows, columns)]


def test_nearest_and_expected_equal_plain_loops():
    rng = np.random.default_rng(0)
    X, new = rng.standard_normal((12, 7, 6, 3)).astype("float32"), rng.standard_normal((2, 7, 6, 3)).astype("float32")
    bank = PatchBank(span=0.5).fit(X)
    known, side = np.moveaxis(bank.bank_, 2, 0), bank.side_
    assert side == 3 and len(known) == 10
    distances, sources = bank.nearest(new)
    where = rng.random((2, 7, 6)) < 0.3
    values, shares = bank.expected(new, where)
    for i, row, column in np.ndindex(2, 7, 6):
        own = patch(new[i], row, column, side)
        apart = [((patch(x, row, column, side) - own) ** 2).mean(axis=(0, 1)).mean() for x in known]
        np.testing.assert_allclose(distances[i, row, column], min(apart), rtol=1e-4)
        assert sources[i, row, column] == np.argmin(apart)
        meant, of = (patch(x[i], row, column, side) for x in (where, sources))
        np.testing.assert_allclose(shares[i, row, column], meant.mean(), atol=1e-6)
        if meant.any():
            np.testing.assert_allclose(values[i, row, column], known[of[meant], row, column].mean(0), atol=1e-5)


def test_as_many_new_patches_are_outliers_as_were_held_out_beyond_the_quantile():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((400, 6, 6, 2)).astype("float32")
    assert 0.05 < PatchBank(quantile=0.9).fit(X[:300]).outliers(X[300:]).mean() < 0.16


def test_an_odd_patch_is_found_where_it_lies():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((60, 12, 12, 2)).astype("float32")
    odd = X[:1].copy()
    odd[0, 8, 2] += 30
    found = PatchBank(span=0.25).fit(X).outliers(odd)[0]
    assert found[7:10, 1:4].all() and not found[:6].any() and not found[:, 5:].any()


def test_units_are_one_patch():
    X = np.random.default_rng(3).standard_normal((50, 4)).astype("float32")
    bank = PatchBank().fit(X)
    assert bank.side_ == 1 and bank.outliers(np.full((1, 4), 9, "float32")).tolist() == [[[True]]]
    assert bank.expected(X[:3], np.ones((3, 1, 1), bool))[0].shape == (3, 4)


def test_two_activations_are_the_least():
    with pytest.raises(ValueError, match="expected two activations or more; received 1"):
        PatchBank().fit(np.zeros((1, 4), "float32"))
