"""A model's config as Keras 2 wrote it, in the words of Keras 3."""

from typing import Any

MODELS = "Model", "Functional", "Sequential"
DROPPED = {  # what layers had as an argument and have no more; nothing of an image depends on it
    **dict.fromkeys(("DepthwiseConv2D", "Conv2DTranspose"), ("groups",)),
    "SeparableConv2D": ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
}
# What stood for an operator of Python: the layer for two tensors; scale and offset for a tensor and a number, and for a
# number and a tensor.
OPERATIONS = {
    "__operators__.add": ("Add", lambda y: (1, y), lambda x: (1, x)),
    "math.add": ("Add", lambda y: (1, y), lambda x: (1, x)),
    "math.subtract": ("Subtract", lambda y: (1, -y), lambda x: (-1, x)),
    "math.multiply": ("Multiply", lambda y: (y, 0), lambda x: (x, 0)),
    "math.truediv": (None, lambda y: (1 / y, 0), None),
}


def modern(config: Any) -> Any:
    """A config of any version as Keras 3 reads it; one of a `.keras` file that Keras 3 wrote is as it was.

    Raises ValueError for an operation of Keras 2 that stands outside of a layer and is no sum, difference or product,
    nor a quotient by a number.
    """
    if isinstance(config, list):
        is_tensor = len(config) > 2 and isinstance(config[0], str) and isinstance(config[1], int)
        return [_name(config[0]), *modern(config[1:])] if is_tensor else [modern(part) for part in config]
    if not isinstance(config, dict):
        return config
    config = {key: _name(value) if key == "name" else modern(value) for key, value in config.items()}
    name, own = config.get("class_name"), config.get("config")
    if name == "Sequential":
        config |= {"module": "keras", "config": _sequential(own)}
    elif name in MODELS and not str(config.get("module")).startswith("keras.src.models"):
        _count_calls(own)
        config |= {"module": "keras", "class_name": "Model", "registered_name": None}
    elif name in ("TFOpLambda", "SlicingOpLambda"):
        config |= _operation(own, config["inbound_nodes"])
    elif name == "Policy":
        config |= {"module": "keras", "class_name": "DTypePolicy"}
    elif isinstance(own, dict):
        for key in DROPPED.get(name or "", ("rng_type",)):
            own.pop(key, None)
        if name == "BatchNormalization" and isinstance(own.get("axis"), list):
            (own["axis"],) = own["axis"]
    return config


def _name(name):
    """The name of a layer, which Keras 3 allows no slash."""
    return name.replace("/", "_") if isinstance(name, str) else name


def _sequential(own):
    """The config of a Sequential with its layers under a name, and the shape of the input in a layer of its own."""
    own = {"name": "sequential", "layers": own} if isinstance(own, list) else own
    others = [layer["config"] for layer in own["layers"] if layer["class_name"] != "InputLayer"]
    shapes = [config.pop("batch_input_shape", None) for config in others]
    if len(shapes) == len(own["layers"]) and shapes[0]:
        own["layers"].insert(0, {"class_name": "InputLayer", "config": {"batch_shape": shapes[0]}})
    return own


def _count_calls(own):
    """Count the calls of a model within a model from 0 on: Keras 2 counted how it was made as the first."""
    nodes = [node for layer in own["layers"] for node in layer["inbound_nodes"] if isinstance(node, list)]
    for layer in own["layers"] if nodes else ():
        if layer["class_name"] in MODELS:
            inner = [tensor for node in nodes for tensor in node if tensor[0] == layer["name"]]
            outputs = [tensor for tensor in own["output_layers"] if tensor[0] == layer["name"]]
            first = min(tensor[1] for tensor in inner + outputs)
            for tensor in inner:
                tensor[1] -= first
            for tensor in outputs:  # where Keras 3 too counts how a functional one was made
                tensor[1] += (layer["class_name"] != "Sequential") - first


def _operation(own, nodes):
    """The layer that computes what an operator of Python does with the output of a layer."""
    layer, right, left = OPERATIONS.get(own["function"], (None, None, None))
    (*x, values), *others = nodes
    y, config = values.get("y"), {"name": own["name"]}
    number, tensor, rescaling = (x[2], y, left) if x[0] == "_CONSTANT_VALUE" else (y, x, right)
    if isinstance(number, (int, float)) and rescaling and not others:
        layer, tensors = "Rescaling", [tensor]
        config["scale"], config["offset"] = rescaling(number)
    elif isinstance(number, list) and isinstance(number[0], str) and layer and not others:
        tensors = [x, y]
    else:
        raise ValueError(
            f"expected layers; received {own['name']!r}, an operation of Keras 2 that Keras 3 cannot read: build the "
            "model anew in Keras 3 and give it the weights, model.load_weights(...)."
        )
    node = [[*tensor, {}] for tensor in tensors]
    return {"module": "keras.layers", "class_name": layer, "registered_name": None, "config": config,
            "inbound_nodes": [node], "build_config": None}  # fmt: skip
