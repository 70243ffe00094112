"""The methods on the embedded network: what they promise, measured."""

import os
import subprocess
import sys

import numpy as np
import pytest

import vizlib as viz


@pytest.fixture(scope="module")
def store(mini, tmp_path_factory):
    with viz.StatsStore(tmp_path_factory.mktemp("stats") / "stats.h5") as store:
        for name in ("cat", "house"):
            images = viz.load_images("partworld", name, 60, seed=0)
            viz.collect(mini, images, name, ["block3_conv3"], store, progress=False)
        yield store


def test_inversion_finds_the_image_behind_the_activations(mini):
    images = viz.load_images("partworld", "house", 2, seed=5)
    targets = mini.activations(images, ["block2_conv2"])["block2_conv2"]
    result = viz.reconstruct(mini, targets, "block2_conv2", steps=120, progress=False)
    assert result.history["Distance"][-1].max() < 0.05
    own, other = (np.sqrt(((result.images - x) ** 2).mean()) for x in (images, images[::-1]))
    assert own < 0.5 * other


def test_samples_become_images_of_their_class_and_differ(mini, store):
    for name in ("cat", "house"):
        targets = store.model(name, "block3_conv3").sample(3, seed=1)
        result = viz.reconstruct(
            mini, targets, "block3_conv3", store.model(name, "image"), steps=60, progress=False
        )
        assert (mini.scores(result.images).argmax(1) == mini.class_index(name)).all()
        apart = np.abs(result.images[0] - result.images[1]).mean()
        assert apart > 0.03
        assert result.provenance["layer"] == "block3_conv3" and result.provenance["method"] == "reconstruct"


def test_priors_bring_the_image_nearer_to_the_usual_range(mini, store):
    statistics = store.model("cat", "image")
    targets = store.model("cat", "block3_conv3").sample(3, seed=2)
    excess = []
    for weight in (0.0, 5.0):
        images = viz.reconstruct(
            mini, targets, "block3_conv3", statistics, weight, steps=60, progress=False
        ).images
        terms = viz.terms.priors(statistics)
        excess.append(sum(float(np.mean(term({"image": images}))) for term in terms))
    assert excess[1] < 0.7 * excess[0]


@pytest.mark.parametrize("tuned", [True, False])
def test_simonyan_raises_the_score_to_that_of_real_images(mini, tuned):
    """From the mean colour, whose score for a face is far below that of any face."""
    real, grey = (
        mini.scores(images)[:, mini.class_index("face")]
        for images in (viz.load_images("partworld", "face", 20, seed=3), np.full((1, 64, 64, 3), 0.45, "float32"))
    )
    result = viz.simonyan(mini, "face", n=2, steps=100, tuned=tuned, progress=False)
    made = mini.scores(result.images)[:, mini.class_index("face")]
    assert grey[0] < real.min() - 3
    assert made.min() > real.min()
    assert result.images.min() >= 0 and result.images.max() <= 1


def test_errors_say_what_was_expected(mini):
    with pytest.raises(ValueError, match="face, cat.*received 'dog'"):
        viz.simonyan(mini, "dog")
    with pytest.raises(ValueError, match=r"\(n, 16, 16, .*received \(1, 8, 8, 4\)"):
        viz.reconstruct(mini, np.zeros((1, 8, 8, 4)), "block3_conv3")
    targets = mini.activations(viz.load_images("partworld", "car", 1), ["block3_conv3"])["block3_conv3"]
    targets[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite targets; received 1"):
        viz.reconstruct(mini, targets, "block3_conv3")


JAX = """
import numpy as np, vizlib as viz
net = viz.load_network("mini")
images = viz.load_images("partworld", "fish", 2, seed=4)
targets = net.activations(images, ["block2_conv2"])["block2_conv2"]
made = viz.reconstruct(net, targets, "block2_conv2", steps=12, progress=False)
guided = viz.saliency(net, images, "block4_conv1", 3, "guided")
np.savez({path!r}, targets=targets, loss=made.history["Distance"], images=made.images, guided=guided)
"""


def test_jax_gives_the_same(mini, tmp_path):
    """The second backend: the same activations and gradients to the accuracy of float32, and nearly the same loss."""
    pytest.importorskip("jax")
    results = {}
    for backend in ("tensorflow", "jax"):
        path = str(tmp_path / f"{backend}.npz")
        environment = os.environ | {"KERAS_BACKEND": backend}
        subprocess.run([sys.executable, "-c", JAX.format(path=path)], env=environment, check=True)
        results[backend] = dict(np.load(path))
    for name, expected in results["tensorflow"].items():
        apart = np.abs(results["jax"][name] - expected) / np.abs(expected).max()
        if name in ("targets", "guided"):
            assert apart.max() < 1e-5, name
        else:  # Adam divides by the gradient's own size, so where that is near 0 rounding decides the first steps
            assert apart.max() < 0.01 if name == "loss" else np.median(apart) < 0.01, name
