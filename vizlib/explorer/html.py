"""Pictures on a page: HTML that reads in light and dark themes, by keyboard and aloud."""

import html
from base64 import b64encode
from typing import TYPE_CHECKING

import numpy as np

from vizlib.plots import png

if TYPE_CHECKING:
    import pandas as pd

EMPTY = "background: rgba(128, 128, 128, 0.15); border: 1px dashed rgba(128, 128, 128, 0.5); border-radius: 4px;"


def figure(
    images: np.ndarray, text: str, caption: str = "", nearest: np.ndarray | None = None, width: int = 400
) -> str:
    """Images, float32 (n, h, w, 3) in [0, 1], as a picture above a caption, of up to this width in pixels: HTML.

    text: what the picture shows, for those who do not see it. nearest: images that open below on a click.
    """
    more = "" if nearest is None else _details("nearest real images", picture(nearest, "Nearest real images", width))
    return f"<figure style='margin: 0'>{picture(images, text, width)}{_caption(caption)}{more}</figure>"


def empty(text: str, width: int = 400) -> str:
    """The place of a picture that is still to come: HTML."""
    style = f"{EMPTY} width: 100%; max-width: {width}px; aspect-ratio: 1"
    box = f"<div role='img' aria-label='{_escaped(text)}' style='{style}'></div>"
    return f"<figure style='margin: 0'>{box}{_caption('')}</figure>"


def picture(images: np.ndarray, text: str, width: int = 400) -> str:
    """Images as `figure` takes them, as a picture alone: HTML."""
    data, alt = b64encode(png(images, width)).decode(), _escaped(text)
    style = f"display: block; width: 100%; max-width: {width}px"
    return f"<img src='data:image/png;base64,{data}' alt='{alt}' title='{alt}' style='{style}'>"


def table(frame: "pd.DataFrame", caption: str) -> str:
    """Numbers, a row for each entry of the index, above a caption: HTML."""
    rows = frame.reset_index().to_html(index=False, float_format="{:.2f}".format)
    return f"<figure style='margin: 0'>{rows}{_caption(caption)}</figure>"


def _caption(text):
    return f"<figcaption style='min-height: 1.4em; line-height: 1.4'>{_escaped(text)}</figcaption>"


def _details(summary, content):
    return f"<details><summary style='cursor: pointer'>{_escaped(summary)}</summary>{content}</details>"


def _escaped(text):
    return html.escape(text, quote=True)
