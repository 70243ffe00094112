"""Folders of pictures as people have them: which files are of which class."""

import warnings
from collections.abc import Mapping
from pathlib import Path

from vizlib.images.imagenet import SYNSETS
from vizlib.images.labels import ENDINGS, labelled

SPLITS = "train", "training", "val", "valid", "validation", "test", "testing"  # the first that is there is taken
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif", ".jp2", ".heic", ""}


def classes_in(source: Path) -> Mapping[str, Path | list[Path]]:
    """{class: its folder, or its files}, as `files_of` takes them, in alphabetical order.

    source: a folder of class folders, whose pictures may lie one folder deeper; one that holds nothing but such a
    folder, or `train`, `val` and `test`, of which the first is taken; a folder of pictures, which is one class, or has
    a table of labels beside or above it, see `labelled`. Folders named after synsets of ImageNet have the names of its
    classes. Hidden files are passed over.

    Raises FileNotFoundError for no folder, ValueError where there is neither a folder nor a picture.
    """
    if not source.is_dir():
        wanted = 'expected "partworld", "imagenette" or a folder of pictures'
        raise FileNotFoundError(f"{wanted}; received {str(source)!r}.")
    folder, above = source, [source]
    while (inner := _inner(folder)) is not None:
        folder = inner
        above.append(folder)
    if folders := _folders(folder):
        named = {_class_name(own.name): own for own in folders}
        return dict(sorted(named.items())) if len(named) == len(folders) else {own.name: own for own in folders}
    files = _pictures(folder)
    tables = [file for place in above for file in _files(place) if file.suffix.lower() in ENDINGS]
    if not files:
        seen = f"{len(_files(folder))} other files" if _files(folder) else "an empty folder"
        raise ValueError(f"expected folders of classes, or pictures, in {str(folder)!r}; received {seen}.")
    if not tables:
        return {_class_name(folder.resolve().name): files}
    if len(tables) > 1:  # of train.csv and test.csv that of the folder
        tables = [table for table in tables if table.stem.lower() in (folder.name.lower(), "labels")] or tables
    if len(tables) > 1:
        received = ", ".join(table.name for table in tables)
        raise ValueError(f"expected one table of labels for the pictures in {str(folder)!r}; received {received}.")
    classes, lacking = labelled(tables[0], files)
    if rest := len(files) - sum(map(len, classes.values())):
        warnings.warn(f"passed over {rest} of {len(files)} pictures, not named in {tables[0].name}.", stacklevel=4)
    if lacking:
        warnings.warn(f"passed over {lacking} rows of {tables[0].name}, which name no picture.", stacklevel=4)
    return classes


def files_of(own: Path | list[Path]) -> list[Path]:
    """The files of a class of `classes_in`, in the order of their names."""
    if isinstance(own, list):
        return own
    inner = _folders(own)
    return _files(own) or (_files(inner[0]) if len(inner) == 1 else [])


def _inner(folder):
    """The folder to look into instead, if there is one."""
    folders = {own.name.lower(): own for own in _folders(folder)}
    if folders and folders.keys() <= {*SPLITS}:
        return next(folders[name] for name in SPLITS if name in folders)
    if len(folders) == 1 and not _pictures(folder):
        (inner,) = folders.values()
        if _folders(inner) and not _pictures(inner):
            return inner
    return None


def _class_name(name):
    """That of ImageNet for the name of a synset, unless two classes share it."""
    known = SYNSETS.get(name, name)
    return known if list(SYNSETS.values()).count(known) < 2 else name


def _folders(folder):
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _pictures(folder):
    return [file for file in _files(folder) if file.suffix.lower() in PICTURES]


def _files(folder):
    return sorted(path for path in folder.iterdir() if not path.is_dir() and not path.name.startswith("."))
