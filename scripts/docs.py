"""The API reference, from the docstrings, in output/api: a page of the package and one of each public module.

Whatever pdoc warns of is an error, and so is a public function or class without a docstring, or a docstring that refers
in backticks to a class, or to anything of vizlib by its full name, that is not there. Run it through `make docs`, which
does the set-up.
"""

import inspect
import re
import sys
import warnings
from pathlib import Path

import pdoc

import vizlib

OUTPUT = Path(__file__).resolve().parent.parent / "output" / "api"
REFERENCE = re.compile(r"`((?:[A-Z]\w*|vizlib)(?:\.\w+)*)`")


def build(output):
    """Write the reference into a folder. Raises ValueError, listing them, for docstrings that are missing or wrong."""
    for name in vizlib.__all__:  # pdoc documents what is loaded, and a lazy name is not before it is used
        setattr(vizlib, name, getattr(vizlib, name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        public = [pdoc.doc.Module(module) for module in (vizlib, *(getattr(vizlib, n) for n in vizlib._MODULES))]
        for name, doc in public[0].members.items():
            if inspect.isclass(value := getattr(vizlib, name)):  # one under the name of a verb is a variable to pdoc
                public[0].members[name] = pdoc.doc.Class("vizlib", name, value, doc.taken_from)
        known = known_names()
        if wrong := sorted({line for page in public for line in mistakes(page, known)}):
            raise ValueError("expected docstrings that are there and true; received\n" + "\n".join(wrong))

        pdoc.render.configure(docformat="markdown", footer_text=f"vizlib {vizlib.__version__}")
        pages = {page.fullname: page for page in public}
        for name, page in pages.items():
            path = output / f"{name.replace('.', '/')}.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pdoc.render.html_module(page, pages), "utf-8")
        (output / "index.html").write_text(pdoc.render.html_index(pages), "utf-8")
        (output / "search.js").write_text(pdoc.render.search_index(pages), "utf-8")


def known_names():
    """What a docstring may refer to: everything in vizlib, by its name and by its full name."""
    loaded = [module for name, module in sorted(sys.modules.items()) if f"{name}.".startswith("vizlib.")]
    everything = [doc for module in loaded for doc in documented(pdoc.doc.Module(module))]
    return {name for doc in everything for name in (doc.qualname, doc.fullname)}


def documented(doc):
    """A module or class with everything public in it, however deep."""
    yield doc
    for name, member in doc.members.items() if isinstance(doc, pdoc.doc.Namespace) else ():
        if not name.startswith("_"):
            yield from documented(member)


def mistakes(page, known):
    """What is wrong with the docstrings of a page, a line each."""
    for doc in documented(page):
        if doc.kind in ("function", "class") and "." not in doc.qualname and not doc.docstring:
            yield f"{doc.fullname}: no docstring"
        for reference in REFERENCE.findall(doc.docstring):
            if reference not in known:
                yield f"{doc.fullname}: `{reference}` is not there"


def main():
    try:
        build(OUTPUT)
    except (ValueError, Warning) as error:
        sys.exit(f"The API reference was not built: {error}")
    print(f"API reference: {OUTPUT / 'index.html'}")


if __name__ == "__main__":
    main()
