"""What collecting costs: images a second against bare `predict`, memory, loading, bytes.

    python -m benchmarks.collecting [mini | vgg16]    # whose memory: vgg16 up to block3_conv3, at 64 px, takes an hour

Rates are of one process in one run, in turns. "To disk" is the pass over the images alone, which is where the network
works; the fit of moments and principal components comes on top.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import vizlib as viz
from vizlib.networks.network import vgg_preprocess
from vizlib.store.blocks import ActivationBlocks
from vizlib.store.collecting import compute

RUNS, IMAGES, MEMORY_AT = 5, 512, (500, 5000)


def convolutions(net):
    return [name for name in net.layers if "_conv" in name]


def noise(net, n):
    """Images that nothing can compress: uint8."""
    return np.random.default_rng(0).integers(0, 256, (n, net.image_size, net.image_size, 3), "uint8")


def rates(net, n=IMAGES):
    """Seconds for n images and all convolution layers: bare predict, the pass to disk, collect; medians in turns."""
    images, layers = noise(net, n), convolutions(net)
    names = {layer: f"{layer}:pre" for layer in layers}
    model = net.features(tuple(names.values()))

    def predict():
        model.predict(images / np.float32(255), batch_size=32, verbose=0)

    def to_disk():
        with tempfile.TemporaryDirectory() as folder:
            compute(net, images, names, ActivationBlocks(Path(folder, "blocks"), {"n_images": n}))

    def collect():
        with tempfile.TemporaryDirectory() as folder, viz.StatsStore(Path(folder, "stats.h5")) as store:
            viz.collect(net, images, "noise", layers, store, progress=False)

    to_disk(), predict()  # to warm up
    return np.median([[seconds(function) for function in (predict, to_disk, collect)] for _ in range(RUNS)], axis=0)


def network(source):
    """The embedded network, or VGG16 of 64 px up to block3_conv3, with random weights as they cost the same."""
    if source == "mini":
        return viz.load_network(source)
    whole = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
    return viz.load_network(keras.Model(whole.inputs, whole.get_layer("block3_conv3").output), vgg_preprocess)


def peak_memory(n, source):
    """Peak resident memory, in MB, of a process that collects n images at all convolution layers."""
    code = f"from benchmarks.collecting import collect_noise; collect_noise({n}, {source!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def collect_noise(n, source):
    """Collect n images, and print the peak of this process's resident memory in MB (Linux alone tells)."""
    net = network(source)
    with tempfile.TemporaryDirectory() as folder, viz.StatsStore(Path(folder, "stats.h5")) as store:
        viz.collect(net, noise(net, n), "noise", convolutions(net), store, progress=False)
    status = Path("/proc/self/status").read_text()  # getrusage counts in the process that this one was started by
    print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024)


def entries(net, n=IMAGES):
    """(layer, bytes in the store, seconds to load its default model) of the convolution layers, for n images."""
    with tempfile.TemporaryDirectory() as folder, viz.StatsStore(Path(folder, "stats.h5")) as store:
        viz.collect(net, noise(net, n), "noise", layers := convolutions(net), store, progress=False)
        sizes = store.to_dataframe().set_index("layer")["MB"] * 1e6
        for layer in layers:
            yield layer, sizes[layer], seconds(lambda layer=layer: store.model("noise", layer))


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main(source="mini"):
    net = viz.load_network("mini")
    bare, *ours = rates(net)
    print(f"\n{IMAGES} images, 13 layers | images/s | to bare predict\n---|---|---")
    print(f"bare predict | {IMAGES / bare:.0f} | 1")
    for name, spent in zip(("to disk", "with the fits"), ours, strict=True):
        print(f"{name} | {IMAGES / spent:.0f} | {bare / spent:.2f}")
    print(f"\nlayer, {IMAGES} images | MB in the store | s to load\n---|---|---")
    for layer, size, spent in entries(net):
        print(f"{layer} | {size / 1e6:.1f} | {spent:.3f}")
    print(f"\nimages, {source} | peak memory, MB\n---|---")
    for n in MEMORY_AT:
        print(f"{n} | {peak_memory(n, source)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
