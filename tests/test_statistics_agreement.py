"""Samplers beside real activations: what is the same gets what real ones get, and each fault shows in its column."""

import numpy as np
import pytest

from vizlib.statistics import sampler_agreement


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(6, 6))

    def draw(n):
        return np.maximum(rng.normal(size=(n, 3, 3, 6)) @ mix, 0).astype("float32")

    real, held_out, same = draw(300), draw(200), draw(200)
    samples = {
        "same": same,
        "double": 2 * same,
        "copies": real[:200],
        "one": np.repeat(same[:1], 200, axis=0) + rng.normal(size=same.shape, scale=1e-3),
        "channels apart": np.stack([rng.permutation(same[..., c].ravel()).reshape(200, 3, 3) for c in range(6)], -1),
    }
    return sampler_agreement(samples, real, held_out)


def test_draws_of_the_same_distribution_agree(table):
    np.testing.assert_allclose(table.loc["same", ["norm", "spread", "nearest"]], 1, atol=0.05)
    assert table.loc["same", "zeros"] == pytest.approx(table.loc["real", "zeros"], abs=0.02)
    assert table.loc["same", "correlation_error"] < 0.06
    assert table.loc["same", "log_likelihood"] == pytest.approx(table.loc["real", "log_likelihood"], abs=0.3)


def test_each_fault_shows_in_its_column(table):
    assert table.loc["double", "norm"] == pytest.approx(2 * table.loc["same", "norm"])
    assert table.loc["double", "spread"] == pytest.approx(2 * table.loc["same", "spread"])
    assert table.loc["copies", "nearest"] == 0
    assert table.loc["one", "spread"] < 0.01
    assert table.loc["one", "log_likelihood"] < table.loc["real", "log_likelihood"] - 10
    assert table.loc["channels apart", "correlation_error"] > 0.2


def test_the_real_row_is_the_unit(table):
    assert table.loc["real", ["norm", "spread", "nearest"]].tolist() == [1, 1, 1]
