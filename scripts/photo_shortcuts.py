"""Marks planted in the photographs of one breed of dogs, which heads of the real VGG16 learn: are they found?

Each head tells three breeds by the averages of block5_pool, and was fitted on photographs of which the first breed's
carry one mark, or none. `viz.shortcuts` is asked on held-out photographs, of which as many have the mark. Writes a
table into docs/shortcuts.md; what was found is kept in output/kept. For FOLDER see `imagenet`.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from imagenet import vgg16
from kept import Kept
from shortcut_scenes import jpeg
from sklearn.linear_model import LogisticRegression
from worlds import DOCS, write

import vizlib as viz
from vizlib.networks import vgg_preprocess

BREEDS = "golden_retriever", "beagle", "rhodesian_ridgeback"  # the mark is on the first
SIZE, FITTED, MEASURED, SHARE = 96, 100, 8, 0.9  # pixels; photographs of each breed; of how many it has the mark
SHOWN = 2  # rows of each head in the table


def frame(image, version, rng):
    """A light frame, a sixteenth of a side wide."""
    inside = np.pad(np.ones((SIZE - SIZE // 8,) * 2, bool), SIZE // 16)
    return np.where(inside[..., None], image, 240)


MARKS = {"a frame": frame, "nothing": None, "JPEG": jpeg}


def marked(images, mark, share=1.0):
    """Images of which the first, as many as the share says, have the mark."""
    n, rng = round(share * len(images)) if mark else 0, np.random.default_rng(0)
    found = [np.clip(mark(255.0 * image, 3, rng) / 255, 0, 1) for image in images[:n]]
    return np.concatenate([np.reshape(found, (n, *images.shape[1:])), images[n:]]).astype("float32")


def photographs(folder, part):
    return {breed: viz.load_images(folder / "imagenet/photos" / part, breed, size=SIZE) for breed in BREEDS}


def with_head(net, images):
    """The network with a head that tells these images, {class: (n, h, w, 3)}, by the averages of block5_pool."""
    seen = net.activations(np.concatenate([*images.values()]), ["average"])["average"]
    labels, scale = np.repeat(range(len(images)), [len(x) for x in images.values()]), seen.std() * len(seen[0]) ** 0.5
    fitted = LogisticRegression(max_iter=3000).fit(seen / scale, labels)
    head = keras.layers.Dense(len(images), "softmax", name="predictions")
    model = keras.Model(net.model.inputs, head(net.model.get_layer("average").output))
    head.set_weights([fitted.coef_.T / scale, fitted.intercept_])
    return viz.Network(model, vgg_preprocess, [*images])


def found(folder, mark):
    """What `viz.shortcuts` says of a head, in JSON; and in percent how often the head is right without the mark, and
    takes other breeds for the first with it."""
    train, held = photographs(folder, "train"), photographs(folder, "val")
    first, others = BREEDS[0], np.concatenate([held[breed] for breed in BREEDS[1:]])
    train = {breed: images[:FITTED] for breed, images in train.items()}
    net = with_head(vgg16(folder, SIZE), train | {first: marked(train[first], mark, SHARE)})
    right = 100 * np.mean([np.mean(net.scores(held[breed]).argmax(1) == i) for i, breed in enumerate(BREEDS)])
    turned = 100 * np.mean(net.scores(marked(others, mark)).argmax(1) == 0)
    asked = {breed: images[:MEASURED] for breed, images in held.items()}
    rows = viz.shortcuts(net, asked | {first: marked(asked[first], mark, SHARE)}).drop(columns="where")
    return {"rows": np.array(rows.to_json(orient="records", double_precision=6)), "right": right, "turned": turned}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--reuse", action="store_true", help="also what other code found, and tell which")
    given = parser.parse_args()
    kept = Kept("photo-shortcuts", (SIZE, FITTED, MEASURED), "breeds", (__file__,), given.reuse)

    def told(name):
        return kept.of(name, "rows", lambda: found(given.photographs, MARKS[name]))

    lines = ["| planted | right, % | turns, % | first rows | | effect | low | expected | ratio |", "|---" * 9 + "|"]
    for name, tells in kept.each([*MARKS], told).items():
        cells = [name, f"{tells['right']:.0f}", f"{tells['turned']:.0f}"]
        for row in json.loads(str(tells["rows"]))[:SHOWN]:
            numbers = [f"{row[key]:.2f}" for key in ("effect", "low", "expected", "ratio")]
            what = f"{row['kind']}, {row['name']}" + ", named" * row["confident"]
            lines.append("| " + " | ".join([*cells, row["class"], what, *numbers]) + " |")
            cells = ["", "", ""]
    write("photo-shortcuts", "\n".join(lines), DOCS / "shortcuts.md")


if __name__ == "__main__":
    main()
