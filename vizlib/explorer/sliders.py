"""A slider for each of the first principal components of a class, and a sample that is moved along them."""

from collections.abc import Callable

import ipywidgets as widgets
import numpy as np

from vizlib.explorer.html import empty, figure
from vizlib.store.store import IMAGE
from vizlib.synthesis.methods import reconstruct

SLIDERS = 5
FIRST, NEXT = 64, 30  # steps from noise, and from the last image


class Components:
    """The part of the explorer that walks along the components of the class at the layer.

    start(work): has `work(store, watch, settings)` done beside the notebook's other work, with a store that holds
    what is chosen: settings, of which "class_name", "layer" and "prior_weight" count; watch(panel, done, images) tells
    how far it is, and says whether it is to end. `picture`: where images are shown, the panel "components". `result`:
    the `Result` of the last image.
    """

    def __init__(self, start: Callable) -> None:
        self._start, self.result, self._made = start, None, None
        slider = {"min": -3, "max": 3, "step": 0.1, "continuous_update": False, "readout_format": "+.1f"}
        self.sliders = [
            widgets.FloatSlider(description=f"component {i + 1}", style={"description_width": "7em"}, **slider)
            for i in range(SLIDERS)
        ]
        for control in self.sliders:
            control.tooltip = "In standard deviations of the class from its mean"
            control.observe(self._moved, "value")
        self.button = widgets.Button(description="Middle", icon="undo", tooltip="All sliders at 0")
        self.button.on_click(lambda button: self.reset())
        self.picture = widgets.HTML(empty("The image of the components: to come"))
        self.widget = widgets.HBox(
            [widgets.VBox([*self.sliders, self.button]), self.picture], layout={"flex_flow": "row wrap"}
        )

    def reset(self) -> None:
        """Put all sliders to 0, where the mean of the class lies, and show what is there."""
        for control in self.sliders:
            control.unobserve(self._moved, "value")
            control.value = 0
            control.observe(self._moved, "value")
        self.show()

    def _moved(self, change):
        self.show()

    def show(self) -> None:
        """Show the image of what the sliders say, found from the last one if that was of the same class and layer."""
        self._start(self._show)

    def _show(self, store, watch, settings):
        net, class_name, layer = store.network, settings["class_name"], settings["layer"]
        made = net.fingerprint, class_name, layer
        start = self.result.variables if self._made == made else None
        if start is None:
            self._made = None  # until there is an image of this class and layer
        known = len(store.model(class_name, layer, "Snapshots").explained_variance_)
        places = np.array([[control.value for control in self.sliders]])[:, :known]
        steps = FIRST if start is None else NEXT
        self.result = reconstruct(
            net,
            store.sample(class_name, layer, places=places),
            None,
            store.model(class_name, IMAGE),
            settings["prior_weight"],
            steps,
            start=start,
            callback=lambda step, images, losses: watch("components", (step + 1) / (steps + 1), images),
            progress=False,
        )
        self._made = made
        told = ", ".join(f"{value:+.1f}" for value in places[0])
        self.picture.value = figure(self.result.images, f"{class_name} at {layer}", f"{class_name} at {layer}: {told}")
        watch("components", 1.0)
