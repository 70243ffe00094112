"""Figures of images, gradients and statistics: each a function of arrays that returns a matplotlib Figure."""

import textwrap
from collections.abc import Mapping, Sequence
from io import BytesIO
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from vizlib._arrays import Activations, Floats, Images, ImagesLike, Integers, Matrix
from vizlib.backend import as_array
from vizlib.images import as_images, to_uint8
from vizlib.statistics import Snapshots, power_spectrum

if TYPE_CHECKING:
    import pandas as pd

    from vizlib.store import StatsStore

DPI = 80
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")  # for colour-blind eyes (Okabe & Ito 2008)
MARKERS = "osD^vP"
GAP = 2  # pixels between images
CHARACTER = 0.068  # inches, as wide as one of 8 points mostly is
FRAME = 255, 230, 0  # the colour of a frame, in [0, 255]
FRAMED = 64  # a frame is as wide as this part of a side, so that it is seen in a large image shown small


def mosaic(images: ImagesLike, columns: int | None = None) -> NDArray[np.float32]:
    """The images side by side, row after row, with white gaps: float32 RGB in [0, 1], (height, width, 3).

    images: (n, h, w, 3), as `as_images` takes them. columns: images in a row; None for all of them. Places that are
    left over are white.
    """
    images = as_images(images)
    n, h, w, _ = images.shape
    columns = columns or n
    rows = -(-n // columns)
    canvas = np.ones((rows * (h + GAP) - GAP, columns * (w + GAP) - GAP, 3), "float32")
    for i, image in enumerate(images):
        top, left = i // columns * (h + GAP), i % columns * (w + GAP)
        canvas[top : top + h, left : left + w] = image
    return canvas


def enlarged(images: ImagesLike, width: int = 400) -> NDArray[np.uint8]:
    """The images as a near-square mosaic, enlarged up to some width in pixels by whole factors: uint8.

    The number of columns is even.
    """
    columns = min(len(images), 2 * ceil(sqrt(len(images)) / 2))
    pixels = to_uint8(mosaic(images, columns))
    zoom = max(1, width // pixels.shape[1])
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)


def png(images: ImagesLike, width: int = 400) -> bytes:
    """The bytes of a PNG of the images, `enlarged`; made with Pillow, and so in any thread."""
    with BytesIO() as file:
        Image.fromarray(enlarged(images, width)).save(file, format="PNG")
        return file.getvalue()


def gradient_colours(gradients: Floats) -> Images:
    """Signed gradients (n, h, w, 3) as images: mid-grey where 0, brighter where positive, darker where negative.

    Each is scaled by the 99th percentile of its magnitude, and what lies beyond is clipped; where that is 0, because
    few pixels have a gradient, by the largest magnitude.
    """
    magnitude = np.abs(gradients).reshape(len(gradients), -1)
    scale = np.percentile(magnitude, 99, axis=1)
    scale = np.where(scale > 0, scale, np.maximum(magnitude.max(axis=1), np.finfo("float32").tiny))
    return np.clip(0.5 + 0.5 * gradients / scale[:, None, None, None], 0, 1).astype("float32")


def image_grid(
    rows: Mapping[str, ImagesLike], columns: Sequence[str] | None = None, title: str | None = None
) -> Figure:
    """A row of images for each label.

    rows: {label: images (n, h, w, 3)}, as `as_images` takes them, of one size. columns: a heading for each column, on
    several lines, broken at spaces and after "_", where it is wider than that.
    """
    longest = max(len(images) for images in rows.values())
    _, height, width, _ = next(iter(rows.values())).shape
    side = min(1, 9 / longest)
    heads = [_wrapped(str(head), int(side / CHARACTER)) for head in (() if columns is None else columns)]
    lines = max((head.count("\n") + 1 for head in heads), default=1)
    beside = max(1.4, 0.3 + CHARACTER * 9 / 8 * max(len(str(label)) for label in rows))  # labels of 9 points
    size = (side * longest + beside, side * height / width * len(rows) + 0.4 + 0.1 * lines)
    figure, axes = _figure(len(rows), 1, size, title)
    for axis, (label, images) in zip(axes[:, 0], rows.items(), strict=True):
        _picture(axis, mosaic(images, longest), label)
    if heads:
        centres = np.arange(longest) * (width + GAP) + (width - 1) / 2
        axes[0, 0].xaxis.tick_top()
        axes[0, 0].set_xticks(centres, heads, fontsize=8)
        axes[0, 0].tick_params(length=0)
    return figure


def saliency_grid(
    images: ImagesLike,
    gradients: Mapping[str, Images],
    columns: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """The images above their gradients under each rule, in the colours of `gradient_colours`.

    images: (n, h, w, 3), as `as_images` takes them. gradients: {rule: float (n, h, w, 3)}. columns: as `image_grid`.
    """
    maps = {rule: gradient_colours(gradient) for rule, gradient in gradients.items()}
    return image_grid({"image": images} | maps, columns, title)


def overlay(
    images: ImagesLike,
    maps: Floats | Mapping[str, Floats],
    columns: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Heat over images: red where a map is positive, blue where it is negative, the image in grey where it is 0.

    images: (n, h, w, 3), as `as_images` takes them, shown in the first row. maps: float (n, h, w), or (n, h, w, 3),
    whose colours are added up; several as {label: maps}, a row for each. Each map is scaled by the 99th percentile of
    its magnitude, as in `gradient_colours`, which is 1 on the colour bar. columns: as `image_grid`. Raises ValueError
    for maps that do not fit the images.
    """
    images = as_images(images)
    maps = maps if isinstance(maps, Mapping) else {"map": maps}
    for label, values in maps.items():
        if values.shape not in (images.shape, images.shape[:3]):
            wanted = f"{images.shape[:3]} or {images.shape}"
            raise ValueError(f"expected maps of shape {wanted}; received {values.shape} for {label!r}.")
    flat = {label: values.reshape(*images.shape[:3], -1).sum(axis=3) for label, values in maps.items()}
    grey = 0.25 + 0.75 * images.mean(axis=3, keepdims=True)
    shades, rows = plt.colormaps["coolwarm"], {"image": images}
    for label, values in flat.items():
        scaled = 2 * gradient_colours(values[..., None])[..., 0] - 1
        strength = np.abs(scaled)[..., None] ** 0.7
        rows[label] = (1 - strength) * grey + strength * shades((1 + scaled) / 2)[..., :3]
    figure = image_grid(rows, columns, title)
    signed = any(values.min() < 0 for values in flat.values())
    scale = plt.cm.ScalarMappable(plt.Normalize(-1, 1), shades)
    bar = figure.colorbar(scale, ax=figure.axes, fraction=0.03, label="share of the 99th percentile")
    bar.ax.set_ylim(-1 if signed else 0, 1)
    return figure


def activation_maps(activations: Mapping[str, Activations], channels: int = 8, title: str | None = None) -> Figure:
    """Where channels are active, in samples from several sources.

    activations: {label: float (n, h, w, c)}, a row for each sample. channels: how many to show: those with the
    highest mean under the first label, each on a scale of its own from 0 to its maximum there.
    """
    reference = next(iter(activations.values()))
    strongest = np.argsort(reference.mean(axis=(0, 1, 2)))[::-1][:channels]
    top = np.maximum(reference[..., strongest].max(axis=(0, 1, 2)), np.finfo("float32").tiny)
    rows = {}
    for label, values in activations.items():
        maps = np.moveaxis(np.clip(values[..., strongest] / top, 0, 1), -1, 1)
        rows |= {f"{label} {i + 1}": plt.colormaps["magma"](sample)[..., :3] for i, sample in enumerate(maps)}
    return image_grid(rows, [f"channel {channel}" for channel in strongest], title)


def outlier_maps(suppression: Any, title: str | None = None) -> Figure:
    """Where patches are outliers before they are suppressed, and after.

    suppression: what `vizlib.suppress` returns. Maps are bright at the middle of a patch that is one, black elsewhere.
    Layers without positions have none.
    """
    rows, size = {}, suppression.images.shape[1]
    for when, images in enumerate((suppression.before, suppression.images)):
        rows["suppressed" if when else "before"] = images
        for layer, found in suppression.outliers.items():
            if (height := found[when].shape[1]) > 1:
                nearest = np.arange(size) * height // size
                label = f"{'left' if when else 'outliers'} in {layer}"
                rows[label] = np.repeat(found[when][:, nearest][:, :, nearest, None], 3, axis=3).astype("float32")
    return image_grid(rows, title=title)


def spectrum(
    models: Mapping[str, Snapshots], title: str | None = "Variance that the leading components explain"
) -> Figure:
    """Cumulative share of the variance over the number of components. models: {label: fitted `Snapshots`}."""
    curves = {label: np.cumsum(model.explained_variance_ratio_) for label, model in models.items()}
    return _lines(curves, title, xlabel="components", ylabel="share of the variance", ylim=(0, 1))


def losses(history: Mapping[str, Matrix], title: str | None = "Losses") -> Figure:
    """The loss of each term over the steps, averaged over the images; the scale is logarithmic where all are positive.

    history: {term: float (steps, n)}, weighted losses.
    """
    curves = {term: np.mean(values, axis=1) for term, values in history.items()}
    scale = "log" if all(curve.min() > 0 for curve in curves.values()) else "linear"
    return _lines(curves, title, xlabel="step", ylabel="weighted loss", yscale=scale)


def power_spectra(sets: Mapping[str, ImagesLike], title: str | None = "Power of the brightness") -> Figure:
    """The mean power of images in each octave of frequencies, on a logarithmic scale.

    sets: {label: images (n, h, w, 3)}, as `as_images` takes them. The mean is geometric, the octaves are those of
    `statistics.power_spectrum`.
    """
    curves = {
        label: np.exp(as_array(power_spectrum(as_images(images))).mean(axis=0)) for label, images in sets.items()
    }
    return _lines(curves, title, xlabel="octave of frequencies, from coarse to fine", ylabel="power", yscale="log")


def realism_bars(
    frame: "pd.DataFrame", columns: Sequence[str] | None = None, title: str | None = None
) -> Figure:
    """A panel for each column of `realism.compare`: a bar for each method, its interval, and real images dashed.

    frame: the DataFrame, with a row "real". columns: names without "_low" and "_high"; None for those that the frame
    has of accuracy, kid, told_apart, naturalness, contrast, high_frequency, vendi_within and stray_parts.
    """
    usual = ("accuracy", "kid", "told_apart", "naturalness", "contrast", "high_frequency", "vendi_within",
             "stray_parts")
    columns = columns or [name for name in usual if name in frame]
    across = min(4, len(columns))
    down = ceil(len(columns) / across)
    figure, axes = _figure(down, across, (2.2 * across + 1.8, (0.28 * len(frame) + 0.6) * down), title)
    for i, axis in enumerate(axes.flat):
        axis.set_visible(i < len(columns))
    for axis, name in zip(axes.flat, columns, strict=False):
        values = frame[name].to_numpy(float)
        spread = None
        if f"{name}_low" in frame:
            ends = frame[[f"{name}_low", f"{name}_high"]].to_numpy(float).T
            spread = np.nan_to_num(np.abs(ends - values))
        colours = [COLOURS[2] if method == "real" else COLOURS[0] for method in frame.index]
        axis.barh(range(len(frame)), values, xerr=spread, color=colours, error_kw={"linewidth": 1, "capsize": 2})
        axis.axvline(frame.loc["real", name], color=COLOURS[2], linestyle="--", linewidth=1)
        axis.set_yticks(range(len(frame)), frame.index if axis in axes[:, 0] else [""] * len(frame), fontsize=8)
        axis.tick_params(axis="x", labelsize=7)
        axis.invert_yaxis()
        axis.set_title(name.replace("_", " "), fontsize=9)
    return figure


def strongest(
    store: "StatsStore", layer: str, channel: int, class_name: str | None = None, title: str | None = None
) -> Figure:
    """The images that a channel answers most to, its receptive field in each framed, and enlarged below.

    store, layer, channel, class_name: as `vizlib.attribution.strongest` takes them, whose errors are raised. Above each
    image stand its class and the channel's activation there.
    """
    from vizlib import attribution  # which takes a network's libraries to import

    found = attribution.strongest(store, layer, channel, class_name)
    pairs = close_ups(found.images, found.boxes)
    heads = [f"{name}\n{value:.3g}" for name, value in zip(found.classes, found.values, strict=True)]
    rows = {"images": pairs[::2], "what counts": pairs[1::2]}
    return image_grid(rows, heads, title or f"{layer}, channel {channel}")


def close_ups(images: ImagesLike, boxes: Integers) -> Images:
    """Each image with a frame around a part of it, followed by that part, enlarged: float32 (2 n, h, w, 3) in [0, 1].

    images: (n, h, w, 3), as `as_images` takes them. boxes: int (n, 4), top, left, bottom and right, the last two
    outside. What is framed is a rectangle of the shape of the image around the box, as far as there is one.
    """
    found = []
    for image, (top, left, bottom, right) in zip(to_uint8(images), boxes, strict=True):
        height, width, _ = image.shape
        zoom = min(1, max((bottom - top) / height, (right - left) / width))
        high, wide = max(1, round(zoom * height)), max(1, round(zoom * width))
        top = int(np.clip((top + bottom - high) // 2, 0, height - high))
        left = int(np.clip((left + right - wide) // 2, 0, width - wide))
        part = Image.fromarray(image[top : top + high, left : left + wide])
        part = part.resize((width, height), Image.Resampling.BICUBIC)
        framed, line = image.copy(), max(1, round(max(height, width) / FRAMED))
        framed[top : top + high, left : left + wide] = FRAME
        inside = np.s_[top + line : top + high - line, left + line : left + wide - line]
        framed[inside] = image[inside]
        found += [framed, np.asarray(part)]
    return as_images(np.stack(found))


def confusions(shares: Floats, names: Sequence[str], title: str | None = None) -> Figure:
    """What images of a class, a row, are taken for, a column: shares in [0, 1], (classes, classes), in percent."""
    side = 0.42 * len(names) + 1.2
    figure, ((axis,),) = _figure(1, 1, (side, side), title)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set(xlabel="taken for", ylabel="images of")
    for row, column in np.argwhere(shares >= 0.005):
        share = shares[row, column]
        axis.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color="kw"[int(share > 0.5)])
    return figure


def comparison(comparisons: Sequence[Any], title: str | None = None) -> Figure:
    """A row for each class: real images, their saliency, the Simonyan baseline, the reconstructions of samples.

    comparisons: a `vizlib.explorer.Comparison` for each class. Of the real images and their saliency two are shown, of
    the baseline three, of the reconstructions all.
    """
    heads = ("real images", "saliency", "Simonyan baseline", "reconstructions of samples")
    rows = [(c.real[:2], gradient_colours(c.saliency[:2]), c.baseline.images[:3], c.made.images) for c in comparisons]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    size = (10, 9.2 / sum(widths) * len(rows) + 0.5)
    figure, axes = _figure(len(rows), len(heads), size, title, width_ratios=widths)
    for line, item, row in zip(axes, comparisons, rows, strict=True):
        for axis, images, width in zip(line, row, widths, strict=True):
            _picture(axis, mosaic(images, width), item.class_name if axis is line[0] else "")
    for axis, head in zip(axes[0], heads, strict=True):
        axis.set_title(head, fontsize=10)
    return figure


def _lines(curves, title, **settings):
    figure, ((axis,),) = _figure(1, 1, (6.5, 3.6), title)
    for i, (label, curve) in enumerate(curves.items()):
        style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)], "markevery": 0.12}
        axis.plot(np.arange(1, len(curve) + 1), curve, markersize=5, label=label, **style)
    axis.set(**settings)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=9)  # within, it would hide curves
    return figure


def _figure(rows, columns, size, title, **ratios):
    figure, axes = plt.subplots(
        rows, columns, figsize=size, dpi=DPI, layout="compressed", squeeze=False, gridspec_kw=ratios
    )
    figure.suptitle(title, fontsize=11)
    plt.close(figure)  # pyplot would show it once more at the end of a notebook's cell
    return figure, axes


def _wrapped(text, width):
    parts = (textwrap.fill(line.replace("_", "_ "), width, break_long_words=False) for line in text.split("\n"))
    return "\n".join(parts).replace("_ ", "_")


def _picture(axis, pixels, label):
    shrunk = axis.get_window_extent().width < pixels.shape[1]
    axis.imshow(pixels, interpolation="antialiased" if shrunk else "nearest")
    axis.set(xticks=[], yticks=[])
    axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    axis.spines[:].set_visible(False)
