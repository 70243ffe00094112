"""What is no file of Keras is named in a sentence, with what makes a Keras model of it."""

import pytest

import vizlib as viz

HUB = r"load_network\(keras_hub.models.ImageClassifier.from_preset\('{}'\), preprocess=...\)\.$"


@pytest.mark.parametrize(
    "name, message",
    [
        ("net.pt", "weights of PyTorch: .*timm or transformers.*keras_hub.models.ImageClassifier.from_preset"),
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
