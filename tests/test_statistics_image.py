"""Statistics of images against numbers worked out by hand, and against NumPy."""

import numpy as np
import pytest

from vizlib.statistics import ImageStatistics

FLAT = np.full((1, 8, 8, 3), [0.2, 0.5, 0.9], "float32")
STEP = np.repeat(np.concatenate([np.zeros((1, 8, 4, 1)), np.ones((1, 8, 4, 1))], axis=2), 3, axis=3).astype("float32")


def test_statistics_of_one_colour():
    functions = ImageStatistics().functions
    np.testing.assert_allclose(functions["total_variation"](FLAT), [[np.log(0.01)]], rtol=1e-5)
    expected = [0.2, 0.5, 0.9, *[np.log(0.01)] * 3, 0, 0, 0]
    np.testing.assert_allclose(functions["colour_composition"](FLAT), [expected], atol=1e-5)
    np.testing.assert_allclose(functions["edge_sharpness"](FLAT), [[np.log(0.01), 0.01] * 3], rtol=1e-4)


def test_statistics_of_a_black_and_a_white_half():
    functions = ImageStatistics().functions
    edge, flat = np.log(np.sqrt(3 + 1e-4)), np.log(0.01)  # one column of differences of 1 in three colours
    mean_magnitude = (np.sqrt(3 + 1e-4) + 6 * 0.01) / 7
    np.testing.assert_allclose(functions["total_variation"](STEP), [[np.log(mean_magnitude)]], rtol=1e-5)
    colours = [*[0.5] * 3, *[np.log(np.sqrt(0.2501))] * 3, *[0.25 / 0.2501] * 3]
    np.testing.assert_allclose(functions["colour_composition"](STEP), [colours], rtol=1e-5)
    expected = []
    for columns in (7, 3, 1):  # at full, half and quarter size one column holds the edge
        log = np.array([edge] + [flat] * (columns - 1))
        expected += [log.mean(), np.sqrt(log.var() + 1e-4)]
    np.testing.assert_allclose(functions["edge_sharpness"](STEP), [expected], rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_colours_are_those_of_numpy(seed):
    mixing = np.array([[0.5, 0.2, 0], [0.3, 0, 0.4], [0, 0.5, 0.1]], "float32")
    image = np.random.default_rng(seed).random((2, 40, 30, 3), "float32") @ mixing
    entries = np.asarray(ImageStatistics().functions["colour_composition"](image))
    for i in range(2):
        pixels = image[i].reshape(-1, 3)
        np.testing.assert_allclose(entries[i, :3], pixels.mean(axis=0), rtol=1e-4)
        np.testing.assert_allclose(np.exp(entries[i, 3:6]), pixels.std(axis=0), rtol=5e-3)
        np.testing.assert_allclose(entries[i, 6:], np.corrcoef(pixels.T)[[0, 0, 1], [1, 2, 2]], atol=1e-2)


def test_blur_and_noise_are_told_apart():
    blurred = np.full((1, 8, 8, 3), 0.5, "float32") + np.linspace(-0.2, 0.2, 8, dtype="float32")[:, None]
    noisy = FLAT + np.random.default_rng(0).normal(0, 0.1, FLAT.shape).astype("float32")
    sharpness = ImageStatistics().functions["edge_sharpness"]
    deviation = [np.asarray(sharpness(images))[0, 1] for images in (STEP, blurred, noisy)]
    assert deviation[0] > 2 * deviation[1] and deviation[0] > 2 * deviation[2]


@pytest.mark.parametrize("name", ["total_variation", "colour_composition", "edge_sharpness"])
@pytest.mark.parametrize("images", [FLAT, STEP, np.zeros((1, 6, 6, 3), "float32")], ids=["flat", "step", "black"])
def test_gradients_are_finite(name, images):
    from keras import ops

    from vizlib.backend import value_and_gradient

    function = ImageStatistics().functions[name]
    for entry in range(function(images).shape[1]):
        run = value_and_gradient(lambda x, entry=entry: (ops.sum(function(x)[:, entry]), ()))
        assert np.isfinite(np.asarray(run(ops.convert_to_tensor(images))[1])).all()


def test_the_gradient_of_the_mean_colour_is_one_over_the_pixels():
    from keras import ops

    from vizlib.backend import value_and_gradient

    run = value_and_gradient(lambda x: (ops.sum(ImageStatistics().functions["colour_composition"](x)[:, 1]), ()))
    gradient = np.asarray(run(ops.convert_to_tensor(STEP))[1])
    np.testing.assert_allclose(gradient[..., 1], 1 / 64, rtol=1e-6)
    np.testing.assert_array_equal(gradient[..., [0, 2]], 0)


def test_the_range_over_images():
    images = np.random.default_rng(0).random((150, 8, 8, 3), "float32")  # more than are measured at a time
    model = ImageStatistics().fit(images)
    for name, function in model.functions.items():
        entries = np.asarray(function(images), "float64")
        np.testing.assert_allclose(model.mean_[name], entries.mean(axis=0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(model.std_[name], np.maximum(entries.std(axis=0), 0.01), rtol=1e-3)
    assert model.n_samples_seen_ == 150
    np.testing.assert_allclose(model.mean_["colour_composition"][:3], 0.5, atol=0.01)


def test_images_all_alike_still_leave_room():
    model = ImageStatistics().fit(np.concatenate([FLAT, FLAT]))
    assert all((std == np.float32(0.01)).all() for std in model.std_.values())


def test_a_state_is_all_of_a_model():
    model = ImageStatistics().fit(STEP)
    again = ImageStatistics.from_state(model.state())
    for name, value in model.state().items():
        np.testing.assert_array_equal(again.state()[name], value)


@pytest.mark.parametrize("moments", [[[1], [1], [1]], [1, 1], [[0], [0]], [[np.nan], [1]]], ids=str)
def test_image_statistics_that_cannot_be_are_refused(moments):
    with pytest.raises(ValueError, match=r"\(2, entries\) of total_variation"):
        ImageStatistics.from_state(ImageStatistics().fit(STEP).state() | {"total_variation": moments})


def test_power_spectrum_equals_scipy():
    from scipy.fft import dctn

    from vizlib.statistics import power_spectrum

    images = np.random.default_rng(3).random((2, 16, 16, 3), "float32")
    power = dctn(images.mean(-1), axes=(1, 2), norm="ortho") ** 2
    radius = np.hypot(*np.mgrid[:16, :16])
    bands = [(radius >= low) & (radius < high) for low, high in ((1, 2), (2, 4), (4, 8), (8, 99))]
    expected = np.log(np.stack([power[:, band].mean(1) for band in bands], 1) + 1e-4)
    np.testing.assert_allclose(power_spectrum(images), expected, rtol=1e-4)
