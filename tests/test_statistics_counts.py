"""What all images of a class have as many of: montages with none of it, or two, are told from those with one."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from vizlib.statistics import Montage, counts, montage
from vizlib.statistics.counts import Counts, _random_layouts


def scenes(seed, n=120, each=1):
    """Each image has `each` things of 2 × 2 positions on a ground of its own, of other channels: cells, and where."""
    rng = np.random.default_rng(seed)
    cells = rng.normal(size=(n, 1, 1, 4)) * (0, 0, 1, 1) + rng.normal(size=(n, 8, 8, 4))
    there = np.zeros((n, 8, 8))
    for own in there:
        for place in rng.choice(16, each, replace=False):
            y, x = 2 * (place // 4), 2 * (place % 4)
            own[y : y + 2, x : x + 2] = 1
    return (cells + 6 * there[..., None] * (1, -1, 0, 0)).astype("float32") / 64, there


def things_in(layouts, there):
    rows, columns = np.indices(there.shape[1:])
    return np.stack([there[layout, rows, columns].sum() for layout in layouts]) / 4


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("each", [1, 2])
def test_too_few_and_too_many_things_are_unusual(seed, each):
    cells, there = scenes(seed, each=each)
    found = Counts().fit(cells, 3)
    layouts = _random_layouts(np.random.default_rng([seed, 1]), len(cells), 3, (8, 8))
    held, beyond = things_in(layouts, there), found.unusual(layouts) > found.limit
    assert beyond[abs(held - each) >= 1].mean() > 0.9
    assert beyond[held == each].mean() < 0.25
    alone = np.stack([np.full((8, 8), i) for i in range(len(cells))])
    assert (found.unusual(alone) > found.limit).mean() < 0.2  # of real images a tenth are to be


def test_unusual_is_the_odds_of_two_gaussians(monkeypatch):
    """Where montages vary more in all directions, these odds are of nothing but both densities."""
    monkeypatch.setattr(counts, "HELD_OUT", 0.01)
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(400, 6, 6, 3)).astype("float32") * (1, 2, 3)
    cells -= cells.mean(axis=(1, 2), keepdims=True) * 0.9  # each image has nearly as much as each other
    found = Counts().fit(cells, 3)
    held_out, shown = np.split(np.random.default_rng(0).permutation(400), [4])
    means = cells.sum(axis=(1, 2))
    layouts = _random_layouts(np.random.default_rng(3), 400, 3, (6, 6))
    drawn = np.stack([cells[x, *np.indices((6, 6))].sum(axis=(0, 1)) for x in layouts])
    centre = means[shown].mean(axis=0)
    odds = multivariate_normal(centre, np.cov(drawn.T)).logpdf(drawn)
    odds -= multivariate_normal(centre, np.cov(means[shown].T)).logpdf(drawn)
    slope, constant = np.polyfit(odds, found.unusual(layouts), 1)
    assert slope == pytest.approx(1, abs=0.15)  # the random montages of the fit are others, the covariance is shrunken
    np.testing.assert_allclose(found.unusual(layouts), slope * odds + constant, rtol=0.05, atol=0.3)
    assert found.limit == pytest.approx(np.quantile(found._unusual(means[held_out]), 0.9))


@pytest.mark.parametrize("seed", range(4))
def test_where_nothing_is_counted_montages_are_as_usual_as_images(seed):
    rng = np.random.default_rng(seed)
    cells = rng.normal(size=(150, 1, 1, 5)) + rng.normal(size=(150, 8, 8, 5))
    found = Counts().fit(cells.astype("float32") / 64, 3)
    layouts = _random_layouts(np.random.default_rng([seed, 1]), 150, 3, (8, 8))
    assert (found.unusual(layouts) > found.limit).mean() < 0.1
    assert Counts().fit(np.ones((9, 2, 3, 1), "float32"), 3).unusual(layouts[:2, :2, :3] % 9).tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(2))
def test_montages_hold_as_many_things_as_images_do(seed, monkeypatch):
    """On a plain ground, seams are free wherever no thing is, and three images bring none to three things."""
    rng = np.random.default_rng(seed)
    values, there = np.repeat(rng.normal(size=(1, 8, 8, 4)), 90, axis=0), np.zeros((90, 8, 8))
    for value, own in zip(values, there, strict=True):
        y, x = rng.integers(7, size=2)
        own[y : y + 2, x : x + 2] = 1
        value[own > 0] = 5 * rng.normal(size=4) ** 2 * (1, 1, 0, 0) + (9, 9, 0, 0)
    values += 0.2 * rng.normal(size=values.shape)
    model = Montage().fit(values.astype("float32"))

    def held():
        drawn = model.draw(16, seed)[1]
        layouts = [mixture.images[mixture.layout] for mixture in drawn]
        return things_in(layouts, there)

    counted = held()
    monkeypatch.setattr(montage, "LEAST", 1000)  # images for each channel, which are not there
    assert np.mean(abs(counted - 1) < 0.5) >= 0.8 > 0.7 > np.mean(abs(held() - 1) < 0.5)
