"""A Keras model as one flat graph: nested models are opened, activation functions parted from what they are applied to.

What is in the graph are copies of the model's layers that share its weights, so that looking neither changes the model
nor takes memory. All of them are plain Keras layers: a part of the graph can be saved and read in Keras's safe mode.
"""

from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from math import inf

import keras
from keras import layers, ops, tree

from vizlib.backend import attributes
from vizlib.networks.tokens import TOKEN, apart, as_map, grid

IMAGE, SCORES = "image", "scores"  # pseudo-layers: the pixels, and the class scores before the softmax
PRE = ":pre"  # "block3_conv3:pre" is what block3_conv3 computes before its activation function

FUSED = (layers.Dense, layers.EinsumDense, layers.Conv2D, layers.Conv2DTranspose)
FUSED += (layers.DepthwiseConv2D, layers.SeparableConv2D)
ACTIVATIONS = (layers.Activation, layers.ReLU, layers.Softmax, layers.LeakyReLU, layers.PReLU, layers.ELU)
FUNCTIONS = {"ReLU", "Relu", "Relu6", "Softmax", "LogSoftmax", "Sigmoid"}  # called on a tensor, they are no layers


class Graph:
    """All layers of a model in one graph, from a tensor of images on.

    model: a functional or sequential Keras model. inputs: what takes the place of its inputs. relu: a function
    that takes the place of every ReLU; None leaves them. A ReLU that ends at a maximum, as ReLU6 does, still ends
    there, and passes no gradient where it does. Leaky ReLU, SiLU, GELU and others are no ReLUs and stay. policy: the
    Keras dtype policy to compute in, in place of the layers' own. output: which of the model's outputs the scores are.

    `layers`: names, shallow → deep: "conv" of the model itself, "base/conv" of the model "base" in it, "conv#2" where
    "conv" is called for the second time, and "image#2" and "scores#2" where a layer has the name of a pseudo-layer; a
    layer of one's own that has layers in it comes after these, "block" after "block/dense", where Keras can follow it.
    `tensors`: {NAME and NAME:pre: KerasTensor}, without the layers that cannot take images of this size. `tokens`: the
    names of those whose tokens are patches of the image, which are maps there, and NAME:token what else they have, see
    `vizlib.networks.tokens`; `outputs`: {NAME: what the next layers take}, tokens as they are. `scores`: what the
    output is before its activation function; `head`: the name of that, "linear" if there is none. `origin`: {NAME: the
    model's own layer}. `ceiling`: {NAME: where its ReLU ends, inf if nowhere} of the layers that end in one.
    """

    def __init__(
        self,
        model: keras.Model,
        inputs: Sequence[keras.KerasTensor],
        relu: Callable | None = None,
        policy: keras.DTypePolicy | None = None,
        output: int = 0,
    ) -> None:
        self._policy = {"_dtype_policy": policy} if policy else {}
        self.layers, self.tensors, self.origin, self.ceiling = [], {}, {}, {}
        self.inputs, self._relu, self._parts, self._before, self.tokens = inputs, relu, {}, {}, set()
        self._replaced, self._hidden, self._models, self.outputs = [], {}, {}, {}
        shapes = [(own.shape, x.shape) for own, x in zip(model.inputs, inputs, strict=True)]
        self._size = next(x.shape[1:3] for x in inputs if len(x.shape) == 4)
        self._fits = all(a in (None, b) for shape in shapes for a, b in zip(*shape, strict=True))
        output = self._run(model, inputs, "")[output]
        self.scores, self.head = self._before.get(id(output), (output, "linear"))

    def _run(self, model, inputs, prefix):
        """Do all a model does with these inputs, None for such as there are not; its outputs."""
        tensors = dict(zip(map(id, model.inputs), inputs, strict=True))
        for node in calls(model):
            tensors.update(zip(map(id, node.outputs), self._node(node, tensors, prefix), strict=True))
        return [tensors[id(output)] for output in model.outputs]

    def _node(self, node, tensors, prefix):
        """Call an operation as a node of the model's own graph does; the outputs, None for each where it cannot be."""
        operation, nothing = node.operation, [None] * len(node.outputs)
        name = self._free_name(prefix + operation.name)
        inputs = [tensors[id(x)] for x in node.input_tensors]
        args, kwargs = node.arguments.fill_in(tensors)
        kwargs.pop("training", None)
        if is_graph(operation) and len(inputs) == len(operation.inputs):
            self.origin[name] = operation
            return self._run(operation, inputs, name + "/")
        if isinstance(operation, keras.Layer):
            self.layers.append(name)
            self.origin[name] = operation
        if any(x is None for x in inputs):
            return nothing
        if (within := self._within(operation, args, kwargs)) is not None:
            self.layers.pop()  # to stand after what is in it
            outputs = self._run(within, inputs, name + "/")
            self.layers.append(name)
            self._keep(name, outputs[0], outputs[0])
            return outputs
        try:
            before, after = self._call(operation, args, kwargs)
        except ValueError:
            if self._fits:
                raise
            return nothing  # such as a Dense layer after images of another size; asking for it is the error
        outputs = tree.flatten(after)
        _, activation = self._parts[id(operation)]
        self._before[id(outputs[0])] = before, function_name(activation) if activation else "linear"
        if isinstance(operation, keras.Layer):
            self._keep(name, outputs[0], before if len(outputs) == 1 else outputs[0])
            ceiling = relu_ceiling(attributes(operation).get("activation", operation))
            if ceiling is not None and before is not outputs[0]:
                self.ceiling[name] = ceiling
        return outputs

    def _within(self, operation, args, kwargs):
        """The model of what is in a layer of one's own, see `within`; None for other operations."""
        if not _is_own(operation) or kwargs or len(args) != 1:
            return None
        if id(operation) not in self._models:
            self._models[id(operation)] = within(operation, args[0])
        return self._models[id(operation)]

    def _keep(self, name, after, before):
        """Keep the outputs of a layer; tokens, if they are patches, as a map, and those that are none apart."""
        self.outputs[name] = after
        known = len(after.shape) == 3 and all((*after.shape[1:], *self._size))
        if shape := known and grid(after.shape[1], *self._size):
            self.tokens.add(name)
            if (others := apart(after, shape)) is not None:
                self.tensors[name + TOKEN] = others
            before, after = as_map(before, shape), as_map(after, shape)
        self.tensors |= {name: after, name + PRE: before}

    def _free_name(self, name):
        number, free = 1, name
        while free in self.origin or free in (IMAGE, SCORES):
            number += 1
            free = f"{name}#{number}"
        return free

    def _call(self, operation, args, kwargs):
        """What an operation computes before its activation function, and after."""
        if id(operation) not in self._parts:
            self._parts[id(operation)] = self._part(operation)
        linear, activation = self._parts[id(operation)]
        before = linear(*args, **kwargs) if linear else [*args, *kwargs.values()][0]
        return before, activation(before) if activation else before

    def _part(self, operation):
        """An operation as two: what it does before its activation function, and that; None for what it does not."""
        name, function = f"{operation.name}_{len(self._parts)}", attributes(operation).get("activation")
        policy = self._policy if isinstance(operation, keras.Layer) and _is_castable(operation.dtype_policy) else {}
        # Of a quantised layer too, whose policy is none for an activation function.
        dtype = getattr(policy.get("_dtype_policy", operation), "compute_dtype", None)
        if isinstance(operation, ACTIVATIONS) or type(operation).__name__ in FUNCTIONS:
            linear, activation = None, twin(operation, name, **policy)
        elif _is_fused(operation) and function is not keras.activations.linear:
            linear = twin(operation, name, activation=keras.activations.linear, **policy)
            if isinstance(function, keras.Layer):
                activation = twin(function, f"{name}_activation", **policy)
            else:
                activation = layers.Activation(function, name=f"{name}_activation", dtype=dtype)
        else:
            linear, activation = twin(operation, name, **policy, **self._cast(operation)), None
            if isinstance(operation, keras.Layer) and any(map(_has_relu, operation._flatten_layers())):
                self._hidden[linear.name] = operation.name
        ceiling = relu_ceiling(activation)
        if self._relu and ceiling is not None:
            activation = layers.Activation(_ending(self._relu, ceiling), name=f"{name}_rule", dtype=dtype)
            self._replaced.append(activation.name)
        return linear, activation

    def _cast(self, operation):
        """What differs in the twin of a cast to half the bits, which Keras 3.9 has in graphs of mixed precision."""
        if self._policy and type(operation).__name__ == "Cast" and operation.dtype in ("bfloat16", "float16"):
            return {"dtype": self._policy["_dtype_policy"].compute_dtype}
        return {}

    def check_rule(self, model: keras.Model) -> None:
        """Raise ValueError unless `relu` took the place of a ReLU in a part of the graph, and of all of them."""
        names = {operation.name for operation in model.operations}
        hidden = [self._hidden[name] for name in names & self._hidden.keys()]
        if hidden:
            raise ValueError(f"expected ReLUs that can be replaced; received {', '.join(hidden)} with one inside.")
        if not names & set(self._replaced):
            found = {function_name(x) for x in model.operations if _is_activation(x)} - {"linear"}
            raise ValueError(
                f"expected a ReLU between the image and {', '.join(model.output)} to replace; "
                f"found {', '.join(sorted(found)) or 'none'}."
            )


def is_graph(model: object) -> bool:
    """Whether an operation is a model that knows its layers: functional, or sequential with an input."""
    return isinstance(model, keras.Model) and bool(getattr(model, "inputs", None))


def within(layer: keras.Layer, x: keras.KerasTensor) -> keras.Model | None:
    """What a layer of one's own does to a tensor like x, as a model of the layers in it, as an encoder has blocks.

    None if it has weights besides those of the layers in it, or does anything that Keras cannot follow.
    """
    parts = layer._flatten_layers(include_self=False)
    nodes = [(part, part._inbound_nodes[:], part._outbound_nodes[:]) for part in parts]
    try:
        given = keras.Input(batch_shape=x.shape, dtype=x.dtype)
        found = keras.Model(given, layer.call(given))
        return found if len(found.outputs) == 1 and len(found.weights) == len(layer.weights) else None
    except Exception:  # whatever code of anyone raises of a tensor without values
        return None
    finally:
        for part, inbound, outbound in nodes:
            part._inbound_nodes, part._outbound_nodes = inbound, outbound


def calls(model: keras.Model) -> Iterator:
    """The nodes of a model's graph, each an operation that is called, after those whose outputs it takes."""
    if not hasattr(model, "_nodes_by_depth"):  # a Sequential
        model = keras.Model(model.inputs, model.outputs)
    order = {id(operation): i for i, operation in enumerate(model.operations)}
    for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True):
        yield from sorted((x for x in nodes if not x.is_input), key=lambda node: order[id(node.operation)])


def as_in_training(model: keras.Model) -> list[str]:
    """The names of the layers of a model that are called with training=True, which `predict` sets aside, as `Graph`."""
    return [name for name, node in _layers(model) if node.arguments.kwargs.get("training") is True]


def random_layers(model: keras.Model) -> list[str]:
    """The names of the layers of a model that draw random numbers whatever they are told of training."""
    return [
        name
        for name, node in _layers(model)
        if isinstance(node.operation, keras.Layer)
        and node.operation._seed_generators
        and "training" not in signature(node.operation.call).parameters
    ]


def _layers(model, prefix=""):
    """(name, node) of the calls of a model and of the models in it."""
    for node in calls(model):
        name = prefix + node.operation.name
        yield name, node
        if is_graph(node.operation):
            yield from _layers(node.operation, name + "/")


def twin(operation: keras.Operation, name: str, **changes: object) -> keras.Operation:
    """The same operation with the same weights under another name, in none of the graphs that the first is in.

    With another dtype policy, the layers in it are twins of that policy too. Not `copy.copy`, which for Keras layers
    saves and loads them, weights and all.
    """
    copy = object.__new__(type(operation))
    vars(copy).update(attributes(operation), name=name, _inbound_nodes=[], _outbound_nodes=[], **changes)
    if policy := changes.get("_dtype_policy"):
        parts = {key: part for key, part in vars(copy).items() if key != "_layers"}
        vars(copy).update((key, _cast(part, policy)) for key, part in parts.items())
    return copy


def relu_ceiling(function: Callable) -> float | None:
    """Where a ReLU ends: inf, or 6 for ReLU6; None for what is no ReLU, as those that leak or start at a threshold."""
    function = getattr(function, "activation", function)
    if function_name(function) == "relu6":
        return 6
    if function_name(function) != "relu" or any(getattr(function, x, 0) for x in ("negative_slope", "threshold")):
        return None
    ceiling = getattr(function, "max_value", None)
    return inf if ceiling is None else float(ceiling)


def function_name(function: Callable) -> str:
    """The name of a function, or of a layer's activation function, else of the layer's class; in lower case."""
    function = getattr(function, "activation", function)
    return getattr(function, "__name__", type(function).__name__).lower()


def _cast(part, policy):
    """An attribute of a layer: of layers, or lists of layers, their twins of another policy, once they are built."""
    if isinstance(part, keras.Layer) and part.built and _is_castable(part.dtype_policy):
        return twin(part, part.name, _dtype_policy=policy)
    if isinstance(part, list) and any(isinstance(x, keras.Layer) for x in part):
        return [_cast(x, policy) for x in part]
    return part


def _is_castable(policy):
    """Whether a layer can be computed in another precision: its weights are float32, and not quantised."""
    return policy.variable_dtype == "float32" and getattr(policy, "quantization_mode", None) is None


def _is_activation(operation):
    return isinstance(operation, ACTIVATIONS) or type(operation).__name__ in FUNCTIONS


def _is_own(operation):
    """Whether a layer is none of Keras's and has layers in it."""
    own = isinstance(operation, keras.Layer) and not type(operation).__module__.startswith("keras.")
    return own and bool(operation._flatten_layers(include_self=False))


def _has_relu(layer):
    return relu_ceiling(attributes(layer).get("activation", layer)) is not None


def _is_fused(layer):
    """Whether a layer of Keras's own ends with its activation function; others may apply theirs anywhere.

    The function may be a layer, which then has to be built: Keras builds it as late as when images pass.
    """
    own = isinstance(layer, FUSED) and type(layer).call.__module__.startswith("keras.")
    return own and getattr(layer.activation, "built", True)


def _ending(relu, ceiling):
    return relu if ceiling == inf else lambda x: ops.minimum(relu(x), ceiling)
