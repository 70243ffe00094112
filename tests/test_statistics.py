"""Estimators against scikit-learn, against the model they say they are, and against numbers worked out by hand."""

import h5py
import numpy as np
import pytest
from scipy.stats import norm
from sklearn.decomposition import PCA

from vizlib import statistics
from vizlib.statistics import BootstrapMix, ImageStatistics, LocalGaussian, PCAGaussian


def data(seed, n, shape):
    """Correlated values with a mean far from 0, float32 (n, *shape)."""
    rng = np.random.default_rng(seed)
    p = int(np.prod(shape))
    X = rng.standard_normal((n, p)) * np.geomspace(1, 20, p) @ rng.standard_normal((p, p)) + rng.normal(0, 50, p)
    return X.reshape(n, *shape).astype("float32")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n, shape, k", [(60, (7,), 4), (60, (7,), 7), (20, (300,), 19), (40, (5, 4, 6), 8)], ids=str)
def test_pca_is_that_of_scikit_learn(seed, n, shape, k):
    X = data(seed, n, shape)
    ours = PCAGaussian(k).fit(X)
    theirs = PCA(k, svd_solver="full").fit(X.reshape(n, -1).astype("float64"))
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-5)
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-5)
    np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-5)
    cosines = np.sum(ours.components_ * theirs.components_, axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, rtol=1e-5)
    np.testing.assert_allclose(ours.components_ @ ours.components_.T, np.eye(k), atol=1e-5)
    assert (ours.shape_, ours.n_samples_seen_) == (shape, n)


def test_pca_by_hand():
    X = np.array([[3, 0], [-3, 0], [0, 1], [0, -1]], "float32") + 10
    model = PCAGaussian(2).fit(X)
    np.testing.assert_allclose(model.mean_, [10, 10])
    np.testing.assert_allclose(model.explained_variance_, [18 / 3, 2 / 3])
    np.testing.assert_allclose(np.abs(model.components_), np.eye(2), atol=1e-7)
    assert model.total_variance_ == pytest.approx(20 / 3)


@pytest.mark.parametrize("n, k", [(2, 1), (4, 1), (9, 1), (10, 2), (52, 10)])
def test_a_fifth_of_the_samples_by_default(n, k):
    assert len(PCAGaussian().fit(data(0, n, (70,))).components_) == k


@pytest.mark.parametrize("shape, k", [((1, 5), None), ((5,), None), ((4, 5), 4), ((4, 5), 0)])
def test_pca_refuses_what_it_cannot_fit(shape, k):
    with pytest.raises(ValueError, match="expected .* received"):
        PCAGaussian(k).fit(np.ones(shape))


def test_blocks_and_files_give_the_same_fit(tmp_path, monkeypatch):
    X = data(1, 30, (9, 4, 5)).astype("float64")
    before = X.copy()
    whole = PCAGaussian().fit(X)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        from_file = PCAGaussian().fit(file.create_dataset("x", data=X, chunks=(7, 2, 4, 5)))
    for name, value in whole.state().items():
        np.testing.assert_array_equal(from_file.state()[name], value)

    monkeypatch.setattr(statistics, "BLOCK_BYTES", 8 * 30 * 20 * 2)  # two of the nine rows of features
    assert len(list(statistics._blocks(X))) == 5
    in_blocks = PCAGaussian().fit(X)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_allclose(in_blocks.components_, whole.components_, atol=1e-6)
    np.testing.assert_allclose(in_blocks.explained_variance_, whole.explained_variance_, rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_signs_do_not_depend_on_the_order_of_samples(seed):
    X = data(seed, 20, (50,))
    shuffled = np.random.default_rng(seed).permutation(X)
    np.testing.assert_allclose(PCAGaussian().fit(shuffled).components_, PCAGaussian().fit(X).components_, atol=1e-5)


def test_directions_without_variance_are_dropped():
    X = np.repeat(data(0, 4, (50,)), 3, axis=0)
    model = PCAGaussian(11).fit(X)
    assert len(model.components_) == 3  # four different samples
    assert model.explained_variance_ratio_.sum() == pytest.approx(1)

    constant = PCAGaussian().fit(np.full((10, 3, 2), 7, "float32"))
    np.testing.assert_array_equal(constant.sample(4), np.full((4, 3, 2), 7))
    assert constant.explained_variance_ratio_.size == 0


@pytest.mark.parametrize("seed", range(3))
def test_samples_have_the_mean_and_covariance_of_the_model(seed):
    model = PCAGaussian(3).fit(data(seed, 40, (2, 3)))
    draws = model.sample(200_000, seed=seed).reshape(-1, 6).astype("float64")
    covariance = model.components_.T * model.explained_variance_ @ model.components_
    deviation = np.sqrt(model.explained_variance_.sum())
    np.testing.assert_allclose(draws.mean(axis=0), model.mean_, atol=0.01 * deviation)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.02 * deviation**2)


def test_the_seed_decides_the_sample():
    model = PCAGaussian().fit(data(0, 30, (4, 5)))
    draws = model.sample(3, seed=7)
    assert draws.dtype == "float32" and draws.shape == (3, 4, 5)
    np.testing.assert_array_equal(model.sample(3, seed=7), draws)
    assert not np.isclose(model.sample(3, seed=8), draws).any()


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


def test_a_mix_lies_between_a_few_different_samples():
    X = np.random.default_rng(0).standard_normal((6, 2, 4)).astype("float32")
    draws = BootstrapMix().fit(X).sample(2000, seed=1).reshape(2000, 8)
    system = np.vstack([X.reshape(6, 8).T, np.ones(6)])  # weights that sum to 1
    weights, residual, rank, _ = np.linalg.lstsq(system, np.vstack([draws.T, np.ones(2000)]), rcond=None)
    assert rank == 6 and residual.max() < 1e-8
    assert weights.min() > -1e-5
    assert (np.sum(weights > 1e-4, axis=0) == 3).all()
    assert weights.max() < 0.75
    np.testing.assert_allclose(weights.mean(axis=1), 1 / 6, atol=0.02)  # every sample is as likely
    np.testing.assert_allclose(weights[weights > 1e-4].var(), (1 / 3) * (2 / 3) / 31, rtol=0.1)  # Dirichlet(10)


def test_mixes_are_rectified_after_mixing():
    X = np.array([[-4.0, 2], [2.0, 2], [-1, 2]], "float32")
    raw, draws = BootstrapMix().fit(X).sample(50), BootstrapMix(rectify=True).fit(X).sample(50)
    np.testing.assert_array_equal(draws, np.maximum(raw, 0))
    assert (draws[:, 0] == 0).mean() > 0.9  # whereas a mix of rectified values has none
    np.testing.assert_array_equal(BootstrapMix().fit(X).sample(50), raw)
    assert (BootstrapMix().fit(X).sample(50, seed=1) != raw)[:, 0].all()


def test_too_few_samples_to_mix():
    with pytest.raises(ValueError, match="at least the 3 samples.* received 2"):
        BootstrapMix().fit(np.ones((2, 5)))


FLAT = np.full((1, 8, 8, 3), [0.2, 0.5, 0.9], "float32")
STEP = np.repeat(np.concatenate([np.zeros((1, 8, 4, 1)), np.ones((1, 8, 4, 1))], axis=2), 3, axis=3).astype("float32")


def test_statistics_of_one_colour():
    functions = ImageStatistics().functions
    np.testing.assert_allclose(functions["total_variation"](FLAT), [[np.log(0.01)]], rtol=1e-5)
    expected = [0.2, 0.5, 0.9, *[np.log(0.01)] * 3, 0, 0, 0]
    np.testing.assert_allclose(functions["colour_composition"](FLAT), [expected], atol=1e-5)
    np.testing.assert_allclose(functions["edge_sharpness"](FLAT), [[np.log(0.01), 0.01] * 3], rtol=1e-4)


def test_statistics_of_a_black_and_a_white_half():
    functions = ImageStatistics().functions
    edge, flat = np.log(np.sqrt(3 + 1e-4)), np.log(0.01)  # one column of differences of 1 in three colours
    mean_magnitude = (np.sqrt(3 + 1e-4) + 6 * 0.01) / 7
    np.testing.assert_allclose(functions["total_variation"](STEP), [[np.log(mean_magnitude)]], rtol=1e-5)
    colours = [*[0.5] * 3, *[np.log(np.sqrt(0.2501))] * 3, *[0.25 / 0.2501] * 3]
    np.testing.assert_allclose(functions["colour_composition"](STEP), [colours], rtol=1e-5)
    expected = []
    for columns in (7, 3, 1):  # at full, half and quarter size one column holds the edge
        log = np.array([edge] + [flat] * (columns - 1))
        expected += [log.mean(), np.sqrt(log.var() + 1e-4)]
    np.testing.assert_allclose(functions["edge_sharpness"](STEP), [expected], rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_colours_are_those_of_numpy(seed):
    mixing = np.array([[0.5, 0.2, 0], [0.3, 0, 0.4], [0, 0.5, 0.1]], "float32")
    image = np.random.default_rng(seed).random((2, 40, 30, 3), "float32") @ mixing
    entries = np.asarray(ImageStatistics().functions["colour_composition"](image))
    for i in range(2):
        pixels = image[i].reshape(-1, 3)
        np.testing.assert_allclose(entries[i, :3], pixels.mean(axis=0), rtol=1e-4)
        np.testing.assert_allclose(np.exp(entries[i, 3:6]), pixels.std(axis=0), rtol=5e-3)
        np.testing.assert_allclose(entries[i, 6:], np.corrcoef(pixels.T)[[0, 0, 1], [1, 2, 2]], atol=1e-2)


def test_blur_and_noise_are_told_apart():
    blurred = np.full((1, 8, 8, 3), 0.5, "float32") + np.linspace(-0.2, 0.2, 8, dtype="float32")[:, None]
    noisy = FLAT + np.random.default_rng(0).normal(0, 0.1, FLAT.shape).astype("float32")
    sharpness = ImageStatistics().functions["edge_sharpness"]
    deviation = [np.asarray(sharpness(images))[0, 1] for images in (STEP, blurred, noisy)]
    assert deviation[0] > 2 * deviation[1] and deviation[0] > 2 * deviation[2]


@pytest.mark.parametrize("name", ["total_variation", "colour_composition", "edge_sharpness"])
@pytest.mark.parametrize("images", [FLAT, STEP, np.zeros((1, 6, 6, 3), "float32")], ids=["flat", "step", "black"])
def test_gradients_are_finite(name, images):
    from keras import ops

    from vizlib.backend import value_and_gradient

    function = ImageStatistics().functions[name]
    for entry in range(function(images).shape[1]):
        run = value_and_gradient(lambda x, entry=entry: (ops.sum(function(x)[:, entry]), ()))
        assert np.isfinite(np.asarray(run(ops.convert_to_tensor(images))[1])).all()


def test_the_gradient_of_the_mean_colour_is_one_over_the_pixels():
    from keras import ops

    from vizlib.backend import value_and_gradient

    run = value_and_gradient(lambda x: (ops.sum(ImageStatistics().functions["colour_composition"](x)[:, 1]), ()))
    gradient = np.asarray(run(ops.convert_to_tensor(STEP))[1])
    np.testing.assert_allclose(gradient[..., 1], 1 / 64, rtol=1e-6)
    np.testing.assert_array_equal(gradient[..., [0, 2]], 0)


def test_the_range_over_images():
    images = np.random.default_rng(0).random((150, 8, 8, 3), "float32")  # more than are measured at a time
    model = ImageStatistics().fit(images)
    for name, function in model.functions.items():
        entries = np.asarray(function(images), "float64")
        np.testing.assert_allclose(model.mean_[name], entries.mean(axis=0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(model.std_[name], np.maximum(entries.std(axis=0), 0.01), rtol=1e-3)
    assert model.n_samples_seen_ == 150
    np.testing.assert_allclose(model.mean_["colour_composition"][:3], 0.5, atol=0.01)


def test_images_all_alike_still_leave_room():
    model = ImageStatistics().fit(np.concatenate([FLAT, FLAT]))
    assert all((std == np.float32(0.01)).all() for std in model.std_.values())


@pytest.mark.parametrize(
    "model",
    [
        PCAGaussian(3, rectify=True).fit(data(0, 20, (3, 4))),
        PCAGaussian().fit(np.zeros((5, 2))),
        ImageStatistics().fit(STEP),
    ],
    ids=["PCAGaussian", "constant", "ImageStatistics"],
)
def test_a_state_is_all_of_a_model(model):
    again = type(model).from_state(model.state())
    for name, value in model.state().items():
        np.testing.assert_array_equal(again.state()[name], value)
    if isinstance(model, PCAGaussian):
        np.testing.assert_array_equal(again.sample(5, seed=3), model.sample(5, seed=3))
        np.testing.assert_array_equal(again.explained_variance_ratio_, model.explained_variance_ratio_)
        assert again.shape_ == model.shape_


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape_": (4, 4)},
        {"mean_": np.zeros(11)},
        {"components_": np.zeros((2, 12))},
        {"explained_variance_": np.array([3, 2, -1])},
        {"explained_variance_": np.array([3, 2, np.nan])},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_state_that_does_not_fit_together_is_refused(wrong):
    state = PCAGaussian(3).fit(data(0, 20, (3, 4))).state()
    with pytest.raises(ValueError, match="received shapes"):
        PCAGaussian.from_state(state | wrong)


@pytest.mark.parametrize("moments", [[[1], [1], [1]], [1, 1], [[0], [0]], [[np.nan], [1]]], ids=str)
def test_image_statistics_that_cannot_be_are_refused(moments):
    with pytest.raises(ValueError, match=r"\(2, entries\) of total_variation"):
        ImageStatistics.from_state(ImageStatistics().fit(STEP).state() | {"total_variation": moments})


def test_a_gaussian_of_all_neighbours_has_the_moments_of_the_data():
    X = np.random.default_rng(0).standard_normal((12, 2, 3)).astype("float32")
    draws = LocalGaussian(12).fit(X).sample(20000, seed=1).reshape(20000, 6)
    flat = X.reshape(12, 6)
    np.testing.assert_allclose(draws.mean(0), flat.mean(0), atol=0.03)
    np.testing.assert_allclose(np.cov(draws.T), np.cov(flat.T), atol=0.06)


def test_a_local_gaussian_keeps_to_one_cluster():
    """Of two far clusters on axes of their own no draw has both: that is what a Gaussian of all gets wrong."""
    rng = np.random.default_rng(0)
    X = np.zeros((40, 4), "float32")
    X[:20, :2], X[20:, 2:] = 10 + rng.standard_normal((20, 2)), 10 + rng.standard_normal((20, 2))
    draws = LocalGaussian(8).fit(X).sample(200, seed=3)
    first, second = np.abs(draws[:, :2]).max(1) > 1e-3, np.abs(draws[:, 2:]).max(1) > 1e-3
    assert (first != second).all() and 0.3 < first.mean() < 0.7
    ghosts = PCAGaussian(4).fit(X).sample(200, seed=3)
    assert (np.minimum(ghosts[:, 0], ghosts[:, 2]) > 2).mean() > 0.3


def test_local_gaussian_rectifies_repeats_and_checks():
    X = np.random.default_rng(0).standard_normal((20, 5)).astype("float32")
    raw, rectified = LocalGaussian(6).fit(X).sample(9, 1), LocalGaussian(6, rectify=True).fit(X).sample(9, 1)
    np.testing.assert_array_equal(np.maximum(raw, 0), rectified)
    np.testing.assert_array_equal(LocalGaussian(6).fit(X).sample(9, 1), raw)
    assert np.abs(LocalGaussian(6).fit(X).sample(9, 2) - raw).max() > 0.1
    with pytest.raises(ValueError, match="n_neighbours from 2 to the 20 samples; received 21"):
        LocalGaussian(21).fit(X)
