"""The site: README, docs, notebooks as they were committed, and the API from the docstrings, in output/docs/html.

Whatever Sphinx warns of is an error, and so is a link to what is not there, or anything that would have to be fetched
from the internet to look at a page. Run it through `make docs`, which does the set-up.
"""

import os
import shutil
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.cmd.build import build_main

ROOT = Path(__file__).resolve().parent.parent
FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


def build(output, *options):
    """Write the site into a folder; options: of sphinx-build. Raises ValueError where Sphinx warns of something."""
    places = "-d", output / "doctrees", "-w", output / "warnings.txt", "-c", ROOT / "docs", ROOT, output / "html"
    output.mkdir(parents=True, exist_ok=True)
    if build_main([str(x) for x in ("-qNEW", *options, *places)]):
        raise ValueError(f"expected no warnings; received\n{(output / 'warnings.txt').read_text('utf-8')}")
    shutil.copy(output / "html" / "README.html", output / "html" / "index.html")


def mistakes(site):
    """The links of the pages in a folder that lead nowhere, and what would be fetched, a line each."""
    for path in sorted(site.rglob("*.html")):
        for tag, target in page(path).links:
            if wrong := mistake(path, tag, target):
                yield f"{path.relative_to(site)}: {target} {wrong}"


def mistake(path, tag, target):
    """What is wrong with a link on a page, if anything is."""
    url = urlsplit(target)
    if url.scheme == "data":
        return None
    if url.scheme or url.netloc:
        if tag in FETCHED:
            return "is fetched from elsewhere"
        return None if url.scheme in ("http", "https") and "." in url.netloc else "is no address"
    there = Path(os.path.normpath(path.parent / unquote(url.path))) if url.path else path
    if not there.is_file():
        return "is not there"
    known = not url.fragment or there.suffix != ".html" or unquote(url.fragment) in page(there).names
    return None if known else "is not on the page"


@cache
def page(path):
    return Page(path.read_text("utf-8"))


class Page(HTMLParser):
    """links: (tag, target) of a page, with what it fetches. names: of its places, as anchors have them."""

    def __init__(self, text):
        super().__init__()
        self.links, self.names = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.names.add(attributes.get("id"))
        if target := attributes.get({"a": "href", **FETCHED}.get(tag)):
            self.links.append((tag, target))


def main():
    output = ROOT / "output" / "docs"
    shutil.rmtree(output, ignore_errors=True)
    try:
        build(output)
    except ValueError as error:
        sys.exit(f"The site was not built: {error}")
    if wrong := list(mistakes(output / "html")):
        sys.exit("The site has dead links:\n" + "\n".join(wrong))
    print(f"The site: {output / 'html' / 'index.html'}")


if __name__ == "__main__":
    main()
