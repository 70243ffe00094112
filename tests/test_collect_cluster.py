"""Collecting on a Dask cluster: the statistics of the serial run, whatever becomes of a worker on the way."""

import os
import signal

import numpy as np
import pytest
from distributed import Client, LocalCluster
from test_collect import contents

import vizlib as viz
from vizlib.networks.network import Network
from vizlib.store.blocks import BLOCK

N = 9 * BLOCK + 5
LAYERS = ["conv1", "conv2", "predictions"]
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 6, 6, 3), "uint8")


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


class Images:
    """Images that call `then` when those from `row` on are read for the second time: the first is the survey."""

    shape = IMAGES.shape

    def __init__(self, row, then):
        self.row, self.then, self.reads = row, then, 0

    def __getitem__(self, rows):
        self.reads += rows.start == self.row
        if rows.start == self.row and self.reads == 2:
            self.then()
        return IMAGES[rows]


def collected(path, net, images, client=None):
    with viz.StatsStore(path) as store:
        viz.collect(net, images, "cat", LAYERS, store, keep_activations=True, client=client, progress=False)
    return contents(path)


def assert_equal(found, expected):
    """Names and attributes are equal, and numbers to 1e-10 of the largest."""
    assert found.keys() == expected.keys()
    for name, item in expected.items():
        if isinstance(item, dict):
            assert found[name] == item
        else:
            dtype, shape, data = item
            assert found[name][:2] == (dtype, shape)
            ours, theirs = (np.frombuffer(x, dtype).astype("float64") for x in (found[name][2], data))
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10 * np.abs(theirs).max(), err_msg=name)


def test_the_result_is_the_serial_one(tmp_path, net, client):
    assert_equal(collected(tmp_path / "a.h5", net, IMAGES, client), collected(tmp_path / "b.h5", net, IMAGES))
    who = client.run(lambda: "vizlib.store.cluster" in __import__("sys").modules)
    assert len(who) == 2 and all(who.values())  # both of them had a part in it


@pytest.mark.parametrize("row", [2 * BLOCK, 7 * BLOCK])
def test_a_worker_that_is_killed_costs_no_data(tmp_path, net, client, row):
    def kill():
        victim = list(client.run(os.getpid).values())[0]
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)

    killed = []
    found = collected(tmp_path / "a.h5", net, Images(row, kill), client)
    assert len(killed) == 1
    assert_equal(found, collected(tmp_path / "b.h5", net, IMAGES))


def test_an_error_on_the_way_is_raised_and_the_next_call_goes_on(tmp_path, net, client):
    def fail():
        raise OSError("the disk of images has gone")

    with pytest.raises(OSError, match="the disk of images has gone"):
        collected(tmp_path / "a.h5", net, Images(5 * BLOCK, fail), client)
    n_written = len(list((tmp_path / "a.h5.cat.partial" / "conv2").iterdir()))
    assert 0 < n_written < 10
    assert_equal(collected(tmp_path / "a.h5", net, IMAGES), collected(tmp_path / "b.h5", net, IMAGES))
