from collections import Counter
from time import process_time

import numpy as np
import pytest

from vizlib import partworld
from vizlib.partworld import CLASSES, PARTS, SIGNATURES, compose, draw, draw_scene, scenes
from vizlib.partworld.drawing import render


@pytest.fixture(scope="module")
def world():
    """Forty scenes of every class."""
    return {name: scenes(name, 40, seed=11) for name in CLASSES}


def composed(class_name, index):
    return compose(class_name, np.random.default_rng([5, CLASSES.index(class_name), index]))


def changed(before, after):
    """(top, left, bottom, right) around the pixels that differ, and their number."""
    differs = (before != after).any(-1)
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    assert rows.size, "nothing changed"
    return (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1), differs.sum()


def test_same_seed_same_bytes_and_image_i_does_not_depend_on_n():
    for name in CLASSES:
        few, many = draw(name, 3, seed=4), draw(name, 6, seed=4)
        assert few.tobytes() == many[:3].tobytes()
        scene = draw_scene(name, 4, 2)
        np.testing.assert_array_equal(np.float32(scene.image) / 255, few[2])
        assert scene.parts == scenes(name, 3, seed=4)[2].parts


def test_seeds_indices_and_classes_give_different_images():
    images = [image.tobytes() for seed in range(4) for name in CLASSES for image in draw(name, 5, seed)]
    assert len(set(images)) == 4 * len(CLASSES) * 5


def test_images_are_float32_in_the_unit_range_and_use_it(world):
    for name in CLASSES:
        images = draw(name, 8)
        assert images.dtype == np.float32 and images.shape == (8, 64, 64, 3)
        assert images.min() >= 0 and images.max() <= 1
        assert (images.std((1, 2, 3)) > 0.08).all()
        assert world[name][0].image.dtype == np.uint8 and world[name][0].label == name
    assert draw("cat", 0).shape == (0, 64, 64, 3)


def test_unknown_class_lists_the_classes():
    for call in (lambda: draw("dog", 1), lambda: draw_scene("dog", 0, 0), lambda: scenes("dog", 1)):
        with pytest.raises(ValueError, match=r"face, cat, .*train; received 'dog'"):
            call()


def test_objects_have_the_parts_of_their_signature(world):
    for name, drawn in world.items():
        counts = [Counter(part.kind for part in scene.parts if not part.stray) for scene in drawn]
        assert all(count.keys() == SIGNATURES[name].keys() for count in counts)
        for kind, limits in SIGNATURES[name].items():
            numbers = [count[kind] for count in counts]
            assert (min(numbers), max(numbers)) == limits, (name, kind)


def test_classes_share_parts_yet_no_two_have_the_same_signature():
    holders = Counter(kind for signature in SIGNATURES.values() for kind in signature)
    assert set(holders) == set(PARTS) and len(PARTS) == len(set(PARTS))
    shared = {kind for kind, number in holders.items() if number > 1}
    assert shared >= {"eye", "ear", "nose", "mouth", "wing", "leaf", "foot", "roof", "window", "wheel", "chimney"}
    signatures = [tuple(sorted(signature.items())) for signature in SIGNATURES.values()]
    assert len(set(signatures)) == len(CLASSES)


def test_strays_are_about_a_quarter_of_scenes_small_and_away_from_the_centre(world):
    strays = [[part for part in scene.parts if part.stray] for drawn in world.values() for scene in drawn]
    numbers = np.array([len(parts) for parts in strays])
    assert abs((numbers > 0).mean() - 0.25) < 0.08  # three standard errors of 480 scenes: 0.06
    assert numbers.max() == 2
    for part in (part for parts in strays for part in parts):
        top, left, bottom, right = part.box
        assert max(bottom - top, right - left) <= 18
        assert max(abs(top + bottom - 64), abs(left + right - 64)) / 2 > 12


def test_boxes_lie_in_the_image_and_objects_are_large(world):
    for name, drawn in world.items():
        for scene in drawn:
            boxes = np.array([part.box for part in scene.parts if not part.stray])
            assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= 64).all()
            assert (boxes[:, :2] < boxes[:, 2:]).all()
        sides = [max(np.ptp(rows), np.ptp(columns)) for rows, columns in map(_object_pixels, range(10), [name] * 10)]
        assert min(sides) >= 38, (name, sides)


def _object_pixels(index, name):
    background, pieces, _, light = composed(name, index)
    return np.nonzero((render(background, pieces, light) != background).any(-1))


@pytest.mark.parametrize("class_name", CLASSES)
def test_boxes_hold_all_of_the_part_and_fit_to_a_pixel(class_name):
    for index in range(15):
        background, pieces, strays, light = composed(class_name, index)
        named = [piece for piece in pieces + strays if piece.kind]
        parts = draw_scene(class_name, 5, index).parts
        for piece, part in zip(named, parts, strict=True):
            found, _ = changed(background, render(background, [piece], light))
            slack = np.array(found) - part.box
            assert (slack[:2] >= 0).all() and (slack[2:] <= 0).all(), (part, found)
            assert np.abs(slack).max() <= 1, (part, found)


@pytest.mark.parametrize("class_name", CLASSES)
def test_without_a_part_the_scene_differs_inside_its_box_only(class_name):
    for index in range(40):
        background, pieces, strays, light = composed(class_name, index)
        everything = pieces + strays
        whole, parts = render(background, everything, light), iter(draw_scene(class_name, 5, index).parts)
        for i, piece in enumerate(everything):
            if piece.kind:
                part = next(parts)
                found, pixels = changed(whole, render(background, everything[:i] + everything[i + 1:], light))
                assert pixels >= 8, part  # so no part is hidden by later ones
                assert (np.array(found[:2]) >= part.box[:2]).all() and (np.array(found[2:]) <= part.box[2:]).all()


def test_classes_are_told_apart_and_vary_within():
    def thumbnails(images):
        grey = images.mean(-1).reshape(len(images), 16, 4, 16, 4).mean((2, 4)).reshape(len(images), -1)
        return (grey - grey.mean(1, keepdims=True)) / grey.std(1, keepdims=True)

    known, fresh = (np.stack([thumbnails(draw(name, n, seed)) for name in CLASSES]) for n, seed in ((60, 0), (20, 1)))
    nearest = np.argmax(np.concatenate(fresh) @ np.concatenate(known).T, 1) // 60  # the most correlated thumbnail
    accuracy = (nearest == np.repeat(np.arange(len(CLASSES)), 20)).mean()
    assert accuracy > 0.7  # chance is 0.08
    unexplained = ((known - known.mean(1, keepdims=True)) ** 2).mean((1, 2))
    assert (unexplained > 0.4).all()  # of a variance of 1: the mean image of a class is far from its members


def test_hundreds_of_images_a_second():
    draw("face", 5)
    start = process_time()
    for name in CLASSES:
        draw(name, 10)
    assert (process_time() - start) / (10 * len(CLASSES)) < 1 / 100  # 500 a second and more on an idle core


def test_every_class_has_a_sketch():
    assert tuple(partworld.SKETCHES) == CLASSES
