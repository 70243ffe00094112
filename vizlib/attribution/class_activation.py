"""Class activation maps: where the channels of a layer speak for a neuron of a later one."""

from keras import ops

from vizlib._arrays import ImagesLike, Maps
from vizlib.attribution.neurons import Neuron, chosen, in_batches, on_arrays, resized, seen_by_head
from vizlib.backend import compiled, value_and_gradient
from vizlib.networks.network import SCORES, Network


def grad_cam(net: Network, images: ImagesLike, layer: str, neuron: Neuron, at: str | None = None) -> Maps:
    """Grad-CAM (Selvaraju et al. 2017): where a layer is active in what speaks for a neuron, float32 (n, h, w) ≥ 0.

    Channels of `at` are added up with the means over positions of their gradients as weights, and what is negative is
    left out. Maps are enlarged to the images, bilinearly, and not scaled.

    images, layer, neuron: as of `saliency`. at: a layer with positions before it; None for the last that ends in an
    activation function or has weights. Raises ValueError for unknown layers or neurons, and for `at` without positions
    or not before `layer`.
    """
    return _maps(net, images, layer, neuron, at, "grad_cam")


def layer_cam(net: Network, images: ImagesLike, layer: str, neuron: Neuron, at: str | None = None) -> Maps:
    """LayerCAM (Jiang et al. 2021): as `grad_cam`, with the gradient at each position as its weight, where it is
    positive; so that shallow layers give maps as well. float32 (n, h, w) ≥ 0.
    """
    return _maps(net, images, layer, neuron, at, "layer_cam")


def last_map(net: Network, layer: str) -> str:
    """The last layer with positions before a layer that ends in an activation function or has weights."""
    _, graph = net.graph()
    order = (*net.layers, SCORES)
    for name in reversed(order[: order.index(layer)]):
        tensor = graph.tensors.get(name)
        ends = tensor is not None and (graph.tensors[f"{name}:pre"] is not tensor or graph.origin[name].weights)
        if ends and len(tensor.shape) == 4 and min(tensor.shape[1:3]) > 1:
            return name
    raise ValueError(f"expected a layer with positions before {layer}; received none.")


def _maps(net, images, layer, neuron, at, kind):
    whole, images, (layer, weights) = net, net.as_images(images), chosen(net, layer, neuron)
    net, images = seen_by_head(net, images, layer)
    at = at or last_map(net, layer)
    net.check_layer(at)
    shape = net.features((at,)).output[at].shape
    if len(shape) != 4:
        raise ValueError(f"expected at to be a layer with positions; received {at} of shape {tuple(shape[1:])}.")
    found = in_batches(net, images, on_arrays(net.kept(_class_activation, at, layer, kind), weights))
    return resized(found[..., None], whole)[..., 0]


def _class_activation(net, at, layer, kind):
    """A compiled function of images and of the weight of each neuron of a layer, to their maps."""
    first, second, shown = net.parted(at, layer)

    @compiled
    def maps(images, neurons):
        active = first(images)

        def answer(active):
            return ops.sum(second([images, active])[layer] * neurons), ()

        gradient, active = shown(value_and_gradient(answer)(active)[1]), shown(active)
        if kind == "grad_cam":
            weighted = ops.mean(gradient, axis=(1, 2), keepdims=True) * active
        else:
            weighted = ops.relu(gradient) * active
        found = ops.relu(ops.sum(weighted, axis=-1, keepdims=True))
        return ops.image.resize(found, net.image_shape[:2])[..., 0]

    return maps
