"""The decomposition that samplers share against scikit-learn's, in blocks, from files, and of many samples."""

import h5py
import numpy as np
import pytest
from sklearn.decomposition import PCA as Oracle

from vizlib.statistics import PCA, BootstrapMix, ClusteredGaussian, LocalGaussian, PCAGaussian, pca, streaming


def data(seed, n, shape):
    """Correlated values with a mean far from 0, float32 (n, *shape)."""
    rng = np.random.default_rng(seed)
    p = int(np.prod(shape))
    X = rng.standard_normal((n, p)) * np.geomspace(1, 20, p) @ rng.standard_normal((p, p)) + rng.normal(0, 50, p)
    return X.reshape(n, *shape).astype("float32")


def assert_is_that_of_scikit_learn(ours, X, rtol=1e-5):
    flat = X.reshape(len(X), -1).astype("float64")
    k = len(ours.components_)
    theirs = Oracle(k, svd_solver="full").fit(flat)
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=rtol)
    np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=rtol)
    signs = np.sign(np.sum(ours.components_ * theirs.components_, axis=1))[:, None]
    np.testing.assert_allclose(ours.components_ * signs, theirs.components_, atol=10 * rtol)
    np.testing.assert_allclose(np.sum(ours.components_ * signs * theirs.components_, axis=1), 1, rtol=rtol)
    np.testing.assert_allclose(ours.components_ @ ours.components_.T, np.eye(k), atol=1e-5)
    scale = np.sqrt(theirs.explained_variance_[0])
    np.testing.assert_allclose(ours.coordinates_ * signs.T / scale, theirs.transform(flat) / scale, atol=10 * rtol)
    np.testing.assert_allclose(ours.transform(X) / scale, ours.coordinates_ / scale, atol=1e-5)
    off = ((flat - theirs.inverse_transform(theirs.transform(flat))) ** 2).sum(axis=1)
    np.testing.assert_allclose(ours.residual_, off, rtol=10 * rtol, atol=1e-9 * ours.total_variance_ * len(X))
    assert (ours.shape_, ours.n_samples_seen_) == (X.shape[1:], len(X))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n, shape, k", [(60, (7,), 4), (60, (7,), 7), (20, (300,), 19), (40, (5, 4, 6), 8)], ids=str)
def test_pca_is_that_of_scikit_learn(seed, n, shape, k):
    X = data(seed, n, shape)
    assert_is_that_of_scikit_learn(PCA(k).fit(X), X)


def test_pca_by_hand():
    X = np.array([[3, 0], [-3, 0], [0, 1], [0, -1]], "float32") + 10
    model = PCA(1).fit(X)
    np.testing.assert_allclose(model.mean_, [10, 10])
    np.testing.assert_allclose(model.explained_variance_, [18 / 3])
    np.testing.assert_allclose(np.abs(model.components_), [[1, 0]], atol=1e-7)
    np.testing.assert_allclose(np.abs(model.coordinates_), [[3], [3], [0], [0]], atol=1e-6)
    np.testing.assert_allclose(model.residual_, [0, 0, 1, 1], atol=1e-12)
    assert model.total_variance_ == pytest.approx(20 / 3)
    assert model.explained_variance_ratio_ == pytest.approx(18 / 20)


def decaying(seed, n, p, power):
    """Singular values i ** -power, whose trailing components are hard to tell apart: float64 (n, p)."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((length, min(n, p))))[0] for length in (n, p))
    return 100 * (left * np.arange(1.0, min(n, p) + 1) ** -power) @ right.T + 5


@pytest.mark.parametrize("seed, power", [(0, 0.5), (1, 0.5), (2, 1.0)])
def test_many_samples_in_a_krylov_space(seed, power, monkeypatch):
    monkeypatch.setattr(streaming, "EXACT", 10)
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 8 * 400 * 100)
    X = decaying(seed, 400, 500, power)
    assert_is_that_of_scikit_learn(PCA(30).fit(X), X)


def test_more_samples_than_are_decomposed_whole():
    X = decaying(0, streaming.EXACT + 200, 350, 0.5)
    assert_is_that_of_scikit_learn(PCA(25).fit(X), X)


@pytest.mark.parametrize("n, p, rank", [(300, 20, 20), (300, 90, 4), (60, 200, 59)])
def test_a_krylov_space_that_holds_all_that_varies(n, p, rank, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, p)) + 3
    exact = PCA().fit(X)
    monkeypatch.setattr(streaming, "EXACT", 10)
    model = PCA().fit(X)
    assert len(model.components_) == rank
    np.testing.assert_allclose(model.explained_variance_, exact.explained_variance_, rtol=1e-6)
    np.testing.assert_allclose(model.inverse_transform(model.coordinates_), X, atol=1e-4)
    assert model.residual_.max() < 1e-9
    assert len(PCA().fit(np.ones((30, 4))).components_) == 0


@pytest.mark.parametrize("n, shape, k", [(2, (70,), 1), (9, (70,), 8), (9, (2, 2), 4), (60, (70,), 50), (9, (400,), 2)])
def test_components_by_default(n, shape, k, monkeypatch):
    """All, but at most as many as there are samples less one and features, and no more than room is given."""
    monkeypatch.setattr(pca, "MAX_COMPONENTS", 50)
    monkeypatch.setattr(pca, "COMPONENT_BYTES", 4 * 1000)
    if n == 60:
        monkeypatch.setattr(pca, "COMPONENT_BYTES", 4 * 70 * 60)
    assert len(PCA().fit(data(0, n, shape)).components_) == k


@pytest.mark.parametrize("shape, k", [((1, 5), None), ((5,), None), ((4, 5), 4), ((4, 5), 0), ((4, 0), None)])
def test_pca_refuses_what_it_cannot_fit(shape, k):
    with pytest.raises(ValueError, match="expected .* received"):
        PCA(k).fit(np.ones(shape))


@pytest.mark.parametrize("exact", [10, 2000])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(value, exact, monkeypatch):
    monkeypatch.setattr(streaming, "EXACT", exact)
    X = data(0, 20, (3, 4))
    X[7, 1, 2] = value
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="finite activations"):
        PCA().fit(X)


def test_blocks_and_files_give_the_same_fit(tmp_path, monkeypatch):
    X = data(1, 30, (9, 4, 5)).astype("float64")
    before = X.copy()
    whole = PCA().fit(X)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", data=X, chunks=(7, 2, 4, 5))
        from_file = PCA().fit(dataset)
        np.testing.assert_array_equal(whole.transform(dataset), whole.transform(X))
    for name, value in whole.state().items():
        np.testing.assert_array_equal(from_file.state()[name], value)

    monkeypatch.setattr(streaming, "BLOCK_BYTES", 8 * 30 * 20 * 2)  # two of the nine rows of features
    assert len(list(streaming.blocks(X))) == 5
    in_blocks = PCA().fit(X)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_allclose(in_blocks.components_, whole.components_, atol=1e-6)
    np.testing.assert_allclose(in_blocks.coordinates_, whole.coordinates_, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(in_blocks.explained_variance_, whole.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(in_blocks.transform(X), whole.transform(X), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_signs_do_not_depend_on_the_order_of_samples(seed):
    X = data(seed, 20, (50,))
    shuffled = np.random.default_rng(seed).permutation(X)
    np.testing.assert_allclose(PCA(18).fit(shuffled).components_, PCA(18).fit(X).components_, atol=1e-5)


def test_directions_without_variance_are_dropped():
    X = np.repeat(data(0, 4, (50,)), 3, axis=0)
    model = PCA(11).fit(X)
    assert len(model.components_) == 3  # four different samples
    assert model.explained_variance_ratio_.sum() == pytest.approx(1)

    constant = PCA().fit(np.full((10, 3, 2), 7, "float32"))
    np.testing.assert_array_equal(constant.inverse_transform(constant.coordinates_), np.full((10, 3, 2), 7))
    assert constant.explained_variance_ratio_.size == 0


@pytest.mark.parametrize("seed", range(3))
def test_coordinates_are_an_isometry(seed):
    """With all components kept, distances in coordinates are those of the data, and the data come back."""
    X = data(seed, 25, (6, 20))
    model = PCA().fit(X)
    flat = X.reshape(25, -1)
    real = np.linalg.norm(flat[:, None] - flat, axis=2)
    ours = np.linalg.norm(model.coordinates_[:, None] - model.coordinates_, axis=2)
    np.testing.assert_allclose(ours, real, rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(model.inverse_transform(model.coordinates_), X, rtol=1e-4, atol=1e-2)
    assert model.residual_.max() < 1e-9 * model.total_variance_


def test_leading_coordinates_are_enough_to_go_back():
    X = data(0, 20, (3, 4))
    model, rectified = PCA(5).fit(X), PCA(5, rectify=True).fit(X)
    Z = model.coordinates_.copy()
    Z[:, 2:] = 0
    back = model.inverse_transform(Z)
    assert back.dtype == "float32" and back.min() < 0
    np.testing.assert_allclose(model.inverse_transform(Z[:, :2]), back, rtol=1e-5)
    np.testing.assert_array_equal(rectified.inverse_transform(Z), np.maximum(back, 0))


def test_activations_of_another_shape():
    with pytest.raises(ValueError, match=r"shape \('n', 3, 4\); received \(5, 12\)"):
        PCA().fit(data(0, 20, (3, 4))).transform(np.zeros((5, 12)))
    assert PCA().fit(data(0, 20, (3, 4))).transform(np.zeros((0, 3, 4))).shape == (0, 12)


@pytest.mark.parametrize("kind", [PCA, PCAGaussian, LocalGaussian, BootstrapMix, ClusteredGaussian])
@pytest.mark.parametrize("fitted", [PCA(rectify=True).fit(data(0, 20, (3, 4))), PCA().fit(np.zeros((5, 2)))])
def test_every_sampler_can_be_made_of_one_state(kind, fitted):
    model, own = kind.from_state(fitted.state()), kind(rectify=fitted.rectify)
    own.n_components = None
    assert model.rectify == fitted.rectify and model.shape_ == fitted.shape_
    for name, value in fitted.state().items():
        np.testing.assert_array_equal(model.state()[name], value)
    if kind is not PCA:
        X = data(0, 20, (3, 4)) if fitted.rectify else np.zeros((5, 2))
        np.testing.assert_array_equal(model.sample(5, seed=3), own.fit(X).sample(5, seed=3))


def test_parameters_beside_a_state():
    state = PCA().fit(data(0, 20, (3, 4))).state()
    assert LocalGaussian.from_state(state, n_neighbours=3).n_neighbours == 3
    assert PCAGaussian.from_state(state, n_components=7, shrinkage=None).n_components_ == 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape_": (4, 4)},
        {"mean_": np.zeros(11)},
        {"components_": np.zeros((2, 12))},
        {"coordinates_": np.zeros((20, 2))},
        {"residual_": np.zeros(19)},
        {"n_samples_seen_": 19},
        {"explained_variance_": np.array([3, 2, -1])},
        {"explained_variance_": np.array([3, 2, np.nan])},
        {"residual_": np.full(20, -1)},
        {"total_variance_": np.inf},
        {"components_": np.full((3, 12), np.nan)},
        {"mean_": np.full(12, np.inf)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_state_that_does_not_fit_together_is_refused(wrong):
    state = PCA(3).fit(data(0, 20, (3, 4))).state()
    with pytest.raises(ValueError, match="expected .* received"):
        PCA.from_state(state | wrong)


def test_a_state_with_parts_missing_is_refused():
    state = PCA(3).fit(data(0, 20, (3, 4))).state()
    del state["coordinates_"], state["mean_"]
    with pytest.raises(ValueError, match="without coordinates_, mean_"):
        PCA.from_state(state)
