"""Terms by hand."""

from dataclasses import fields, replace

import numpy as np
import pytest
from keras import ops

from vizlib import backend, statistics
from vizlib.backend import compiled, matched, value_and_gradient
from vizlib.statistics import ImageStatistics, Moments, PatchBank
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


@pytest.mark.parametrize("robust", [False, True])
def test_distance_to_an_all_zero_target_is_finite(robust):
    for shape in ((1, 2), (1, 3, 3, 2)):
        term = Distance("k", np.zeros(shape, "float32"), robust)
        assert np.isfinite(term({"k": np.ones(shape, "float32")})).all()


def test_a_robust_distance_is_the_mean_of_those_of_positions():
    """Distances 3 and 4 at the two positions of one image, of targets whose mean square is 25, and 5 of one without."""
    targets, activations = np.array([[[[3, 4], [0, 5]]]], "float32"), np.array([[[[0, 4], [0, 1]]]], "float32")
    np.testing.assert_allclose(Distance("k", targets, True)({"k": activations}), [3.5 / 5], rtol=1e-6)
    flat = Distance("k", np.array([[0, 10]], "float32"), True)
    np.testing.assert_allclose(flat({"k": np.array([[3, 6]], "float32")}), [5 / 10], rtol=1e-6)


def test_positions_draw_at_a_robust_distance_no_more_the_farther_they_are_from_it():
    """The gradient of a robust distance is of one length at every position, and 0, not NaN, where there is none."""
    targets, values = np.ones((1, 1, 3, 2), "float32"), np.array([[[[1, 1], [1, 2], [1, 101]]]], "float32")
    measured = value_and_gradient(lambda x: (ops.sum(Distance("k", targets, True)({"k": x})), ()))
    _, gradient = measured(ops.convert_to_tensor(values))
    expected = np.array([[0, 0], [0, 1], [0, 1]]) / 3 / 2**0.5
    np.testing.assert_allclose(ops.convert_to_numpy(gradient)[0, 0], expected, atol=1e-5)


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


def test_total_variation_of_hues_counts_more():
    """The step is one of 0.1 in grey, 3 * 0.01 squared, and of (0.2, -0.1, -0.1) in hue, four times as much."""
    image = np.zeros((1, 4, 4, 3), "float32")
    image[:, :, 2:, 0] = 0.3
    expected = (3 * np.sqrt(0.03 + 16 * 0.06 + 1e-4) + 6 * 0.01) / 9
    np.testing.assert_allclose(TotalVariation(0.05, hues=4)({"image": image}), [expected / 0.05], rtol=1e-5)
    grey = np.repeat(image[..., :1], 3, axis=-1)
    np.testing.assert_allclose(*(TotalVariation(0.05, hues=k)({"image": grey}) for k in (1, 4)), rtol=1e-5)


def test_priors_are_those_of_the_class():
    images = np.random.default_rng(0).random((30, 8, 8, 3), "float32")
    statistics = ImageStatistics().fit(images)
    smooth, colours, edges = priors(statistics)
    assert [term.name for term in (smooth, colours, edges)] == [
        "total variation", "colour composition", "edge sharpness",
    ]  # fmt: skip
    activations = {"image": ops.convert_to_tensor(images)}
    np.testing.assert_allclose(ops.mean(smooth(activations)) / smooth.weight, 1, atol=0.01)
    assert ops.mean(colours(activations)) / colours.weight < 0.3  # E max(0, |z| − 1) is 0.17 for a normal z
    assert ops.mean(edges(activations)) / edges.weight < 0.3
    grey = {"image": ops.full((1, 8, 8, 3), 0.5)}
    assert colours(grey)[0] / colours.weight > 1 and smooth(grey)[0] < ops.min(smooth(activations))


def gradient_of(term, layer, values):
    """The loss summed over images, and its gradient, by the backend. The term's arrays are tensors, as in the loop."""
    arrays = {x.name: getattr(term, x.name) for x in fields(term) if isinstance(getattr(term, x.name), np.ndarray)}
    term = replace(term, **{name: ops.convert_to_tensor(x) for name, x in arrays.items()})

    def loss(variables):
        return ops.sum(term({layer: variables[0]})), ()

    (total, _), (gradient,) = value_and_gradient(loss)([ops.convert_to_tensor(values)])
    return float(total), ops.convert_to_numpy(gradient)


def test_outliers_are_pulled_to_what_is_near_and_nothing_else_is():
    """One patch of three positions of one channel each is far away: the gradient is 0 beyond its neighbours."""
    real = np.zeros((10, 1, 9, 1), "float32") + 0.01 * np.arange(10, dtype="float32")[:, None, None, None]
    bank = PatchBank(span=0.5)
    bank.fit(np.repeat(real, 6, axis=1))
    assert bank.side_ == 3
    x = np.full((2, 6, 9, 1), 0.05, "float32")
    x[1, 3, 4] = 5
    term = Outliers("k", bank).renewed({"k": x})
    assert not term.found[0].any() and term.found[1].sum() == 9 and term.found[1, 2:5, 3:6].all()
    total, gradient = gradient_of(term, "k", x)
    np.testing.assert_array_equal(gradient[0], 0)
    assert gradient[1, 3, 4] > 0 and not gradient[1, :, 7:].any() and not gradient[1, :, :2].any()
    np.testing.assert_allclose(total, (term.weights[..., None] * (x - term.expected) ** 2).sum() / 54, rtol=1e-5)
    np.testing.assert_allclose(term.weights[1, 3, 4], 1 / bank.variance_, rtol=1e-5)


def test_what_was_an_outlier_stays_one_and_what_is_near_is_sought_anew():
    bank = PatchBank().fit(np.array([[0.0], [1], [0], [1], [0], [1]], "float32"))
    term = Outliers("k", bank).renewed({"k": np.array([[9.0]], "float32")})
    np.testing.assert_array_equal(term.expected, [[1]])
    term = term.renewed({"k": np.array([[0.1]], "float32")})
    np.testing.assert_array_equal(term.found, [[[True]]])
    np.testing.assert_allclose(term.expected, [[0]], atol=1e-6)


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
    found = matched(*map(ops.convert_to_tensor, (values, quantiles)))
    np.testing.assert_array_equal(found, [[[30, 2], [10, 3], [20, 1]]])


@pytest.mark.parametrize("together", [1, 30, 110, 2**18])
@pytest.mark.parametrize(("p", "q"), [(1, 1), (12, 12), (13, 5), (200, 64)])
def test_matched_is_sorting_in_numpy(p, q, together, monkeypatch):
    monkeypatch.setattr(backend, "SORTED", together)
    rng = np.random.default_rng(p)
    values = (rng.standard_normal((7, p, 4)) * 10.0 ** rng.integers(-30, 30, (7, p, 4))).astype("float32")
    quantiles = np.sort(rng.standard_normal((7, q, 4)).astype("float32"), axis=1)
    groups = np.searchsorted(np.arange(q + 1) * p // q, np.arange(p), "right") - 1
    expected = np.empty_like(values)
    np.put_along_axis(expected, np.argsort(values, axis=1), quantiles[:, groups], axis=1)
    for function in (matched, compiled(matched)):
        np.testing.assert_array_equal(function(*map(ops.convert_to_tensor, (values, quantiles))), expected)


@pytest.mark.parametrize("scale", [1e-20, 1, 1e30])
@pytest.mark.parametrize("p", [256, 257, 2000, 5000])
def test_many_values_are_matched_but_for_those_that_are_nearly_equal(p, scale, monkeypatch):
    monkeypatch.setattr(backend, "SORTED", 6000)
    rng = np.random.default_rng(p)
    values = (scale * rng.standard_normal((3, p, 5))).astype("float32")
    values[0, :, 0] = values[0, 0, 0]
    quantiles = np.broadcast_to(np.arange(p, dtype="float32")[:, None], values.shape)
    found = np.asarray(matched(*map(ops.convert_to_tensor, (values, quantiles))))
    np.testing.assert_array_equal(np.sort(found, axis=1), quantiles)
    ranked = np.take_along_axis(values, found.argsort(axis=1), axis=1)  # ascending, as far as they are told apart
    apart = np.ptp(values, axis=1, keepdims=True) / 65500 if p > 256 else np.abs(ranked[:, 1:]) / 2**15
    assert (np.diff(ranked, axis=1) >= -apart).all()


def test_values_that_are_not_finite_are_matched_without_a_warning():
    for p in (10, 1000):
        values = np.ones((1, p, 3), "float32")
        values[0, 3] = np.nan, np.inf, -np.inf
        quantiles = np.broadcast_to(np.arange(p, dtype="float32")[:, None], values.shape)
        found = np.asarray(matched(*map(ops.convert_to_tensor, (values, quantiles))))
        np.testing.assert_array_equal(np.sort(found, axis=1)[0, :, 0], np.arange(p))


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
    assert ops.min(term({"k": X[:, ::-1]})) > 0.5


def test_marginals_of_units():
    X = np.random.default_rng(2).standard_normal((2, 5)).astype("float32")
    expected = np.mean((X - 1) ** 2, axis=1)
    term = Marginals("k", np.ones((2, 1, 5), "float32"))
    np.testing.assert_allclose(1e-12 * np.asarray(term({"k": X})), expected, rtol=1e-5)
