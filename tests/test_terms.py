"""Terms by hand."""

import numpy as np

from vizlib.terms import ClassScore, Distance, SquaredNorm, Typical


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
