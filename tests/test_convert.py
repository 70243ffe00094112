"""Published weights, written here as Caffe and Theano wrote them, against a forward pass in numpy and scipy."""

import sys

import h5py
import keras
import numpy as np
import pytest
from scipy.signal import convolve2d, correlate2d

import vizlib as viz
from vizlib.networks import vgg_preprocess
from vizlib.networks.caffe import message

RNG = np.random.default_rng(0)
IMAGES = RNG.random((2, 8, 8, 3)).astype("float32")
# name, type, shape of the kernel; channels, rows and columns count in this order, as in Caffe and Theano
CHAIN = [
    ("conv1_1", "Convolution", (4, 3, 3, 3)),
    ("relu1_1", "ReLU", None),
    ("conv1_2", "Convolution", (5, 4, 3, 3)),
    ("relu1_2", "ReLU", None),
    ("pool1", "Pooling", None),
    ("fc6", "InnerProduct", (6, 5 * 4 * 4)),
    ("relu6", "ReLU", None),
    ("drop6", "Dropout", None),
    ("fc8", "InnerProduct", (3, 6)),
    ("prob", "Softmax", None),
]
KERAS = {"conv1_1": "block1_conv1", "conv1_2": "block1_conv2", "pool1": "block1_pool"}
KERAS |= {"fc6": "fc1", "fc8": "predictions"}
WEIGHTS = {
    name: (RNG.normal(0, 0.3, shape).astype("float32"), RNG.normal(0, 0.3, shape[0]).astype("float32"))
    for name, _, shape in CHAIN
    if shape
}


def forward(image, chain, weights, convolve=correlate2d):
    """{name: output} of a chain, one image (channels, rows, columns), every layer as its definition says.

    The ReLU after a layer counts as the layer's.
    """
    outputs, x, last = {}, image, None
    for name, kind, _ in chain:
        kernel, bias = weights.get(name, (None, None))
        if kind == "Convolution":
            maps = [sum(convolve(x[i], k[i], "same") for i in range(len(x))) for k in kernel]
            x = np.array(maps) + bias[:, None, None]
        elif kind == "InnerProduct":
            x = kernel @ x.ravel() + bias
        elif kind == "Pooling":
            x = np.array([[[c[i : i + 2, j : j + 2].max() for j in range(0, c.shape[1], 2)]
                           for i in range(0, c.shape[0], 2)] for c in x])  # fmt: skip
        elif kind == "ReLU":
            x = x * (x > 0)
            outputs[last] = x
        elif kind == "Softmax":
            x = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
        if kind in ("Convolution", "InnerProduct", "Pooling"):
            last = name
        outputs[name] = x
    return outputs


def bgr(image):
    """What VGG16 was trained on, channels first."""
    return (image[..., ::-1] * 255.0 - [103.939, 116.779, 123.68]).transpose(2, 0, 1)


def check(path, chain, weights, names, convolve=correlate2d, images=IMAGES):
    """Every layer of a converted file gives what the forward pass gives."""
    net = viz.load_network(path, preprocess=vgg_preprocess)
    received = net.activations(images, [*names.values(), "scores"])
    for i, image in enumerate(images):
        expected = forward(bgr(image), chain, weights, convolve)
        for name, ours in names.items():
            values = expected[name if name != chain[-2][0] else chain[-1][0]]
            values = values.transpose(1, 2, 0) if values.ndim == 3 else values
            np.testing.assert_allclose(received[ours][i], values, atol=1e-5 * np.abs(values).max(), err_msg=ours)
        np.testing.assert_allclose(received["scores"][i], expected[chain[-2][0]], rtol=1e-4, atol=1e-3)
    return net


PROTOTXT = {
    "old": 'name: "tiny" input: "data" input_dim: 10 input_dim: 3 input_dim: 8 input_dim: 8\n',
    "new": 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n',
}
OLD_TYPES = {"Convolution": "CONVOLUTION", "ReLU": "RELU", "Pooling": "POOLING", "InnerProduct": "INNER_PRODUCT"}
OLD_TYPES |= {"Dropout": "DROPOUT", "Softmax": "SOFTMAX"}


def prototxt(version, chain=CHAIN):
    """As published: VGG16 with `layers` of an enumerated type ("old"), later networks with `layer` ("new")."""
    text, top = PROTOTXT[version], "data"
    for name, kind, shape in chain:
        inplace = kind in ("ReLU", "Dropout")
        options = {
            "Convolution": lambda s: f"convolution_param {{ num_output: {s[0]} pad: 1 kernel_size: {s[2]} }}",
            "InnerProduct": lambda s: f"inner_product_param {{ num_output: {s[0]} }}",
            "Pooling": lambda s: "pooling_param { pool: MAX kernel_size: 2 stride: 2 }",
            "Dropout": lambda s: "dropout_param { dropout_ratio: 0.5 }",
        }.get(kind, lambda s: "")(shape)
        field, type_ = ("layers", OLD_TYPES[kind]) if version == "old" else ("layer", f'"{kind}"')
        bottom, top = top, top if inplace else name
        text += f'{field} {{ bottom: "{bottom}" top: "{top}" name: "{name}" type: {type_} {options} }}\n'
    return text


def caffemodel(version, weights=WEIGHTS, chain=CHAIN):
    net = message("Net")()
    for name, kind, _ in chain:
        layer = (net.layers if version == "old" else net.layer).add(name=name)
        layer.type = 0 if version == "old" else kind
        for array in weights.get(name, ()):
            blob = layer.blobs.add(data=[array.tobytes()])
            if version == "old":
                blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
            else:
                blob.shape.dim.extend(array.shape)
    return net


@pytest.fixture
def written(tmp_path):
    """Write a network of Caffe as a pair of files; their paths and one for the result."""

    def write(net, text):
        (tmp_path / "net.caffemodel").write_bytes(net if isinstance(net, bytes) else net.SerializeToString())
        (tmp_path / "net.prototxt").write_text(text)
        return tmp_path / "net.caffemodel", tmp_path / "net.keras", tmp_path / "net.prototxt"

    return write


@pytest.mark.parametrize("version", ["old", "new"])
def test_caffe_layer_by_layer(written, version):
    paths = written(caffemodel(version), prototxt(version))
    viz.convert_vgg16(*paths)
    net = check(paths[1], CHAIN, WEIGHTS, KERAS)
    assert net.layers == ("block1_conv1", "block1_conv2", "block1_pool", "flatten", "fc1", "predictions")
    assert net.image_size == 8 and net.is_rectified("block1_conv2") and not net.is_rectified("predictions")
    assert sorted(x.name for x in paths[1].parent.iterdir()) == ["net.caffemodel", "net.keras", "net.prototxt"]


def test_the_bytes_of_a_caffemodel_by_hand(written):
    """One convolution 1 × 1, every byte of its file as the encoding of protobuf says."""
    kernel, bias = np.array([1.0, 2.0, -3.0], "<f4").tobytes(), np.array([0.5], "<f4").tobytes()
    blob = bytes([0x08, 1, 0x10, 3, 0x18, 1, 0x20, 1, 0x2A, len(kernel)]) + kernel  # num, channels, height, width, data
    bias = bytes([0x3A, 2, 0x08, 1, 0x2A, len(bias)]) + bias  # shape { dim }, data
    layer = b"\x22\x01c" + bytes([0x32, len(blob)]) + blob + bytes([0x32, len(bias)]) + bias  # name, blobs
    file = bytes([0x12, len(layer)]) + layer  # layers
    text = PROTOTXT["old"] + (
        'layers { bottom: "data" top: "c" name: "c" type: CONVOLUTION '
        "convolution_param { num_output: 1 kernel_size: 1 } blobs_lr: 1 weight_decay: 0 }"
    )
    paths = written(file, text)
    viz.convert_vgg16(*paths)
    expected = (IMAGES * [1, 2, -3]).sum(-1, keepdims=True) + 0.5
    np.testing.assert_allclose(viz.load_network(paths[1]).activations(IMAGES, ["c"])["c"], expected, atol=1e-6)


def break_blob(**fields):
    def change(net):
        for name, value in fields.items():
            setattr(net.layers[0].blobs[0], name, value)

    return change


@pytest.mark.parametrize(
    "change, message_",
    [
        (break_blob(num=10**9, channels=10**9), r"108 numbers of shape \(4, 3, 3, 3\).*1000000000"),
        (break_blob(num=-4, channels=-3), r"shape \(-4, -3, 3, 3\)"),
        (lambda net: net.layers[0].blobs[0].data.append(b"1234"), r"in 436 bytes"),
        (lambda net: net.layers[0].blobs[0].ClearField("data"), r"in 0 bytes"),
        (lambda net: net.layers[2].ClearField("blobs"), r"'conv1_2'; received 0 arrays"),
        (lambda net: setattr(net.layers[5], "name", "fc"), r"'fc6'; received 0 arrays"),
    ],
)
def test_blobs_that_are_not_what_they_declare(written, change, message_):
    net = caffemodel("old")
    change(net)
    paths = written(net, prototxt("old"))
    with pytest.raises(ValueError, match=message_):
        viz.convert_vgg16(*paths)
    assert not paths[1].exists()


@pytest.mark.parametrize(
    "old, new, message_",
    [
        ("num_output: 4 ", "num_output: 1000000000 ", r"received shape \(4, 3, 3, 3\)"),
        ("num_output: 4 ", "num_output: -4 ", "expected -108 numbers"),
        ("pad: 1 ", "pad: 2 ", "padded by half its kernel"),
        ("pad: 1 ", "pad: 1 group: 2 ", "padded by half its kernel"),
        ("pad: 1 ", "pad: 1 bias_term: false ", "a bias, and a kernel that is not transposed; received conv1_1"),
        ("pad: 1 ", "pad: 1 stride_h: 2 stride_w: 1 ", "square window"),
        ("stride: 2", "stride: 3 ", "received pool1|'fc6'|takes 8 pixels"),
        ("stride: 2", "stride: -1", "square window"),
        ("pool: MAX ", "global_pooling: true ", "takes 8 pixels up whole"),
        ("type: DROPOUT", "type: LRN", "expected a"),
        ('bottom: "conv1_2" top: "pool1"', 'bottom: "conv1_1" top: "pool1"', "chain of layers; received 'pool1'"),
        ("input_dim: 3", "input_dim: 1", "one input of square images"),
        ("{", "", "network of Caffe"),
    ],
)
def test_networks_that_are_no_vgg16(written, old, new, message_):
    text = prototxt("old")
    assert old in text
    paths = written(caffemodel("old"), text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message_):
        viz.convert_vgg16(*paths)
    assert not paths[1].exists()


def test_a_layer_that_vgg16_does_not_have(written):
    paths = written(caffemodel("new"), prototxt("new").replace('"Dropout"', '"LRN"', 1))
    with pytest.raises(ValueError, match="a layer as VGG16 has them; received 'drop6' of type LRN"):
        viz.convert_vgg16(*paths)
    assert not paths[1].exists()


def test_without_protobuf_it_says_what_to_install(written, monkeypatch):
    paths = written(caffemodel("old"), prototxt("old"))
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(ImportError, match=r"to read files of Caffe: pip install 'vizlib\[caffe\]'"):
        viz.convert_vgg16(*paths)


def test_files_that_are_none(written, tmp_path):
    weights, path, text = written(caffemodel("old").SerializeToString()[:-7], prototxt("old"))
    with pytest.raises(ValueError, match="weights of Caffe"):
        viz.convert_vgg16(weights, path, text)
    with pytest.raises(ValueError, match="the prototxt that goes with net.caffemodel"):
        viz.convert_vgg16(weights, path)
    with pytest.raises(ValueError, match=r"ends in \.prototxt; received net\.txt"):
        viz.convert_vgg16(weights, path, text.rename(tmp_path / "net.txt"))
    (tmp_path / "net.txt").rename(text)
    with pytest.raises(ValueError, match=r"ends in \.keras"):
        viz.convert_vgg16(weights, tmp_path / "net.h5", text)
    text.write_bytes(b"#" * 2**21)
    with pytest.raises(ValueError, match="at most 1,048,576 bytes"):
        viz.convert_vgg16(weights, path, text)
    with pytest.raises(ValueError, match=r"\.h5; received net.pkl"):
        viz.convert_vgg16(tmp_path / "net.pkl", path)
    with pytest.raises(FileNotFoundError, match="missing.h5"):
        viz.convert_vgg16(tmp_path / "missing.h5", path)


WIDTHS = [2, 3, 4, 5, 6, 4, 3, 5, 4, 3, 2, 4, 3, 6, 5, 4]  # of the sixteen layers of VGG16


def vgg16_chain():
    names = [f"block{b}_conv{i + 1}" for b, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(n)]
    chain, inputs = [], 3
    for name, width in zip(names, WIDTHS, strict=False):
        if name.endswith("conv1") and name[5] != "1":
            chain.append((f"block{int(name[5]) - 1}_pool", "Pooling", None))
        chain += [(name, "Convolution", (width, inputs, 3, 3)), (f"{name}_relu", "ReLU", None)]
        inputs = width
    chain.append(("block5_pool", "Pooling", None))
    for name, width, n in zip(("fc1", "fc2", "predictions"), WIDTHS[13:], (inputs * 4, *WIDTHS[13:]), strict=False):
        function = "Softmax" if name == "predictions" else "ReLU"
        chain += [(name, "InnerProduct", (width, n)), (f"{name}_{function}", function, None)]
    return chain


VGG = vgg16_chain()
VGG_WEIGHTS = {
    name: (RNG.normal(0, 0.5, shape).astype("float32"), RNG.normal(0, 0.1, shape[0]).astype("float32"))
    for name, _, shape in VGG
    if shape
}


def theano_file(path, naming, weights=VGG_WEIGHTS):
    """Kernels (out, in, h, w) to be convolved with, (in, out) for full connections; named as Keras 1 or its models."""
    with h5py.File(path, "w") as file:
        for i, (name, (kernel, bias)) in enumerate(weights.items()):
            kernel = kernel.T if kernel.ndim == 2 else kernel
            if naming == "numbered":
                file[f"layer_{2 * i + 1}/param_0"], file[f"layer_{2 * i + 1}/param_1"] = kernel, bias
            else:
                file[f"{name}/{name}_W"], file[f"{name}/{name}_b"] = kernel, bias
    return path


@pytest.mark.parametrize("naming", ["named", "numbered"])
def test_theano_layer_by_layer(tmp_path, naming):
    """Theano convolves: the forward pass does, the converted network correlates."""
    viz.convert_vgg16(theano_file(tmp_path / "vgg16.h5", naming), tmp_path / "vgg16.keras")
    names = {name: name for name, kind, _ in VGG if kind in ("Convolution", "Pooling", "InnerProduct")}
    images = np.random.default_rng(1).random((1, 64, 64, 3)).astype("float32")
    net = check(tmp_path / "vgg16.keras", VGG, VGG_WEIGHTS, names, convolve2d, images)
    vgg16 = keras.applications.VGG16(weights=None, classes=4, input_shape=(64, 64, 3))
    assert list(net.layers) == [layer.name for layer in vgg16.layers[1:]] and net.image_size == 64


def test_theano_files_of_other_networks(tmp_path):
    path = tmp_path / "vgg16.keras"
    for change, message_ in (
        ({"fc1": (VGG_WEIGHTS["fc1"][0].T, VGG_WEIGHTS["fc1"][1])}, "Theano order"),
        ({"block1_conv1": (VGG_WEIGHTS["block1_conv1"][0].transpose(2, 3, 1, 0), np.zeros(2))}, r"\(3, 3, 3, 2\)"),
        ({"more": VGG_WEIGHTS["fc2"]}, "Theano order"),
    ):
        with pytest.raises(ValueError, match=message_):
            viz.convert_vgg16(theano_file(tmp_path / "w.h5", "named", VGG_WEIGHTS | change), path)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("block1_conv1/W", (10**6, 10**6), "float32", chunks=(1000, 1000))
    with pytest.raises(ValueError, match=r"as many as declared.*1000000, 1000000\) in 0 bytes"):
        viz.convert_vgg16(tmp_path / "w.h5", path)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["link"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ValueError, match="all of a weights file in it"):
        viz.convert_vgg16(tmp_path / "w.h5", path)
    (tmp_path / "w.h5").write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match="intact HDF5 file"):
        viz.convert_vgg16(tmp_path / "w.h5", path)
    assert not path.exists()
