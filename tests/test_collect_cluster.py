"""Collecting on a Dask cluster: a class is a task, its worker writes its files, whatever becomes of a worker."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from distributed import Client, LocalCluster
from test_collect import contents

import vizlib as viz
from vizlib.networks import Network
from vizlib.store import StatsStore

CLASSES = ["cat", "dog", "cow", "ant"]
LAYERS = ["conv1", "conv2", "predictions"]


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def net(tiny_cnn):
    tiny_cnn.set_weights([w + np.random.default_rng(1).normal(0, 0.1, w.shape) for w in tiny_cnn.get_weights()])
    return Network(tiny_cnn, lambda images: images * 2 - 1, ["a", "b", "c"])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("source"), np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir()
        for i in range(40):
            viz.images.save_image(folder / name / f"{i:02}.png", rng.integers(0, 256, (6, 6, 3), "uint8"))
    return folder


def collected(path, net, source, client=None):
    viz.collect(StatsStore(path, net), source, CLASSES, LAYERS, client=client, progress=False)
    return contents(path)


def test_the_result_is_the_serial_one(tmp_path, net, source, client):
    found = collected(tmp_path / "a", net, source, client)
    assert found == collected(tmp_path / "b", net, source)
    assert {name.split("/")[0] for name, _ in found} == set(CLASSES)
    who = client.run(lambda: "vizlib.store.collecting" in __import__("sys").modules)
    assert len(who) == 2 and all(who.values())  # both of them had a part in it
    before = time.time()
    assert collected(tmp_path / "a", net, source, client) == found
    assert all(file.stat().st_mtime < before for file in (tmp_path / "a").rglob("*.h5"))  # nothing was left to do


def test_a_worker_that_is_killed_costs_no_data(tmp_path, net, source, client):
    killed, folder = [], tmp_path / "a"

    def kill():
        while not list(folder.rglob("images.h5")):
            time.sleep(0.001)
        killed.append(list(client.run(os.getpid).values())[0])
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    found = collected(folder, net, source, client)
    thread.join()
    assert len(killed) == 1
    assert found == collected(tmp_path / "b", net, source)


def test_an_error_on_the_way_is_raised_and_the_next_call_goes_on(tmp_path, net, source, client):
    with pytest.raises(ValueError, match="received 'bee'"):
        viz.collect(StatsStore(tmp_path / "a", net), source, [*CLASSES, "bee"], LAYERS, client=client, progress=False)
    assert collected(tmp_path / "a", net, source) == collected(tmp_path / "b", net, source)
