"""What in an image a neuron responds to."""

from vizlib.attribution.averages import integrated_gradients, smooth_grad
from vizlib.attribution.class_activation import grad_cam, layer_cam
from vizlib.attribution.gradients import RULES, input_x_gradient, saliency
from vizlib.attribution.occlusion import occlusion
from vizlib.attribution.relevance import lrp

__all__ = [
    "RULES", "grad_cam", "input_x_gradient", "integrated_gradients", "layer_cam", "lrp", "occlusion", "saliency",
    "smooth_grad",
]
