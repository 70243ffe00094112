"""Activations computed by the workers of a Dask cluster, for `collect`: the extra `vizlib[scale]`."""

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import dask
import keras
from dask.distributed import as_completed


def on_cluster(client, model, blocks):
    """Yield (index, {name: float32 array}) for each of the blocks (index, images), in the order in which they are done.

    client: a `distributed.Client`; its workers have vizlib installed. model: a Keras model from images to
    {name: activations}. Two blocks for each thread of the cluster are under way at a time. What a worker had to do
    that is lost is done by another, which may join later; `distributed.KilledWorker` is raised where several workers
    died of the same block.
    """
    # Computed, so that the cluster makes it again when the only worker that has it dies.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
        network = client.submit(bytes, _saved(model))
    blocks, indices, done = iter(blocks), {}, as_completed()

    def submit_some():
        while len(indices) < 2 * max(1, sum(client.nthreads().values())) and (block := next(blocks, None)):
            future = client.submit(_activations, network, block[1], pure=False)
            indices[future] = block[0]
            done.add(future)

    try:
        submit_some()
        for future in done:
            yield indices.pop(future), future.result()
            future.release()
            submit_some()
    finally:
        client.cancel(list(indices))


def _activations(network, images):
    return _loaded(network).predict_on_batch(images)


def _saved(model):
    with TemporaryDirectory() as folder:
        path = Path(folder, "network.keras")
        model.save(path)
        return path.read_bytes()


@lru_cache(maxsize=1)
def _loaded(network):
    """The model of the bytes of a .keras file, read in Keras's safe mode, once in each process."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "network.keras")
        path.write_bytes(network)
        return keras.models.load_model(path, compile=False)
