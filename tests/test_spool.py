"""Activations that wait: what comes out is what was put in, from memory and from disk, after whatever has happened."""

import errno
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vizlib.statistics import Marginals
from vizlib.store import spool
from vizlib.store.spool import Spool

N, STEP, SHAPES = 23, 5, {"conv": (4, 3, 2), "fc/1": (7,)}
VALUES = {layer: np.random.default_rng(0).standard_normal((N, *shape)).astype("float32")
          for layer, shape in SHAPES.items()}
ORIGIN = {"network": "f", "images": "a", "n_images": N, "step": STEP}


@pytest.fixture(params=[0, 500, 10**9], ids=["on disk", "in both", "in memory"])
def memory(request, monkeypatch):
    monkeypatch.setattr(spool, "MEMORY", request.param)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool.part"


def blocks(indices=range(5)):
    return {i: {layer: values[i * STEP : (i + 1) * STEP] for layer, values in VALUES.items()} for i in indices}


def filled(folder, indices=range(5), origin=ORIGIN):
    opened = Spool(folder, origin, SHAPES).__enter__()
    for index, activations in blocks(indices).items():
        opened.put(index, activations)
    return opened


def interrupted(opened):
    """As when an error ends the `with` block: another process goes on."""
    opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def test_what_was_put_in_comes_out(folder, memory):
    opened = filled(folder)
    for layer, values in VALUES.items():
        reader = opened.reader(layer)
        assert reader.shape == values.shape and len(reader) == N and reader.dtype == "float32"
        np.testing.assert_array_equal(reader[:], values)
        np.testing.assert_array_equal(reader[:, 1:3], values[:, 1:3])
    opened.remove()
    assert not folder.exists()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_slice(draw):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "MEMORY", draw.draw(st.sampled_from([0, 500, 10**9])))
        opened = filled(Path(root, "spool"))
        ends = st.integers(-30, 30) | st.none()
        rows, columns, inner = key = tuple(slice(draw.draw(ends), draw.draw(ends)) for _ in range(3))
        if len(range(*rows.indices(N))) and len(range(*columns.indices(4))) and len(range(*inner.indices(3))):
            for part in (key[:1], key[:2], key):
                np.testing.assert_array_equal(opened.reader("conv")[part], VALUES["conv"][part])
            np.testing.assert_array_equal(opened.reader("conv")[rows], VALUES["conv"][rows])


def test_another_process_goes_on_where_one_was_interrupted(folder, memory):
    interrupted(filled(folder, [0, 3]))
    opened = Spool(folder, ORIGIN, SHAPES).__enter__()
    assert opened.missing() == [1, 2, 4]
    for index, activations in blocks(opened.missing()).items():
        opened.put(index, activations)
    for layer, values in VALUES.items():
        np.testing.assert_array_equal(opened.reader(layer)[:], values)


def test_what_was_killed_has_lost_what_was_in_memory(folder, monkeypatch):
    monkeypatch.setattr(spool, "MEMORY", 2 * sum(v[:STEP].nbytes for v in VALUES.values()))
    filled(folder)
    assert Spool(folder, ORIGIN, SHAPES).__enter__().missing() == [0, 1]


@pytest.mark.parametrize(
    "damage",
    [lambda x: x[:-1], lambda x: x + b"0", lambda x: b"", lambda x: x[:40] + bytes([x[40] ^ 1]) + x[41:],
     lambda x: x[:-4] + b"0000"],
)
def test_damaged_blocks_are_missing(folder, monkeypatch, damage):
    monkeypatch.setattr(spool, "MEMORY", 0)
    filled(folder)
    block = folder / "conv" / "000002.block"
    block.write_bytes(damage(block.read_bytes()))
    opened = Spool(folder, ORIGIN, SHAPES).__enter__()
    assert opened.missing() == [2] and not block.exists()


def test_a_block_that_is_cut_off_while_it_is_read(folder, monkeypatch):
    monkeypatch.setattr(spool, "MEMORY", 0)
    opened = filled(folder)
    block = folder / "conv" / "000002.block"
    block.write_bytes(block.read_bytes()[:100])
    with pytest.raises(ValueError, match="a whole block of activations in .*000002.block; received a shorter file"):
        opened.reader("conv")[:]


@pytest.mark.parametrize("change", [{"images": "b"}, {"network": "e"}, {"n_images": N + 1}, {"step": 4}])
def test_blocks_of_another_origin_are_removed(folder, memory, change):
    interrupted(filled(folder))
    origin = ORIGIN | change
    opened = Spool(folder, origin, SHAPES).__enter__()
    assert opened.missing() == list(range(-(-origin["n_images"] // origin["step"])))
    assert os.listdir(folder) == ["origin.json"]


def test_a_layer_more_needs_all_blocks_once_more(folder, memory):
    interrupted(filled(folder))
    assert Spool(folder, ORIGIN, SHAPES | {"pool": (3,)}).__enter__().missing() == [0, 1, 2, 3, 4]
    assert Spool(folder, ORIGIN, {"conv": SHAPES["conv"]}).__enter__().missing() == []


def test_a_disk_that_is_full_when_an_interrupt_comes(folder, monkeypatch):
    """The error that ends it all is the one that came first."""

    def full(path, mode):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(KeyboardInterrupt), Spool(folder, ORIGIN, SHAPES) as opened:
        for index, activations in blocks().items():
            opened.put(index, activations)
        monkeypatch.setattr(spool, "open", full, raising=False)
        raise KeyboardInterrupt
    monkeypatch.undo()
    assert Spool(folder, ORIGIN, SHAPES).__enter__().missing() == [0, 1, 2, 3, 4]


def test_layers_are_quoted(folder, monkeypatch):
    monkeypatch.setattr(spool, "MEMORY", 0)
    filled(folder)
    assert sorted(os.listdir(folder)) == ["conv", "fc%2F1", "origin.json"]


def test_mean_marginals_of_all_images(folder, memory):
    interrupted(filled(folder, [0, 3]))
    opened = Spool(folder, ORIGIN, SHAPES).__enter__()
    for index, activations in blocks(opened.missing()).items():
        opened.put(index, activations)
    for layer, values in VALUES.items():
        found, expected = opened.marginals(layer), Marginals().fit(values)
        assert found.n_samples_seen_ == N
        np.testing.assert_allclose(found.quantiles_, expected.quantiles_, rtol=1e-12, atol=1e-15)
