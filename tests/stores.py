"""What the tests of the store put into it, and all that they take out again."""

import numpy as np
from linear import Linear

from vizlib.statistics import Marginals, Moments, Snapshots, Strongest
from vizlib.store import StatsStore, files

N = 40
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 6, 6, 3), "uint8")
VALUES = np.random.default_rng(1).standard_normal((N, 4, 5, 3)).astype("float32")
ESTIMATORS = ("Snapshots", "Moments", "Marginals", "Strongest")


class Net(Linear):
    """A network with a layer "conv" that answers `VALUES`, and "near" and "far"."""

    layers = ("near", "far", "conv")
    asked, batch_size = (), 64

    def is_rectified(self, name):
        return name in ("conv", "near")

    def batches(self, images, names, size):
        self.asked = (*self.asked, (len(images), tuple(names)))
        yield slice(0, len(images)), self.activations(images, names)

    def activations(self, images, names):
        which = [int(np.flatnonzero((IMAGES / np.float32(255) == image).all((1, 2, 3)))[0]) for image in images]
        return {"conv:pre": VALUES[which]}


NET = Net()


def states(values=VALUES, rectify=True):
    models = Snapshots(rectify).fit(values), Moments().fit(values), Marginals().fit(values), Strongest().fit(values)
    return {type(model).__name__: model.state() for model in models}


def fill(store, class_name="cat", layers=("conv",), keep=False, sha="…"):
    """What `collect` does."""
    files.write_network(store.path, files.network_facts(store.network))
    files.write_images(store.path, class_name, IMAGES, sha)
    for layer in layers:
        files.write_layer(store.path, class_name, layer, states(), True, VALUES if keep else None)


def contents(path, net=None):
    """All that a store answers, by name, in arrays of bytes; and the order of classes and layers."""
    found, store = {}, StatsStore(path, net)
    for class_name in store.classes:
        found[class_name] = store.n_images(class_name)
        for layer, kept in store.collected(class_name).items():
            for estimator in ["ImageStatistics"] if layer == "image" else ESTIMATORS:
                for name, value in store.model(class_name, layer, estimator).state().items():
                    found[class_name, layer, estimator, name] = np.asarray(value).tobytes()
            found[class_name, layer] = store.activations(class_name, layer).tobytes() if kept else None
    return found


def everything(path):
    """All files in a folder, {name: content}."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
