"""vizlib: what an image network has learned, shown in new images made from the statistics of its activations.

    import vizlib as viz

Importing it is immediate: what a name below needs is imported when the name is first used (PEP 562).
"""

import os
from importlib import import_module
from logging import getLogger
from sys import modules
from types import ModuleType

__version__ = "0.1.0"

_SUBMODULES = ("partworld", "plots", "realism", "statistics", "terms")

_HOMES = {
    "load_network": "loaders",
    "Network": "network",
    "convert_vgg16": "convert",
    "load_images": "images",
    "check_parameters": "parameters",
    "ImageStatistics": "statistics",
    "PCAGaussian": "statistics",
    "LocalGaussian": "statistics",
    "QuiltedGaussian": "statistics",
    "BootstrapMix": "statistics",
    "StatsStore": "store",
    "collect": "collect",
    "saliency": "saliency",
    "reconstruct": "methods",
    "suppress": "methods",
    "chain": "methods",
    "walk": "methods",
    "sweep": "sweep",
    "simonyan": "baselines",
    "olah": "baselines",
    "maco": "baselines",
    "recipe": "recipe",
    "rerun": "recipe",
    "explore": "explorer",
}

# Each set of layers is a function of its own, traced once, which TensorFlow takes for one that is traced over and over.
getLogger("tensorflow").addFilter(lambda record: "tf.function retracing" not in record.getMessage())

__all__ = ["__version__", *_SUBMODULES, *_HOMES]


def __getattr__(name):
    if name in _SUBMODULES:
        return _module(name)
    if name in _HOMES:
        return getattr(_module(_HOMES[name]), name)
    raise AttributeError(f"module 'vizlib' has no attribute {name!r}")


def _module(name):
    """Import a file of the package; what TensorFlow's libraries note as they load is not for the user of a notebook.

    They write it to file descriptor 2 whatever TF_CPP_MIN_LOG_LEVEL says; exceptions pass as ever.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in modules:
        return import_module(f"vizlib.{name}")
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        return import_module(f"vizlib.{name}")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def __dir__():
    return sorted(__all__)


class _Package(ModuleType):
    """The package, in which `saliency`, `collect` and `sweep` are functions and never the files they are written in.

    Python binds a submodule to its name in the package when it has been imported, whoever asked for it and
    in whatever order; this is the one place that all of those pass.
    """

    def __setattr__(self, name, value):
        if isinstance(value, ModuleType) and _HOMES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


modules[__name__].__class__ = _Package
