"""Models of KerasHub: functional subclasses with custom layers. Their weights are random: its own are downloaded."""

import os
import subprocess
import sys
from unittest.mock import patch

import keras
import numpy as np
import pytest
import tensorflow as tf

import vizlib as viz

PACKAGES = "keras-hub==0.32.0", "kagglehub", "kagglesdk==0.1.28", "regex", "tokenizers"
IMAGES = np.random.default_rng(0).random((20, 32, 32, 3)).astype("float32")
pytestmark = pytest.mark.skipif(
    tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15), reason="KerasHub 0.32 needs Keras 3.15"
)
BLOCK = "vi_t_backbone/vit_encoder/transformer_block_{}"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """`keras_hub.models`, installed beside what is there: its dependencies are of its text models, and large."""
    folder = str(tmp_path_factory.mktemp("keras_hub"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"pip got no KerasHub: {done.stderr}")
    sys.path.append(folder)
    import keras_hub

    keras.utils.set_random_seed(0)
    yield keras_hub.models
    sys.path.remove(folder)


def check(net):
    """Its scores are the model's own, and saliency a gradient computed without the library."""
    np.testing.assert_allclose(net.scores(IMAGES), net.model.predict(IMAGES, verbose=0), rtol=1e-3, atol=1e-5)
    with tf.GradientTape() as tape:
        tape.watch(pixels := tf.constant(IMAGES[:2]))
        score = tf.reduce_sum(net.model(pixels, training=False)[:, 1])
    expected = tape.gradient(score, pixels)
    np.testing.assert_allclose(viz.saliency(net, IMAGES[:2], "scores", "b"), expected, rtol=1e-3, atol=1e-5)
    assert np.abs(expected).max() > 1e-3


def check_file(model, folder):
    """It answers from its `.keras` file as it did, unpreprocessed; without KerasHub's import, that is asked for."""
    model.save(folder / "model.keras")
    net = viz.load_network(folder / "model.keras", classes="abc")
    np.testing.assert_allclose(net.scores(IMAGES), model(IMAGES, training=False), rtol=1e-3, atol=1e-5)
    wanted = r"import keras_hub for its own\); received keras_hub.*ImageClassifier"
    with patch.dict(keras.saving.get_custom_objects(), clear=True), pytest.raises(ValueError, match=wanted):
        viz.load_network(folder / "model.keras")


def test_a_vision_transformer(models, tmp_path):
    import keras_hub

    backbone = models.ViTBackbone((32, 32, 3), 8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32)
    net = viz.load_network(models.ViTImageClassifier(backbone, num_classes=3), classes="abc")
    check(net)
    preprocessor = models.ViTImageClassifierPreprocessor(keras_hub.layers.ViTImageConverter((32, 32), scale=1 / 255))
    check_file(models.ViTImageClassifier(backbone, num_classes=3, preprocessor=preprocessor), tmp_path)
    blocks = [BLOCK.format(i) for i in (3, 2, 1)]
    assert net.finer_layers(blocks[0]) == tuple(blocks[1:])
    assert net.finer_layers("vi_t_backbone/vit_encoder") == tuple(blocks[1:])
    found = net.activations(IMAGES[:2], [blocks[0], f"{blocks[0]}:token"])
    assert found[blocks[0]].shape == (2, 4, 4, 16) and found[f"{blocks[0]}:token"].shape == (2, 16)
    # The encoder ends in a layer norm, of the last block's output.
    norm = backbone.get_layer("vit_encoder").layer_norm
    tokens = np.concatenate([found[f"{blocks[0]}:token"][:, None], found[blocks[0]].reshape(2, 16, 16)], axis=1)
    np.testing.assert_allclose(norm(tokens), backbone.predict(IMAGES[:2], verbose=0), rtol=1e-3, atol=1e-5)
    store = viz.StatsStore(tmp_path / "stats", net)
    viz.collect(store, IMAGES, "a", blocks, progress=False)
    made = viz.reconstruct(net, store.sample("a", blocks[0], n=1), steps=30, progress=False)
    total = sum(made.history.values()).sum(axis=1)
    assert total[-1] < 0.7 * total[0]


def test_a_residual_network(models, tmp_path):
    backbone = models.ResNetBackbone([64], [3], [64, 64], [1, 1], [1, 2], "basic_block", image_shape=(32, 32, 3))
    model = models.ResNetImageClassifier(backbone, num_classes=3)
    net = viz.load_network(model, classes="abc")
    check(net)
    check_file(model, tmp_path)
    guided, plain = (viz.saliency(net, IMAGES[:2], "scores", "b", rule) for rule in ("guided", "gradient"))
    assert np.abs(guided - plain).max() > 1e-4  # its ReLUs are within reach
    assert net.finer_layers("scores")
