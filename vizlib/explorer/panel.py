"""The panel for Jupyter and Voilà: pick what to look at, and see the three views of `compare_class` at work."""

import html
from functools import lru_cache
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import Any

import ipywidgets as widgets
import numpy as np

from vizlib._files import quoted
from vizlib.explorer.channels import Channels
from vizlib.explorer.choices import CLASS, SOURCES, Choices
from vizlib.explorer.comparison import compare_class
from vizlib.explorer.html import empty, figure
from vizlib.explorer.remaining import Remaining, told
from vizlib.explorer.sliders import Components
from vizlib.explorer.thread import Worker, answer_beside_cells
from vizlib.explorer.verdict import Jury
from vizlib.images import load_images
from vizlib.networks import Network, check, load_network
from vizlib.networks.applications import APPLICATIONS
from vizlib.store import IMAGE, StatsStore, collect

REFRESH = 0.3  # seconds between two pictures of a panel: a browser needs no more
CHECKED = 10, 30  # images of a class that a network is to recognise, at least and at most
PASSES = 3, 5  # that take as long as a step of the baseline, there and back, and of what is made: as measured, about
GIVEN, DOWNLOADED = "the one given", ", which is downloaded on first use"
PANELS = {"saliency": "Saliency of real images", "baseline": "Simonyan baseline", "made": "From the statistics"}
SIDE_BY_SIDE = {"flex": "1 1 0%", "min_width": "240px", "max_width": "420px", "margin": "4px"}
BUTTONS = {
    "run": ("Run", "play", "Make the three views of what is chosen; a run that is under way is replaced"),
    "stop": ("Stop", "stop", "End the run and keep the best so far"),
    "full": ("Full size", "expand", "Make the same at the network's own size, with statistics at that size"),
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

    `choices`: what there is to choose from, `controls`: its {name: widget}. `result`: the `Comparison` of the last run,
    None before the first. `kept`: those that were kept. Raises ValueError for a setting that is none or that its
    control does not offer, and what `load_network` and `load_images` raise.
    """

    def __init__(
        self,
        net: Network | str | PathLike = "mini",
        source: str | PathLike | None = None,
        folder: str | PathLike = "output",
        n_images: int = 300,
        **settings: object,
    ) -> None:
        self.folder, self.n_images = Path(folder), n_images
        self.result: Any = None
        self.kept, self.saved = [], []
        self._worker, self._refreshed, self._store = Worker(), 0.0, None
        self._checks, self._doubt = {}, ""
        self._jury = lru_cache(maxsize=1)(Jury)
        self.choices = Choices(net if isinstance(net, str) else GIVEN, n_images)
        self.controls = self.choices.controls
        self._components = Components(lambda work: self._start(work, ("components",)))
        self._channels = Channels(self._start)
        self.choices.use(net if isinstance(net, Network) else load_network(net), source)
        for name, value in settings.items():
            self.choices.set(name, value)
        self._lay_out()
        self.controls["network"].observe(lambda change: self._load(change.new), "value")
        self.controls["source"].observe(lambda change: self._look_at(change.new), "value")
        self.controls["size"].observe(lambda change: self._offer_full_size(), "value")

    def _repr_mimebundle_(self, **kwargs):
        return self.widget._repr_mimebundle_(**kwargs)

    @property
    def path(self) -> Path:
        """The folder of the statistics of the network, on images of the source."""
        net, source = self.choices.net, self.choices.source
        of_source = "" if source == SOURCES[0] else f"-{quoted(str(source))}"
        return self.folder / f"statistics-{net.fingerprint[:8]}{of_source}"

    # How it looks.

    def _lay_out(self):
        self.buttons = {}
        for name, (label, icon, tooltip) in BUTTONS.items():
            self.buttons[name] = widgets.Button(description=label, icon=icon, tooltip=tooltip, layout={"width": "7em"})
            self.buttons[name].on_click(lambda button, name=name: getattr(self, name)())
        self.buttons["run"].button_style = "primary"
        self._allow(running=False)
        self._offer_full_size()
        self.bar = widgets.IntProgress(max=100, layout={"width": "16em"}, style={"description_width": "7em"})
        self.status = widgets.HTML()
        self.panels = {name: widgets.HTML(empty(f"{title}: to come")) for name, title in PANELS.items()}
        self.panels |= {"components": self._components.picture, "maximised": self._channels.picture}
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
            widgets.Tab(
                [compare, self._components.widget, self._channels.widget], titles=["compare", "components", "channels"]
            ),
        ])
        answer_beside_cells(self.widget)

    def _allow(self, running):
        self.buttons["stop"].disabled = not running
        for name in ("keep", "save"):
            self.buttons[name].disabled = self.result is None or self.result.baseline is None

    def _offer_full_size(self):
        button, (*_, tooltip) = self.buttons["full"], BUTTONS["full"]
        button.disabled = self.controls["size"].value == self.choices.sizes[-1]
        button.tooltip = "The images are of the network's own size" if button.disabled else tooltip

    # What the buttons do.

    def run(self) -> None:
        """Run with what the controls say, beside the notebook's other work; a run that is under way is replaced."""
        for name, title in PANELS.items():
            self.panels[name].value = empty(f"{title}: to come")
        self._start(self._compare, ("baseline", "made"))

    def stop(self) -> None:
        """Ask the run to end, at its next step, with the best so far."""
        self._worker.stop()

    def full(self) -> None:
        """Run with images of the network's own size."""
        self.controls["size"].value = self.choices.sizes[-1]
        self.run()

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
        self._tell(f"Saved {names} in {self.folder}; {again} makes it again.")

    def wait(self) -> None:
        """Return when no run is under way."""
        self._worker.wait()

    # What goes on meanwhile.

    def _load(self, name):
        def job(stopped):
            self._tell(f"Loading {name}{DOWNLOADED * (name in APPLICATIONS)} …")
            try:
                self.choices.use(load_network(name))
                self._offer_full_size()
                self._tell(f"Loaded {name}: {len(self.choices.net.layers)} layers. {self._hint()}")
            except Exception as error:
                self._show_error(error)

        if name != GIVEN:
            self._worker.start(job)

    def _look_at(self, source):
        """Take another source, or say why not."""
        if source != str(self.choices.source):
            try:
                self.choices.use(self.choices.whole, source)
                self._tell(self._hint())
            except (ValueError, OSError) as error:
                self.controls["source"].value = str(self.choices.source)
                self._show_error(error)

    def _hint(self):
        """What to know of the network and the source that were taken."""
        if self.controls["target"].disabled:
            return f"{self.controls['target'].tooltip}."
        *previews, whole = self.choices.sizes
        return f"Images are a preview; Full size makes them of {whole} px." if previews else ""

    def _start(self, work, parts):
        """Have `work(store, watch, settings)` done, whose parts are named, with a store that holds what is chosen."""
        settings = self.choices.settings

        def job(stopped):
            def watch(panel, done, images=None):
                left = told(remaining(panel, done))
                if done == 1 or monotonic() - self._refreshed > REFRESH:
                    self._refreshed = monotonic()
                    self.bar.description, self.bar.value = panel, round(100 * done)
                    self._tell(f"{f'Running: {left}' if left else 'Running'}. {self._doubt}")
                    if images is not None:
                        self.panels[panel].value = figure(images, f"{panel}, at work")
                return stopped()

            begun, self._refreshed = monotonic(), 0.0
            self.bar.bar_style = self._doubt = ""
            self._tell("Running.")
            self._allow(running=True)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                store = self._open()
                remaining = Remaining(self._parts(store, parts, settings))
                self._collect(store, watch, settings)
                self._doubt = self._doubted(store, settings["class_name"])
                work(store, watch, settings)
                seconds = f"{monotonic() - begun:.1f} s"
                ended = f"Stopped after {seconds}: the best so far." if stopped() else f"Done in {seconds}."
                self._tell(f"{ended} {self._doubt}")
            except _Stopped:
                self._tell("Stopped while collecting; the next run goes on from there.")
            except Exception as error:
                self._show_error(error)
            finally:
                self._allow(running=False)

        self._worker.start(job)

    def _open(self):
        """The store of the network: that of last time, which remembers activations, if it is the same network."""
        if self._store is None or self._store.path != self.path.resolve():
            self._store = StatsStore(self.path, self.choices.net)
        return self._store

    def _tell(self, text):
        self.status.value = html.escape(text.strip())

    def _show_error(self, error):
        """Say what went wrong, whatever it is, where the user looks."""
        kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
        self.bar.bar_style = "danger"
        self._tell(f"This did not work. {kind}{error}")

    def _missing(self, store, settings):
        """The layers whose statistics are to be collected."""
        layers = [settings["layer"], *store.network.finer_layers(settings["layer"])]
        class_name = settings["class_name"]
        return [] if class_name in store.classes and {*layers} <= {*store.layers(class_name)} else layers

    def _parts(self, store, parts, settings):
        """What `Remaining` takes: how often the network sees an image, or what takes as long."""
        images, chained = settings["n"] * settings["steps"], settings["method"] == "chain"
        net = store.network
        layers = 1 + len(net.finer_layers(settings["layer"])) * chained  # a chain takes all steps at each
        enlarged = (net.scored.side / net.side) ** 2 if settings["target"] == CLASS else 1
        times = {"baseline": [PASSES[0] * enlarged], "made": layers * [PASSES[1]], "components": [PASSES[1]]}
        times["maximised"] = [PASSES[0]]
        collected = [("statistics", self.n_images)] * bool(self._missing(store, settings))
        return collected + [(name, passes * images) for name in parts for passes in times[name]]

    def _collect(self, store, watch, settings):
        net, class_name, layers = store.network, settings["class_name"], self._missing(store, settings)
        if not layers:
            return
        if class_name in store.classes:
            images = store.activations(class_name, IMAGE)
        else:
            source, asked = self.choices.source, {"size": net.image_size, "progress": False}
            self._tell(f"Reading images of {class_name} in {source}{DOWNLOADED * (source == 'imagenette')} …")
            # The first few are read twice, so that there is something to see before all are read.
            watch("saliency", 0.0, load_images(source, class_name, settings["n"], **asked))
            images = load_images(source, class_name, self.n_images, **asked)
        watched = _Watched(net, lambda seen: watch("statistics", min(seen / len(images), 1)))
        collect(StatsStore(store.path, watched), images, class_name, layers, progress=False)

    def _doubted(self, store, class_name):
        """What is wrong where the network does not recognise images of the class; nothing if it does."""
        asked, n = (store.path, class_name), min(CHECKED[1], store.n_images(class_name))
        if class_name not in store.network.classes or n < CHECKED[0]:
            return ""
        if asked not in self._checks:
            self._checks[asked] = check(store.network, store.activations(class_name, IMAGE, np.arange(n)), class_name)
        return "" if self._checks[asked].ok else self._checks[asked].text

    def _compare(self, store, watch, settings):
        settings = dict(settings)
        if settings.pop("target") == CLASS:
            settings["channel"] = None
        class_name = settings["class_name"]
        known, jury = store.activations(class_name, IMAGE), self._jury(store.network, self.choices.source)
        watch("saliency", 0.0, known[: settings["n"]])  # at once, while the gradient is compiled

        def judged(panel, done, images):
            if done < 1:
                return watch(panel, done, images)
            real = panel == "saliency"  # every other image, whose saliency stands beside it
            verdict = jury(images[::2] if real else images, class_name, known)
            text, nearest = (verdict.recognised, None) if real else (verdict.text, verdict.nearest)
            self.panels[panel].value = figure(images, f"{PANELS[panel]}, {class_name}", text, nearest)
            return watch(panel, done)

        self.result = compare_class(store, watch=judged, **settings)


explore = Explorer  # a verb, as the library's other functions are


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
