"""The parameters of a notebook, checked and fitted to its network and images before its work begins."""

import ast
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from math import inf
from os import PathLike
from typing import Any

from IPython import get_ipython

from vizlib.images import class_names
from vizlib.networks import Network, load_network
from vizlib.networks.network import SCORES
from vizlib.partworld import CLASSES

INJECTED = "# Parameters\n"  # what the cell begins with in which papermill puts the values that a run was given
NAMES = "class_name", "others", "layer", "layers"  # parameters that hold names
LISTED = 30  # names that an error lists; of more it tells the nearest


def check_parameters(net: Network, source: str | PathLike) -> None:
    """Check the parameters of the notebook that calls this: a wrong one stops a run before its work begins.

    net: a `Network`. source: as `load_images` takes it.

    Where the notebook has them, `class_name` and `others` must be classes of the source, and of the network
    if it names its classes; `layer` and `layers` must be layers of the network. What papermill was given must be among
    the parameters of the notebook: papermill itself only warns. Classes and layers of the embedded world that nobody
    chose are replaced where the network or the source does not have them, see `fitted`, and that is printed.

    Raises ValueError, listing what there is, for any other name, and outside of IPython; FileNotFoundError for a source
    that is no folder.
    """
    shell = get_ipython()
    if shell is None:
        raise ValueError("expected a notebook, whose parameters are to be checked; received a call outside of IPython.")
    given = check_declared(shell.user_ns["In"][1:])  # as IPython counts from 1
    found = fitted(shell.user_ns, net, source, given)
    for name, value in found.items():
        print(f"{name} = {value!r}, as there is no {shell.user_ns[name]!r} here")
    shell.user_ns.update(found)
    check_names(shell.user_ns, net, source)


def check_declared(cells: list[str]) -> list[str]:
    """The parameters that papermill was given; `cells`: their source, as they ran.

    Raises ValueError if one is declared in no cell.
    """
    injected = [i for i, cell in enumerate(cells) if i and cell.startswith(INJECTED)]  # the first is the notebook's own
    if not injected:
        return []
    declared = dict.fromkeys(name for cell in cells[: injected[0]] for name in _assigned(cell))
    given = _assigned(cells[injected[-1]])
    if unknown := [repr(name) for name in given if name not in declared]:
        raise ValueError(f"expected parameters out of {', '.join(declared)}; received {', '.join(unknown)}.")
    return given


def fitted(parameters: dict, net: Network, source: str | PathLike, given: Collection[str]) -> dict:
    """{name: value} in place of parameters, {name: value}, that are of the embedded world and not of this.

    Classes are replaced by the first that the source and the network share; a layer by the last that goes over the
    image in as small steps, or else in the smallest, of those that end in a ReLU, or if none does, of convolutions and
    Dense layers. given: names of parameters that were chosen, and stay.
    """
    names = {name: _names(parameters, name) for name in NAMES if name not in given}
    classes = [name for name in class_names(source) if not net.classes or name in net.classes]
    layers = {*_steps(net), SCORES}
    found: dict[str, Any] = {}
    if classes and _is_left(names.get("class_name", ()), CLASSES, classes):
        found["class_name"] = classes[0]
    if classes and _is_left(names.get("others", ()), CLASSES, classes):
        own = found.get("class_name", parameters.get("class_name"))
        found["others"] = [name for name in classes if name != own][: len(names["others"])]
    if not {*names.get("layer", ()), *names.get("layers", ())} <= layers:
        steps = _steps(load_network("mini"))
        for name in ("layer", "layers"):
            if _is_left(names.get(name, ()), steps, layers):
                alike = list(dict.fromkeys(_layer_of(net, steps[layer]) for layer in names[name]))
                found[name] = alike[0] if name == "layer" else alike
    return found


def _is_left(names, embedded, known):
    """Whether names are of the embedded world, and not all of them known here."""
    return {*names} <= {*embedded} and not {*names} <= {*known}


def _steps(net):
    """{layer: pixels from one of its positions to the next, inf if it has none} of the layers that can be asked for."""
    images, graph = net.graph()
    shapes = {layer: graph.tensors[layer].shape for layer in net.layers if layer in graph.tensors}
    return {layer: images.shape[1] / shape[1] if len(shape) == 4 else inf for layer, shape in shapes.items()}


def _layer_of(net, step):
    """The layer of a network that stands where one with such steps stood."""
    steps, graph = _steps(net), net.graph()[1]
    rectified = {layer: own for layer, own in steps.items() if layer in graph.ceiling}
    steps = rectified or {layer: own for layer, own in steps.items() if hasattr(graph.origin[layer], "kernel")} or steps
    return [layer for layer, own in steps.items() if own <= max(step, min(steps.values()))][-1]


def check_names(parameters: dict, net: Network, source: str | PathLike) -> None:
    """Raise ValueError if a class or layer among the parameters, {name: value}, is unknown; see `check_parameters`."""
    known: dict[str, Sequence[str]] = {repr(source): class_names(source)}
    if net.classes:
        known["the network"] = net.classes
    for parameter in NAMES[:2]:
        for name in _names(parameters, parameter):
            for whose, classes in known.items():
                if name not in classes:
                    wanted = f"{parameter} out of the classes of {whose} ({_listed(classes, name)})"
                    raise ValueError(f"expected {wanted}; received {name!r}.")
    for parameter in NAMES[2:]:
        for name in _names(parameters, parameter):
            net.check_layer(name)


def _assigned(cell):
    """The variables that a cell sets; of one with a syntax error, which set none, none."""
    try:
        nodes = ast.walk(ast.parse(cell))
    except SyntaxError:
        return []
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def _names(parameters, parameter):
    """The names that a parameter holds, which is one or a list of them; none if there is no such parameter."""
    if parameter not in parameters:
        return []
    value = parameters[parameter]
    if parameter in ("class_name", "layer"):
        wanted, names = "a name", [value]
    else:
        wanted, names = "a list of names", value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected {parameter} to be {wanted}; received {value!r}.")
    return names


def _listed(names, wanted):
    if len(names) <= LISTED:
        return ", ".join(names) or "none"
    return f"{len(names)} names, the nearest {', '.join(get_close_matches(wanted, names, cutoff=0))}"
