"""The report: a folder of pages, one for each class and an index, that goes on where it was stopped."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from vizlib import __version__, plots
from vizlib._files import quoted, written
from vizlib._progress import progress_bar
from vizlib.attribution import shortcuts
from vizlib.attribution.class_activation import last_map
from vizlib.attribution.interventions import FEWEST
from vizlib.images import class_names, load_images
from vizlib.networks import Network
from vizlib.networks.network import SCORES
from vizlib.reporting import sections
from vizlib.reporting.page import figure, gallery, page, section, table, text
from vizlib.store import StatsStore, collect

FRESH = 6  # of so many images one is kept from the statistics, to be asked about
TRIED = 16  # images of each class that shortcuts are looked for in, which has the network see each 950 times
STATISTICS, RECORD, INDEX = "statistics", "{}.json", "index.html"
TRIALS, TRIED_OF = "shortcuts.tried.json", "shortcuts"  # what shortcuts are told of all classes, and of each


def report(
    net: Network,
    source: str | PathLike,
    folder: str | PathLike,
    classes: Sequence[str] | None = None,
    n: int = 240,
    judge: Network | None = None,
    progress: bool = True,
) -> Path:
    """Write what a network has learned of each class as pages of static HTML, and return the path of their index.

    net: a network with class names. source: as `load_images` takes it. folder: where the pages go, and the statistics,
    in its folder `statistics`, and what was tried for shortcuts, in `shortcuts`. classes: names; None for all that
    network and source share. n: images of each class, of which five sixths are collected and the others asked about.
    judge: a network that says what it sees in new images; None for the embedded one, if the source is "partworld", or
    else the network itself.

    A page tells how many images are recognised and what the others are taken for; which channels tell the class from
    the others, and their strongest images; what in images, right and wrong, speaks for the class; new images of it, the
    baseline's, the nearest real ones, and what the judge says; what it shares with the class that it is mostly confused
    with; and what speaks for it that should not matter (`shortcuts`). The index has the table of all classes.

    A call that was stopped goes on with the classes that were not tried or whose pages are missing; what is of other
    images, weights or of another version is made anew. Raises ValueError for a network without class names, for fewer
    than two classes and for unknown ones, and for n < 12.
    """
    names = _names(net, source, classes)
    if n < 2 * FRESH:
        raise ValueError(f"expected n ≥ {2 * FRESH}; received {n}.")
    judge = judge or (_embedded_judge() if source == "partworld" else None)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    store, found = StatsStore(folder / STATISTICS, net), {}
    layer = last_map(net, SCORES)
    layers = [layer, *net.finer_layers(layer)]
    for name in progress_bar(names, "report: images", unit="class", disable=not progress):
        images = load_images(source, name, n, size=net.image_size, progress=False)
        fresh = max(2, len(images) // FRESH)
        collect(store, images[:-fresh], name, layers, progress=False)
        found[name] = sections.answers(net, images[-fresh:], name)
    key = _key(store, found, judge)
    records = {name: _read(folder / RECORD.format(quoted(name)), key) for name in names}
    missing = [name for name in names if records[name] is None]
    tried = _shortcuts(net, found, folder / TRIALS, key, progress) if missing else None
    for name in progress_bar(missing, "report: pages", unit="class", disable=not progress):
        records[name] = _write_class(folder, store, layer, found, name, judge, tried, key)
    with written(folder / INDEX) as part:
        part.write_text(_index(net, names, found, records), "utf-8")
    return folder / INDEX


def _names(net, source, classes):
    """The classes that there are pages of."""
    if not net.classes:
        raise ValueError("expected a network with class names (classes=); received one without.")
    known = [name for name in class_names(source) if name in net.classes]
    names = known if classes is None else list(dict.fromkeys(classes))
    if unknown := [name for name in names if name not in known]:
        listed = ", ".join(known) or "none"
        raise ValueError(f"expected classes that network and {source} share ({listed}); received {', '.join(unknown)}.")
    if len(names) < 2:
        raise ValueError(f"expected two classes or more that network and {source} share; received {names}.")
    return names


def _embedded_judge():
    from vizlib.partworld import CLASSES
    from vizlib.partworld.embedded import load_judge

    return Network(load_judge("classifier"), classes=CLASSES)


def _key(store, found, judge):
    """What the pages depend on: SHA-256."""
    images = [hashlib.sha256(np.ascontiguousarray(answer.images)).hexdigest() for answer in found.values()]
    shown = [store.images_sha256(name) for name in found]
    about = __version__, store.network.fingerprint, judge and judge.fingerprint, list(found), shown, images
    return hashlib.sha256(repr(about).encode()).hexdigest()


def _read(path, key):
    """What was kept under a key; None if there is nothing of this key."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return record["tells"] if isinstance(record, dict) and record.get("key") == key else None


def _shortcuts(net, found, path, key, progress):
    """What `shortcuts` says of all classes, kept in a file; None where there are too few classes or images."""
    images = {name: answer.images[:TRIED] for name, answer in found.items()}
    if len(images) < 3 or min(map(len, images.values())) < FEWEST:
        return None
    kept = _read(path, key)
    if kept is None:
        frame = shortcuts(net, images, progress, path.with_name(TRIED_OF))
        kept = json.loads(frame.to_json(orient="split", double_precision=15))
        _keep(path, key, kept)
    return pd.DataFrame(**kept)


def _keep(path, key, tells):
    with written(path) as part:
        part.write_text(json.dumps({"key": key, "tells": tells}), "utf-8")


def _write_class(folder, store, layer, found, name, judge, tried, key):
    """Write the page of a class, and then what the index tells of it."""
    net = store.network
    new, pictures = sections.samples(store, name, judge)
    parts = [
        sections.recognition(net, name, found[name]),
        sections.attention(net, name, found[name]),
        sections.beside_the_object(name, found[name].images[:TRIED], tried),
        sections.channels(store, name, layer),
        new,
    ]
    if len(found) > 2:  # of two classes, what one has more of the other has less of
        parts.append(sections.confusion(store, name, nearest(net, name, found), layer, found))
    address = f"{quoted(name)}.html"
    with written(folder / address) as part:
        part.write_text(page(name, parts, {"all classes": INDEX}), "utf-8")
    sure = [] if tried is None else tried[(tried["class"] == name) & tried.confident]["kind"].tolist()
    tells = {"page": address, "new": b64encode(plots.png(pictures)).decode(), "shortcut": next(iter(sure), "")}
    _keep(folder / RECORD.format(quoted(name)), key, tells)
    return tells


def nearest(net: Network, class_name: str, found: dict[str, sections.Answers]) -> str:
    """The other class that is confused most with a class, of those equal that which it has most probability of."""
    k, others = net.class_index(class_name), [name for name in found if name != class_name]

    def confused(other):
        j = net.class_index(other)
        mistaken = np.mean(found[class_name].seen == j) + np.mean(found[other].seen == k)
        return mistaken, found[class_name].probabilities[:, j].mean() + found[other].probabilities[:, k].mean()

    return max(others, key=confused)


def _index(net, names, found, records):
    """The page of all classes."""
    rows = {}
    for name in names:
        answer = found[name]
        others = pd.Series([net.classes[i] for i in answer.seen[~answer.right]]).value_counts()
        rows[name] = {
            "recognised, %": f"{100 * answer.right.mean():.0f}",
            "probability": float(answer.probability.mean()),
            "mostly confused with": others.index[0] if len(others) else "",
            "shortcut": records[name]["shortcut"],
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")
    links = {name: record["page"] for name, record in records.items()}
    asked, mean = sum(len(answer.right) for answer in found.values()), frame.probability.mean()
    told = (
        f"{net.model.name}, {len(net.classes)} classes. {asked} images of {len(names)} classes that were not collected "
        f"were asked about; the mean probability of their class is {mean:.2f}."
    )
    shown = [
        section("Classes", table(frame, links)),
        section("New images", gallery((name, record["page"], record["new"]) for name, record in records.items())),
        section("Confusions", _confusions(net, names, found)),
    ]
    return page("What the network has learned", [text(told), *shown])


def _confusions(net, names, found):
    """The figure of which classes are taken for which."""
    order = [net.class_index(name) for name in names]
    shares = np.array([[np.mean(found[name].seen == i) for i in order] for name in names])
    words = "Which share of the images of a class (row) is taken for which (column)"
    return figure(plots.confusions(shares, names), words, words + ".")
