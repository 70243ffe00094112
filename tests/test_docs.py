"""The site: whole, without dead links or anything from the internet, and refused where docstrings are wrong."""

import inspect
import re
from html import unescape

import pytest
from conftest import ROOT

import docs
import vizlib

API = "-D", "root_doc=docs/api/index", "-D", "include_patterns=docs/api/*.rst"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    docs.build(folder)
    return folder / "html"


def text(path):
    return " ".join(unescape(re.sub("<[^>]*>", "", path.read_text("utf-8"))).split())


def test_each_document_is_a_page_and_the_readme_the_first(site):
    sources = [path for kind in ("*.md", "docs/*.md", "notebooks/*.ipynb") for path in ROOT.glob(kind)]
    assert len(sources) > 25
    for path in sources:
        assert (site / path.relative_to(ROOT)).with_suffix(".html").is_file(), path
    assert (site / "index.html").read_bytes() == (site / "README.html").read_bytes()
    assert "See what an image network has learned" in text(site / "index.html")


def test_every_public_name_is_in_the_api_with_its_docstring(site):
    pages = list((site / "docs" / "api").glob("*.html"))
    texts = {name: text(path) for path in pages for name in docs.page(path).names}
    public = {f"vizlib.{name}": getattr(vizlib, name) for name in vizlib._HOMES}
    public |= {f"vizlib.statistics.{name}": getattr(vizlib.statistics, name) for name in vizlib.statistics.__all__}
    for name, value in public.items():
        homes = name, f"vizlib.statistics.{value.__qualname__}", f"{value.__module__}.{value.__qualname__}"
        told = next(texts[home] for home in homes if home in texts)
        assert " ".join(inspect.getdoc(value).split("\n\n")[0].replace("`", "").split()) in told, name
    assert "n ≥ 2" in texts["vizlib.statistics.Snapshots"] and "Snapshots._project" not in texts


def test_formulas_are_drawn_without_scripts(site):
    page = (site / "notebooks" / "04_reconstruction.html").read_text("utf-8")
    assert "<msup>" in page and "$" not in re.sub(r"<pre.*?</pre>", "", text(site / "notebooks" / "01_gradients.html"))


def test_links_lead_somewhere_and_nothing_is_fetched(site):
    assert list(docs.mistakes(site)) == []


def test_mistakes_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">good</a> <a href="#here" id="here">good</a> <a href="https://example.org/x">good</a>'
        '<img src="data:image/png;base64,AA"> <a href="c.html">1</a> <a href="b.html#nowhere">2</a> <img src="c.png">'
        '<script src="https://example.org/x.js"></script> <link href="//example.org/x.css"> <a href="htps:x">6</a>'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1> <a href="sub/">7</a>')
    assert list(docs.mistakes(tmp_path)) == [
        "a.html: c.html is not there",
        "a.html: b.html#nowhere is not on the page",
        "a.html: c.png is not there",
        "a.html: https://example.org/x.js is fetched from elsewhere",
        "a.html: //example.org/x.css is fetched from elsewhere",
        "a.html: htps:x is no address",
        "b.html: sub/ is not there",
    ]


def test_missing_docstrings_and_references_are_errors(tmp_path, monkeypatch):
    docstrings = {
        "collect": None,
        "simonyan": "Into a `StatStore`.",
        "olah": "See `Network.layer`.",
        "maco": "See `vizlib.plots.grid`.",
        "vital": "(n, *shape) of `Result`s | `coordinates_` and coordinates_, as `.keras` and `any_word`",
    }
    for name, docstring in docstrings.items():
        monkeypatch.setattr(getattr(vizlib, name), "__doc__", docstring)
    with pytest.raises(ValueError) as error:
        docs.build(tmp_path, *API)
    assert re.findall(r"WARNING: (.*)", str(error.value)) == [
        "vizlib.collect: no docstring",
        "`StatStore` is not there",
        "`Network.layer` is not there",
        "`vizlib.plots.grid` is not there",
    ]
    assert "(n, *shape) of Results | coordinates_ and coordinates_, as .keras and any_word" in text(
        tmp_path / "html" / "docs" / "api" / "index.html"
    )
