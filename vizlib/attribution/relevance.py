"""Layer-wise relevance propagation: a neuron's activation handed back to the pixels, layer by layer."""

from functools import partial

import numpy as np
from keras import layers, ops

from vizlib._arrays import ImagesLike, Maps
from vizlib.attribution.neurons import Neuron, chosen, in_batches, on_arrays, resized, seen_by_head
from vizlib.backend import compiled, value_and_gradient, with_gradient
from vizlib.networks.graph import Graph, relu_ceiling, twin
from vizlib.networks.network import Network

EPSILON = 0.25  # of the root mean square of what a layer sums up, which takes the relevance of sums near zero
TINY = 1e-9
KERNELS = {  # the layers that sum up what they see, and where they keep the weights of the sum
    layers.Conv2D: "_kernel",
    layers.DepthwiseConv2D: "kernel",
    layers.Dense: "_kernel",
}
# Layers and operations that pass on, shift, add up, or take the mean or the largest of what they see.
PASSING = {
    "ActivityRegularization", "Add", "AlphaDropout", "Average", "AveragePooling2D", "BatchNormalization", "Cast",
    "Concatenate", "Cropping2D", "Dropout", "Flatten", "GaussianDropout", "GaussianNoise", "GetItem",
    "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Identity", "MaxPooling2D", "Mean", "Normalization", "Permute",
    "Rescaling", "Reshape", "SpatialDropout2D", "Transpose", "UpSampling2D", "ZeroPadding2D",
}


def lrp(net: Network, images: ImagesLike, layer: str, neuron: Neuron, rule: str = "epsilon") -> Maps:
    """Layer-wise relevance propagation (Bach et al. 2015): each pixel's share in a neuron, float32 (n, h, w).

    A neuron hands down its relevance, at first its activation, in proportion to what the neurons below add to it. rule:
    "epsilon", to all of what they add, where sums near zero keep part of theirs (a quarter of the layer's root mean
    square beside the sum; Montavon et al. 2019), or "z_plus", to what raises it alone (α1β0; Montavon et al. 2017). The
    share of biases is not handed on; under "z_plus" they have none, and relevance is lost only where nothing raises a
    neuron, which then is negative. Of a maximum the largest takes all; an activation
    function other than ReLU passes relevance as it comes. At the network's input, after its preprocessing, colours are
    added up.

    Other arguments and errors as of `saliency`. Raises ValueError for an unknown rule, and where there are layers on
    the way for which there is no rule here, such as attention or a product of two layers, naming them.
    """
    if rule not in _FORMS:
        raise ValueError(f"expected a rule out of {', '.join(_FORMS)}; received {rule!r}.")
    whole, images, (layer, weights) = net, net.as_images(images), chosen(net, layer, neuron)
    net, images = seen_by_head(net, images, layer)
    found = in_batches(net, images, on_arrays(net.kept(_relevance, layer, rule), weights))
    share = np.prod(found.shape[1:3]) / np.prod(whole.image_shape[:2])  # so that sums stay what they are
    return np.float32(share) * resized(found[..., None], whole)[..., 0]


def _relevance(net, layer, rule):
    """A compiled function of images and of the weight of each neuron of a layer, to the relevance of pixels."""
    first, second, graph = net.from_input(layer, _FORMS[rule])
    graph.check(second)

    @compiled
    def relevance(images, neurons):
        seen = first(images)

        def answer(seen):
            return ops.sum(second([images, seen])[layer] * neurons), ()

        return ops.sum(seen * value_and_gradient(answer)(seen)[1], axis=-1)

    return relevance


class _Relevance(Graph):
    """A network whose gradient with respect to its input is relevance, once it is multiplied with the input.

    For that what a layer sums up is multiplied with a constant, and divided by it: it stays what it is, its gradient
    does not.
    """

    def __init__(self, model, inputs, *settings, rule):
        self.rule, self.refused = rule, {}
        super().__init__(model, [layers.Identity()(x) for x in inputs], *settings)  # they may be the images themselves

    def _part(self, operation):
        linear, activation = super()._part(operation)
        kind = type(operation)
        if linear is not None and kind in KERNELS:
            linear = self.rule(linear, name=f"{linear.name}_relevance", dtype=linear.dtype_policy)
        elif linear is not None and not (kind.__name__ in PASSING and kind.__module__.startswith("keras.")):
            self.refused[linear.name] = f"{operation.name} ({kind.__name__})"
        if activation is not None and relu_ceiling(activation) is None:
            activation = _Passing(activation, name=f"{activation.name}_relevance")
        return linear, activation

    def check(self, model):
        """Raise ValueError, naming them, if there are layers in a part of the graph that relevance cannot pass."""
        if found := [self.refused[x.name] for x in model.operations if x.name in self.refused]:
            raise ValueError(f"expected layers that relevance can be handed through; received {', '.join(found)}.")


class _Wrapper(layers.Layer):
    def __init__(self, inner, **settings):
        super().__init__(**settings)
        self.inner = inner


class _Epsilon(_Wrapper):
    """A layer that sums up, and hands relevance down in proportion to all that it adds up."""

    def call(self, x):
        return _damped(self.inner(x))


def _share(z, gradient):
    """Less than all of it where sums are near zero: the gradient of z, multiplied with |z| / (|z| + ε)."""
    flat = ops.cast(ops.reshape(z, (ops.shape(z)[0], -1)), "float32")
    squares = ops.einsum("ni,ni->n", flat, flat)  # in one pass over z, as all of this is measured against a gradient
    epsilon = EPSILON * ops.sqrt(squares / ops.cast(ops.shape(flat)[1], "float32")) + TINY
    share = ops.abs(ops.softsign(ops.multiply(z, ops.reshape(1 / epsilon, (-1, *[1] * (len(z.shape) - 1))))))
    return gradient * ops.cast(share, gradient.dtype)


_damped = with_gradient(lambda z: z, _share)


class _Raising(_Wrapper):
    """A layer that sums up, and hands relevance down in proportion to what raises the sum."""

    def call(self, x):
        positive, negative = self._sum(x, 1), self._sum(x, -1)
        raising = positive + negative + TINY
        return raising * ops.stop_gradient(self.inner(x) / raising)

    def _sum(self, x, sign):
        """What inputs of a sign add by weights of that sign."""
        kernel = {KERNELS[type(self.inner)]: ops.relu(sign * self.inner.kernel)}
        return twin(self.inner, self.inner.name, use_bias=False, bias=None, **kernel).call(ops.relu(sign * x))


class _Passing(_Wrapper):
    """An activation function through which relevance passes as it comes."""

    def call(self, x):
        return x * ops.stop_gradient(self.inner(x) / ops.where(ops.abs(x) > TINY, x, TINY))


_FORMS = {"epsilon": partial(_Relevance, rule=_Epsilon), "z_plus": partial(_Relevance, rule=_Raising)}
