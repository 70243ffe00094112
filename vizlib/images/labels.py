"""Labels of pictures in a table beside them: CSV or JSON."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ENDINGS = ".csv", ".tsv", ".json"
MAX_BYTES = 100_000_000
LABELS = "label", "labels", "class", "class_name", "category", "target", "breed", "species"  # what columns are called


def labelled(table: Path, files: Sequence[Path]) -> tuple[dict[str, list[Path]], int]:
    """{class: those of the files that a table gives it, in its order}, and how many of its rows name no file.

    table: a CSV or TSV with a header, a JSON list of objects, or a JSON object of {file: class} or {class: files}. One
    column names files, with or without folders and endings; the class is in the only other one, or in one of `LABELS`.
    Nothing but `files` is looked at, whatever the table says. Raises ValueError for any other table.
    """
    if (size := table.stat().st_size) > MAX_BYTES:
        raise ValueError(f"expected labels, at most {MAX_BYTES} bytes; received {size} in {table}.")
    try:
        rows = _json_rows(table) if table.suffix.lower() == ".json" else _csv_rows(table)
    except (ValueError, csv.Error, RecursionError) as error:
        raise ValueError(f"expected a table of labels in {table}; received: {error}.") from error
    known = {file.stem: file for file in files} | {file.name: file for file in files}
    columns = list(dict.fromkeys(name for row in rows for name in row))
    found = {name: sum(_name(row.get(name)) in known for row in rows) for name in columns}
    of_files = max(columns, key=found.__getitem__, default=None)
    others = [name for name in columns if name != of_files]
    of_labels = others if len(others) == 1 else [name for name in others if str(name).lower() in LABELS]
    if not of_files or not found[of_files] or len(of_labels) != 1:
        received = ", ".join(f"{name!r} ({found[name]} of {len(rows)} are files)" for name in columns) or "nothing"
        wanted = f"one column of the names of files in {files[0].parent if files else table.parent} and one of labels"
        raise ValueError(f"expected {wanted} in {table}; received {received}.")
    classes: dict[str, list[Path]] = {}
    for row in rows:
        file = known.get(_name(row.get(of_files)))
        if file is not None and row.get(of_labels[0]) not in (None, ""):
            classes.setdefault(str(row[of_labels[0]]), []).append(file)
    classes = {name: list(dict.fromkeys(own)) for name, own in sorted(classes.items())}
    for file, times in Counter(file for own in classes.values() for file in own).items():
        if times > 1:
            raise ValueError(f"expected one class of each file in {table}; received {times} of {file.name!r}.")
    return classes, len(rows) - found[of_files]


def _csv_rows(table):
    with table.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        file.seek(0)
        return list(csv.DictReader(file, delimiter=max(",;\t", key=header.count)))


def _json_rows(table):
    content = json.loads(table.read_text("utf-8-sig"))
    if isinstance(content, dict):
        if all(isinstance(files, list) for files in content.values()):
            return [{"file": file, "label": label} for label, files in content.items() for file in files]
        return [{"file": file, "label": label} for file, label in content.items()]
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise ValueError("neither an object nor a list of objects")
    return content


def _name(entry):
    """The name of a file, without what folders a table puts before it."""
    return str(entry).replace("\\", "/").rsplit("/", 1)[-1]
