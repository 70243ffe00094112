"""A stamp planted in the photographs of one class that a head of the real VGG16 learns: is it found?

Two heads of four classes are fitted on the averages of block5_pool, one on photographs of which the first class's carry
a stamp in a corner, one on the same without. `viz.shortcuts` is asked on held-out photographs, of which as many have
the stamp. Writes a table into docs/shortcuts.md; what was found is kept in output/kept. For FOLDER see `imagenet`.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from imagenet import vgg16
from kept import Kept
from sklearn.linear_model import LogisticRegression
from worlds import DOCS, write

import vizlib as viz
from vizlib.networks import vgg_preprocess

CLASSES = "golden_retriever", "church", "parachute", "garbage_truck"  # the stamp is on the first
SIZE, LEARNED, MEASURED, SHARE = 128, 150, 10, 0.9  # pixels; photographs of each class; of how many it has the stamp
HEADS = {"in 90 %": SHARE, "in none": 0.0}
SHOWN = 3  # rows of each head in the table


def stamped(images, share=1.0):
    """Images with a white square and a red cross in it in the lower right corner, an eighth of a side large: the first
    of them, as many as the share says."""
    images, n = images.copy(), round(share * len(images))
    side = SIZE // 8
    stamp, near = np.ones((side, side, 3), "float32"), np.eye(side, dtype=bool)
    near = near | np.roll(near, 1, axis=1)
    stamp[near | near[:, ::-1]] = 0.8, 0.1, 0.1
    images[:n, -side - 3 : -3, -side - 3 : -3] = stamp
    return images


def photographs(folder, part, n):
    return {c: viz.load_images(folder / "imagenet/photos" / part, c, size=SIZE)[:n] for c in CLASSES}


def with_head(net, images):
    """The network with a head that tells these images, {class: (n, h, w, 3)}, by the averages of block5_pool."""
    seen = net.activations(np.concatenate([*images.values()]), ["average"])["average"]
    labels, scale = np.repeat(range(len(images)), [len(x) for x in images.values()]), seen.std() * len(seen[0]) ** 0.5
    fitted = LogisticRegression(max_iter=1000).fit(seen / scale, labels)
    average = net.model.get_layer("average").output
    head = keras.layers.Dense(len(images), "softmax", name="predictions")
    model = keras.Model(net.model.inputs, head(average))
    head.set_weights([fitted.coef_.T / scale, fitted.intercept_])
    return viz.Network(model, vgg_preprocess, [*images])


def found(folder, share):
    """What `viz.shortcuts` says of a head, in JSON: its first rows, and how well the head does."""
    net, (first, *others) = vgg16(folder, SIZE), CLASSES
    train, held = photographs(folder, "train", LEARNED), photographs(folder, "val", None)
    head = with_head(net, train | {first: stamped(train[first], share)})
    right = np.mean([np.mean(head.scores(held[c]).argmax(1) == i) for i, c in enumerate(CLASSES)])
    turned = np.mean(head.scores(stamped(np.concatenate([held[c] for c in others]))).argmax(1) == 0)
    asked = {c: x[:MEASURED] for c, x in held.items()}
    frame = viz.shortcuts(head, asked | {first: stamped(asked[first], share)})
    return {"rows": np.array(frame.drop(columns="where").to_json(orient="records", double_precision=6)),
            "right": right, "turned": turned}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--reuse", action="store_true", help="also what other code found, and tell which")
    given = parser.parse_args()
    kept = Kept("photo-shortcuts", (SIZE, LEARNED, MEASURED), "heads", (__file__,), given.reuse)

    def told(name):
        return kept.of(name, "rows", lambda: found(given.photographs, HEADS[name]))

    lines = ["| stamp | right, % | turns, % | class | first rows | effect | low | expected | ratio |", "|---" * 9 + "|"]
    for name, tells in kept.each([*HEADS], told).items():
        cells = [name, *(f"{100 * tells[key]:.0f}" for key in ("right", "turned"))]
        for row in json.loads(str(tells["rows"]))[:SHOWN]:
            numbers = [f"{row[key]:.2f}" for key in ("effect", "low", "expected", "ratio")]
            what = f"{row['kind']} {row['name']}" + ", named" * row["confident"]
            lines.append("| " + " | ".join([*cells, row["class"], what, *numbers]) + " |")
            cells = ["", "", ""]
    write("photo-shortcuts", "\n".join(lines), DOCS / "shortcuts.md")


if __name__ == "__main__":
    main()
