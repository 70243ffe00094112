"""Saliency, the Simonyan baseline and stochastic reconstructions of a class side by side: as arrays and as a panel."""

import html
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from types import SimpleNamespace
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np

from vizlib.baselines import simonyan
from vizlib.collect import collect
from vizlib.images import load_images
from vizlib.methods import reconstruct
from vizlib.network import SCORES
from vizlib.plots import gradient_colours, png
from vizlib.saliency import saliency
from vizlib.store import IMAGE, StatsStore

REFRESH = 0.3  # seconds between two pictures of a panel: a browser needs no more
LAYER = "block2_conv2"  # of those tried, the layer to start with
BLANK = png(np.full((4, 96, 96, 3), 0.92))
PANELS = {
    "saliency": "Saliency: real images, guided gradients",
    "baseline": "Simonyan baseline",
    "samples": "Reconstructions of samples",
}


class Comparison(NamedTuple):
    """What three methods show of a class.

    real, baseline, samples: images float32 (n, size, size, 3) in [0, 1]; saliency: of the real images, float32 and
    signed, of the same shape. What a stop left undone is None.
    """

    class_name: str
    layer: str
    real: np.ndarray
    saliency: np.ndarray
    baseline: np.ndarray = None
    samples: np.ndarray = None


def compare_class(net, store, class_name, layer, n=4, steps=160, seed=0, prior_weight=1.0, watch=None):
    """Saliency of real images, the Simonyan baseline and reconstructions of sampled activations: a `Comparison`.

    Samples are of the layer and of the finer ones that tell what it leaves open, see `Network.finer_layers`.

    net: a `Network`. store: a `StatsStore` that holds the class and those layers. n: images of each kind. steps, seed,
    prior_weight: as `reconstruct` takes them. watch(panel, done, images): called as the work goes on with "saliency",
    "baseline" or "samples", the share of its work that is done, and images so far; where it returns True, the work
    ends, and the comparison holds the best so far.

    Raises ValueError for a class or layer that the network or the store does not have.
    """
    watch = watch or (lambda panel, done, images: False)

    def follow(panel):
        return lambda step, images, losses: watch(panel, (step + 1) / steps, images)

    targets = store.sample(class_name, [layer, *net.finer_layers(layer)], n, seed)
    statistics = store.model(class_name, IMAGE)
    real = store.activations(class_name, IMAGE)[:n]
    gradients = saliency(net, real, SCORES, class_name, rule="guided")
    found = Comparison(class_name, layer, real, gradients)
    if watch("saliency", 1.0, _pairs(real, gradients)):
        return found
    images = simonyan(net, class_name, n, steps, seed, callback=follow("baseline"), progress=False).images
    found = found._replace(baseline=images)
    if watch("baseline", 1.0, images):
        return found
    images = reconstruct(
        net, targets, None, statistics, prior_weight, steps, seed, callback=follow("samples"), progress=False
    ).images
    watch("samples", 1.0, images)
    return found._replace(samples=images)


class Explorer:
    """A panel for Jupyter: pick class, layer and prior weight, and see the three methods of `compare_class` at work.

    net: a `Network` with class names. path: the file of statistics; what it lacks is collected when it is needed, from
    n_images images of source, as `load_images` takes it. settings: what the controls start with: class_name, layer,
    prior_weight, seed, steps, n.

    `controls`: {name: widget}. `result`: the `Comparison` of the last run, None before the first. Raises ValueError
    for a network without class names and for a setting that is none.
    """

    def __init__(self, net, path, source="partworld", n_images=300, **settings):
        if not net.classes:
            raise ValueError(f"expected a network that names its classes; received {net!r}.")
        self.net, self.path, self.source, self.n_images = net, Path(path), source, n_images
        self.controls = {
            "class_name": widgets.Dropdown(options=net.classes, description="class"),
            "layer": widgets.Dropdown(options=net.layers, description="layer"),
            "prior_weight": widgets.FloatSlider(value=1, min=0, max=4, step=0.25, description="prior weight"),
            "seed": widgets.BoundedIntText(value=0, max=2**31 - 1, description="seed"),
            "steps": widgets.BoundedIntText(value=160, min=1, max=4096, description="steps"),
            "n": widgets.BoundedIntText(value=4, min=1, max=16, description="samples"),
        }
        if LAYER in net.layers:
            self.controls["layer"].value = LAYER
        for name, value in settings.items():
            if name not in self.controls:
                raise ValueError(f"expected settings out of {', '.join(self.controls)}; received {name!r}.")
            self.controls[name].value = value
        self.run_button = widgets.Button(description="Run", button_style="primary", icon="play")
        self.stop_button = widgets.Button(description="Stop", icon="stop", disabled=True)
        self.run_button.on_click(lambda button: self.start())
        self.stop_button.on_click(lambda button: self.stop())
        self.bar, self.status = widgets.IntProgress(max=100), widgets.HTML()
        self.panels = {name: widgets.Image(value=BLANK) for name in PANELS}
        controls = list(self.controls.values())
        self.widget = widgets.VBox([
            widgets.HBox(controls[:3]),
            widgets.Accordion([widgets.HBox(controls[3:])], titles=["more"]),
            widgets.HBox([self.run_button, self.stop_button, self.bar, self.status]),
            widgets.HBox([widgets.VBox([widgets.Label(PANELS[name]), self.panels[name]]) for name in PANELS]),
        ])
        self.result = None
        self._stopped, self._thread, self._refreshed = Event(), None, 0.0

    def _repr_mimebundle_(self, **kwargs):
        return self.widget._repr_mimebundle_(**kwargs)

    def start(self):
        """Run with what the controls say, in a thread; a run that is under way is stopped first."""
        self.stop()
        self.wait()
        self._stopped.clear()
        settings = {name: control.value for name, control in self.controls.items()}
        for panel in self.panels.values():
            panel.value = BLANK
        self._thread = Thread(target=self._run, args=(settings,), name="vizlib explorer", daemon=True)
        self._thread.start()

    def stop(self):
        """Ask the run to end, at its next step, with the best so far."""
        self._stopped.set()

    def wait(self):
        """Return when no run is under way."""
        if self._thread:
            self._thread.join()

    def _run(self, settings):
        self.stop_button.disabled, self.bar.bar_style, self.status.value = False, "", "Running"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with StatsStore(self.path) as store:
                self._collect(store, settings["class_name"], settings["layer"])
                self.result = compare_class(self.net, store, watch=self._watch, **settings)
            self.status.value = "Stopped: the best so far." if self._stopped.is_set() else "Done."
        except _Stopped:
            self.status.value = "Stopped while collecting; the next run goes on from there."
        except Exception as error:  # to be seen where the user looks, whatever it is
            kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
            self.bar.bar_style = "danger"
            self.status.value = html.escape(f"This run failed. {kind}{error}")
        finally:
            self.stop_button.disabled = True

    def _collect(self, store, class_name, layer):
        try:
            images = store.activations(class_name, IMAGE)
        except ValueError:  # not there, or not whole, which collect() mends if it gets the same images
            images = load_images(self.source, class_name, self.n_images, size=self.net.image_size)
        net = _Watched(self.net, lambda seen: self._watch("statistics", seen / len(images), None))
        collect(net, images, class_name, [layer, *self.net.finer_layers(layer)], store, progress=False)

    def _watch(self, stage, done, images):
        if done == 1 or monotonic() - self._refreshed > REFRESH:
            self._refreshed = monotonic()
            self.bar.description, self.bar.value = stage, round(100 * done)
            if images is not None:
                self.panels[stage].value = png(images)
        return self._stopped.is_set()


explore = Explorer  # a verb, as the library's other functions are


class _Stopped(Exception):
    """Raised where collecting is to end: an interrupt, after which the same call goes on."""


class _Watched:
    """A network that tells how many images it has seen, and raises `_Stopped` when the answer is True."""

    def __init__(self, net, watch):
        self._net, self._watch, self._seen = net, watch, 0

    def __getattr__(self, name):
        return getattr(self._net, name)

    def features(self, layers):
        model = self._net.features(layers)

        def predict(images):
            self._seen += len(images)
            if self._watch(self._seen):
                raise _Stopped
            return model.predict_on_batch(images)

        return SimpleNamespace(predict_on_batch=predict)


def _pairs(real, gradients):
    """Real images, each followed by its saliency, n in all (one more where n is odd)."""
    pairs = np.stack([real, gradient_colours(gradients)], axis=1)[: (len(real) + 1) // 2]
    return pairs.reshape(-1, *real.shape[1:])
