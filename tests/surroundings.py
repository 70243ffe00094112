"""A program that does a little of everything and prints a hash of each result: `python surroundings.py FOLDER`.

Its machine may have another locale, time zone, home and clock, of which it sets the last back at each look.
"""

import hashlib
import io
import json
import locale
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import keras
import numpy as np

import vizlib as viz
from vizlib.store import files

NAMES = "金魚", "Größe/İstanbul", "plain"
FOLDERS = NAMES[0], "Iıiİ"
SECONDS = iter(range(10**9, 0, -3600))


class Clock(datetime):
    """One that goes back an hour at each look."""

    @classmethod
    def now(cls, zone=UTC):
        return datetime(2001, 1, 1, tzinfo=zone) - timedelta(seconds=10**9 - next(SECONDS))


def sha256(content):
    content = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
    return hashlib.sha256(content).hexdigest()


def network():
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(image)
    x = keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="conv2")(keras.layers.MaxPooling2D()(x))
    model = keras.Model(image, keras.layers.Dense(3, name="scores")(keras.layers.Flatten()(x)))
    rng = np.random.default_rng(0)
    model.set_weights([rng.standard_normal(w.shape).astype("float32") / 4 for w in model.get_weights()])
    return model


def everything(folder):
    """{what: hash}"""
    found = {}
    for i, name in enumerate(FOLDERS):
        (folder / "pictures" / name).mkdir(parents=True)
        for j, picture in enumerate(viz.load_images("partworld", "cat", 24, seed=i, size=16)):
            viz.images.save_image(folder / "pictures" / name / f"{j}.png", picture)
            os.utime(folder / "pictures" / name / f"{j}.png", (10**9 - j, 10**9 - j))
    found["classes"] = viz.images.class_names(folder / "pictures")
    images = viz.load_images(folder / "pictures", "金魚", 20, size=16)
    found["images"] = sha256(images)
    network().save(folder / "İ.keras")
    (folder / "İ.txt").write_text("\n".join(NAMES), "utf-8")
    net = viz.load_network(folder / "İ.keras")
    found["network"] = net.identity["weights"], net.classes
    store = viz.StatsStore(folder / "Statistik ş", net)
    for name in NAMES:
        viz.collect(store, images if name == NAMES[0] else images[::-1], name, ["conv1", "conv2"], progress=False)
    found["store"] = store.classes, [store.entries(name) for name in store.classes]
    draw = store.sample(NAMES[1], ["conv2", "conv1"], n=2)
    found["draw"] = {layer: sha256(values) for layer, values in draw.items()}
    result = viz.reconstruct(net, draw, statistics=store.model(NAMES[1], "image"), steps=4, progress=False)
    result.save(folder / "ğ.png")
    found["result"] = sha256(result.images), sha256((folder / "ğ.png").read_bytes())
    again = viz.rerun(viz.recipe(folder / "ğ.png"), net, store, progress=False)
    found["again"] = sha256(again.images), again.provenance == result.provenance
    found["saliency"] = sha256(viz.saliency(net, images[:2], "scores", NAMES[0]))
    figure = io.BytesIO()
    viz.plots.image_grid({NAMES[1]: result.images}).savefig(figure, format="png")
    found["figure"] = sha256(figure.getvalue())
    found["table"] = sha256(store.to_dataframe().drop(columns=["time", "MB"]).to_csv().encode())
    return found


if __name__ == "__main__":
    locale.setlocale(locale.LC_ALL, "")
    files.datetime, time.time = Clock, lambda: float(next(SECONDS))
    print(json.dumps(everything(Path(sys.argv[1]))))
