"""What models take: images that are oblong or grey, and other inputs beside the image."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import vizlib as viz

RNG = np.random.default_rng(0)
LUMA = np.float32([0.299, 0.587, 0.114])


def classifier(shape, units=3):
    keras.utils.set_random_seed(0)
    return keras.Sequential([
        keras.Input(shape),
        layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1"),
        layers.MaxPooling2D(2),
        layers.Conv2D(6, 3, padding="same", activation="relu", name="conv2"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(units, name="logits"),
    ])


def gradient(function, images):
    """Of a function of images, by TensorFlow alone."""
    with tf.GradientTape() as tape:
        tape.watch(images := tf.constant(images))
        value = function(images)
    return tape.gradient(value, images)


class TestOblong:
    MODEL = classifier((16, 24, 3))
    IMAGES = RNG.random((30, 16, 24, 3)).astype("float32")

    def test_its_answers_are_the_models(self):
        net = viz.Network(self.MODEL, classes="abc")
        assert net.image_size == (16, 24) and net.image_shape == (16, 24, 3)
        assert "16 × 24 px" in repr(net) and "16 × 24 px" in net._repr_html_()
        np.testing.assert_allclose(net.scores(self.IMAGES), self.MODEL(self.IMAGES), rtol=1e-5, atol=1e-6)

    def test_saliency_is_the_gradient(self):
        net, images = viz.Network(self.MODEL, classes="abc"), self.IMAGES[:1]
        expected = gradient(lambda x: self.MODEL(x)[0, 1], images)
        np.testing.assert_allclose(viz.saliency(net, images, "scores", "b"), expected, rtol=1e-4, atol=1e-6)

    def test_a_class_is_collected_drawn_and_made_into_images(self, tmp_path):
        net = viz.Network(self.MODEL, classes="abc")
        store = viz.StatsStore(tmp_path / "stats", net)
        viz.collect(store, self.IMAGES, "a", ["conv1", "conv2"], progress=False)
        model = store.model("a", "conv2", "Snapshots")
        expected = net.activations(self.IMAGES, ["conv2"])["conv2"]
        np.testing.assert_allclose(model.inverse_transform(model.coordinates_), expected, rtol=1e-3, atol=1e-3)
        drawn = store.sample("a", n=2)
        made = viz.reconstruct(net, drawn, store.model("a", "image"), steps=40, progress=False)
        assert made.images.shape == (2, 16, 24, 3)
        total = sum(made.history.values()).sum(axis=1)
        assert total[-1] < 0.5 * total[0]
        # Opened again, it is of the same network, and of no other of the same layers and another size.
        assert viz.StatsStore(tmp_path / "stats", viz.Network(self.MODEL)).classes == ("a",)
        with pytest.raises(ValueError, match=r"image_size"):
            viz.StatsStore(tmp_path / "stats", viz.Network(self.MODEL, size=(24, 16)))

    @pytest.mark.parametrize("method", [viz.simonyan, viz.olah])
    def test_scores_are_raised(self, method):
        net = viz.Network(self.MODEL, classes="abc")
        made = method(net, "b", n=1, steps=60, progress=False).images
        assert made.shape == (1, 16, 24, 3)
        assert net.scores(made)[0, 1] > net.scores(method(net, "b", n=1, steps=1, progress=False).images)[0, 1] + 0.01

    def test_maco_keeps_the_spectrum(self):
        net = viz.Network(self.MODEL, classes="abc")
        first, made = (viz.maco(net, "b", self.IMAGES, n=1, steps=steps, progress=False) for steps in (1, 60))
        assert net.scores(made.images)[0, 1] > net.scores(first.images)[0, 1]

    def test_a_network_of_any_size_is_as_large_as_asked(self):
        net = viz.load_network(classifier((None, None, 3)), size=(12, 20))
        assert net.image_size == (12, 20) and net.resized(10).image_size == 10
        part = self.IMAGES[:, :6, :8]
        np.testing.assert_allclose(net.resized((6, 8)).scores(part), net.model(part), rtol=1e-4, atol=1e-6)


class TestGrey:
    MODEL = classifier((16, 16, 1))
    IMAGES = RNG.random((20, 16, 16, 3)).astype("float32")

    def test_the_model_sees_the_brightness(self):
        net = viz.Network(self.MODEL, classes="abc")
        expected = self.MODEL((self.IMAGES @ LUMA)[..., None])
        np.testing.assert_allclose(net.scores(self.IMAGES), expected, rtol=1e-4, atol=1e-6)
        grey = self.IMAGES[..., :1]  # as images of one channel come, in place of RGB
        np.testing.assert_allclose(net.scores(grey), self.MODEL(grey), rtol=1e-4, atol=1e-6)

    def test_preprocessing_takes_one_channel(self):
        net = viz.Network(self.MODEL, preprocess=lambda x: x * 2 - ops.array([0.25]))
        expected = self.MODEL((self.IMAGES @ LUMA)[..., None] * 2 - 0.25)
        np.testing.assert_allclose(net.scores(self.IMAGES), expected, rtol=1e-4, atol=1e-6)
        assert net.identity["preprocessing"] != viz.Network(self.MODEL).identity["preprocessing"]

    def test_saliency_is_that_of_the_brightness_in_each_colour(self):
        net, images = viz.Network(self.MODEL, classes="abc"), self.IMAGES[:1]
        grey = gradient(lambda x: self.MODEL(x)[0, 1], (images @ LUMA)[..., None])
        np.testing.assert_allclose(viz.saliency(net, images, "scores", "b"), grey * LUMA, rtol=1e-4, atol=1e-6)

    def test_what_is_made_is_grey(self, tmp_path):
        net = viz.Network(self.MODEL, classes="abc")
        made = [method(net, "b", n=1, steps=30, progress=False) for method in (viz.simonyan, viz.olah)]
        store = viz.StatsStore(tmp_path / "stats", net)
        viz.collect(store, self.IMAGES[..., :1], "a", ["conv1", "conv2"], progress=False)
        drawn, statistics = store.sample("a", n=2), store.model("a", "image")
        made.append(viz.reconstruct(net, drawn, statistics, steps=30, progress=False))
        for result in made:
            np.testing.assert_allclose(np.ptp(result.images, axis=-1), 0, atol=1e-6)
            assert result.images.std() > 0.01
        for result in made[:2]:
            assert net.scores(result.images)[0, 1] > net.scores(self.IMAGES)[:, 1].max()


class TestSeveral:
    """An image, an age and a code: scores that depend on all three."""

    @staticmethod
    def model():
        keras.utils.set_random_seed(0)
        image, age = keras.Input((8, 8, 3), name="photo"), keras.Input((1,), name="age")
        code = keras.Input((2,), dtype="int32", name="code")
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu", name="conv")(image))
        y = layers.Flatten()(layers.Embedding(5, 3)(code))
        return keras.Model([age, image, code], layers.Dense(3, name="logits")(layers.Concatenate()([x, y, age])))

    IMAGES = RNG.random((5, 8, 8, 3)).astype("float32")

    def test_the_others_are_given(self):
        model = self.model()
        net = viz.load_network(model, classes="abc", given={"age": 0.5, "code": [1, 4]})
        alike = [np.full((5, 1), 0.5), self.IMAGES, np.tile([1, 4], (5, 1))]
        np.testing.assert_allclose(net.scores(self.IMAGES), model(alike), rtol=1e-4, atol=1e-6)
        age, _, code = (tf.constant(x[:1]) for x in alike)
        expected = gradient(lambda x: model([age, x, code])[0, 1], self.IMAGES[:1])
        np.testing.assert_allclose(viz.saliency(net, self.IMAGES[:1], "scores", "b"), expected, rtol=1e-4, atol=1e-6)
        made = viz.simonyan(net, "b", n=1, steps=20, progress=False).images
        assert net.scores(made)[0, 1] > net.scores(self.IMAGES)[:, 1].max()

    def test_what_is_given_is_part_of_the_identity(self):
        model = self.model()
        young, old = (viz.Network(model, given={"age": age, "code": [1, 4]}) for age in (0.1, 0.9))
        assert young.fingerprint != old.fingerprint
        assert young.fingerprint == viz.Network(model, **young.settings).fingerprint

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, r"one input of images, and what the others are .*=\{name: array\}; received inputs {'age'.*'code'"),
            ({"age": 1}, r"received inputs {'photo': .*'code': \(None, 2\)}"),
            ({"age": 1, "sex": 0}, r"expected inputs out of age, photo, code; received sex"),
            ({"age": [1, 2], "code": 0}, r"for age an array of shape \(1,\); received one of shape \(2,\)"),
            ({"age": 1, "code": 0, "photo": 0}, r"one input of images .*; received \[\]"),
            ({"age": 1, "photo": 0}, r"expected a model with one input of images .*; received \[\(None, 2\)\]"),
        ],
    )
    def test_what_is_missing_or_unknown_is_named(self, given, message):
        with pytest.raises(ValueError, match=message):
            viz.Network(self.model(), given=given)


def test_layers_that_behave_as_in_training_are_named():
    image = keras.Input((8, 8, 3))
    x = layers.Dropout(0.5, name="always")(layers.Conv2D(4, 3)(image), training=True)
    inner = keras.Sequential([keras.Input((6, 6, 4)), layers.Dropout(0.1, name="never")], name="part")
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(inner(x))), name="mc")
    with pytest.warns(UserWarning, match=r"^layers of 'mc' \(always\) are called with training=True: here, as in"):
        net = viz.Network(model, classes="ab")
    images = RNG.random((1, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(net.scores(images), model.predict(images, verbose=0), rtol=1e-4, atol=1e-6)
    expected = gradient(lambda x: model(x, training=False)[0, 1], images)
    np.testing.assert_allclose(viz.saliency(net, images, "scores", "b"), expected, rtol=1e-4, atol=1e-6)


def test_layers_that_are_random_at_every_call_are_named():
    class MonteCarlo(layers.Dropout):
        def call(self, inputs):
            return super().call(inputs, training=True)

    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), MonteCarlo(0.5, name="mc"), layers.Dense(2)])
    with pytest.warns(UserWarning, match=r"\(mc\) are random at every call: the same image has other activations"):
        net = viz.Network(model)
    images = RNG.random((1, 8, 8, 3)).astype("float32")
    assert np.abs(net.scores(images) - net.scores(images)).max() > 0  # as the warning says


def test_a_lambda_in_memory_is_looked_at():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = layers.Lambda(lambda x: x**2, name="squared")(layers.Conv2D(4, 3, name="conv")(image))
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    net, images = viz.Network(model, classes="abc"), RNG.random((2, 8, 8, 3)).astype("float32")
    found = net.activations(images, ["conv", "squared"])
    np.testing.assert_allclose(found["squared"], found["conv"] ** 2, rtol=1e-5)
    expected = gradient(lambda x: model(x)[0, 1], images[:1])
    np.testing.assert_allclose(viz.saliency(net, images[:1], "scores", "b"), expected, rtol=1e-4, atol=1e-6)
    assert len(net.fingerprint) == 64
