"""How realistic images are: judges that were never optimised against, and distances to real images."""

from vizlib.partworld.embedded import load_judge
from vizlib.partworld.finder import FoundPart, find_parts, matches
from vizlib.realism.judges import ClassJudge, PartJudge
from vizlib.realism.layers import LayerAnswer, sweep
from vizlib.realism.pixels import nearest_images
from vizlib.realism.similarity import SimilarityJudge
from vizlib.realism.table import compare, pixel_statistics
from vizlib.realism.wholes import WholeJudge

__all__ = [
    "ClassJudge",
    "FoundPart",
    "LayerAnswer",
    "PartJudge",
    "SimilarityJudge",
    "WholeJudge",
    "compare",
    "find_parts",
    "load_judge",
    "matches",
    "nearest_images",
    "pixel_statistics",
    "sweep",
]
