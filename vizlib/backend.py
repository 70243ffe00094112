"""The one file that knows which array library runs below Keras: TensorFlow (default) or JAX."""

from collections.abc import Callable
from typing import Any

import keras

BACKEND = keras.config.backend()
Tensor = Any  # of the backend; NumPy's arrays do as well

if BACKEND == "tensorflow":
    import tensorflow as tf
elif BACKEND == "jax":
    import jax
else:
    raise ImportError(f"vizlib expected KERAS_BACKEND to be 'tensorflow' or 'jax'; received {BACKEND!r}.")


def compiled(function: Callable) -> Callable:
    """Compile a function of (nested lists, tuples and dicts of) arrays, which must have no side effects.

    It is compiled once for all arguments of the same structure, shapes and dtypes.
    """
    if BACKEND == "jax":
        return jax.jit(function)
    traceable, traced = tf.function(function, autograph=False), {}

    def run(*args):
        # Each is traced here and called directly: a tf.function counts how often functions written in the same place
        # are traced, and takes those of several layers for one that is traced over and over, which it warns of.
        if (form := _form(args)) not in traced:
            traced[form] = traceable.get_concrete_function(*args)
        return traced[form](*args)

    return run


def _form(args):
    """What arrays are compiled for: equal for the same structure, shapes and dtypes."""
    if isinstance(args, dict):
        return dict, tuple((key, _form(value)) for key, value in args.items())
    if isinstance(args, (list, tuple)):
        return type(args), tuple(map(_form, args))
    return tuple(args.shape), args.dtype


def value_and_gradient(function: Callable) -> Callable:
    """Turn `function(x, *args) -> (loss, extra)` into one that returns `((loss, extra), dloss/dx)`.

    x: an array or a list of arrays; loss: a scalar; extra: anything made of arrays. The gradient has the
    structure and shapes of x.
    """
    if BACKEND == "jax":
        return jax.value_and_grad(function, has_aux=True)

    def run(x, *args):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            loss, extra = function(x, *args)
        return (loss, extra), tape.gradient(loss, x, unconnected_gradients="zero")

    return run
