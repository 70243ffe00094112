"""Terms by hand."""

import numpy as np
import pytest
from keras import ops

from vizlib import statistics
from vizlib.backend import compiled, matched, value_and_gradient
from vizlib.statistics import ImageStatistics, Moments, PCAGaussian
from vizlib.synthesis.terms import (
    ChannelMoments,
    ChannelStatistics,
    ClassScore,
    CrossEntropy,
    Distance,
    Marginals,
    Outliers,
    SquaredNorm,
    TotalVariation,
    Typical,
    priors,
)


def test_distance_is_relative_to_the_target():
    targets = np.array([[[[3.0, 4.0]]], [[[1.0, 0.0]]]], "float32")
    activations = {"k": np.array([[[[0.0, 4.0]]], [[[1.0, 2.0]]]], "float32")}
    np.testing.assert_allclose(Distance("k", targets)(activations), [9 / 25, 4 / 1])
    assert Distance("k", targets).layers == ("k",)


def test_distance_to_an_all_zero_target_is_finite():
    assert np.isfinite(Distance("k", np.zeros((1, 2), "float32"))({"k": np.ones((1, 2), "float32")})).all()


def test_class_score_is_maximised():
    scores = np.array([[1.0, 5.0], [2.0, -7.0]], "float32")
    np.testing.assert_allclose(ClassScore(1)({"scores": scores}), [-5, 7])


def test_cross_entropy_is_minus_the_logarithm_of_the_probability():
    scores = np.log(np.array([[1, 3], [4, 4]], "float32"))
    np.testing.assert_allclose(CrossEntropy(1)({"scores": scores}), -np.log([0.75, 0.5]), rtol=1e-6)


def test_channel_moments_are_distances_in_units_of_their_norms():
    """Of values 1, 3 in one channel and 2, 2 in the other: means 2, 2, variances 1, 0."""
    values = {"k": np.array([[[[1, 2], [3, 2]]]], "float32")}
    term = ChannelMoments("k", np.array([2, 5], "float32"), np.array([1, 8], "float32"))
    np.testing.assert_allclose(term(values), [3 / 9**0.5 + 8 / 65**0.5], rtol=1e-6)


def test_squared_norm_is_measured_from_the_mean():
    image = np.full((1, 2, 2, 3), 0.5, "float32")
    np.testing.assert_allclose(SquaredNorm(mean=(0.5, 0.5, 0.0))({"image": image}), [4 * 0.25])


def test_typical_costs_nothing_within_a_deviation():
    def brightness(images):
        return images.mean((1, 2))

    term = Typical(brightness, np.array([0.5, 0.5, 0.5], "float32"), np.array([0.1, 0.1, 0.1], "float32"))
    images = np.stack([np.full((2, 2, 3), v, "float32") for v in (0.5, 0.59, 0.8)])
    np.testing.assert_allclose(term({"image": images}), [0, 0, 2], atol=1e-4)
    assert term.name == "brightness"


def test_total_variation_is_a_share_of_the_usual():
    """A step of 0.3 in one colour between the halves of a 4 × 4 image: 3 of its 9 differences; the rest are EPSILON."""
    image = np.zeros((1, 4, 4, 3), "float32")
    image[:, :, 2:, 0] = 0.3
    expected = (3 * np.sqrt(0.09 + 1e-4) + 6 * 0.01) / 9
    np.testing.assert_allclose(TotalVariation(usual=0.05)({"image": image}), [expected / 0.05], rtol=1e-5)


def test_priors_are_those_of_the_class():
    images = np.random.default_rng(0).random((30, 8, 8, 3), "float32")
    statistics = ImageStatistics().fit(images)
    smooth, colours, edges = priors(statistics)
    assert [term.name for term in (smooth, colours, edges)] == [
        "total variation", "colour composition", "edge sharpness",
    ]  # fmt: skip
    activations = {"image": ops.convert_to_tensor(images)}
    np.testing.assert_allclose(np.mean(smooth(activations)) / smooth.weight, 1, atol=0.01)
    assert np.mean(colours(activations)) / colours.weight < 0.3  # E max(0, |z| − 1) is 0.17 for a normal z
    assert np.mean(edges(activations)) / edges.weight < 0.3
    grey = {"image": ops.full((1, 8, 8, 3), 0.5)}
    assert colours(grey)[0] / colours.weight > 1 and smooth(grey)[0] < np.min(smooth(activations))


def gradient_of(term, layer, values):
    """The loss summed over images, and its gradient, by the backend."""
    from keras import ops

    def loss(variables):
        return ops.sum(term({layer: variables[0]})), ()

    (total, _), (gradient,) = value_and_gradient(loss)([ops.convert_to_tensor(values)])
    return float(total), np.asarray(gradient)


def test_outliers_and_their_gradient_equal_the_dense_formula():
    """By the inverse of the whole covariance; the gradient is 0 at all neurons but the outliers."""
    rng = np.random.default_rng(0)
    real = (rng.standard_normal((60, 4)) @ rng.standard_normal((4, 12)) + 0.3 * rng.standard_normal((60, 12))).astype(
        "float32"
    )
    model = PCAGaussian(4).fit(real.reshape(60, 2, 3, 2))
    axes, _, noise, _ = model.conditionals()
    variances = np.maximum(model._variances()[0], noise)
    covariance = axes.T @ np.diag(variances - noise) @ axes + noise * np.eye(12)
    precision = np.linalg.inv(covariance.astype("float64"))
    deviation = 1 / np.sqrt(np.diag(precision))
    x = (real[:5] + rng.standard_normal((5, 12))).astype("float32")
    z = (x - model.mean_) @ precision * deviation
    threshold = np.linspace(0.5, 2, 12)
    beyond = np.abs(z) > threshold
    assert 0.1 < beyond.mean() < 0.9

    term = Outliers("k", model, threshold.reshape(2, 3, 2))
    total, gradient = gradient_of(term, "k", x.reshape(5, 2, 3, 2))
    np.testing.assert_allclose(total, np.maximum(np.abs(z) - threshold, 0).mean(axis=1).sum(), rtol=1e-4)
    np.testing.assert_allclose(gradient.reshape(5, 12), beyond * np.sign(z) / deviation / 12, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(term.where(x.reshape(5, 2, 3, 2)).reshape(5, 12), beyond)
    np.testing.assert_allclose(term.z(x), model.conditional_z(x.reshape(5, 2, 3, 2)).reshape(5, 12), atol=1e-3)


def test_a_step_back_by_the_gradient_takes_an_outlier_to_its_threshold():
    """Given the others, the excess of z times the deviation is exactly the way back."""
    rng = np.random.default_rng(1)
    model = PCAGaussian(2).fit((rng.standard_normal((50, 2)) @ rng.standard_normal((2, 6))).astype("float32")
                               + 0.1 * rng.standard_normal((50, 6)).astype("float32"))
    x = model.mean_[None].copy()
    x[0, 3] += 5
    term = Outliers("k", model, np.full(6, 3.0, "float32"))
    z = np.asarray(term.z(x))[0]
    deviation = (5 / z[3])  # all others are at the mean, so that 5 is the distance to what they let expect
    x[0, 3] -= (z[3] - 3) * deviation
    np.testing.assert_allclose(np.asarray(term.z(x))[0, 3], 3, rtol=1e-3)


def test_channel_statistics_by_hand():
    """Two channels, two positions: means 0 ± 1 over images, second moments known."""
    real = np.array([[[[1.0, 0.0]], [[1.0, 0.0]]], [[[-1.0, 0.0]], [[-1.0, 2.0]]]], "float32")
    moments = Moments().fit(real)
    np.testing.assert_allclose(moments.channel_mean_, [0, 0.5])
    spread = np.sqrt(np.diag(moments.spatial_mean_covariance_))  # √2 and √0.5
    np.testing.assert_allclose(spread, np.sqrt([2, 0.5]))
    x = np.array([[[[4.0, 0.5]], [[4.0, 0.5]]]], "float32")
    outside = (4 / np.sqrt(2) - 1) / 2
    second = np.array([[16.0, 0], [0, 0]])
    error = ((second - moments.channel_covariance_) ** 2).sum() / (moments.channel_covariance_**2).sum()
    term = ChannelStatistics("k", moments)
    np.testing.assert_allclose(term({"k": x}), [outside + error], rtol=1e-5)
    with_layer = priors({"k": moments})
    assert [t.layer for t in with_layer] == ["k"] and with_layer[0].weight < 1


def test_values_are_matched_to_the_quantiles_of_their_ranks():
    values = np.array([[[3.0, 0], [1, 5], [2, -1]]], "float32")
    quantiles = np.array([[[10.0, 1], [20, 2], [30, 3]]], "float32")
    np.testing.assert_array_equal(matched(values, quantiles), [[[30, 2], [10, 3], [20, 1]]])


@pytest.mark.parametrize(("p", "q"), [(12, 12), (13, 5), (200, 64)])
def test_matched_is_sorting_in_numpy(p, q):
    rng = np.random.default_rng(p)
    values = rng.standard_normal((3, p, 4)).astype("float32")
    quantiles = np.sort(rng.standard_normal((3, q, 4)).astype("float32"), axis=1)
    groups = np.searchsorted(np.arange(q + 1) * p // q, np.arange(p), "right") - 1
    expected = np.empty_like(values)
    np.put_along_axis(expected, np.argsort(values, axis=1), quantiles[:, groups], axis=1)
    for function in (matched, compiled(matched)):
        np.testing.assert_array_equal(function(*map(ops.convert_to_tensor, (values, quantiles))), expected)


def test_marginals_by_hand():
    """Values 3, 1 to quantiles 0, 2: the larger one to 2, the smaller to 0; mean of squares over the variance of 1."""
    activations = {"k": np.array([[[[3.0], [1.0]]]], "float32")}
    term = Marginals("k", np.array([[[0.0], [2.0]]], "float32"))
    np.testing.assert_allclose(term(activations), [1])
    _, gradient = value_and_gradient(lambda x: (ops.sum(term({"k": x})), ()))(ops.convert_to_tensor(activations["k"]))
    np.testing.assert_allclose(gradient, [[[[1.0], [1.0]]]])


def test_marginals_do_not_depend_on_place_and_are_met_by_their_own():
    X = np.random.default_rng(0).standard_normal((2, 5, 4, 3)).astype("float32")
    quantiles = np.stack([statistics.Marginals().fit(x[None]).quantiles_ for x in X]).astype("float32")
    term = Marginals("k", quantiles)
    np.testing.assert_allclose(term({"k": X[:, ::-1, ::-1]}), 0, atol=1e-12)
    np.testing.assert_allclose(term({"k": X + 3}), 9 / X.var(axis=(1, 2)).mean(axis=1), rtol=1e-5)
    assert term.per_image == ("quantiles",)


def test_marginals_of_regions_know_where_values_lie():
    X = np.random.default_rng(1).standard_normal((2, 8, 8, 3)).astype("float32")
    term = Marginals("k", statistics.marginals.of_regions(X, 4, 4))
    np.testing.assert_allclose(term({"k": X}), 0, atol=1e-12)
    within = X.reshape(2, 4, 2, 4, 2, 3)[:, :, ::-1, :, ::-1].reshape(X.shape)  # turned round in each region
    np.testing.assert_allclose(term({"k": within}), 0, atol=1e-12)
    assert np.min(term({"k": X[:, ::-1]})) > 0.5


def test_marginals_of_units():
    X = np.random.default_rng(2).standard_normal((2, 5)).astype("float32")
    expected = np.mean((X - 1) ** 2, axis=1)
    term = Marginals("k", np.ones((2, 1, 5), "float32"))
    np.testing.assert_allclose(1e-12 * np.asarray(term({"k": X})), expected, rtol=1e-5)
