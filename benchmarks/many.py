"""Statistics of a class of very many images: in the time that the network takes, and in memory that does not grow.

    python -m benchmarks.many [IMAGES …]     # the embedded network, two layers, noise in batches; 5000 50000

Each count is collected in a process of its own. Beside it stands bare `predict` of 2,000 of the images.
"""

import subprocess
import sys
from pathlib import Path

import vizlib as viz
from benchmarks.collecting import noise, resident, scratch, seconds

LAYERS = ["block4_conv3", "block5_conv3"]
BATCH, SHOWN = 500, 2000


def collect(n):
    """Print images a second of predict, seconds of collecting n images, MB of memory before, at most, and on disk."""
    net = viz.load_network("mini")
    model, shown = net.features(tuple(f"{layer}:pre" for layer in LAYERS)), noise(net, SHOWN).astype("float32")
    model.predict(shown, verbose=0)
    bare = SHOWN / seconds(lambda: model.predict(shown, verbose=0))
    batches = (noise(net, min(BATCH, n - start), start) for start in range(0, n, BATCH))
    with scratch() as folder:
        store, before = viz.StatsStore(Path(folder, "stats"), net), resident("VmRSS")
        spent = seconds(lambda: viz.collect(store, batches, "noise", LAYERS, progress=False))
        assert store.n_images("noise") == n
        size = sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
    print(bare, spent, before, resident("VmHWM"), size / 1e6)


def main(*counts):
    print("images | predict, images/s | collect, images/s | ratio | MB before | peak, MB | on disk, MB")
    print("---|" * 6 + "---")
    for n in map(int, counts or (5000, 50000)):
        code = f"from benchmarks.many import collect; collect({n})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        bare, spent, before, peak, size = map(float, done.stdout.split())
        rates = f"{bare:.0f} | {n / spent:.0f} | {spent * bare / n:.2f}"
        print(f"{n} | {rates} | {before:.0f} | {peak:.0f} | {size:.0f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
