"""The loop: moves images until they are what a list of terms asks for."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
from keras import ops, tree

from vizlib._arrays import Floats, Images, Matrix
from vizlib._progress import progress_bar
from vizlib.backend import BACKEND, compiled, value_and_gradient
from vizlib.networks.network import Network
from vizlib.synthesis.canvases import Canvas
from vizlib.synthesis.rules import Rule, adam
from vizlib.synthesis.terms import Term
from vizlib.synthesis.transforms import Jitter, View

Callback = Callable[[int, Images, dict[str, Floats]], Any]

# In float16 small gradients are lost and large ones are infinite: the loss is multiplied by a scale, which falls, and
# the step is left out, where they are not finite, and otherwise grows (Micikevicius et al. 2018).
SCALE, GROWTH, FALL, LIMIT = 2.0**24, 1.05, 16, 2.0**60


@dataclass(frozen=True)
class Result:
    """What a method returns.

    images: float32 (n, height, width, 3) in [0, 1], for each the best that the loop saw. history: {term: float32
    (steps, n)}, its weighted loss at each step; terms of one name are told apart by their layers, or else by their
    place in the list. provenance: how the images were made, {str: JSON value}, of a method the recipe to make them
    again, see `vizlib.rerun`. variables: those of the canvas after the last step, to go on from.
    """

    images: Images
    history: dict[str, Matrix]
    provenance: dict[str, Any] = field(default_factory=dict)
    variables: list[np.ndarray] = field(default_factory=list, repr=False)

    def with_facts(self, **facts: Any) -> Self:
        """The same with more in its provenance."""
        return replace(self, provenance=self.provenance | facts)

    def save(self, path: str | os.PathLike) -> None:
        """Write the images side by side to a PNG that carries the recipe, for `vizlib.recipe` and `vizlib.rerun`."""
        from vizlib.synthesis.recipes import save

        save(path, self)


def optimize(
    net: Network,
    terms: Sequence[Term],
    canvas: Canvas,
    n: int,
    steps: int = 256,
    seed: int = 0,
    rule: Rule | None = None,
    view: View | None = None,
    start: Sequence[np.ndarray] | None = None,
    callback: Callback | None = None,
    progress: bool = True,
) -> Result:
    """Minimise the sum of the terms over n images, each on its own.

    canvas: where the images live, one of `vizlib.synthesis.canvases`. rule: one of `vizlib.synthesis.rules`; `adam()`
    if None. view: how the network gets to see them, one of `vizlib.synthesis.transforms`; None for as they are. start:
    the `variables` of an earlier result, to go on from; None for those of the canvas. callback(step, images, losses):
    called at each step with the images and {term: loss (n,)}; where it returns True, the loop ends. An interrupt
    (Ctrl-C, the notebook's stop button) ends it too, with a warning; the result then holds the best so far.

    Images go through the network `net.batch_size` at a time, with the same result as all at once. Returns a `Result`;
    the same arguments give the same images. Raises ValueError for no images, FloatingPointError, which names the term,
    as soon as a loss or a gradient is not finite.
    """
    if n < 1:
        raise ValueError(f"expected one image or more; received n={n}.")
    start_rule, update = rule or adam()
    view = view or Jitter(0)
    forms, numbers = zip(*map(_parted, terms), _parted(canvas, np.ndarray), strict=True)
    advance = net.kept(_steps, forms, view, update)

    slices = [slice(i[0], i[-1] + 1) for i in np.array_split(np.arange(n), -(-n // net.batch_size))]
    given = [_of_images(forms, numbers, part) for part in slices]
    variables = start or canvas.start(n, seed)
    parts = [[ops.convert_to_tensor(v[part]) for v in variables] for part in slices]
    scale = ops.convert_to_tensor(SCALE)
    states = [(v, start_rule(v), scale, (ops.full((len(v[0]),), np.inf), net.shown(canvas.image(v)))) for v in parts]
    history, interrupted = [], False
    with progress_bar(range(steps), "optimize", disable=not progress) as bar:
        try:
            for step in bar:
                if any(term.every and step % term.every == 0 for term in terms):
                    terms = _renewed(net, terms, canvas, states, step)
                    numbers = [_parted(term)[1] for term in terms] + [numbers[-1]]
                    given = [_of_images(forms, numbers, part) for part in slices]
                    states = [(*state, (ops.full_like(lowest, np.inf), best)) for *state, (lowest, best) in states]
                rng = np.random.default_rng([seed, 1, step])
                draw, now = [ops.convert_to_tensor(v) for v in view.draw(rng)], ops.convert_to_tensor(float(step))
                moved = [advance(state, draw, now, values) for state, values in zip(states, given, strict=True)]
                for (variables, *_), values, (*_, finite) in zip(states, given, moved, strict=True):
                    if not finite:
                        raise FloatingPointError(_blame(net, terms, forms, values, view, variables, draw, step))
                history.append(np.concatenate([ops.convert_to_numpy(losses) for _, losses, _, _ in moved], axis=1))
                states = [state for state, *_ in moved]
                bar.set_postfix(loss=f"{history[-1].sum(0).mean():.4g}", refresh=False)
                if callback:
                    images = np.concatenate([ops.convert_to_numpy(images) for _, _, images, _ in moved])
                    if callback(step, images, _by_name(terms, history[-1])):
                        break
        except KeyboardInterrupt:
            interrupted = True
            message = f"interrupted after {len(history)} of {steps} steps: the best so far is returned"
            warnings.warn(message, stacklevel=4)  # where the method was called
    provenance = {
        "network": net.fingerprint,
        "backend": BACKEND,
        "terms": _by_name(terms, [term.weight for term in terms]),
        "canvas": type(canvas).__name__,
        "steps": len(history),
        "seed": seed,
        "view": type(view).__name__,
        "interrupted": interrupted,
    }
    history = np.reshape(history, (-1, len(terms), n)).swapaxes(0, 1)
    images = np.clip(np.concatenate([ops.convert_to_numpy(best) for *_, (_, best) in states]), 0, 1)
    parts = zip(*(v for v, *_ in states), strict=True)
    variables = [np.concatenate([ops.convert_to_numpy(part) for part in variable]) for variable in parts]
    return Result(images, _by_name(terms, history), provenance, variables)


def _parted(item, kinds=(np.ndarray, np.number, float)):
    """A term or canvas without its numbers, and these as tensors. Raises TypeError if the former is not hashable."""
    values = {field.name: getattr(item, field.name) for field in fields(item)}
    numbers = {name: np.asarray(x) for name, x in values.items() if isinstance(x, kinds)}
    form = replace(item, **dict.fromkeys([*numbers, *(field.name for field in fields(item) if not field.compare)]))
    try:
        hash(form)
    except TypeError as error:
        message = f"expected fields of {type(item).__name__} to be arrays, floats or hashable; received {item}."
        raise TypeError(message) from error
    numbers = {name: x.astype("int32" if x.dtype.kind in "iu" else "float32") for name, x in numbers.items()}
    return form, {name: ops.convert_to_tensor(x) for name, x in numbers.items()}


def _renewed(net, terms, canvas, states, step):
    """The terms that go on from this step, see `Term.renewed`."""
    due = [term.every and step % term.every == 0 for term in terms]
    layers = {layer for term, now in zip(terms, due, strict=True) if now for layer in term.layers}
    images = [ops.convert_to_numpy(net.shown(canvas.image(variables))) for variables, *_ in states]
    images = np.concatenate(images).clip(0, 1)
    activations = (net.activations(images, layers) if layers else {}) | {"image": images}
    return [term.renewed(activations) if now else term for term, now in zip(terms, due, strict=True)]


def _of_images(forms, numbers, part):
    """The numbers for a slice of the images."""
    return [
        {name: x[part] if name in getattr(form, "per_image", ()) else x for name, x in values.items()}
        for form, values in zip(forms, numbers, strict=True)
    ]


def _evaluation(net, forms, view):
    """A function of (variables, draw, numbers) to the loss and (losses (terms, n), images), and the loss's gradient.

    forms: those of the terms, and of the canvas.
    """
    layers = tuple(sorted({layer for form in forms[:-1] for layer in form.layers}))
    features = net.features(layers) if layers else lambda images: {}

    def evaluate(variables, draw, numbers, scale=1.0):
        *terms, canvas = (replace(form, **values) for form, values in zip(forms, numbers, strict=True))
        images = net.shown(canvas.image(variables))
        activations = features(view.see(images, draw)) | {"image": images}
        losses = ops.stack([term(activations) for term in terms])
        return scale * ops.sum(losses), (losses, images)

    return value_and_gradient(evaluate)


def _steps(net, forms, view, update):
    """One step of the loop, compiled."""
    gradient = _evaluation(net, forms, view)
    scaled = net.dtype == "float16"

    @compiled
    def advance(state, draw, step, numbers):
        variables, own, scale, (lowest, best) = state
        (_, (losses, images)), gradients = gradient(variables, draw, numbers, scale if scaled else 1.0)
        finite = ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in gradients]))
        total = ops.sum(losses, axis=0)
        better = total < lowest
        best = (ops.where(better, total, lowest), ops.where(better[:, None, None, None], images, best))
        if scaled:
            moved = update(variables, [g / scale for g in gradients], own, step)
            variables, own = tree.map_structure(lambda new, old: ops.where(finite, new, old), moved, (variables, own))
            scale = ops.where(finite, ops.minimum(scale * GROWTH, LIMIT), scale / FALL)
            finite = finite | (scale > 1 / LIMIT)
        else:
            variables, own = update(variables, gradients, own, step)
        return (variables, own, scale, best), losses, images, finite & ops.all(ops.isfinite(losses))

    return advance


def _by_name(terms, values):
    """{name of the term: value}; those of one name are told apart by their layers, or else by their place."""
    names = [term.name for term in terms]
    for differing in ([", ".join(term.layers) or "image" for term in terms], range(1, len(terms) + 1)):
        names = [
            f"{name}, {more}" if names.count(name) > 1 else name for name, more in zip(names, differing, strict=True)
        ]
    return dict(zip(names, values, strict=True))


def _blame(net, terms, forms, numbers, view, variables, draw, step):
    """The message for a step that gave NaN or infinity: the first term whose loss or gradient does."""
    for term, form, values in zip(terms, forms, numbers, strict=False):  # the last is the canvas
        evaluate = _evaluation(net, (form, forms[-1]), view)
        (loss, _), gradients = evaluate(variables, draw, (values, numbers[-1]))
        for what, found in (("loss", [loss]), ("gradient", gradients)):
            if not all(np.isfinite(ops.convert_to_numpy(v)).all() for v in found):
                return f"expected finite numbers; the {what} of the term {term.name!r} is not, at step {step}."
    return f"expected finite numbers; the sum of the terms' gradients is not, at step {step}."
