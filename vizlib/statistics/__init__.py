"""Estimators of what images of a class have in common, with the contract of scikit-learn.

Samplers share one decomposition, `PCA`, and its state: each of `PCAGaussian`, `LocalGaussian`, `QuiltedGaussian`,
`BootstrapMix` and `ClusteredGaussian` can be made of the state of any other. `GaussianCopula` has a state of its own.
"""

from vizlib.statistics.agreement import sampler_agreement
from vizlib.statistics.copula import GaussianCopula
from vizlib.statistics.gaussian import PCAGaussian, pooled, relative_mahalanobis
from vizlib.statistics.image import (
    ImageStatistics,
    colour_composition,
    edge_sharpness,
    power_spectrum,
    total_variation,
)
from vizlib.statistics.moments import Moments
from vizlib.statistics.pairs import LayerPair
from vizlib.statistics.pca import PCA
from vizlib.statistics.quilting import QuiltedGaussian, QuiltedPair, quilted
from vizlib.statistics.samplers import BootstrapMix, ClusteredGaussian, LocalGaussian, drawn_together

__all__ = [
    "PCA",
    "BootstrapMix",
    "ClusteredGaussian",
    "GaussianCopula",
    "ImageStatistics",
    "LayerPair",
    "LocalGaussian",
    "Moments",
    "PCAGaussian",
    "QuiltedGaussian",
    "QuiltedPair",
    "colour_composition",
    "drawn_together",
    "edge_sharpness",
    "pooled",
    "power_spectrum",
    "quilted",
    "relative_mahalanobis",
    "sampler_agreement",
    "total_variation",
]
