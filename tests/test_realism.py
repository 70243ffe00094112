"""Judges and distances against direct computations, and on scenes whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from vizlib import partworld
from vizlib.partworld.arrangement import complete_objects
from vizlib.realism import (
    ClassJudge,
    FoundPart,
    PartJudge,
    compare,
    find_parts,
    load_judge,
    matches,
    nearest_images,
    pixel_statistics,
    pixels,
)
from vizlib.realism import distances as metrics
from vizlib.realism.judges import resized

LABELS = [name for name in partworld.CLASSES for _ in range(8)]


@pytest.fixture(scope="module")
def real():
    return np.concatenate([partworld.draw(name, 8, seed=43) for name in partworld.CLASSES])


@pytest.fixture(scope="module")
def scenes():
    return [scene for name in partworld.CLASSES for scene in partworld.scenes(name, 10, seed=44)]


@pytest.fixture(scope="module")
def judge():
    return ClassJudge()


class Heat:
    """A judge of parts whose heat maps are given."""

    def __init__(self, *peaks):
        self.heat = np.zeros((1, 32, 32, len(partworld.PARTS)), "float32")
        for kind, row, column, value in peaks:
            self.heat[0, row, column, partworld.PARTS.index(kind)] = value

    def __call__(self, inputs, training):
        (images,) = inputs
        return np.repeat(self.heat, len(images), 0)


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


def test_compare_tells_real_from_wrong(real, judge):
    halves = np.concatenate([real[:, 32:], real[:, :32]], 1)  # the same pixels, the object cut in two
    table = compare({"swapped": halves, "relabelled": np.roll(real, 8, 0)}, real, LABELS, [judge, PartJudge()], real)
    assert table.index.tolist() == ["swapped", "relabelled", "real"]
    assert table.loc["real", "accuracy"] >= 0.98 and table.loc["real", "whole"] >= 0.93
    assert table.loc["relabelled", "accuracy"] == table.loc["relabelled", "whole"] == 0
    assert table.loc["relabelled", "complete_objects"] == table.loc["real", "complete_objects"] >= 0.93
    assert table.loc["swapped", "complete_objects"] < 0.2 and table.loc["swapped", "stray_parts"] > 2
    assert table.loc["swapped", "kid_low"] > table.loc["real", "kid_high"]
    assert table.loc["real", "nearest"] == table.loc["relabelled", "nearest"] == 0 < table.loc["swapped", "nearest"]


def test_other_real_images_pass_every_test_and_wrong_ones_fail_theirs(real, judge):
    rng = np.random.default_rng(0)
    made = {
        "other": np.concatenate([partworld.draw(name, 8, seed=46) for name in partworld.CLASSES]),
        "noise": rng.random(real.shape).astype("float32"),
        "one": np.repeat(real[::8], 8, axis=0),
        "washed": (0.5 + 0.4 * (real - 0.5)).astype("float32"),
        "blurred": gaussian_filter(real, (0, 2, 2, 0)),
        "copies": real[::-1].reshape(12, 8, 64, 64, 3)[::-1].reshape(real.shape),
    }
    training = np.concatenate([partworld.draw(name, 40, seed=47) for name in partworld.CLASSES])
    t = compare(made, real, LABELS, [judge], np.concatenate([training, real[::2]]))
    floor = compare({}, real, LABELS, [judge], training).loc["real"]
    assert t.loc["other", "told_apart_low"] < 0.6 and t.loc["noise", "told_apart_low"] > 0.98
    assert 0.4 < floor.told_apart < 0.6 and abs(floor.kid) < 0.05 * t.loc["noise", "kid"]
    assert t.loc["washed", "told_apart_low"] > 0.8 and t.loc["blurred", "told_apart"] > 0.7
    assert t.loc["other", "kid_low"] < 0.5 < t.loc["blurred", "kid_low"] < t.loc["noise", "kid"]
    for column in ("density", "coverage"):
        assert t.loc["other", column] > 0.75 and floor[column] > 0.75 and t.loc["noise", column] < 0.05
        assert t.loc["washed", column] < 0.5
    assert t.loc["one", "coverage"] < t.loc["other", "coverage"] - 0.1  # though where it is, real images are dense
    assert t.loc["one", ["vendi", "vendi_within"]].tolist() == pytest.approx([1, 1])
    assert t.loc["other", "vendi_within"] == pytest.approx(floor.vendi_within, rel=0.15)
    assert max(t.loc["noise", "vendi_within"], t.loc["washed", "vendi_within"]) < 0.5 * floor.vendi_within
    assert t.loc["one", "ms_ssim"] == pytest.approx(1) and t.loc["other", "ms_ssim"] < 0.4
    for column in ("contrast", "high_frequency", "spectrum_slope", "naturalness", "orientations"):
        assert t.loc["other", column] == pytest.approx(floor[column], rel=0.1), column
    assert t.loc["washed", "contrast"] == pytest.approx(0.4 * floor.contrast, rel=1e-3)
    assert t.loc["blurred", "high_frequency"] < 0.1 * floor.high_frequency < t.loc["noise", "high_frequency"]
    assert t.naturalness.drop(["other", "one", "copies", "real"]).max() < floor.naturalness - 0.05
    assert t.loc["copies", "nearest_tenth"] == t.loc["real", "nearest_tenth"] == 0
    np.testing.assert_allclose(floor.copied, 0.1, atol=0.02)


def test_copies_are_seen(real):
    training = np.concatenate([partworld.draw(name, 20, seed=47) for name in partworld.CLASSES])
    noisy = (training[::20].repeat(8, axis=0) + 0.01 * np.sign(real - 0.5)).clip(0, 1)
    table = compare({"noisy copies": noisy}, real, LABELS, [lambda *_: {}], training)
    assert table.loc["noisy copies", "copied"] == 1
    distance = nearest_images(real, training)[1]
    assert table.loc["real", "nearest"] == pytest.approx(distance.mean())
    assert table.loc["real", "nearest_tenth"] == pytest.approx(np.percentile(distance, 10))
    assert table.loc["noisy copies", "nearest_tenth"] < table.loc["noisy copies", "nearest"] < distance.min()


def test_columns_hold_mean_and_bootstrap_interval_over_classes():
    def judge(images, labels, real):
        return {"bright": images.mean((1, 2, 3)), "class": {"0": 3.0, "1": 5.0}, "number": len(images)}

    labels = np.repeat(np.arange(100).astype(str), 2)
    ramp = np.repeat(np.arange(100, dtype="float32") / 99, 2)
    noise = np.random.default_rng(0).uniform(-0.01, 0.01, (200, 16, 16, 3)).astype("float32")
    images = (0.1 + 0.8 * ramp[:, None, None, None] + noise).astype("float32")
    table = compare({"ramp": images}, images[::-1], labels, judges=[judge])
    expected = {"bright": 0.5, "bright_low": 0.5 - 1.96 * 0.8 * 0.0292, "bright_high": 0.5 + 1.96 * 0.8 * 0.0292,
                "class": 4, "class_low": 3, "class_high": 5, "number": 200}
    found = table.loc["ramp", list(expected)]
    pd.testing.assert_series_equal(found, pd.Series(expected, name="ramp"), atol=5e-3)
    assert "number_low" not in table


def test_no_judges_are_none(real):
    table = compare({}, real[:16], LABELS[:16], judges=[])
    assert {column for column in table if not column.endswith(("_low", "_high"))} == {
        "contrast", "spectrum_slope", "high_frequency", "naturalness", "orientations", "ms_ssim",
    }  # fmt: skip


def test_classes_count_alike_and_one_class_has_no_interval():
    images = np.concatenate([np.full((6, 16, 16, 3), 0.2), np.full((2, 16, 16, 3), 0.6)]).astype("float32")
    images[:, ::2] += 0.1
    labels = ["a"] * 6 + ["b"] * 2

    def judge(images, labels, real):
        return {"bright": images.mean((1, 2, 3))}

    row = compare({}, images, labels, [judge]).loc["real"]
    assert row.bright == pytest.approx(0.45) and row.bright_low == pytest.approx(0.25)
    row = compare({}, images[:6], labels[:6], [judge]).loc["real"]
    assert row.bright == pytest.approx(0.25) and np.isnan(row.bright_low) and np.isnan(row.bright_high)


def test_class_judge_measures_within_classes_and_real_images_by_halves(real, judge):
    network = judge.network
    other = np.concatenate([partworld.draw(name, 8, seed=45) for name in partworld.CLASSES])
    features, known = (network.activations(x, ["embedding"])["embedding"].reshape(12, 8, 96) for x in (real, other))
    answer, floor = judge(real, LABELS, other), judge(real, LABELS, real)
    for i, name in enumerate(partworld.CLASSES):
        f, k = features[i], known[i]
        assert answer["kid"][name] == pytest.approx(metrics.kernel_inception_distance(f, k), rel=1e-3)
        assert floor["kid"][name] == pytest.approx(metrics.kernel_inception_distance(f[::2], f[1::2]), rel=1e-3)
        assert (answer["density"][name], answer["coverage"][name]) == metrics.density_and_coverage(f, k, 3)
        assert (floor["density"][name], floor["coverage"][name]) == metrics.density_and_coverage(f[::2], f[1::2], 3)
        assert answer["vendi"][name] == pytest.approx(metrics.vendi_score(f), rel=1e-4)
        assert answer["vendi_within"][name] == pytest.approx(metrics.vendi_score(f - k.mean(0)), rel=1e-4)
        assert floor["vendi_within"][name] == pytest.approx(metrics.vendi_score(f - f.mean(0)), rel=1e-4)
    order = np.argsort(partworld.CLASSES)
    classes = np.repeat(np.sort(partworld.CLASSES), 8)
    both = (x[order].reshape(96, 96) for x in (features, known))
    assert answer["told_apart"] == metrics.told_apart(*both, classes, classes)
    assert np.isnan(judge(real[::8], partworld.CLASSES, other[::8])["kid"]["face"])


def test_distances_to_a_reference(real, judge):
    """The more real images, the less chance: all rows, real ones too, are compared with the same others."""
    reference = {name: partworld.draw(name, 40, seed=48) for name in partworld.CLASSES}
    strict = ClassJudge(judge.network.model, reference=reference)
    blurred = gaussian_filter(real, (0, 1, 1, 0))
    answer, floor = strict(blurred, LABELS, real), strict(real, LABELS, real)
    for i, name in enumerate(partworld.CLASSES):
        sets = blurred[8 * i : 8 * i + 8], real[8 * i : 8 * i + 8], reference[name]
        f, r, k = (judge.network.activations(x, ["embedding"])["embedding"] for x in sets)
        assert answer["kid"][name] == pytest.approx(metrics.kernel_inception_distance(f, k), rel=1e-3, abs=1e-3)
        assert floor["kid"][name] == pytest.approx(metrics.kernel_inception_distance(r, k), rel=1e-3, abs=1e-3)
        assert (answer["density"][name], answer["coverage"][name]) == metrics.density_and_coverage(f, k, 3)
        assert answer["vendi_within"][name] == pytest.approx(metrics.vendi_score(f - r.mean(0)), rel=1e-4)
    spread = [np.std(list(j(real, LABELS, real)["kid"].values())) for j in (strict, judge)]
    assert spread[0] < 0.7 * spread[1]
    first = np.concatenate([reference[name][:8] for name in partworld.CLASSES])
    order = np.argsort(partworld.CLASSES)
    alike = (judge.network.activations(x, ["embedding"])["embedding"].reshape(12, 8, 96) for x in (real, first))
    classes = np.repeat(np.sort(partworld.CLASSES), 8)
    assert floor["told_apart"] == metrics.told_apart(*(x[order].reshape(96, 96) for x in alike), classes, classes)
    few = ClassJudge(judge.network.model, reference={"face": reference["face"]})
    with pytest.raises(ValueError, match="expected a reference for every class; received none of cat"):
        few(real[:16], LABELS[:16], real[:16])


def test_class_judge_takes_any_classifier_with_an_embedding(real):
    """Scores and embedding are linear in the mean colour, so that all is known."""
    import keras

    image = keras.Input((64, 64, 3))
    x = keras.layers.GlobalAveragePooling2D(name="embedding")(image)
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax", use_bias=False, name="scores")(x))
    model.layers[-1].set_weights([np.array([[1.0, 0], [0, 0], [0, 1]])])  # red against blue
    judge = ClassJudge(model, ["red", "blue"], preprocess=lambda x: x * 10 - 5)
    images = np.zeros((6, 64, 64, 3), "float32")
    images[:3, ..., 0], images[3:, ..., 2] = 1, 0.5
    answer = judge(images, ["red", "red", "blue", "blue", "blue", "blue"], images)
    assert answer["accuracy"].tolist() == [True, True, False, True, True, True]
    assert "top5" not in answer
    np.testing.assert_allclose(answer["probability"], np.exp(answer["log_probability"]))
    np.testing.assert_allclose(answer["log_probability"], -np.log1p(np.exp([-10, -10, 10, -5, -5, -5])), rtol=1e-4)
    with pytest.raises(ValueError, match="expected a class out of red, blue; received 'green'"):
        judge(images, ["green"] * 6, images)


def test_the_five_highest_scores():
    """Seven classes, of which all but the sixth and seventh are in the first five of a red image."""
    import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D(name="embedding")(image)
    model = keras.Model(image, keras.layers.Dense(7, use_bias=False)(x))
    kernel = np.zeros((3, 7))
    kernel[0] = [2, 7, 6, 5, 4, 3, 1]
    model.layers[-1].set_weights([kernel])
    judge = ClassJudge(model, [*"abcdefg"])
    images = np.zeros((3, 16, 16, 3), "float32")  # twice as large as the judge takes them
    images[..., 0] = 1
    answer = judge(images, ["b", "f", "a"], images)
    assert answer["accuracy"].tolist() == [True, False, False] and answer["top5"].tolist() == [True, True, False]
    np.testing.assert_allclose(answer["probability"], np.exp([7, 3, 2]) / np.exp(range(1, 8)).sum(), rtol=1e-5)


def test_images_are_made_as_large_as_a_judge_takes_them():
    stripes = np.zeros((70, 12, 12, 3), "float32")
    stripes[:, ::2] = 1
    half = resized(stripes, 6)
    assert half.shape == (70, 6, 6, 3)
    np.testing.assert_allclose(half[:, 2:-2], 0.5, atol=0.05)  # antialiased: of every other row none is left out
    np.testing.assert_allclose(resized(np.full((1, 5, 5, 3), 0.3, "float32"), 9), 0.3, rtol=1e-5)
    ramp = np.linspace(0, 1, 8, dtype="float32")[:, None, None].repeat(8, 1).repeat(3, 2)[None] > 0.5
    large = resized(ramp.astype("float32"), 32)
    assert large.min() == 0 and large.max() == 1  # where bicubic interpolation overshoots
    assert resized(stripes, 12) is stripes


def test_the_judge_of_photographs(shared):
    import imagenet

    import vizlib as viz

    photos, names = shared / "imagenet/photos/val", ["church", "golf_ball", "samoyed"]
    real, other = (np.concatenate([viz.load_images(photos, name, 12, size=128)[half] for name in names])
                   for half in (slice(6), slice(6, 12)))
    noise = np.random.default_rng(0).random(real.shape).astype("float32")
    judge = ClassJudge(*imagenet.judge(shared))
    assert [judge.network.class_index(name) for name in names] == [497, 574, 258]
    table = compare({"other": other, "noise": noise}, real, np.repeat(names, 6), [judge])
    assert table.loc["other", "top5"] > 0.7 and table.loc["other", "accuracy"] > 0.4 > table.loc["noise", "top5"]
    assert table.loc["noise", "told_apart"] > 0.95 > table.loc["other", "told_apart"]
    assert table.loc["noise", "kid_low"] > table.loc["other", "kid_high"]
    assert table.loc["noise", "naturalness"] < table.loc["other", "naturalness"]


def test_pixel_statistics_are_within_classes(real):
    made, labels = real[:16], LABELS[:16]
    answer = pixel_statistics(made, labels, real[16:32])
    natural = [pixels.naturalness(made[:8], real[16:24]), pixels.naturalness(made[8:], real[24:32])]
    np.testing.assert_allclose(answer["naturalness"], np.concatenate(natural))
    assert answer["ms_ssim"][LABELS[8]] == pixels.ms_ssim(made[8:])
    np.testing.assert_allclose(pixel_statistics(made, labels, made)["naturalness"][:8],
                               pixels.naturalness(x := real[:8], x))
    np.testing.assert_allclose(answer["contrast"], made.std((1, 2, 3)), rtol=1e-4)


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
