"""Images that are made: canvases, transforms, terms, the one loop, and the methods that are lists of terms."""

from vizlib.synthesis import terms
from vizlib.synthesis.baselines import deep_inversion, maco, olah, simonyan, vital
from vizlib.synthesis.canvases import Cosine, Phase, Pixels, Unbounded
from vizlib.synthesis.loop import Result, optimize
from vizlib.synthesis.methods import Chain, Suppression, chain, find_outliers, reconstruct, suppress, walk
from vizlib.synthesis.recipes import recipe, rerun
from vizlib.synthesis.rules import adam, gradient_descent, nadam
from vizlib.synthesis.transforms import Camera, Jitter

__all__ = [
    "Camera",
    "Chain",
    "Cosine",
    "Jitter",
    "Phase",
    "Pixels",
    "Result",
    "Suppression",
    "Unbounded",
    "adam",
    "chain",
    "deep_inversion",
    "find_outliers",
    "gradient_descent",
    "maco",
    "nadam",
    "olah",
    "optimize",
    "recipe",
    "reconstruct",
    "rerun",
    "simonyan",
    "suppress",
    "terms",
    "vital",
    "walk",
]
