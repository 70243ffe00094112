"""Judges and distances against direct computations, and on scenes whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from vizlib import partworld
from vizlib.arrangement import complete_objects
from vizlib.realism import (
    ClassJudge,
    FoundPart,
    PartJudge,
    compare,
    find_parts,
    kernel_inception_distance,
    load_judge,
    matches,
    nearest_images,
)

LABELS = [name for name in partworld.CLASSES for _ in range(8)]


@pytest.fixture(scope="module")
def real():
    return np.concatenate([partworld.draw(name, 8, seed=43) for name in partworld.CLASSES])


@pytest.fixture(scope="module")
def scenes():
    return [scene for name in partworld.CLASSES for scene in partworld.scenes(name, 10, seed=44)]


class Heat:
    """A judge of parts whose heat maps are given."""

    def __init__(self, *peaks):
        self.heat = np.zeros((1, 32, 32, len(partworld.PARTS)), "float32")
        for kind, row, column, value in peaks:
            self.heat[0, row, column, partworld.PARTS.index(kind)] = value

    def predict(self, images, **_):
        return np.repeat(self.heat, len(images), 0)


@pytest.mark.parametrize("seed", range(3))
def test_kid_is_the_unbiased_estimate_of_its_paper(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(5, 3)), rng.normal(0.5, 1, (7, 3))

    def kernel(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / 3 + 1) ** 3

    within = np.mean([kernel(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
    among = np.mean([kernel(y[i], y[j]) for i in range(7) for j in range(7) if i != j])
    across = np.mean([kernel(a, b) for a in x for b in y])
    np.testing.assert_allclose(kernel_inception_distance(x, y), within + among - 2 * across)


def test_kid_is_zero_on_average_for_one_distribution_alone():
    rng = np.random.default_rng(0)
    same = [kernel_inception_distance(rng.normal(size=(40, 4)), rng.normal(size=(60, 4))) for _ in range(200)]
    other = [kernel_inception_distance(rng.normal(size=(40, 4)), rng.normal(1, 1, (60, 4))) for _ in range(20)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(200)
    assert min(other) > 3 * np.std(same)


def test_nearest_finds_the_moved_noisy_copy(real):
    rng = np.random.default_rng(0)
    order = rng.permutation(len(real))[:20]
    copies = np.clip(np.roll(real[order], 1, axis=2) + rng.normal(0, 0.05, (20, 64, 64, 3)), 0, 1).astype("float32")
    index, distance = nearest_images(copies, real)
    assert index.tolist() == order.tolist()
    others = np.delete(real, order, 0)
    assert distance.max() < nearest_images(copies, others)[1].min()


def test_nearest_distance_is_in_units_of_pixel_values():
    dark, light = np.full((1, 64, 64, 3), 0.25, "float32"), np.full((3, 64, 64, 3), 0.75, "float32")
    light[1] = 0.35
    index, distance = nearest_images(dark, light)
    assert index.tolist() == [1]
    np.testing.assert_allclose(distance, [0.1], atol=1e-6)


def test_parts_are_the_peaks_of_the_heat_maps():
    judge = Heat(("eye", 3, 5, 0.9), ("eye", 3, 6, 0.8), ("eye", 9, 6, 0.7), ("wheel", 3, 5, 0.6), ("ear", 20, 20, 0.1))
    (parts,) = find_parts(np.zeros((1, 64, 64, 3), "float32"), judge)
    assert sorted((part.kind, part.row, part.column) for part in parts) == \
        [("eye", 6.5, 10.5), ("eye", 18.5, 12.5), ("wheel", 6.5, 10.5)]
    assert max(part.confidence for part in parts) == pytest.approx(0.9)


def test_matches_need_kind_and_place_and_take_a_part_once():
    truth = [partworld.Part("eye", (10, 10, 14, 14), False), partworld.Part("sail", (20, 20, 50, 30), False)]
    found = [FoundPart("eye", 11.5, 14.4, 0.9), FoundPart("eye", 11.5, 11.5, 0.5), FoundPart("ear", 11.5, 11.5, 0.9),
             FoundPart("sail", 47, 24.5, 0.9), FoundPart("eye", 11.5, 15, 0.9)]
    pairs = matches(found, truth)  # 2.9 and 0 of at most 3 pixels from the eye, 12.5 of at most 15 from the sail
    assert len(pairs) == 2 and (3, 1) in pairs and pairs[0] in ((0, 0), (1, 0))
    assert matches(found[4:], truth) == matches([], truth) == matches(found, []) == []


def test_real_scenes_hold_one_object_and_their_stray_parts(scenes):
    answers = [complete_objects(parts) for parts in find_parts(np.stack([scene.image for scene in scenes]))]
    whole = [[name for name, _ in objects] == [scene.label]
             for (objects, _), scene in zip(answers, scenes, strict=True)]
    assert np.mean(whole) >= 0.95
    stray = np.mean([len(stray) for _, stray in answers])
    truth = np.mean([sum(part.stray for part in scene.parts) for scene in scenes])
    assert truth - 0.1 <= stray <= truth + 0.1


def test_compare_tells_real_from_wrong(real):
    halves = np.concatenate([real[:, 32:], real[:, :32]], 1)  # the same pixels, the object cut in two
    table = compare({"swapped": halves, "relabelled": np.roll(real, 8, 0)}, real, LABELS, training=real)
    assert table.index.tolist() == ["swapped", "relabelled", "real"]
    assert table.loc["real", "accuracy"] >= 0.98 and table.loc["real", "whole"] >= 0.93
    assert table.loc["relabelled", "accuracy"] == table.loc["relabelled", "whole"] == 0
    assert table.loc["relabelled", "complete_objects"] == table.loc["real", "complete_objects"] >= 0.93
    assert table.loc["swapped", "complete_objects"] < 0.2 and table.loc["swapped", "stray_parts"] > 2
    assert table.loc["swapped", "kid"] > 10 * abs(table.loc["real", "kid"])
    assert table.loc["real", "nearest"] == 0 < table.loc["swapped", "nearest"]


def test_columns_hold_mean_and_bootstrap_interval():
    def judge(images, labels, real):
        return {"bright": images.mean((1, 2, 3)), "number": len(images)}

    images = np.repeat(np.arange(100, dtype="float32") / 99, 12).reshape(100, 2, 2, 3)
    table = compare({"ramp": images}, np.zeros((100, 2, 2, 3), "float32"), ["x"] * 100, judges=[judge])
    expected = {"bright": 0.5, "bright_low": 0.5 - 1.96 * 0.0292, "bright_high": 0.5 + 1.96 * 0.0292, "number": 100}
    pd.testing.assert_series_equal(table.loc["ramp"], pd.Series(expected, name="ramp"), atol=5e-3)
    assert table.loc["real"].tolist() == [0, 0, 0, 100]


def test_kid_is_averaged_over_classes_and_real_images_are_compared_by_halves(real):
    judge = ClassJudge()
    features = judge.answers.predict(real, verbose=0)[1].reshape(12, 8, 96)
    halves = np.mean([kernel_inception_distance(f[::2], f[1::2]) for f in features])
    assert judge(real, LABELS, real)["kid"] == pytest.approx(halves, rel=1e-3)
    other = np.concatenate([partworld.draw(name, 8, seed=45) for name in partworld.CLASSES])
    known = judge.answers.predict(other, verbose=0)[1].reshape(12, 8, 96)
    classwise = np.mean([kernel_inception_distance(f, k) for f, k in zip(features, known, strict=True)])
    assert judge(real, LABELS, other)["kid"] == pytest.approx(classwise, rel=1e-3)
    assert np.isnan(judge(real[::8], partworld.CLASSES, other[::8])["kid"])


def test_part_judge_counts_what_is_left_over():
    judge = PartJudge(Heat(("eye", 3, 5, 0.9), ("eye", 20, 5, 0.9), ("wheel", 9, 9, 0.9)))
    answer = judge(np.zeros((2, 64, 64, 3), "float32"), ["face", "car"], None)
    assert answer == {"stray_parts": [3, 3], "complete_objects": [0, 0], "whole": [False, False]}


def test_errors_say_what_is_wrong(real):
    with pytest.raises(ValueError, match="'classifier' or 'parts'; received 'judge'"):
        load_judge("judge")
    with pytest.raises(ValueError, match="96 labels; received 95 of 'short'"):
        compare({"short": real[1:]}, real, LABELS, judges=[])
    with pytest.raises(ValueError, match="96 labels; received 95 of 'real'"):
        compare({"full": real}, real[1:], LABELS, judges=[])
