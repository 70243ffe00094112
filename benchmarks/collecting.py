"""What collecting costs: images a second against bare `predict`, memory, disk, and the first draw.

    python -m benchmarks.collecting                    # the embedded network, 512 images of noise
    python -m benchmarks.collecting SHARED [CLASS]     # VGG16's thirteen convolutions at 224 px, 300 photographs

SHARED is a folder as `scripts/imagenet.py` describes it: the real weights and photographs, no part of the project. The
figure of photographs, of these put through the model and inverted, and of samples goes into output/, which is no part
of it either. Rates are medians of runs in turns, fits included.
"""

import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

import vizlib as viz
from vizlib import StatsStore

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
RUNS, CLASS, SIZE = 3, "golden_retriever", 224
LAYERS = ["block3_conv3", "block4_conv3", "block5_conv3"]
MEMORY_AT = 500, 2000
OUTPUT = Path("output")


def scratch():
    """A folder for a moment, on the disk of the project: that of /tmp may be memory."""
    OUTPUT.mkdir(exist_ok=True)
    return tempfile.TemporaryDirectory(dir=OUTPUT)


def convolutions(net):
    return [name for name in net.layers if "_conv" in name]


def noise(net, n, seed=0):
    """Images that nothing can compress: uint8."""
    return np.random.default_rng(seed).integers(0, 256, (n, net.image_size, net.image_size, 3), "uint8")


def network(source):
    """The embedded network, or VGG16's convolutions from a folder."""
    if source == "mini":
        return viz.load_network(source)
    from imagenet import vgg16

    return vgg16(Path(source), SIZE)


def rates(net, images, layers, predicted=None):
    """Seconds an image of bare predict and of collecting; predict of fewer images, where memory would not hold all."""
    model = net.features(tuple(f"{layer}:pre" for layer in layers))
    shown = images[:predicted].astype("float32")

    def predict():
        model.predict(shown, verbose=0)

    def collect():
        with scratch() as folder:
            viz.collect(viz.StatsStore(Path(folder, "stats"), net), images, "class", layers, progress=False)

    collect(), predict()  # to warm up
    spent = np.median([[seconds(predict), seconds(collect)] for _ in range(RUNS)], axis=0)
    return spent / (len(shown), len(images))


def print_rates(net, images, sets):
    print(f"\n{len(images)} images, {net.image_size} px | bare predict, images/s | collect, images/s | ratio")
    print("---|---|---|---")
    for name, layers, predicted in sets:
        bare, ours = rates(net, images, layers, predicted)
        print(f"{name} | {1 / bare:.1f} | {1 / ours:.1f} | {bare / ours:.2f}", flush=True)


def peak_memory(n, source, layers):
    """Peak resident memory, in MB, of a process that collects n images beyond what it had with network and images."""
    code = f"from benchmarks.collecting import collect_noise; collect_noise({n}, {source!r}, {layers!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [int(x) for x in done.stdout.split()]


def resident(name):
    """A line of what Linux tells of this process's memory, in MB; getrusage counts in the process that started it."""
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024


def collect_noise(n, source, layers):
    """Collect n images that come in batches; print resident memory before, with the network in use, and at most."""
    net = network(source)
    net.activations(noise(net, 4), layers)  # so that TensorFlow is there as a whole

    before, batches = resident("VmRSS"), (noise(net, 20, i) for i in range(n // 20))
    with scratch() as folder:
        viz.collect(viz.StatsStore(Path(folder, "stats"), net), batches, "noise", layers, progress=False)
    print(before, resident("VmHWM"))


def print_memory(source, layers):
    print(f"\n{len(layers)} layers, images of noise | MB before | peak, MB | beyond\n---|---|---|---")
    for n in MEMORY_AT:
        before, peak = peak_memory(n, source, layers)
        print(f"{n} | {before} | {peak} | {peak - before}", flush=True)


def print_disk(net, store, class_name):
    """What a class takes on disk, beside the images, 60 bytes a unit, n² × 8 bytes a layer and what is kept."""
    table, n = store.to_dataframe().set_index("layer"), store.n_images(class_name)
    allowed = n * net.image_size**2 * 3
    for layer in table.index[1:]:
        p = int(np.prod(net.features((layer,)).output[layer].shape[1:]))
        allowed += 60 * p + 8 * n**2 + 2 * n * p * bool(table.activations[layer])
    print(f"\non disk {table.MB.sum():.0f} MB, allowed {allowed / 1e6:.0f} MB")


def print_round_trip(net, store, class_name, images, layers):
    print("\nlayer | components | share of the variance | images put through the model: normalised squared error")
    print("---|---|---|---")
    for layer in layers:
        model = store.model(class_name, layer, "Snapshots")
        real, share = net.activations(images, [layer])[layer], model.explained_variance_ratio_.sum()
        error = np.sum((model.inverse_transform(model.coordinates_[: len(images)]) - real) ** 2) / np.sum(real**2)
        print(f"{layer} | {len(model.explained_variance_)} | {share:.6f} | {error:.1e}")


def print_first_draw(net, path, name, draw):
    """A first draw of four, with nothing in memory, beside the network on the images that it looks at.

    draw: function of a store.
    """
    store, ask, spent = viz.StatsStore(path, net), net.batches, []

    def asked(*of):
        batches, begun = ask(*of), time.perf_counter()
        for rows, found in batches:
            spent.append((rows.stop - rows.start, time.perf_counter() - begun))
            yield rows, found
            begun = time.perf_counter()

    net.batches = asked
    total = seconds(lambda: draw(store))
    del net.batches
    images, network = (sum(x) for x in zip(*spent, strict=True)) if spent else (0, 0.0)
    print(f"{name} | {images} | {network:.2f} | {total:.2f} | {total / max(network, 1e-9):.2f}", flush=True)


def mixtures(class_name, layer, sampler, store):
    return store.model(class_name, layer, sampler).sample(4)


def draw_figure(net, store, class_name, images):
    """Photographs, these put through the model of each layer and inverted, and samples inverted."""
    rows = {"photographs": images}
    for layer in LAYERS:
        model = store.model(class_name, layer, "LocalGaussian")
        for name, targets in (
            ("through the model", model.inverse_transform(model.coordinates_[: len(images)])),
            ("samples", model.sample(len(images))),
        ):
            rows[f"{name}, {layer}"] = viz.reconstruct(net, targets, layer, steps=150, progress=False).images
    path = OUTPUT / "round_trip.png"
    viz.plots.image_grid(rows).savefig(path)
    print(f"\nfigure in {path}")


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main(source="mini", class_name=CLASS):
    net = network(source)
    every = convolutions(net)
    if source == "mini":
        print_rates(net, noise(net, 512), [("13 layers", every, None)])
        print_memory(source, every)
        return
    images = viz.load_images(Path(source, "imagenet/photos/train"), class_name, 300, size=SIZE)
    with scratch() as folder:
        store = viz.StatsStore(Path(folder, "stats"), net)
        viz.collect(store, images, class_name, LAYERS, progress=False)
        print_round_trip(net, store, class_name, images[:4], LAYERS)
        print_disk(net, store, class_name)
        print("\na first draw of four | images asked for | network, s | draw, s | ratio\n---|---|---|---|---")
        for layers in (LAYERS[1:2], LAYERS, None):
            name = ", ".join(layers) if layers else "what it chooses"
            drawn = partial(StatsStore.sample, class_name=class_name, layers=layers, n=4)
            print_first_draw(net, store.path, name, drawn)
        for layer, sampler in product(LAYERS[:2], ("PCAGaussian", "LocalGaussian")):
            drawn = partial(mixtures, class_name, layer, sampler)
            print_first_draw(net, store.path, f"{sampler}, {layer}", drawn)
        draw_figure(net, store, class_name, images[:4])
    print_rates(net, images, [("three layers", LAYERS, None), ("13 layers", every, 48)])
    print_memory(source, LAYERS)


if __name__ == "__main__":
    main(*sys.argv[1:])
