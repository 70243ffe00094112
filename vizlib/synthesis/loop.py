"""The loop: moves images until they are what a list of terms asks for."""

import warnings
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache

import numpy as np
from keras import ops, tree
from tqdm.auto import trange

from vizlib.backend import BACKEND, compiled, value_and_gradient
from vizlib.synthesis.transforms import Jitter

# In float16 small gradients are lost and large ones are infinite: the loss is multiplied by a scale, which falls, and
# the step is left out, where they are not finite, and otherwise grows (Micikevicius et al. 2018).
SCALE, GROWTH, FALL, LIMIT = 2.0**24, 1.05, 16, 2.0**60


@dataclass(frozen=True)
class Result:
    """What a method returns.

    images: float32 (n, size, size, 3) in [0, 1], for each the best that the loop saw. history: {term: float32
    (steps, n)}, its weighted loss at each step; terms of one name are told apart by their layers. provenance: how
    the images were made, {str: JSON value}, of a method the recipe to make them again, see `vizlib.rerun`. variables:
    those of the canvas after the last step, to go on from.
    """

    images: np.ndarray
    history: dict
    provenance: dict = field(default_factory=dict)
    variables: list = field(default_factory=list, repr=False)

    def with_facts(self, **facts):
        """The same with more in its provenance."""
        return replace(self, provenance=self.provenance | facts)

    def save(self, path):
        """Write the images side by side to a PNG that carries the recipe, for `vizlib.recipe` and `vizlib.rerun`."""
        from vizlib.synthesis.recipes import save

        save(path, self)


@lru_cache(maxsize=32)  # so that equal rules are the same
def adam(learning_rate=0.05, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """The update rule of Kingma & Ba 2015."""

    def start(variables):
        return [ops.zeros_like(v) for v in variables], [ops.zeros_like(v) for v in variables]

    def update(variables, gradients, state, step):
        first = [beta_1 * m + (1 - beta_1) * g for m, g in zip(state[0], gradients, strict=True)]
        second = [beta_2 * s + (1 - beta_2) * g * g for s, g in zip(state[1], gradients, strict=True)]
        rate = learning_rate * ops.sqrt(1 - beta_2 ** (step + 1)) / (1 - beta_1 ** (step + 1))
        moved = [v - rate * m / (ops.sqrt(s) + epsilon) for v, m, s in zip(variables, first, second, strict=True)]
        return moved, (first, second)

    return start, update


@lru_cache(maxsize=32)
def gradient_descent(learning_rate):
    """The plain update rule."""

    def update(variables, gradients, state, step):
        return [v - learning_rate * g for v, g in zip(variables, gradients, strict=True)], state

    return lambda variables: (), update


def optimize(
    net, terms, canvas, n, steps=256, seed=0, rule=None, view=None, start=None, callback=None, progress=True
):
    """Minimise the sum of the terms over n images, each on its own.

    canvas: where the images live, one of `vizlib.synthesis.canvases`. rule: an update rule, (start, update); `adam()`
    if None. view: how the network gets to see them, one of `vizlib.synthesis.transforms`; None for as they are. start:
    the `variables` of an earlier result, to go on from; None for those of the canvas. callback(step, images, losses):
    called at each step with the images and {term: loss (n,)}; where it returns True, the loop ends. An interrupt
    (Ctrl-C, the notebook's stop button) ends it too, with a warning; the result then holds the best so far.

    Images go through the network `net.batch_size` at a time, with the same result as all at once. Returns a `Result`;
    the same arguments give the same images. Raises FloatingPointError, which names the term, as soon as a loss or a
    gradient is not finite.
    """
    start_rule, update = rule or adam()
    view = view or Jitter(0)
    forms, numbers = zip(*map(_parted, terms), _parted(canvas, np.ndarray), strict=True)
    advance = net.kept(_steps, forms, view, update)

    slices = [slice(i[0], i[-1] + 1) for i in np.array_split(np.arange(n), -(-n // net.batch_size))]
    given = [_of_images(forms, numbers, part) for part in slices]
    variables = start or canvas.start(n, seed)
    states = [[ops.convert_to_tensor(v[part]) for v in variables] for part in slices]
    states = [
        (v, (start_rule(v), ops.convert_to_tensor(SCALE)), (ops.full((len(v[0]),), np.inf), canvas.image(v)))
        for v in states
    ]
    history, interrupted = [], False
    with trange(steps, disable=not progress, unit="step") as bar:
        try:
            for step in bar:
                rng = np.random.default_rng([seed, 1, step])
                draw, now = [ops.convert_to_tensor(v) for v in view.draw(rng, step)], ops.convert_to_tensor(float(step))
                moved = [advance(*state, draw, now, values) for state, values in zip(states, given, strict=True)]
                before, states = states, [state for *state, _, _, _ in moved]
                history.append(np.concatenate([ops.convert_to_numpy(losses) for *_, losses, _, _ in moved], axis=1))
                for (variables, *_), values, (*_, losses, _, finite) in zip(before, given, moved, strict=True):
                    if not (np.isfinite(ops.convert_to_numpy(losses)).all() and finite):
                        raise FloatingPointError(_blame(net, terms, forms, values, view, variables, draw, step))
                bar.set_postfix(loss=f"{history[-1].sum(0).mean():.4g}", refresh=False)
                if callback:
                    images = np.concatenate([ops.convert_to_numpy(images) for *_, images, _ in moved])
                    if callback(step, images, _by_name(terms, history[-1])):
                        break
        except KeyboardInterrupt:
            interrupted = True
            message = f"interrupted after {len(history)} of {steps} steps: the best so far is returned"
            warnings.warn(message, stacklevel=4)  # where the method was called
    provenance = {
        "network": net.fingerprint,
        "backend": BACKEND,
        "terms": dict(zip(_names(terms), (term.weight for term in terms), strict=True)),
        "canvas": type(canvas).__name__,
        "steps": len(history),
        "seed": seed,
        "view": type(view).__name__,
        "interrupted": interrupted,
    }
    history = np.reshape(history, (-1, len(terms), n)).swapaxes(0, 1)
    images = np.clip(np.concatenate([ops.convert_to_numpy(best) for _, _, (_, best) in states]), 0, 1)
    parts = zip(*(v for v, _, _ in states), strict=True)
    variables = [np.concatenate([ops.convert_to_numpy(part) for part in variable]) for variable in parts]
    return Result(images, _by_name(terms, history), provenance, variables)


def _parted(item, kinds=(np.ndarray, np.number, float)):
    """A term or canvas without its numbers, and these as tensors. Raises TypeError if the former is not hashable."""
    values = {field.name: getattr(item, field.name) for field in fields(item)}
    numbers = {name: np.asarray(x) for name, x in values.items() if isinstance(x, kinds)}
    form = replace(item, **dict.fromkeys(numbers))
    try:
        hash(form)
    except TypeError as error:
        message = f"expected fields of {type(item).__name__} to be arrays, floats or hashable; received {item}."
        raise TypeError(message) from error
    numbers = {name: x.astype("int32" if x.dtype.kind in "iu" else "float32") for name, x in numbers.items()}
    return form, {name: ops.convert_to_tensor(x) for name, x in numbers.items()}


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
        images = canvas.image(variables)
        activations = features(view.see(images, draw)) | {"image": images}
        losses = ops.stack([term(activations) for term in terms])
        return scale * ops.sum(losses), (losses, images)

    return value_and_gradient(evaluate)


def _steps(net, forms, view, update):
    """One step of the loop, compiled."""
    gradient = _evaluation(net, forms, view)
    scaled = net.dtype == "float16"

    @compiled
    def advance(variables, state, best, draw, step, numbers):
        own, scale = state
        (_, (losses, images)), gradients = gradient(variables, draw, numbers, scale if scaled else 1.0)
        finite = ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in gradients]))
        total = ops.sum(losses, axis=0)
        better = total < best[0]
        best = (ops.where(better, total, best[0]), ops.where(better[:, None, None, None], images, best[1]))
        if not scaled:
            variables, own = update(variables, gradients, own, step)
            return variables, (own, scale), best, losses, images, finite
        moved = update(variables, [g / scale for g in gradients], own, step)
        variables, own = tree.map_structure(lambda new, old: ops.where(finite, new, old), moved, (variables, own))
        scale = ops.where(finite, ops.minimum(scale * GROWTH, LIMIT), scale / FALL)
        return variables, (own, scale), best, losses, images, finite | (scale > 1 / LIMIT)

    return advance


def _names(terms):
    """The terms' names; those that several share are told apart by their layers."""
    names = [term.name for term in terms]
    return [
        f"{name}, {', '.join(term.layers)}" if names.count(name) > 1 else name
        for name, term in zip(names, terms, strict=True)
    ]


def _by_name(terms, losses):
    return dict(zip(_names(terms), losses, strict=True))


def _blame(net, terms, forms, numbers, view, variables, draw, step):
    """The message for a step that gave NaN or infinity: the first term whose loss or gradient does."""
    for term, form, values in zip(terms, forms, numbers, strict=False):  # the last is the canvas
        evaluate = _evaluation(net, (form, forms[-1]), view)
        (loss, _), gradients = evaluate(variables, draw, (values, numbers[-1]))
        for what, found in (("loss", [loss]), ("gradient", gradients)):
            if not all(np.isfinite(ops.convert_to_numpy(v)).all() for v in found):
                return f"expected finite numbers; the {what} of the term {term.name!r} is not, at step {step}."
    return f"expected finite numbers; the sum of the terms' gradients is not, at step {step}."
