"""The baselines: images that maximise the score of a class, without its joint statistics."""

import numpy as np

from vizlib._arrays import ImagesLike
from vizlib.attribution.gradients import saliency
from vizlib.backend import as_array
from vizlib.networks.network import SCORES, Network
from vizlib.store import StatsStore
from vizlib.synthesis.canvases import Cosine, Phase, Pixels, Unbounded
from vizlib.synthesis.loop import Callback, Result, optimize
from vizlib.synthesis.recipes import recorded
from vizlib.synthesis.rules import adam, gradient_descent, nadam
from vizlib.synthesis.terms import (
    ChannelMoments,
    ChannelScore,
    ClassScore,
    CrossEntropy,
    Marginals,
    SquaredNorm,
    Term,
    TotalVariation,
)
from vizlib.synthesis.transforms import Camera, Jitter

NORM = 0.005  # weight of the squared norm beside the score
SMOOTHNESS = 0.05  # weight of the total variation beside marginals

Neuron = str | int | tuple[str, int]  # a class, by name or position, or a channel of a layer


@recorded
def simonyan(
    net: Network,
    class_name: Neuron,
    n: int = 4,
    steps: int = 256,
    seed: int = 0,
    tuned: bool = True,
    callback: Callback | None = None,
    progress: bool = True,
) -> Result:
    """Images that maximise the score of a class less their squared norm (Simonyan et al. 2013): the baseline.

    class_name: or (layer, channel), to maximise that channel, summed over its positions.

    tuned: with what was found to help since then: blur, jitter and normalised gradients (Yosinski et al. 2015; Olah
    et al. 2017). If False, the method as published, gradient ascent from the mean image. The paper leaves the weight of
    the norm and the step size open; here they are relative to the gradient of the score at the mean image, so that
    they mean the same for any network. callback, progress, the returned `Result` and its errors: see `optimize`.

    Raises ValueError for an unknown class, layer or channel.
    """
    terms = [score(net, class_name), NORM * SquaredNorm()]
    canvas, rule, view = Unbounded(net.image_size), gradient_descent(0.2), None
    if tuned:
        canvas, rule, view = Pixels(net.image_size, blur=1.0), adam(), Jitter(4)
    return optimize(net, terms, canvas, n, steps, seed, rule, view, None, callback, progress)


@recorded
def olah(
    net: Network,
    class_name: Neuron,
    n: int = 4,
    steps: int = 256,
    seed: int = 0,
    callback: Callback | None = None,
    progress: bool = True,
) -> Result:
    """Images that maximise the score of a class in all of many views (Olah et al. 2017, "Feature Visualization").

    class_name: as of `simonyan`.

    On frequencies of decorrelated colours; views are moved by 1/14 of the image, zoomed by 0.9 to 1.1 and turned by up
    to 10 degrees, as there. callback, progress, the returned `Result` and its errors: see `optimize`.

    Raises ValueError for an unknown class, layer or channel.
    """
    view = Camera(net.image_size, shift=net.side / 14, zoom=(0.9, 1.1), turn=10)
    terms, canvas = [score(net, class_name)], Cosine(net.image_size)
    return optimize(net, terms, canvas, n, steps, seed, adam(), view, None, callback, progress)


@recorded
def maco(
    net: Network,
    class_name: Neuron,
    images: ImagesLike,
    n: int = 4,
    steps: int = 256,
    seed: int = 0,
    callback: Callback | None = None,
    progress: bool = True,
) -> Result:
    """Images of which only the phases maximise the score of a class, in crops with noise (MACO: Fel et al. 2023).

    As its authors run it (Xplique) are the standardised phases and images, NAdam at a rate of 1 and normal noise. What
    differs: crops of half to all of the image, where theirs fall to a twentieth of 512 pixels, which at the sizes of
    networks is too little to show an object; one crop a step, the same for all images, where theirs are 32, so that a
    step costs as much as that of any other method; the spectrum of the images given, where theirs is the mean of
    ImageNet; the best image of the run, where theirs is the last; no uniform noise, no transparency.

    class_name: as of `simonyan`. images: real ones of the network's size, (m, size, size, 3), as `as_images` takes
    them; their mean magnitude spectrum is kept. callback, progress, the returned `Result` and its errors: see
    `optimize`.

    Raises ValueError for an unknown class, layer or channel.
    """
    term, images = score(net, class_name), net.as_images(images)
    view = Camera(net.image_size, shift=net.side / 8, zoom=(1.0, 2.0), noise=0.08)
    return optimize(net, [term], Phase.of(images), n, steps, seed, nadam(1.0), view, None, callback, progress)


@recorded
def vital(
    store: StatsStore,
    class_name: str,
    n: int = 4,
    steps: int = 256,
    seed: int = 0,
    layers: list[str] | None = None,
    callback: Callback | None = None,
    progress: bool = True,
) -> Result:
    """Images whose channels have the values of the class, wherever they lie (VITAL: Gorgun et al. 2025).

    No score is maximised: at each layer the sorted values of each channel are moved to their mean over the images of
    the class. The target is the same for every seed.

    As published is the loss, at five layers from the first to the last, and that images are moved by up to 30 of 224
    pixels. What differs: frequencies and a total variation, where theirs are bare pixels, with Adam at a rate of 1 and
    2,000 steps, of which a hundred make noise; values before the ReLU; each layer in units of the variance within its
    channels, as the layers of VGG16, unlike those of a ResNet, are of very different scales; borders mirrored.

    store: a `StatsStore` with the layers. layers: their names; None for the last of each resolution in there. callback,
    progress, the returned `Result` and its errors: see `optimize`. Raises ValueError for a class or layer that is not
    there.
    """
    net = store.network
    terms: list[Term] = [TotalVariation.of(store.model(class_name, "image"), SMOOTHNESS)]
    for layer in layers or store.last_of_resolutions(class_name):
        quantiles = store.marginals(class_name, layer).quantiles_.astype("float32")
        terms.append(Marginals(net.before_relu(layer), np.broadcast_to(quantiles, (n, *quantiles.shape))))
    canvas, view = Cosine(net.image_size), Jitter(30 / 224 * net.side)
    return optimize(net, terms, canvas, n, steps, seed, adam(), view, None, callback, progress)


@recorded
def deep_inversion(
    store: StatsStore,
    class_name: str,
    n: int = 4,
    steps: int = 256,
    seed: int = 0,
    callback: Callback | None = None,
    progress: bool = True,
) -> Result:
    """Images of a class whose channels have the means and variances of the class (DeepInversion: Yin et al. 2020).

    As published are the terms: the cross-entropy of the class, the distance of the moments of each channel, a total
    variation; and that images are moved by up to 30 of 224 pixels. What differs: the moments are those of the class at
    the layers of the store, which a network without batch normalisation does not have, before the ReLU and in units of
    their own norms, and those of each image, not of the batch; frequencies, where theirs are bare pixels, whose norm is
    a term as well, see `vital`.

    store: a `StatsStore` with the layers. callback, progress, the returned `Result` and its errors: see `optimize`.
    Raises ValueError for a class that is not there or that the network does not know.
    """
    net, view = store.network, Jitter(30 / 224 * store.network.side)
    terms: list[Term] = [
        CrossEntropy(np.int32(net.class_index(class_name)), net.is_sigmoid),
        TotalVariation.of(store.model(class_name, "image"), SMOOTHNESS),
    ]
    for layer in store.layers(class_name)[1:]:
        moments = store.model(class_name, layer, "Moments")
        mean, variance = (x.astype("float32") for x in (moments.channel_mean_, moments.channel_variance_))
        terms.append(ChannelMoments(net.before_relu(layer), mean, variance))
    return optimize(net, terms, Cosine(net.image_size), n, steps, seed, adam(), view, None, callback, progress)


def score(net: Network, neuron: Neuron) -> Term:
    """The term that raises a class score or a channel, over the norm of its gradient at the mean image.

    So it is of one scale for any network. neuron: a class name, or (layer, channel), which stands for the sum over its
    positions, before the ReLU if the layer ends in one. Raises ValueError for an unknown class, layer or channel.
    """
    if isinstance(neuron, (tuple, list)):
        layer, index = neuron
        net.check_layer(layer)
        layer = net.before_relu(layer)
        term = ChannelScore(layer, np.int32(index))
    else:
        layer, index = SCORES, net.class_index(neuron)
        term = ClassScore(np.int32(index))  # a number: classes share what is compiled
    canvas = Unbounded(net.image_size)
    images = as_array(canvas.image(canvas.start(1, 0)))
    return 1 / np.linalg.norm(saliency(net, images, layer, index)) * term  # type: ignore[operator]
