"""Folders of pictures as people have them: what is taken for a class, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from vizlib.images import class_names, load_images, to_uint8


def put(path, value):
    """A picture of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value,) * 3).save(path, format="PNG")


def greys(source, class_name, **options):
    return to_uint8(load_images(source, class_name, size=8, **options))[:, 0, 0, 0].tolist()


LAYOUTS = {  # {picture: grey}; the class "cat" is 1 and 2, "dog" 3
    "class folders": {"cat/a.png": 1, "cat/b.png": 2, "dog/a.png": 3},
    "one folder above": {"archive/cat/a.png": 1, "archive/cat/b.png": 2, "archive/dog/a.png": 3},
    "splits": {"train/cat/a.png": 1, "train/cat/b.png": 2, "train/dog/a.png": 3, "val/cat/c.png": 9, "test/d.png": 8},
    "splits in a folder": {"set/Train/cat/a.png": 1, "set/Train/cat/b.png": 2, "set/Train/dog/a.png": 3,
                           "set/val/cat/c.png": 9},
    "pictures one folder deeper": {"cat/images/a.png": 1, "cat/images/b.png": 2, "dog/images/a.png": 3},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_class_folders(tmp_path, layout):
    for name, value in LAYOUTS[layout].items():
        put(tmp_path / name, value)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "readme.md").write_text("pictures")
    assert class_names(tmp_path) == ["cat", "dog"]
    assert greys(tmp_path, "cat") == [1, 2] and greys(tmp_path, "dog") == [3]


def test_the_other_splits_are_asked_for_by_their_folder(tmp_path):
    for name, value in LAYOUTS["splits"].items():
        put(tmp_path / name, value)
    assert greys(tmp_path / "val", "cat") == [9] and greys(tmp_path / "test", "test") == [8]


def test_a_flat_folder_is_one_class_of_its_name(tmp_path):
    put(tmp_path / "huskies/a.png", 5)
    put(tmp_path / "huskies/b", 6)
    (tmp_path / "huskies/notes.txt").write_text("no picture")
    assert class_names(tmp_path / "huskies") == ["huskies"] and greys(tmp_path / "huskies", "huskies") == [5, 6]


def test_synsets_answer_to_the_names_of_imagenet(tmp_path):
    for synset, value in (("n03028079", 1), ("n01440764", 2), ("n02012849", 3)):  # the last is one of two cranes
        put(tmp_path / synset / "a.png", value)
    assert class_names(tmp_path) == ["church", "n02012849", "tench"]
    assert greys(tmp_path, "church") == greys(tmp_path, "n03028079") == [1]
    assert greys(tmp_path, "n02012849") == [3]


def test_folders_of_one_name_keep_their_own(tmp_path):
    put(tmp_path / "n03028079/a.png", 1)
    put(tmp_path / "church/a.png", 2)
    assert greys(tmp_path, "n03028079") == [1] and greys(tmp_path, "church") == [2]


TABLES = {
    "labels.csv": "file,label\na.png,cat\nb.png,cat\nc.png,dog\n",
    "only two columns.csv": "picture;kind of animal\npath/to/a.png;cat\nb.png;cat\nc.png;dog\n",
    "no endings.csv": "\ufeffid,width,breed\na,8,cat\nb,8,cat\nc,8,dog\n",
    "tabs.tsv": "x\tclass\timage\n1\tcat\ta.png\n2\tcat\tb.png\n3\tdog\tfolder\\c.png\n",
    "of files.json": json.dumps({"a.png": "cat", "b.png": "cat", "c.png": "dog"}),
    "of classes.json": json.dumps({"cat": ["a.png", "b.png"], "dog": ["c.png"]}),
    "objects.json": json.dumps([{"file_name": f"{name}.png", "label": label, "n": i}
                                for i, (name, label) in enumerate(zip("abc", ("cat", "cat", "dog"), strict=True))]),
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("place", ["", "train"])
def test_a_table_of_labels_beside_or_above_the_pictures(tmp_path, table, place):
    for i, name in enumerate("abc", 1):
        put(tmp_path / place / f"{name}.png", i)
    (tmp_path / table).write_text(TABLES[table], "utf-8")
    assert class_names(tmp_path) == ["cat", "dog"]
    assert greys(tmp_path, "cat") == [1, 2] and greys(tmp_path, "dog") == [3]


def test_of_several_tables_that_of_the_folder_counts(tmp_path):
    put(tmp_path / "train/a.png", 1)
    put(tmp_path / "test/b.png", 2)
    (tmp_path / "train.csv").write_text("id,label\na,cat\n")
    (tmp_path / "sample_submission.csv").write_text("id,label\nb,dog\n")
    assert class_names(tmp_path) == ["cat"] and greys(tmp_path, "cat") == [1]
    (tmp_path / "train.csv").unlink()
    (tmp_path / "others.csv").write_text("id,label\nb,dog\n")
    with pytest.raises(ValueError, match="one table of labels .*; received others.csv, sample_submission.csv"):
        class_names(tmp_path)


def test_numbers_are_classes_too(tmp_path):
    put(tmp_path / "a.png", 1)
    (tmp_path / "labels.json").write_text('{"a.png": 7}')
    assert class_names(tmp_path) == ["7"]


def test_what_a_table_does_not_name_is_told(tmp_path):
    put(tmp_path / "a.png", 1)
    put(tmp_path / "b.png", 2)
    (tmp_path / "labels.csv").write_text("file,label\na.png,cat\nlost.png,cat\nlost too.png,dog\n")
    with pytest.warns(UserWarning) as caught:
        assert class_names(tmp_path) == ["cat"]
    assert sorted(str(warning.message) for warning in caught) == [
        "passed over 1 of 2 pictures, not named in labels.csv.",
        "passed over 2 rows of labels.csv, which name no picture.",
    ]


REFUSED = {
    "no column of files.csv": ("name,label\nx.png,cat\n", r"'name' \(0 of 1 are files\), 'label' \(0 of 1 are files\)"),
    "two columns of labels.csv": ("file,label,class\na.png,1,cat\n", "one of labels in .*received 'file'"),
    "no column of labels.csv": ("file,x,y\na.png,1,2\n", "one of labels in .*received 'file'"),
    "several classes.csv": ("file,label\na.png,cat\na.png,dog\n", "one class of each file .* received 2 of 'a.png'"),
    "nothing.csv": ("", "received nothing"),
    "broken.json": ("{", "expected a table of labels in .*broken.json; received"),
    "number.json": ("3", "neither an object nor a list of objects"),
    "deep.json": ("[" * 100_000, "expected a table of labels in .*deep.json; received"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_of_another_kind_is_refused(tmp_path, name):
    put(tmp_path / "a.png", 1)
    (tmp_path / name).write_text(REFUSED[name][0])
    with pytest.raises(ValueError, match=REFUSED[name][1]):
        class_names(tmp_path)


def test_a_table_reaches_nothing_outside_its_folder(tmp_path):
    put(tmp_path / "secret.png", 9)
    put(tmp_path / "pictures/a.png", 1)
    (tmp_path / "pictures/labels.csv").write_text("file,label\n../secret.png,cat\na.png,cat\n")
    with pytest.warns(UserWarning, match="passed over 1 rows"):
        assert greys(tmp_path / "pictures", "cat") == [1]


def test_a_table_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("vizlib.images.labels.MAX_BYTES", 5)
    put(tmp_path / "a.png", 1)
    (tmp_path / "labels.csv").write_text("file,label\na.png,cat\n")
    with pytest.raises(ValueError, match="at most 5 bytes; received 21"):
        class_names(tmp_path)


def test_a_folder_without_pictures_says_what_is_there(tmp_path):
    with pytest.raises(ValueError, match="or pictures, in .*; received an empty folder"):
        class_names(tmp_path)
    (tmp_path / "a.csv").touch()
    with pytest.raises(ValueError, match="or pictures, in .*; received 1 other files"):
        load_images(tmp_path, "cat")
    with pytest.raises(FileNotFoundError, match='expected "partworld", "imagenette" or a folder of pictures; received'):
        class_names(tmp_path / "nowhere")


def test_classes_are_in_alphabetical_order(tmp_path):
    for name in np.random.default_rng(0).permutation(list("abcdef")):
        put(tmp_path / name / "x.png", 1)
    assert class_names(tmp_path) == list("abcdef")
