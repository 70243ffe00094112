"""Networks as Caffe published them: a `.prototxt` that lists the layers, a `.caffemodel` that holds their weights.

Of Caffe's message schema (Jia et al. 2014) only what VGG16-like networks use is declared here, for protobuf: the extra
`vizlib[caffe]`. Weights are declared as bytes, which is how packed numbers are stored, so that their length is known
before anything is made of them.
"""

import os
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from google.protobuf.message import Message

# message: {field: (number, type)}; "*" marks what is repeated, a capital another message
SCHEMA = {
    "Shape": {"dim": (1, "int64*")},
    "Blob": {
        "num": (1, "int32"), "channels": (2, "int32"), "height": (3, "int32"), "width": (4, "int32"),
        "data": (5, "bytes*"), "shape": (7, "Shape"), "double_data": (8, "bytes*"),
    },
    "Convolution": {
        "num_output": (1, "int64"), "bias_term": (2, "bool"), "pad": (3, "int64*"), "kernel_size": (4, "int64*"),
        "group": (5, "int64"), "stride": (6, "int64*"), "dilation": (18, "int64*"),
        "pad_h": (9, "int64"), "pad_w": (10, "int64"), "kernel_h": (11, "int64"), "kernel_w": (12, "int64"),
        "stride_h": (13, "int64"), "stride_w": (14, "int64"),
    },
    "Pooling": {
        "pool": (1, "Method"), "kernel_size": (2, "int64"), "stride": (3, "int64"), "pad": (4, "int64"),
        "global_pooling": (12, "bool"), "kernel_h": (5, "int64"), "kernel_w": (6, "int64"), "stride_h": (7, "int64"),
        "stride_w": (8, "int64"), "pad_h": (9, "int64"), "pad_w": (10, "int64"),
    },
    "InnerProduct": {"num_output": (1, "int64"), "bias_term": (2, "bool"), "transpose": (6, "bool")},
    "ReLU": {"negative_slope": (1, "float")},
    "Input": {"shape": (1, "Shape*")},
    "Layer": {
        "name": (1, "string"), "type": (2, "string"), "bottom": (3, "string*"), "top": (4, "string*"),
        "blobs": (7, "Blob*"), "convolution_param": (106, "Convolution"), "inner_product_param": (117, "InnerProduct"),
        "pooling_param": (121, "Pooling"), "relu_param": (123, "ReLU"), "input_param": (143, "Input"),
    },
    "OldLayer": {
        "bottom": (2, "string*"), "top": (3, "string*"), "name": (4, "string"), "type": (5, "Type"),
        "blobs": (6, "Blob*"), "convolution_param": (10, "Convolution"), "inner_product_param": (17, "InnerProduct"),
        "pooling_param": (19, "Pooling"), "relu_param": (30, "ReLU"),
    },
    "Net": {
        "name": (1, "string"), "layers": (2, "OldLayer*"), "input": (3, "string*"), "input_dim": (4, "int32*"),
        "input_shape": (8, "Shape*"), "layer": (100, "Layer*"),
    },
}  # fmt: skip
ENUMS = {
    "Method": {"MAX": 0, "AVE": 1, "STOCHASTIC": 2},
    "Type": {"NONE": 0, "CONVOLUTION": 4, "DROPOUT": 6, "INNER_PRODUCT": 14, "POOLING": 17, "RELU": 18, "SOFTMAX": 20},
}
MAX_BYTES = {".caffemodel": 2**31 - 1, ".prototxt": 2**20}  # the first is protobuf's own limit


def read_caffe(weights: str | os.PathLike, prototxt: str | os.PathLike) -> tuple[int, list[dict]]:
    """The layers of a network of Caffe: its image size in pixels, and a list of dicts.

    Each has `name`, `type` ("Convolution", "InnerProduct", "Pooling", "ReLU", "Dropout" or "Softmax") and, by type,
    `kernel`, `bias` (float32 arrays, in Caffe's order: (out, in, h, w) and (out, in)), `padding`, `stride`, `size`
    (pixels). Raises ValueError for files that are damaged or hold anything else than a chain of these layers, with
    blobs of other shapes than their data; ImportError without protobuf.
    """
    try:
        from google.protobuf import text_format
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ImportError("expected protobuf, to read files of Caffe: pip install 'vizlib[caffe]'") from error
    text = _bytes(Path(prototxt), ".prototxt")
    try:
        net = text_format.Parse(text, message("Net")(), allow_unknown_field=True)
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"expected a network of Caffe in {prototxt}; received: {error}") from error
    trained = message("Net")()
    try:
        trained.ParseFromString(_bytes(Path(weights), ".caffemodel"))
    except DecodeError as error:
        raise ValueError(f"expected weights of Caffe in {weights}; received: {error}") from error
    blobs = {layer.name: layer.blobs for layer in (*trained.layers, *trained.layer)}
    top, channels, size = _input(net)
    image_size, steps = size, []
    for layer in (*net.layers, *net.layer):
        if layer.type == "Input":
            continue
        if list(layer.bottom) != [top] or len(layer.top) != 1:
            raise ValueError(f"expected a chain of layers; received {layer.name!r} of {[*layer.bottom]}, not {top!r}.")
        top = layer.top[0]
        step, channels, size = _step(layer, blobs.get(layer.name, ()), channels, size)
        steps.append(step)
    return image_size, steps


def message(name: str) -> "type[Message]":
    """The class of a message of the schema."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="vizlib/caffe.proto", package="vizlib.caffe")
    for enum, values in ENUMS.items():
        added = file.enum_type.add(name=enum)
        for key, number in values.items():
            added.value.add(name=key, number=number)
    for kind, fields in SCHEMA.items():
        descriptor = file.message_type.add(name=kind)
        for field, (number, type_) in fields.items():
            added = descriptor.field.add(name=field, number=number, label=3 if type_.endswith("*") else 1)
            type_ = type_.rstrip("*")
            if type_[0].isupper():
                added.type = field_type.TYPE_ENUM if type_ in ENUMS else field_type.TYPE_MESSAGE
                added.type_name = f".vizlib.caffe.{type_}"
            else:
                added.type = getattr(field_type, f"TYPE_{type_.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"vizlib.caffe.{name}"))


def _bytes(path, suffix):
    if path.suffix != suffix:
        raise ValueError(f"expected a file that ends in {suffix}; received {path.name}.")
    if path.stat().st_size > MAX_BYTES[suffix]:
        raise ValueError(f"expected at most {MAX_BYTES[suffix]:,} bytes; {path} has {path.stat().st_size:,}.")
    return path.read_bytes()


def _input(net):
    """The name, channels and pixels of a side of what a network takes."""
    layers = [layer for layer in net.layer if layer.type == "Input"]
    names = [*net.input, *(name for layer in layers for name in layer.top)]
    shapes = [tuple(shape.dim) for layer in layers for shape in layer.input_param.shape]
    shapes += [tuple(shape.dim) for shape in net.input_shape] or [tuple(net.input_dim)] * bool(net.input_dim)
    if len(names) != 1 or len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 3 or shapes[0][2] != shapes[0][3]:
        raise ValueError(f"expected one input of square images (n, 3, h, h); received {names} of shapes {shapes}.")
    return names[0], 3, shapes[0][2]


def _step(layer, blobs, channels, size):
    """What a layer does, the channels and the size after it."""
    type_ = {4: "Convolution", 6: "Dropout", 14: "InnerProduct", 17: "Pooling", 18: "ReLU", 20: "Softmax"}.get(
        layer.type, layer.type
    )
    step = {"name": layer.name, "type": type_}
    if type_ == "Convolution":
        options = layer.convolution_param
        kernel, padding, stride = _window(layer.name, options)
        if padding and (stride > 1 or 2 * padding != kernel - 1) or options.group > 1 or set(options.dilation) > {1}:
            raise ValueError(f"expected a convolution padded by half its kernel; received {layer.name}: {options}.")
        step |= _weights(layer, blobs, options, (channels, kernel, kernel))
        step |= {"padding": "same" if padding else "valid", "stride": stride}
        return step, options.num_output, (size + 2 * padding - kernel) // stride + 1
    if type_ == "InnerProduct":
        options = layer.inner_product_param
        return step | _weights(layer, blobs, options, (channels * size * size,)), options.num_output, 1
    if type_ == "Pooling":
        options = layer.pooling_param
        kernel, padding, stride = _window(layer.name, options)
        if padding or options.pool == 2 or options.global_pooling or (size - kernel) % stride:
            raise ValueError(f"expected pooling that takes {size} pixels up whole; received {layer.name}: {options}.")
        step |= {"size": kernel, "stride": stride, "mean": options.pool == 1}
        return step, channels, (size - kernel) // stride + 1
    if type_ not in ("ReLU", "Dropout", "Softmax") or layer.relu_param.negative_slope:
        raise ValueError(f"expected a layer as VGG16 has them; received {layer.name!r} of type {type_}.")
    return step, channels, size


def _window(name, options):
    """Kernel, padding and stride of a square window."""
    sides = [getattr(options, f"{what}_{side}") for what in ("kernel", "pad", "stride") for side in "hw"]
    values = [np.atleast_1d(value) for value in (options.kernel_size, options.pad, options.stride)]
    kernel, padding, stride = (int(value[0]) if len(value) else 0 for value in values)
    if any(sides) or any(len(set(value.tolist())) > 1 for value in values) or kernel < 1 or min(padding, stride) < 0:
        raise ValueError(f"expected a square window; received {name}: {options}.")
    return kernel, padding, stride or 1


def _weights(layer, blobs, options, inputs):
    """Kernel and bias of a layer, which has blobs of just these shapes."""
    shapes = [(options.num_output, *inputs), (options.num_output,)]
    if options.HasField("bias_term") and not options.bias_term or getattr(options, "transpose", False):
        raise ValueError(f"expected a bias, and a kernel that is not transposed; received {layer.name}: {options}.")
    if len(blobs) != 2:
        raise ValueError(f"expected weights {shapes} of {layer.name!r}; received {len(blobs)} arrays.")
    kernel, bias = (_array(layer.name, *pair) for pair in zip(blobs, shapes, strict=True))
    return {"kernel": kernel, "bias": bias}


def _array(name, blob, expected):
    """The numbers of a blob, if its shape is the expected one, of four axes in old files, and its bytes are as many."""
    old = (blob.num, blob.channels, blob.height, blob.width)
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else old
    data, dtype = (blob.double_data, "<f8") if len(blob.double_data) else (blob.data, "<f4")
    length, itemsize = sum(map(len, data)), np.dtype(dtype).itemsize
    padded = (1,) * (len(shape) - len(expected)) + expected
    if min(expected) < 1 or shape != padded or length != prod(expected) * itemsize:
        raise ValueError(
            f"expected {prod(expected):,} numbers of shape {expected} for {name!r}; received shape {shape} in "
            f"{length:,} bytes."
        )
    array = np.frombuffer(data[0] if len(data) == 1 else b"".join(data), dtype)
    return array.reshape(expected).astype("float32", copy=False)
