"""Recipes: what made an image, told so that a PNG can carry it and `rerun` can make the image again."""

import hashlib
import json
import platform
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from importlib import import_module
from inspect import signature
from os import PathLike, cpu_count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vizlib import __version__
from vizlib.backend import on_gpu
from vizlib.images import save_image, to_uint8
from vizlib.networks import Network, load_network
from vizlib.plots import enlarged
from vizlib.store import IMAGE, Draw, StatsStore
from vizlib.store.files import versions as library_versions
from vizlib.synthesis.loop import Result

KEY = "vizlib"  # of the text in a PNG
HOMES = dict.fromkeys(("reconstruct", "suppress", "chain", "walk"), "methods")
HOMES |= dict.fromkeys(("simonyan", "olah", "maco", "vital", "deep_inversion"), "baselines")
UNRECORDED = "net", "callback", "progress"
CELLS, TOLERANCE = 8, 0.1  # cells of a side, and how far their colours may be apart where bits differ


def recorded(method: Callable[..., Result]) -> Callable[..., Result]:
    """Make a method put its recipe into the provenance of its `Result`.

    Added are "method", "arguments", "stopped" (the call of the callback that ended it, or None), "identity" of the
    network, "versions", "pixels", the SHA-256 of its images as uint8, and "cells", the mean colours of 8 × 8 cells of
    each, as hexadecimal digits. All of it is plain JSON.
    """

    @wraps(method)
    def run(*args, **kwargs):
        bound = signature(method).bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        given["callback"] = stop = given["callback"] and _Counted(given["callback"])
        result = method(*bound.args, **bound.kwargs)
        stopped = stop.stopped if stop else None
        if stopped is None and result.provenance["interrupted"]:
            stopped = result.provenance["steps"]
        chosen = {name: result.provenance[name] for name, x in given.items() if x is None and name in result.provenance}
        told = {name: x for name, x in (given | chosen).items() if name not in UNRECORDED}
        facts = {
            "method": method.__name__,
            "arguments": {name: _told(x, given.get("class_name")) for name, x in told.items()},
            "stopped": stopped,
            "identity": (given["store"].network if "store" in given else given["net"]).identity,
            "versions": versions(),
            "pixels": _pixels(result.images),
            "cells": _cells(result.images).tobytes().hex(),
        }
        return replace(result, provenance=result.provenance | facts)

    return run


def versions() -> dict[str, str]:
    """Of all that may change the last bit of an image: {name: version}, the machine among them."""
    machine = f"{platform.system()} {platform.machine()}, {cpu_count()} processors" + ", GPU" * on_gpu()
    return library_versions() | {"vizlib": __version__, "python": platform.python_version(), "machine": machine}


def save(path: str | PathLike, result: Result) -> None:
    """Write the images of a `Result` side by side to a PNG that carries its recipe: the whole file or none."""
    save_image(path, enlarged(result.images), {KEY: json.dumps(result.provenance)})


def recipe(path: str | PathLike) -> dict:
    """The recipe that a PNG saved by vizlib carries: the `provenance` of its `Result`, {str: JSON value}.

    Raises FileNotFoundError if there is no such file, ValueError if it carries none.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            found = json.loads(image.text[KEY])  # type: ignore[attr-defined]
    except FileNotFoundError:
        raise
    except (KeyError, OSError, SyntaxError, ValueError, RecursionError, Image.DecompressionBombError) as error:
        raise ValueError(f"expected a PNG that carries a recipe of vizlib; received {path}: {error!r}.") from error
    return _checked(found)


def rerun(
    source: str | PathLike | dict,
    net: Network | None = None,
    store: StatsStore | str | PathLike | None = None,
    progress: bool = True,
    **given: np.ndarray,
) -> Result:
    """Make the images of a recipe again: a `Result`, the same bit for bit on the same machine and backend.

    On a GPU bits differ from run to run, and optimisation makes more of it. What is promised there is a tolerance: of
    the mean colours in 8 × 8 cells of an image, in [0, 1], the root mean square difference is at most 0.1. That is the
    same picture in other details.

    source: a recipe, or the path of a PNG that carries one. net: the `Network`; that of the store or else the embedded
    one if None. store: the `StatsStore` that it drew from, or its path. given: arguments that were arrays of the
    caller's own, of which a recipe has only hashes; images that the store keeps need not be given.

    Raises ValueError, which says what differs, for another network, other statistics or other arrays. Warns if the
    images are not the same to the last bit: which versions differ, or that it is a GPU, how far the images are apart,
    and whether that is within the tolerance.
    """
    made = _checked(source) if isinstance(source, dict) else recipe(source)
    if net is None:
        net = store.network if isinstance(store, StatsStore) else load_network("mini")
    if isinstance(store, (str, Path)):
        store = StatsStore(store, net)
    _check_same("network", made["identity"], net.identity)
    method = getattr(import_module(f"vizlib.synthesis.{HOMES[made['method']]}"), made["method"])
    known = signature(method).parameters.keys() - set(UNRECORDED)
    if foreign := made["arguments"].keys() - known:
        known, foreign = ", ".join(sorted(known)), ", ".join(sorted(foreign))
        raise ValueError(f"expected arguments of {made['method']} ({known}); received {foreign}.")
    class_name = made["arguments"].get("class_name")
    try:
        arguments = {name: _found(name, x, store, class_name, given) for name, x in made["arguments"].items()}
    except (AttributeError, LookupError, TypeError) as error:  # a recipe of anyone may tell anything
        raise ValueError(f"expected a recipe as vizlib tells it; received {made['arguments']}: {error!r}.") from error
    stopped = made["stopped"]
    stop: Any = _Counted(lambda *_: stop.calls >= stopped) if stopped else None
    where = {} if "store" in arguments else {"net": net}
    result = method(**where, **arguments, callback=stop, progress=progress)
    if result.provenance["pixels"] != made["pixels"]:
        found = f"{_versions_that_differ(made)}; {_distance(made, result.images)}"
        warnings.warn(f"the images are not the same to the last bit: {found}.", stacklevel=2)
    return result


class _Counted:
    """A callback that counts its calls; `stopped` is the first that ended the loop."""

    def __init__(self, callback):
        self.callback, self.calls, self.stopped = callback, 0, None

    def __call__(self, *args):
        self.calls += 1
        end = self.callback(*args)
        if end and self.stopped is None:
            self.stopped = self.calls
        return end


def _told(value, class_name):
    """A value of an argument as JSON: where it came from, or its hash."""
    if isinstance(value, StatsStore):
        return {"store": value.entries(class_name)}
    if isinstance(value, Draw):
        return {"draw": value.facts}
    if hasattr(value, "entry"):
        return {"entry": value.entry}
    if isinstance(value, dict):
        return {"arrays": {name: _sha256(x) for name, x in value.items()}}
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return {"arrays": [_sha256(x) for x in value]}
    if isinstance(value, (list, tuple)):
        return [_told(x, class_name) for x in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.item() if isinstance(value, np.generic) else {"arrays": _sha256(value)}


def _found(name, told, store, class_name, given):
    """The value that `_told` told of."""
    if not isinstance(told, dict):
        return told
    (kind, facts), = told.items()
    if kind == "arrays":
        if name in given and _told(given[name], class_name) != told:
            raise ValueError(f"expected the arrays {name} that the recipe was made with; received others.")
        value = given[name] if name in given else _kept(store, told)
        if value is None:
            raise ValueError(f"expected {name}=…, arrays that the recipe has only hashes of; received none.")
        return value
    if store is None:
        raise ValueError(f"expected store=…, the folder of statistics that the recipe names; received {store!r}.")
    if kind == "store":
        _check_entries(store, class_name, facts)
        return store
    if kind == "entry":
        model = store.model(facts["class_name"], facts["layer"], facts["estimator"])
        _check_same("statistics", facts, model.entry)
        return model
    _check_entries(store, facts["class_name"], facts["entries"])
    return store.sample(**{name: x for name, x in facts.items() if name != "entries"})


def _kept(store, told):
    """The images of a class that a recipe tells of, if the store keeps them."""
    classes = [name for name in store.classes if IMAGE in store.layers(name)] if store else ()
    return next((images for name in classes if _told(images := store.activations(name, IMAGE), name) == told), None)


def _checked(made):
    """The recipe, if it is one: ValueError for anything else, as a file of anyone may hold anything."""
    method = made.get("method") if isinstance(made, dict) else None
    if not isinstance(method, str) or method not in HOMES:
        raise ValueError(f"expected a recipe with a method out of {', '.join(HOMES)}; received {method!r}.")
    lacking = {"arguments", "stopped", "identity", "versions", "pixels"} - set(made)  # "cells" came later
    kinds = {"arguments": dict, "identity": dict, "versions": dict, "stopped": int | None}
    if lacking or not all(isinstance(made[name], kind) for name, kind in kinds.items()):
        raise ValueError(f"expected a whole recipe; received one without {', '.join(sorted(lacking)) or 'its parts'}.")
    if not re.fullmatch("([0-9a-f]{2})*", str(made.get("cells", ""))):
        raise ValueError(f"expected the cells of a recipe in hexadecimal digits; received {made['cells']!r:.60}.")
    return made


def _check_entries(store, class_name, expected):
    there = store.entries(class_name)
    _check_same(f"statistics of {class_name}", expected, {layer: there.get(layer) for layer in expected})


def _check_same(what, expected, received):
    differing = [name for name in expected.keys() | received.keys() if expected.get(name) != received.get(name)]
    if differing:
        told = " and ".join(f"{name} {_short(expected.get(name))}" for name in sorted(differing))
        found = " and ".join(_short(received.get(name)) for name in sorted(differing))
        raise ValueError(f"expected the {what} of the recipe, with {told}; received {found}.")


def _short(value):
    """A value for a message: of a hash the first digits."""
    return value[:12] if isinstance(value, str) and len(value) == 64 else repr(value)


def _versions_that_differ(made):
    now = versions()
    differing = [
        f"{name} was {made['versions'].get(name)!r} and is {now.get(name)!r}"
        for name in sorted(made["versions"].keys() | now.keys())
        if made["versions"].get(name) != now.get(name)
    ]
    where = "a GPU, on which bits differ" if on_gpu() else "the processor or what it computes in parallel"
    return "; ".join(differing) or f"no version differs, so that it is {where}"


def _distance(made, images):
    """How far images are from those of a recipe, and whether that is what is promised of a GPU."""
    before = np.frombuffer(bytes.fromhex(str(made.get("cells", ""))), "uint8") / 255
    cells = _cells(images) / 255
    if before.size != cells.size:
        return "how far they are apart, the recipe does not tell"
    apart = np.sqrt(np.mean((before.reshape(cells.shape) - cells) ** 2, axis=(1, 2, 3))).max()
    within = "within" if apart <= TOLERANCE else "beyond"
    return f"their colours are {apart:.3f} apart, {within} the tolerance of {TOLERANCE} that is promised on a GPU"


def _sha256(array):
    values = np.ascontiguousarray(array)
    return hashlib.sha256(repr((values.shape, values.dtype.str)).encode() + values.tobytes()).hexdigest()


def _cells(images):
    """The mean colours in cells of images: uint8 (n, 8, 8, 3)."""
    parts = (Image.fromarray(x).resize((CELLS, CELLS), Image.Resampling.BOX) for x in to_uint8(images))
    return np.stack([np.asarray(part) for part in parts])


def _pixels(images):
    return _sha256(to_uint8(images))
