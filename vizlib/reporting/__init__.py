"""What a network has learned of each class, as pages to read and to print."""

from vizlib.reporting.writing import report

__all__ = ["report"]
