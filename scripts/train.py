"""Rebuild the embedded networks in `data/` from PartWorld: `train.py [mini] [classifier] [parts] [--out folder]`."""

import argparse
import hashlib
import json
import os
import time
from functools import partial
from pathlib import Path
from zipfile import ZipFile

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from train_data import BATCH, Batches, class_target, part_target, world
from train_models import WIDTHS, classifier, focal_loss, folded, part_finder, vgg16

from vizlib import partworld
from vizlib.networks import vgg_preprocess
from vizlib.partworld.embedded import DATA
from vizlib.realism import find_parts, matches

UNUSED_VALUES = {"renorm": False, "renorm_momentum": 0.99}  # of the keys below, where it is not None
UNUSED = {"input_axes", "output_axes", "quantization_config", "renorm", "renorm_clipping", "renorm_momentum"}
TEST_SEED = 990_000  # of the scenes that no network has seen


def fit(model, batches, loss, rate, epochs):
    """The model, trained in place with AdamW, the rate warmed up and then let down on a cosine; without optimizer."""
    steps = epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps - steps // 20, warmup_target=rate,
                                                  warmup_steps=steps // 20)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), loss)
    model.fit(batches, epochs=epochs, shuffle=False, verbose=2)
    return keras.Model(model.inputs, model.outputs, name=model.name)


def train_mini(seed=1_000, per_class=600, epochs=7):
    """The embedded network; it takes what `vgg_preprocess` gives. Its pictures move, but keep colours and detail."""
    keras.utils.set_random_seed(seed)
    batches = Batches(world(per_class, seed), seed, class_target, vgg_preprocess, (16, 0.5, 1.15), "reflect", False)
    loss = ["categorical_crossentropy"] + ["mse"] * len(WIDTHS)
    return folded(fit(vgg16(True), batches, loss, 2e-3, epochs))


def train_classifier(seed=2_000, per_class=800, epochs=8):
    """The judge of classes."""
    keras.utils.set_random_seed(seed)
    batches = Batches(world(per_class, seed), seed, class_target, np.asarray, (8, 0.75, 1.2), "reflect")
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.05)
    return fit(classifier(), batches, loss, 3e-3, epochs)


def train_parts(seed=3_000, per_class=600, scattered=3_000, epochs=8):
    """The judge of parts."""
    keras.utils.set_random_seed(seed)
    batches = Batches(world(per_class, seed, scattered), seed, part_target, np.asarray, (6, 0.8, 1.2), "nearest")
    return fit(part_finder(), batches, focal_loss, 3e-3, epochs)


def accuracy(model, prepare):
    """The fraction of fresh scenes, as they were drawn, that get their class."""
    test = world(100, TEST_SEED)
    answers = model.predict(prepare(test.images / np.float32(255)), batch_size=BATCH, verbose=0).argmax(1)
    return f"accuracy {np.mean(answers == test.classes):.4f}"


def found(model):
    """The fraction of the parts in fresh scenes that are found, and of what is found that is there."""
    scenes = [scene for name in partworld.CLASSES for scene in partworld.scenes(name, 50, TEST_SEED)]
    answers = find_parts(np.stack([scene.image for scene in scenes]), model)
    seen, stray = [], []
    for parts, scene in zip(answers, scenes, strict=True):
        hits = {j for _, j in matches(parts, scene.parts)}
        seen += [j in hits for j in range(len(scene.parts))]
        stray += [j in hits for j, part in enumerate(scene.parts) if part.stray]
    precision = sum(seen) / sum(map(len, answers))
    return f"recall {np.mean(seen):.4f}, of stray parts {np.mean(stray):.4f}, precision {precision:.4f}"


def save(model, path):
    """Write the file whole or not at all, so that the oldest Keras that is allowed reads it too."""
    part = path.with_name(f"part-{path.name}")
    model.save(part)
    with ZipFile(part) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["config.json"] = json.dumps(older(json.loads(members["config.json"]))).encode()
    with ZipFile(part, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    part.replace(path)


def older(config):
    """A configuration without what Keras 3.9 does not know; none of it may be in use."""
    if isinstance(config, list):
        return [older(entry) for entry in config]
    if not isinstance(config, dict):
        return config
    used = {key: config[key] for key in UNUSED & set(config) if config[key] != UNUSED_VALUES.get(key)}
    if used:
        raise ValueError(f"expected a network that Keras 3.9 can read; received one that uses {used}.")
    return {key: older(value) for key, value in config.items() if key not in UNUSED}


def record(path, score, seconds):
    """Put the file's hash into SHA256SUMS and its line into the table of README.md, both in its folder."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    put(path.with_name("SHA256SUMS"), f"  {path.name}", f"{digest}  {path.name}")
    row = f"| `{path.name}` | {score} | {path.stat().st_size:,} | {seconds:.0f} | `{digest}` |"
    put(path.with_name("README.md"), f"| `{path.name}` |", row)


def put(path, key, line):
    """Put the line in the place of the one that holds the key, else at the end; write the file whole or not at all."""
    lines = path.read_text().splitlines() if path.exists() else []
    old = [i for i, text in enumerate(lines) if key in text] or [len(lines)]
    lines[old[0]:old[0] + 1] = [line]
    part = path.with_name(f"part-{path.name}")
    part.write_text("\n".join(lines) + "\n")
    part.replace(path)


JOBS = {"mini": ("mini.keras", train_mini, partial(accuracy, prepare=vgg_preprocess)),
        "classifier": ("judge_classifier.keras", train_classifier, partial(accuracy, prepare=np.asarray)),
        "parts": ("judge_parts.keras", train_parts, found)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(JOBS)}; all if none")
    parser.add_argument("--out", type=Path, default=DATA, help="folder for the files (default: data)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(JOBS):
        parser.error(f"expected names out of {', '.join(JOBS)}; received {', '.join(unknown)}")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or JOBS:
        file, train, measure = JOBS[name]
        start = time.monotonic()
        model = train()
        seconds, score = time.monotonic() - start, measure(model)
        save(model, options.out / file)
        record(options.out / file, score, seconds)
        print(f"{options.out / file}: {score}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
