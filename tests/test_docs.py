"""The API reference: whole, and refused where docstrings are wrong."""

import inspect
from html.parser import HTMLParser

import pytest
from conftest import ROOT

import vizlib


class Docstrings(HTMLParser):
    """{id of an entry: text of its docstring} of a page that pdoc made."""

    def __init__(self, page):
        super().__init__()
        self.found, self.entry, self.depth = {}, None, 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag in ("section", "div") and "id" in attributes:
            self.entry = attributes["id"]
        if tag == "div" and (self.depth or attributes.get("class") == "docstring"):
            self.depth += 1

    def handle_endtag(self, tag):
        self.depth -= tag == "div" and self.depth > 0

    def handle_data(self, text):
        if self.depth:
            self.found[self.entry] = self.found.get(self.entry, "") + text


@pytest.fixture
def docs(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import docs

    return docs


def test_every_public_name_has_its_docstring_and_no_private_file_a_page(docs, tmp_path):
    docs.build(tmp_path)
    pages = {"vizlib.html", *(f"vizlib/{path.replace('.', '/')}.html" for path in vizlib._MODULES.values())}
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")} == {"index.html", *pages}
    package = (tmp_path / "vizlib.html").read_text("utf-8")
    assert all(f'id="{name}.__init__"' in package for name in ("Network", "StatsStore", "explore"))  # their arguments
    found = Docstrings(package).found
    for name in vizlib._HOMES:
        first = inspect.getdoc(getattr(vizlib, name)).splitlines()[0].replace("`", "")
        assert first in " ".join(found[name].split()), name
    found = Docstrings((tmp_path / "vizlib" / "statistics.html").read_text("utf-8")).found
    assert set(vizlib.statistics.__all__) < set(found)
    assert "n ≥ 2" in found["Snapshots.fit"] and "Snapshots._project" not in found


@pytest.mark.parametrize(
    ("docstring", "mistake"),
    [
        (None, "vizlib.collect: no docstring"),
        ("Into a `StatStore`.", "vizlib.collect: `StatStore` is not there"),
        ("See `Network.layer`.", "vizlib.collect: `Network.layer` is not there"),
        ("See `vizlib.plots.grid`.", "vizlib.collect: `vizlib.plots.grid` is not there"),
    ],
)
def test_a_missing_docstring_or_reference_is_an_error(docs, tmp_path, monkeypatch, docstring, mistake):
    monkeypatch.setattr(vizlib.collect, "__doc__", docstring)
    with pytest.raises(ValueError) as error:
        docs.build(tmp_path)
    assert str(error.value).splitlines()[1:] == [mistake]
    assert not any(tmp_path.iterdir())


def test_a_warning_of_pdoc_is_an_error(docs, tmp_path, monkeypatch):
    monkeypatch.setattr(vizlib.plots, "__all__", ["mosaics"], raising=False)
    with pytest.raises(UserWarning, match="Found 'mosaics' in vizlib.plots.__all__, but it does not resolve"):
        docs.build(tmp_path)
