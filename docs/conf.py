"""The site, for Sphinx: the repository as it is, its first page the README, and the API from the docstrings."""

import re

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from numpy.typing import ArrayLike
from sphinx.roles import XRefRole
from sphinx.util.logging import getLogger
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import stringify_annotation

import vizlib

project, release = "vizlib", vizlib.__version__
author = copyright = "The vizlib authors"
root_doc = "README"
include_patterns = ["*.md", "data/*.md", "docs/*.md", "docs/api/*.rst", "docs/gallery/*.md", "notebooks/*.ipynb"]
extensions = ["myst_nb", "sphinx.ext.autodoc"]
smartquotes = False  # what is quoted is mostly code

nb_execution_mode = "off"
nb_ipywidgets_js = {}  # which would come from the internet
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"  # which browsers draw by themselves

default_role = "py:name"
add_module_names = False
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True}

html_theme = "furo"
html_title = f"vizlib {release}"
html_static_path = html_css_files = ["style.css"]
html_copy_source = html_show_sourcelink = False

CONTENTS = """

```{toctree}
:hidden:
Start <self>
docs/gallery/README
```

```{toctree}
:hidden:
:caption: Notebooks
:glob:
notebooks/*
```

```{toctree}
:hidden:
:caption: In depth
:glob:
docs/networks
docs/images
docs/explorer
docs/attribution
docs/shortcuts
docs/terms
docs/realism
docs/layers
docs/*
data/README
```

```{toctree}
:hidden:
:caption: Reference
docs/api/index
docs/gallery/recipes
CHANGELOG
CONTRIBUTING
SECURITY
```
"""

REFERENCE = re.compile(r"(?:[A-Z]\w*|vizlib)(?:\.\w+)*")
EXPANDED = stringify_annotation(ArrayLike, "smart")
warn = getLogger(__name__).warning


def add_contents(app, name, source):
    """The README, as the first page, has the site's table of contents."""
    if name == root_doc:
        source[0] += CONTENTS


def as_text(app, kind, name, value, options, lines):
    """A docstring is text with names in backticks: nothing else in it means anything."""
    if lines and lines[0].startswith("Alias for field number"):  # which Python says of any named tuple
        lines.clear()
    if kind in ("function", "class") and not lines and value.__module__.startswith("vizlib"):
        warn(f"{name}: no docstring")
    escaped = (re.sub(r"[*|\\]|_\b", r"\\\g<0>", line) for line in lines)
    lines[:] = [re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", line) for line in escaped]  # `Part`s


def shorten(app, kind, name, value, options, arguments, returned):
    """What NumPy takes for an array is a page of types, and what a dataclass says of a new list is no Python."""
    return arguments and arguments.replace(EXPANDED, "ArrayLike").replace("<factory>", "..."), returned


def find(app, env, node, text):
    """What is meant by a name: a class or anything in it, a function or a module that ends in it, if that is one."""
    name, python, certain = node["reftarget"], env.domains.python_domain, REFERENCE.fullmatch(node["reftarget"])
    found = {x.node_id: x for _, x in python.find_obj(env, None, None, name, None, 1)}
    if node["reftype"] == "name" and certain and not found:
        warn(f"`{name}` is not there", location=node)
    known = [x for x in found.values() if certain or x.objtype in ("class", "function", "module")]
    if node["refdomain"] == "py" and len(known) == 1:
        return make_refnode(app.builder, node["refdoc"], known[0].docname, known[0].node_id, text)
    return None


def formula(page, node, block=False):
    unsized = re.sub(r"\\[bB]ig(?![a-z])", "", node.astext())  # brackets take the size of what is in them
    page.body.append(tex2mathml(unsized, block))
    raise SkipNode


def setup(app):
    app.add_role_to_domain("py", "name", XRefRole())
    app.add_html_math_renderer("mathml", (formula, None), (lambda page, node: formula(page, node, True), None))
    app.connect("source-read", add_contents)
    app.connect("autodoc-process-docstring", as_text)
    app.connect("autodoc-process-signature", shorten)
    app.connect("missing-reference", find)
