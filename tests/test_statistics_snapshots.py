"""The dual decomposition that samplers share against scikit-learn's PCA: in blocks, from files, in single precision."""

import h5py
import numpy as np
import pytest
from sklearn.decomposition import PCA as Oracle

from vizlib.networks.network import FEW
from vizlib.statistics import (
    BootstrapMix,
    LocalGaussian,
    PCAGaussian,
    QuiltedGaussian,
    Snapshots,
    snapshots,
    streaming,
)


def data(seed, n, shape):
    """Correlated values with a mean far from 0, float32 (n, *shape)."""
    rng = np.random.default_rng(seed)
    p = int(np.prod(shape))
    X = rng.standard_normal((n, p)) * np.geomspace(1, 20, p) @ rng.standard_normal((p, p)) + rng.normal(0, 50, p)
    return X.reshape(n, *shape).astype("float32")


def assert_is_that_of_scikit_learn(ours, X, rtol=1e-5):
    flat = X.reshape(len(X), -1).astype("float64")
    k = min(len(X) - 1, flat.shape[1])
    theirs = Oracle(k, svd_solver="full").fit(flat)
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=rtol)
    np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=rtol)
    components = ours.components_
    signs = np.sign(np.sum(components * theirs.components_, axis=1))[:, None]
    np.testing.assert_allclose(components * signs, theirs.components_, atol=10 * rtol)
    np.testing.assert_allclose(np.sum(components * signs * theirs.components_, axis=1), 1, rtol=rtol)
    np.testing.assert_allclose(components @ components.T, np.eye(k), atol=1e-5)
    scale = np.sqrt(theirs.explained_variance_[0])
    np.testing.assert_allclose(ours.coordinates_ * signs.T / scale, theirs.transform(flat) / scale, atol=10 * rtol)
    np.testing.assert_allclose(ours.transform(X) / scale, ours.coordinates_ / scale, atol=1e-5)
    np.testing.assert_allclose(ours.residual_, 0, atol=1e-9 * ours.total_variance_ * len(X))
    assert (ours.shape_, ours.n_samples_seen_) == (X.shape[1:], len(X))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n, shape", [(60, (7,)), (20, (300,)), (40, (5, 4, 6))], ids=str)
def test_the_decomposition_is_that_of_scikit_learn(seed, n, shape):
    X = data(seed, n, shape)
    assert_is_that_of_scikit_learn(Snapshots().fit(X), X)


@pytest.mark.parametrize("seed", range(3))
def test_in_single_precision_too(seed, monkeypatch):
    """As of more values: products in float32, their sums in float64; a mean 30 times as large as what varies."""
    monkeypatch.setattr(streaming, "DOUBLE", 0)
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 4 * 60 * 1000)
    X = np.random.default_rng(seed).standard_normal((60, 40, 50, 8)).astype("float32") + 30
    X[:, ::3] *= 1 + 0.02 * np.random.default_rng(1).standard_normal((60, 1, 1, 1)).astype("float32")
    model = Snapshots().fit(X)
    assert_is_that_of_scikit_learn(model, X)
    np.testing.assert_allclose(model.inverse_transform(model.coordinates_), X, atol=1e-4)


@pytest.mark.parametrize("shape", [(7,), (5, 6), (4, 5, 3), (2, 3, 4, 2)])
@pytest.mark.parametrize("room", [1, 10, 50, 10**6])
def test_blocks_are_all_columns_in_order(shape, room, monkeypatch):
    """Of maps all channels of a position together, and no more than there is room for, if more than one goes in."""
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 4 * 6 * room)
    X, at = data(0, 6, shape).astype("float32"), 0
    for columns, values in streaming.blocks(X, "float32"):
        assert columns.start == at and values.shape[1] % (shape[2] if len(shape) == 3 else 1) == 0
        assert values.shape[1] <= max(room, np.prod(shape[2 if len(shape) == 3 else 1 :]))
        np.testing.assert_array_equal(values, X.reshape(6, -1)[:, columns])
        values[:] = 0  # a copy
        at = columns.stop
    assert at == np.prod(shape) and X.any()


def test_components_by_hand():
    X = np.array([[3, 0], [-3, 0], [0, 1], [0, -1]], "float32") + 10
    model = Snapshots().fit(X)
    np.testing.assert_allclose(model.mean_, [10, 10])
    np.testing.assert_allclose(model.explained_variance_, [18 / 3, 2 / 3])
    np.testing.assert_allclose(np.abs(model.components_), [[1, 0], [0, 1]], atol=1e-7)
    np.testing.assert_allclose(np.abs(model.coordinates_), [[3, 0], [3, 0], [0, 1], [0, 1]], atol=1e-6)
    np.testing.assert_allclose(model.weights_, model.coordinates_ / [18, 2], atol=1e-7)
    np.testing.assert_allclose(model.residual_, 0, atol=1e-12)
    assert model.total_variance_ == pytest.approx(20 / 3)


@pytest.mark.parametrize("dtype", [0, 2**22])
def test_a_shown_image_comes_back_from_itself_alone(dtype, monkeypatch):
    """In all n − 1 directions, whatever n and p: no other image is looked at, and nothing is cut."""
    monkeypatch.setattr(streaming, "DOUBLE", dtype)
    X = np.random.default_rng(0).standard_normal((90, 20, 30, 5)).astype("float32") * 7 + 20
    asked = []

    class Source:
        shape = X.shape

        def __getitem__(self, rows):
            asked.append(rows)
            return X[rows]

    model = Snapshots.from_state(Snapshots().fit(X).state(), Source())
    back = model.inverse_transform(model.coordinates_[[5, 17, 3]])
    np.testing.assert_allclose(back, X[[5, 17, 3]], rtol=1e-5, atol=1e-4)
    assert [rows.tolist() for rows in asked] == [[3, 5, 17]]
    half = model.inverse_transform((model.coordinates_[[5]] + model.coordinates_[[6]]) / 2)
    np.testing.assert_allclose(half[0], (X[5] + X[6]) / 2, rtol=1e-5, atol=1e-4)
    assert asked[-1].tolist() == [5, 6]


def test_of_more_samples_a_seeded_choice_carries_the_coordinates(monkeypatch):
    monkeypatch.setattr(snapshots, "MAX_SNAPSHOTS", 40)
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 8 * 100 * 9)
    X = data(0, 100, (6, 9))
    model = Snapshots().fit(X)
    assert model.n_samples_seen_ == 40 and (np.diff(model.images_) > 0).all()
    np.testing.assert_array_equal(Snapshots().fit(X).images_, model.images_)
    chosen = Snapshots().fit(X[model.images_])
    np.testing.assert_allclose(model.mean_, chosen.mean_, rtol=1e-5)
    np.testing.assert_allclose(model.explained_variance_, chosen.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(model.inverse_transform(model.coordinates_), X[model.images_], rtol=1e-4, atol=1e-3)
    mixture = BootstrapMix.from_state(model.state(), X).draw(1)[1][0]
    assert set(mixture.images) <= set(model.images_)


def test_images_that_are_there_twice(monkeypatch):
    monkeypatch.setattr(streaming, "DOUBLE", 0)
    X = np.random.default_rng(0).standard_normal((30, 8, 8, 64)).astype("float32") + 3
    X = np.concatenate([X, X[:10]])
    model = Snapshots().fit(X)
    assert model.explained_variance_.size == 29
    np.testing.assert_allclose(model.inverse_transform(model.coordinates_), X, atol=1e-4)


def test_more_samples_than_features():
    X = data(0, 300, (4, 5))
    model = Snapshots().fit(X)
    assert_is_that_of_scikit_learn(model, X)
    np.testing.assert_allclose(model.inverse_transform(model.coordinates_[:9]), X[:9], rtol=1e-4, atol=1e-2)


def test_components_as_arrays_have_a_limit(monkeypatch):
    monkeypatch.setattr(snapshots, "COMPONENT_BYTES", 4 * 70 * 5)
    model = Snapshots().fit(data(0, 9, (70,)))
    assert model.components(5).shape == (5, 70)
    with pytest.raises(ValueError, match=r"components of at most 0 MiB; received 8 of 70 units: ask for fewer"):
        model.components()


def test_a_model_without_its_source():
    model = Snapshots.from_state(Snapshots().fit(data(0, 9, (70,))).state())
    with pytest.raises(ValueError, match="expected a model with a source of its activations"):
        model.inverse_transform(model.coordinates_)


@pytest.mark.parametrize(("room", "read"), [(1, [8, 8, 4]), (15, [8, 8, 4]), (16, [16, 4]), (100, [20])])
def test_samples_are_read_in_blocks_of_rows(room, read, monkeypatch):
    """Of as many as a network computes at a time, or multiples: of fewer it would compute some for nothing."""
    X = data(0, 20, (3, 4))
    monkeypatch.setattr(snapshots, "ROW_BYTES", 4 * 12 * room)
    model = Snapshots().fit(X)
    assert [len(values) for _, values in model._centred_in_blocks(model.images_)] == read and snapshots.ROWS == FEW
    np.testing.assert_allclose(model.inverse_transform(model.coordinates_), X, rtol=1e-4, atol=1e-3)
    expected = (X.reshape(20, -1) + 1 - model.mean_) @ model.components_[0]
    np.testing.assert_allclose(model.transform(X + 1)[:, 0], expected, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 5), (5,), (4, 0)])
def test_what_cannot_be_fitted_is_refused(shape):
    with pytest.raises(ValueError, match="expected .* received"):
        Snapshots().fit(np.ones(shape))


@pytest.mark.parametrize("double", [0, 2**22])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value, double, monkeypatch):
    monkeypatch.setattr(streaming, "DOUBLE", double)
    X = data(0, 20, (3, 4))
    X[7, 1, 2] = value
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="finite activations"):
        Snapshots().fit(X)


def test_blocks_and_files_give_the_same_fit(tmp_path, monkeypatch):
    X = data(1, 30, (9, 4, 5)).astype("float64")
    before = X.copy()
    whole = Snapshots().fit(X)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", data=X, chunks=(7, 2, 4, 5))
        from_file = Snapshots().fit(dataset)
        np.testing.assert_array_equal(whole.transform(dataset), whole.transform(X))
        np.testing.assert_allclose(from_file.components_, whole.components_, atol=1e-7)
    for name, value in whole.state().items():
        np.testing.assert_array_equal(from_file.state()[name], value)

    monkeypatch.setattr(streaming, "BLOCK_BYTES", 8 * 30 * 20 * 2)  # two of the nine rows of features
    assert len(list(streaming.blocks(X))) == 5
    in_blocks = Snapshots().fit(X)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_allclose(in_blocks.coordinates_, whole.coordinates_, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(in_blocks.explained_variance_, whole.explained_variance_, rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_samples_changes_nothing_but_their_order(seed):
    X = data(seed, 20, (50,))
    order = np.random.default_rng(seed).permutation(20)
    shuffled, model = Snapshots().fit(X[order]), Snapshots().fit(X)
    np.testing.assert_allclose(shuffled.coordinates_, model.coordinates_[order], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(shuffled.components_, model.components_, atol=1e-4)


def test_directions_without_variance_are_dropped():
    X = np.repeat(data(0, 4, (50,)), 3, axis=0)
    model = Snapshots().fit(X)
    assert len(model.components_) == 3  # four different samples
    assert model.explained_variance_ratio_.sum() == pytest.approx(1)

    constant = Snapshots().fit(np.full((10, 3, 2), 7, "float32"))
    np.testing.assert_allclose(constant.inverse_transform(constant.coordinates_), np.full((10, 3, 2), 7), rtol=1e-6)
    assert constant.explained_variance_ratio_.size == 0


@pytest.mark.parametrize("seed", range(3))
def test_coordinates_are_an_isometry(seed):
    """Distances in coordinates are those of the data."""
    X = data(seed, 25, (6, 20))
    model, flat = Snapshots().fit(X), X.reshape(25, -1)
    real = np.linalg.norm(flat[:, None] - flat, axis=2)
    ours = np.linalg.norm(model.coordinates_[:, None] - model.coordinates_, axis=2)
    np.testing.assert_allclose(ours, real, rtol=1e-5, atol=1e-2)


def test_leading_coordinates_are_enough_to_go_back():
    X = data(0, 20, (3, 4))
    model, rectified = Snapshots().fit(X), Snapshots(rectify=True).fit(X)
    Z = model.coordinates_.copy()
    Z[:, 2:] = 0
    back = model.inverse_transform(Z)
    assert back.dtype == "float32" and back.min() < 0
    np.testing.assert_allclose(model.inverse_transform(Z[:, :2]), back, rtol=1e-5)
    np.testing.assert_array_equal(rectified.inverse_transform(Z), np.maximum(back, 0))


def test_activations_of_another_shape():
    with pytest.raises(ValueError, match=r"shape \('n', 3, 4\); received \(5, 12\)"):
        Snapshots().fit(data(0, 20, (3, 4))).transform(np.zeros((5, 12)))
    assert Snapshots().fit(data(0, 20, (3, 4))).transform(np.zeros((0, 3, 4))).shape == (0, 12)


SAMPLERS = [PCAGaussian, LocalGaussian, QuiltedGaussian, BootstrapMix]


@pytest.mark.parametrize("kind", [Snapshots, *SAMPLERS])
@pytest.mark.parametrize("rectify, X", [(True, data(0, 20, (3, 4))), (False, np.zeros((5, 2)))])
def test_every_sampler_can_be_made_of_one_state(kind, rectify, X):
    fitted = Snapshots(rectify).fit(X)
    model = kind.from_state(fitted.state(), X)
    assert model.rectify == fitted.rectify and model.shape_ == fitted.shape_
    for name, value in fitted.state().items():
        np.testing.assert_array_equal(model.state()[name], value)
    if kind is not Snapshots:
        own = kind(rectify=rectify).fit(X)
        np.testing.assert_array_equal(model.sample(5, seed=3), own.sample(5, seed=3))


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_draw_says_which_images_it_mixes_with_what_weights(kind):
    X = data(3, 30, (4, 5))
    model = kind().fit(X)
    values, mixtures = model.draw(6, seed=2, temperature=0.7)
    np.testing.assert_array_equal(values, model.sample(6, seed=2, temperature=0.7))
    for value, (images, weights) in zip(values, mixtures, strict=True):
        assert weights.sum() == pytest.approx(1) and len(set(images.tolist())) == len(images) == len(weights)
        np.testing.assert_allclose(np.tensordot(weights, X[images], 1), value, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(model.coordinates_of(mixtures), model.transform(values), rtol=1e-3, atol=0.05)


def test_parameters_beside_a_state():
    state = Snapshots().fit(data(0, 20, (3, 4))).state()
    assert LocalGaussian.from_state(state, n_neighbours=3).n_neighbours == 3
    assert PCAGaussian.from_state(state, n_components=7, shrinkage=None).n_components_ == 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape_": (4, 4)},
        {"mean_": np.zeros(11)},
        {"coordinates_": np.zeros((20, 2))},
        {"residual_": np.zeros(19)},
        {"images_": np.arange(19)},
        {"images_": np.arange(20)[::-1]},
        {"images_": np.arange(20) - 1},
        {"explained_variance_": np.linspace(3, -1, 12)},
        {"explained_variance_": np.zeros(12)},
        {"explained_variance_": np.full(12, np.nan)},
        {"residual_": np.full(20, -1)},
        {"total_variance_": np.inf},
        {"coordinates_": np.full((20, 12), np.nan)},
        {"mean_": np.full(12, np.inf)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_state_that_does_not_fit_together_is_refused(wrong):
    state = Snapshots().fit(data(0, 20, (3, 4))).state()
    with pytest.raises(ValueError, match="expected .* received"):
        Snapshots.from_state(state | wrong)


def test_a_state_with_parts_missing_is_refused():
    state = Snapshots().fit(data(0, 20, (3, 4))).state()
    del state["coordinates_"], state["mean_"]
    with pytest.raises(ValueError, match="without coordinates_, mean_"):
        Snapshots.from_state(state)


@pytest.mark.parametrize("seed", range(3))
def test_what_samples_share_is_what_leaving_one_out_finds(seed):
    """By least squares on the others, for each sample."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(25, 6)) @ rng.normal(size=(6, 90)) + 0.5 * rng.normal(size=(25, 90))
    apart, all_of_it = [], []
    for i in range(25):
        others = np.delete(X, i, axis=0)
        centred, mean = others - others.mean(axis=0), others.mean(axis=0)
        fit = centred.T @ np.linalg.lstsq(centred.T, X[i] - mean, rcond=None)[0]
        apart.append(np.sum((X[i] - mean - fit) ** 2))
        all_of_it.append(np.sum((X[i] - mean) ** 2))
    assert Snapshots().fit(X).shared_ == pytest.approx(1 - np.sum(apart) / np.sum(all_of_it), abs=1e-4)


def test_what_unrelated_and_doubled_samples_share():
    noise = np.random.default_rng(0).normal(size=(30, 4000))
    assert Snapshots().fit(noise).shared_ < 0.1
    assert Snapshots().fit(np.repeat(noise, 2, axis=0)).shared_ == pytest.approx(1, abs=1e-6)
    assert Snapshots().fit(np.concatenate([noise, noise[:3]])).shared_ < 0.3
