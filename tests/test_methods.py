"""The methods on the embedded network: what they promise, measured."""


import numpy as np
import pytest
from keras import ops

import vizlib as viz
from vizlib.statistics import Analogies
from vizlib.synthesis.methods import find_outliers
from vizlib.synthesis.terms import ChannelMoments


@pytest.fixture(scope="module")
def store(mini, tmp_path_factory):
    store = viz.StatsStore(tmp_path_factory.mktemp("stats") / "stats", mini)
    viz.collect(store, "partworld", ["cat", "house"], ["block2_conv2", "block3_conv3"], n=60, progress=False)
    return store


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
        assert result.provenance["layers"] == ["block3_conv3"] and result.provenance["method"] == "reconstruct"


def test_priors_bring_the_image_nearer_to_the_usual_range(mini, store):
    statistics = store.model("cat", "image")
    targets = store.model("cat", "block3_conv3").sample(3, seed=2)
    excess = []
    for weight in (0.0, 5.0):
        images = viz.reconstruct(
            mini, targets, "block3_conv3", statistics, weight, steps=60, progress=False
        ).images
        terms = viz.terms.priors(statistics)
        excess.append(sum(float(ops.mean(term({"image": images}))) for term in terms))
    assert excess[1] < 0.7 * excess[0]


@pytest.mark.parametrize("tuned", [True, False])
def test_simonyan_raises_the_score_to_that_of_real_images(mini, tuned):
    """From the mean colour, whose score for a face is below that of any face."""
    real, grey = (
        mini.scores(images)[:, mini.class_index("face")]
        for images in (viz.load_images("partworld", "face", 20, seed=3), np.full((1, 64, 64, 3), 0.45, "float32"))
    )
    result = viz.simonyan(mini, "face", n=2, steps=100, tuned=tuned, progress=False)
    made = mini.scores(result.images)[:, mini.class_index("face")]
    assert grey[0] < real.min() - 1
    assert made.min() > real.mean()
    assert result.images.min() >= 0 and result.images.max() <= 1


def test_targets_at_two_layers_are_both_met(mini):
    images = viz.load_images("partworld", "car", 2, seed=5)
    targets = mini.activations(images, ["block2_conv2", "block3_conv3"])
    result = viz.reconstruct(mini, targets, steps=80, progress=False)
    assert set(result.history) == {"Distance, block2_conv2", "Distance, block3_conv3"}
    assert all(losses[-1].max() < 0.5 * 0.15 for losses in result.history.values())  # half of the sum is of each
    assert result.provenance["layers"] == ["block2_conv2", "block3_conv3"]


@pytest.fixture(scope="module")
def suppressed(mini, store):
    return viz.suppress(store, "cat", n=2, steps=60, progress=False)


def test_suppress_makes_outliers_as_rare_as_in_held_out_images(mini, store, suppressed):
    assert list(suppressed.outliers) == ["block3_conv3", "block2_conv2"]
    for before, after in suppressed.outliers.values():
        assert before.shape == after.shape == (2, *before.shape[1:]) and before.dtype == bool
        assert after.mean() < 0.02 < 0.1 < before.mean()
    found = find_outliers(mini, suppressed.terms, suppressed.images)
    assert list(found) == list(suppressed.outliers)
    for layer, where in found.items():
        np.testing.assert_array_equal(where, suppressed.outliers[layer][1])


def test_suppressed_images_are_still_of_the_class(mini, suppressed):
    assert (mini.scores(suppressed.images).argmax(1) == mini.class_index("cat")).all()
    assert suppressed.provenance["method"] == "suppress"


def test_suppress_is_the_same_again_to_the_bit(mini, store, suppressed):
    again = viz.suppress(store, "cat", n=2, steps=60, progress=False)
    np.testing.assert_array_equal(again.images, suppressed.images)
    np.testing.assert_array_equal(again.before, suppressed.before)


def test_layers_are_drawn_to_belong_together(mini, store):
    """The deepest as its sampler draws it, each other as the pair of layers gives it, both then rectified."""
    layers = ["block3_conv3", "block2_conv2"]
    drawn = store.sample("cat", layers, 2, seed=3)
    assert list(drawn) == layers
    upper, lower = (store.model("cat", layer) for layer in layers)
    np.testing.assert_array_equal(drawn["block3_conv3"], upper.sample(2, 3))
    values, mixtures = upper.draw(2, 3)
    under = Analogies(upper, values, [mixture.images for mixture in mixtures])
    below, shares = under.below(lower.real(under.images))
    np.testing.assert_array_equal(drawn["block2_conv2"], np.maximum(below, 0))
    for mixture, share in zip(drawn.mixtures["block2_conv2"], shares, strict=True):
        np.testing.assert_array_equal(mixture.weights, share.weights)


def test_variations_of_a_theme_are_drawn_at_the_two_finest_layers(store):
    drawn = store.sample("cat", n=2, seed=3)
    assert list(drawn) == ["block3_conv3", "block2_conv2"] and not drawn.marginals
    explicit = store.sample("cat", ["block2_conv2", "block3_conv3"], n=2, seed=3)
    for layer, values in drawn.items():
        np.testing.assert_array_equal(values, explicit[layer])


def test_images_with_little_in_common_are_put_together_and_their_finer_layers_have_marginals(mini, store, monkeypatch):
    monkeypatch.setattr("vizlib.store.store.LITTLE", 1.0)
    viz.collect(store, "partworld", ["cat"], ["block1_conv2", "block4_conv3"], n=60, progress=False)
    drawn = store.sample("cat", n=2, seed=3)
    assert list(drawn) == ["block4_conv3", "block3_conv3"] and drawn.facts["layers"] is None
    grid = drawn["block4_conv3"].shape[1:3]
    assert {layer: x.shape[1:3] for layer, x in drawn.marginals.items()} == dict.fromkeys(
        ["block2_conv2", "block1_conv2", "image"], grid
    )
    expected = store.model("cat", "block4_conv3", "Montage").sample(2, seed=3)
    np.testing.assert_array_equal(drawn["block4_conv3"], expected)
    result = viz.reconstruct(mini, drawn, steps=60, progress=False)
    losses = {name: x for name, x in result.history.items() if name.startswith("Marginals")}
    assert len(losses) == 3 and all((x[-1] < 0.5 * x[0]).all() for x in losses.values())
    again = viz.rerun(result.provenance, mini, store, progress=False)
    np.testing.assert_array_equal(again.images, result.images)

    def made(targets):
        result = viz.reconstruct(mini, targets, None, store.model("cat", "image"), steps=40, progress=False)
        hues = result.images - result.images.mean(-1, keepdims=True)
        return result.provenance["terms"]["total variation"], np.abs(np.diff(hues, axis=1)).mean()

    alone, _ = made(dict(drawn))
    weight, hues = made(drawn)
    assert weight == alone
    monkeypatch.setattr("vizlib.synthesis.methods.HUES", 1)
    assert made(drawn)[0] == weight and hues < 0.8 * made(drawn)[1]

    robust, distance = [], viz.terms.Distance

    def counted(*term, **options):
        robust.append(options["robust"])
        return distance(*term, **options)

    monkeypatch.setattr("vizlib.synthesis.methods.Distance", counted)
    for targets in (drawn, dict(drawn)):  # of pieces, whose seams no image has; and what may be all of one image
        viz.reconstruct(mini, targets, steps=1, progress=False)
    assert robust == [True, True, False, False]


def test_a_chain_shows_each_layer_inverted(mini, store):
    runs = [
        viz.chain(store, "house", ["block2_conv2", "block3_conv3"], 2, 40, seed, progress=False)
        for seed in (1, 1, 2)
    ]
    chain = runs[0]
    assert list(chain.stages) == ["block3_conv3", "block2_conv2"]
    np.testing.assert_array_equal(chain.stages["block2_conv2"], chain.images)
    assert (mini.scores(chain.images).argmax(1) == mini.class_index("house")).all()
    for name, images in chain.stages.items():
        np.testing.assert_array_equal(images, runs[1].stages[name])
    assert np.abs(chain.images - runs[2].images).max() > 0.1


def test_a_walk_goes_from_one_side_of_the_mean_to_the_other(mini, store):
    result = viz.walk(store, "cat", "block2_conv2", component=1, n=3, steps=60, progress=False)
    model = store.model("cat", "block2_conv2", "PCAGaussian")
    before = mini.features(("block2_conv2:pre",)).predict(result.images, verbose=0)["block2_conv2:pre"]
    places = model.transform(before)[:, 1] / np.sqrt(model.explained_variance_[1])
    assert places[0] < -0.7 < 0.7 < places[2] and abs(places[1]) < 0.5
    with pytest.raises(ValueError, match="component from 0 to 58; received 59"):
        viz.walk(store, "cat", "block2_conv2", component=59)


def test_facets_are_told_apart(mini, store):
    """Samples of a facet, inverted, are nearest to the mean of that facet."""
    model = store.model("cat", "block2_conv2", "Snapshots")
    labels = model.facets()
    means = np.stack([model.coordinates_[labels == k].mean(0) for k in range(4)])
    for facet in (0, 1):
        targets = store.sample("cat", ["block2_conv2"], 2, among=np.flatnonzero(labels == facet))
        images = viz.reconstruct(mini, targets, steps=60, progress=False).images
        before = mini.features(("block2_conv2:pre",)).predict(images, verbose=0)["block2_conv2:pre"]
        distances = np.linalg.norm(model.transform(before)[:, None] - means, axis=2)
        assert (distances.argmin(1) == facet).all()



@pytest.mark.parametrize("method", ["olah", "maco"])
def test_the_modern_baselines_raise_the_score_and_repeat(mini, method):
    real = viz.load_images("partworld", "face", 30, seed=3)
    before = [real] if method == "maco" else []
    runs = [getattr(viz, method)(mini, "face", *before, n=2, steps=40, seed=s, progress=False) for s in (0, 0, 1)]
    scores = mini.scores(np.concatenate([runs[0].images, real]))[:, mini.class_index("face")]
    assert scores[:2].min() > np.median(scores[2:])
    np.testing.assert_array_equal(runs[0].images, runs[1].images)
    assert np.abs(runs[0].images - runs[2].images).max() > 0.1
    assert runs[0].provenance["method"] == method


def test_vital_gives_an_image_the_values_of_the_class(mini, store):
    """Whatever seed; nearer to them than most real images are, and in other places."""
    layers = ["block2_conv2", "block3_conv3"]
    runs = [viz.vital(store, "cat", 2, 60, seed, layers, progress=False) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0].images, runs[1].images)
    assert np.abs(runs[0].images - runs[2].images).max() > 0.1
    real = viz.load_images("partworld", "cat", 20, seed=3)
    names = [f"{layer}:pre" for layer in layers]
    found = mini.activations(np.concatenate([runs[0].images, runs[2].images, real]), names)
    for layer, name in zip(layers, names, strict=True):
        quantiles = store.marginals("cat", layer).quantiles_
        apart = [np.sum((viz.statistics.Marginals().fit(x[None]).quantiles_ - quantiles) ** 2) for x in found[name]]
        assert max(apart[:4]) < np.median(apart[4:])
    assert runs[0].provenance["method"] == "vital" and len(runs[0].history) == 3


def test_deep_inversion_gives_an_image_the_moments_of_the_class(mini, store):
    """Nearer to them than most real images are, and of the class."""
    runs = [viz.deep_inversion(store, "cat", 2, 60, seed, progress=False) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0].images, runs[1].images)
    assert np.abs(runs[0].images - runs[2].images).max() > 0.1
    images = np.concatenate([runs[0].images, runs[2].images, viz.load_images("partworld", "cat", 20, seed=3)])
    for layer in ("block2_conv2", "block3_conv3"):
        moments = store.model("cat", layer, "Moments")
        known = (x.astype("float32") for x in (moments.channel_mean_, moments.channel_variance_))
        term = ChannelMoments(f"{layer}:pre", *known)
        apart = np.asarray(term(mini.activations(images, [term.layer])))
        assert apart[:4].max() < np.median(apart[4:])
    assert (mini.scores(images).argmax(1) == mini.class_index("cat"))[:4].all()
    assert runs[0].provenance["method"] == "deep_inversion"


def test_errors_say_what_was_expected(mini):
    with pytest.raises(ValueError, match="face, cat.*received 'dog'"):
        viz.simonyan(mini, "dog")
    with pytest.raises(ValueError, match=r"\(n, 16, 16, .*received \(1, 8, 8, 4\)"):
        viz.reconstruct(mini, np.zeros((1, 8, 8, 4)), "block3_conv3")
    targets = mini.activations(viz.load_images("partworld", "car", 1), ["block3_conv3"])["block3_conv3"]
    with pytest.raises(ValueError, match="received 1 at block3_conv3, 2 at block2_conv2"):
        viz.reconstruct(mini, {"block3_conv3": targets, "block2_conv2": np.zeros((2, 32, 32, 48))})
    targets[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite targets; received 1"):
        viz.reconstruct(mini, targets, "block3_conv3")
