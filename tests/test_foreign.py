"""What is no file of Keras is named in a sentence, with what makes a Keras model of it."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow

import vizlib as viz

HUB = r"load_network\(keras_hub.models.ImageClassifier.from_preset\('{}'\), preprocess=...\)\.$"


@pytest.mark.parametrize(
    "name, message",
    [
        ("net.pt", "weights of PyTorch: of timm or transformers, with a config.json beside them, KerasHub"),
        ("net.pth", "weights of PyTorch"),
        ("pytorch_model.bin", "weights of PyTorch"),
        ("model.safetensors", "weights of PyTorch"),
        ("NET.ONNX", "a graph of ONNX: nothing makes Keras layers of it: build the model in Keras"),
        ("net.tflite", "a compiled graph of LiteRT: nothing makes Keras layers of it"),
        ("frozen.pb", "a frozen graph of TensorFlow: nothing"),
        ("a.ckpt", r"weights of TensorFlow: they go into the model: model.load_weights\(...\)"),
        ("a.index", "weights of TensorFlow"),
        ("model.json", r"layers without weights: save both: model.save\('NAME.keras'\)"),
        ("vgg.caffemodel", r"a network of Caffe: vizlib.convert_vgg16\('.*vgg.caffemodel', 'NAME.keras', prototxt"),
    ],
)
def test_files(tmp_path, name, message):
    path = tmp_path / name
    path.write_bytes(b"anything")
    with pytest.raises(ValueError, match=rf"expected a Keras model; received .*{name}, {message}"):
        viz.load_network(path)
    assert path.read_bytes() == b"anything"


@pytest.mark.parametrize("name", ["hf://timm/resnet18.a1_in1k", "kaggle://keras/resnet"])
def test_names_of_elsewhere(name):
    with pytest.raises(ValueError, match=f"received {name}, the name of a network elsewhere: .*{HUB.format(name)}"):
        viz.load_network(name)


def test_a_folder_of_hugging_face(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["ViTForImageClassification"], "model_type": "vit"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=f"a folder of Hugging Face, timm or KerasHub: .*{HUB.format(tmp_path)}"):
        viz.load_network(tmp_path)


def test_names_of_no_file_stay_what_they_were(tmp_path):
    with pytest.raises(FileNotFoundError, match="found no file .*net.onnx"):
        viz.load_network(tmp_path / "net.onnx")


def test_a_saved_model_without_layers(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ValueError, match="a SavedModel of TensorFlow, without layers: nothing makes Keras layers"):
        viz.load_network(tmp_path)


MODEL = """
import numpy as np, tf_keras as keras
from tf_keras import layers
keras.utils.set_random_seed(0)
within, image = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
x = layers.BatchNormalization(name="Conv/BN")(layers.Conv2D(4, 3, activation="relu")(within))
base = keras.Model(within, layers.DepthwiseConv2D(3, name="depthwise")(x), name="base")
x = layers.RandomFlip()(image)
x = base(keras.applications.mobilenet.preprocess_input(x), training=False)
model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
model.compile("adam", "mse")
images = np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32")
model.fit(images * 255, np.eye(3)[:2], verbose=0)
np.save("scores.npy", model.predict(images * 255))
for name in "saved", "old.h5", "old.keras":
    model.save(name)
"""


@pytest.fixture(scope="module")
def keras2(tmp_path_factory):
    """A folder with what Keras 2 writes of one model, and a function that runs Python with it."""
    folder, files = tmp_path_factory.mktemp("tf_keras"), tmp_path_factory.mktemp("files")
    version = ".".join(tensorflow.__version__.split(".")[:2])
    if version == "2.18" and sys.version_info >= (3, 12):
        pytest.skip("tf_keras 2.18 draws no weights on Python 3.12")
    wanted = f"tf_keras=={version}.*"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(folder), wanted]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"pip got no {wanted}: {done.stderr}")

    def run(code):
        environment = os.environ | {"PYTHONPATH": str(folder)}
        done = subprocess.run([sys.executable, "-c", code], cwd=files, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    run(MODEL)
    return files, run


def check(files, name):
    net = viz.load_network(files / name, preprocess=lambda x: x * 255)
    images = np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(net.scores(images), np.load(files / "scores.npy"), rtol=1e-4, atol=1e-6)
    assert {"base/Conv_BN", "base/depthwise"} <= set(net.layers)


@pytest.mark.parametrize("name", ["old.h5", "old.keras"])
def test_what_keras_2_writes_itself(keras2, name):
    check(keras2[0], name)


def test_the_command_for_a_saved_model_makes_a_file_that_answers_as_it_did(keras2):
    files, run = keras2
    with pytest.raises(ValueError, match="saved, a SavedModel of Keras 2: tf_keras makes an .h5 file of it") as caught:
        viz.load_network(files / "saved")
    run(re.search('python -c "(.*)"', str(caught.value))[1])
    check(files, "saved.h5")
