"""What annotations say of arrays, their dtype and how many axes they have, is what functions give."""

from types import UnionType
from typing import get_args, get_origin, get_type_hints

import numpy as np
import pytest

import vizlib as viz
from vizlib._arrays import Floats, Images, ImagesLike, Matrix
from vizlib.statistics import Moments, PatchBank, PCAGaussian, Snapshots

LAYER = "block2_conv2"


def fits(value, hint):
    """Whether a value is what a hint of an array, or of a dict, tuple or choice of arrays, says."""
    if isinstance(hint, UnionType):
        return any(fits(value, one) for one in get_args(hint))
    if get_origin(hint) is dict:
        return bool(value) and all(fits(x, get_args(hint)[1]) for x in value.values())
    if get_origin(hint) is tuple:
        return all(fits(x, one) for x, one in zip(value, get_args(hint), strict=True))
    if alias := getattr(get_origin(hint), "__value__", None):  # what NDArray is from NumPy 2.5 on
        hint = alias[get_args(hint)]
    axes, (dtype,) = map(get_args, get_args(hint))
    dtypes = get_args(dtype) if isinstance(dtype, UnionType) else (dtype,)
    right = issubclass(value.dtype.type, tuple(get_origin(x) or x for x in dtypes))
    return right and (not axes or ... in axes or len(axes) == value.ndim)


def test_fits_tells_apart():
    images = np.zeros((1, 2, 2, 3), "float32")
    for hint in (Images, ImagesLike, Floats):
        assert fits(images, hint) and fits({"a": images}, dict[str, hint])
    for value, hint in ((images, Matrix), (images.astype(float), Images), (images.astype(int), ImagesLike)):
        assert not fits(value, hint) and not fits((images, value), tuple[Images, hint])


@pytest.fixture(scope="module")
def given(mini):
    images = viz.load_images("partworld", "face", n=6)
    return images, mini.activations(images, [LAYER])[LAYER][:, ::8, ::8]


CALLS = [
    lambda net, images, _: (net.as_images, images),
    lambda net, images, _: (net.activations, images, [LAYER, "fc1"]),
    lambda net, images, _: (net.scores, images),
    lambda net, images, _: (net.log_probabilities, net.scores(images)),
    lambda net, images, _: (net.recognised, net.scores(images)),
    lambda net, images, _: (viz.saliency, net, images, LAYER, 0),
    lambda net, images, _: (viz.input_x_gradient, net, images, LAYER, 0),
    lambda net, images, _: (viz.smooth_grad, net, images, LAYER, 0, 2),
    lambda net, images, _: (viz.integrated_gradients, net, images, LAYER, 0, 0.0, 2),
    lambda net, images, _: (viz.grad_cam, net, images, "scores", "face"),
    lambda net, images, _: (viz.layer_cam, net, images, "scores", "face"),
    lambda net, images, _: (viz.lrp, net, images, "scores", "face"),
    lambda net, images, _: (viz.occlusion, net, images, LAYER, 0, 32, 32),
    lambda net, images, _: (viz.partworld.draw, "face", 1),
    lambda net, images, _: (viz.load_images, "partworld", "face", 1, 0, 64, "crop", "uint8"),
    lambda net, images, _: (viz.plots.mosaic, images),
    lambda net, images, _: (viz.plots.enlarged, images),
    lambda net, images, _: (viz.plots.gradient_colours, images.astype(float)),
    lambda net, images, _: (viz.plots.close_ups, images[:1], np.array([[0, 0, 9, 9]])),
    lambda net, images, _: (viz.realism.nearest_images, images, images),
    lambda net, images, X: (Snapshots().fit(X).transform, X),
    lambda net, images, X: (Snapshots().fit(X).components,),
    lambda net, images, X: (Snapshots().fit(X).inverse_transform, np.zeros((1, 2))),
    lambda net, images, X: (Snapshots().fit(X).facets, 2),
    lambda net, images, X: (PCAGaussian().fit(X).sample, 2),
    lambda net, images, X: (PCAGaussian().fit(X).mahalanobis, X),
    lambda net, images, X: (PatchBank().fit(X).nearest, X),
    lambda net, images, X: (PatchBank().fit(X).expected, X, np.ones(X.shape[:3], bool)),
]


@pytest.mark.parametrize("call", CALLS)
def test_what_is_returned(mini, given, call):
    function, *arguments = call(mini, *given)
    hint = get_type_hints(function)["return"]
    found = function(*arguments)
    assert fits(found, hint), (function.__name__, hint)


def test_attributes(given):
    model = Moments().fit(given[1])
    for name in ("variance_", "zeros_", "channel_mean_", "channel_covariance_"):
        assert fits(getattr(model, name), get_type_hints(getattr(Moments, name).fget)["return"])
