"""Complete objects among parts: hand-made lists of parts, and the truth of drawn scenes."""

import numpy as np
import pytest

from vizlib import partworld
from vizlib.partworld.arrangement import ZOOM, complete_objects


def truth(scene):
    """The scene's parts, as a perfect judge would find them."""
    return [(kind, (top + bottom - 1) / 2, (left + right - 1) / 2)
            for kind, (top, left, bottom, right), _ in scene.parts]


def moved(parts, zoom=1.0, turn=0.0, shift=(0, 0)):
    """The parts zoomed and turned (degrees) about the middle of the image, then shifted by rows and columns."""
    factor = zoom * np.exp(1j * np.deg2rad(turn))
    places = [(kind, factor * (column - 32 + 1j * (row - 32))) for kind, row, column in parts]
    return [(kind, z.imag + 32 + shift[0], z.real + 32 + shift[1]) for kind, z in places]


@pytest.fixture
def car():
    scene = partworld.draw_scene("car", 31, 0)
    return [part for part, known in zip(truth(scene), scene.parts, strict=True) if not known.stray]


def test_one_object_takes_its_parts_and_leaves_the_others(car):
    objects, stray = complete_objects([("eye", 5, 5), *car, ("petal", 60, 60)])
    assert objects == [("car", objects[0][1])]
    assert sorted(objects[0][1]) == [1, 2, 3, 4]
    assert stray == [0, 5]


def test_two_objects_are_counted(car):
    objects, stray = complete_objects(moved(car, 0.75, shift=(-15, 0)) + moved(car, 0.75, shift=(15, 0)))
    assert [name for name, _ in objects] == ["car", "car"]
    assert {frozenset(members) for _, members in objects} == {frozenset(range(4)), frozenset(range(4, 8))}
    assert stray == []


@pytest.mark.parametrize("missing", range(4))
def test_an_object_that_lacks_a_part_is_none(car, missing):
    assert complete_objects(car[:missing] + car[missing + 1:]) == ([], [0, 1, 2])


def test_the_same_parts_in_the_wrong_places_are_stray(car):
    rows = [row for _, row, _ in car]
    upside_down = [(kind, max(rows) + min(rows) - row, column) for kind, row, column in car]
    assert complete_objects(upside_down) == ([], [0, 1, 2, 3])


def test_no_parts():
    assert complete_objects([]) == ([], [])


@pytest.mark.parametrize(("zoom", "turn", "objects"), [(1, 0, 1), (0.8, 10, 1), (1.2, -10, 1),
                                                       (1, 90, 0), (1, 180, 0), (0.3, 0, 0), (3, 0, 0)])
def test_small_turns_and_zooms_alone_are_allowed(car, zoom, turn, objects):
    assert ZOOM[0] < 0.8 and ZOOM[1] > 1.2
    assert len(complete_objects(moved(car, zoom, turn))[0]) == objects


def test_does_not_depend_on_the_order_of_the_parts():
    parts = truth(partworld.draw_scene("flower", 8, 3)) + truth(partworld.draw_scene("house", 8, 3))
    order = np.random.default_rng(0).permutation(len(parts))
    straight, mixed = complete_objects(parts), complete_objects([parts[i] for i in order])
    assert sorted(name for name, _ in straight[0]) == ["flower", "house"]
    assert sorted((name, sorted(members)) for name, members in straight[0]) == \
        sorted((name, sorted(order[members].tolist())) for name, members in mixed[0])


@pytest.mark.parametrize("name", partworld.CLASSES)
def test_scenes_hold_one_object_and_their_stray_parts(name):
    rng = np.random.default_rng(1)
    for scene in partworld.scenes(name, 10, seed=77):
        parts = [(kind, *rng.normal(place, 1)) for kind, *place in truth(scene)]  # an imprecise judge
        objects, stray = complete_objects(parts)
        assert [label for label, _ in objects] == [name]
        assert [scene.parts[i].stray for i in stray] == [True] * sum(p.stray for p in scene.parts)


@pytest.mark.parametrize("name", [name for name in partworld.CLASSES if name != "butterfly"])
def test_scattered_parts_make_no_object(name):
    rng = np.random.default_rng(2)
    scenes = partworld.scenes(name, 10, seed=78)
    scattered = [[(kind, *rng.uniform(4, 60, 2)) for kind, _, _ in truth(scene)] for scene in scenes]
    assert sum(len(complete_objects(parts)[0]) for parts in scattered) <= 1
