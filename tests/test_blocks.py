"""Activations on disk: what is there is right, and whatever is not right counts as not there."""

import errno
import json
import os
import zlib

import numpy as np
import pytest

from vizlib.store import blocks as blocks_module
from vizlib.store.blocks import BLOCK, ActivationBlocks, quoted

N = 2 * BLOCK + 6
VALUES = {
    "conv": np.random.default_rng(0).standard_normal((N, 5, 4, 3)).astype("float32"),
    "fc": np.random.default_rng(1).standard_normal((N, 70_000 // BLOCK)).astype("float32"),
}
ORIGIN = {"network": "f" * 64, "images": "0" * 64, "n_images": N}


def rows(index):
    return slice(BLOCK * index, BLOCK * (index + 1))


def fill(blocks, indices=(0, 1, 2), layers=VALUES):
    blocks.missing(layers)
    for index in indices:
        blocks.write(index, {layer: VALUES[layer][rows(index)] for layer in layers})


@pytest.fixture
def blocks(tmp_path):
    return ActivationBlocks(tmp_path / "partial", ORIGIN)


@pytest.mark.parametrize("chunk", [1, 3000, blocks_module.CHUNK])
def test_blocks_in_any_order_are_read_as_one_array(blocks, chunk, monkeypatch):
    monkeypatch.setattr(blocks_module, "CHUNK", chunk)  # one row of features a chunk, a few of them, all
    fill(blocks, (2, 0, 1))
    assert blocks.missing(VALUES) == []
    for layer, values in VALUES.items():
        reader = blocks.reader(layer)
        assert (reader.shape, reader.ndim, len(reader), reader.dtype) == (values.shape, values.ndim, N, values.dtype)
        for key in np.s_[:, :], np.s_[:, 2:4], np.s_[:, -1:], np.s_[5:40, 1:3], np.s_[3:4], np.s_[60:], np.s_[-7:-2]:
            np.testing.assert_array_equal(reader[key], values[key], strict=True)
        for key in np.s_[7:7], np.s_[N:], np.s_[40:5], np.s_[:, 3:3], np.s_[N + 5 :]:
            assert reader[key].shape == values[key].shape and not reader[key].size


def test_values_are_cast_to_float32(blocks):
    blocks.missing(["conv"])
    blocks.write(0, {"conv": VALUES["conv"][:BLOCK].astype("float64")})
    blocks.write(1, {"conv": VALUES["conv"][rows(1)]})
    blocks.write(2, {"conv": VALUES["conv"][rows(2)]})
    np.testing.assert_array_equal(blocks.reader("conv")[:], VALUES["conv"], strict=True)


def test_values_are_packed(blocks):
    few = np.maximum(VALUES["conv"][:BLOCK], 2)  # most are 2
    blocks.missing(["conv", "few"])
    blocks.write(0, {"conv": VALUES["conv"][:BLOCK], "few": few})
    sizes = {path.parent.name: path.stat().st_size / few.nbytes for path in blocks.folder.glob("*/*.block")}
    assert sizes["few"] < 0.3 and sizes["conv"] < 1


def test_the_checksum_is_that_of_zip_files(blocks):
    blocks.missing(["fc"])
    blocks.write(0, {"fc": VALUES["fc"][:BLOCK]})
    content = (blocks.folder / "fc" / "000000.block").read_bytes()
    assert int.from_bytes(content[-4:], "little") == zlib.crc32(content[:-4])


def test_a_block_is_missing_until_every_layer_has_it(blocks):
    fill(blocks, (0, 2), ["conv"])
    assert blocks.missing(["conv"]) == [1]
    assert blocks.missing(VALUES) == [0, 1, 2]
    with pytest.raises(ValueError, match="expected 3 blocks of 'conv' in .* received 2"):
        blocks.reader("conv")
    blocks.write(0, {"fc": VALUES["fc"][rows(0)]})
    assert blocks.missing(VALUES) == [1, 2]


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = b""
    elif how == "foreign":
        data = b"not a block at all"
    elif how == "bit":
        data[len(data) // 2] ^= 1
    elif how == "no checksum":
        data = data[:-4]
    elif how == "longer":
        data += b"\0"
    else:  # whole by its checksum
        head, content = bytes(data[:-4]).split(b"\n", 1)
        data = {
            "rows": head.replace(b"[32, 5", b"[31, 5") + b"\n" + content,
            "fewer chunks": head.partition(b', "step"')[0] + b', "step": 1, "bytes": [9]}\n' + content,
            "huge": head.replace(b"[32, 5", b"[32, 5000000") + b"\n" + content,
            "cut": head + b"\n" + content[:-1],
            "other head": b"[]\n" + content,
            "no head": content,
        }[how]
        data += zlib.crc32(data).to_bytes(4, "little")
    path.write_bytes(data)


HOW = "truncated", "empty", "foreign", "bit", "no checksum", "longer"
HOW += "rows", "fewer chunks", "huge", "cut", "other head", "no head"


@pytest.mark.parametrize("how", HOW)
def test_a_damaged_block_is_never_read_and_is_done_again(blocks, how):
    fill(blocks)
    path = blocks.folder / "conv" / "000001.block"
    damage(path, how)
    with pytest.raises(ValueError, match=r"expected .*000001\.block; received"):
        blocks.reader("conv")
    assert blocks.missing(VALUES) == [1]
    assert not path.exists() and (blocks.folder / "fc" / "000001.block").exists()
    fill(blocks, [1])
    np.testing.assert_array_equal(blocks.reader("conv")[:], VALUES["conv"])


def test_a_file_that_shrinks_while_it_is_read_is_told(blocks):
    fill(blocks)
    reader, path = blocks.reader("conv"), blocks.folder / "conv" / "000001.block"
    path.write_bytes(path.read_bytes()[:-100])
    np.testing.assert_array_equal(reader[:BLOCK], VALUES["conv"][:BLOCK])
    with pytest.raises(ValueError, match=r"expected .*000001\.block; received a shorter file"):
        reader[:, 2:]


@pytest.mark.parametrize("change", [{"network": "e" * 64}, {"images": "1" * 64}, {"n_images": N - 1}])
def test_blocks_of_another_origin_are_removed(blocks, change):
    fill(blocks)
    other = ActivationBlocks(blocks.folder, ORIGIN | change)
    assert other.missing(VALUES) == [0, 1, 2]
    assert json.loads((other.folder / "origin.json").read_text()) == ORIGIN | change
    assert [path.name for path in other.folder.iterdir()] == ["origin.json"]


def test_a_damaged_record_is_another_origin(blocks):
    fill(blocks)
    (blocks.folder / "origin.json").write_bytes(b'{"net')
    assert blocks.missing(VALUES) == [0, 1, 2]


def test_a_folder_of_other_things_is_left_alone(blocks):
    blocks.folder.mkdir()
    (blocks.folder / "thesis").mkdir()
    with pytest.raises(ValueError, match="received .*partial without origin.json"):
        blocks.missing(VALUES)
    blocks.remove()
    assert (blocks.folder / "thesis").is_dir()


def test_remove(blocks):
    blocks.remove()  # nothing is there
    blocks.remove("conv")
    fill(blocks)
    blocks.remove("conv")
    assert not (blocks.folder / "conv").exists()
    assert blocks.missing(["fc"]) == []
    (blocks.folder / "origin.77.part").touch()  # a process was killed as it wrote
    blocks.remove()
    assert not blocks.folder.exists()


def test_a_removal_that_was_killed_is_completed(blocks, monkeypatch):
    fill(blocks)
    monkeypatch.setattr(blocks_module.Path, "unlink", None)
    with pytest.raises(TypeError):
        blocks.remove()
    monkeypatch.undo()
    assert blocks.missing(VALUES) == [0, 1, 2]
    blocks.remove()
    assert not blocks.folder.exists()


def test_a_full_disk_leaves_the_blocks_that_were_whole(blocks, monkeypatch):
    fill(blocks, [0])

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(blocks_module.Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        fill(blocks, [1])
    monkeypatch.undo()
    assert blocks.missing(VALUES) == [1, 2]
    assert not list(blocks.folder.rglob("*.part"))


def test_names_of_files_are_safe_and_differ():
    names = ["cat", "a/b", "a%2Fb", "..", ".", "Ünï", "a b", "a\0b", "C:\\x", "%2E%2E"]
    files = [quoted(name) for name in names]
    assert files[0] == "cat" and len(set(files)) == len(names)
    assert all(file.isascii() and not set(file) & set("/\\.\0: ") for file in files)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only where there is a device that is always full")
def test_a_disk_that_is_full_from_the_start(blocks, monkeypatch):
    blocks.missing(["conv"])
    (blocks.folder / "conv").mkdir()
    part = blocks.folder / "conv" / f"000000.{os.getpid()}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        blocks.write(0, {"conv": VALUES["conv"][:BLOCK]})
    assert blocks.missing(["conv"]) == [0, 1, 2] and not part.is_symlink()
