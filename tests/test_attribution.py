"""Attribution against the same computed by hand in numpy, and against what theory says of it."""

import keras
import numpy as np
import pytest
from keras import layers
from test_saliency import conv

import vizlib as viz
from vizlib.attribution.relevance import EPSILON, TINY


@pytest.fixture
def net(tiny_cnn):
    return viz.Network(tiny_cnn, classes=("a", "b", "c"))


@pytest.fixture
def images():
    return (np.random.default_rng(1).integers(0, 17, (3, 6, 6, 3)) / 16).astype("float32")


def forward(model, image):
    """What the tiny network computes of an image: the input and output of each convolution, and the pooled values."""
    k1, b1, k2, b2, _, _ = model.get_weights()
    first = conv(image, k1, b1)
    second = conv(np.maximum(first, 0), k2, b2)
    return first, second, np.maximum(second, 0).reshape(3, 2, 3, 2, 5).max(axis=(1, 3))


def unpooled(active, g):
    """What a 2 × 2 maximum over (6, 6, 5) hands back of g (3, 3, 5): all to the first of the largest."""
    back = np.zeros_like(active)
    for i, j, c in np.ndindex(3, 3, 5):
        di, dj = np.unravel_index(active[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c].argmax(), (2, 2))
        back[2 * i + di, 2 * j + dj, c] = g[i, j, c]
    return back


def squares():
    """A network whose one unit is the sum of the squares of the pixels."""
    image = keras.Input((4, 4, 3))
    return viz.Network(keras.Model(image, keras.ops.sum(image**2, axis=(1, 2, 3))[:, None]), classes=())


METHODS = {
    "saliency": viz.saliency,
    "input_x_gradient": viz.input_x_gradient,
    "smooth_grad": lambda *asked: viz.smooth_grad(*asked, n=2, progress=False),
    "integrated_gradients": lambda *asked: viz.integrated_gradients(*asked, steps=40, progress=False),
    "grad_cam": viz.grad_cam,
    "layer_cam": viz.layer_cam,
    "occlusion": lambda *asked: viz.occlusion(*asked, patch=2, progress=False),
    "lrp": viz.lrp,
}


@pytest.mark.parametrize("name", METHODS)
def test_batches_do_not_change_a_map(net, images, monkeypatch, name):
    whole = METHODS[name](net, images, "predictions", "b")
    colours = (3,) * (whole.ndim == 4)
    assert whole.dtype == np.float32 and whole.shape == (3, 6, 6, *colours) and np.abs(whole).max() > 0
    monkeypatch.setattr(net, "batch_size", 2)
    np.testing.assert_allclose(METHODS[name](net, images, "scores", 1), whole, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_unknown_neurons_are_refused(net, images, name):
    with pytest.raises(ValueError, match="a, b, c; received 'z'"):
        METHODS[name](net, images, "scores", "z")
    with pytest.raises(ValueError, match="conv1, conv2, pool.*received 'conv9'"):
        METHODS[name](net, images, "conv9", 0)


def test_the_pixels_times_the_gradient(net, images):
    expected = images * viz.saliency(net, images, "conv2", 1)
    np.testing.assert_array_equal(viz.input_x_gradient(net, images, "conv2", 1), expected)


def test_without_noise_smooth_grad_is_saliency(net, images):
    received = viz.smooth_grad(net, images, "scores", "b", n=3, noise=0, progress=False)
    np.testing.assert_allclose(received, viz.saliency(net, images, "scores", "b"), atol=1e-6)


def test_noise_is_a_share_of_the_range():
    """The gradient of squares is 2 x: under noise its mean over copies strays by 2 σ / √n, σ a share of the range."""
    images = np.stack([np.linspace(0, top, 48, dtype="float32").reshape(4, 4, 3) for top in (1, 0.5)])
    drawn = [viz.smooth_grad(squares(), images, "scores", 0, 16, 0.2, seed=s, progress=False) for s in range(12)]
    strayed = (np.array(drawn) - 2 * images).std(axis=(0, 2, 3, 4))
    np.testing.assert_allclose(strayed, [2 * 0.2 / 4, 2 * 0.1 / 4], rtol=0.15)
    assert np.abs(np.mean(drawn, axis=0) - 2 * images).max() < 0.15
    again = viz.smooth_grad(squares(), images, "scores", 0, 16, 0.2, seed=3, progress=False)
    np.testing.assert_array_equal(again, drawn[3])


@pytest.mark.parametrize("baseline", [0.0, 0.25, (0.5, 0.0, 1.0)])
def test_integrated_gradients_of_squares_are_differences_of_squares(baseline):
    images = np.random.default_rng(0).random((2, 4, 4, 3), "float32")
    received = viz.integrated_gradients(squares(), images, "scores", 0, baseline, steps=2, progress=False)
    np.testing.assert_allclose(received, images**2 - np.float32(baseline) ** 2, atol=1e-6)


def test_integrated_gradients_add_up(net, images, recwarn):
    own = images[::-1]  # a baseline for each image
    found = viz.integrated_gradients(net, images, "scores", "c", own, steps=300, progress=False)
    scores = net.scores(images)[:, 2] - net.scores(own)[:, 2]
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), scores, atol=0.02)
    assert not [x for x in recwarn if x.category is not DeprecationWarning]  # PyTorch's, in what Keras asks of it


def test_too_few_steps_are_told(net, images):
    with pytest.warns(UserWarning, match="of 3 images other sums.*take more than 1 steps"):
        viz.integrated_gradients(net, images, "scores", "c", steps=1, progress=False)


@pytest.mark.parametrize("wrong", [{"baseline": 2.0}, {"baseline": np.zeros((5, 5, 3))}, {"steps": 0}])
def test_wrong_ways_are_refused(net, images, wrong):
    with pytest.raises(ValueError, match="expected .*received"):
        viz.integrated_gradients(net, images, "scores", "c", **wrong)


def test_class_activation_maps_by_hand(net, tiny_cnn, images):
    kernel = tiny_cnn.get_weights()[4]
    for image, cam, layer in zip(
        images, viz.grad_cam(net, images, "scores", "b"), viz.layer_cam(net, images, "scores", "b"), strict=True
    ):
        active = np.maximum(forward(tiny_cnn, image)[1], 0)
        gradient = unpooled(active, kernel[:, 1].reshape(3, 3, 5))
        np.testing.assert_allclose(cam, np.maximum((gradient.mean(axis=(0, 1)) * active).sum(-1), 0), atol=1e-5)
        np.testing.assert_allclose(layer, (np.maximum(gradient, 0) * active).sum(-1), atol=1e-5)


def test_maps_of_a_coarser_layer_are_enlarged(net, tiny_cnn, images):
    weights = tiny_cnn.get_weights()[4][:, 0].reshape(3, 3, 5).mean(axis=(0, 1))
    pooled = np.stack([forward(tiny_cnn, image)[2] for image in images])
    maps = np.maximum(pooled @ weights, 0).astype("float32")[..., None]
    expected = keras.ops.convert_to_numpy(keras.ops.image.resize(maps, (6, 6)))[..., 0]
    np.testing.assert_allclose(viz.grad_cam(net, images, "scores", "a", at="pool"), expected, atol=1e-5)


def test_both_classes_of_one_unit(images):
    """What speaks for "yes" speaks against "no"."""
    image = keras.Input((6, 6, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu", name="c", padding="same")(image))
    model = keras.Model(image, layers.Dense(1, activation="sigmoid")(x))
    net = viz.Network(model, classes=("no", "yes"))
    active = keras.ops.convert_to_numpy(keras.Model(image, model.get_layer("c").output)(images))
    weighted = active @ model.get_weights()[2][:, 0] / 36
    for name, sign in (("yes", 1), ("no", -1)):
        found = viz.grad_cam(net, images, "scores", name)
        np.testing.assert_allclose(found, np.maximum(sign * weighted, 0), atol=1e-6)
        np.testing.assert_allclose(viz.lrp(net, images, "scores", name), sign * viz.lrp(net, images, "scores", "yes"))


def test_a_model_within_a_model(tiny_cnn, images):
    """As transfer learning makes them: the base is a layer of the whole."""
    image = keras.Input((6, 6, 3))
    base = keras.Model(tiny_cnn.input, tiny_cnn.get_layer("pool").output, name="base")
    whole = viz.Network(keras.Model(image, tiny_cnn.get_layer("predictions")(layers.Flatten()(base(image)))))
    flat = viz.Network(tiny_cnn)
    for name, method in METHODS.items():
        np.testing.assert_allclose(
            method(whole, images, "scores", 2), method(flat, images, "scores", 2), atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("method", [viz.grad_cam, viz.layer_cam, viz.lrp])
def test_a_head_of_one_size_is_asked_at_that(net, tiny_cnn, method):
    """Class scores of larger images are those of the same made smaller: so are maps, which are enlarged again."""
    larger, images = viz.Network(tiny_cnn, size=12), np.random.default_rng(0).random((2, 12, 12, 3), "float32")
    asked = keras.ops.convert_to_numpy(keras.ops.image.resize(images, (6, 6), antialias=True))
    maps = method(net, asked, "scores", "b")
    enlarged = keras.ops.convert_to_numpy(keras.ops.image.resize(maps[..., None], (12, 12), antialias=True))[..., 0]
    enlarged = enlarged / 4 if method is viz.lrp else enlarged  # whose sum stays
    np.testing.assert_allclose(method(larger, images, "scores", 1), enlarged, atol=1e-5)


def test_tokens_are_maps():
    """Class activation maps of a layer of tokens that a mean is taken of: its weights are those of the scores."""
    image = keras.Input((8, 8, 3))
    x = layers.Reshape((16, 5))(layers.Conv2D(5, 2, 2, name="patches")(image))
    x = layers.Dense(4, activation="relu", name="tokens")(x)
    model = keras.Model(image, layers.Dense(2, name="head")(layers.GlobalAveragePooling1D()(x)))
    net, images = viz.Network(model, classes=("a", "b")), np.random.default_rng(0).random((2, 8, 8, 3), "float32")
    maps = np.maximum(net.activations(images, ["tokens"])["tokens"] @ (model.get_weights()[-2][:, 1] / 16), 0)
    expected = keras.ops.convert_to_numpy(keras.ops.image.resize(maps[..., None], (8, 8)))[..., 0]
    np.testing.assert_allclose(viz.grad_cam(net, images, "scores", "b"), expected, atol=1e-6)


@pytest.mark.parametrize(
    "layer, at, message",
    [
        ("conv2", "pool", "expected a layer before conv2; received pool"),
        ("scores", "flatten", r"a layer with positions; received flatten of shape \(45,\)"),
        ("scores", "conv9", "received 'conv9'"),
        ("conv1", None, "a layer with positions before conv1; received none"),
    ],
)
def test_layers_that_give_no_map(net, images, layer, at, message):
    with pytest.raises(ValueError, match=message):
        viz.grad_cam(net, images, layer, 0, at=at)


def test_occlusion_by_hand(net, tiny_cnn, images):
    expected, times = np.zeros((3, 6, 6)), np.zeros((6, 6))
    for top in (0, 2, 3):
        for left in (0, 2, 3):
            covered = images.copy()
            covered[:, top : top + 3, left : left + 3] = (0.5, 0.25, 1)
            falls = (net.scores(images) - net.scores(covered))[:, 0]
            expected[:, top : top + 3, left : left + 3] += falls[:, None, None]
            times[top : top + 3, left : left + 3] += 1
    received = viz.occlusion(net, images, "scores", "a", 3, 2, (0.5, 0.25, 1), progress=False)
    np.testing.assert_allclose(received, expected / times, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"patch": 7}, {"patch": 2, "stride": 3}, {"fill": 1.5}])
def test_squares_that_do_not_fit(net, images, wrong):
    with pytest.raises(ValueError, match="expected .*received"):
        viz.occlusion(net, images, "scores", "a", **wrong)


def handed_down(x, relevance, kernel, bias, rule):
    """Of what neurons z = x @ kernel + bias have, the share of each of x."""
    if rule == "z_plus":
        parts = np.maximum(x[:, None] * kernel, 0)
        return (parts / (parts.sum(axis=0) + TINY)) @ relevance
    z = x @ kernel + bias
    return x * (kernel @ (relevance / (z + np.where(z >= 0, 1, -1) * (EPSILON * np.sqrt(np.mean(z**2)) + TINY))))


def as_matrix(kernel):
    """The matrix (108 or …, …) that a 3 × 3 convolution of a 6 × 6 image is."""
    c = kernel.shape[2]
    rows = [conv(unit.reshape(6, 6, c), kernel, 0).ravel() for unit in np.eye(36 * c)]
    return np.stack(rows)


@pytest.mark.parametrize("rule", ["epsilon", "z_plus"])
def test_relevance_by_hand(net, tiny_cnn, images, rule):
    k1, b1, k2, b2, kd, bd = tiny_cnn.get_weights()
    first, second = as_matrix(k1), as_matrix(k2)
    received = viz.lrp(net, images, "scores", "b", rule)
    for image, found in zip(images, received, strict=True):
        before, after, pooled = forward(tiny_cnn, image)
        score = np.zeros(3)
        score[1] = (pooled.ravel() @ kd + bd)[1]
        relevance = handed_down(pooled.ravel(), score, kd, bd, rule)
        relevance = unpooled(np.maximum(after, 0), relevance.reshape(3, 3, 5)).ravel()
        relevance = handed_down(np.maximum(before, 0).ravel(), relevance, second, np.tile(b2, 36), rule)
        relevance = handed_down(image.ravel(), relevance, first, np.tile(b1, 36), rule)
        np.testing.assert_allclose(found, relevance.reshape(6, 6, 3).sum(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(2))
def test_what_raises_a_neuron_adds_up_to_it(seed):
    """Under z_plus nothing is lost: through branches, means, padding, concatenation and other activation functions."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, activation="silu", padding="same")(image)
    x = layers.Add()([x, layers.ReLU()(layers.DepthwiseConv2D(3, padding="same")(x))])
    x = layers.AveragePooling2D(2)(layers.ZeroPadding2D(1)(x))
    x = layers.Concatenate()([layers.Conv2D(4, 3, activation=name)(x) for name in ("relu", "gelu")])
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    net, images = viz.Network(model), np.random.default_rng(seed).random((4, 8, 8, 3), "float32")
    for unit in range(3):
        relevance = viz.lrp(net, images, "scores", unit, "z_plus")
        np.testing.assert_allclose(relevance.sum(axis=(1, 2)), net.scores(images)[:, unit], rtol=1e-3, atol=1e-5)


def test_relevance_has_no_way_through_a_product(images):
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(3, 3, padding="same", name="c")(image)
    model = keras.Model(image, layers.Flatten(name="f")(layers.Multiply(name="gate")([x, image])))
    with pytest.raises(ValueError, match=r"relevance can be handed through; received gate \(Multiply\)"):
        viz.lrp(viz.Network(model), images, "f", 0)
    assert np.abs(viz.lrp(viz.Network(model), images, "c", 0)).max() > 0  # which lies before it


def test_an_unknown_rule(net, images):
    with pytest.raises(ValueError, match="epsilon, z_plus; received 'gamma'"):
        viz.lrp(net, images, "scores", 0, "gamma")
