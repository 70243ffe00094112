"""The panel for Jupyter and Voilà, and what notebooks ask of it."""

from vizlib.explorer.comparison import METHODS, Comparison, compare_class
from vizlib.explorer.panel import Explorer, explore
from vizlib.explorer.parameters import check_parameters

__all__ = ["METHODS", "Comparison", "Explorer", "check_parameters", "compare_class", "explore"]
