"""A channel, by the real images that it answers to and by what is made for it; and what answers at a place."""

from collections.abc import Callable
from functools import partial

import ipywidgets as widgets
import numpy as np

from vizlib.attribution import channels_at, strongest
from vizlib.explorer.html import empty, figure, picture, table
from vizlib.plots import close_ups
from vizlib.store import IMAGE
from vizlib.synthesis.baselines import olah

CELLS = 8  # of a side of an image, each a place to click on
WIDTH = 320  # pixels of that image on the page
LISTED = 8  # channels that answer at a place
CHOSEN = "2px solid rgb(255, 230, 0)"


class Channels:
    """The part of the explorer that looks at one channel of the layer, and at one place of an image of the class.

    start(work, parts): as of `Components`, with the names of the parts that take their time. `channel`, `image`: the
    controls. `cells`: a button for each place, row after row. What is shown: `strongest`, the images that the channel
    answers to most of all classes; `picture`, what maximises it, the panel "maximised"; `place`, the image under the
    cells; `answers`, the channels at the place, which are shown on a click on `listed`.
    """

    def __init__(self, start: Callable) -> None:
        self._start = start
        wide = {"style": {"description_width": "7em"}, "max": 2**31 - 1}
        self.channel = widgets.BoundedIntText(description="of the layer", tooltip="Which channel", **wide)
        self.image = widgets.BoundedIntText(description="of the class", tooltip="Which image", **wide)
        self.button = widgets.Button(description="Show", icon="play", tooltip="Show the channel, and the image")
        self.button.on_click(lambda button: self._start(self._show, ("maximised",)))
        self.strongest = widgets.HTML(empty("The strongest images: to come"))
        self.picture = widgets.HTML(empty("What maximises the channel: to come"))
        self.place = widgets.HTML(empty("An image to click on: to come", WIDTH), layout={"margin": "0"})
        self.answers = widgets.HTML()
        narrow = {"button_width": "auto", "description_width": "auto"}
        self.listed = widgets.ToggleButtons(description="Show channel", style=narrow, layout={"display": "none"})
        self.listed.observe(self._choose, "value")
        # Cells share a style and layouts: a page has to hear of each of these, and a notebook to keep it.
        self._plain, self._chosen = (
            widgets.Layout(width="auto", height="auto", margin="0", border=border) for border in (None, CHOSEN)
        )
        style = widgets.ButtonStyle(button_color="transparent")
        self.cells = [self._cell(*divmod(i, CELLS), style) for i in range(CELLS**2)]
        equal = f"repeat({CELLS}, 1fr)"
        sides = {"grid_template_rows": equal, "grid_template_columns": equal, "width": f"{WIDTH}px"}
        self._grid = widgets.GridBox(self.cells, layout=sides | {"display": "none"})
        places = [self.place, self._grid, self.listed, self.answers]
        self.widget = widgets.VBox([
            widgets.HBox([self.channel, self.image, self.button], layout={"flex_flow": "row wrap"}),
            widgets.HBox([
                widgets.VBox([widgets.HTML("<b>Strongest real images</b>"), self.strongest]),
                widgets.VBox([widgets.HTML("<b>Maximised (Olah et al. 2017)</b>"), self.picture]),
                widgets.VBox([widgets.HTML("<b>Click on a place</b>"), *places]),
            ], layout={"flex_flow": "row wrap"}),
        ])

    def _cell(self, row, column, style):
        tooltip = f"What answers at row {row + 1}, column {column + 1} of {CELLS}"
        cell = widgets.Button(tooltip=tooltip, style=style, layout=self._plain)
        cell.on_click(lambda cell: self._start(partial(self._answer, cell=cell), ()))
        return cell

    def _look(self, store, class_name):
        """The image that is chosen, shown under the cells."""
        last = store.n_images(class_name) - 1
        self.image.value = min(self.image.value, last)
        image = store.activations(class_name, IMAGE, [self.image.value])
        _, height, width, _ = image.shape
        self.place.value = picture(image, f"{class_name}, image {self.image.value}", WIDTH)
        tall, layout = round(WIDTH * height / width), self._grid.layout
        layout.display, layout.height, layout.margin = "grid", f"{tall}px", f"-{tall}px 0 0 0"  # over the image
        return image[0]

    def _choose(self, change):
        if change.new:
            layer, self.channel.value = change.new
            self._start(partial(self._show, layer=layer), ("maximised",))

    def _show(self, store, watch, settings, layer=None):
        """The channel that is chosen, of this layer where it was listed for another than is chosen by now."""
        net, layer, channel = store.network, layer or settings["layer"], self.channel.value
        found = strongest(store, layer, channel)
        self._look(store, settings["class_name"])
        told = zip(found.classes, found.values, strict=True)
        caption = ", ".join(f"{name} {value:.3g}" for name, value in told)
        title = f"{layer}, channel {channel}"
        self.strongest.value = figure(close_ups(found.images, found.boxes), f"Strongest images of {title}", caption)

        def follow(step, images, losses):
            return watch("maximised", (step + 1) / (settings["steps"] + 1), images)

        made = olah(net, (layer, channel), settings["n"], settings["steps"], settings["seed"], follow, progress=False)
        self.picture.value = figure(made.images, f"What maximises {title}", title)
        watch("maximised", 1.0)

    def _answer(self, store, watch, settings, cell):
        image = self._look(store, settings["class_name"])
        for other in self.cells:
            other.layout = self._chosen if other is cell else self._plain
        centre = (np.array(divmod(self.cells.index(cell), CELLS)) + 0.5) / CELLS
        row, column = (centre * image.shape[:2]).astype(int).tolist()
        layer = settings["layer"]
        found = channels_at(store, image, layer, row, column)[:LISTED]
        caption = f"{layer} at row {row}, column {column}; score: standard deviations above what is usual"
        self.answers.value = table(found, caption)
        self.listed.value = None  # or the first of the new options would be chosen
        self.listed.options = [(str(channel), (layer, channel)) for channel in found.index.tolist()]
        self.listed.tooltips = [f"Show channel {channel} of {layer}" for channel in found.index]
        self.listed.layout.display = None
