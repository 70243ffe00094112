"""The parts of a class's page: each a function of what is known to HTML."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from keras import ops

from vizlib import plots
from vizlib.attribution import grad_cam, lrp, smooth_grad, telling_channels
from vizlib.attribution.interventions import FEWEST
from vizlib.attribution.neurons import resized
from vizlib.networks import Network
from vizlib.networks.network import SCORES
from vizlib.realism import nearest_images
from vizlib.reporting.page import figure, section, table, text
from vizlib.store import IMAGE, StatsStore
from vizlib.synthesis import reconstruct, simonyan

# Images of each kind, channels of a class, channels of two classes, shortcuts of a class.
SHOWN, CHANNELS, SHARED, CANDIDATES = 4, 3, 5, 5
STEPS = 100


class Answers(NamedTuple):
    """What a network says of fresh images of a class.

    images: float32 (n, h, w, 3). right: bool (n,), whether they are recognised. seen: int (n,), what they are taken
    for: their own class, or else that with the highest score of the others. probabilities: float (n, classes).
    probability: float (n,), of their own class.
    """

    images: np.ndarray
    right: np.ndarray
    seen: np.ndarray
    probabilities: np.ndarray
    probability: np.ndarray


def answers(net: Network, images: np.ndarray, class_name: str) -> Answers:
    """What a network says of images of a class."""
    scores, k = net.scores(images), net.class_index(class_name)
    right, probabilities = net.recognised(scores)[:, k], np.exp(net.log_probabilities(scores))
    seen = np.where(right, k, np.where(np.arange(scores.shape[1]) == k, -np.inf, scores).argmax(axis=1))
    return Answers(images, right, seen, probabilities, probabilities[:, k])


def recognition(net: Network, class_name: str, found: Answers) -> str:
    """How many fresh images are recognised, and what the others are taken for."""
    counts = pd.Series([net.classes[i] for i in found.seen]).value_counts()
    counts = counts.drop(class_name, errors="ignore").to_frame("images").rename_axis("taken for")
    told = text(
        f"{found.right.sum()} of {len(found.right)} images that were not collected are recognised; the class has a "
        f"mean probability of {found.probability.mean():.2f} in them."
    )
    return section("Recognition", told, *([table(counts)] if len(counts) else []))


def attention(net: Network, class_name: str, found: Answers) -> str:
    """Maps of the images that are recognised with the highest probability, and of those that are missed."""
    order, parts = np.argsort(-found.probability), []
    right = found.right[order]
    for told, chosen in (("recognised", order[right]), ("missed", order[~right][::-1])):
        chosen = chosen[:SHOWN]
        if not len(chosen):
            parts.append(text(f"None of them is {told}."))
            continue
        images = found.images[chosen]
        maps = {f"{name}, {class_name}": method(net, images, class_name) for name, method in _methods(net).items()}
        if told == "missed":
            pairs = zip(images, found.seen[chosen], strict=True)
            others = [grad_cam(net, image[None], SCORES, int(other)) for image, other in pairs]
            maps["Grad-CAM, what it is taken for"] = np.concatenate(others)
        heads = [f"{net.classes[found.seen[i]]}\n{found.probability[i]:.2f}" for i in chosen]
        words = f"Images of {class_name} that are {told}, and what in them speaks for the class"
        caption = f"{words}. Above: what each is taken for, and the probability of {class_name}."
        parts.append(figure(plots.overlay(images, maps, heads), words, caption))
    return section("What it looks at", *parts)


def _methods(net):
    """Maps that this network allows."""
    methods = {"Grad-CAM": lambda net, images, name: grad_cam(net, images, SCORES, name)}
    try:
        lrp(net, np.zeros((1, *net.image_shape), "float32"), SCORES, 0, "z_plus")
        methods["LRP"] = lambda net, images, name: lrp(net, images, SCORES, name, "z_plus")
    except ValueError:  # layers that there is no rule for
        methods["SmoothGrad"] = lambda net, images, name: smooth_grad(net, images, SCORES, name, 16, progress=False)
    return methods


def channels(store: StatsStore, class_name: str, layer: str) -> str:
    """The channels of a layer that tell the class from the others, and the images that they answer most to."""
    telling = telling_channels(store, class_name, layer).head(CHANNELS)
    told = text(
        f"The channels of {layer} that are most active in this class and not in the others; effect: by how many "
        "standard deviations between images their mean is higher."
    )
    shown = [
        figure(
            plots.strongest(store, layer, int(channel)),
            f"The images of all classes that channel {channel} of {layer} answers most to",
            f"Channel {channel}: effect {effect:.1f}.",
        )
        for channel, effect in telling.effect.items()
    ]
    return section("Channels that tell the class", told, table(telling), *shown)


def confusion(store: StatsStore, class_name: str, other: str, layer: str, found: dict[str, Answers]) -> str:
    """What two classes share: the channels that tell both from all others, and where they are active."""
    net, name = store.network, store.network.before_relu(layer)
    effects = [telling_channels(store, asked, layer).effect.sort_index() for asked in (class_name, other)]
    shared = pd.concat(effects, axis=1, keys=[class_name, other])
    shared = shared.loc[shared.min(axis=1).sort_values(ascending=False).index].head(SHARED)
    images = [found[asked].images[:SHOWN] for asked in (class_name, other)]
    active = np.maximum(net.activations(np.concatenate(images), [name])[name][..., shared.index], 0)
    # Each channel counts as much as the others, however strong it is.
    active = (active / np.maximum(active.max(axis=(0, 1, 2)), np.finfo("float32").tiny)).mean(axis=-1, keepdims=True)
    maps = ops.convert_to_numpy(ops.image.resize(active, net.image_shape[:2]))[..., 0]
    heads = [asked for asked, own in zip((class_name, other), images, strict=True) for _ in own]
    words = f"Where the {len(shared)} channels are active that {class_name} and {other} share"
    return section(
        f"What it shares with {other}",
        text(f"Channels of {layer} that are more active in both classes than in the others: their effects."),
        table(shared),
        figure(plots.overlay(np.concatenate(images), {"shared": maps}, heads), words, f"{words}."),
    )


def beside_the_object(class_name: str, images: np.ndarray, found: pd.DataFrame | None) -> str:
    """What speaks for the class that should not matter, see `vizlib.shortcuts`, and where in images that is.

    images: those that were tried. found: what `shortcuts` says of all classes, or None where there are too few.
    """
    title = "What should not matter"
    if found is None:
        return section(title, text(f"That takes {FEWEST} images of three classes that were not collected."))
    own = found[found["class"] == class_name].head(CANDIDATES)
    sure = own[own.confident]
    if len(sure):
        kind, name, turned = sure.iloc[0][["kind", "name", "turned"]]
        told = (
            f"Something that should not matter carries this class: {kind}, {name}. With it the network takes "
            f"{100 * turned:.0f} % of the images of other classes for {class_name}."
        )
    else:
        told = "Nothing was found, with confidence, that carries this class without its object."
    why = (
        "Candidates are put into images of other classes and taken out of those of this one. Effect: the share of what "
        "tells the class from the others that goes with it; expected: the same in other classes; ratio: how often what "
        "the effect is at least exceeds that."
    )
    shown = own.set_index("name")[["kind", "effect", "low", "high", "expected", "ratio", "turned", "confident"]]
    parts = [text(told), text(why), table(shown)]
    for row in sure[sure["where"].map(len) > 0].itertuples():
        chosen = np.array(row.where[:SHOWN])
        words = f"What in images of {class_name} carries the class on its own: {row.kind}, {row.name}"
        pairs = plots.close_ups(images[chosen[:, 0]], chosen[:, 1:])
        parts.append(figure(plots.image_grid({"images": pairs[::2], "what counts": pairs[1::2]}), words, f"{words}."))
    return section(title, *parts)


def samples(store: StatsStore, class_name: str, judge: Network | None) -> tuple[str, np.ndarray]:
    """New images of the class, the baseline's, and the collected images nearest to the new ones; and the new ones."""
    net = store.network
    drawn, statistics = store.sample(class_name, n=SHOWN), store.model(class_name, IMAGE)
    new = reconstruct(net, drawn, statistics=statistics, steps=STEPS, progress=False).images
    baseline = simonyan(net, class_name, SHOWN, STEPS, progress=False).images
    collected = store.activations(class_name, IMAGE)
    rows = {"samples": new, "nearest collected": collected[nearest_images(new, collected)[0]], "Simonyan": baseline}
    words = f"New images of {class_name}, the collected images nearest to them, and Simonyan's baseline"
    caption, judged = f"{words}.", judge or net
    if class_name in judged.classes:
        told = []
        for name in ("samples", "Simonyan"):
            found = answers(judged, np.clip(resized(rows[name], judged), 0, 1), class_name)
            told.append(f"{found.right.sum()} of {SHOWN} {name} (probability {found.probability.mean():.2f})")
        who = "Another network" if judge else "The network itself, which proves little,"
        caption += f" {who} recognises {' and '.join(told)}."
    return section("New images", figure(plots.image_grid(rows), words, caption)), new
