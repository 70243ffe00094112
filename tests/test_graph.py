"""Networks of any make as one graph: the values of Keras itself, whatever the layers are nested in or shared by."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import vizlib as viz
from vizlib.networks import vgg_preprocess
from vizlib.networks.summary import receptive_fields

IMAGES = np.random.default_rng(0).random((2, 64, 64, 3)).astype("float32")
SMALL = IMAGES[:, :6, :6]


def close(received, expected):
    received, expected = map(ops.convert_to_numpy, (received, expected))
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert np.abs(expected).max() > 0


def values(net, names, images):
    """As `activations`, without compiling what runs once."""
    return {name: ops.convert_to_numpy(x) for name, x in net.features(tuple(names))(ops.array(images)).items()}


@pytest.fixture(scope="module", params=["MobileNetV2", "ResNet50", "EfficientNetB0", "ConvNeXtTiny"])
def published(request):
    """A topology of keras.applications at 64 px with random weights, its preprocessing, and as a network."""
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, request.param)(weights=None, input_shape=(64, 64, 3), classes=5)
    module = {"MobileNetV2": "mobilenet_v2", "ResNet50": "resnet", "EfficientNetB0": "efficientnet"}
    ours = {
        "MobileNetV2": lambda x: x * 2 - 1,
        "ResNet50": vgg_preprocess,
        "EfficientNetB0": lambda x: x * 255,
        "ConvNeXtTiny": lambda x: x * 255,
    }[request.param]
    theirs = getattr(keras.applications, module.get(request.param, "convnext")).preprocess_input
    return request.param, model, theirs, viz.Network(model, ours, "abcde")


def test_published_topologies(published):
    _, model, preprocess_input, net = published
    flat = [x.name for x in model.layers if not isinstance(x, layers.InputLayer)]
    assert list(dict.fromkeys(name.split("/")[0] for name in net.layers)) == flat  # the stem of ConvNeXt is a model
    names = [flat[i * (len(flat) - 1) // 4] for i in range(1, 5)]
    received = values(net, [*names, "scores"], IMAGES)
    tensors = [model.get_layer(name).output for name in names]
    expected = keras.Model(model.inputs, tensors)(preprocess_input(IMAGES * 255))
    for name, theirs in zip(names, expected, strict=True):
        close(received[name], ops.convert_to_numpy(theirs))
    close(ops.convert_to_numpy(ops.softmax(received["scores"])), ops.convert_to_numpy(expected[-1]))
    assert len({*received["scores"].ravel().tolist()}) == 10


def guided(ceiling):
    @ops.custom_gradient
    def relu(x):
        def gradient(*args, upstream=None):
            g = args[0] if upstream is None else upstream
            return ops.where((x > 0) & (x < ceiling) & (g > 0), g, ops.zeros_like(g))

        return ops.clip(x, 0, ceiling), gradient

    return relu


def test_guided_backpropagation_through_published_topologies(published):
    """Against a clone of the model in which each ReLU layer is another; those without ReLUs are refused."""
    from vizlib.backend import value_and_gradient

    name, model, _, net = published
    if name in ("EfficientNetB0", "ConvNeXtTiny"):
        found = {"EfficientNetB0": "sigmoid, silu", "ConvNeXtTiny": "gelu"}[name]
        with pytest.raises(ValueError, match=f"expected a ReLU between the image and scores .*found {found}"):
            viz.saliency(net, IMAGES[:1], "scores", "b", "guided")
        return
    last = "block_3_expand_relu" if name == "MobileNetV2" else "conv2_block2_out"

    def clone_function(layer):
        if isinstance(layer, layers.ReLU):
            return layers.Activation(guided(6.0))
        if isinstance(layer, layers.Activation) and layer.activation is keras.activations.relu:
            return layers.Activation(guided(np.inf))
        return type(layer).from_config(layer.get_config())

    part = keras.Model(model.inputs, model.get_layer(last).output)
    clone = keras.models.clone_model(part, clone_function=clone_function)
    clone.set_weights(part.get_weights())

    def channel(x):
        y = clone(net.preprocess(x))
        return ops.sum(y[..., 3]), y

    images = ops.array(IMAGES[:1])
    close(viz.saliency(net, IMAGES[:1], last, 3, "guided"), value_and_gradient(channel)(images)[1])


FUNCTIONS = {  # the function, and where it is a ReLU, where that ends
    "relu": ("relu", np.inf),
    "relu6": ("relu6", 6),
    "ReLU": (layers.ReLU, np.inf),
    "ReLU(4)": (lambda: layers.ReLU(max_value=4), 4),
    "leaky": (lambda: layers.LeakyReLU(negative_slope=0.1), None),
    "leaky ReLU": (lambda: layers.ReLU(negative_slope=0.1), None),
    "threshold": (lambda: layers.ReLU(threshold=1.0), None),
    "PReLU": (layers.PReLU, None),
    "silu": ("silu", None),
    "gelu": ("gelu", None),
}


def layered(function, how):
    """(image − ½) · 16, the function, and a 1 × 1 convolution that weighs its three channels with 1, −2 and 3."""
    function = function() if callable(function) else function
    x = image = keras.Input((6, 6, 3))
    if how == "fused":
        x = layers.Conv2D(3, 1, activation=function, name="f")(x)
    elif how == "layer":
        x = function if isinstance(function, layers.Layer) else layers.Activation(function)
        x.name, x = "f", x(layers.Conv2D(3, 1)(image))
    else:
        x = getattr(keras.activations if how == "activations" else ops, function)(layers.Conv2D(3, 1)(image))
    model = keras.Model(image, layers.Conv2D(1, 1, use_bias=False, name="out")(x))
    kernel = np.eye(3, dtype="float32")[None, None]
    model.layers[1].kernel.assign(kernel)
    model.get_layer("out").set_weights([np.array([1, -2, 3], "float32")[None, None, :, None]])
    return viz.Network(model, lambda x: (x - 0.5) * 16)


@pytest.mark.parametrize("how", ["fused", "layer", "activations", "ops"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_activation_functions_and_the_rules(name, how):
    """The gradient by hand, weight by weight, where there is a ReLU; an error that says so where there is none."""
    function, ceiling = FUNCTIONS[name]
    if how in ("activations", "ops") and name not in ("relu", "relu6", "silu", "gelu"):
        return
    net = layered(function, how)
    x, weights = (SMALL - 0.5) * 16, np.array([1.0, -2.0, 3.0])
    if ceiling is None:
        plain = viz.saliency(net, SMALL, "out", 0)
        assert np.abs(plain[..., 1]).max() > 1  # the negative weight gets through
        for rule in ("guided", "deconvnet"):
            with pytest.raises(ValueError, match="expected a ReLU between the image and out to replace; found"):
                viz.saliency(net, SMALL, "out", 0, rule)
        return
    passes = {
        "gradient": (x > 0) & (x < ceiling),
        "guided": (x > 0) & (x < ceiling) & (weights > 0),
        "deconvnet": (x < ceiling) & (weights > 0),
    }
    for rule, mask in passes.items():
        received = viz.saliency(net, SMALL, "out", 0, rule)
        np.testing.assert_allclose(received, mask * weights * 16, atol=1e-5, err_msg=rule)
    close(values(net, ["out"], SMALL)["out"][..., 0], np.clip(x, 0, ceiling) @ weights)
    if how in ("fused", "layer"):
        received = values(net, ["f", "f:pre"], SMALL)
        close(received["f:pre"], x)
        close(received["f"], np.clip(x, 0, ceiling))
        assert net.is_rectified("f") == (ceiling == np.inf) and not net.is_rectified("out")


def nested():
    """A base, called twice, that holds a model; a ReLU layer called twice; a branch around; a head that is a model."""
    base = keras.Sequential([keras.Input((6, 6, 4)), layers.ReLU(name="relu")])
    base.add(layers.Conv2D(4, 3, padding="same", activation="relu", name="conv"))
    inner = keras.Input((6, 6, 4))
    base = keras.Model(inner, layers.BatchNormalization(name="norm")(base(inner)), name="base")
    image, relu = keras.Input((6, 6, 3)), layers.ReLU(name="relu")
    first = relu(layers.Conv2D(4, 3, padding="same", name="conv")(image))
    second = relu(layers.Add(name="add")([base(base(first)), first]))
    head = keras.Sequential([layers.Flatten(name="flatten")], name="head")
    head.add(layers.Dense(3, activation="softmax", name="dense"))
    model = keras.Model(image, head(second))
    rng = np.random.default_rng(0)
    draws = {1: rng.random, 2: lambda shape: rng.normal(0, 1, shape), 4: lambda shape: rng.normal(0.1, 0.3, shape)}
    model.set_weights([draws[w.ndim](w.shape) for w in model.get_weights()])
    return model


def test_nested_models_and_layers_that_are_called_again():
    model = nested()
    net = viz.Network(model, classes="abc")
    stack = model.get_layer("base").layers[1]
    within = [f"{stack.name}/relu", f"{stack.name}/conv", "norm"]
    calls = [f"{base}/{name}" for base in ("base", "base#2") for name in within]
    assert net.layers == ("conv", "relu", *calls, "add", "relu#2", "head/flatten", "head/dense")
    received = values(net, [*net.layers, f"base#2/{within[1]}:pre", "relu#2:pre", "scores"], SMALL)

    x = first = ops.relu(model.get_layer("conv")(SMALL))
    close(received["relu"], x)
    for relu, conv, norm in (calls[:3], calls[3:]):
        close(received[relu], ops.relu(x))
        close(received[conv], stack.get_layer("conv")(ops.relu(x)))
        x = model.get_layer("base").get_layer("norm")(received[conv])
        close(received[norm], x)
    close(received["relu#2:pre"], x + first)
    close(received["relu#2"], ops.relu(x + first))
    dense = model.get_layer("head").get_layer("dense")
    close(received["scores"], received["head/flatten"] @ dense.kernel + dense.bias)
    close(ops.softmax(received["scores"]), model(SMALL))
    again = received[f"base#2/{within[1]}:pre"]
    close(ops.relu(again), received[f"base#2/{within[1]}"])
    assert (again < 0).any() and not np.allclose(received["base/norm"], received["base#2/norm"])
    with pytest.raises(ValueError, match="received 'base'"):
        net.activations(SMALL, ["base"])


def test_rules_reach_the_relus_of_nested_models():
    """Guided backpropagation by hand through conv → relu → dense, where conv and relu are in a model of their own."""
    keras.utils.set_random_seed(0)
    base = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(4, 1, name="conv"), layers.ReLU()], name="base")
    net = viz.Network(keras.Sequential([base, layers.Flatten(), layers.Dense(2, name="dense")]))
    kernel, dense = base.get_layer("conv").kernel.numpy()[0, 0], net.model.get_layer("dense").kernel.numpy()
    weights = dense[:, 1].reshape(6, 6, 4)
    expected = ((SMALL @ kernel > 0) * np.maximum(weights, 0)) @ kernel.T
    close(viz.saliency(net, SMALL, "dense", 1, "guided"), expected)


def test_names_of_pseudo_layers_are_taken():
    """A layer of one's own that is called as the pixels or the class scores are is another layer, by values."""
    keras.utils.set_random_seed(2)  # no channel is silent then
    base = keras.Sequential([keras.Input((6, 6, 3))], name="base")
    base.add(layers.Conv2D(4, 1, use_bias=False, activation="relu", name="image"))
    image = keras.Input((6, 6, 3), name="pixels")
    x = base(layers.Conv2D(3, 1, use_bias=False, name="image")(image))
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(2, 1, use_bias=False, name="scores")(x))
    model = keras.Model(image, layers.Dense(2, activation="softmax", use_bias=False, name="out")(x))
    net = viz.Network(model, classes="ab")
    first, within, third, last = (weight[0, 0] if weight.ndim == 4 else weight for weight in model.get_weights())
    expected = {"image#2": SMALL @ first, "base/image:pre": SMALL @ first @ within}
    expected["base/image"] = np.maximum(expected["base/image:pre"], 0)
    expected["scores#2"] = expected["base/image"] @ third
    expected["scores"] = expected["scores#2"].mean((1, 2)) @ last

    assert net.layers == ("image#2", "base/image", "scores#2", "pool", "out")
    for name, received in net.activations(SMALL, expected).items():
        close(received, expected[name])
        close(net.features((name,))(SMALL)[name], expected[name])
    close(net.scores(SMALL), expected["scores"])
    passes = (expected["base/image:pre"] > 0) * 1.0
    gradients = {
        ("image#2", 1): np.broadcast_to(first[:, 1], SMALL.shape),
        ("base/image", 2): passes[..., 2:3] * (first @ within[:, 2]),
        ("scores#2", 1): (passes * third[:, 1]) @ within.T @ first.T,
        ("scores", "a"): (passes * (third @ last[:, 0])) @ within.T @ first.T / 36,
    }
    for (layer, neuron), gradient in gradients.items():
        close(viz.saliency(net, SMALL, layer, neuron), gradient)
    assert net.is_rectified("base/image") and not net.is_rectified("scores#2")
    assert net.finer_layers("scores#2") == ()
    assert net.finer_layers("scores") == net.finer_layers("pool") == ("base/image",)
    html = net._repr_html_()
    assert all(f"<td>{name}</td>" in html for name in net.layers)
    assert "are what out computes before its softmax" in html
    for name in ("base/image", "scores#2", "scores"):
        net.check_layer(name)
    with pytest.raises(ValueError, match="image#2, base/image, scores#2, pool, out or scores; received 'image'"):
        net.check_layer("image")


def test_a_nested_model_with_the_name_of_a_pseudo_layer():
    conv = layers.Conv2D(2, 1, use_bias=False, name="scores")
    base = keras.Sequential([keras.Input((6, 6, 3)), conv], name="image")
    net = viz.Network(keras.Sequential([keras.Input((6, 6, 3)), base]))
    assert net.layers == ("image#2/scores",)
    received = net.activations(SMALL, ["image#2/scores", "scores"])
    for name in received:
        close(received[name], SMALL @ ops.convert_to_numpy(conv.kernel)[0, 0])


def test_looking_neither_changes_nor_copies_the_model():
    model = nested()
    everything = [model, *model._flatten_layers(include_self=False)]
    before = [(len(x._inbound_nodes), len(x._outbound_nodes), vars(x).get("activation")) for x in everything]
    net = viz.Network(model, classes="abc")
    for rule in ("gradient", "guided", "deconvnet"):
        viz.saliency(net, SMALL, "scores", "a", rule)
    assert [(len(x._inbound_nodes), len(x._outbound_nodes), vars(x).get("activation")) for x in everything] == before
    ours = {id(w) for rule in (None, ops.relu) for w in net.features(("scores",), rule).weights}
    assert ours == {id(w) for w in model.weights}
    assert net.features(("scores",)) is net.features(("scores",))


def test_a_cut_can_be_saved_and_read_in_safe_mode(tmp_path):
    names = ("base#2/norm", "relu#2:pre", "conv")
    cut = viz.Network(nested(), lambda x: x * 2 - 1).features(names)
    cut.save(tmp_path / "cut.keras")
    again = keras.models.load_model(tmp_path / "cut.keras", compile=False)(SMALL)
    for name, expected in cut(SMALL).items():
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (again[name], expected)))
    assert len(again) == 3


class Seen(layers.Layer):
    """A layer of one's own that Keras can follow, with a ReLU in it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.conv = layers.Conv2D(2, 1, activation="relu", name="inner")

    def build(self, shape):
        self.conv.build(shape)

    def call(self, x):
        return self.conv(x) + 1


class Hidden(Seen):
    """The same with a weight of its own, which a graph would take for a constant: its ReLU is out of reach."""

    def build(self, shape):
        super().build(shape)
        self.shift = self.add_weight(shape=(), initializer="zeros", name="shift")

    def call(self, x):
        return super().call(x) + self.shift


def test_what_is_in_a_layer_of_ones_own_is_seen_and_nothing_is_left_behind():
    image = keras.Input((6, 6, 3))
    model = keras.Model(image, Seen(name="own")(layers.Conv2D(2, 1, activation="relu", name="conv")(image)))
    kernel, inner = np.full((1, 1, 3, 2), 0.5), [[[[1, 2], [-3, 1]]]]
    model.set_weights([kernel, np.zeros(2), np.array(inner), np.zeros(2)])
    inner, net = model.get_layer("own").conv, viz.Network(model)
    nodes = len(inner._inbound_nodes)
    assert net.layers == ("conv", "own/inner", "own")
    assert len(inner._inbound_nodes) == nodes
    found = net.activations(SMALL, ["conv", "own/inner", "own/inner:pre", "own"])
    x = 0.5 * SMALL.sum(-1, keepdims=True)  # twice, of both channels
    expected = np.concatenate([-2 * x, 3 * x], axis=-1)
    np.testing.assert_allclose(found["own/inner:pre"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["own/inner"], np.maximum(expected, 0), rtol=1e-5)
    np.testing.assert_allclose(found["own"], np.maximum(expected, 0) + 1, rtol=1e-5)
    np.testing.assert_allclose(found["own"], ops.convert_to_numpy(model(SMALL)), rtol=1e-5)
    # The second channel gives 2 and 1 to those of conv, each of which is half the sum of the colours. The first is not
    # above 0 and passes nothing on; but for the deconvnet, which gives 1 and -3, and conv passes on the 1 alone.
    for rule, slope in (("gradient", 1.5), ("guided", 1.5)):
        np.testing.assert_allclose(viz.saliency(net, SMALL, "own", 1, rule), np.full(SMALL.shape, slope), rtol=1e-5)
    np.testing.assert_allclose(viz.saliency(net, SMALL, "own", 0, "gradient"), 0)
    np.testing.assert_allclose(viz.saliency(net, SMALL, "own", 0, "deconvnet"), 0.5)
    # Trained on, the same layers answer anew.
    inner.kernel.assign(2 * inner.kernel)
    np.testing.assert_allclose(net.activations(SMALL, ["own"])["own"], ops.convert_to_numpy(model(SMALL)), rtol=1e-5)


def test_a_relu_out_of_reach_is_an_error_only_where_it_matters():
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(2, 1, activation="relu", name="conv")(image)
    model = keras.Model(image, Hidden(name="hidden")(x))
    model.set_weights([np.full(weight.shape, 0.5, "float32") for weight in model.get_weights()])
    net = viz.Network(model)
    np.testing.assert_allclose(viz.saliency(net, SMALL, "conv", 0, "guided"), np.full(SMALL.shape, 0.5))
    np.testing.assert_allclose(viz.saliency(net, SMALL, "hidden", 0), np.full(SMALL.shape, 0.5))
    with pytest.raises(ValueError, match="ReLUs that can be replaced; received hidden with one inside"):
        viz.saliency(net, SMALL, "hidden", 0, "guided")


@pytest.mark.parametrize("size", [6, 10])
def test_convolutions_take_images_of_any_size(tiny_cnn, size):
    images = IMAGES[:, :size, :size]
    net = viz.Network(tiny_cnn, size=size)
    first = tiny_cnn.get_layer("conv1")
    close(values(net, ["conv1"], images)["conv1"], first(images))
    assert net.layers == viz.Network(tiny_cnn).layers
    if size != 6:
        wrong = "images of 6 px, which predictions is made for; received a size of 10 px"
        with pytest.raises(ValueError, match=wrong):
            net.activations(images, ["predictions"])


@pytest.mark.parametrize("size", [(4, 4), (9, 12)])
def test_a_head_of_one_size_scores_images_resized_to_it(tiny_cnn, size):
    """VGG16's, for instance: scores, gradients and guided gradients are the model's own through the resizing."""
    net, whole, images = viz.Network(tiny_cnn, size=size), viz.Network(tiny_cnn), IMAGES[:, : size[0], : size[1]]

    def resized(x):
        return ops.image.resize(x, (6, 6), antialias=True)

    found = values(net, ["conv1", "scores"], images)
    close(ops.softmax(found["scores"]), tiny_cnn(resized(images)))
    close(found["conv1"], tiny_cnn.get_layer("conv1")(images))  # layers see them as they are
    probes = np.eye(images[0].size, dtype="float32").reshape(-1, *images.shape[1:])
    jacobian = ops.convert_to_numpy(resized(probes))  # as it is linear: what each pixel puts into the resized image
    for rule in ("gradient", "guided"):
        there = viz.saliency(whole, ops.convert_to_numpy(resized(images)), "scores", 1, rule)
        expected = np.einsum("phwc,nhwc->np", jacobian, there).reshape(images.shape)
        close(viz.saliency(net, images, "scores", 1, rule), expected)
    assert not np.allclose(there, viz.saliency(whole, ops.convert_to_numpy(resized(images)), "scores", 1))


def test_a_sigmoid_is_one_at_any_size():
    image = keras.Input((6, 6, 3))
    model = keras.Model(image, layers.Dense(2, "sigmoid")(layers.Flatten()(image)))
    assert viz.Network(model, classes="ab", size=8).is_sigmoid
    assert viz.Network(model, classes="ab", size=8).scored.image_size == 6


def test_receptive_fields_are_those_of_the_literature():
    """VGG16 and, after Araujo, Norris & Sim 2019, ResNet v1 50 and MobileNet v2, whose 1 × 1 convolutions stride."""
    for name, layer, expected in (
        ("VGG16", "block5_pool", (212, 32)),
        ("ResNet50", "conv5_block3_out", (483, 32)),
        ("MobileNetV2", "out_relu", (491, 32)),
    ):
        model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(32, 32, 3))
        assert receptive_fields(*viz.Network(model).graph())[layer] == expected


def test_receptive_fields_are_what_the_gradient_reaches():
    x = image = keras.Input((31, 31, 3))
    for i, layer in enumerate([
        layers.Conv2D(2, 3, 2, padding="same"), layers.AveragePooling2D(3, 1, "same"), layers.ZeroPadding2D(1),
        layers.Conv2D(2, 3, dilation_rate=2, padding="same"), layers.BatchNormalization(),
        layers.Conv2DTranspose(2, 4, 2, "same"), layers.UpSampling2D(2), layers.Conv2D(1, 3, padding="same"),
    ]):  # fmt: skip
        layer.name = f"l{i}"
        x = layer(x)
    gap = layers.GlobalAveragePooling2D(keepdims=True, name="gap")(x)
    net = viz.Network(keras.Model(image, layers.Multiply(name="gated")([x, gap])))
    fields = receptive_fields(*net.graph())
    assert fields["gap"][0] == fields["gated"][0] == np.inf
    for i in range(8):
        side = net.graph()[1].tensors[f"l{i}"].shape[1]
        noise = np.random.default_rng(0).random((1, 31, 31, 3)).astype("float32")
        widest = max(
            np.ptp(np.flatnonzero(np.abs(viz.saliency(net, noise, f"l{i}", (side // 2, j, 0))).sum((0, 1, 3)))) + 1
            for j in range(side // 2 - 2, side // 2 + 3)
        )
        assert widest == fields[f"l{i}"][0] or i > 4 and widest == fields[f"l{i}"][0] - 1, i


def test_the_table_of_a_network(tiny_cnn):
    tiny_cnn.get_layer("conv2").name = "<script>"
    html = viz.Network(tiny_cnn, classes=("<b>", "b", "c"))._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html and "&lt;b&gt;, b, c" in html
    rows = [row.replace("</td>", "").split("<td>")[1:] for row in html.split("<tr>")[2:]]
    rows[-1][-1] = rows[-1][-1].split("<")[0]
    received = [[cell.split("<")[0] for cell in row] for row in rows]
    assert received == [
        ["conv1", "Conv2D, relu", "6 × 6 × 4", "3", "1", "112"],
        ["&lt;script&gt;", "Conv2D, relu", "6 × 6 × 5", "5", "1", "185"],
        ["pool", "MaxPooling2D", "3 × 3 × 5", "6", "2", "0"],
        ["flatten", "Flatten", "45", "image", "", "0"],
        ["predictions", "Dense, softmax", "3", "image", "", "138"],
    ]
    assert "The 3 class scores" in html and "are what predictions computes before its softmax." in html
    resized = "The 3 class scores are what predictions computes before its softmax, of images resized to 6 px."
    assert resized in viz.Network(tiny_cnn, size=12)._repr_html_()
