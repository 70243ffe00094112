"""Networks: a Keras model as named layers, where models come from, and how files of anyone are read."""

from vizlib.networks.applications import standard_preprocess, vgg_preprocess
from vizlib.networks.convert import convert_vgg16
from vizlib.networks.loaders import imagenet_classes, load_network
from vizlib.networks.network import SCORES, Network
from vizlib.networks.recognition import check

__all__ = [
    "SCORES", "Network", "check", "convert_vgg16", "imagenet_classes", "load_network", "standard_preprocess",
    "vgg_preprocess",
]
