"""The parameters of a notebook, checked before its work begins."""

import ast
from difflib import get_close_matches
from os import PathLike

from IPython import get_ipython

from vizlib.images import class_names
from vizlib.networks import Network

INJECTED = "# Parameters\n"  # what the cell begins with in which papermill puts the values that a run was given
LISTED = 30  # names that an error lists; of more it tells the nearest


def check_parameters(net: Network, source: str | PathLike) -> None:
    """Check the parameters of the notebook that calls this: a wrong one stops a run before its work begins.

    net: a `Network`. source: as `load_images` takes it.

    Where the notebook has them, `class_name` and `others` must be classes of the source, and of the network
    if it names its classes; `layer` and `layers` must be layers of the network. What papermill was given must be among
    the parameters of the notebook: papermill itself only warns.

    Raises ValueError, listing what there is, for any other name, and outside of IPython; FileNotFoundError for a source
    that is no folder.
    """
    shell = get_ipython()
    if shell is None:
        raise ValueError("expected a notebook, whose parameters are to be checked; received a call outside of IPython.")
    check_declared(shell.user_ns["In"][1:])  # as IPython counts from 1
    check_names(shell.user_ns, net, source)


def check_declared(cells: list[str]) -> None:
    """Raise ValueError if papermill was given a parameter that no cell declares; `cells`: their source, as they ran."""
    injected = [i for i, cell in enumerate(cells) if i and cell.startswith(INJECTED)]  # the first is the notebook's own
    if not injected:
        return
    declared = dict.fromkeys(name for cell in cells[: injected[0]] for name in _assigned(cell))
    unknown = [repr(name) for name in _assigned(cells[injected[-1]]) if name not in declared]
    if unknown:
        raise ValueError(f"expected parameters out of {', '.join(declared)}; received {', '.join(unknown)}.")


def check_names(parameters: dict, net: Network, source: str | PathLike) -> None:
    """Raise ValueError if a class or layer among the parameters, {name: value}, is unknown; see `check_parameters`."""
    known = {repr(source): class_names(source)}
    if net.classes:
        known["the network"] = net.classes
    for parameter in ("class_name", "others"):
        for name in _names(parameters, parameter):
            for whose, classes in known.items():
                if name not in classes:
                    wanted = f"{parameter} out of the classes of {whose} ({_listed(classes, name)})"
                    raise ValueError(f"expected {wanted}; received {name!r}.")
    for parameter in ("layer", "layers"):
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
