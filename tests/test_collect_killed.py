"""Collecting that is killed at any moment, or done twice at once, ends well."""

import json
import multiprocessing
import signal
import time
from contextlib import contextmanager

import numpy as np
import pytest
from linear import Linear
from test_collect import IMAGES, collected, contents

from vizlib.store import StatsStore, collect, files, spool

LAYERS = ("near", "far")
MOMENTS = 20


def collect_and_tell(path, telling, memory=0):
    """In a process of its own: collect, and tell when it begins and how many seconds it took."""
    spool.MEMORY = memory
    telling.send("begins")
    start = time.perf_counter()
    collect(StatsStore(path, Linear()), IMAGES, "cat", LAYERS, progress=False)
    telling.send(time.perf_counter() - start)


@pytest.fixture(scope="module")
def processes():
    """Processes that begin where all imports are done, forked from one that has no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vizlib.store", "vizlib.statistics"])
    return context


def started(processes, path, memory=0):
    told, telling = processes.Pipe(duplex=False)
    process = processes.Process(target=collect_and_tell, args=(path, telling, memory))
    process.start()
    telling.close()
    assert told.poll(60) and told.recv() == "begins"
    return process, told


@pytest.mark.parametrize("memory", [0, 10**9], ids=["on disk", "in memory"])
def test_killed_at_random_moments(tmp_path, processes, memory):
    whole = collected(tmp_path / "whole", Linear(), layers=LAYERS)
    durations = []
    for i in range(3):
        process, told = started(processes, tmp_path / f"timed{i}", memory)
        durations.append(told.recv())
        process.join()
    killed = set()
    for i, moment in enumerate(np.random.default_rng().uniform(0, min(durations), MOMENTS)):
        path = tmp_path / f"{i}"
        process, _ = started(processes, path, memory)
        time.sleep(moment)
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            killed.add(i)
        assert collected(path, Linear(), layers=LAYERS) == whole, f"killed after {moment} s of {durations}"
    assert len(killed) > MOMENTS / 2, durations


def test_killed_over_and_over(tmp_path, processes):
    """Also what goes on after a kill may be killed."""
    path, deaths = tmp_path / "stats", 0
    while True:
        process, told = started(processes, path)
        if told.poll(0.01 * 1.5**deaths):  # ever later, so that it ends on any machine
            break
        process.kill()
        process.join()
        deaths += 1
    process.join()
    assert deaths > 1
    assert collected(path, Linear(), layers=LAYERS) == collected(tmp_path / "whole", Linear(), layers=LAYERS)


@pytest.mark.parametrize("delay", [0, 0.01, 0.03])
def test_two_processes_at_one_class(tmp_path, processes, delay):
    """Both end well, and there is one result."""
    first, telling = started(processes, tmp_path / "stats")
    time.sleep(delay)
    second, also_telling = started(processes, tmp_path / "stats")
    for process, told in ((first, telling), (second, also_telling)):
        process.join()
        assert process.exitcode == 0 and told.recv() > 0
    whole = collected(tmp_path / "whole", Linear(), layers=LAYERS)
    assert contents(tmp_path / "stats") == whole == collected(tmp_path / "stats", Linear(), layers=LAYERS)


CLASSES = "cat", "cow", "dog"


def collect_each(path, first):
    """In a process of its own: collect all classes, from one of them on."""
    for class_name in (*CLASSES[first:], *CLASSES[:first]):
        collect(StatsStore(path, Linear()), IMAGES, class_name, LAYERS, progress=False)


def read_meanwhile(path, asked):
    """In a process of its own: read whatever there is, over and over; tell what was seen."""
    seen = set()
    while not asked.poll(0):
        store = StatsStore(path, Linear())
        for name in store.classes:
            seen.update((name, layer, sha256) for layer, sha256 in store.entries(name).items())
            assert len(store.activations(name, "image", [1, 7])) == 2 and len(store.to_dataframe())
            for layer in store.layers(name)[1:]:
                assert store.model(name, layer, "Moments").n_samples_seen_ == len(IMAGES)
    asked.send(seen)


def test_three_processes_at_three_classes_and_a_reader(tmp_path, processes):
    """They begin with different classes and come upon each other's; the reader finds whole files alone."""
    path = tmp_path / "stats"
    collecting = [processes.Process(target=collect_each, args=(path, first)) for first in range(3)]
    asking, asked = processes.Pipe()
    reading = processes.Process(target=read_meanwhile, args=(path, asked))
    for process in (*collecting, reading):
        process.start()
    for process in collecting:
        process.join()
        assert process.exitcode == 0
    asking.send("enough")
    assert asking.poll(30)
    seen = asking.recv()
    reading.join()
    collected(tmp_path / "whole", Linear(), layers=LAYERS)
    expected = StatsStore(tmp_path / "whole", Linear()).entries("cat")
    assert all(StatsStore(path, Linear()).entries(name) == expected for name in CLASSES)
    assert seen and seen <= {(name, layer, sha256) for name in CLASSES for layer, sha256 in expected.items()}
    assert sorted(file.name for file in path.iterdir()) == [*CLASSES, "network.json"]


def without_locks(path, telling):
    import filelock

    def fails(self, *args, **options):
        raise OSError(37, "No locks available")

    filelock.FileLock.acquire = fails
    collect_and_tell(path, telling)


def test_two_processes_at_one_class_where_there_are_no_locks(tmp_path, processes):
    """Both do all of the work; what they leave is the same."""
    pairs = []
    for _ in range(2):
        told, telling = processes.Pipe(duplex=False)
        process = processes.Process(target=without_locks, args=(tmp_path / "stats", telling))
        process.start()
        pairs.append((process, told, telling))
    for process, _, _ in pairs:
        process.join()
    assert [process.exitcode for process, _, _ in pairs] == [0, 0]
    whole = collected(tmp_path / "whole", Linear(), layers=LAYERS)
    assert collected(tmp_path / "stats", Linear(), layers=LAYERS) == whole


def test_what_a_kill_left_of_the_networks_facts_is_removed(tmp_path):
    part = tmp_path / "stats" / "network.json.0123.part"
    part.parent.mkdir()
    part.write_text("{")
    collected(tmp_path / "stats", Linear(), layers=LAYERS)  # which looks at what is there


def test_facts_of_a_network_that_come_too_late_are_compared(tmp_path, monkeypatch):
    """Another process has written them meanwhile, and removed what this one was writing."""
    ours, other = (files.network_facts(Linear()) | {"weights": weights} for weights in ("a", "b"))

    @contextmanager
    def overtaken(path):
        path.write_text(json.dumps({"format": files.FORMAT} | ours))
        yield path.with_name("network.json.0.part")
        raise FileNotFoundError("removed")

    monkeypatch.setattr(files, "written", overtaken)
    files.write_network(tmp_path / "same", ours)
    with pytest.raises(ValueError, match="expected the network that .* was collected with"):
        files.write_network(tmp_path / "other", other)
