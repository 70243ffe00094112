"""Collecting that is killed at any moment loses no more than the block it was at."""

import multiprocessing
import signal
import time

import numpy as np
import pytest
from linear import Linear
from test_collect import IMAGES, collected

from vizlib.store.collecting import collect
from vizlib.store.store import StatsStore

LAYERS = ("near", "far")
MOMENTS = 20


def collect_and_tell(path, telling):
    """In a process of its own: collect, and tell when it begins and how many seconds it took."""
    telling.send("begins")
    start = time.perf_counter()
    with StatsStore(path) as store:
        collect(Linear(), IMAGES, "cat", LAYERS, store, progress=False)
    telling.send(time.perf_counter() - start)


@pytest.fixture(scope="module")
def processes():
    """Processes that begin where all imports are done, forked from one that has no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vizlib.collect", "vizlib.statistics"])
    return context


def started(processes, path):
    told, telling = processes.Pipe(duplex=False)
    process = processes.Process(target=collect_and_tell, args=(path, telling))
    process.start()
    telling.close()
    assert told.poll(60) and told.recv() == "begins"
    return process, told


def test_killed_at_random_moments(tmp_path, processes):
    whole = collected(tmp_path / "whole.h5", Linear(), layers=LAYERS)
    durations = []
    for i in range(3):
        process, told = started(processes, tmp_path / f"timed{i}.h5")
        durations.append(told.recv())
        process.join()
    killed = set()
    for i, moment in enumerate(np.random.default_rng().uniform(0, np.median(durations), MOMENTS)):
        path = tmp_path / f"{i}.h5"
        process, _ = started(processes, path)
        time.sleep(moment)
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            killed.add(i)
        assert collected(path, Linear(), layers=LAYERS) == whole, f"killed after {moment} s of {durations}"
    assert len(killed) > MOMENTS / 2, durations


def test_killed_over_and_over(tmp_path, processes):
    """Also what goes on after a kill may be killed."""
    path, deaths = tmp_path / "stats.h5", 0
    while True:
        process, told = started(processes, path)
        if told.poll(0.01 * 1.5**deaths):  # ever later, so that it ends on any machine
            break
        process.kill()
        process.join()
        deaths += 1
    process.join()
    assert deaths > 1
    assert collected(path, Linear(), layers=LAYERS) == collected(tmp_path / "whole.h5", Linear(), layers=LAYERS)
