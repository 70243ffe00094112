"""Plant shortcuts in small networks, and see whether `viz.shortcuts` and its rivals find them.

Networks and what is found in them are kept in output/kept. The trial writes a table into docs/shortcuts.md and beside
it; settings were chosen on the networks of `shortcuts.py development` and of four trials before, `first`, `second`,
`third` and `fourth`. What decides is written here before it is run: in how many of twelve networks what was planted is
first of its class, as the report's page of that class lists it, and in how many without a mark nothing is named.
"""

import argparse
import json
import os
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pandas as pd
import shortcut_rivals
import shortcut_scenes
from kept import KEPT, Kept
from keras import layers
from shortcut_rivals import grad_cam, spray
from shortcut_scenes import MARKS, draw
from worlds import DOCS, write

import vizlib as viz
from vizlib.attribution.components import places
from vizlib.partworld import CLASSES

NETWORKS = KEPT / "shortcuts"
PARTS = "development", "first", "second", "third", "fourth", "trial"  # each with another version of every mark
SCENES, HELD_OUT, EPOCHS, BATCH = 60, 60, 12, 32
STRENGTHS = 1.0, 0.9, 0.8, 0.95, 0.85  # shares of the class's scenes that have it, in turn
LEARNED = 0.25  # what share of others' scenes a mark has to turn
TRIES = 1, 1, 5, 5, 5, 20  # sets of scenes and weights that are tried for it, in each part
MEASURED, FRESH = 32, 7_000  # scenes of each class that are looked at, of seeds that much above those of training
VISIBLE = 10  # levels, of 255, by which a pixel is other where a mark is
METHODS = {"shortcuts": viz.shortcuts, "Grad-CAM": grad_cam, "SpRAy": spray}
NAMED = {"Grad-CAM": 2.2, "SpRAy": 0.4}  # from which ratio on: above all of six development networks without a mark
PLACED = {"corner", "anywhere", "frame", "texture", "caption", "companion"}  # marks that have a place
PROPERTIES = {  # {mark: the rows that name it, of each version}
    "tint": len(PARTS) * ({("colour", "tint")},),
    "brightness": len(PARTS) * ({("colour", "brightness"), ("colour", "tones")},),
    "texture": ({("waves", f"waves of 2-4 px{way}") for way in ("", " at 45 degrees", " at 135 degrees")},
                {("waves", f"waves of 4-8 px{way}") for way in ("", " at 135 degrees")},
                {("waves", f"waves of 4-8 px{way}") for way in ("", " at 90 degrees")},
                {("waves", f"waves of 4-8 px{way}") for way in ("", " at 45 degrees")},
                {("waves", f"waves of 4-8 px{way}") for way in ("", " at 0 degrees")},
                {("waves", f"waves of 4-8 px{way}") for way in ("", " at 0 degrees", " at 90 degrees")}),
    "frequency": ({("waves", f"waves of 2-4 px{way}") for way in ("", " at 45 degrees")},
                  {("waves", f"waves of 2-4 px{way}") for way in ("", " at 135 degrees")},
                  {("waves", f"waves of 2-4 px{way}") for way in ("", " at 90 degrees")},
                  {("waves", f"waves of 2-4 px{way}") for way in ("", " at 0 degrees")},
                  {("waves", f"waves of 2-4 px{way}") for way in ("", " at 45 degrees")},
                  {("waves", f"waves of 2-4 px{way}") for way in ("", " at 0 degrees")}),
    "jpeg": len(PARTS) * ({("blocks", "blocks of 8 px")},),
    "pose": tuple({("pose", f"{turn} degrees {way}") for turn in (22.5, 45)}
                  for way in 3 * ("anticlockwise", "clockwise")),
    "position": tuple({("position", axis)}
                      for axis in ("horizontal", "horizontal", "vertical", "vertical", "horizontal", "vertical")),
}  # fmt: skip


class Case(NamedTuple):
    """A network to train: its classes, and in the first of them the mark."""

    name: str
    classes: tuple
    mark: str | None
    version: int
    strength: float
    seed: int


def cases(part):
    """Twelve networks with a mark, each in another class, and twelve without.

    In each part a mark is in another class and in another version, and scenes and weights are others.
    """
    version, found = PARTS.index(part), []
    for planted, steps in ((True, (5, 7, 11, 1, 7, 5)), (False, (11, 5, 7, 1, 5, 11))):
        for i, mark in enumerate(MARKS):
            first = i + (5, 0, 9, 3, 7, 10)[version] + (0 if planted else 2)
            classes = tuple(CLASSES[(first + steps[version] * j) % len(CLASSES)] for j in range(5))
            name, seed = f"{part}-{mark if planted else f'clean{i}'}", 10_000 * (1 + version) + 100 * planted + i
            strength = STRENGTHS[(i + 2 * version) % len(STRENGTHS)] if planted else 0.0
            found.append(Case(name, classes, mark if planted else None, version, strength, seed))
    return found


def scenes(case, n, seed):
    """Scenes of each class as the network was trained on, {class: uint8 (n, 64, 64, 3)}, and which are marked."""
    rates = [case.strength] + [0.0] * (len(case.classes) - 1)
    drawn = {c: draw(c, n, seed, case.mark, case.version, rate) for c, rate in zip(case.classes, rates, strict=True)}
    return {c: images for c, (images, _) in drawn.items()}, {c: marked for c, (_, marked) in drawn.items()}


def cnn(n_classes, flat):
    """Four convolutions, then a global average or what a 4 × 4 grid holds, and the scores."""
    x = image = keras.Input((64, 64, 3), name="image")
    x = layers.Rescaling(4, offset=-2)(image)
    for i, width in enumerate((16, 32, 64, 64), 1):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.MaxPooling2D(name=f"pool{i}")(x)
    x = layers.Flatten()(x) if flat else layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(image, layers.Dense(n_classes, activation="softmax", name="predictions")(x))


def train(case):
    """Train the network and keep it: the first of several that takes the mark for the class."""
    for again in range(TRIES[case.version]):
        model = trained(case, case.seed + 1000 * again)
        if case.mark is None or learned(case, viz.Network(model, classes=case.classes))["turned"] >= LEARNED:
            break
    keep(model, NETWORKS / f"{case.name}.keras")


def trained(case, seed):
    keras.utils.set_random_seed(seed)
    images, _ = scenes(case, SCENES, seed)
    x, y = np.concatenate(list(images.values())) / np.float32(255), np.repeat(range(len(images)), SCENES)
    model = cnn(len(images), flat=seed % 2 == 0)
    fit(model, x, y, EPOCHS)
    return model


def fit(model, images, known, epochs):
    """Train with a rate that falls on a cosine to nothing."""
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * len(images) // BATCH)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(images, known, batch_size=BATCH, epochs=epochs, verbose=0)


def keep(model, path):
    """Save a network under a name that it has only once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"part-{path.name}")
    model.save(part)
    part.replace(path)


def network(case):
    path = NETWORKS / f"{case.name}.keras"
    if not path.exists():
        train(case)
    return viz.Network(keras.models.load_model(path, compile=False), classes=case.classes)


def learned(case, net):
    """On fresh scenes without the mark: the accuracy of the other classes and of the class; and what share of the
    others' are taken for the class when the mark is planted in them."""
    first, *others = case.classes
    settings = HELD_OUT, case.seed + FRESH, case.mark, case.version
    right = [np.mean(net.scores(draw(c, *settings)[0]).argmax(1) == i) for i, c in enumerate(case.classes)]
    planted = np.concatenate([draw(c, *settings, 1.0)[0] for c in others])
    turned = np.mean(net.scores(planted).argmax(1) == 0) if case.mark else None
    return {"others_right": np.mean(right[1:]), "class_right": right[0], "turned": turned}


def measured(case):
    """A row for each method: which rank what was planted has, of all and of its class, and under which name; and what
    is first, with which ratio, and named or not.

    On held-out scenes, as many of them marked as of those that the network was trained on.
    """
    net, (images, marked) = network(case), scenes(case, MEASURED, case.seed + FRESH)
    known = {"network": case.name, "mark": case.mark or "", "planted": case.classes[0], "strength": case.strength}
    known |= learned(case, net)
    pixels, rows = marked_pixels(case), []
    for method, rank in METHODS.items():
        table = rank(net, images)
        table["right"] = [is_planted(case, row, pixels, marked[case.classes[0]]) for row in table.itertuples()]
        table["of_class"] = table.groupby("class").cumcount() + 1
        first, best = table.iloc[0], table[table["right"]].head(1)
        named = first["confident"] if method == "shortcuts" else first["ratio"] > NAMED[method]
        found = {"rank": None, "rank_of_class": None, "found_as": ""}
        for i, row in best.iterrows():
            found = {"rank": i + 1, "rank_of_class": row["of_class"], "found_as": f"{row['kind']} {row['name']}"}
        rows.append(known | {"method": method, **found, "first_class": first["class"],
                             **first[["kind", "name", "ratio"]], "named": bool(named)})
    return rows


def marked_pixels(case):
    """Where the mark is in the scenes of the class, boolean (n, 64, 64), if it has it: where one with it is another."""
    settings = case.classes[0], MEASURED, case.seed + FRESH, case.mark, case.version
    with_mark, without = (draw(*settings, rate)[0].astype(int) for rate in (case.strength, 0.0))
    return np.abs(with_mark - without).max(-1) > VISIBLE


def is_planted(case, row, pixels, marked):
    """Whether a row names what was planted: its property; or the place of a mark that has one.

    Of most marked images such a place holds half of the mark, and is at most a quarter of the image, or half of it is
    marked. Of a patch, those images count where it is.
    """
    if row[1] != case.classes[0] or case.mark is None:
        return False
    if row.kind not in ("place", "patch"):
        return (row.kind, row.name) in PROPERTIES.get(case.mark, len(PARTS) * ((),))[case.version]
    if case.mark not in PLACED:
        return False
    if row.kind == "patch":
        chosen, where = [i for i, *_ in row.where], np.stack([_mask(*box) for _, *box in row.where])
    else:
        chosen, where = slice(None), np.broadcast_to(places((64, 64))[row.name], pixels.shape)
    pixels, marked = pixels[chosen], marked[chosen]
    both = (pixels & where).sum((1, 2))
    holds = (both >= pixels.sum((1, 2)) / 2) & (where.mean((1, 2)) <= 1 / 4)
    return bool(np.mean((holds | (both >= where.sum((1, 2)) / 2)) & marked) > marked.mean() / 2)


def _mask(top, left, bottom, right):
    mask = np.zeros((64, 64), bool)
    mask[top:bottom, left:right] = True
    return mask


def report(frame):
    """The table of the trial, in Markdown."""
    lines = ["| planted | in | of its scenes, % | turns, % | " + " | ".join(METHODS) + " |",
             "|---" * (4 + len(METHODS)) + "|"]
    with_mark = frame[frame["mark"] != ""]
    for _, rows in with_mark.groupby("network", sort=False):
        one = rows.iloc[0]
        cells = [_cell(row) for row in rows.itertuples()]
        lines.append(f"| {one['mark']} | {one['planted']} | {100 * one['strength']:.0f} | {100 * one['turned']:.0f} | "
                     + " | ".join(cells) + " |")
    first, clean = with_mark[with_mark["rank"] == 1], frame[frame["mark"] == ""]
    of_class = with_mark[with_mark["rank_of_class"] == 1]
    for title, counts in {
        "**first**": first.groupby("method").size(),
        "**first of its class**": of_class.groupby("method").size(),
        "**first and named**": first.groupby("method")["named"].sum(),
        "**none named, without a mark**": (~clean["named"]).groupby(clean["method"]).sum(),
    }.items():
        lines.append(f"| {title} | | | | " + " | ".join(f"**{counts.get(m, 0)} of 12**" for m in METHODS) + " |")
    return "\n".join(lines)


def _cell(row):
    if row.rank == 1:
        return "first, named" if row.named else "first"
    rank = "no rank" if np.isnan(row.rank) else f"rank {row.rank:.0f}"
    return f"{rank}; first: {row.first_class}, {row.kind} {row.name}"


def figure():
    """Scenes with each mark, as networks of each part saw it."""
    rows = {}
    for part in PARTS:
        marked = [case for case in cases(part) if case.mark]
        drawn = [draw(case.classes[0], 1, case.seed, case.mark, case.version, 1.0)[0] for case in marked]
        rows[part] = np.concatenate(drawn)
    return viz.plots.image_grid(rows, list(MARKS))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", default="trial", choices=PARTS)
    parser.add_argument("--reuse", action="store_true", help="also what other code found, and tell which")
    given = parser.parse_args()
    asking = __file__, shortcut_rivals.__file__, shortcut_scenes.__file__
    kept = Kept(f"shortcuts-{given.part}", (MEASURED,), "ranked", asking, given.reuse)
    tried = {case.name: case for case in cases(given.part)}

    def found(name):
        return kept.of(name, "rows", lambda: {"rows": np.array(json.dumps(measured(tried[name]), default=float))})

    parts = kept.each([*tried], found).values()
    frame = pd.DataFrame([row for rows in parts for row in json.loads(str(rows["rows"]))])
    if given.part == "trial":
        figure().savefig(DOCS / "shortcuts.png", dpi=150)
        frame.round(4).to_csv(DOCS / "shortcuts.csv", index=False)
        write("shortcuts", report(frame), DOCS / "shortcuts.md")
    else:
        print(report(frame))


if __name__ == "__main__":
    main()
