"""Distances of feature sets against independent implementations, tiny cases by hand, and what they are for."""

import numpy as np
import pytest
from prdc import compute_prdc
from sklearn.metrics.pairwise import polynomial_kernel
from vendi_score import vendi

from vizlib.realism.distances import density_and_coverage, kernel_inception_distance, told_apart, vendi_score

SEEDS = pytest.mark.parametrize("seed", range(3))


def pair(seed, n=40, m=40, shift=0.0, d=6):
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, (n, d)), rng.normal(size=(m, d))


@SEEDS
def test_kid_is_the_unbiased_estimate_of_its_paper(seed):
    x, y = pair(seed, 5, 7, 0.5, 3)

    def kernel(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / 3 + 1) ** 3

    within = np.mean([kernel(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
    among = np.mean([kernel(y[i], y[j]) for i in range(7) for j in range(7) if i != j])
    across = np.mean([kernel(a, b) for a in x for b in y])
    np.testing.assert_allclose(kernel_inception_distance(x, y), within + among - 2 * across)


@SEEDS
def test_kid_agrees_with_scikit_learns_kernel(seed):
    x, y = pair(seed, 30, 20, 0.3)
    within, among, across = (polynomial_kernel(*sets, degree=3, coef0=1) for sets in ((x, x), (y, y), (x, y)))
    expected = within[~np.eye(30, dtype=bool)].mean() + among[~np.eye(20, dtype=bool)].mean() - 2 * across.mean()
    assert kernel_inception_distance(x.astype("float32"), y) == pytest.approx(expected, rel=1e-5)


def test_kid_is_zero_on_average_for_one_distribution_alone():
    rng = np.random.default_rng(0)
    same = [kernel_inception_distance(rng.normal(size=(40, 4)), rng.normal(size=(60, 4))) for _ in range(200)]
    other = [kernel_inception_distance(rng.normal(size=(40, 4)), rng.normal(1, 1, (60, 4))) for _ in range(20)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(200)
    assert min(other) > 3 * np.std(same)


@SEEDS
@pytest.mark.parametrize("shift", [0, 0.5, 3])
@pytest.mark.parametrize("neighbours", [1, 5])
def test_density_and_coverage_agree_with_their_authors(seed, shift, neighbours, capsys):
    x, y = pair(seed, 50, 30, shift)
    expected = compute_prdc(y, x, neighbours)
    assert density_and_coverage(x, y, neighbours) == pytest.approx((expected["density"], expected["coverage"]))


def test_density_and_coverage_by_hand():
    real = np.array([[0.0], [1], [3], [10]])  # the balls reach 1, 1, 2 and 7 far
    made = np.array([[0.5], [2.5], [2.5], [30]])  # in balls 1 and 2, ball 3, ball 3, none
    assert density_and_coverage(made, real, neighbours=1) == (pytest.approx(4 / 4), 3 / 4)
    assert density_and_coverage(made[3:], real, neighbours=1) == (0, 0)


def test_one_distribution_has_density_and_coverage_near_one():
    values = np.array([density_and_coverage(*pair(seed)) for seed in range(50)])
    assert abs(values[:, 0].mean() - 1) < 0.05
    k = np.arange(1, 6)
    expected = 1 - np.prod((40 - k) / (80 - k))  # Naeem et al. 2020, lemma 2
    assert abs(values[:, 1].mean() - expected) < 0.01


@pytest.mark.parametrize(("shift", "low", "high"), [(0, 0.45, 0.55), (0.5, 0.62, 0.8), (6, 0.999, 1)])
def test_told_apart_is_chance_for_one_distribution_and_certain_for_two(shift, low, high):
    labels = np.repeat(["a", "b", "c"], 20)
    shares = []
    for seed in range(12):
        x, y = pair(seed, 60, 60, shift)
        shares += told_apart(x, y, labels, labels).values()
    assert low <= np.mean(shares) <= high


def test_a_linear_classifier_of_two_normals_comes_near_to_the_best_possible():
    from scipy.stats import norm

    labels = np.repeat(["a", "b"], 200)
    shares = [np.mean([*told_apart(*pair(s, 400, 400, 0.5), labels, labels).values()]) for s in range(3)]
    assert np.mean(shares) == pytest.approx(norm.cdf(0.25 * np.sqrt(6)), abs=0.03)


def test_told_apart_is_blind_to_what_lies_between_classes():
    labels = np.repeat(["a", "b"], 30)
    x, y = pair(0, 60, 60)
    away = 100 * (labels == "b")[:, None]
    assert told_apart(x, y, labels, labels) == told_apart(x + away, y + away, labels, labels)
    # opposite shifts of two classes lie on two sides of the same plane
    apart = told_apart(x + np.where(labels == "a", 8, 0)[:, None], y, labels, labels)
    assert apart["a"] > 0.95


def test_told_apart_answers_by_class_of_both_sets():
    labels, known = np.array(["a"] * 9 + ["b"] * 5), np.array(["b"] * 6 + ["a"] * 8)
    x, y = pair(1, 14, 14)
    assert told_apart(x + 50, y, labels, known) == {"a": 1, "b": 1}
    copies = told_apart(y[::-1], y, known[::-1], known)  # what is trained on one is wrong about its copy
    assert max(copies.values()) <= 0.5


@SEEDS
def test_vendi_score_agrees_with_its_authors(seed):
    x, _ = pair(seed, 12, d=5, shift=0.5)
    assert vendi_score(x) == pytest.approx(vendi.score_dual(x, normalize=True))
    y, _ = pair(seed, 5, d=12)
    cosine = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in y] for a in y]
    values = np.linalg.eigvalsh(np.array(cosine) / 5)
    assert vendi_score(y.astype("float32")) == pytest.approx(np.exp(-np.sum(values * np.log(values))), rel=1e-4)


def test_vendi_score_counts_what_is_different():
    assert vendi_score(np.eye(7)) == pytest.approx(7)
    assert vendi_score(np.ones((7, 3))) == pytest.approx(1)
    assert vendi_score(np.repeat(np.eye(3), 4, axis=0) * 5) == pytest.approx(3)  # nor do lengths matter
    # two at 60 degrees: eigenvalues 3/4 and 1/4
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert vendi_score([[1, 0], [0.5, np.sqrt(0.75)]]) == pytest.approx(np.exp(entropy))
    assert vendi_score(np.zeros((4, 3))) == 1


def test_too_few_features_are_nan_and_no_error():
    x, y = pair(0, 3, 3)
    labels = np.array(["a", "a", "b"])
    assert np.isnan(kernel_inception_distance(x[:1], y))
    assert np.isnan(density_and_coverage(x, y, 3)).all()
    assert np.isnan([*told_apart(x, y, labels, labels).values()]).all()
