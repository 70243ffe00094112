"""Views: against SciPy, and by hand."""

import numpy as np
from scipy.ndimage import map_coordinates

from vizlib.synthesis.transforms import Camera, Jitter


def test_jitter_moves_by_whole_pixels_and_mirrors_borders():
    images = np.arange(25, dtype="float32").reshape(1, 5, 5, 1)
    jitter = Jitter(2)
    np.testing.assert_array_equal(jitter.see(images, [np.array([2, 2])]), images)
    np.testing.assert_array_equal(np.asarray(jitter.see(images, [np.array([1, 2])]))[0, 0], images[0, 1])  # row −1
    np.testing.assert_array_equal(np.asarray(jitter.see(images, [np.array([2, 4])]))[0, :, :3], images[0, :, 2:])


def test_jitter_reaches_as_far_as_it_says_and_every_pixel_between():
    rng = np.random.default_rng(0)
    for reach in (0, 1, 1.4, 3):
        moves = np.array([Jitter(reach).draw(rng)[0] for _ in range(200)]) - int(np.ceil(reach))
        assert set(np.unique(moves)) == set(range(-round(reach), round(reach) + 1))


def test_a_camera_equals_scipy():
    images = np.random.default_rng(0).random((2, 9, 9, 3), "float32")
    camera = Camera(9, shift=3, zoom=(0.6, 1.8), turn=40)
    for seed in range(5):
        seen = np.asarray(camera.see(images, camera.draw(np.random.default_rng(seed))))
        rng = np.random.default_rng(seed)
        zoom, angle = np.exp(rng.uniform(np.log(0.6), np.log(1.8))), np.deg2rad(rng.uniform(-40, 40))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        places = np.mgrid[:9, :9].reshape(2, -1) - 4
        places = turn @ places / zoom + 4 + rng.uniform(-3, 3, 2)[:, None]
        for image, found in zip(images, seen, strict=True):
            for colour in range(3):
                expected = map_coordinates(image[..., colour], places, order=1, mode="mirror").reshape(9, 9)
                np.testing.assert_allclose(found[..., colour], expected, atol=1e-5)


def test_a_camera_that_holds_still_adds_the_noise_alone():
    images = np.full((2, 64, 64, 3), 0.5, "float32")
    camera = Camera(64, noise=0.2)
    noise = np.asarray(camera.see(images, camera.draw(np.random.default_rng(0)))) - images
    np.testing.assert_array_equal(noise[0], noise[1])  # an image does not depend on how many there are
    assert abs(noise.std() - 0.2) < 0.005 and abs(noise.mean()) < 0.01
