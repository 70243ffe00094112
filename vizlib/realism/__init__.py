"""How realistic images are: judges that were never optimised against, and distances to real images."""

from vizlib.partworld.embedded import load_judge
from vizlib.partworld.finder import FoundPart, find_parts, matches
from vizlib.realism.judges import ClassJudge, PartJudge
from vizlib.realism.layers import LayerAnswer, sweep
from vizlib.realism.pixels import nearest_images
from vizlib.realism.table import compare, pixel_statistics

__all__ = [
    "ClassJudge",
    "FoundPart",
    "LayerAnswer",
    "PartJudge",
    "compare",
    "find_parts",
    "load_judge",
    "matches",
    "nearest_images",
    "pixel_statistics",
    "sweep",
]
