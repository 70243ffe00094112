"""What in an image a neuron responds to."""

from vizlib.attribution.averages import integrated_gradients, smooth_grad
from vizlib.attribution.channels import (
    StrongestImages,
    channels_at,
    receptive_fields,
    strongest,
    telling_channels,
)
from vizlib.attribution.class_activation import grad_cam, layer_cam
from vizlib.attribution.faithfulness import Curves, curves, sanity_check
from vizlib.attribution.gradients import RULES, input_x_gradient, saliency
from vizlib.attribution.interventions import shortcuts
from vizlib.attribution.perturbation import occlusion
from vizlib.attribution.relevance import lrp

__all__ = [
    "RULES", "Curves", "StrongestImages", "channels_at", "curves", "grad_cam", "input_x_gradient",
    "integrated_gradients", "layer_cam", "lrp", "occlusion", "receptive_fields", "saliency", "sanity_check",
    "shortcuts", "smooth_grad", "strongest", "telling_channels",
]
