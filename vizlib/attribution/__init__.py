"""What in an image a neuron responds to."""

from vizlib.attribution.gradients import RULES, saliency

__all__ = ["RULES", "saliency"]
