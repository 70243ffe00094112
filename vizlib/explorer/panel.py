"""The panel for Jupyter and Voilà: pick what to look at, and see the three views of `compare_class` at work."""

import html
from functools import cached_property
from os import PathLike
from pathlib import Path
from time import monotonic

import ipywidgets as widgets
from traitlets import TraitError

from vizlib._files import quoted
from vizlib.attribution import RULES
from vizlib.explorer.comparison import METHODS, WEIGHED, compare_class
from vizlib.explorer.html import empty, figure
from vizlib.explorer.sliders import Components
from vizlib.explorer.thread import Worker
from vizlib.explorer.verdict import Jury
from vizlib.images import class_names, load_images
from vizlib.networks import Network, load_network
from vizlib.networks.applications import APPLICATIONS
from vizlib.networks.network import SCORES
from vizlib.store import IMAGE, StatsStore, collect

REFRESH = 0.3  # seconds between two pictures of a panel: a browser needs no more
SOURCES = "partworld", "imagenette"
LAYER = "block2_conv2"  # of those tried, the layer to start with
PREVIEWS = 96, 128, 160  # pixels of a side that larger images are looked at with
PREVIEW = 128  # to start with, at a third of the time of 224
GIVEN = "the one given"
CLASS, CHANNEL = "class score", "channel of the layer"
PANELS = {"saliency": "Saliency of real images", "baseline": "Simonyan baseline", "made": "From the statistics"}
SIDE_BY_SIDE = {"flex": "1 1 0%", "min_width": "240px", "max_width": "420px", "margin": "4px"}
BUTTONS = {
    "run": ("Run", "play", "Make the three views of what is chosen; a run that is under way is replaced"),
    "stop": ("Stop", "stop", "End the run and keep the best so far"),
    "again": ("Again", "refresh", "Run with the next seed"),
    "keep": ("Keep", "thumb-tack", "Add the picture to the strip below"),
    "save": ("Save", "save", "Write PNG files that carry the recipe to make them again"),
}


class Explorer:
    """A panel to explore what a network has learned: saliency, baseline and reconstructions side by side.

    net: a `Network`, or what `load_network` takes; another one can be named in the panel. source: as `load_images`
    takes it, and can be changed there too; None for the first of "partworld" and "imagenette" that has classes of the
    network. folder: where statistics, a folder for each network and source, and saved images go. n_images: of how many
    images statistics are collected where they are missing. settings: what the controls start with, {name: value}.

    `controls`: {name: widget}. `result`: the `Comparison` of the last run, None before the first. `kept`: those that
    were kept. Raises ValueError for a setting that is none or that its control does not offer, for a source without
    classes of the network, and what `load_network` raises.
    """

    def __init__(
        self,
        net: Network | str | PathLike = "mini",
        source: str | PathLike | None = None,
        folder: str | PathLike = "output",
        n_images: int = 300,
        **settings: object,
    ) -> None:
        self.source, self.folder, self.n_images = SOURCES[0], Path(folder), n_images
        self.result, self.kept, self.saved = None, [], []
        self._worker, self._refreshed, self._store, self._given = Worker(), 0.0, None, None
        self._build(net if isinstance(net, str) else GIVEN)
        self._components = Components(self._start)
        self._use(load_network(net) if isinstance(net, str) else net, source)
        for name, value in settings.items():
            self._set(name, value)
        self._lay_out()

    def _repr_mimebundle_(self, **kwargs):
        return self.widget._repr_mimebundle_(**kwargs)

    @property
    def path(self) -> Path:
        """The folder of the statistics of the network, on images of the source."""
        of_source = "" if self.source == SOURCES[0] else f"-{quoted(str(self.source))}"
        return self.folder / f"statistics-{self.net.fingerprint[:8]}{of_source}"

    # What there is to choose from.

    def _build(self, network):
        wide = {"style": {"description_width": "7em"}}
        self.controls = {
            "network": widgets.Combobox(network, options=["mini", *APPLICATIONS], continuous_update=False, **wide),
            "source": widgets.Combobox(options=SOURCES, continuous_update=False, **wide),
            "size": widgets.Dropdown(**wide),
            "class_name": widgets.Dropdown(**wide),
            "layer": widgets.Dropdown(**wide),
            "target": widgets.Dropdown(options=[CLASS, CHANNEL], **wide),
            "channel": widgets.BoundedIntText(**wide),
            "method": widgets.Dropdown(options=list(METHODS), **wide),
            "prior_weight": widgets.FloatSlider(value=1, min=0, max=4, step=0.25, **wide),
            "seed": widgets.BoundedIntText(max=2**31 - 1, **wide),
            "n": widgets.BoundedIntText(value=4, min=1, max=self.n_images, **wide),
            "steps": widgets.BoundedIntText(value=100, min=1, max=4096, **wide),
            "rule": widgets.Dropdown(options=list(RULES), value="guided", **wide),
        }
        names = {"class_name": "class", "prior_weight": "prior weight", "n": "samples", "rule": "saliency"}
        for name, control in self.controls.items():
            control.description = names.get(name, name)
        self.controls["network"].tooltip = "mini, vgg16, resnet50 … or the path of a .keras file; Enter loads it"
        self.controls["source"].tooltip = "partworld, imagenette or the path of a folder of pictures; Enter takes it"
        self.controls["size"].tooltip = "Pixels of a side: small images are a preview, large ones take their time"
        self.controls["rule"].tooltip = "What passes a ReLU on the way back to the pixels"
        self.controls["network"].observe(lambda change: self._load(change.new), "value")
        self.controls["source"].observe(lambda change: self._look_at(change.new), "value")
        self.controls["size"].observe(lambda change: self._resize(change.new), "value")
        for name in ("class_name", "layer", "target", "method"):
            self.controls[name].observe(lambda change: self._offer(), "value")

    def _use(self, net, source=None):
        """Take a network and a source, or the first with classes of it, and offer these, its sizes and its layers."""
        known = {name: class_names(name) for name in ((source,) if source else dict.fromkeys((self.source, *SOURCES)))}
        shared = {name: [x for x in own if not net.classes or x in net.classes] for name, own in known.items()}
        source = next((name for name, classes in shared.items() if classes), None)
        if source is None:
            name, classes = next(iter(known.items()))
            received = f"{str(name)!r} with {', '.join(classes[:20]) or 'none'}"
            raise ValueError(f"expected a source with classes of the network; received {received}.")
        self.source, self.controls["source"].value = source, str(source)
        whole = net.image_size
        sizes = [*(size for size in PREVIEWS if size < whole), whole]
        preview = PREVIEW in sizes and len(_at(net, PREVIEW).classes) == len(net.classes)
        self._given = None  # so that no size is taken while they are offered
        self._offer_one("size", sizes, PREVIEW if preview else whole)
        self._given = net
        self._resize(self.controls["size"].value)
        self._offer_one("class_name", shared[source], shared[source][0])

    def _look_at(self, source):
        """Take another source, or say why not."""
        if source != str(self.source):
            try:
                self._use(self._given, source)
                self.status.value = ""
            except (ValueError, OSError) as error:
                self.controls["source"].value = str(self.source)
                self._show_error(error)

    def _resize(self, size):
        """Look at images of another size."""
        if self._given is None:  # for the moment in which the network changes
            return
        self.net = _at(self._given, size)
        vars(self).pop("_jury", None)
        there = self.net.graph()[1].tensors
        self._offer_one("layer", [layer for layer in self.net.layers if layer in there], LAYER)
        self.controls["target"].value = CLASS if self.net.classes else CHANNEL
        self._offer()

    def _offer_one(self, name, options, first):
        """Have a control offer something else, with the choice of before where that is offered again."""
        control = self.controls[name]
        before, control.options = control.value, options
        control.value = next((x for x in (before, first) if x in options), options[0])

    def _offer(self):
        """Set ranges to what the network has; disable what cannot be chosen beside the rest, and say why."""
        chosen = {name: control.value for name, control in self.controls.items()}
        layer, method = chosen["layer"], chosen["method"]
        if layer not in self.net.layers:  # for the moment in which the network changes
            return
        channels = self.net.features((layer,)).output[layer].shape[-1]
        self.controls["channel"].max = channels - 1
        tooltips = {
            "target": "Whose saliency and baseline are shown",
            "channel": f"0 to {channels - 1} of {layer}",
            "prior_weight": "Multiplies the priors on the image; at 0 there are none",
        }
        reasons = {
            "target": not self.net.classes and self._without_classes(),
            "channel": chosen["target"] == CLASS and "The class score is shown, which has no channels",
            "prior_weight": method not in WEIGHED and f"The method {method!r} has no priors to be weighed",
        }
        for name, reason in reasons.items():
            self.controls[name].disabled = bool(reason)
            self.controls[name].tooltip = reason or tooltips[name]

    def _without_classes(self):
        if self._given.classes:
            return f"This network has class scores at {self._given.image_size} px alone"
        return "This network names no classes, and so has no class scores"

    def _set(self, name, value):
        if name not in self.controls or name in ("network", "source"):
            known = ", ".join(name for name in self.controls if name not in ("network", "source"))
            raise ValueError(f"expected settings out of {known}; received {name!r}.")
        control = self.controls[name]
        try:
            control.value = value
        except TraitError as error:
            offered = ", ".join(map(str, getattr(control, "options", ()))) or "a number"
            raise ValueError(f"expected {name} out of {offered}; received {value!r}.") from error
        if control.value != value:  # numbers are clipped without a word
            raise ValueError(f"expected {name} from {control.min} to {control.max}; received {value!r}.")

    # How it looks.

    def _lay_out(self):
        self.buttons = {}
        for name, (label, icon, tooltip) in BUTTONS.items():
            self.buttons[name] = widgets.Button(description=label, icon=icon, tooltip=tooltip, layout={"width": "6em"})
            self.buttons[name].on_click(lambda button, name=name: getattr(self, name)())
        self.buttons["run"].button_style = "primary"
        self._allow(running=False)
        self.bar = widgets.IntProgress(max=100, layout={"width": "16em"}, style={"description_width": "7em"})
        self.status = widgets.HTML()
        self.panels = {name: widgets.HTML(empty(f"{title}: to come")) for name, title in PANELS.items()}
        self.panels["components"] = self._components.picture
        self.strip = widgets.HBox(layout={"flex_flow": "row wrap"})
        wrap = {"layout": {"flex_flow": "row wrap"}}
        controls = list(self.controls.values())
        panels = [
            widgets.VBox([widgets.HTML(f"<b>{title}</b>"), self.panels[name]], layout=SIDE_BY_SIDE)
            for name, title in PANELS.items()
        ]
        compare = widgets.VBox([widgets.HBox(panels, **wrap), self.strip])
        self.widget = widgets.VBox([
            widgets.HBox(controls[:9], **wrap),
            widgets.Accordion([widgets.HBox(controls[9:], **wrap)], titles=["more"]),
            widgets.HBox([*self.buttons.values(), self.bar, self.status], **wrap),
            widgets.Tab([compare, self._components.widget], titles=["compare", "components"]),
        ])

    def _allow(self, running):
        self.buttons["stop"].disabled = not running
        for name in ("keep", "save"):
            self.buttons[name].disabled = self.result is None or self.result.baseline is None

    # What the buttons do.

    def run(self) -> None:
        """Run with what the controls say, beside the notebook's other work; a run that is under way is replaced."""
        for name, title in PANELS.items():
            self.panels[name].value = empty(f"{title}: to come")
        self._start(self._compare)

    def stop(self) -> None:
        """Ask the run to end, at its next step, with the best so far."""
        self._worker.stop()

    def again(self) -> None:
        """Run with the next seed."""
        self.controls["seed"].value += 1
        self.run()

    def keep(self) -> None:
        """Add what was made last to the strip."""
        found = self.result
        self.kept.append(found)
        made = found.made or found.baseline
        text = f"{found.class_name} · {found.layer} · {made.provenance['method']} · seed {made.provenance['seed']}"
        self.strip.children += (widgets.HTML(figure(made.images, text, text, width=200), layout={"margin": "4px"}),)

    def save(self) -> None:
        """Write the baseline, and what was made, to PNG files that carry their recipes; `saved` has the paths."""
        found, named = self.result, []
        for result in filter(None, (found.baseline, found.made)):
            facts = result.provenance
            stem = quoted(f"{found.class_name}-{found.layer}-{facts['method']}-{facts['seed']}")
            free = (self.folder / f"{stem}{end}.png" for end in ("", *(f"-{i}" for i in range(2, 10**6))))
            path = next(path for path in free if not path.exists())
            try:
                result.save(path)
            except OSError as error:
                return self._show_error(error)
            named.append(path)
        self.saved += named
        again = f"viz.rerun({str(named[-1])!r}, net, {str(self.path)!r})"
        names = " and ".join(path.name for path in named)
        self.status.value = html.escape(f"Saved {names} in {self.folder}; {again} makes it again.")

    def wait(self) -> None:
        """Return when no run is under way."""
        self._worker.wait()

    # What goes on meanwhile.

    def _load(self, name):
        def job(stopped):
            self.status.value = html.escape(f"Loading {name} …")
            try:
                self._use(load_network(name))
                self.status.value = html.escape(f"Loaded {name}: {len(self.net.layers)} layers.")
            except Exception as error:
                self._show_error(error)

        if name != GIVEN:
            self._worker.start(job)

    def _start(self, work):
        """Have `work(store, watch, settings)` done, with a store that holds what is chosen."""
        elsewhere = "network", "source", "size"
        settings = {name: control.value for name, control in self.controls.items() if name not in elsewhere}

        def job(stopped):
            def watch(panel, done, images=None):
                if done == 1 or monotonic() - self._refreshed > REFRESH:
                    self._refreshed = monotonic()
                    self.bar.description, self.bar.value = panel, round(100 * done)
                    if images is not None:
                        self.panels[panel].value = figure(images, f"{panel}, at work")
                return stopped()

            begun, self._refreshed = monotonic(), 0.0
            self.bar.bar_style, self.status.value = "", "Running"
            self._allow(running=True)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                store = self._open()
                self._collect(store, watch, settings)
                work(store, watch, settings)
                seconds = f"{monotonic() - begun:.1f} s"
                self.status.value = f"Stopped after {seconds}: the best so far." if stopped() else f"Done in {seconds}."
            except _Stopped:
                self.status.value = "Stopped while collecting; the next run goes on from there."
            except Exception as error:
                self._show_error(error)
            finally:
                self._allow(running=False)

        self._worker.start(job)

    def _open(self):
        """The store of the network: that of last time, which remembers activations, if it is the same network."""
        if self._store is None or self._store.path != self.path.resolve():
            self._store = StatsStore(self.path, self.net)
        return self._store

    def _show_error(self, error):
        """Say what went wrong, whatever it is, where the user looks."""
        kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
        self.bar.bar_style = "danger"
        self.status.value = html.escape(f"This did not work. {kind}{error}")

    def _collect(self, store, watch, settings):
        class_name, layers = settings["class_name"], [settings["layer"], *self.net.finer_layers(settings["layer"])]
        there = class_name in store.classes
        if there and set(layers) <= set(store.layers(class_name)):
            return
        if there:
            images = store.activations(class_name, IMAGE)
        else:
            self.status.value = html.escape(f"Reading images of {class_name} in {self.source} …")
            asked = {"size": self.net.image_size, "progress": False}
            watch("saliency", 0.0, load_images(self.source, class_name, settings["n"], **asked))
            images = load_images(self.source, class_name, self.n_images, **asked)
            self.status.value = "Running"
        watched = _Watched(self.net, lambda seen: watch("statistics", min(seen / len(images), 1)))
        collect(StatsStore(self.path, watched), images, class_name, layers, progress=False)

    def _compare(self, store, watch, settings):
        settings = dict(settings)
        if settings.pop("target") == CLASS:
            settings["channel"] = None
        class_name = settings["class_name"]
        known = store.activations(class_name, IMAGE)
        watch("saliency", 0.0, known[: settings["n"]])  # at once, while the gradient is compiled

        def judged(panel, done, images):
            if done < 1:
                return watch(panel, done, images)
            real = panel == "saliency"  # every other image, whose saliency stands beside it
            verdict = self._jury(images[::2] if real else images, class_name, known)
            text, nearest = (verdict.recognised, None) if real else (verdict.text, verdict.nearest)
            self.panels[panel].value = figure(images, f"{PANELS[panel]}, {class_name}", text, nearest)
            return watch(panel, done)

        self.result = compare_class(store, watch=judged, **settings)

    @cached_property
    def _jury(self):
        return Jury(self.net, self.source)


explore = Explorer  # a verb, as the library's other functions are


def _at(net, size):
    """A network for images of another size; without class scores where it has none there."""
    if size == net.image_size:
        return net
    small = Network(net.model, net.preprocess, net.classes, size, net.dtype, net.output)
    try:
        small.features((SCORES,))
    except ValueError:
        return Network(net.model, net.preprocess, (), size, net.dtype, net.output)
    return small


class _Stopped(Exception):
    """Raised where collecting is to end: an interrupt, after which the same call goes on."""


class _Watched:
    """A network that tells how many images it has seen, and raises `_Stopped` when the answer is True."""

    def __init__(self, net, watch):
        self._net, self._watch, self._seen = net, watch, 0

    def __getattr__(self, name):
        return getattr(self._net, name)

    def batches(self, images, layers, size=None):
        for rows, activations in self._net.batches(images, layers, size):
            self._seen += rows.stop - rows.start
            if self._watch(self._seen):
                raise _Stopped
            yield rows, activations
