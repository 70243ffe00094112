"""A page of static HTML: headings, sentences, tables and figures, for screens, light and dark, and for paper."""

import html
from base64 import b64encode
from collections.abc import Iterable, Mapping
from io import BytesIO

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

STYLE = """
:root { --ink: #1b1b1b; --paper: #fff; --line: #ccc; --link: #0645ad; }
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ink: #e6e6e6; --paper: #161616; --line: #444; --link: #8ab4f8; }
}
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 62rem;
       color: var(--ink); background: var(--paper); }
a { color: var(--link); }
nav { margin-bottom: 1rem; }
figure { margin: 1rem 0; overflow-x: auto; break-inside: avoid; }
figcaption { font-size: .9rem; }
img { display: block; max-width: 100%; height: auto; background: #fff; }
.gallery { display: flex; flex-wrap: wrap; gap: 1rem; }
.gallery figure { margin: 0; width: 12rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; }
td { text-align: right; font-variant-numeric: tabular-nums; }
@page { size: A4; margin: 14mm; }
@media print { body { margin: 0; max-width: none; } nav { display: none; } h2 { break-after: avoid; } }
"""


def page(title: str, parts: Iterable[str], links: Mapping[str, str] = {}) -> str:
    """A page of parts, which are HTML. links: {text: address} above the title."""
    found = " · ".join(link(text, address) for text, address in links.items())
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escaped(title)}</title>'
    body = f"<nav>{found}</nav>" * bool(found) + f"<h1>{escaped(title)}</h1>\n" + "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>{body}</body></html>\n'


def section(title: str, *parts: str) -> str:
    """A heading and what is below it."""
    return f"<section><h2>{escaped(title)}</h2>\n" + "\n".join(parts) + "</section>"


def text(words: str) -> str:
    return f"<p>{escaped(words)}</p>"


def link(words: str, address: str) -> str:
    return f'<a href="{escaped(address)}">{escaped(words)}</a>'


def figure(drawn: Figure, words: str, caption: str = "") -> str:
    """A figure of matplotlib. words: what it shows, for those who do not see it; caption: below it."""
    with BytesIO() as file:
        drawn.savefig(file, format="png", dpi=1.5 * drawn.dpi, bbox_inches="tight")
        data = b64encode(file.getvalue()).decode()
    below = f"<figcaption>{escaped(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="data:image/png;base64,{data}" alt="{escaped(words)}">{below}</figure>'


def gallery(items: Iterable[tuple[str, str, str]]) -> str:
    """Small pictures side by side: (caption, address, PNG in base64) of each."""
    shown = (
        f'<figure><a href="{escaped(address)}"><img src="data:image/png;base64,{escaped(data)}" '
        f'alt="{escaped(caption)}"></a><figcaption>{escaped(caption)}</figcaption></figure>'
        for caption, address, data in items
    )
    return f'<div class="gallery">{"".join(shown)}</div>'


def table(frame: pd.DataFrame, links: Mapping[str, str] = {}) -> str:
    """A table; numbers with two places, "yes" and "no". links: {name of a row: address}."""
    rows = []
    for name, row in frame.iterrows():
        name = str(name)
        first = link(name, links[name]) if name in links else escaped(name)
        rows.append(f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{_cell(x)}</td>" for x in row) + "</tr>")
    heads = "".join(f'<th scope="col">{escaped(str(name))}</th>' for name in (frame.index.name or "", *frame.columns))
    return f'<div class="table"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _cell(value):
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if value != value else f"{value:.2f}"
    return escaped(str(value))


def escaped(words: str) -> str:
    return html.escape(words, quote=True)
