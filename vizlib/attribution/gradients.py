"""Saliency: the gradient of any neuron with respect to the image, under three rules for the ReLUs on the way."""

from collections.abc import Sequence

import numpy as np
from keras import ops

from vizlib.backend import compiled, value_and_gradient
from vizlib.networks.network import SCORES, Network


def _rule(backward):
    """A ReLU whose gradient is backward(input, gradient from above)."""

    @ops.custom_gradient
    def relu(x):
        def gradient(*args, upstream=None):
            return backward(x, args[0] if upstream is None else upstream)

        return ops.relu(x), gradient

    return relu


RULES = {
    "gradient": None,
    "guided": _rule(lambda x, g: ops.where(x > 0, ops.relu(g), ops.zeros_like(g))),
    "deconvnet": _rule(lambda x, g: ops.relu(g)),
}


def saliency(
    net: Network, images: np.ndarray, layer: str, neuron: str | int | Sequence[int], rule: str = "gradient"
) -> np.ndarray:
    """The gradient of a neuron's activation with respect to the pixels, float32 (n, h, w, 3).

    images: (n, h, w, 3), float in [0, 1] or uint8. layer: a layer's name; of the last layer and of "scores", the
    class scores before the softmax count. neuron: a class name there, the index of a unit or channel (a channel
    stands for the sum over its positions), or (row, column, channel).
    rule: "gradient" (Simonyan et al. 2013), "guided" (guided backpropagation, Springenberg et al. 2014) or
    "deconvnet" (Zeiler & Fergus 2014); the latter two decide what passes a ReLU on the way back.

    Raises ValueError for an unknown rule, layer or neuron, and where a rule finds no ReLU to apply to.
    """
    if rule not in RULES:
        raise ValueError(f"expected a rule out of {', '.join(RULES)}; received {rule!r}.")
    images = net.as_images(images)
    layer = SCORES if net.classes and layer == net.layers[-1] else layer
    shape = net.features((layer,), RULES[rule]).output[layer].shape[1:]
    neurons = np.zeros(shape, "float32")
    neurons[_index(net, layer, neuron, shape)] = 1
    gradient = net.kept(_gradient, layer, rule)
    size, answers = net.batch_size, []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        if start:  # so that all have one shape, for which the gradient is compiled
            batch = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])
        answers.append(ops.convert_to_numpy(gradient(ops.convert_to_tensor(batch), ops.convert_to_tensor(neurons))))
    return np.concatenate(answers)[: len(images)]


def _gradient(net, layer, rule):
    """A compiled function of images and of the weight of each neuron of a layer, to the gradient of their sum."""
    features = net.features((layer,), RULES[rule])

    @compiled
    def gradient(images, neurons):
        return value_and_gradient(lambda images: (ops.sum(features(images)[layer] * neurons), ()))(images)[1]

    return gradient


def _index(net, layer, neuron, shape):
    """The position of a neuron in activations of this shape (without the batch), as a tuple of indices and slices."""
    if isinstance(neuron, str):
        if layer != SCORES:
            raise ValueError(f"expected an index at layer {layer}; received the class name {neuron!r}.")
        return (net.class_index(neuron),)
    index = tuple(int(i) for i in np.atleast_1d(neuron))
    if len(index) not in (1, len(shape)) or not all(0 <= i < s for i, s in zip(index[::-1], shape[::-1], strict=False)):
        raise ValueError(f"expected an index into the last axis, or a neuron, of shape {shape}; received {neuron!r}.")
    return (*(slice(None),) * (len(shape) - len(index)), *index)
