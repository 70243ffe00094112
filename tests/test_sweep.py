"""The layer experiment: what a layer is said to know, against data of which it is known."""

import numpy as np
import pytest

import vizlib as viz
from vizlib.realism.layers import _known, sweep
from vizlib.statistics import Moments, PCAGaussian


def draws(n, seed, spread, noise):
    """Activations (n, 6, 1, 5): one direction of standard deviation `spread` in 30 dimensions of `noise`."""
    rng = np.random.default_rng(seed)
    direction = np.full(30, 30**-0.5)
    return (spread * rng.standard_normal((n, 1)) * direction + noise * rng.standard_normal((n, 30))).reshape(n, 6, 1, 5)


def known(spread, noise):
    values = draws(4000, 0, spread, noise)
    return _known(draws(4000, 1, spread, noise).astype("float32"), PCAGaussian(1).fit(values), Moments().fit(values))


@pytest.mark.parametrize(("spread", "noise"), [(10, 1), (3, 0.5), (0.01, 1)])
def test_variance_and_likelihood_of_a_gaussian_that_is_known(spread, noise):
    total = spread**2 + 30 * noise**2
    explained, likelihood = known(spread, noise)
    assert explained == pytest.approx((spread**2 + noise**2) / total, abs=0.03)
    # The mutual information of the units: half the log of the product of their variances over the determinant.
    determinant = np.log(noise**2 + spread**2) + 29 * np.log(noise**2)
    assert likelihood == pytest.approx((30 * np.log(total / 30) - determinant) / 60, abs=0.01)


def test_a_unit_that_never_varies_says_nothing():
    values = draws(200, 0, 3, 1)
    values[:, 0] = 7
    found = _known(values.astype("float32"), PCAGaussian(2).fit(values), Moments().fit(values))
    assert np.isfinite(found).all()


def test_shallow_layers_give_the_picture_back(mini, tmp_path, monkeypatch):
    monkeypatch.setattr("vizlib.statistics.quilting.COPY", 0)  # every quilt is called a copy then
    images, fresh = (viz.load_images("partworld", "clock", n, seed=s) for n, s in ((24, 0), (6, 1)))
    layers = ["block1_conv2", "block5_conv3", "fc2"]
    store = viz.StatsStore(tmp_path / "stats", mini)
    viz.collect(store, images, "clock", layers, progress=False)
    answers = sweep(store, "clock", layers, fresh, n=2, steps=40)
    with pytest.raises(ValueError, match="at least 7 fresh images; received 6"):
        sweep(store, "clock", layers, fresh, n=7)
    errors = [answers[layer].pixel_error for layer in layers]
    assert list(answers) == layers and errors[0] < 0.5 * errors[1] < errors[2]
    assert answers["block1_conv2"].copies and not answers["fc2"].copies
    for answer in answers.values():
        assert answer.inverted.shape == answer.samples.shape == (2, 64, 64, 3)
        assert 0 < answer.error < 1 and answer.explained < 1
