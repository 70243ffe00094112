"""The strongest activations against a search of all, however the samples and their positions are parted."""

import numpy as np
import pytest

from vizlib.statistics import Strongest, streaming
from vizlib.statistics.strongest import KEPT


def searched(X):
    """Values, samples and positions by sorting everything."""
    n, c = len(X), X.shape[-1]
    flat = X.reshape(n, -1, c)
    highest, places = flat.max(axis=1), flat.argmax(axis=1)
    order = np.lexsort((np.repeat(np.arange(n)[:, None], c, 1), -highest), axis=0)[:KEPT]
    width = X.shape[2] if X.ndim == 4 else 1
    at = np.take_along_axis(places, order, axis=0)
    return np.take_along_axis(highest, order, axis=0), order, np.stack([at // width, at % width], axis=-1)


def check(model, X):
    values, samples, positions = searched(X)
    np.testing.assert_array_equal(model.values_, values)
    np.testing.assert_array_equal(model.samples_, samples)
    np.testing.assert_array_equal(model.positions_, positions)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", [(30, 4, 5, 3), (5, 6, 2, 4), (40, 7), (1, 2, 2, 1)])
def test_against_a_search_of_all(seed, shape, monkeypatch):
    """Of whole numbers, of which many are equal: the earlier sample and the first position come first."""
    X = np.random.default_rng(seed).integers(-3, 4, shape).astype("float32")
    check(Strongest().fit(X), X)
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 64 * len(X))  # a few columns at a time
    check(Strongest().fit(X), X)


@pytest.mark.parametrize("seed", range(8))
def test_parts_are_merged_in_their_order(seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(-3, 4, (50, 3, 4, 5)).astype("float32")
    parts = np.split(X, np.sort(rng.choice(np.arange(1, 50), 3, replace=False)))
    merged = Strongest().fit(parts[0])
    for part in parts[1:]:
        merged = merged.merge(Strongest().fit(part))
    check(merged, X)
    again = Strongest.from_state(merged.state())
    check(again, X)
    assert again.n_samples_seen_ == 50 and again.shape_ == (3, 4, 5)


def test_others_are_refused():
    ours = Strongest().fit(np.zeros((3, 2, 2, 1)))
    with pytest.raises(ValueError, match=r"\(2, 2, 1\); received those of \(4, 1\)"):
        ours.merge(Strongest().fit(np.zeros((3, 4, 1))))
    with pytest.raises(ValueError, match="not finite|that are not"):
        Strongest().fit(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match=r"n ≥ 1, .*received the shape \(0, 2\)"):
        Strongest().fit(np.zeros((0, 2)))


@pytest.mark.parametrize(
    "change",
    [
        {"values_": None},
        {"values_": np.zeros((8, 3), "float32")},
        {"values_": np.arange(27, dtype="float32").reshape(9, 3)},
        {"values_": np.full((9, 3), np.nan, "float32")},
        {"samples_": np.full((9, 3), 20)},
        {"samples_": np.full((9, 3), -1)},
        {"positions_": np.full((9, 3, 2), 4)},
        {"positions_": np.zeros((9, 3))},
        {"n_samples_seen_": 4},
        {"shape_": (4, 0)},
        {"shape_": ()},
    ],
)
def test_states_that_cannot_be(change):
    X = np.random.default_rng(0).standard_normal((20, 4, 5, 3))
    state = Strongest().fit(X).state() | change
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(ValueError, match="expected"):
        Strongest.from_state(state)
