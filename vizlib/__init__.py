"""vizlib: what an image network has learned, shown in new images made from the statistics of its activations.

    import vizlib as viz

Importing it is immediate: what a name below needs is imported when the name is first used (PEP 562).
"""

import os
from importlib import import_module

__version__ = "0.2.0"

_ROOMS = {
    "attribution": [
        "grad_cam", "input_x_gradient", "integrated_gradients", "layer_cam", "lrp", "occlusion", "saliency",
        "shortcuts", "smooth_grad",
    ],
    "explorer": ["check_parameters", "explore"],
    "images": ["load_images"],
    "networks": ["Network", "check", "convert_vgg16", "load_network"],
    "realism": ["sweep"],
    "reporting": ["report"],
    "statistics": ["BootstrapMix", "ImageStatistics", "LocalGaussian", "PCAGaussian", "QuiltedGaussian"],
    "store": ["StatsStore", "collect"],
    "synthesis": [
        "chain", "deep_inversion", "maco", "olah", "recipe", "reconstruct", "rerun", "simonyan", "suppress", "vital",
        "walk",
    ],
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names}
_MODULES = {name: name for name in ("attribution", "partworld", "plots", "realism", "statistics")}
_MODULES |= {"terms": "synthesis.terms"}

# Read once, when TensorFlow is first imported, which leaves oneDNN off on older processors; see docs/backends.md.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__all__ = ["__version__", *_MODULES, *_HOMES]


def __getattr__(name):
    if name in _MODULES:
        return import_module(f"vizlib.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(import_module(f"vizlib.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vizlib' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
