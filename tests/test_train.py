"""What `make train` is made of: augmented targets, folding, the records beside the files."""

import zipfile

import numpy as np
import pytest


@pytest.mark.parametrize("seed", range(5))
def test_heat_maps_move_with_the_pictures(seed):
    from train_data import CELL, World, moved, part_target

    rng = np.random.default_rng(seed)
    places = rng.integers(16, 48, (20, 2))
    images = np.zeros((20, 64, 64, 3), np.uint8)
    for image, (x, y) in zip(images, places, strict=True):
        image[y - 1:y + 2, x - 1:x + 2] = 255
    parts = [np.array([[7, x, y]], float) for x, y in places]
    seen, maps = moved(images, rng, (6, 0.8, 1.2), "nearest")
    heat = part_target(World(images, None, parts), np.arange(20), maps)
    assert heat[..., :7].max() == heat[..., 8:].max() == 0
    steps = np.arange(64)
    for image, cells in zip(seen.mean(-1), heat[..., 7], strict=True):
        row, column = np.unravel_index(cells.argmax(), cells.shape)
        assert cells.max() == 1
        assert abs(CELL * row + 0.5 - (image.sum(1) @ steps) / image.sum()) <= 1.2
        assert abs(CELL * column + 0.5 - (image.sum(0) @ steps) / image.sum()) <= 1.2


def test_scattered_parts_are_where_they_are_said_to_be():
    from train_data import scatter

    for index in range(40):
        image, parts = scatter(np.random.default_rng([3, index]))
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert parts.shape[1] == 3 and np.all((parts[:, 1:] >= -0.5) & (parts[:, 1:] <= 63.5))
        again, same = scatter(np.random.default_rng([3, index]))
        assert np.array_equal(image, again) and np.array_equal(parts, same)


def test_robust_training_moves_images_up_the_loss_but_not_out_of_the_ball():
    """The model is linear before its softmax, so the steepest way up is known: away from the class's own kernel."""
    import keras
    from train_models import Robust

    rng = np.random.default_rng(0)
    images = rng.normal(size=(6, 2, 2, 3)).astype("float32")
    classes = np.eye(2, dtype="float32")[[0, 1] * 3]
    inputs = keras.Input((2, 2, 3))
    scores = keras.layers.Dense(2, "softmax", name="scores")
    model = Robust(inputs, [scores(keras.layers.Flatten()(inputs)), inputs])
    kernel = rng.normal(size=(12, 2)) / 1000
    scores.set_weights([kernel, np.zeros(2)])
    model.compile("sgd", ["categorical_crossentropy", "mse"])
    assert not np.any(model.worst(images, classes))  # the ball grows from nothing
    model.optimizer.iterations.assign(Robust.RAMP)
    changes = np.asarray(model.worst(images, classes)).reshape(6, -1)
    assert (np.linalg.norm(changes, axis=1) <= Robust.RADIUS * 1.001).all()
    up = (kernel[:, ::-1] - kernel).T[[0, 1] * 3]  # the gradient of the loss, but for its length
    rise = np.sum(changes * up, 1) / np.linalg.norm(up, axis=1)
    assert (rise > 0.25 * Robust.RADIUS).all()  # what is left where the random start lies straight down


def test_the_folded_network_answers_what_the_trained_one_does():
    from train_models import folded, vgg16

    from vizlib.networks import vgg_preprocess

    rng = np.random.default_rng(0)
    trained = vgg16(True)
    for layer in trained.layers:
        if layer.name.endswith("_norm"):  # as if it had been trained
            lows = (0.5, -1, -1, 0.5)
            layer.set_weights([rng.uniform(low, 1.5, w.shape) for low, w in zip(lows, layer.weights, strict=True)])
    images = vgg_preprocess(rng.random((4, 64, 64, 3), np.float32))
    plain = folded(trained)
    answers = trained.predict(images, verbose=0)
    assert [a.shape[1:] for a in answers] == [(12,)] + [(64, 64, 3)] * 5
    np.testing.assert_allclose(plain.predict(images, verbose=0), answers[0], atol=1e-5)
    kinds = {type(layer).__name__ for layer in plain.layers}
    assert kinds == {"InputLayer", "Conv2D", "MaxPooling2D", "Flatten", "Dense"}


def test_focal_loss_by_hand():
    from train_models import focal_loss

    target, heat = np.zeros((1, 2, 2, 1), "float32"), np.full((1, 2, 2, 1), 1e-9, "float32")
    target[0, 0, 0], heat[0, 0, 0] = 1, 0.5  # half found: 0.25 log 2
    target[0, 1, 1], heat[0, 1, 1] = 0.5, 0.5  # beside a part: 1/16 * 0.25 log 2
    np.testing.assert_allclose(focal_loss(target, heat), [0.25 * np.log(2) * (1 + 1 / 16) / 8], rtol=1e-4)


def test_a_record_takes_the_place_of_the_old_one(tmp_path):
    from train import record

    (tmp_path / "README.md").write_text("# Files\n\n| file |\n|---|\n| `a.keras` | old |\n| `b.keras` | kept |\n")
    (tmp_path / "SHA256SUMS").write_text("00  a.keras\n11  b.keras\n")
    (tmp_path / "a.keras").write_bytes(b"abc")
    record(tmp_path / "a.keras", "accuracy 1", 2.6)
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", FIPS 180-2
    assert (tmp_path / "SHA256SUMS").read_text() == f"{digest}  a.keras\n11  b.keras\n"
    assert (tmp_path / "README.md").read_text().splitlines()[4:] == \
        [f"| `a.keras` | accuracy 1 | 3 | 3 | `{digest}` |", "| `b.keras` | kept |"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "SHA256SUMS", "a.keras"]


def test_files_are_saved_as_the_oldest_keras_reads_them(tmp_path):
    import keras
    from train import save

    parts = keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3), keras.layers.BatchNormalization(), keras.layers.Dense(2)
    model = keras.Sequential(parts)
    save(model, tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    config = zipfile.ZipFile(tmp_path / "model.keras").read("config.json").decode()
    assert not [key for key in ("quantization_config", "input_axes", "renorm") if key in config]
    images = np.random.default_rng(0).random((2, 4, 4, 3), np.float32)
    assert np.array_equal(keras.saving.load_model(tmp_path / "model.keras").predict(images), model.predict(images))


def test_a_network_that_the_oldest_keras_cannot_read_is_not_saved():
    from train import older

    with pytest.raises(ValueError, match="Keras 3.9.*renorm"):
        older({"layers": [{"config": {"renorm": True, "axis": -1}}]})
