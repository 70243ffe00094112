"""The methods: each a composition of terms, handed to the one loop."""

from dataclasses import replace

import numpy as np

from vizlib.canvas import Cosine, Pixels, Unbounded
from vizlib.network import SCORES
from vizlib.optimize import adam, gradient_descent, optimize
from vizlib.saliency import saliency
from vizlib.terms import ClassScore, Distance, SquaredNorm, priors

NORM = 0.002  # weight of the squared norm beside the score


def reconstruct(
    net, targets, layer, statistics=None, prior_weight=1.0, steps=256, seed=0, callback=None, progress=True
):
    """Images whose activations at a layer are the targets: feature inversion (Mahendran & Vedaldi 2015).

    With targets sampled from the statistics of a class this is stochastic deconvolution: each is a new image of it.

    targets: float32 (n, h, w, channels) or (n, units), activations of the layer as `model.sample` gives them.
    statistics: the fitted statistics of the layer "image", `store.model(class_name, "image")`, that say how smooth,
    sharp and coloured images of the class are; without them no prior applies. prior_weight: scales all of the
    priors. callback, progress, the returned `Result` and its errors: see `optimize`.

    Raises ValueError for targets that do not have the layer's shape or are not finite.
    """
    targets = _checked_targets(net, targets, layer)
    terms = [Distance(layer, targets)]
    if statistics is not None and prior_weight:
        terms += [prior_weight * term for term in priors(statistics)]
    jitter = np.linspace(2, 0, steps).round()  # first find the coarse structure, then fit it to the pixel
    result = optimize(
        net, terms, Cosine(net.image_size), len(targets), steps, seed, adam(), jitter, callback, progress
    )
    return _with(result, method="reconstruct", layer=layer, prior_weight=prior_weight)


def simonyan(net, class_name, n=4, steps=256, seed=0, tuned=True, callback=None, progress=True):
    """Images that maximise the score of a class less their squared norm (Simonyan et al. 2013): the baseline.

    tuned: with what was found to help since then: blur, jitter and normalised gradients (Yosinski et al. 2015; Olah
    et al. 2017). If False, the method as published, gradient ascent from the mean image. The paper leaves the weight of
    the norm and the step size open; here they are relative to the gradient of the score at the mean image, so that
    they mean the same for any network. callback, progress, the returned `Result` and its errors: see `optimize`.

    Raises ValueError, listing the classes, for an unknown class.
    """
    index, canvas = net.class_index(class_name), Unbounded(net.image_size)
    gradient = saliency(net, canvas.image(canvas.start(1, seed)), SCORES, index)
    terms = [1 / np.linalg.norm(gradient) * ClassScore(index), NORM * SquaredNorm()]
    rule, jitter = gradient_descent(0.2), 0
    if tuned:
        canvas, rule, jitter = Pixels(net.image_size, blur=1.0), adam(), 4
    result = optimize(net, terms, canvas, n, steps, seed, rule, jitter, callback, progress)
    return _with(result, method="simonyan", class_name=class_name, tuned=tuned)


def _checked_targets(net, targets, layer):
    expected = net.features((layer,)).output[layer].shape[1:]
    targets = np.asarray(targets, "float32")
    if targets.shape[1:] != tuple(expected) or not len(targets):
        raise ValueError(f"expected targets of shape (n, {', '.join(map(str, expected))}); received {targets.shape}.")
    if not np.isfinite(targets).all():
        raise ValueError(f"expected finite targets; received {np.sum(~np.isfinite(targets))} that are not.")
    return targets


def _with(result, **facts):
    return replace(result, provenance=result.provenance | facts)
