"""VGG16 as it was published, for Caffe and for Keras on Theano, to a `.keras` file."""

import os
import re
from math import isqrt
from pathlib import Path

import h5py
import keras
from keras import layers

from vizlib._hdf5 import foreign_datasets
from vizlib.networks.caffe import read_caffe

FUNCTIONS = {"ReLU": "relu", "Softmax": "softmax"}
CONVOLUTIONS = (2, 2, 3, 3, 3)  # of VGG16, in each block


def convert_vgg16(
    weights: str | os.PathLike, path: str | os.PathLike, prototxt: str | os.PathLike | None = None
) -> None:
    """Write VGG16 (Simonyan & Zisserman 2015) as it was published as a `.keras` file, once, with Keras's layer names.

    weights: a `.caffemodel`, with the `prototxt` that lists its layers (any chain of convolutions, ReLUs, poolings and
    fully connected layers), or a Keras weights file `.h5` in Theano order, such as
    vgg16_weights_th_dim_ordering_th_kernels.h5, in which kernels are flipped and channels come first; its layers are
    those of VGG16, of any width. path: ends in .keras. The model takes what `vgg_preprocess` gives: BGR in [0, 255]
    minus the mean colour.

    Raises ValueError for files that are damaged, hold another network, or other numbers than they declare, before
    memory is taken for them; ImportError where Caffe's files need `pip install vizlib[caffe]`. No half of a file is
    left behind.
    """
    weights, path = Path(weights), Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"expected a path that ends in .keras; received {path}.")
    if weights.suffix == ".caffemodel" and prototxt is None:
        raise ValueError(f"expected the prototxt that goes with {weights.name}; received none.")
    size, steps = read_caffe(weights, prototxt) if prototxt is not None else _read_theano(weights)
    model = _model(size, steps)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.keras")
    try:
        model.save(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _model(size, steps):
    """The Keras model of the layers that `read_caffe` gives, with their weights in Keras's order."""
    model = keras.Sequential([keras.Input((size, size, 3))], name="vgg16")
    steps = [step for step in steps if step["type"] != "Dropout"]
    for before, step, after in zip([None, *steps], steps, [*steps[1:], None], strict=False):
        name, function = _keras_name(step["name"]), FUNCTIONS.get(after and after["type"])
        if step["type"] == "Convolution":
            out, _, side, _ = step["kernel"].shape
            layer = layers.Conv2D(out, side, step["stride"], step["padding"], activation=function, name=name)
            _add(model, layer, step["kernel"].transpose(2, 3, 1, 0), step["bias"])
        elif step["type"] == "InnerProduct":
            kernel = step["kernel"]
            if len(model.output_shape) == 4:
                _, *sides, channels = model.output_shape
                model.add(layers.Flatten(name="flatten"))
                # The inputs count channels, then rows and columns; in Keras rows and columns, then channels.
                kernel = kernel.reshape(-1, channels, *sides).transpose(0, 2, 3, 1).reshape(kernel.shape)
            _add(model, layers.Dense(len(kernel), function, name=name), kernel.T, step["bias"])
        elif step["type"] == "Pooling":
            pooling = layers.AveragePooling2D if step["mean"] else layers.MaxPooling2D
            model.add(pooling(step["size"], step["stride"], name=name))
        elif not before or "kernel" not in before:
            model.add(layers.Activation(FUNCTIONS[step["type"]], name=name))
    return model


def _add(model, layer, *weights):
    model.add(layer)
    layer.set_weights(weights)


def _keras_name(name):
    """The name in keras.applications of a layer of VGG16 as in Caffe: "conv1_2" is "block1_conv2" there."""
    if found := re.fullmatch(r"conv(\d+)_(\d+)", name):
        return f"block{found[1]}_conv{found[2]}"
    if found := re.fullmatch(r"pool(\d+)", name):
        return f"block{found[1]}_pool"
    return {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}.get(name, name).replace("/", "_")


def _read_theano(path):
    """As `read_caffe`, from a Keras weights file in Theano order."""
    if path.suffix not in (".h5", ".hdf5"):
        raise ValueError(f"expected a .caffemodel, or weights of Keras in Theano order, .h5; received {path.name}.")
    if not path.is_file():
        raise FileNotFoundError(f"expected a weights file; found no file {path}.")
    try:
        with h5py.File(path, "r") as file:
            return _theano_steps(foreign_datasets(file))
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(f"expected an intact HDF5 file of weights; {path} gave: {error}") from error


def _theano_steps(datasets):
    """Image size and layers of VGG16 from {path: dataset}: a kernel and a bias in the group of each layer."""
    groups = {}
    for path, dataset in datasets.items():
        groups.setdefault(path.rpartition("/")[0], []).append(dataset)
    in_order = sorted(groups, key=lambda path: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", path)])
    pairs = [sorted(groups[path], key=lambda dataset: -len(dataset.shape)) for path in in_order]
    found = [tuple(dataset.shape for dataset in pair) for pair in pairs]
    size = 32 * isqrt(found[-3][0][0] // found[-4][0][0]) if len(found) == 16 and all(map(all, found)) else 0
    if size == 0 or found != _theano_shapes(size, found):
        raise ValueError(
            "expected kernels and biases of VGG16 in Theano order, (out, in, 3, 3) and (in, out); received "
            f"{', '.join(map(str, found))}."
        )
    pairs = iter([[dataset[()].astype("float32") for dataset in pair] for pair in pairs])
    steps = []
    for block, n in enumerate(CONVOLUTIONS, 1):
        for i in range(1, n + 1):
            kernel, bias = next(pairs)
            # Theano convolves, where all others correlate: its kernels are turned round.
            steps.append({"type": "Convolution", "name": f"block{block}_conv{i}", "kernel": kernel[:, :, ::-1, ::-1]})
            steps[-1] |= {"bias": bias, "padding": "same", "stride": 1}
            steps.append({"type": "ReLU", "name": f"relu{block}_{i}"})
        steps.append({"type": "Pooling", "name": f"block{block}_pool", "size": 2, "stride": 2, "mean": False})
    for name, function in (("fc1", "ReLU"), ("fc2", "ReLU"), ("predictions", "Softmax")):
        kernel, bias = next(pairs)
        steps.append({"type": "InnerProduct", "name": name, "kernel": kernel.T, "bias": bias})
        steps.append({"type": function, "name": f"{name}_{function}"})
    return size, steps


def _theano_shapes(size, found):
    """The shapes that VGG16 for images of this size has, of the widths that are found: the length of each bias."""
    widths = [shapes[-1][0] for shapes in found]
    inputs = [3, *widths[:12], widths[12] * (size // 32) ** 2, *widths[13:15]]
    convolutions = [((out, in_, 3, 3), (out,)) for in_, out in zip(inputs[:13], widths[:13], strict=True)]
    return convolutions + [((in_, out), (out,)) for in_, out in zip(inputs[13:], widths[13:], strict=True)]
