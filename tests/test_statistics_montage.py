"""Montages: what lies where, that it is real, and that seams are where they cost least."""

from itertools import product

import numpy as np
import pytest

from vizlib.statistics import Montage, Placed, montage, side_by_side
from vizlib.statistics.seams import MOST, least_seams


def cost_of(layout, unlike):
    """What the seams of a layout cost, one after the other."""
    cost = 0.0
    for y, x in np.ndindex(layout.shape):
        for other in ((y + 1, x), (y, x + 1)):
            if other[0] < layout.shape[0] and other[1] < layout.shape[1]:
                a, b = layout[y, x], layout[other]
                cost += (unlike[y, x, a, b] + unlike[*other, a, b]) / 2
    return cost


def random_unlike(seed, shape, m):
    vectors = np.random.default_rng(seed).normal(size=(*shape, m, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (1 - vectors @ vectors.swapaxes(-1, -2)).astype("float32")


@pytest.mark.parametrize("seed", range(5))
def test_seams_are_the_least_of_all_layouts(seed):
    """Of all 65,536 layouts of four images on 2 × 4 cells, as far as three of them have at most three cells each."""
    unlike = random_unlike(seed, (2, 4), 4)
    costs = [
        cost_of(layout, unlike)
        for kinds in product(range(4), repeat=8)
        if (sizes := np.bincount(kinds, minlength=4)).max() <= 3 and sizes[2] and np.count_nonzero(sizes) == 3
        for layout in (np.reshape(kinds, (2, 4)),)
    ]
    found = least_seams(unlike, 2, np.arange(4), [seed], None)
    assert 2 in found and len(np.unique(found)) == 3 and np.bincount(found.ravel()).max() == 3
    assert cost_of(found, unlike) <= np.quantile(costs, 0.005)


def objects(seed, n=40):
    """One background, and in each image an object of 3 × 3 positions somewhere: activations and where it is."""
    rng = np.random.default_rng(seed)
    values = np.repeat(rng.normal(size=(1, 8, 8, 6)), n, axis=0)
    inside = np.zeros((n, 8, 8), bool)
    for value, own in zip(values, inside, strict=True):
        y, x = rng.integers(6, size=2)
        own[y : y + 3, x : x + 3] = True
        value[own] = 3 * rng.normal(size=(9, 6))
    return values.astype("float32"), inside


@pytest.mark.parametrize("seed", range(3))
def test_things_stay_whole_and_all_is_real(seed):
    values, inside = objects(seed)
    model = Montage().fit(values)
    drawn, mixtures = model.draw(6, seed)
    cut = 0
    for draw, mixture in zip(drawn, mixtures, strict=True):
        assert mixture.weights.max() <= MOST and mixture.weights.sum() == pytest.approx(1)
        assert len(mixture.images) == 3
        np.testing.assert_array_equal(np.bincount(mixture.layout.ravel()) / 64, mixture.weights)
        for i, image in enumerate(mixture.images):
            here = mixture.layout == i
            np.testing.assert_array_equal(draw[here], values[image][here])
            cut += here[inside[image]].any() and not here[inside[image]].all()
    assert cut <= 1  # of 18
    np.testing.assert_array_equal(model.draw(6, seed)[0], drawn)
    assert np.abs(model.draw(6, seed + 1)[0] - drawn).max() > 0.1
    rectified = Montage(rectify=True).fit(values).sample(6, seed)
    assert rectified.min() == 0


def test_cells_are_compared_by_cosines_about_the_mean_of_each_channel():
    values = np.random.default_rng(0).normal(size=(5, 6, 20, 3), loc=(1, 2, 3)).astype("float32")
    unlike = Montage().fit(values)._unlike(values)
    assert unlike.shape == (6, montage.GRID, 5, 5)
    centred = values - values.mean(axis=(0, 1, 2))
    centred /= np.linalg.norm(centred, axis=3, keepdims=True)
    columns = np.arange(20) * montage.GRID // 20
    for row, column in ((0, 0), (5, 3), (2, 15)):
        one, other = centred[1, row, columns == column], centred[4, row, columns == column]
        assert unlike[row, column, 1, 4] == pytest.approx(1 - np.sum(one * other) / len(one), abs=1e-5)
    np.testing.assert_allclose(np.einsum("...ii", unlike), 0, atol=1e-5)


def firsts(model, monkeypatch, *asked, **options):
    """The image that each draw begins with, and those that are looked at first to lie beside it."""
    found = {}

    def recorded(unlike, first, candidates, key, counts):
        found.setdefault(len(found) if len(key) == 1 else key[1], (int(first), candidates))
        return least_seams(unlike, first, candidates, key, counts)

    monkeypatch.setattr(montage, "least_seams", recorded)
    model.draw(*asked, **options)
    return zip(*found.values(), strict=True)


def test_no_image_is_the_first_twice_as_long_as_there_are_enough(monkeypatch):
    model = Montage().fit(objects(0)[0])
    for seed in range(3):
        begun, _ = firsts(model, monkeypatch, 20, seed)
        assert len({*begun}) == 20
    begun, _ = firsts(model, monkeypatch, 40)
    assert np.bincount(begun).max() == 2


def test_no_image_is_in_two_draws_as_long_as_there_are_enough():
    """Of eighty, the most typical 72 lie beside each other; whose background is one, which many would go with."""
    model = Montage().fit(objects(0, 80)[0])
    for seed in range(3):
        used = np.concatenate([mixture.images for mixture in model.draw(12, seed)[1]])
        assert len(np.unique(used)) == len(used) == 36
    assert len(model.draw(30)[1]) == 30


def test_what_is_not_typical_is_left_out_but_at_a_high_temperature(monkeypatch):
    """Four of forty images have another channel than all others, and four more a third one beside it."""
    rng = np.random.default_rng(0)
    values = rng.random((40, 8, 8, 4)).astype("float32")
    values[:4, ..., 3] += 3
    values[4:8, ..., :2] += (1, 2)
    values[8:, ..., 0] += 3
    model = Montage().fit(values)
    begun, candidates = firsts(model, monkeypatch, 12)
    assert min(begun) >= 8 and all(set(own) == {*range(4, 40)} for own in candidates)
    _, candidates = firsts(model, monkeypatch, 12, temperature=1.2)
    assert all(len(own) == 40 for own in candidates)
    begun, candidates = firsts(model, monkeypatch, 4, temperature=0)
    assert len({*begun}) == 1 and all(len(own) == 3 for own in candidates)


@pytest.mark.parametrize("component", [0, 9])
def test_a_draw_moves_along_a_component_however_little_of_the_variance_it_has(component, monkeypatch):
    values = np.random.default_rng(3).normal(size=(160, 8, 8, 4)).astype("float32")
    model = Montage().fit(values)
    places = np.full((5, component + 1), np.nan)
    places[:, component] = np.linspace(-1.5, 1.5, 5)
    begun, _ = firsts(model, monkeypatch, 5, places=places)
    scores = model.coordinates_[:, component] / np.sqrt(model.explained_variance_[component])
    moved = [mixture.weights @ scores[mixture.images] for mixture in model.draw(5, places=places)[1]]
    np.testing.assert_allclose(moved, places[:, component], atol=0.4)
    free, _ = firsts(model, monkeypatch, 1)
    still, _ = firsts(model, monkeypatch, 2, places=np.full((2, 1), np.nan))
    assert still == free * 2 and len({*begun}) > 2


def test_too_few_images_and_layers_too_large_are_told(monkeypatch):
    values = objects(1, 12)[0]
    model = Montage().fit(values)
    with pytest.warns(UserWarning, match="expected at least 3 images to put side by side; received 2"):
        (mixture,) = model.draw(1, among=np.array([3, 4]))[1]
    assert sorted(mixture.weights) == [0.5, 0.5]
    used = model.draw(1)[0]
    monkeypatch.setattr(montage, "LARGE_BYTES", values.nbytes)
    np.testing.assert_array_equal(model.draw(1)[0], used)  # just so much is no matter
    monkeypatch.setattr(montage, "LARGE_BYTES", values.nbytes - 1)
    model.source = None
    with (
        pytest.warns(UserWarning, match=r"12 activations of shape \(8, 8, 6\) take 0 GB of memory: a deeper"),
        pytest.raises(ValueError, match="a source of its activations"),
    ):
        model.draw(1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2), (3, 17)])
def test_any_number_of_positions(shape):
    values = np.random.default_rng(0).normal(size=(9, *shape, 4)).astype("float32")
    for draw, mixture in zip(*Montage().fit(values).draw(3), strict=True):
        for at in np.ndindex(shape):
            image = mixture.images[mixture.layout[at[0], at[1] * mixture.layout.shape[1] // shape[1]]]
            np.testing.assert_array_equal(draw[at], values[image][at])


def test_a_montage_needs_positions():
    with pytest.raises(ValueError, match=r"positions; received activations of shape \(10,\)"):
        Montage().fit(np.random.default_rng(0).normal(size=(12, 10)).astype("float32")).sample(2)


def test_other_layers_lie_as_the_first_does():
    layout = np.array([[0, 0, 1], [2, 2, 1]])
    mixture = Placed(np.array([4, 6, 9]), np.full(3, 1 / 3), layout)
    images = np.array([1, 4, 6, 9])
    real = np.random.default_rng(0).normal(size=(4, 4, 9, 2))
    for given in (real, [*real]):
        (drawn,) = side_by_side([mixture], images, given)
        for y, x in np.ndindex(4, 9):
            np.testing.assert_array_equal(drawn[y, x], real[1 + layout[y // 2, x // 3], y, x])
