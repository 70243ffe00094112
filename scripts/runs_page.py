"""The page that shows all runs of a notebook: a table of classes and layers, with the last figure of each."""

import base64
import io
from html import escape
from typing import NamedTuple

from PIL import Image

SIDE = 400  # pixels, at most, of a thumbnail

STYLE = """
:root { --ink: #1b1b1b; --paper: #fff; --line: #ccc; --link: #0645ad; --failed: #b00020; }
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ink: #e6e6e6; --paper: #161616; --line: #444; --link: #8ab4f8; --failed: #ff8a80; }
}
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color: var(--ink); background: var(--paper); }
a { color: var(--link); }
table { border-collapse: collapse; }
th, td { border: 1px solid var(--line); padding: .5rem; text-align: left; vertical-align: top; }
td { max-width: 26rem; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; background: #fff; }
.failed { color: var(--failed); }
@page { size: A4 landscape; margin: 12mm; }
@media print { body { margin: 0; } tr { break-inside: avoid; } }
"""


class Outcome(NamedTuple):
    """What is told of a run. picture: a PNG in base64 or None. seconds: None if unknown. failure: the error or None."""

    link: str
    picture: str | None
    seconds: float | None
    failure: str | None


def thumbnail(notebook):
    """The last figure of an executed notebook, made small: a PNG in base64, or None if there is no figure."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    if not pictures:
        return None
    picture = Image.open(io.BytesIO(base64.b64decode(pictures[-1])))
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def index_page(name, pairs, outcomes, parameters, version):
    """The page, as text. pairs: (class, layer) of all runs. outcomes: {(class, layer): `Outcome`} of those done."""
    classes, layers = dict.fromkeys(pair[0] for pair in pairs), dict.fromkeys(pair[1] for pair in pairs)
    head = "".join(f'<th scope="col">{escape(layer)}</th>' for layer in layers)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(class_name)}</th>'
        + "".join(f"<td>{_cell(name, class_name, layer, outcomes.get((class_name, layer)))}</td>" for layer in layers)
        + "</tr>"
        for class_name in classes
    )
    given = ", ".join(f"{key} = {value!r}" for key, value in parameters.items())
    seconds = sum(outcome.seconds or 0 for outcome in outcomes.values())
    failed = sum(outcome.failure is not None for outcome in outcomes.values())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Runs of {escape(name)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Runs of {escape(name)}</h1>
<p>{len(outcomes)} of {len(pairs)} runs, {failed} failed, {seconds:.0f} s in all, vizlib {escape(version)}.
Parameters: {escape(given) or "those of the notebook"}. Each picture is the last figure of its run.</p>
<table>
<thead><tr><th scope="col">class</th>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def _cell(name, class_name, layer, outcome):
    if outcome is None:
        return "not run yet"
    what = escape(f"{class_name} at {layer}")
    shown = f"{what}, without figures"
    if outcome.picture:
        shown = f'<img alt="{what}: the last figure of {escape(name)}" src="data:image/png;base64,{outcome.picture}">'
    lines = [f'<a href="{escape(outcome.link)}">{shown}</a>']
    if outcome.failure is not None:
        lines.append(f'<span class="failed">failed: {escape(_first_line(outcome.failure))}</span>')
    if outcome.seconds is not None:
        lines.append(f"{outcome.seconds:.0f} s")
    return "\n".join(lines)


def _first_line(text):
    return next(iter(text.splitlines()), "")
