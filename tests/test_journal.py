"""Transactions, cut off at every write, on a full disk or with two at one file, leave the old file or the new one."""

import builtins
import errno
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from vizlib.store import journal, locks
from vizlib.store.journal import reading, replacement, transaction

NUMBERS = np.random.default_rng(0).integers(0, 2**31, 3000)


def add(file, name):
    file.create_dataset(name, data=NUMBERS, chunks=(1000,), fletcher32=True)


def change(file):
    """Something of all that HDF5 does to a file: it grows, numbers are overwritten, room becomes free and is used."""
    for i in range(6):
        add(file.require_group("new"), str(i))
    file["old/1"][500:1500] = 7
    del file["old/0"]
    add(file["old"], "again")
    file.attrs["state"] = "new"


def shrink(file):
    del file["old/2"]
    file.attrs["state"] = "new"


def content(path):
    """What is in a file, and not where."""
    found = {}
    with reading(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes() if hasattr(item, "shape") else None}))
        return found | {"state": file.attrs["state"]}


@pytest.fixture
def path(tmp_path):
    with replacement(tmp_path / "stats.h5") as file:
        file.attrs["state"] = "old"
        for i in range(3):
            add(file.require_group("old"), str(i))
    return tmp_path / "stats.h5"


def names(path):
    return sorted(file.name for file in path.parent.iterdir())


# Everything that reaches the disk, recorded in order.


class Disk:
    """Between `vizlib.journal` and the file system. `log`: (what, file name, *how) of all that changes a file."""

    def __init__(self, monkeypatch, writes_left=None):
        self.log, self.writes_left, self.numbers = [], writes_left, {}
        monkeypatch.setattr(journal, "open", self.open, raising=False)
        monkeypatch.setattr(journal.os, "fsync", self.wrap(os.fsync, lambda fd: ("sync", self.name(fd))))
        monkeypatch.setattr(journal.os, "replace", self.wrap(os.replace, lambda a, b: ("rename", a.name, b.name)))
        monkeypatch.setattr(journal.Path, "unlink", self.wrap(Path.unlink, lambda p, **_: ("unlink", p.name)))

    def open(self, path, mode, buffering=-1):
        return File(self, path, mode) if buffering == 0 else builtins.open(path, mode)

    def wrap(self, function, entry):
        def wrapped(*args, **options):
            self.log.append(entry(*args, **options))
            return function(*args, **options)

        return wrapped

    @staticmethod
    def name(fd):
        found = Path(os.readlink(f"/proc/self/fd/{fd}"))
        return "." if found.is_dir() else found.name


class File(io.FileIO):
    def __init__(self, disk, path, mode):
        super().__init__(path, mode)
        self.disk, self.short = disk, Path(path).name
        if "w" in mode:
            disk.log.append(("truncate", self.short, 0))

    def write(self, data):
        if self.disk.writes_left is not None:
            if self.disk.writes_left <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.disk.writes_left -= 1
            data = data[: len(data) // 2] if not self.disk.writes_left else data  # the last bytes that the disk takes
        self.disk.log.append(("write", self.short, self.tell(), bytes(data)))
        return super().write(data)

    def truncate(self, size):
        self.disk.log.append(("truncate", self.short, size))
        return super().truncate(size)


def replay(files, log):
    """The files {name: content} after what is in the log."""
    files = {name: bytearray(data) for name, data in files.items()}
    for what, name, *how in log:
        if what == "write":
            file = files.setdefault(name, bytearray())
            file.extend(bytes(max(0, how[0] + len(how[1]) - len(file))))
            file[how[0] : how[0] + len(how[1])] = how[1]
        elif what == "truncate":
            file = files.setdefault(name, bytearray())
            file.extend(bytes(max(0, how[0] - len(file))))
            del file[how[0] :]
        elif what == "rename":
            files[how[0]] = files.pop(name)
        elif what == "unlink":
            files.pop(name, None)
    return files


@pytest.fixture
def recorded(path, monkeypatch, request):
    """The files before a transaction, the log of the transaction, and the content before and after."""
    act = getattr(request, "param", change)
    before, old = {path.name: path.read_bytes()}, content(path)
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        with transaction(path) as file:
            act(file)
    after = replay(before, disk.log)
    assert after == {path.name: path.read_bytes()}  # the log is all there is to it
    return before, disk.log, old, content(path)


def opened(folder, files):
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return content(folder / "stats.h5")


@pytest.mark.parametrize("recorded", [change, shrink], indirect=True)
def test_a_process_that_dies_at_any_byte(recorded, tmp_path):
    before, log, old, new = recorded
    assert sum(entry[0] == "write" for entry in log) > (25 if "new/0" in new else 3)
    states = []
    for i, (what, name, *how) in enumerate(log):
        cuts = {0, 1, len(how[1]) // 2, len(how[1]) - 1} if what == "write" else {0}
        for cut in sorted(cuts):
            last = [(what, name, how[0], how[1][:cut])] if cut else []
            folder = tmp_path / f"{i}-{cut}"
            states.append(opened(folder, replay(before, [*log[:i], *last])))
            assert states[-1] in (old, new)
            assert [file.name for file in folder.iterdir() if file.suffix != ".new"] == ["stats.h5"]
    turn = states.index(new)
    assert all(state == old for state in states[:turn]) and all(state == new for state in states[turn:])


@pytest.mark.parametrize("recorded", [change, shrink], indirect=True)
def test_power_that_fails_at_any_moment(recorded, tmp_path):
    """What has not been brought to the disk may be there or not, in any combination; names change in order."""
    before, log, old, new = recorded
    rng, seen = np.random.default_rng(0), []
    for i in range(len(log) + 1):
        for attempt in range(3):
            kept, names_lost = [], False
            for j, entry in enumerate(log[:i]):
                of_folder = entry[0] in ("rename", "unlink")
                safe = ("sync", "." if of_folder else entry[1]) in log[j:i]
                names_lost = names_lost or (of_folder and not safe and rng.random() < 0.5)
                if safe or (not names_lost if of_folder else rng.random() < 0.5):
                    kept.append(entry)
            try:
                files = replay(before, kept)
            except KeyError:
                raise AssertionError(f"renamed before it was written: {kept}") from None
            seen.append(opened(tmp_path / f"{i}-{attempt}", files))
            assert seen[-1] in (old, new)
    assert old in seen and new in seen


def test_after_a_crash_the_next_transaction_is_as_any_other(recorded, tmp_path):
    before, log, old, new = recorded
    for i in range(0, len(log), 5):
        folder = tmp_path / str(i)
        state = opened(folder, replay(before, log[:i]))
        with transaction(folder / "stats.h5") as file:
            add(file, "later")
        assert content(folder / "stats.h5") == state | {"later": NUMBERS.tobytes()}
        assert names(folder / "stats.h5") == ["stats.h5"]
        with h5py.File(folder / "stats.h5") as file:  # and it has not kept what was cut off
            assert (folder / "stats.h5").stat().st_size == file.id.get_filesize()


def test_room_at_the_end_is_given_back(path):
    before = path.stat().st_size
    with transaction(path) as file:
        shrink(file)
    assert path.stat().st_size < before - NUMBERS.nbytes // 2
    with h5py.File(path) as file:
        assert path.stat().st_size == file.id.get_filesize()


def test_a_full_disk(path, recorded, monkeypatch, tmp_path):
    before, log, old, new = recorded
    n_writes = sum(entry[0] == "write" for entry in log)
    for i in range(n_writes):
        path.write_bytes(before[path.name])
        with monkeypatch.context() as patch:
            Disk(patch, writes_left=i)
            with pytest.raises(OSError, match="No space left") as caught, transaction(path) as file:
                change(file)
        assert caught.value.errno == errno.ENOSPC
        in_the_journal = path.with_suffix(".h5.journal").exists()
        assert in_the_journal or path.read_bytes() == before[path.name]
        assert content(path) == (new if in_the_journal else old)
        assert names(path) == ["stats.h5"]


def test_a_real_limit_to_the_size_of_files(path):
    resource = pytest.importorskip("resource")
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50_001, limits[1]))
    try:
        with pytest.raises(OSError) as caught, transaction(path) as file:
            change(file)
        assert caught.value.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before and names(path) == ["stats.h5"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_inside_undoes_it_all(path, error):
    before = path.read_bytes()
    with pytest.raises(error), transaction(path) as file:
        change(file)
        file.flush()
        raise error
    assert path.read_bytes() == before and names(path) == ["stats.h5"]


def test_an_interrupt_while_something_is_written(path, monkeypatch):
    before = path.read_bytes()

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(journal, "_write_all", interrupt)
    with pytest.raises(KeyboardInterrupt), transaction(path) as file:
        change(file)
    assert path.read_bytes() == before and names(path) == ["stats.h5"]


@pytest.fixture
def keyboard():
    """Ctrl-C interrupts, as in a terminal; programs that run in the background are started to ignore it."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


def test_an_interrupt_from_the_keyboard_waits_until_all_is_written(path, keyboard):
    steps = []
    with pytest.raises(KeyboardInterrupt):
        with transaction(path) as file:
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("goes on")
            add(file, "interrupted")
        steps.append("never")
    with reading(path) as file:
        assert steps == ["goes on"] and "interrupted" in file
    with pytest.raises(KeyboardInterrupt):  # as ever
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


def test_pages_need_not_begin_or_end_where_writes_do(path):
    """Against a bytearray: reads and writes of any length anywhere, beyond the end and across it."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        expected = bytearray(rng.bytes(int(rng.integers(1, 20_000))))
        path.write_bytes(expected)
        file = journal.JournaledFile(path)
        for _ in range(200):
            start, n = (int(x) for x in rng.integers(0, (25_000, 9_000)))
            file.seek(start)
            if rng.random() < 0.5:
                data = rng.bytes(n)
                file.write(memoryview(data))
                expected.extend(bytes(max(0, start + n - len(expected))))
                expected[start : start + n] = data
            else:
                buffer = bytearray(b"?" * n)
                file.readinto(memoryview(buffer))
                assert buffer == expected[start : start + n].ljust(n, b"\0")
            assert file.seek(0, os.SEEK_END) == len(expected)
        file.truncate(len(expected) - 5)
        file.commit()
        file.close()
        assert path.read_bytes() == expected[:-5]


# Journals that are not what they should be.


@pytest.fixture
def half_done(recorded, path):
    """A file whose journal is there and of which nothing is written yet: (path, journal, content before and after)."""
    before, log, old, new = recorded
    turn = [i for i, entry in enumerate(log) if entry[0] == "rename"][0] + 1
    files = replay(before, log[:turn])
    for name, data in files.items():
        path.with_name(name).write_bytes(data)
    return path, path.with_suffix(".h5.journal"), old, new


@pytest.mark.parametrize("harm", [lambda x: x[:-1], lambda x: x[:40] + b"?" + x[41:], lambda x: b"", lambda x: x * 2])
def test_a_damaged_journal_is_no_journal(half_done, harm):
    path, file, old, new = half_done
    file.write_bytes(harm(file.read_bytes()))
    assert content(path) == old and names(path) == ["stats.h5"]


def test_a_whole_journal_is(half_done):
    path, _, _, new = half_done
    assert content(path) == new and names(path) == ["stats.h5"]


def test_a_journal_of_a_longer_file(half_done):
    path, file, _, _ = half_done
    path.write_bytes(path.read_bytes()[:5000])
    for access in (content, lambda path: transaction(path).__enter__()):
        with pytest.raises(ValueError, match="bytes that its journal is for; received 5000"):
            access(path)
    assert file.exists()


def test_a_journal_of_no_file(half_done):
    """A new file under the name of one that was deleted has nothing to do with its journal."""
    path, _, _, _ = half_done
    path.unlink()
    with replacement(path) as file:
        file.attrs["state"] = "another"
    assert content(path) == {"state": "another"} and names(path) == ["stats.h5"]


# Several programs.

HOLD = """
import sys, h5py
from vizlib.store.journal import reading, transaction
with {}({!r}) as file:
    if file.mode == "r+":
        file.attrs["state"] = "new"
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(path):
    """Start another process that is in the middle of `reading` or of a `transaction`, until its input is closed."""
    started = []

    def start(kind):
        code = HOLD.format(kind, str(path))
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"in\n"
        return process

    yield start
    for process in started:
        process.kill()
        with process:  # closes the pipes
            pass


def test_readers_go_on_while_another_process_writes(path, hold):
    old = content(path)
    process = hold("transaction")
    assert content(path) == old
    with h5py.File(path) as file:  # also those that know nothing of journals
        assert file.attrs["state"] == "old"
    with pytest.raises(BlockingIOError):
        h5py.File(path, "r+")
    process.communicate()
    assert content(path) == old | {"state": "new"} and names(path) == ["stats.h5"]


def test_a_second_writer_is_told_who_writes(path, hold, monkeypatch):
    process = hold("transaction")
    monkeypatch.setattr(locks, "WAIT", 0.1)
    began = time.monotonic()
    message = rf"expected {re.escape(str(path))} to be free .* received: in use by process {process.pid} on \w+"
    with pytest.raises(TimeoutError, match=message), transaction(path):
        pass
    assert 0.1 < time.monotonic() - began < 2


def test_a_second_writer_waits_for_the_first(path, hold):
    process = hold("transaction")
    threading.Timer(0.3, process.stdin.close).start()
    with transaction(path) as file:
        assert file.attrs["state"] == "new"
        add(file, "second")
    assert "second" in content(path)


def test_a_writer_that_was_killed_is_in_nobodys_way(path, hold):
    old = content(path)
    process = hold("transaction")
    process.kill()
    process.wait()
    assert content(path) == old
    with transaction(path) as file:
        add(file, "later")
    assert content(path).keys() == old.keys() | {"later"} and names(path) == ["stats.h5"]


def test_a_commit_waits_for_readers_and_gives_up(path, hold, monkeypatch):
    before, process = path.read_bytes(), hold("reading")
    monkeypatch.setattr(locks, "WAIT", 0.1)
    with pytest.raises(TimeoutError, match="expected .*stats.h5 to be free"), transaction(path) as file:
        change(file)
    assert path.read_bytes() == before and names(path) == ["stats.h5"]
    process.communicate()
    with transaction(path) as file:
        change(file)
    assert content(path)["state"] == "new"


def test_readers_and_writers_in_one_process(path, monkeypatch):
    """Readers in two threads see whole states only, whatever two writers do."""
    monkeypatch.setattr(locks, "WAIT", 100)  # how long that takes is not what is tested
    with transaction(path) as file:
        file["pair"] = np.zeros(2, int)
    stop, seen, errors = threading.Event(), set(), []

    def guarded(function):
        try:
            function()
        except Exception as error:
            errors.append(error)

    def read():
        while not stop.is_set():
            with reading(path) as file:
                seen.add(tuple(file["pair"][()].tolist()))
            time.sleep(0.01)

    def write():
        for _ in range(20):
            with transaction(path) as file:
                file["pair"][...] = file["pair"][()] + 1
                add(file, hashlib.sha256(os.urandom(8)).hexdigest())

    readers = [threading.Thread(target=guarded, args=[read]) for _ in range(2)]
    writers = [threading.Thread(target=guarded, args=[write]) for _ in range(2)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert not errors and len(seen) > 3
    with reading(path) as file:
        assert file["pair"][()].tolist() == [40, 40] and len(file) == 42
    assert all(a == b for a, b in seen)


def test_a_replacement_is_whole_or_not_there(path, monkeypatch):
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), replacement(path) as file:
        add(file, "other")
        raise ZeroDivisionError
    assert path.read_bytes() == before and names(path) == ["stats.h5"]
    with monkeypatch.context() as patch:
        Disk(patch, writes_left=3)
        with pytest.raises(OSError, match="No space left"), replacement(path) as file:
            add(file, "other")
    assert path.read_bytes() == before and names(path) == ["stats.h5"]
    with reading(path) as old, replacement(path) as file:  # who reads the old one goes on
        add(file, "other")
        file.attrs["state"] = "other"
        assert old.attrs["state"] == "old"
    assert content(path) == {"other": NUMBERS.tobytes(), "state": "other"} and names(path) == ["stats.h5"]
