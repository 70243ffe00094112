"""Estimators of what images of a class have in common, with the contract of scikit-learn.

Samplers share one decomposition, `Snapshots`, and its state: each of `PCAGaussian`, `LocalGaussian`, `QuiltedGaussian`,
`QuiltedMontage`, `Montage` and `BootstrapMix` can be made of the state of any other. A draw is a `Mixture` of images.
"""

from vizlib.statistics.agreement import sampler_agreement
from vizlib.statistics.copula import GaussianCopula
from vizlib.statistics.counts import Counts
from vizlib.statistics.gaussian import PCAGaussian, pooled, relative_mahalanobis
from vizlib.statistics.image import (
    ImageStatistics,
    colour_composition,
    edge_sharpness,
    power_spectrum,
    total_variation,
)
from vizlib.statistics.marginals import Marginals
from vizlib.statistics.mixtures import BootstrapMix, LocalGaussian
from vizlib.statistics.moments import Moments
from vizlib.statistics.montage import Montage, Placed, side_by_side
from vizlib.statistics.pairs import LayerPair
from vizlib.statistics.patches import PatchBank
from vizlib.statistics.quilting import Analogies, QuiltedGaussian, QuiltedMontage, quilted
from vizlib.statistics.snapshots import Mixture, Snapshots
from vizlib.statistics.strongest import Strongest

__all__ = [
    "Analogies",
    "BootstrapMix",
    "Counts",
    "GaussianCopula",
    "ImageStatistics",
    "LayerPair",
    "LocalGaussian",
    "Marginals",
    "Mixture",
    "Moments",
    "Montage",
    "PCAGaussian",
    "PatchBank",
    "Placed",
    "QuiltedGaussian",
    "QuiltedMontage",
    "Snapshots",
    "Strongest",
    "colour_composition",
    "edge_sharpness",
    "pooled",
    "power_spectrum",
    "quilted",
    "relative_mahalanobis",
    "sampler_agreement",
    "side_by_side",
    "total_variation",
]
