"""Files are written whole or not at all, at whatever step a crash comes; names are told apart, whatever they are."""

import errno
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vizlib import _files
from vizlib._files import leftovers, quoted, unquoted, written

TEXT = st.text(st.characters(codec="utf-8"), min_size=1)


@given(TEXT)
def test_a_name_is_found_again(name):
    safe = quoted(name)
    assert safe.isascii() and len(safe) < 140 and not set(safe) & set("/\\:*?\"<>|. \0")
    assert unquoted(safe) == name or "~" in safe and unquoted(safe) is None
    assert not safe.endswith(_files.TEMPORARY)


@given(TEXT, TEXT)
def test_no_two_names_share_one(one, other):
    assert (quoted(one) == quoted(other)) == (one == other)


@pytest.mark.parametrize(
    "name, expected",
    [("face", "face"), ("base/conv", "base%2Fconv"), ("conv#2", "conv%232"), ("..", "%2E%2E"), ("CON", "%43ON"),
     ("lpt1", "%6Cpt1"), ("console", "console"), ("金", "%E9%87%91"), ("a~b", "a%7Eb"), ("100%", "100%25")],
)
def test_names_by_hand(name, expected):
    assert quoted(name) == expected and unquoted(expected) == name


def test_long_names_are_cut_and_told_apart():
    one, other = quoted("x" * 300), quoted("x" * 299)
    assert one != other and one[:121] == other[:121] == "x" * 120 + "~" and len(one) == 137
    assert len(quoted("金魚" * 14)) == 137  # 252 bytes of %XX


@pytest.mark.parametrize("name", ["a.b", "%zz", "%2e", "a b", "%61", ".lock"])
def test_what_is_no_quoted_name(name):
    assert unquoted(name) is None


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").write_text("old")
    return tmp_path / "file"


def test_a_file_takes_the_place_of_the_old_one(path):
    with written(path) as part:
        part.write_text("new")
        assert path.read_text() == "old" and leftovers(path.parent) == [part]
    assert path.read_text() == "new" and os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError("no")])
def test_what_fails_leaves_the_old_one(path, error):
    with pytest.raises(type(error)), written(path) as part:
        part.write_text("new")
        raise error
    assert path.read_text() == "old" and os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_failure_at_any_step(path, monkeypatch, step):
    def fails(*args, **options):
        raise OSError(errno.EIO, "broken")

    if step == "open":
        monkeypatch.setattr(_files, "open", fails, raising=False)
    else:
        monkeypatch.setattr(os, step, fails)
    with pytest.raises(OSError, match="broken"), written(path) as part:
        Path(part).write_bytes(b"new")
    monkeypatch.undo()
    assert path.read_text() == "old" and os.listdir(path.parent) == ["file"]


def test_content_is_on_the_disk_before_it_has_the_name_and_the_name_after(path, monkeypatch):
    log, fsync, replace = [], os.fsync, os.replace

    def name(fd):
        found = Path(os.readlink(f"/proc/self/fd/{fd}"))
        return "folder" if found.is_dir() else found.suffix

    monkeypatch.setattr(os, "fsync", lambda fd: (log.append(("sync", name(fd))), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (log.append(("rename", Path(b).name)), replace(a, b)))
    with written(path) as part:
        part.write_text("new")
    assert log == [("sync", ".part"), ("rename", "file"), ("sync", "folder")]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES])
def test_folders_that_no_one_can_sync(path, monkeypatch, number):
    fsync = os.fsync

    def fails(fd):
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(number, os.strerror(number))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", fails)
    with written(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"


def write_over_and_over(path, content, times):
    for i in range(times):
        with written(path) as part:
            part.write_bytes(content * (i % 7 + 1))


@pytest.fixture
def context():
    """Processes that begin where imports are done; there is one server of them, also for other tests."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vizlib.store", "vizlib.statistics"])
    return context


def test_two_writers_and_a_reader(path, context):
    """Whoever reads finds the whole of what one of them has written."""
    writers = [context.Process(target=write_over_and_over, args=(path, c * 10_000, 60)) for c in (b"a", b"b")]
    for process in writers:
        process.start()
    found = set()
    while any(process.is_alive() for process in writers):
        content = path.read_bytes()
        found.add(content[:1])
        assert content == b"old" or len(set(content)) == 1 and len(content) % 10_000 == 0
    assert [process.exitcode for process in writers] == [0, 0] and found & {b"a", b"b"}
    assert os.listdir(path.parent) == ["file"]


def test_killed_at_random_moments(path, context):
    """The file is an old or a new one; what else there is, `leftovers` finds."""
    for moment in np.random.default_rng(0).uniform(0.02, 0.3, 12):
        process = context.Process(target=write_over_and_over, args=(path, b"n" * 100_000, 10**6))
        process.start()
        time.sleep(moment)
        process.kill()
        process.join()
        content = path.read_bytes()
        assert content == b"old" or len(content) % 100_000 == 0 and set(content) == {ord("n")}
        assert {path, *leftovers(path.parent)} == set(path.parent.iterdir())
