"""The embedded files: hashes, sizes, what the networks are and how well they do on fresh scenes."""

import hashlib

import keras
import numpy as np
import pytest

from vizlib import partworld
from vizlib.networks import vgg_preprocess
from vizlib.partworld import embedded
from vizlib.partworld.embedded import DATA, embedded_file
from vizlib.realism import find_parts, load_judge, matches

FILES = {"mini.keras": 6_000_000, "judge_classifier.keras": 3_000_000, "judge_parts.keras": 3_000_000}
SEED = 55_555  # of scenes that were not trained on


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A folder of embedded files with one small file and its hash."""
    (tmp_path / "mini.keras").write_bytes(b"weights")
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(b'weights').hexdigest()}  mini.keras\n")
    monkeypatch.setattr(embedded, "DATA", tmp_path)
    return tmp_path


def test_a_file_with_its_own_hash_is_given(copy):
    assert embedded_file("mini.keras") == copy / "mini.keras"


def test_a_changed_file_is_refused_with_both_hashes(copy):
    (copy / "mini.keras").write_bytes(b"weightz")
    with pytest.raises(ValueError, match=hashlib.sha256(b"weights").hexdigest()) as error:
        embedded_file("mini.keras")
    assert hashlib.sha256(b"weightz").hexdigest() in str(error.value)
    assert str(copy / "mini.keras") in str(error.value)


def test_a_file_without_a_hash_is_refused(copy):
    (copy / "other.keras").write_bytes(b"weights")
    with pytest.raises(ValueError, match="listed in SHA256SUMS; received"):
        embedded_file("other.keras")


@pytest.mark.parametrize("name", ["mini.keras", "SHA256SUMS"])
def test_a_missing_file_is_named_with_the_way_to_rebuild_it(copy, name):
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}.*make train"):
        embedded_file("mini.keras")


def test_a_changed_network_is_not_opened(copy):
    import vizlib

    (copy / "mini.keras").write_bytes(b"weightz")
    with pytest.raises(ValueError, match="SHA-256"):
        vizlib.load_network("mini")


@pytest.mark.parametrize("name", FILES)
def test_files_are_small_whole_and_described(name):
    assert embedded_file(name).stat().st_size <= FILES[name]
    digest = hashlib.sha256((DATA / name).read_bytes()).hexdigest()
    assert digest in (DATA / "README.md").read_text()


def test_mini_is_vgg16_but_narrower():
    model = keras.models.load_model(embedded_file("mini.keras"))
    full = keras.applications.VGG16(weights=None, input_shape=(64, 64, 3), classes=12)
    assert [layer.name for layer in model.layers[1:]] == [layer.name for layer in full.layers[1:]]
    for layer, wide in zip(model.layers[1:], full.layers[1:], strict=True):
        assert type(layer) is type(wide)
        assert layer.output.shape[:-1] == wide.output.shape[:-1]
        for key in ("activation", "padding", "kernel_size", "strides", "pool_size", "use_bias"):
            assert layer.get_config().get(key) == wide.get_config().get(key)


def test_mini_knows_the_classes():
    model = keras.models.load_model(embedded_file("mini.keras"))
    hits = [model.predict(vgg_preprocess(partworld.draw(name, 25, SEED)), verbose=0).argmax(1) == number
            for number, name in enumerate(partworld.CLASSES)]
    assert np.mean(hits) >= 0.97
    assert np.mean(hits, axis=1).min() >= 0.85


def test_the_classifier_knows_the_classes():
    model = load_judge("classifier")
    assert model.get_layer("embedding").output.shape == (None, 96)
    hits = [model.predict(partworld.draw(name, 25, SEED), verbose=0).argmax(1) == number
            for number, name in enumerate(partworld.CLASSES)]
    assert np.mean(hits) >= 0.98


def test_the_part_finder_finds_parts_and_few_others():
    scenes = [scene for name in partworld.CLASSES for scene in partworld.scenes(name, 25, SEED)]
    found = find_parts(np.stack([scene.image for scene in scenes]))
    hits = sum(len(matches(parts, scene.parts)) for parts, scene in zip(found, scenes, strict=True))
    assert hits >= 0.95 * sum(len(scene.parts) for scene in scenes)
    assert hits >= 0.95 * sum(len(parts) for parts in found)


def test_the_part_finder_sees_nothing_on_an_empty_ground():
    grounds = np.stack([partworld.compose("face", np.random.default_rng([SEED, i]))[0] for i in range(40)])
    assert sum(len(parts) for parts in find_parts(grounds)) <= 2


@pytest.mark.parametrize("judge", ["classifier", "parts"])
def test_judges_are_no_vgg(judge):
    kinds = [type(layer) for layer in load_judge(judge).layers]
    assert kinds.count(keras.layers.SeparableConv2D) >= 8
    assert keras.layers.ReLU not in kinds and keras.layers.MaxPooling2D not in kinds
