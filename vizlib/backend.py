"""The one file that knows which array library runs below Keras: TensorFlow (default), JAX or PyTorch."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from vizlib._arrays import THREADS, transposed

BACKEND = keras.config.backend()
HOLDS_WEIGHTS = BACKEND == "jax"  # what is compiled has the weights in it as they were then
Tensor = Any  # of the backend; NumPy's arrays do as well

if BACKEND == "tensorflow":
    import tensorflow as tf

    for _gpu in tf.config.list_physical_devices("GPU"):
        with suppress(RuntimeError):  # in use already: it stays as whoever uses it has set it
            tf.config.experimental.set_memory_growth(_gpu, True)  # or else the first use takes all of its memory
elif BACKEND == "jax":
    import jax
elif BACKEND == "torch":
    import torch
else:
    raise ImportError(f"vizlib expected KERAS_BACKEND to be 'tensorflow', 'jax' or 'torch'; received {BACKEND!r}.")


def compiled(function: Callable) -> Callable:
    """Compile a function of (nested lists, tuples and dicts of) arrays, which must have no side effects.

    It is compiled once for all arguments of the same structure, shapes and dtypes. On PyTorch it runs as it is:
    `torch.compile` does not follow `dataclasses.replace`, by which terms get their numbers, and needs a C++ compiler.
    """
    if BACKEND == "jax":
        return jax.jit(function)
    if BACKEND == "torch":
        return torch.no_grad()(function)  # gradients are asked for within, see `value_and_gradient`
    traceable, traced = tf.function(function, autograph=False), {}

    def run(*args):
        if tf.config.functions_run_eagerly():  # as whoever looks for a fault asks for
            return function(*tree.map_structure(tf.convert_to_tensor, args))
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


def as_array(tensor: Tensor) -> np.ndarray:
    """The values of a tensor; may be read-only, as they are not copied where that can be helped."""
    return ops.convert_to_numpy(tensor) if BACKEND == "torch" else np.asarray(tensor)


def on_gpu() -> bool:
    """Whether arrays are on a GPU, where sums are made in any order, so that the last bits differ from run to run."""
    if BACKEND == "jax":
        return jax.default_backend() != "cpu"
    if BACKEND == "torch":
        return ops.zeros(()).device.type != "cpu"
    return bool(tf.config.list_physical_devices("GPU"))


def attributes(operation: keras.Operation) -> dict[str, Any]:
    """All that an operation of Keras keeps, by name, the layers in it among them, which PyTorch keeps apart."""
    return vars(operation) | vars(operation).get("_modules", {})


def value_and_gradient(function: Callable) -> Callable:
    """Turn `function(x, *args) -> (loss, extra)` into one that returns `((loss, extra), dloss/dx)`.

    x: an array or a list of arrays; loss: a scalar; extra: anything made of arrays. The gradient has the
    structure and shapes of x.
    """
    if BACKEND == "jax":
        return jax.value_and_grad(function, has_aux=True)
    if BACKEND == "torch":
        return partial(_torch_value_and_gradient, function)

    def run(x, *args):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            loss, extra = function(x, *args)
        return (loss, extra), tape.gradient(loss, x, unconnected_gradients="zero")

    return run


def _torch_value_and_gradient(function, x, *args):
    with torch.enable_grad():
        x = tree.map_structure(lambda v: v.detach().requires_grad_(), x)
        loss, extra = function(x, *args)
        found = torch.autograd.grad(loss, tree.flatten(x), allow_unused=True, materialize_grads=True)
    return tree.map_structure(torch.Tensor.detach, (loss, extra)), tree.pack_sequence_as(x, found)


def with_gradient(forward: Callable, backward: Callable) -> Callable:
    """The function forward(x) of an array, with backward(x, gradient from above) in place of its gradient."""

    @ops.custom_gradient
    def function(x):
        def gradient(*args, upstream=None):
            return backward(x, args[0] if upstream is None else upstream)

        return forward(x), gradient

    # TensorFlow keeps each call for ever, and with it all that x was computed from; of what is compiled it is one call.
    return compiled(function) if BACKEND == "tensorflow" else function


def _aligned(shape):
    """An empty float32 array that begins where TensorFlow takes it over as it is, and does not copy it: at 64 bytes."""
    room = np.empty(int(np.prod(shape)) + 64 // 4, "float32")
    first = -room.ctypes.data % 64 // 4
    return room[first : first + room.size - 64 // 4].reshape(shape)


SORTED = 2**18  # values that are put in order at a time: of fewer, threads wait for each other; of more, for memory
FEW = 2**8  # positions, of which a place takes so many of the bits of a value that both are sorted as 32 bits


def matched(values: Tensor, quantiles: Tensor) -> Tensor:
    """What values (n, p, c) are in a distribution of the same order: of each the quantile (n, q, c) of its rank.

    Ranks are over the second axis; each of the q ≤ p quantiles, ascending, stands for as many neighbours in the order.
    On TensorFlow values that differ by a 65,535th of the range of their channel, or of at most 256 positions by a
    32,768th of themselves, may be in any order. float32 (n, p, c), without a gradient.
    """
    p, q = values.shape[1], quantiles.shape[1]
    which = np.repeat(np.arange(q), np.diff(np.arange(q + 1) * p // q))  # the quantile of each rank
    if BACKEND == "jax":
        ranks = ops.argsort(ops.argsort(values, axis=1), axis=1)
        return ops.stop_gradient(ops.take_along_axis(ops.take(quantiles, which, axis=1), ranks, axis=1))
    if BACKEND == "torch":
        order = values.detach().argsort(dim=1)
        return torch.empty_like(values).scatter_(1, order, quantiles[:, which])

    many, step = max(1, SORTED // (p * values.shape[2])), max(1, SORTED // p)

    def assign(values, quantiles):  # in NumPy, whose sort is thirty times as fast as TensorFlow's on a CPU
        found = _aligned(values.shape)

        def of_some(first):
            some = slice(first, first + many)
            channels = transposed(values[some])
            rows, wanted = channels.reshape(-1, p), transposed(quantiles[some]).reshape(-1, q)
            for start in range(0, len(rows), step):
                part, targets = rows[start : start + step], wanted[start : start + step]
                at = _order(part)
                at += np.arange(0, at.size, p)[:, None]  # into all of the part: half the time of put_along_axis
                part.reshape(-1)[at.reshape(-1)] = (np.take(targets, which, axis=1) if q < p else targets).reshape(-1)
            transposed(channels, found[some])

        if len(values) <= many:  # threads would take longer to begin
            of_some(0)
            return found
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(of_some, range(0, len(values), many)))
        return found

    found = tf.numpy_function(assign, [values, quantiles], tf.float32, stateful=False)
    return tf.stop_gradient(tf.ensure_shape(found, values.shape))


def _order(rows):
    """The places of values (r, p) in their ascending order, as far as `matched` promises: int64 (r, p)."""
    p = rows.shape[1]
    if p <= FEW:
        signed = rows.view("int32")
        keys = signed ^ (signed >> 31 & 0x7FFFFFFF)  # in the order of the values
        keys &= -FEW
        keys |= np.arange(p, dtype="int32")  # values with their places are sorted in half the time of argsort
        keys.sort(axis=1)
        keys &= FEW - 1
        return keys.astype("int64")
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite has no order
        low = rows.min(axis=1, keepdims=True)
        keys = rows - low
        keys *= 0xFFFF / np.maximum(rows.max(axis=1, keepdims=True) - low, 1e-30)
        return keys.astype("uint16").argsort(axis=1, kind="stable")  # by radix, in the time of the length
