"""`scripts/fuzz.py` for a few seconds: the same changed files each time, and faults that it has to find."""

import os
import pickle
from pathlib import Path

import fuzz
import pytest

CASES = {"images": 300, "labels": 300, "recipes": 100, "networks": 60, "caffe": 60, "theano": 15, "stores": 25,
         "archives": 100}  # fmt: skip


@pytest.fixture(scope="module")
def reader():
    reader = fuzz.Reader()
    yield reader
    reader.close()


@pytest.mark.parametrize("name", CASES)
def test_changed_files_are_read_right_or_refused_in_plain_words(reader, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    results, findings = fuzz.fuzz(reader, name, range(CASES[name]))
    assert not findings
    assert results.total() == CASES[name] and 0 < results["read"] < 0.7 * CASES[name]


def read_elsewhere(folder):
    with open("/proc/self/comm", "w"):
        pass


FAULTS = {
    "KeyError: 'a'": lambda folder: {}["a"],
    "MemoryError": lambda folder: bytearray(2**31),
    "open /proc/self/comm": read_elsewhere,
    "os.mkdir ": lambda folder: os.mkdir(folder.parent),
    "pickle.find_class ('os', 'mkdir')": lambda folder: pickle.loads(b"cos\nmkdir\n."),
}


@pytest.mark.parametrize("said", FAULTS)
def test_faults_are_found(said, tmp_path):
    from fuzz_targets import TARGETS, Target

    wrong, _ = fuzz.outcome(Target(None, FAULTS[said]), tmp_path, fuzz.Watch(tmp_path))
    assert said in wrong
    assert CASES.keys() == TARGETS.keys()


def test_a_reader_that_ends_or_takes_too_long_is_found_and_replaced(reader):
    before = reader.process
    reader.process.kill()
    assert reader.read("labels", 0)[:2] == ("the process ended with -9", "crash")
    assert reader.process is not before and reader.read("labels", 0)[1] in ("read", "ValueError at labels.py:26")
    assert Path(reader.root.name).is_dir()
