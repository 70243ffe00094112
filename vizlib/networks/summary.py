"""What a network is made of, as the table that a notebook shows for it."""

from html import escape
from math import inf

import keras
from keras import layers

from vizlib.backend import attributes
from vizlib.images import sides
from vizlib.networks.graph import PRE, Graph, calls, function_name
from vizlib.networks.network import Network

COLUMNS = ("layer", "kind", "output", "receptive field, px", "stride, px", "parameters")
HEAD = "".join(f"<th>{column}</th>" for column in COLUMNS)
LOCAL = (layers.ZeroPadding2D, layers.Cropping2D)  # change the size and still look at one position


def summary(net: Network) -> str:
    """An HTML table of a `Network`: of each layer its kind, output, receptive field, stride and parameters.

    The receptive field is the side, in pixels, of the square of the image that a position of the layer can depend on,
    the stride the distance of two positions (Araujo et al. 2019); "image" where every position depends on all of it.
    After layers that enlarge, such as transposed convolutions, some positions see a pixel less.
    """
    images, graph = net.graph()
    fields = receptive_fields(images, graph)
    rows, seen = [], set()
    for name in net.layers:
        layer = graph.origin[name]
        function = attributes(layer).get("activation")
        kind = type(layer).__name__ + (f", {function_name(function)}" if function else "").replace(", linear", "")
        size, stride = fields.get(name, (None, None))
        shape = " × ".join(map(str, graph.tensors[name].shape[1:])) if name in graph.tensors else "takes another size"
        field = "" if size is None else "image" if size == inf else f"{size:,.0f}"
        parameters = "shared" if id(layer) in seen else f"{layer.count_params():,}"
        rows.append([name, kind, shape, field, "" if size in (None, inf) else f"{stride:g}", parameters])
        seen.add(id(layer))
    lines = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    size = " × ".join(map(str, sides(net.image_size)))
    return (
        f"<b>{escape(net.model.name)}</b>: RGB in [0, 1], {size} px; {len(rows)} layers, "
        f"{net.model.count_params():,} parameters. {escape(_scores(net, graph))}"
        f'<div style="max-height:30em;overflow:auto"><table><thead><tr>{HEAD}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _scores(net, graph):
    """What the class scores are, in a sentence."""
    if net.scored is not net:
        return f"{_scores(net.scored, net.scored.graph()[1])[:-1]}, of images resized to {net.own_size}."
    names = [name for name in net.layers if graph.tensors.get(name + PRE) is graph.scores]
    name = names[-1] if names else "the model"
    separate = bool(names) and graph.tensors[name] is not graph.scores
    before = f" before its {function_name(graph.origin[name])}" if separate else ""
    classes = f" ({', '.join(net.classes[:3])}{' …' if len(net.classes) > 3 else ''})" if net.classes else ""
    return f"The {graph.scores.shape[-1]:,} class scores{classes} are what {name} computes{before}."


def receptive_fields(images: keras.KerasTensor, graph: Graph) -> dict[str, tuple[float, float]]:
    """{NAME: (receptive field, stride)} of the layers of a `Graph`, in pixels; inf for all of the image."""
    model = keras.Model(images, list(graph.tensors.values()))
    fields = {id(images): (1, 1)}
    for node in calls(model):
        sizes, strides = zip(*(fields[id(x)] for x in node.input_tensors), strict=True)
        field = _field(node.operation, node.input_tensors, node.outputs[0], max(sizes), max(strides))
        fields.update((id(output), field) for output in node.outputs)
    return {name: fields[id(tensor)] for name, tensor in graph.tensors.items() if PRE not in name}


def _field(operation, inputs, output, size, stride):
    """The receptive field and the stride after an operation, of those before."""
    window = getattr(operation, "kernel_size", getattr(operation, "pool_size", None))
    step = max(getattr(operation, "strides", None) or (1,)) if window else 1
    if isinstance(operation, layers.Conv2DTranspose):
        return size + (max(window) - 1) * stride / step, stride / step
    if isinstance(operation, layers.UpSampling2D):
        return size + (operation.interpolation != "nearest") * stride, stride / max(operation.size)
    if window:
        dilation = max(getattr(operation, "dilation_rate", (1,)))
        return size + (max(window) - 1) * dilation * stride, stride * step
    sides = {x.shape[1:3] for x in inputs} - {(1, 1)} | {output.shape[1:3]}  # what is 1 × 1 is broadcast
    each = all(len(x.shape) == 4 for x in (*inputs, output)) and len(sides) == 1
    each = each and not isinstance(operation, layers.GroupNormalization)
    return (size if each or isinstance(operation, LOCAL) else inf), stride
