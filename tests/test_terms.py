"""Terms by hand."""

import numpy as np

from vizlib.statistics import ImageStatistics
from vizlib.terms import ClassScore, Distance, SquaredNorm, TotalVariation, Typical, priors


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
    activations = {"image": images}
    np.testing.assert_allclose(np.mean(smooth(activations)) / smooth.weight, 1, atol=0.01)
    assert np.mean(colours(activations)) / colours.weight < 0.3  # E max(0, |z| − 1) is 0.17 for a normal z
    assert np.mean(edges(activations)) / edges.weight < 0.3
    grey = {"image": np.full((1, 8, 8, 3), 0.5, "float32")}
    assert colours(grey)[0] / colours.weight > 1 and smooth(grey)[0] < np.min(smooth(activations))
