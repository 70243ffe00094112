"""The one file that knows which array library runs below Keras: TensorFlow (default) or JAX."""

import keras

BACKEND = keras.config.backend()

if BACKEND == "tensorflow":
    import tensorflow as tf
elif BACKEND == "jax":
    import jax
else:
    raise ImportError(f"vizlib expected KERAS_BACKEND to be 'tensorflow' or 'jax'; received {BACKEND!r}.")


def compiled(function):
    """Compile a function of (nested lists of) arrays; it must have no side effects."""
    return tf.function(function, autograph=False) if BACKEND == "tensorflow" else jax.jit(function)


def value_and_gradient(function):
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
