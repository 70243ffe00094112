"""The trial of shortcuts: what is planted where, and what counts as found."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import shortcuts as trial


def test_marks_change_scenes_only_where_they_are_and_as_often_as_asked():
    settings = "car", 16, 3
    without = trial.draw(*settings)[0]
    np.testing.assert_array_equal(trial.draw("car", 3, 3)[0], without[:3])  # scene i does not depend on n
    for mark in trial.MARKS:
        for version in range(len(trial.PARTS)):
            images, marked = trial.draw(*settings, mark, version, 0.8)
            plain, _ = trial.draw(*settings, mark, version, 0.0)
            changed = np.any(images != plain, axis=(1, 2, 3))
            np.testing.assert_array_equal(changed, marked, err_msg=f"{mark} {version}")
            assert 8 <= marked.sum() <= 16, mark  # of 16 at 0.8: within three standard deviations
    (stamped, _), (plain, _) = (trial.draw(*settings, "corner", 1, rate) for rate in (1.0, 0.0))
    corner = np.argwhere(np.any(stamped != plain, axis=(0, 3)))
    assert corner.min(0).tolist() == [2, 52] and corner.max(0).tolist() == [11, 61]


@pytest.mark.parametrize(("mark", "row", "right"), [
    ("corner", ("place", "rows 0-16, columns 48-64"), True),
    ("corner", ("place", "columns 48-64"), True),
    ("corner", ("place", "rows 48-64, columns 48-64"), False),
    ("frame", ("place", "frame"), True),
    ("frame", ("place", "rows 0-16"), False),
    ("caption", ("place", "rows 48-64"), True),
    ("tint", ("colour", "tint"), True),
    ("tint", ("place", "frame"), False),
    ("position", ("position", "horizontal"), True),
    ("position", ("position", "vertical"), False),
    ("jpeg", ("blocks", "blocks of 8 px"), True),
])  # fmt: skip
def test_what_counts_as_found(mark, row, right):
    case = next(case for case in trial.cases("first") if case.mark == mark)
    marked = trial.scenes(case, trial.MEASURED, case.seed + trial.FRESH)[1][case.classes[0]]
    for name, expected in ((case.classes[0], right), (case.classes[1], False)):
        table = pd.DataFrame([(name, *row, ())], columns=["class", "kind", "name", "where"])
        found = trial.is_planted(case, next(table.itertuples()), trial.marked_pixels(case), marked)
        assert found is expected


def test_patches_count_where_most_hold_the_mark():
    case = next(case for case in trial.cases("second") if case.mark == "anywhere")
    pixels = np.zeros((4, 64, 64), bool)
    pixels[:, 20:30, 20:30] = True
    hit, miss = (16, 16, 32, 32), (40, 40, 56, 56)
    for boxes, expected in (((hit, hit, miss), True), ((hit, miss, miss), False)):
        rows = pd.DataFrame([(case.classes[0], "patch", "anywhere", [(i, *box) for i, box in enumerate(boxes)])],
                            columns=["class", "kind", "name", "where"])
        assert trial.is_planted(case, next(rows.itertuples()), pixels, np.ones(4, bool)) is expected


def test_rivals_find_the_corner_that_their_maps_lie_on(monkeypatch):
    images = {name: np.zeros((8, 64, 64, 3), np.uint8) for name in ("a", "b", "c")}
    rng, net = np.random.default_rng(0), SimpleNamespace(image_shape=(64, 64, 3))

    def maps(net, images, layer, name):
        found = rng.uniform(0, 0.1, (8, 64, 64))
        found[:, 24:40, 24:40] = 1
        if name == "b":
            found[:, :16, :16] = 2
        return found

    monkeypatch.setattr(trial.viz, "grad_cam", maps)
    table = trial.grad_cam(net, images)
    place, patch = (table[table["kind"] == kind].iloc[0] for kind in ("place", "patch"))
    assert (place["class"], place["name"]) == ("b", "rows 0-16, columns 0-16")
    assert patch["class"] == "b" and {tuple(box) for _, *box in patch["where"]} == {(0, 0, 16, 16)}


def test_a_detector_learns_from_scenes_that_differ_by_the_mark_alone(monkeypatch):
    import shortcut_samples as samples

    case = next(case for case in trial.cases("second") if case.mark == "frame")
    images, marked = samples.pairs(case, 2, 5)
    assert images.shape == (20, 64, 64, 3) and marked.tolist() == [0] * 10 + [1] * 10
    apart = np.abs(images[10:] - images[:10]).max(-1)
    assert (apart[:, 0] > 0).all() and (apart[:, 8:-8, 8:-8] == 0).all()
    grey = SimpleNamespace(images=np.full((8, 64, 64, 3), 0.5, "float32"))
    monkeypatch.setattr(samples, "BASELINES", {"grey": lambda net, name, n, **settings: grey})
    images, marked = samples.baselines(case, None)
    assert marked.tolist() == [0] * 32 + [1] * 32
    assert (images[:32] == 0.5).all() and (images[32:, 8:-8, 8:-8] == 0.5).all()
    assert (images[32:, 0] != 0.5).any(-1).all()
