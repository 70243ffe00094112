"""What a step of the loop costs on VGG16 at 224 px, beside a bare compiled Keras gradient and tf-keras-vis.

    pip install tf-keras-vis==0.8.7    # the peer, left out where it is not installed
    python -m benchmarks.stepping

Weights are random: they cost the same. Medians of the steps of runs taken in turns, compilation left out.
"""

import importlib.util
import time
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

import vizlib as viz
from vizlib.backend import compiled, value_and_gradient
from vizlib.networks import SCORES, vgg_preprocess
from vizlib.synthesis.canvases import Cosine
from vizlib.synthesis.loop import optimize
from vizlib.synthesis.terms import ClassScore, LayerTerm, Term

ROUNDS, STEPS, SKIPPED = 3, 8, 2  # the first steps of a run compile and warm up
NEURON = 7


@dataclass(frozen=True)
class Channel(LayerTerm):
    """Minus the mean of a channel, the task of activation maximisation in all three."""

    def measure(self, activations):
        return -ops.mean(activations[self.layer][..., NEURON], axis=(1, 2))


def steps_of(net: viz.Network, terms: list[Term], n: int, steps: int) -> np.ndarray:
    """Seconds of each step of the loop."""
    times = []
    optimize(net, terms, Cosine(net.image_size), n, steps, callback=lambda *_: times.append(time.perf_counter()),
             progress=False)
    return np.diff(times)[SKIPPED:]


def bare_gradient(net, layer, loss):
    """The compiled gradient of a loss of a layer's activations, of the cut network, with respect to images."""
    features = net.features((layer,))
    return compiled(lambda images: value_and_gradient(lambda x: (loss(features(x)[layer]), ()))(images)[1])


def bare(net, layer):
    """A function to the seconds of each of a few gradients of the cut network, brought back to NumPy."""
    gradient = bare_gradient(net, layer, lambda values: ops.sum(values[..., NEURON]))

    def run(n):
        images, times = np.random.default_rng(0).random((n, 224, 224, 3), "float32"), []
        for _ in range(STEPS):
            images = images - 1e-3 * ops.convert_to_numpy(gradient(ops.convert_to_tensor(images)))
            times.append(time.perf_counter())
        return np.diff(times)[SKIPPED:]

    return run


def peer(model, layer, n):
    """Seconds of each step of tf-keras-vis with its default regularisers and transformations."""
    from tf_keras_vis.activation_maximization import ActivationMaximization
    from tf_keras_vis.activation_maximization.callbacks import Callback
    from tf_keras_vis.utils.model_modifiers import ExtractIntermediateLayer, ReplaceToLinear
    from tf_keras_vis.utils.scores import CategoricalScore

    class Clock(Callback):
        times = []

        def __call__(self, *_, **__):
            self.times.append(time.perf_counter())

    modifier = ReplaceToLinear() if layer == SCORES else ExtractIntermediateLayer(layer)
    clock, size = Clock(), model.inputs[0].shape[1]
    clock.times.clear()
    seed = np.random.default_rng(0).uniform(0, 255, (n, size, size, 3))
    ActivationMaximization(model, modifier, clone=True)(
        CategoricalScore([NEURON] * n), seed_input=seed, steps=STEPS, callbacks=[clock]
    )
    return np.diff(clock.times)[SKIPPED:]


def main():
    model = keras.applications.VGG16(weights=None)
    net = viz.load_network(model, vgg_preprocess, [str(i) for i in range(1000)])
    known = keras.config.backend() == "tensorflow" and importlib.util.find_spec("tf_keras_vis")
    print("\nVGG16, 224 px | images | bare gradient, s | a step of vizlib, s | ratio | tf-keras-vis, s | ratio")
    print("---|---|---|---|---|---|---")
    for layer in ("block5_conv3", SCORES):
        gradient = bare(net, layer)
        term = ClassScore(np.int32(NEURON)) if layer == SCORES else Channel(layer)
        for n in (1, 4):
            times = {"bare": [], "ours": [], "peer": []}
            for _ in range(ROUNDS):
                times["bare"] += [*gradient(n)]
                times["ours"] += [*steps_of(net, [term], n, STEPS)]
                times["peer"] += [*peer(model, layer, n)] if known else [np.nan]
            base, own, other = (np.median(values) for values in times.values())
            cells = f"{base:.2f} | {own:.2f} | {own / base:.2f} | {other:.2f} | {other / base:.2f}"
            print(f"{layer} | {n} | {cells}", flush=True)


if __name__ == "__main__":
    main()
