"""Networks that are no file of Keras: what each is, and what makes a Keras model of it, where something does."""

from pathlib import Path

HUB = (
    "KerasHub makes Keras models of those it knows (pip install keras-hub): "
    "load_network(keras_hub.models.ImageClassifier.from_preset({0!r}), preprocess=...)"
)
SAVED = (
    "tf_keras makes an .h5 file of it (pip install tf_keras): "
    "python -c \"import tf_keras; tf_keras.models.load_model('{0}').save('{0}.h5')\""
)
NONE = "nothing makes Keras layers of it: build the model in Keras and give it the weights"
TORCH = "weights of PyTorch", "of timm or transformers, with a config.json beside them, " + HUB.replace("{0", "{1")
SUFFIXES = {
    **dict.fromkeys((".pt", ".pth", ".bin", ".safetensors"), TORCH),
    ".onnx": ("a graph of ONNX", NONE),
    ".tflite": ("a compiled graph of LiteRT", NONE),
    ".pb": ("a frozen graph of TensorFlow", NONE),
    **dict.fromkeys((".ckpt", ".index"), ("weights of TensorFlow", "they go into the model: model.load_weights(...)")),
    ".json": ("layers without weights", "save both: model.save('NAME.keras')"),
    ".caffemodel": ("a network of Caffe", "vizlib.convert_vgg16({0!r}, 'NAME.keras', prototxt=...) converts it"),
}


def check_foreign(source: str) -> None:
    """Raise ValueError if a name, a file or a folder is a network of something else than Keras."""
    path, found = Path(source), None
    if "://" in source:
        found = "the name of a network elsewhere", HUB
    elif (path / "keras_metadata.pb").is_file():
        found = "a SavedModel of Keras 2", SAVED
    elif (path / "saved_model.pb").is_file():
        found = "a SavedModel of TensorFlow, without layers", NONE
    elif (path / "config.json").is_file():
        found = "a folder of Hugging Face, timm or KerasHub", HUB
    elif path.is_file():
        found = SUFFIXES.get(path.suffix.lower())
    if found:
        kind, remedy = found
        raise ValueError(
            f"expected a Keras model; received {source}, {kind}: {remedy.format(source, str(path.parent))}."
        )
