"""Shortcuts of networks made by hand, whose answer is known."""

import keras
import numpy as np
import pandas as pd
import pytest

import vizlib as viz
from vizlib.attribution import interventions
from vizlib.attribution.components import BLOCK, LUMA, cells, exchanges, off_centre, places, shifted, turns

SIDE, CLASSES = 32, ("red", "green", "blue")
CORNER, MIDDLE = (slice(0, 4), slice(0, 4)), (slice(12, 20), slice(12, 20))
EXCHANGES = {exchange.name: exchange.apply for exchange in exchanges((SIDE, SIDE))}


def pictures(n=12, **added):
    """A square in the colour of its class in the middle of grey; added: {class: (place, by how much)}."""
    found = {name: np.full((n, SIDE, SIDE, 3), 0.3, "float32") for name in CLASSES}
    for channel, name in enumerate(CLASSES):
        found[name][:, *MIDDLE, channel] += 0.5
        if name in added:
            place, amount = added[name]
            found[name][:, *place] += amount
    return found


def network(corner=0.0, everywhere=0.0, head="sigmoid"):
    """Scores before the head: of each class 10 × the mean of its channel in the middle, and of "red" also `corner` ×
    the mean of the corner and `everywhere` × the mean of the image."""
    weights = np.zeros((SIDE, SIDE, 3, 3))
    for channel in range(3):
        weights[*MIDDLE, channel, channel] = 10 / 64
    weights[*CORNER, :, 0] += corner / (16 * 3)
    weights[..., 0] += everywhere / (SIDE * SIDE * 3)
    image = keras.Input((SIDE, SIDE, 3))
    scores = keras.layers.Dense(3, head)(keras.layers.Flatten()(image))
    model = keras.Model(image, scores)
    model.set_weights([weights.reshape(-1, 3).astype("float32"), np.zeros(3, "float32")])
    return viz.Network(model, classes=CLASSES)


def test_corner_that_is_read_comes_first_with_its_share_of_the_margin():
    frame = viz.shortcuts(network(corner=20), pictures(red=(CORNER, 0.4)), progress=False)
    first = frame.iloc[0]
    assert first["class"] == "red" and first["name"] in ("rows 0-8", "columns 0-8")
    share = 20 * 0.4 / (20 * 0.4 + 10 * 0.5)  # what the corner adds to the score, over corner and square
    assert first[["put_in", "taken_out", "effect", "low", "high"]].tolist() == pytest.approx([share] * 5, abs=1e-5)
    assert first["expected"] == pytest.approx(0, abs=1e-6) and first["ratio"] == pytest.approx(share / 0.1, abs=1e-4)
    assert first["confident"] and first["turned"] == 1
    corner = frame[(frame["class"] == "red") & (frame["name"] == "rows 0-8, columns 0-8")].iloc[0]
    there = 20 * 0.5 / 3 / (20 * 0.4 + 10 * 0.5)  # what any object adds that is moved there, in one of three channels
    assert corner["effect"] == pytest.approx(share - there, abs=1e-5) and corner["confident"]
    assert set(frame["class"][frame["confident"]]) == {"red"}


def test_a_call_that_was_stopped_goes_on_with_the_classes_that_are_left(monkeypatch, tmp_path):
    net, images = network(corner=20), pictures(8, red=(CORNER, 0.4))
    whole, outcomes = viz.shortcuts(net, images, progress=False), interventions._outcomes
    asked = []

    def stopped(net, experiment, *of):
        asked.append(net.classes[experiment.k])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return outcomes(net, experiment, *of)

    monkeypatch.setattr(interventions, "_outcomes", stopped)
    folder = tmp_path / "tried" / "here"
    with pytest.raises(KeyboardInterrupt):
        viz.shortcuts(net, images, progress=False, folder=folder)
    assert [path.name for path in folder.iterdir()] == ["red.npz"]
    pd.testing.assert_frame_equal(viz.shortcuts(net, images, progress=False, folder=folder), whole)
    assert asked == ["red", "green", "green", "blue"] and len([*folder.iterdir()]) == 3
    pd.testing.assert_frame_equal(viz.shortcuts(net, images, progress=False, folder=folder), whole)
    assert len(asked) == 4
    for path, damaged in zip(sorted(folder.iterdir()), (b"", b"PK\3\4 no archive", b"no array"), strict=True):
        path.write_bytes(damaged)
    pd.testing.assert_frame_equal(viz.shortcuts(net, images, progress=False, folder=folder), whole)
    assert len(asked) == 7
    viz.shortcuts(net, pictures(8, red=(CORNER, 0.3)), progress=False, folder=folder)  # other images
    viz.shortcuts(network(corner=10), pictures(8, red=(CORNER, 0.3)), progress=False, folder=folder)  # other weights
    assert len(asked) == 13


def test_brightness_that_is_read_comes_first():
    everywhere = slice(None), slice(None)
    frame = viz.shortcuts(network(everywhere=40), pictures(red=(everywhere, 0.15)))
    first = frame.iloc[0]
    assert (first["class"], first["name"]) == ("red", "brightness") and first["confident"]
    squares = 0.5 * 64 / SIDE**2 * LUMA  # what a square adds to the mean brightness
    lighter = 0.15 + squares[0] - squares[1:].mean()  # as many donors are green as blue
    assert first["effect"] == pytest.approx(lighter * 50 / (0.15 * 50 + 10 * 0.5), abs=2e-3)  # the middle is lit, too


def test_network_that_reads_the_object_alone_has_no_shortcut():
    noise = np.random.default_rng(0)
    images = {name: x + noise.uniform(-0.1, 0.1, x.shape) for name, x in pictures(red=(CORNER, 0.4)).items()}
    frame = viz.shortcuts(network(), images)
    assert not frame["confident"].any()
    corner = frame[(frame["class"] == "red") & (frame["name"] == "rows 0-8, columns 0-8")].iloc[0]
    assert corner["effect"] == pytest.approx(0, abs=1e-5)
    middle = frame[frame["name"] == "rows 12-20, columns 12-20"]  # which is all that is read, of each class
    np.testing.assert_allclose(middle["effect"], 1, atol=0.02)
    np.testing.assert_allclose(middle["expected"], 1, atol=0.02)


def test_patch_lies_on_what_may_be_anywhere():
    rng, images = np.random.default_rng(0), pictures()
    corners = np.stack([rng.integers(0, 8, 12), rng.choice((0, 1, 6, 7), 12)], axis=1) * 4  # beside the square
    for image, (y, x) in zip(images["red"], corners, strict=True):
        image[y : y + 4, x : x + 4] = 1, 0, 1
    image = keras.Input((SIDE, SIDE, 3))
    magenta = keras.layers.Conv2D(1, 1, activation="relu", name="magenta")(image)
    middle = keras.layers.Cropping2D(12)(image)
    both = keras.layers.Concatenate()([f(x) for f, x in ((keras.layers.GlobalMaxPooling2D(), magenta),
                                                         (keras.layers.GlobalAveragePooling2D(), middle))])
    model = keras.Model(image, keras.layers.Dense(3, "softmax", name="predictions")(both))
    model.get_layer("magenta").set_weights([np.array([5, -5, 5.0]).reshape(1, 1, 3, 1), np.array([-8.0])])
    mixed = np.vstack([[4, 0, 0], 8 * np.eye(3)])
    model.get_layer("predictions").set_weights([mixed, np.zeros(3)])
    frame = viz.shortcuts(viz.Network(model, classes=CLASSES), images)
    first = frame.iloc[0]
    assert (first["class"], first["kind"], first["confident"]) == ("red", "patch", True)
    assert len(first["where"]) == 6  # of the half of the images
    for i, top, left, bottom, right in first["where"]:
        y, x = corners[i]
        assert top <= y <= bottom - 4 and left <= x <= right - 4


def test_patch_is_not_missed_where_the_mark_of_its_own_class_speaks_against_others():
    images = pictures(24, red=(CORNER, 0.4))
    frame = viz.shortcuts(network(corner=20, head="softmax"), images, progress=False)
    patches = frame[frame["kind"] == "patch"].set_index("class")
    assert {tuple(box) for _, *box in patches.loc["red", "where"]} == {(0, 0, 8, 8)}
    assert patches.loc["red", "expected"] == pytest.approx(0, abs=1e-5)  # of pairs without an image of red


def test_place_that_any_object_counts_at_is_a_position_and_no_shortcut():
    images, left = pictures(), (slice(12, 20), slice(8, 12))
    images["red"] = np.roll(images["red"], -4, axis=2)
    weights = np.zeros((SIDE, SIDE, 3, 3))
    weights[*left, :, 0] = 10 / 32  # whatever is at the left is taken for red, the others are known by their colour
    weights[*MIDDLE, [1, 2], [1, 2]] = 10 / 64
    image = keras.Input((SIDE, SIDE, 3))
    model = keras.Model(image, keras.layers.Dense(3, "sigmoid")(keras.layers.Flatten()(image)))
    model.set_weights([weights.reshape(-1, 3), np.zeros(3)])
    frame = viz.shortcuts(viz.Network(model, classes=CLASSES), images, progress=False)
    first = frame.iloc[0]
    assert first[["class", "kind", "name"]].tolist() == ["red", "position", "horizontal"] and first["confident"]
    assert first[["put_in", "taken_out"]].tolist() == pytest.approx([1, 1], abs=1e-5)
    assert {tuple(box) for _, *box in first["where"]} == {(12, 6, 20, 14)}  # around what is read of the object
    assert [i for i, *_ in first["where"]] == [*range(12)]
    place = frame[(frame["class"] == "red") & (frame["name"] == "rows 12-20, columns 8-16")].iloc[0]
    assert place["effect"] == pytest.approx(0, abs=1e-5)  # any object there does as much
    assert not frame["confident"][(frame["kind"] == "place") & frame["name"].str.contains("columns")].any()


@pytest.mark.parametrize(("images", "received"), [
    ({name: np.zeros((12, SIDE, SIDE, 3), "float32") for name in CLASSES[:2]}, "12 of red, 12 of green"),
    ({name: np.zeros((7, SIDE, SIDE, 3), "float32") for name in CLASSES}, "7 of red"),
    ({}, "none"),
])  # fmt: skip
def test_too_few_classes_or_images_raise(images, received):
    with pytest.raises(ValueError, match=f"at least 8 images of three classes or more; received {received}"):
        viz.shortcuts(network(), images)


def test_class_that_is_not_told_apart_raises():
    images = pictures()
    images["red"], images["blue"] = images["blue"], images["red"]
    with pytest.raises(ValueError, match="tells 'red' from the other classes"):
        viz.shortcuts(network(), images)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_exchanged_with_itself_stays(seed):
    images = np.random.default_rng(seed).uniform(0.2, 0.8, (2, SIDE, SIDE, 3)).astype("float32")
    for name, apply in EXCHANGES.items():
        found = apply(images, images)
        np.testing.assert_allclose(found, images, atol=1e-5, err_msg=name)
        assert found.dtype == np.float32, name


def test_what_is_exchanged_is_that_of_the_donors():
    rng = np.random.default_rng(0)
    images, donors = rng.uniform(0.35, 0.65, (2, 3, SIDE, SIDE, 3)).astype("float32")
    bright, tinted = EXCHANGES["brightness"](images, donors), EXCHANGES["tint"](images, donors)
    np.testing.assert_allclose((bright @ LUMA).mean((1, 2)), (donors @ LUMA).mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(np.diff(tinted.mean((1, 2))), np.diff(donors.mean((1, 2))), atol=1e-5)
    np.testing.assert_allclose((tinted @ LUMA).mean((1, 2)), (images @ LUMA).mean((1, 2)), atol=1e-5)
    toned = EXCHANGES["tones"](images, donors)
    for measure in (np.mean, np.std):
        np.testing.assert_allclose(measure(toned @ LUMA, (1, 2)), measure(donors @ LUMA, (1, 2)), atol=1e-4)
    np.testing.assert_allclose(np.diff(toned), np.diff(images), atol=1e-5)  # between red, green and blue
    frame = EXCHANGES["frame"](images, donors)
    np.testing.assert_array_equal(frame[:, :2], donors[:, :2])
    np.testing.assert_array_equal(frame[:, 2:-2, 2:-2], images[:, 2:-2, 2:-2])


def test_wave_is_in_its_octave_and_direction_alone():
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = 0.1 * np.sin(2 * np.pi * (3 * x + 3 * y) / SIDE)[None, ..., None]  # 7.5 px long, at 45 degrees
    grey, waving = np.full((1, SIDE, SIDE, 3), 0.5, "float32"), (0.5 + wave * np.ones(3)).astype("float32")
    for name in (name for name in EXCHANGES if name.startswith("waves")):
        left = EXCHANGES[name](waving, grey)
        gone = name in ("waves of 4-8 px", "waves of 4-8 px at 45 degrees")
        np.testing.assert_allclose(left, grey if gone else waving, atol=1e-5, err_msg=name)


def test_blocks_have_the_proportions_of_the_donors_and_the_contrast_of_the_images():
    from scipy.fft import dctn

    rng = np.random.default_rng(0)
    images, donors = 0.5 + rng.normal(0, 0.02, (2, 2, SIDE, SIDE, 3)).astype("float32")
    found = EXCHANGES[f"blocks of {BLOCK} px"](images, donors)

    def power(x):
        x = x.reshape(len(x), SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK, 3)
        return (dctn(x, axes=(2, 4), norm="ortho") ** 2).mean((1, 3)).reshape(len(x), BLOCK**2, 3)

    ours, theirs, new = power(images), power(donors), power(found)
    np.testing.assert_allclose(new[:, 0], ours[:, 0], rtol=1e-3)
    np.testing.assert_allclose(new[:, 1:].sum(1), ours[:, 1:].sum(1), rtol=1e-3)
    np.testing.assert_allclose(new[:, 1:] / new[:, 1:].sum(1, keepdims=True),
                               theirs[:, 1:] / theirs[:, 1:].sum(1, keepdims=True), rtol=1e-2)


def brightest(images):
    return np.unravel_index(images[0, ..., 0].argmax(), images.shape[1:3])


def test_turns_go_where_they_say():
    images = np.zeros((1, 33, 33, 3), "float32")
    images[:, 8, 16] = 1  # above the middle
    found = {turn.name: turn for turn in turns()}
    assert brightest(found["45 degrees clockwise"].there(images)) == (10, 22)
    assert brightest(found["45 degrees anticlockwise"].there(images)) == (10, 10)
    assert brightest(found["45 degrees clockwise"].back(images)) == (10, 10)


def test_images_are_shifted_each_by_its_own_and_the_border_goes_on():
    images = np.random.default_rng(0).random((3, 8, 12, 3)).astype("float32")
    found = shifted(images, np.array([(0, 0), (2, -3), (-1, 0.5)]))
    np.testing.assert_allclose(found[0], images[0], atol=1e-6)
    np.testing.assert_allclose(found[1, 2:, :-3], images[1, :-2, 3:], atol=1e-6)
    np.testing.assert_allclose(found[1, :2, :-3], np.broadcast_to(images[1, :1, 3:], (2, 9, 3)), atol=1e-6)
    np.testing.assert_allclose(found[2, :-1, 1:], (images[2, 1:, 1:] + images[2, 1:, :-1]) / 2, atol=1e-5)
    np.testing.assert_allclose(shifted(images, (2, -3))[1], found[1], atol=1e-6)


def test_places_cover_the_image_and_lie_in_it():
    shape = 40, 64
    assert np.all(sum(mask.astype(int) for mask in cells(shape).values()) > 0)
    found = places(shape)
    assert len(found) == 7 * 7 + 7 + 7 + 1
    assert found["rows 30-40, columns 0-16"].sum() == 160 and found["rows 30-40, columns 0-16"][30:, :16].all()
    assert found["frame"].sum() == 40 * 64 - 36 * 56
    assert off_centre(found["frame"]) == (0, 0) and off_centre(found["columns 0-16"]) == (0, -0.375)
    assert off_centre(found["rows 30-40, columns 0-16"]) == (0.375, -0.375)
