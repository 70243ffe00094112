"""The report: what it says, that it goes on where it was stopped, and that pages stand alone."""

import re
from functools import partial
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import vizlib as viz
from vizlib.reporting import page, sections, writing

CLASSES = ["face", "cat", "car"]
VOID = {"meta", "img", "br"}


@pytest.fixture(scope="module")
def made(mini, tmp_path_factory):
    """A report of three classes, in a few steps, and the folder it is in."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "STEPS", 2)
        return folder, viz.report(mini, "partworld", folder, CLASSES, n=24, progress=False)


class Page(HTMLParser):
    """The text of a page, its links and pictures; unbalanced tags are an error."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.pictures, self.text = [], [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes["href"]] if tag == "a" else []
        self.pictures += [(attributes["src"], attributes["alt"])] if tag == "img" else []
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_pages_stand_alone(made):
    folder, index = made
    for path in folder.glob("*.html"):
        found = Page(path.read_text("utf-8"))
        assert all((folder / link).is_file() for link in found.links)
        assert found.pictures and all(src.startswith("data:image/png;base64,") and alt for src, alt in found.pictures)
    assert set(Page(index.read_text("utf-8")).links) == {"face.html", "cat.html", "car.html"}


def test_what_two_classes_share_is_told_where_there_are_others(made):
    folder, _ = made
    text = Page((folder / "face.html").read_text("utf-8")).text
    assert re.search(r"What it shares with (cat|car)", text) and "takes 8 images of three classes" in text


def test_recognition_is_that_of_images_that_were_not_collected(made, mini):
    folder, _ = made
    for name in CLASSES:
        images = viz.load_images("partworld", name, 24)
        assert viz.StatsStore(folder / "statistics", mini).n_images(name) == 20
        scores = mini.scores(images[-4:])
        right = int((scores.argmax(axis=1) == mini.class_index(name)).sum())
        probability = np.exp(mini.log_probabilities(scores))[:, mini.class_index(name)].mean()
        told = f"{right} of 4 images that were not collected are recognised; the class has a mean probability of "
        assert told + f"{probability:.2f}" in Page((folder / f"{name}.html").read_text("utf-8")).text


def test_what_is_missed_is_told(mini):
    """Faces that are called cats: all are missed, and taken for faces."""
    found = sections.answers(mini, viz.load_images("partworld", "face", 4), "cat")
    told = Page(sections.recognition(mini, "cat", found)).text
    assert "0 of 4" in told and re.search("face *4", told)
    told = Page(sections.attention(mini, "cat", found))
    assert "None of them is recognised." in told.text and "Images of cat that are missed" in told.pictures[0][1]


def test_what_is_there_is_left_and_what_has_changed_is_not(made, mini, monkeypatch):
    folder, index = made
    before = {path: path.stat().st_mtime_ns for path in folder.glob("[fc]a*.*")}
    monkeypatch.setattr(sections, "samples", None)  # nothing is drawn
    assert viz.report(mini, "partworld", folder, CLASSES, n=24, progress=False) == index
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("[fc]a*.*")} and len(before) == 6
    (folder / "cat.json").write_text("{}")
    with pytest.raises(TypeError):  # now there is something to draw
        viz.report(mini, "partworld", folder, CLASSES, n=24, progress=False)


def test_a_report_that_was_stopped_goes_on(mini, tmp_path, monkeypatch):
    drawn = []

    def samples(store, name, judge):
        drawn.append(name)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return page.text("new"), np.zeros((4, 8, 8, 3), "float32")

    monkeypatch.setattr(sections, "samples", samples)
    with pytest.raises(KeyboardInterrupt):
        viz.report(mini, "partworld", tmp_path, CLASSES, n=12, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"statistics", "face.html", "face.json"}
    viz.report(mini, "partworld", tmp_path, CLASSES, n=12, progress=False)
    assert drawn == ["face", "cat", "cat", "car"] and (tmp_path / "index.html").is_file()


def test_a_shortcut_is_told_and_its_place_framed():
    columns = ["class", "kind", "name", "effect", "low", "high", "expected", "ratio", "turned", "confident", "where"]
    rows = [
        ("cat", "patch", "what is anywhere", 0.9, 0.8, 1.0, 0.1, 4.0, 0.75, True, [(1, 0, 0, 4, 4), (3, 2, 2, 6, 6)]),
        ("cat", "position", "vertical", 0.7, 0.6, 0.8, 0.1, 2.5, 0.5, True, [(0, 4, 4, 6, 6)]),
        ("cat", "frame", "place", 0.6, 0.5, 0.7, 0.1, 2.0, 0.5, True, ()),
        ("cat", "colour", "tint", 0.1, 0.0, 0.2, 0.1, 0.5, 0.0, False, ()),
        ("face", "colour", "tint", 0.1, 0.0, 0.2, 0.1, 0.5, 0.0, False, ()),
    ]
    found = pd.DataFrame(rows, columns=columns)
    blank = np.zeros((4, 8, 8, 3))
    told = Page(sections.beside_the_object("cat", blank, found))
    assert "With it the network takes 75 % of the images of other classes for cat." in told.text
    assert len(told.pictures) == 2 and "yes" in told.text and "0.90" in told.text
    assert "carries the class on its own: position, vertical." in told.text
    told = Page(sections.beside_the_object("face", blank, found))
    assert "Nothing was found" in told.text and not told.pictures and "yes" not in told.text


@pytest.mark.parametrize(("classes", "images", "tried"), [(2, 8, False), (3, 7, False), (3, 8, True), (3, 20, True)])
def test_shortcuts_are_looked_for_once_where_there_are_enough_images(monkeypatch, tmp_path, classes, images, tried):
    asked = []
    frame = pd.DataFrame({"class": ["a"], "ratio": [1 / 3], "confident": [True], "where": [((0, 1, 2, 3, 4),)]})

    def shortcuts(net, images, progress, folder):
        assert folder == tmp_path / "shortcuts"
        asked.append([*map(len, images.values())])
        return frame

    monkeypatch.setattr(writing, "shortcuts", shortcuts)
    answer = sections.Answers(np.zeros((images, 4, 4, 3)), None, None, None, None)
    asking = None, dict.fromkeys(range(classes), answer), tmp_path / "kept.json"
    for key, times in (("a", 1), ("a", 1), ("b", 2)):
        found = writing._shortcuts(*asking, key, False)
        assert asked == [[min(images, writing.TRIED)] * classes] * times * tried
        if tried:
            pd.testing.assert_frame_equal(found.drop(columns="where"), frame.drop(columns="where"))
            assert found["where"].tolist() == [[[0, 1, 2, 3, 4]]]


def test_of_sigmoids_those_above_a_half_are_recognised():
    """A second class with a higher probability takes nothing from the first."""
    scores = np.array([[1.0, 2.0, -1.0], [-1.0, -3.0, -2.0], [-1.0, -2.0, 3.0]])
    for sigmoid, right, seen in ((True, [True, False, False], [0, 2, 2]), (False, [False, True, False], [1, 0, 2])):
        net = SimpleNamespace(
            scores=lambda images: scores, is_sigmoid=sigmoid, class_index=lambda name: 0, log_probabilities=lambda s: s
        )
        net.recognised = partial(viz.Network.recognised, net)
        found = sections.answers(net, None, "a")
        assert found.right.tolist() == right and found.seen.tolist() == seen
        np.testing.assert_array_equal(found.probability, np.exp(scores[:, 0]))


def test_the_class_that_is_confused_most(mini):
    """Of equal mistakes the probabilities decide."""
    k = [mini.class_index(name) for name in ("face", "cat", "car")]

    def answer(seen, probable):
        return sections.Answers(None, None, np.array(seen), np.eye(12)[probable][None] * 0.5, None)

    found = {"face": answer([k[0], k[0]], k[2]), "cat": answer([k[1]], k[1]), "car": answer([k[2]], k[2])}
    assert writing.nearest(mini, "face", found) == "car"
    found["cat"] = answer([k[0]], k[1])
    assert writing.nearest(mini, "face", found) == "cat"


@pytest.mark.parametrize(
    ("classes", "n", "message"),
    [
        (["face", "unicorn"], 24, "classes that network and partworld share .*received unicorn"),
        (["face"], 24, r"two classes or more .*received \['face'\]"),
        (None, 11, "expected n ≥ 12; received 11"),
    ],
)
def test_wrong_questions_are_refused(mini, tmp_path, classes, n, message):
    with pytest.raises(ValueError, match=message):
        viz.report(mini, "partworld", tmp_path / "none", classes, n)
    assert not (tmp_path / "none").exists()


def test_names_are_escaped_and_numbers_short():
    frame = pd.DataFrame({"a<b": [0.123, np.nan]}, index=["<i>", "x"])
    found = page.page("<b>", [page.table(frame, {"<i>": "a&b.html"}), page.section("&", page.text("1 < 2"))])
    assert "<b>" not in found and "<i>" not in found
    assert Page(found).links == ["a&b.html"] and "0.12" in found and "nan" not in found
