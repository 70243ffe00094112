"""Similarity along a network, against SciPy's correlation of every pair."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import spearmanr

from vizlib.networks import Network
from vizlib.realism import SimilarityJudge
from vizlib.realism.similarity import standardised_ranks

LAYERS = ["conv1", "conv2", "pool", "flatten"]


@pytest.fixture(scope="module")
def pictures():
    """{class: 11 images}: noise around one picture of each class, and around one that all share."""
    rng = np.random.default_rng(0)
    common, *own = rng.random((4, 6, 6, 3))
    classes = zip("abc", own, strict=True)
    return {key: ((common + own + rng.random((11, 6, 6, 3))) / 3).astype("float32") for key, own in classes}


def pairwise(net, layer, pairs):
    return np.mean([spearmanr(*net.activations(np.stack(pair), [layer])[layer].reshape(2, -1), axis=1)[0]
                    for pair in pairs])


def test_against_every_pair(tiny_cnn, pictures):
    net = Network(tiny_cnn)
    reference, images = ({key: x[part] for key, x in pictures.items()} for part in (slice(8), slice(8, 11)))
    made, labels = np.concatenate([images[key] for key in "cab"]), np.repeat([*"cab"], 3)
    answer = SimilarityJudge(net, LAYERS, reference)(made, labels, None)
    expected = {}
    for i, layer in enumerate(LAYERS, 1):
        same = {key: pairwise(net, layer, combinations(x, 2)) for key, x in reference.items()}
        floor = {key: np.mean([pairwise(net, layer, product(reference[key], reference[other]))
                               for other in "abc" if other != key]) for key in "abc"}
        found = {key: pairwise(net, layer, product(images[key], reference[key])) for key in "abc"}
        scale = np.mean([same[key] - floor[key] for key in "abc"])
        expected[i] = {key: (found[key] - floor[key]) / scale for key in "abc"}
        assert answer[f"similarity_{i}"] == pytest.approx(expected[i], rel=1e-3, abs=1e-4)
    for key in "abc":
        assert answer["similarity_early"][key] == pytest.approx((expected[1][key] + expected[2][key]) / 2, abs=1e-3)
        assert answer["similarity_middle"][key] == pytest.approx(expected[3][key], abs=1e-3)
        assert answer["similarity_late"][key] == pytest.approx(expected[4][key], abs=1e-3)
    assert np.mean([*answer["similarity_middle"].values()]) == pytest.approx(1, abs=0.15)  # others of the same class


def test_real_images_of_the_other_class_are_at_zero(tiny_cnn, pictures):
    reference = {key: pictures[key] for key in "ab"}
    judge = SimilarityJudge(Network(tiny_cnn), LAYERS[:3], reference)
    answer = judge(np.concatenate([reference["b"], reference["a"]]), np.repeat(["a", "b"], 11), None)
    for values in answer.values():
        assert values == pytest.approx({"a": 0, "b": 0}, abs=1e-5)
    with pytest.raises(ValueError, match="expected a reference for every class; received none of c."):
        judge(pictures["c"], ["c"] * 11, None)


def test_standardised_ranks():
    found = standardised_ranks(np.array([[3, 9], [3, 5]]))
    np.testing.assert_allclose(found, np.array([-1, 1.5, -1, 0.5]) / np.sqrt(4.5), rtol=1e-6)
    assert standardised_ranks(np.full((2, 3), 7)).tolist() == [0] * 6
