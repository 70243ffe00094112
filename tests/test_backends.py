"""Both backends give the same, to the accuracy of float32. `make test` also runs the core tests on JAX."""

import os
import subprocess
import sys

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
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    pytest.importorskip("jax")
    folder, found = tmp_path_factory.mktemp("backends"), {}
    for backend in ("tensorflow", "jax"):
        environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", RUN, str(folder / backend)], env=environment, check=True)
        found[backend] = dict(np.load(folder / f"{backend}.npz"))
    return found


def apart(results, name):
    """The largest difference, as a share of the largest value."""
    expected = results["tensorflow"][name]
    return np.abs(results["jax"][name] - expected) / np.abs(expected).max()


def test_activations_and_saliency(results):
    for name in ("targets", "scores", "saliency gradient", "saliency guided", "saliency deconvnet"):
        assert apart(results, name).max() < 1e-5, name


def test_statistics(results):
    names = {"mean", "spectrum", "coordinates", "variance", "covariance"} | {x for x in results["jax"] if "image " in x}
    assert len(names) == 13
    for name in names:
        assert apart(results, name).max() < 1e-4, name


def test_fifty_steps_of_a_reconstruction(results):
    """Adam divides a gradient by its own size: where that is near 0, rounding decides the first steps."""
    assert apart(results, "loss").max() < 0.005
    assert np.median(apart(results, "images")) < 0.01 and apart(results, "images").mean() < 0.02
    losses = results["tensorflow"]["loss"]
    assert (losses[-1] < 0.2 * losses[0]).all()  # and it was no standing still
