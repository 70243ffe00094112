"""Saliency: the gradient of any neuron with respect to the image, under three rules for the ReLUs on the way."""

from collections.abc import Callable

from keras import ops

from vizlib._arrays import Images, ImagesLike
from vizlib.attribution.neurons import Neuron, chosen, in_batches, on_arrays
from vizlib.backend import compiled, value_and_gradient, with_gradient
from vizlib.networks.network import Network

RULES = {
    "gradient": None,
    "guided": with_gradient(ops.relu, lambda x, g: ops.where(x > 0, ops.relu(g), ops.zeros_like(g))),
    "deconvnet": with_gradient(ops.relu, lambda x, g: ops.relu(g)),
}


def saliency(net: Network, images: ImagesLike, layer: str, neuron: Neuron, rule: str = "gradient") -> Images:
    """The gradient of a neuron's activation with respect to the pixels, float32 (n, h, w, 3).

    images: (n, h, w, 3), float in [0, 1] or uint8. layer: a layer's name; of the last layer and of "scores", the
    class scores before the softmax count. neuron: a class name there, the index of a unit or channel (a channel
    stands for the sum over its positions), or (row, column, channel).
    rule: "gradient" (Simonyan et al. 2013), "guided" (guided backpropagation, Springenberg et al. 2014) or
    "deconvnet" (Zeiler & Fergus 2014); the latter two decide what passes a ReLU on the way back.

    Raises ValueError for an unknown rule, layer or neuron, and where a rule finds no ReLU to apply to.
    """
    return in_batches(net, net.as_images(images), gradients(net, layer, neuron, rule))


def input_x_gradient(net: Network, images: ImagesLike, layer: str, neuron: Neuron) -> Images:
    """The pixels times `saliency`: what they add to the neuron, if it were linear, beside black; float32 (n, h, w, 3).

    Arguments and errors as of `saliency` (Shrikumar et al. 2016).
    """
    images = net.as_images(images)
    return images * saliency(net, images, layer, neuron)


def gradients(net: Network, layer: str, neuron: Neuron, rule: str = "gradient") -> Callable:
    """A function of a batch of images, float32 (n, h, w, 3), to the gradient of a neuron there; see `saliency`."""
    if rule not in RULES:
        raise ValueError(f"expected a rule out of {', '.join(RULES)}; received {rule!r}.")
    layer, weights = chosen(net, layer, neuron)
    return on_arrays(net.kept(summed_gradient, layer, rule), weights)


def summed_gradient(net: Network, layer: str, rule: str) -> Callable:
    """A compiled function of images and of the weight of each neuron of a layer, to the gradient of their sum."""
    features = net.features((layer,), RULES[rule])

    @compiled
    def gradient(images, neurons):
        return value_and_gradient(lambda images: (ops.sum(features(images)[layer] * neurons), ()))(images)[1]

    return gradient
