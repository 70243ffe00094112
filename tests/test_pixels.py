"""Statistics of images against other libraries, images whose answer is known, and what must tell real from wrong."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.filters import sobel_h, sobel_v
from skimage.metrics import structural_similarity
from skimage.transform import downscale_local_mean

from vizlib import partworld
from vizlib.realism import pixels

SEEDS = pytest.mark.parametrize("seed", range(3))


@pytest.fixture(scope="module")
def real():
    return np.concatenate([partworld.draw(name, 6, seed=43) for name in partworld.CLASSES[:4]])


def random_images(seed, n=4, side=64):
    noise = np.random.default_rng(seed).random((n, side, side, 3))
    smooth = gaussian_filter(noise, (0, 2, 2, 0))
    return ((noise + 8 * smooth - 3.5) / 2).clip(0, 1).astype("float32")


def waves(cycles, side=64, amplitude=0.25):
    """A grey image with a horizontal cosine of so many cycles an image."""
    line = 0.5 + amplitude * np.cos(2 * np.pi * cycles * np.arange(side) / side)
    return np.broadcast_to(line[None, None, :, None], (1, side, side, 3)).astype("float32")


def test_contrast_is_the_deviation_of_pixels():
    halves = np.zeros((2, 4, 4, 3), "uint8")
    halves[0, :2] = 255
    halves[1, :, :, 0] = 51
    np.testing.assert_allclose(pixels.contrast(halves), [0.5, 0.2 * np.sqrt(2) / 3], rtol=1e-6)


@pytest.mark.parametrize("slope", [0, -1, -2, -3])
def test_the_slope_of_a_power_law_is_found(slope):
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    frequency[0, 0] = 1
    found = []
    for _ in range(20):
        noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(64, 64))) * frequency ** (slope / 2)).real
        grey = 0.5 + 0.1 * noise / noise.std()
        found.append(pixels.spectrum_slope(np.repeat(grey[None, ..., None], 3, 3).clip(0, 1))[0])
    assert np.mean(found) == pytest.approx(slope, abs=0.12)


def test_high_frequency_energy_is_above_a_quarter_cycle_a_pixel():
    # Hann spreads a wave by (1/6, 2/3, 1/6) in both directions: of 16 cycles, (17, any) and (16, not 0) lie beyond
    shares = [pixels.high_frequency_energy(waves(cycles))[0] for cycles in (4, 12, 16, 20, 32)]
    np.testing.assert_allclose(shares, [0, 0, 1 / 6 + 2 / 9, 1, 1], atol=0.01)
    # energies add: amplitudes 3 and 1 have 9 of 10 and 1 of 10
    both = waves(8, amplitude=0.3) + waves(24, amplitude=0.1) - 0.5
    np.testing.assert_allclose(pixels.high_frequency_energy(both), 0.1, atol=1e-4)


def test_white_noise_has_its_share_and_no_slope():
    noise = np.random.default_rng(0).random((30, 64, 64, 3))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    assert pixels.high_frequency_energy(noise).mean() == pytest.approx((frequency > 0.25).mean(), abs=0.01)
    assert pixels.spectrum_slope(noise).mean() == pytest.approx(0, abs=0.1)


def test_one_colour_has_no_spectrum_and_no_gradients(real):
    flat = np.full((2, 64, 64, 3), 0.3, "float32")
    for function in (pixels.contrast, pixels.spectrum_slope, pixels.high_frequency_energy):
        np.testing.assert_allclose(function(flat), 0, atol=1e-6)
    assert pixels.orientation_naturalness(flat, real) == pytest.approx(0, abs=1e-4)
    assert pixels.naturalness(flat, real).max() < 0.5


def test_spectra_of_oblong_images():
    tall = np.concatenate([waves(8), waves(8)], 1)  # 128 x 64: still 8 cycles in 64 pixels
    assert pixels.high_frequency_energy(tall)[0] == pytest.approx(0, abs=1e-3)
    noise = np.random.default_rng(0).random((10, 48, 64, 3))
    assert pixels.spectrum_slope(noise).mean() == pytest.approx(0, abs=0.1)


@SEEDS
def test_naturalness_agrees_with_a_direct_computation(seed):
    images, known = random_images(seed), random_images(seed + 10, 3)

    def shares(image):
        grey = image.astype(float) @ [0.299, 0.587, 0.114]
        padded = np.pad(grey, 1, mode="edge")
        down, right = (4 * f(padded)[1:-1, 1:-1] for f in (sobel_h, sobel_v))
        magnitude = np.hypot(down, right).ravel()
        direction = np.degrees(np.arctan2(-down, right)).ravel()
        edges = [0, *np.geomspace(0.01, 6, 26)]
        sizes = np.array([np.sum((magnitude >= a) & (magnitude < b)) for a, b in zip(edges, edges[1:], strict=False)])
        turns = np.array([magnitude[(direction >= a) & (direction < a + 20)].sum() for a in range(-180, 180, 20)])
        return sizes / sizes.sum(), turns / turns.sum()

    for which, function in enumerate((pixels.naturalness, pixels.orientation_naturalness)):
        expected = [np.mean([np.minimum(shares(a)[which], shares(b)[which]).sum() for b in known]) for a in images]
        np.testing.assert_allclose(function(images, known), expected, atol=2e-3)


def test_an_image_is_not_compared_with_itself():
    a, b, _ = images = random_images(0, 3)
    others = [pixels.naturalness(a[None], images[1:])[0], pixels.naturalness(b[None], images[[0, 2]])[0]]
    np.testing.assert_allclose(pixels.naturalness(images, images)[:2], others)
    assert pixels.naturalness(a[None], a[None].copy())[0] == pytest.approx(1)


def test_naturalness_tells_blur_noise_and_lost_contrast_from_real(real):
    natural = pixels.naturalness(real, real).mean()
    rng = np.random.default_rng(0)
    wrong = {
        "blurred": gaussian_filter(real, (0, 2, 2, 0)),
        "noisy": (real + rng.normal(0, 0.1, real.shape)).clip(0, 1),
        "noise": rng.random(real.shape),
        "washed out": 0.5 + 0.4 * (real - 0.5),
    }
    for name, images in wrong.items():
        assert pixels.naturalness(images, real).mean() < natural - 0.07, name


def test_orientations_do_not_depend_on_contrast(real):
    paler = 0.5 + 0.5 * (real - 0.5)
    np.testing.assert_allclose(
        pixels.orientation_naturalness(paler, real[:5]), pixels.orientation_naturalness(real, real[:5]), atol=1e-3
    )


@pytest.mark.parametrize("side", [44, 64, 96, 180])
def test_ms_ssim_agrees_with_tensorflow(side):
    import tensorflow as tf

    images = random_images(1, 3, side)
    images[1] = images[0] * 0.7 + 0.1
    images[2] = (images[0] + images[2]) / 2
    scales = {44: 3, 64: 3, 96: 4, 180: 5}[side]
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][:scales])
    first, second = np.triu_indices(3, 1)
    expected = tf.image.ssim_multiscale(images[first], images[second], 1.0, power_factors=weights / weights.sum())
    assert pixels.ms_ssim(images) == pytest.approx(float(np.mean(expected)), abs=2e-4)


@SEEDS
@pytest.mark.parametrize("scales", [1, 2, 3])
def test_ms_ssim_is_made_of_the_ssim_of_scikit_image(seed, scales):
    """Of its structure term alone, but at the last scale: the term of brightness is 1 where its constant is huge."""
    first, second = images = random_images(seed, 2, 20 * 2 ** (scales - 1))
    how = {"channel_axis": -1, "data_range": 1, "gaussian_weights": True, "use_sample_covariance": False, "full": True}
    weights = np.array([0.0448, 0.2856, 0.3001][:scales])
    expected = 1
    for scale, weight in enumerate(weights / weights.sum(), 1):
        _, likeness = structural_similarity(first, second, K1=0.01 if scale == scales else 1e6, **how)
        expected = expected * likeness[5:-5, 5:-5].mean((0, 1)).clip(0) ** weight
        first, second = (downscale_local_mean(x, (2, 2, 1)).astype("float32") for x in (first, second))
    assert pixels.ms_ssim(images) == pytest.approx(expected.mean(), abs=1e-6)


def test_ms_ssim_is_mean_over_pairs_and_one_for_copies(real):
    assert pixels.ms_ssim(np.repeat(real[:1], 4, axis=0)) == pytest.approx(1)
    pairs = [pixels.ms_ssim(real[[i, j]]) for i in range(4) for j in range(i)]
    assert pixels.ms_ssim(real[:4]) == pytest.approx(np.mean(pairs))
    assert pixels.ms_ssim(real[:8]) < 0.6
    assert np.isnan(pixels.ms_ssim(real[:1]))


def test_images_smaller_than_the_window_are_refused():
    with pytest.raises(ValueError, match=r"at least 11 pixels a side; received \(10, 64\)"):
        pixels.ms_ssim(np.zeros((2, 10, 64, 3), "float32"))
