"""Update rules: how the variables of images follow their gradients.

A rule is (start, update): `start(variables)` is the state before the first step, `update(variables, gradients, state,
step)` the variables and the state after a step, counted from 0. Both are pure, as all that is compiled. Equal rules
are one object, which is how the loop knows that it has compiled one already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from keras import ops

from vizlib.backend import Tensor

Rule = tuple[Callable, Callable]


@dataclass(frozen=True)
class Falling:
    """A rate that falls on a cosine to nothing at the last of `steps` (Loshchilov & Hutter 2017)."""

    rate: float
    steps: int

    def __call__(self, step: Tensor) -> Tensor:
        return self.rate * (1 + ops.cos(np.pi * step / self.steps)) / 2


# Not Keras's Adam, which on TensorFlow cannot do without variables of its own: after the compiled step it makes a step
# of the embedded network 9 to 60 % longer, and within it two threads spoil each other's images.
@lru_cache(maxsize=32)
def adam(
    learning_rate: float | Falling = 0.05, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8
) -> Rule:
    """The update rule of Kingma & Ba 2015."""

    def start(variables):
        zeros = [ops.zeros_like(v) for v in variables]
        return zeros, zeros

    def update(variables, gradients, state, step):
        first, second = _moments(state, gradients, beta_1, beta_2)
        rate = learning_rate(step) if isinstance(learning_rate, Falling) else learning_rate
        rate = rate * ops.sqrt(1 - beta_2 ** (step + 1)) / (1 - beta_1 ** (step + 1))
        moved = [v - rate * m / (ops.sqrt(s) + epsilon) for v, m, s in zip(variables, first, second, strict=True)]
        return moved, (first, second)

    return start, update


@lru_cache(maxsize=32)
def nadam(learning_rate: float, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7) -> Rule:
    """Adam that looks ahead by a step of its momentum, which grows in the first steps (Dozat 2016)."""

    def start(variables):
        zeros = [ops.zeros_like(v) for v in variables]
        return zeros, zeros, ops.ones(())

    def update(variables, gradients, state, step):
        now, ahead = (beta_1 * (1 - 0.5 * 0.96 ** (step + i)) for i in (1, 2))
        product = state[2] * now
        first, second = _moments(state, gradients, beta_1, beta_2)
        moved = []
        for v, g, m, s in zip(variables, gradients, first, second, strict=True):
            momentum = ahead * m / (1 - product * ahead) + (1 - now) * g / (1 - product)
            moved.append(v - learning_rate * momentum / (ops.sqrt(s / (1 - beta_2 ** (step + 1))) + epsilon))
        return moved, (first, second, product)

    return start, update


@lru_cache(maxsize=32)
def gradient_descent(learning_rate: float) -> Rule:
    """The plain update rule."""

    def update(variables, gradients, state, step):
        return [v - learning_rate * g for v, g in zip(variables, gradients, strict=True)], state

    return lambda variables: (), update


def _moments(state, gradients, beta_1, beta_2):
    """The decaying means of the gradients and of their squares after a step; those before come first in the state."""
    first = [beta_1 * m + (1 - beta_1) * g for m, g in zip(state[0], gradients, strict=True)]
    second = [beta_2 * s + (1 - beta_2) * g * g for s, g in zip(state[1], gradients, strict=True)]
    return first, second
