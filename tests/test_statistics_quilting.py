"""Quilting: what is made of real patches, where they come from, and what a draw keeps of itself."""

from functools import partial

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from vizlib.statistics import (
    Analogies,
    LocalGaussian,
    Montage,
    QuiltedGaussian,
    QuiltedMontage,
    Snapshots,
    montage,
    quilting,
)
from vizlib.statistics.quilting import _Patches
from vizlib.statistics.quilting import quilted as quilted_together


def quilted(draw, sources):
    """One draw of all sources."""
    values, found, apart = quilted_together(draw[None], sources)
    return values[0], found[0], apart[0]


def test_an_activation_is_the_quilt_of_itself():
    sources = np.random.default_rng(0).normal(size=(4, 16, 16, 3))
    np.testing.assert_allclose(quilted(sources[2], sources)[0], sources[2], atol=1e-12)


def test_halves_of_two_activations_and_noise_become_the_halves():
    """More than a patch away from the seam, every position is that of the activation it was taken from."""
    rng = np.random.default_rng(1)
    sources = rng.normal(size=(5, 16, 16, 4))
    draw = np.concatenate([sources[1, :, :8], sources[3, :, 8:]], axis=1)
    found, used, _ = quilted(draw + rng.normal(size=draw.shape, scale=0.2), sources)
    np.testing.assert_allclose(found[:, :5], draw[:, :5], atol=1e-12)
    np.testing.assert_allclose(found[:, 11:], draw[:, 11:], atol=1e-12)
    assert np.all(used[:, :5] == 1) and np.all(used[:, 11:] == 3)


def test_a_patch_may_come_from_one_position_aside_but_not_from_three():
    image = np.random.default_rng(2).normal(size=(16, 22, 4))
    one, three = (image[:, start : start + 16] for start in (4, 6))
    found, *_ = quilted(image[:, 3:19], one[None])
    np.testing.assert_allclose(found[3:-3, 4:-4], image[3:-3, 7:15], atol=1e-12)
    apart = quilted(image[:, 3:19], three[None])[0][3:-3, 4:-4] - image[3:-3, 7:15]
    assert np.abs(apart).mean() > 0.3


@pytest.mark.parametrize(("height", "width", "reach", "side"), [(6, 9, 1, 3), (33, 20, 2, 9)])
def test_the_most_similar_patch_is_that_of_a_search_through_all(height, width, reach, side):
    rng = np.random.default_rng(11)
    draw, sources = rng.normal(size=(height, width, 2)), rng.normal(size=(3, height, width, 2), loc=(5, -1))
    draw, mean = draw + 2, sources.mean(axis=(0, 1, 2))
    padded = np.pad(sources, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    over_patches = partial(uniform_filter, size=side, mode="nearest")
    cosines, distances, (rows, columns) = {}, {}, np.mgrid[:height, :width]
    for down, right in np.ndindex(2 * reach + 1, 2 * reach + 1):
        y, x = rows + down - reach, columns + right - reach
        outside = (y < 0) | (y >= height) | (x < 0) | (x >= width)
        for source, moved in enumerate(padded[:, down : down + height, right : right + width]):
            candidate, (one, other) = (source, down - reach, right - reach), (moved - mean, draw - mean)
            product, *squares = (over_patches(x.sum(axis=2)) for x in (one * other, one**2, other**2))
            cosines[candidate] = np.where(outside, -np.inf, product / np.sqrt(squares[0] * squares[1]))
            distances[candidate] = np.where(outside, np.inf, over_patches(((moved - draw) ** 2).sum(axis=2)))
    for centre, best in ((mean, np.argmax([*cosines.values()], 0)), (None, np.argmin([*distances.values()], 0))):
        found = _Patches(sources, centre).nearest(draw[None])[0]
        np.testing.assert_array_equal(np.moveaxis(found, 0, 2), np.array([*cosines])[best])


def test_by_cosine_what_is_a_little_alike_is_taken_and_not_what_is_next_to_nothing():
    """To which the distance is less."""
    draw, other, faint = np.random.default_rng(13).normal(size=(3, 16, 16, 8))
    sources = np.stack([0.4 * draw + 0.9 * other, 0.01 * faint])
    assert np.mean((draw - sources[0]) ** 2) > 1.1 * np.mean((draw - sources[1]) ** 2)
    assert (_Patches(sources, np.zeros(8)).nearest(draw[None])[0, 0] == 0).all()
    assert (_Patches(sources).nearest(draw[None])[0, 0] == 1).mean() > 0.8


def test_every_position_is_a_mean_of_patches_of_the_sources():
    """On sources that are 0 and 1 of ninths, as 3 × 3 overlap."""
    rng = np.random.default_rng(3)
    sources = rng.integers(0, 2, size=(3, 12, 12, 2)).astype(float)
    found = 9 * quilted(rng.random((12, 12, 2)), sources)[0][1:-1, 1:-1]  # at the border there are fewer
    np.testing.assert_allclose(found, np.round(found), atol=1e-8)
    assert len(np.unique(np.round(found))) >= 6


def test_patches_of_one_activation_agree_and_those_of_several_do_not():
    rng = np.random.default_rng(9)
    sources = rng.normal(size=(5, 16, 16, 4))
    halves = np.concatenate([sources[1, :, :8], sources[3, :, 8:]], axis=1)
    apart = [quilted(draw, sources)[2] for draw in (sources[2], halves, rng.normal(size=halves.shape))]
    assert apart[0] < 1e-20 and 0.01 < apart[1] < 0.5 * apart[2]
    assert quilted(5 * halves + 3, 5 * sources + 3)[2] == pytest.approx(apart[1])  # whatever the units


def test_of_two_draws_the_one_that_fits_together_best_is_kept():
    model = QuiltedGaussian(6).fit(np.random.default_rng(10).normal(size=(40, 8, 8, 3)).astype("float32"))
    sample = model.sample(3, seed=2)
    mixtures = model._bases(6, np.random.default_rng(2), 1.0, np.arange(40))
    draws, real = model.coordinates_of(mixtures), model.real(model.images_)
    for i in range(3):
        quilts = []
        for draw in draws[2 * i : 2 * i + 2]:
            order = np.argsort(np.linalg.norm(model.coordinates_ - draw, axis=1), kind="stable")
            quilts.append(quilted(model.inverse_transform(draw[None])[0], real[order[3:9]]))
        kept, other = sorted(quilts, key=lambda quilt: quilt[2])
        np.testing.assert_allclose(sample[i], kept[0], atol=1e-4)
        assert kept[2] < other[2]


def test_the_sampler_quilts_what_the_local_gaussian_draws():
    """Of images that are bright on one side of an edge, means of neighbours are grey near it, and quilts hardly."""
    rng = np.random.default_rng(4)
    values = np.full((120, 16, 16, 1), -0.1, "float32")
    for image, column in zip(values, rng.integers(3, 13, 120), strict=True):
        image[:, column:] = 1
    local, quilts = (kind(n_neighbours=60, rectify=True).fit(values).sample(8, seed=5) for kind in
                     (LocalGaussian, QuiltedGaussian))
    grey = [np.mean((x > 0.1) & (x < 0.9)) for x in (local, quilts)]
    assert quilts.shape == local.shape and quilts.dtype == np.float32 and quilts.min() >= 0
    assert grey[1] < 0.6 * grey[0]
    again = QuiltedGaussian(n_neighbours=60, rectify=True).fit(values).sample(8, seed=5)
    np.testing.assert_array_equal(again, quilts)


def test_layers_without_positions_are_drawn_as_by_the_local_gaussian():
    values = np.random.default_rng(6).normal(size=(40, 10)).astype("float32")
    one, other = (kind(8).fit(values).sample(3, seed=1, temperature=0.5) for kind in (LocalGaussian, QuiltedGaussian))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_draws_that_are_copies_of_what_was_shown_are_told():
    """Of two images that are left, one alone has anything in common with a draw."""
    values = np.random.default_rng(7).normal(size=(3, 16, 16, 3)).astype("float32")
    model = QuiltedGaussian(n_neighbours=2).fit(values)
    with pytest.warns(UserWarning, match="received [0-9]+% of their patches from one"):
        model.sample(4, temperature=0.6)


def test_layers_so_fine_that_quilting_takes_gigabytes_are_told(monkeypatch):
    """Before activations are asked for, which take minutes themselves."""
    X = np.random.default_rng(0).normal(size=(12, 8, 8, 3)).astype("float32")
    model = QuiltedGaussian().fit(X)
    used = model.draw(1)[0]
    monkeypatch.setattr(quilting, "LARGE_BYTES", 3 * 4 * 12 * 8 * 8 * 3)
    np.testing.assert_array_equal(model.draw(1)[0], used)  # just so much is no matter
    monkeypatch.setattr(quilting, "LARGE_BYTES", 3 * 4 * 8 * 8 * 3)
    model.source = None
    with (
        pytest.warns(UserWarning, match=r"patches of \d+ activations of shape \(8, 8, 3\) take 0 GB.*a deeper layer"),
        pytest.raises(ValueError, match="a source of its activations"),
    ):
        model.draw(1)


def test_what_is_left_out_is_not_used():
    """Each draw at temperature 0 is the mean of three equal activations; its quilt is made of the others."""
    groups = np.arange(12) // 3
    values = np.random.default_rng(8).normal(size=(4, 8, 8, 2)).astype("float32")[groups]
    values[:, 0, 0, 0] += groups * 100
    drawn = LocalGaussian(3).fit(values).sample(8, temperature=0)
    quilts = QuiltedGaussian(3).fit(values).sample(8, temperature=0)
    apart = np.abs(drawn[:, None] - values[None]).max(axis=(2, 3, 4))
    assert apart.min(axis=1).max() < 1e-2  # each is one of the activations
    assert np.abs(quilts - drawn).max(axis=(1, 2, 3)).min() > 1


def pair(seed, n=30):
    """Two layers on the same images, the lower with twice the positions."""
    rng = np.random.default_rng(seed)
    upper, lower = (rng.normal(size=(n, *shape)).astype("float32") for shape in ((8, 8, 3), (16, 16, 2)))
    return upper, lower, Snapshots().fit(upper)


def test_below_a_real_activation_is_what_went_with_it():
    upper, lower, above = pair(0)
    below, mixtures = Analogies(above, upper[:5], [np.arange(30)] * 5).below(lower)
    np.testing.assert_allclose(below, lower[:5], atol=1e-4)
    for i, mixture in enumerate(mixtures):
        assert mixture.images.tolist() == [i] and mixture.weights.tolist() == [1]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_from_beyond_a_border(seed):
    """What is the same of all is so below any draw: weights are of what counts alone."""
    upper, lower, above = pair(seed)
    values = np.random.default_rng(seed + 9).normal(size=(3, 8, 8, 3))
    for draw in Analogies(above, values, [np.arange(30)] * 3).below(np.ones_like(lower))[0]:
        np.testing.assert_allclose(draw, 1)


def test_below_two_halves_are_the_halves_that_went_with_them():
    upper, lower, above = pair(1)
    halves = np.concatenate([upper[[4], :, :4], upper[[9], :, 4:]], axis=2)
    (below,), (mixture,) = Analogies(above, halves, [np.array([9, 4, 1])]).below(lower[[1, 4, 9]])
    assert mixture.images.tolist()[-2:] == [4, 9] and mixture.weights[-2:].min() > 0.4
    assert mixture.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(below[:, :4], lower[4, :, :4], atol=1e-4)
    np.testing.assert_allclose(below[:, -4:], lower[9, :, -4:], atol=1e-4)


def test_below_what_has_moved_is_what_has_moved_twice_as_far():
    upper, lower, above = pair(2, n=16)
    below = Analogies(above, np.roll(upper[[7]], 1, axis=2), [np.arange(16)]).below(lower)[0][0]
    np.testing.assert_allclose(below[4:-4, 6:-4], lower[7, 4:-4, 4:-6], atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_each_draw_is_made_of_its_own_sources(seed, monkeypatch):
    """As if it were drawn alone, of these alone, however many draws are compared at a time."""
    rng = np.random.default_rng(seed)
    draws, sources = rng.normal(size=(5, 8, 8, 3)), rng.normal(size=(7, 8, 8, 3))
    allowed = rng.random((5, 7)) < 0.5
    allowed[:, 0] = True
    values, found, apart = quilted_together(draws, sources, allowed)
    for i, of in enumerate(map(np.flatnonzero, allowed)):
        alone = quilted(draws[i], sources[of])
        np.testing.assert_allclose(values[i], alone[0])
        np.testing.assert_array_equal(found[i], of[alone[1]])
        assert apart[i] == pytest.approx(alone[2])
    monkeypatch.setattr("vizlib.statistics.quilting.SEARCH_BYTES", 0)
    np.testing.assert_array_equal(quilted_together(draws, sources, allowed)[0], values)


def test_layers_that_do_not_fit_are_refused():
    upper, lower, above = pair(3)
    some = [np.arange(30)]
    for wrong in (lower[1:], lower.reshape(30, -1)):
        with pytest.raises(ValueError, match=r"expected activations \(30, h, w, channels\); received"):
            Analogies(above, upper[:1], some).below(wrong)
    with pytest.raises(ValueError, match="expected activations of shape .*; received"):
        Analogies(above, upper[:1, :4], some)
    with pytest.raises(ValueError, match="of a layer with positions; received"):
        Analogies(Snapshots().fit(upper.reshape(30, -1)), upper[:1].reshape(1, -1), some)


@pytest.mark.parametrize("sampler", [LocalGaussian, QuiltedGaussian, QuiltedMontage, Montage])
def test_a_draw_moves_along_a_component(sampler):
    """Ramps of many slopes beside one of a fixed slope, as only what is beside something else has a size for a cosine:
    moved, one and the same draw is a ramp of each of the slopes asked for."""
    rng, ramp = np.random.default_rng(0), np.linspace(-1, 1, 8)[:, None, None] * (1, 0)
    place = np.repeat(np.linspace(-1, 1, 41), 4)
    values = rng.normal(size=(164, 8, 8, 2), scale=0.01) + place[:, None, None, None] * ramp + ramp[..., ::-1]
    values = values.astype("float32")
    model = sampler().fit(values)
    sign = np.sign(np.corrcoef(model.coordinates_[:, 0], place)[0, 1])
    where = np.array([[-1.5], [-0.5], [0.5], [1.5]])
    drawn, mixtures = model.draw(4, seed=1, places=sign * where)
    found = (drawn * ramp).mean(axis=(1, 2, 3)) / np.mean(ramp**2)
    np.testing.assert_allclose(found, where[:, 0] * place.std(), atol=0.1)
    assert len(mixtures) == 4
    free, _ = model.draw(4, seed=1, places=np.full((4, 1), np.nan))
    np.testing.assert_array_equal(free[0], free[3])


@pytest.mark.parametrize("sampler", [LocalGaussian, QuiltedGaussian, QuiltedMontage, Montage])
def test_draws_among_some_are_made_of_them_alone(sampler):
    values = np.random.default_rng(7).normal(size=(60, 8, 8, 2)).astype("float32")
    among = np.arange(10, 30)
    for mixture in sampler().fit(values).draw(4, seed=1, among=among)[1]:
        assert np.isin(mixture.images, among).all()
    with pytest.raises(ValueError, match="expected among"):
        sampler().fit(values).draw(4, among=np.array([99]))


def test_seams_of_montages_are_mended(monkeypatch):
    """On a plain ground each image has a square anywhere, which the seams of three stripes cut at random."""
    def stripes(unlike, first, candidates, key, counts):
        others = np.random.default_rng(key).choice(np.setdiff1d(candidates, first), 2, replace=False)
        return np.tile(np.repeat([first, *others], 4), (12, 1))

    monkeypatch.setattr(montage, "least_seams", stripes)
    strange = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        values = (0.01 * rng.normal(size=(80, 12, 12, 4))).astype("float32")
        for value in values:
            y, x = rng.integers(9, size=2)
            value[y : y + 4, x : x + 4] += (3, 1, 0, 0)
        montages, quilts = (kind().fit(values).draw(12, seed) for kind in (Montage, QuiltedMontage))
        strange.append([strangeness(drawn, values) for drawn, _ in (montages, quilts)])
        for cut, mended in zip(montages[1], quilts[1], strict=True):
            apart = np.linalg.norm(values[cut.images].reshape(3, 1, -1) - values.reshape(1, 80, -1), axis=2)
            assert np.isin(mended.images, np.argsort(apart)[:, : quilting.BESIDE + 1]).all()
            assert mended.weights.sum() == pytest.approx(1) and mended.weights.min() > 0
    cut, mended = np.mean(strange, axis=0)
    assert mended < 0.8 * cut


def strangeness(drawn, real):
    """How far the patches of 4 × 4 of draws are from the most similar ones of real images, on average."""
    def patches(values):
        windows = np.lib.stride_tricks.sliding_window_view(values, (4, 4), axis=(1, 2))
        return windows.reshape(-1, 16 * values.shape[-1])

    asked, known = patches(drawn), patches(real)
    squares = (asked**2).sum(1)[:, None] + (known**2).sum(1) - 2 * asked @ known.T
    return float(np.maximum(squares, 0).min(axis=1).mean())
