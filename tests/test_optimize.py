"""The loop and its canvases: values against scipy and Keras, faults injected."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from conftest import COMPILES
from keras import ops
from scipy.fft import idctn

from vizlib.synthesis.canvases import COLOUR_BASIS, LOGIT_BASIS, Cosine, Phase, Pixels, Unbounded
from vizlib.synthesis.loop import optimize
from vizlib.synthesis.rules import Falling, adam, gradient_descent, nadam
from vizlib.synthesis.terms import ClassScore, Distance, Term
from vizlib.synthesis.transforms import Jitter


@dataclass(frozen=True)
class Quadratic(Term):
    """Squared distance of the image to a colour."""

    colour: float = 0.5

    def measure(self, activations):
        return ops.mean((activations["image"] - self.colour) ** 2, axis=(1, 2, 3))


@dataclass(frozen=True)
class Counted(Quadratic):
    """Counts how often it is traced."""

    traced = []

    def measure(self, activations):
        self.traced.append(activations["image"].shape)
        return super().measure(activations)


@dataclass(frozen=True)
class Renewed(Counted):
    """Asks for another colour every three steps."""

    every = 3

    def renewed(self, activations):
        return replace(self, colour=self.colour + 0.1)


@dataclass(frozen=True)
class Listed(Term):
    """A term of a field that is neither a number nor hashable."""

    colours: list = None


@dataclass(frozen=True)
class Poison(Term):
    """A term that turns NaN, in its value or only in its gradient, once the image is bright."""

    where: str = "loss"

    def measure(self, activations):
        mean = ops.mean(activations["image"], axis=(1, 2, 3))
        if self.where == "loss":
            return ops.sqrt(0.6 - mean)
        return ops.sqrt(0.0 * mean)  # 0, whose derivative is 0 × infinity


@pytest.fixture
def net(tiny_cnn):
    import vizlib as viz

    return viz.Network(tiny_cnn, classes=("a", "b", "c"))


def run(net, terms, canvas=None, **options):
    return optimize(net, terms, canvas or Pixels(6), 3, **{"steps": 20, "progress": False} | options)


def test_a_term_is_renewed_every_few_steps_and_compiled_once(net):
    """Colours 0.1, 0.2, …: the loss says which is in force; the best is that of the last, however good others were."""
    Renewed.traced.clear()
    rule = gradient_descent(0.0)
    result = run(net, [Renewed(0.0)], Unbounded(6), steps=7, rule=rule)
    expected = [((result.images[0] - colour) ** 2).mean() for colour in (0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.3)]
    np.testing.assert_allclose(result.history["Renewed"][:, 0], expected, rtol=1e-4)
    assert len(Renewed.traced) == 1 or not COMPILES


def test_gradient_descent_follows_the_closed_form(net):
    """For the mean of (v + c − 0.9)² over m entries each step scales the error by 1 − 2 rate / m."""
    result = run(net, [Quadratic(0.9)], Unbounded(6), rule=gradient_descent(5.0), steps=11)
    loss = result.history["Quadratic"]
    factor = (1 - 2 * 5.0 / (6 * 6 * 3)) ** 2
    np.testing.assert_allclose(loss[1:] / loss[:-1], factor, rtol=1e-4)


def test_a_rate_that_falls_on_a_cosine():
    rates = [float(Falling(2.0, 20)(ops.convert_to_tensor(float(step)))) for step in (0, 10, 20)]
    np.testing.assert_allclose(rates, [2, 1, 0], atol=1e-6)
    (start, update), v = adam(Falling(2.0, 20)), [ops.zeros((1,))]
    moved, _ = update(v, [ops.ones((1,))], start(v), ops.convert_to_tensor(0.0))
    np.testing.assert_allclose(moved[0], -2, rtol=1e-5)  # the first step of Adam is as long as the rate
    assert adam(Falling(2.0, 20)) is adam(Falling(2.0, 20))


@pytest.mark.parametrize(("rule", "name"), [(adam(0.1), "Adam"), (nadam(0.1), "Nadam")])
def test_rules_equal_those_of_keras(rule, name):
    """At every step, to float32 rounding."""
    import keras

    values = np.random.default_rng(0).standard_normal((2, 3), "float32")
    variable, optimizer = keras.Variable(values), getattr(keras.optimizers, name)(0.1, epsilon=1e-8)
    (start, update), variables = rule, [ops.convert_to_tensor(values)]
    state = start(variables)
    for step in range(50):
        gradient = ops.convert_to_tensor(np.random.default_rng(step).standard_normal((2, 3), "float32"))
        optimizer.apply([gradient], [variable])
        variables, state = update(variables, [gradient], state, ops.convert_to_tensor(float(step)))
        np.testing.assert_allclose(variables[0], variable.numpy(), rtol=0, atol=1e-5)


def test_cosine_canvas_equals_scipy():
    canvas = Cosine(8)
    variables = canvas.start(2, seed=3)
    scale = 1 / np.maximum(np.hypot(*np.mgrid[:8, :8]), 1)
    scale /= np.sqrt((scale**2).mean())
    colours = idctn(variables[0] * scale[:, :, None], axes=(1, 2), norm="ortho")
    logits = colours @ (4 * COLOUR_BASIS.T / np.linalg.norm(COLOUR_BASIS[:, 0]))
    np.testing.assert_allclose(canvas.image(variables), 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_blurred_pixels_equal_scipy():
    from scipy.ndimage import gaussian_filter

    canvas = Pixels(12, blur=1.5)
    variables = canvas.start(1, seed=0)
    blurred = np.stack([gaussian_filter(variables[0][0, :, :, c], 1.5) for c in range(3)], axis=-1)
    np.testing.assert_allclose(canvas.image(variables)[0], 1 / (1 + np.exp(-blurred)), atol=1e-5)


@pytest.mark.parametrize("canvas", [Unbounded, Pixels, Cosine])
def test_image_i_does_not_depend_on_how_many(canvas):
    few, many = canvas(6).start(2, seed=5)[0], canvas(6).start(4, seed=5)[0]
    np.testing.assert_array_equal(few, many[:2])
    assert not np.array_equal(few, canvas(6).start(2, seed=6)[0])


def test_the_same_seed_gives_the_same_image_to_the_bit(net):
    targets = np.random.default_rng(0).random((3, 6, 6, 5), "float32")
    runs = [run(net, [Distance("conv2", targets)], Cosine(6), seed=s, view=Jitter(1)).images for s in (4, 4, 5)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 0.01


def test_calls_of_the_same_shapes_share_what_is_compiled(net):
    """Whatever the numbers in the terms, the seed, the reach of a view; and what is kept does not grow for ever."""
    Counted.traced.clear()
    first = run(net, [Counted(0.9)], view=Jitter(1.4), steps=2)
    traces = len(Counted.traced)
    for term, view, steps in ((Counted(0.2), Jitter(2), 3), (0.5 * Counted(0.9), Jitter(1.1), 2)):
        other = run(net, [term], view=view, steps=steps, seed=1)
        alone = run(net, [Quadratic(term.colour, weight=term.weight)], view=view, steps=steps, seed=1)
        np.testing.assert_array_equal(other.images, alone.images)
        assert np.abs(other.images - first.images).max() > 0.01
    assert traces and len(Counted.traced) == traces or not COMPILES
    run(net, [Counted(0.9)], view=Jitter(1), steps=2)  # other borders
    assert len(Counted.traced) > traces
    for blur in range(20):
        run(net, [Quadratic()], Pixels(6, blur), steps=1)
    assert net.kept.cache_info().currsize <= 16


def test_a_field_that_cannot_be_compared_is_an_error(net):
    with pytest.raises(TypeError, match="fields of Listed to be arrays, floats or hashable"):
        run(net, [Listed([1, 2])])


@pytest.mark.parametrize("n", [0, -1])
def test_no_images_are_an_error(net, n):
    with pytest.raises(ValueError, match=f"one image or more; received n={n}"):
        optimize(net, [Quadratic()], Pixels(6), n, progress=False)


def test_images_of_a_batch_do_not_see_each_other(net):
    targets = np.random.default_rng(0).random((3, 6, 6, 5), "float32")
    together = run(net, [Distance("conv2", targets)]).images
    alone = optimize(net, [Distance("conv2", targets[:1])], Pixels(6), 1, steps=20, progress=False).images
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 6])
def test_slices_give_what_one_batch_gives(net, size):
    targets = np.random.default_rng(0).random((7, 6, 6, 5), "float32")
    options = {"steps": 12, "view": Jitter(1), "progress": False}
    net.batch_size = 64
    whole = optimize(net, [Distance("conv2", targets), Quadratic(0.9)], Cosine(6), 7, **options)
    net.batch_size, seen = size, []
    parts = optimize(net, [Distance("conv2", targets), Quadratic(0.9)], Cosine(6), 7, **options,
                     callback=lambda step, images, losses: seen.append((images.shape, losses["Distance"].shape)))
    np.testing.assert_allclose(parts.images, whole.images, atol=1e-5)
    np.testing.assert_allclose(parts.variables[0], whole.variables[0], atol=1e-4)
    for name, losses in whole.history.items():
        np.testing.assert_allclose(parts.history[name], losses, rtol=1e-4)
    assert seen == [((7, 6, 6, 3), (7,))] * 12


def test_nan_in_a_later_slice_is_found(net):
    net.batch_size, targets = 2, np.ones((5, 6, 6, 5), "float32")
    targets[4] = np.nan
    with pytest.raises(FloatingPointError, match="the loss of the term 'Distance' is not, at step 0"):
        optimize(net, [Distance("conv2", targets)], Pixels(6), 5, progress=False)


def test_a_batch_is_as_large_as_memory_should_hold(net, mini):
    import keras

    import vizlib as viz

    assert net.batch_size == mini.batch_size == 64
    large = viz.Network(keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3)))
    assert 4 <= large.batch_size <= 20  # 30 million numbers with what is before each ReLU


def test_the_best_image_is_returned_not_the_last(net):
    """With a step far too large the images get worse and worse: the first is the best."""
    result = run(net, [Quadratic(0.3)], Unbounded(6), rule=gradient_descent(120.0), steps=5)
    best = ((result.images - 0.3) ** 2).mean((1, 2, 3))
    assert (result.history["Quadratic"][-1] > 2 * best).all()
    np.testing.assert_allclose(best, result.history["Quadratic"][0], rtol=1e-4)


def test_a_run_goes_on_from_the_variables_of_another(net):
    """Plain descent has no memory: 5 steps and 6 more are 11."""
    rule = gradient_descent(5.0)
    first = run(net, [Quadratic(0.9)], Unbounded(6), rule=rule, steps=5)
    second = run(net, [Quadratic(0.9)], Unbounded(6), rule=rule, steps=6, start=first.variables)
    whole = run(net, [Quadratic(0.9)], Unbounded(6), rule=rule, steps=11)
    np.testing.assert_array_equal(second.history["Quadratic"], whole.history["Quadratic"][5:])
    np.testing.assert_array_equal(second.images, whole.images)


def test_terms_of_one_name_are_told_apart_by_their_layers(net):
    targets = {"conv1": np.ones((3, 6, 6, 4), "float32"), "conv2": np.ones((3, 6, 6, 5), "float32")}
    result = run(net, [Distance(layer, t) for layer, t in targets.items()] + [Quadratic()], steps=1)
    assert set(result.history) == set(result.provenance["terms"]) == {"Distance, conv1", "Distance, conv2", "Quadratic"}


def test_no_two_terms_share_a_name(net):
    targets = np.ones((3, 6, 6, 4), "float32")
    terms = [Distance("conv1", targets), Quadratic(0.1), 2 * Distance("conv1", targets), Quadratic(0.7), ClassScore(0)]
    history = run(net, terms, steps=1).history
    first, second, third = "Distance, conv1, 1", "Quadratic, image, 2", "Distance, conv1, 3"
    assert list(history) == [first, second, third, "Quadratic, image, 4", "ClassScore"]
    np.testing.assert_array_equal(history[third], 2 * history[first])


def test_phases_change_and_magnitudes_do_not():
    """Over any variables: but for one factor, in the decorrelated colours of the images that the spectrum is of."""
    real = np.random.default_rng(0).random((5, 8, 8, 3), "float32")
    canvas = Phase.of(real)
    images = np.asarray(canvas.image([7 * v for v in canvas.start(3, seed=1)]), "float64")
    logits = np.log(images / (1 - images)) @ np.linalg.inv(LOGIT_BASIS)
    np.testing.assert_allclose(logits.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(logits.std((1, 2, 3)), 1, atol=1e-4)
    expected = np.abs(np.fft.fft2(real @ np.linalg.inv(COLOUR_BASIS).T, axes=(1, 2))).mean(0)
    expected[0, 0] = 0
    found = np.abs(np.fft.fft2(logits, axes=(1, 2)))
    factor = found.sum((1, 2, 3), keepdims=True) / expected.sum()
    np.testing.assert_allclose(found, factor * expected, atol=1e-3)
    assert np.abs(images[0] - images[1]).max() > 0.1


def test_phases_are_standardised():
    """Their scale makes no difference; in the logits of an image they have a mean of 0 and a variance of 1."""
    canvas = Phase.of(np.random.default_rng(0).random((5, 32, 32, 3), "float32"))
    (variables,) = canvas.start(2, seed=1)
    images = np.asarray(canvas.image([variables]), "float64")
    np.testing.assert_allclose(canvas.image([5 * variables]), images, atol=1e-4)
    logits = np.log(images / (1 - images)) @ np.linalg.inv(LOGIT_BASIS)
    phases = np.angle(np.fft.fft2(logits, axes=(1, 2)))[:, 1:, 1:]
    assert abs(np.exp(1j * phases).mean() - np.exp(-0.5)) < 0.03  # the characteristic function of N(0, 1) at 1


def test_callback_sees_each_step_and_stops(net):
    seen = []

    def callback(step, images, losses):
        seen.append((step, images.shape, losses["Quadratic"].shape))
        return step == 4

    result = run(net, [Quadratic()], callback=callback)
    assert seen == [(i, (3, 6, 6, 3), (3,)) for i in range(5)]
    assert result.provenance["steps"] == 5 and result.history["Quadratic"].shape == (5, 3)


def test_an_interrupt_returns_the_best_so_far(net):
    def interrupt(step, images, losses):
        if step == 6:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted after 7 of 20 steps"):
        stopped = run(net, [Quadratic(0.9)], callback=interrupt)
    np.testing.assert_array_equal(stopped.images, run(net, [Quadratic(0.9)], steps=7).images)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_nan_names_the_term(net, where):
    with pytest.raises(FloatingPointError, match=f"the {where} of the term 'Poison' is not, at step"):
        run(net, [Quadratic(0.95), Poison(where)], steps=300)


def test_a_weighted_term_is_a_new_one(net):
    term = Quadratic(0.2)
    doubled = 2 * term
    image = {"image": np.full((1, 2, 2, 3), 0.7, "float32")}
    assert term.weight == 1 and doubled.weight == 2
    np.testing.assert_allclose(doubled(image), [0.5], rtol=1e-6)
