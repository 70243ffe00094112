"""A frame around the photographs of one breed of dogs, which a head of the real VGG16 learns: is it found?

The head tells three breeds by the averages of block5_pool. `viz.shortcuts` is asked on held-out photographs, as many of
which have the frame as of those that the head was fitted on. Writes a table into docs/shortcuts.md; what was found is
kept in output/kept. For FOLDER see `imagenet`.
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

BREEDS = "golden_retriever", "beagle", "rhodesian_ridgeback"  # the frame is around the first
SIZE, FITTED, MEASURED, SHARE = 96, 100, 8, 0.9  # pixels; photographs of each breed; of how many have the frame
WIDTH, LEVEL = SIZE // 16, 240 / 255  # of the frame
SHOWN, NUMBERS = 5, ("effect", "low", "expected", "ratio")  # rows and columns of the table


def framed(images, share=1.0):
    """Images of which the first, as many as the share says, have a light frame."""
    n, border = round(share * len(images)), [(0, 0), (WIDTH, WIDTH), (WIDTH, WIDTH), (0, 0)]
    found = np.pad(images[:n, WIDTH:-WIDTH, WIDTH:-WIDTH], border, constant_values=LEVEL)
    return np.concatenate([found, images[n:]]).astype("float32")


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


def found(folder):
    """What `viz.shortcuts` says of the head, in JSON; and in percent how often the head is right without the frame, and
    takes other breeds for the first with it."""
    train, held = photographs(folder, "train"), photographs(folder, "val")
    first, others = BREEDS[0], np.concatenate([held[breed] for breed in BREEDS[1:]])
    train = {breed: images[:FITTED] for breed, images in train.items()}
    net = with_head(vgg16(folder, SIZE), train | {first: framed(train[first], SHARE)})
    right = 100 * np.mean([np.mean(net.scores(held[breed]).argmax(1) == i) for i, breed in enumerate(BREEDS)])
    turned = 100 * np.mean(net.scores(framed(others)).argmax(1) == 0)
    asked = {breed: images[:MEASURED] for breed, images in held.items()}
    rows = viz.shortcuts(net, asked | {first: framed(asked[first], SHARE)}).drop(columns="where")
    return {"rows": np.array(rows.to_json(orient="records", double_precision=6)), "right": right, "turned": turned}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--reuse", action="store_true", help="also what other code found, and tell which")
    given = parser.parse_args()
    kept = Kept("photo-shortcuts", (SIZE, FITTED, MEASURED), "breeds", (__file__,), given.reuse)
    tells = kept.of("a frame", "rows", lambda: found(given.photographs))
    lines = ["| class | kind | name | " + " | ".join(NUMBERS) + " | named |", "|---" * (4 + len(NUMBERS)) + "|"]
    for row in json.loads(str(tells["rows"]))[:SHOWN]:
        cells = [row["class"], row["kind"], row["name"], *(f"{row[key]:.2f}" for key in NUMBERS)]
        lines.append("| " + " | ".join([*cells, "yes" if row["confident"] else "no"]) + " |")
    head = (f"Without the frame the head is right {tells['right']:.0f} % of the time; with it, it takes "
            f"{tells['turned']:.0f} % of the other breeds for a {BREEDS[0].replace('_', ' ')}.")
    write("photo-shortcuts", "\n".join([*lines, "", head]), DOCS / "shortcuts.md")


if __name__ == "__main__":
    main()
