"""What is looked at: the controls of the panel, what they offer, and why something cannot be chosen."""

from os import PathLike
from typing import Any

import ipywidgets as widgets
import numpy as np
from traitlets import TraitError

from vizlib.attribution import RULES
from vizlib.explorer.comparison import METHODS, WEIGHED
from vizlib.explorer.starting import PREVIEW, first_layer, sizes
from vizlib.images import class_names
from vizlib.networks import Network
from vizlib.networks.applications import APPLICATIONS

SOURCES = "partworld", "imagenette"
CLASS, CHANNEL = "class score", "channel of the layer"
FEW, SOME = 2, 4  # samples to start with, of large images and of small ones
SOUGHT = "network", "source", "size"  # and not what is done with them
NAMES = {"class_name": "class", "prior_weight": "prior weight", "n": "samples", "rule": "saliency"}
NEEDS = {
    "network": "mini, which is part of vizlib; vgg16, resnet50 … of keras.applications, whose weights are downloaded "
    "once; or the path of a .keras file. Enter loads it",
    "source": "partworld, which is drawn; imagenette, photographs of ten classes of ImageNet, downloaded once (99 MB "
    "for up to 160 px, 342 MB for more); or the path of a folder of pictures. Enter takes it",
    "size": "Pixels of a side: small images are a preview, large ones take their time. Each size has statistics of its "
    "own",
    "target": "Whose saliency and baseline are shown",
    "prior_weight": "Multiplies the priors on the image; at 0 there are none",
    "rule": "What passes a ReLU on the way back to the pixels",
}


class Choices:
    """The controls of the panel.

    name: what the network is called there. n_images: samples there may be.

    `controls`: {name: widget}. `whole`: the network at its own size, `net`: at that of the images. `source`: where
    images come from. `sizes`: those there are, the network's own the last.
    """

    def __init__(self, name: str, n_images: int) -> None:
        self.whole: Any = None
        self.net: Any = None
        self.source: str | PathLike = SOURCES[0]
        self.sizes = []
        wide = {"style": {"description_width": "7em"}}
        self.controls = {
            "network": widgets.Combobox(name, options=["mini", *APPLICATIONS], continuous_update=False, **wide),
            "source": widgets.Combobox(continuous_update=False, **wide),
            "size": widgets.Dropdown(**wide),
            "class_name": widgets.Dropdown(**wide),
            "layer": widgets.Dropdown(**wide),
            "target": widgets.Dropdown(options=[CLASS, CHANNEL], **wide),
            "channel": widgets.BoundedIntText(**wide),
            "method": widgets.Dropdown(options=list(METHODS), **wide),
            "prior_weight": widgets.FloatSlider(value=1, min=0, max=4, step=0.25, **wide),
            "seed": widgets.BoundedIntText(max=2**31 - 1, **wide),
            "n": widgets.BoundedIntText(min=1, max=n_images, **wide),
            "steps": widgets.BoundedIntText(value=100, min=1, max=4096, **wide),
            "rule": widgets.Dropdown(options=list(RULES), value="guided", **wide),
        }
        for name, control in self.controls.items():
            control.description, control.tooltip = NAMES.get(name, name), NEEDS.get(name)
        self.controls["size"].observe(lambda change: self._resize(change.new), "value")
        for name in ("class_name", "layer", "target", "method"):
            self.controls[name].observe(lambda change: self._explain(), "value")

    @property
    def settings(self) -> dict[str, object]:
        """What is asked for, {name: value}, of the network and the images of the class."""
        return {name: control.value for name, control in self.controls.items() if name not in SOUGHT}

    def set(self, name: str, value: object) -> None:
        """Choose something. Raises ValueError for what there is not or is not offered."""
        known = [name for name in self.controls if name not in ("network", "source")]
        if name not in known:
            raise ValueError(f"expected settings out of {', '.join(known)}; received {name!r}.")
        control = self.controls[name]
        try:
            control.value = value
        except TraitError as error:
            offered = ", ".join(map(str, getattr(control, "options", ()))) or "a number"
            raise ValueError(f"expected {name} out of {offered}; received {value!r}.") from error
        if control.value != value:  # numbers are clipped without a word
            raise ValueError(f"expected {name} from {control.min} to {control.max}; received {value!r}.")

    def use(self, net: Network, source: str | PathLike | None = None) -> None:
        """Take a network and a source; None for the first that has classes of it, or else that of before.

        Of a source without classes of the network all are offered: there are no scores of them, and statistics are.
        Raises what `class_names` does.
        """
        asked = [source] if source else dict.fromkeys((self.source, *SOURCES))
        known = {name: class_names(name) for name in asked}
        shared = {name: [x for x in own if not net.classes or x in net.classes] for name, own in known.items()}
        source = next((name for name, classes in shared.items() if classes), next(iter(known)))
        is_other, self.whole = net is not self.whole, None  # so that nothing is explained while all is exchanged
        self.source, self.sizes = source, sizes(net)
        fitting = [name for name in SOURCES if not net.classes or {*class_names(name)} & {*net.classes}]
        self.controls["source"].options, self.controls["source"].value = fitting, str(source)
        classes = shared[source] or known[source]
        self._offer("class_name", classes, classes[0])
        if is_other:
            self.controls["layer"].options = ()  # so that none of another network stays
            self.controls["size"].options = [(" × ".join(map(str, np.ravel(size))), size) for size in self.sizes]
            self.controls["size"].value = PREVIEW if PREVIEW in self.sizes[:-1] else net.image_size
            self.controls["n"].value = FEW if len(self.sizes) > 1 else SOME
        self.whole = net
        self._resize(self.controls["size"].value)

    def _resize(self, size):
        """Look at images of another size."""
        if self.whole is not None:
            self.net = self.whole.resized(size)
            there = self.net.graph()[1].tensors
            self._offer("layer", [layer for layer in self.net.layers if layer in there], first_layer(self.whole))
            self._explain()

    def _offer(self, name, options, first):
        """Have a control offer something else, with the choice of before where that is offered again."""
        control = self.controls[name]
        before, control.options = control.value, options
        control.value = next((x for x in (before, first) if x in options), options[0])

    def _explain(self):
        """Set ranges to what the network has; disable what cannot be chosen beside the rest, and say why."""
        layer, method = self.controls["layer"].value, self.controls["method"].value
        if self.whole is None or layer not in self.net.layers:  # for the moment in which the network changes
            return
        channels = self.net.features((layer,)).output[layer].shape[-1]
        self.controls["channel"].max = channels - 1
        self._disable("size", len(self.sizes) == 1 and "Images of this network have one size: there is no preview")
        self._force("target", self._without_score(), CLASS, CHANNEL)
        of_class = self.controls["target"].value == CLASS and "The class score is shown, which has no channels"
        self._disable("channel", of_class, f"0 to {channels - 1} of {layer}")
        self._disable("prior_weight", method not in WEIGHED and f"The method {method!r} has no priors to be weighed")
        self._force("rule", not self.net.graph()[1].ceiling and "This network has no ReLU", "guided", "gradient")

    def _disable(self, name, reason, tooltip=None):
        control = self.controls[name]
        control.disabled, control.tooltip = bool(reason), reason or tooltip or NEEDS[name]

    def _force(self, name, reason, usual, other):
        """Disable a control at the other choice, and when there is no reason to any more, go back to the usual one."""
        was = self.controls[name].disabled
        self._disable(name, reason)
        if was != bool(reason):
            self.controls[name].value = other if reason else usual

    def _without_score(self):
        """Why there is no score of the class; nothing if there is one."""
        class_name = self.controls["class_name"].value
        if not self.whole.classes:
            return "This network names no classes, and so has no class scores"
        if class_name not in self.whole.classes:
            return f"This network has no score of {class_name}"
        return ""
