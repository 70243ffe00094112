"""What the tests of the store put into it, and all that they take out again."""

from types import SimpleNamespace

import numpy as np

from vizlib.statistics import PCA, ImageStatistics, Moments
from vizlib.store.store import StatsStore

N = 40
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), "uint8")
VALUES = np.random.default_rng(1).standard_normal((N, 4, 5)).astype("float32")
NET = SimpleNamespace(
    fingerprint="f" * 64,
    identity={"weights": "a" * 64, "preprocessing": "b" * 64, "image_size": 8},
    model=SimpleNamespace(name="net"),
)


def fill(store, class_name="cat", layers=("image", "conv"), keep=False):
    """What `collect` does."""
    store.new_class(NET, class_name, N, "…")
    for layer in layers:
        if layer == "image":
            states, values = {"ImageStatistics": ImageStatistics().fit(IMAGES).state()}, IMAGES
        else:
            states = {"Moments": Moments().fit(VALUES).state(), "PCA": PCA(rectify=True).fit(VALUES).state()}
            values = VALUES if keep else None
        store.put(class_name, layer, states, {"n_images": N, "rectify": layer != "image"}, values)


def contents(path):
    """All that a store answers, by name, in arrays of bytes; and the order of classes and layers."""
    found = {}
    with StatsStore(path, "r") as store:
        for class_name in store.classes:
            found[class_name] = store.n_images(class_name)
            for layer, kept in store.collected(class_name).items():
                for estimator in ["ImageStatistics"] if layer == "image" else ["PCA", "Moments"]:
                    for name, value in store.model(class_name, layer, estimator).state().items():
                        found[class_name, layer, estimator, name] = np.asarray(value).tobytes()
                found[class_name, layer] = store.activations(class_name, layer).tobytes() if kept else None
    return found
