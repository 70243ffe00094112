"""Attribution against Captum's on the same weights."""

import numpy as np
import pytest

import vizlib as viz

torch = pytest.importorskip("torch")
attr = pytest.importorskip("captum.attr")


@pytest.fixture
def pair(tiny_cnn):
    """The tiny network, in Keras and in PyTorch, without the softmax."""
    k1, b1, k2, b2, kd, bd = map(torch.tensor, tiny_cnn.get_weights())
    parts = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 5, 3, padding=1), torch.nn.Linear(45, 3)
    order = kd.reshape(3, 3, 5, 3).permute(3, 2, 0, 1).reshape(3, 45)  # Keras flattens channels last
    weights = k1.permute(3, 2, 0, 1), k2.permute(3, 2, 0, 1), order
    for part, weight, bias in zip(parts, weights, (b1, b2, bd), strict=True):
        part.weight, part.bias = torch.nn.Parameter(weight.contiguous()), torch.nn.Parameter(bias)
    relu, rest = torch.nn.ReLU, (torch.nn.MaxPool2d(2), torch.nn.Flatten())
    theirs = torch.nn.Sequential(parts[0], relu(), parts[1], relu(), *rest, parts[2])
    images = np.random.default_rng(0).random((4, 6, 6, 3), "float32")
    return viz.Network(tiny_cnn), theirs, images, torch.tensor(images).permute(0, 3, 1, 2).contiguous()


def last(values):
    """Channels last, as an array."""
    return values.detach().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("unit", range(3))
def test_gradients(pair, unit):
    net, theirs, images, x = pair
    np.testing.assert_allclose(net.scores(images), theirs(x).detach(), atol=1e-5)
    for ours, method in (
        (viz.input_x_gradient(net, images, "scores", unit), attr.InputXGradient(theirs)),
        (viz.saliency(net, images, "scores", unit, "guided"), attr.GuidedBackprop(theirs)),
        (viz.saliency(net, images, "scores", unit, "deconvnet"), attr.Deconvolution(theirs)),
    ):
        np.testing.assert_allclose(ours, last(method.attribute(x.clone().requires_grad_(), target=unit)), atol=1e-5)


@pytest.mark.parametrize("unit", range(3))
def test_integrated_gradients(pair, unit):
    net, theirs, images, x = pair
    expected = attr.IntegratedGradients(theirs).attribute(x, 0.25 * torch.ones_like(x), target=unit, n_steps=40)
    ours = viz.integrated_gradients(net, images, "scores", unit, 0.25, steps=40, progress=False)
    np.testing.assert_allclose(ours, last(expected), atol=1e-5)


@pytest.mark.parametrize("unit", range(3))
def test_class_activation_maps(pair, unit):
    net, theirs, images, x = pair
    expected = attr.LayerGradCam(theirs, theirs[3]).attribute(x, target=unit, relu_attributions=True)
    np.testing.assert_allclose(viz.grad_cam(net, images, "scores", unit), last(expected)[..., 0], atol=1e-5)
    expected = attr.LayerGradCam(theirs, theirs[4]).attribute(x, target=unit, relu_attributions=True)
    expected = attr.LayerAttribution.interpolate(expected, (6, 6), "bilinear")
    np.testing.assert_allclose(viz.grad_cam(net, images, "scores", unit, "pool"), last(expected)[..., 0], atol=1e-5)


@pytest.mark.parametrize("unit", range(3))
def test_occlusion(pair, unit):
    net, theirs, images, x = pair
    expected = attr.Occlusion(theirs).attribute(x, (3, 2, 2), (3, 1, 1), torch.full_like(x, 0.5), target=unit)
    ours = viz.occlusion(net, images, "scores", unit, patch=2, stride=1, progress=False)
    np.testing.assert_allclose(ours, last(expected)[..., 0], atol=1e-5)


@pytest.mark.parametrize("unit", range(3))
def test_relevance(pair, unit):
    """Captum's rule α1β0 shares out among positive inputs, as all are here."""
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule

    net, theirs, images, x = pair
    for part in theirs:
        if hasattr(part, "weight"):
            part.rule = Alpha1_Beta0_Rule(set_bias_to_zero=True)
    theirs[5].rule = EpsilonRule()  # Captum knows none for Flatten
    expected = last(attr.LRP(theirs).attribute(x, target=unit)).sum(-1)
    np.testing.assert_allclose(viz.lrp(net, images, "scores", unit, "z_plus"), expected, rtol=1e-3, atol=1e-5)
