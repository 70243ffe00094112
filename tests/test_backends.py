"""All backends give the same, to the accuracy of float32. `make test` also runs the core tests on JAX and PyTorch."""

import ast
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import ROOT

RUN = """
import sys
import numpy as np, vizlib as viz
net = viz.load_network("mini")
images = viz.load_images("partworld", "fish", 40, seed=4)
store = viz.StatsStore(sys.argv[1], net)
viz.collect(store, images, "fish", ["block2_conv2", "block4_conv1"], progress=False)
snapshots, moments, image = (store.model("fish", *x) for x in (
    ("block4_conv1", "PCAGaussian"), ("block2_conv2", "Moments"), ("image",)))
targets = net.activations(images[:2], ["block2_conv2"])["block2_conv2"]
made = viz.reconstruct(net, targets, "block2_conv2", image, steps=50, progress=False)
known = {f"image {name} {key}": values[name] for key, values in (("mean", image.mean_), ("std", image.std_))
         for name in values}
guided = {f"saliency {rule}": viz.saliency(net, images[:4], "block4_conv1", 3, rule)
          for rule in ("gradient", "guided", "deconvnet")}
np.savez(sys.argv[1] + ".npz", targets=targets, scores=net.scores(images), mean=snapshots.mean_,
         spectrum=snapshots.explained_variance_,
         coordinates=snapshots.coordinates_, variance=moments.variance_, covariance=moments.channel_covariance_,
         loss=sum(made.history.values()), images=made.images, **known, **guided)
print(*{"tensorflow", "jax", "torch"} & set(sys.modules))
"""


# A finder that knows no other backend, as where none is installed. One of them may be asked for, but not be needed.
ALONE = """
import os, sys
from importlib.machinery import PathFinder
others = {"tensorflow", "jax", "torch"} - {os.environ["KERAS_BACKEND"]}
class Alone(PathFinder):
    @classmethod
    def find_spec(cls, name, *where):
        return None if name.partition(".")[0] in others else super().find_spec(name, *where)
sys.meta_path[sys.meta_path.index(PathFinder)] = Alone
"""
SALIENCY = """
import sys
import numpy as np, vizlib as viz
net = viz.load_network("mini")
assert np.abs(viz.saliency(net, np.full((1, 64, 64, 3), 0.5), "scores", 0, "guided")).max() > 0
print(*{"tensorflow", "jax", "torch"} & set(sys.modules))
"""
GROWTH = """
import tensorflow as tf
cards, asked = ["GPU:0", "GPU:1"], []
def grow(card, enable):
    asked.append((card, enable))
    if card == "GPU:0":
        raise RuntimeError("Physical devices cannot be modified after being initialized")
tf.config.list_physical_devices = lambda kind: cards if kind == "GPU" else []
tf.config.experimental.set_memory_growth = grow
import vizlib.backend
assert asked == [("GPU:0", True), ("GPU:1", True)], asked
"""
BACKENDS = [pytest.param(x, marks=pytest.mark.skipif(not find_spec(x), reason=f"no {x} is installed"))
            for x in ("tensorflow", "jax", "torch")]
OTHERS = BACKENDS[1:]


def run(backend, *arguments):
    """What Python prints, in a process of its own on a backend."""
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run([sys.executable, "-c", *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What RUN saves on a backend, run once, and the backends that it "imported"."""
    folder = tmp_path_factory.mktemp("backends")

    @cache
    def saved(backend):
        imported = run(backend, RUN, str(folder / backend))
        return dict(np.load(folder / f"{backend}.npz")) | {"imported": imported}

    return saved


def apart(results, name, backend):
    """The largest difference, as a share of the largest value."""
    expected = results("tensorflow")[name]
    return np.abs(results(backend)[name] - expected) / np.abs(expected).max()


@pytest.mark.parametrize("backend", OTHERS)
def test_activations_and_saliency(results, backend):
    for name in ("targets", "scores", "saliency gradient", "saliency guided", "saliency deconvnet"):
        assert apart(results, name, backend).max() < 1e-5, name


@pytest.mark.parametrize("backend", OTHERS)
def test_statistics(results, backend):
    names = {"mean", "spectrum", "coordinates", "variance", "covariance"}
    names |= {x for x in results(backend) if "image " in x}
    assert len(names) == 13
    for name in names:
        assert apart(results, name, backend).max() < 1e-4, name


@pytest.mark.parametrize("backend", OTHERS)
def test_fifty_steps_of_a_reconstruction(results, backend):
    """Adam divides a gradient by its own size: where that is near 0, rounding decides the first steps."""
    assert apart(results, "loss", backend).max() < 0.005
    assert np.median(apart(results, "images", backend)) < 0.01 and apart(results, "images", backend).mean() < 0.02
    losses = results("tensorflow")["loss"]
    assert (losses[-1] < 0.2 * losses[0]).all()  # and it was no standing still


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_backend_is_needed_but_the_one_that_is_used(backend):
    assert run(backend, ALONE + SALIENCY) == [backend]


@pytest.mark.parametrize("backend", OTHERS)
def test_tensorflow_is_not_imported_beside_another_backend(results, backend):
    """Nor PyTorch beside JAX. JAX is, by Keras, whatever the backend, wherever it is installed."""
    assert {backend} <= set(results(backend)["imported"]) <= {backend, "jax"}


def test_one_file_imports_backends():
    """All others would need one that a user may not have."""
    importing = {
        path.name
        for path in (ROOT / "vizlib").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [getattr(node, "module", None) or node.names[0].name]
        if name.partition(".")[0] in ("tensorflow", "jax", "torch")
    }
    assert importing == {"backend.py"}


def test_tensorflow_takes_no_more_of_a_gpu_than_it_uses():
    """Unless the card is in use: then it stays as it is."""
    run("tensorflow", GROWTH)
