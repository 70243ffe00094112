"""Figures: what is drawn is what was given, in its place and on its scale."""

import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vizlib import plots
from vizlib.explorer.comparison import Comparison
from vizlib.synthesis.loop import Result


def pictures(n, size=4, seed=0):
    return np.random.default_rng(seed).random((n, size, size, 3), "float32")


def drawn(axis):
    """The pixels of an axis, and nothing else is in it."""
    (image,) = axis.images
    return np.asarray(image.get_array())


def test_mosaic_puts_each_image_in_its_place():
    images = pictures(5)
    tiles = plots.mosaic(images, columns=3)
    assert tiles.shape == (10, 16, 3)
    for i, (top, left) in enumerate([(0, 0), (0, 6), (0, 12), (6, 0), (6, 6)]):
        np.testing.assert_array_equal(tiles[top : top + 4, left : left + 4], images[i])
        tiles[top : top + 4, left : left + 4] = 1
    assert (tiles == 1).all()  # the gaps, and the sixth place


def test_mosaic_takes_bytes_and_refuses_what_is_no_image():
    np.testing.assert_array_equal(plots.mosaic(np.full((1, 2, 2, 3), 51, "uint8")), np.full((2, 2, 3), 0.2, "float32"))
    with pytest.raises(ValueError, match="received values from 0 to 2"):
        plots.mosaic(np.array([0.0, 2.0]).repeat(6).reshape(1, 2, 2, 3))


def test_png_enlarges_by_a_whole_factor():
    images = np.round(pictures(4) * 255) / np.float32(255)
    pixels = np.asarray(Image.open(io.BytesIO(plots.png(images, width=35))))
    assert pixels.shape == (30, 30, 3)  # 10 × 10 times 3
    np.testing.assert_array_equal(pixels[18:30, 0:12], np.rint(images[2] * 255).repeat(3, axis=0).repeat(3, axis=1))
    assert np.asarray(Image.open(io.BytesIO(plots.png(images[:1], width=4)))).shape == (4, 4, 3)


@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_scaled_by_their_own_99th_percentile(seed):
    gradients = np.random.default_rng(seed).standard_normal((2, 20, 20, 3)) * [[[[1e-9]]], [[[50]]]]
    colours = plots.gradient_colours(gradients)
    for gradient, colour in zip(gradients, colours, strict=True):
        size = np.percentile(np.abs(gradient), 99)
        kept = np.abs(gradient) <= size
        assert np.mean(~kept) == pytest.approx(0.01, abs=0.001)
        np.testing.assert_allclose(colour[kept], 0.5 + 0.5 * gradient[kept] / size, atol=1e-6)
        np.testing.assert_array_equal(colour[~kept], gradient[~kept] > 0)  # all white or all black


def test_gradients_of_one_pixel_and_of_none():
    gradients = np.zeros((2, 20, 20, 3))
    gradients[1, 3, 4, 1] = -7
    gradients[1, 5, 6, 0] = 3.5
    colours = plots.gradient_colours(gradients)
    assert (colours[0] == 0.5).all()
    assert colours[1, 3, 4].tolist() == [0.5, 0, 0.5] and colours[1, 5, 6].tolist() == [0.75, 0.5, 0.5]
    assert (colours[1] != 0.5).sum() == 2


def test_image_grid_has_a_labelled_row_each_and_headings_over_the_columns():
    rows = {"first": pictures(3), "second": pictures(2, seed=1)}
    figure = plots.image_grid(rows, ["a", "b", "c"], "Title")
    assert isinstance(figure, Figure) and figure.get_suptitle() == "Title"
    for axis, (label, images) in zip(figure.axes, rows.items(), strict=True):
        assert axis.get_ylabel() == label
        np.testing.assert_array_equal(drawn(axis), plots.mosaic(images, 3))
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["a", "b", "c"]
    np.testing.assert_array_equal(figure.axes[0].get_xticks(), [1.5, 7.5, 13.5])  # the middles of 0–3, 6–9, 12–15


def test_saliency_grid_shows_the_images_and_then_the_rules():
    images, gradients = pictures(2), {"gradient": pictures(2, seed=1) - 0.5, "guided": pictures(2, seed=2) - 0.5}
    axes = plots.saliency_grid(images, gradients).axes
    assert [axis.get_ylabel() for axis in axes] == ["image", "gradient", "guided"]
    np.testing.assert_array_equal(drawn(axes[0]), plots.mosaic(images))
    np.testing.assert_array_equal(drawn(axes[2]), plots.mosaic(plots.gradient_colours(gradients["guided"])))


def test_activation_maps_share_a_scale_and_a_choice_of_channels():
    real = np.zeros((2, 3, 3, 4), "float32")
    real[..., 1], real[..., 3] = 2, 8  # channel 3 is the strongest, then 1
    half = real / 2
    figure = plots.activation_maps({"real": real, "sampled": half}, channels=2)
    assert [axis.get_ylabel() for axis in figure.axes] == ["real 1", "real 2", "sampled 1", "sampled 2"]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["channel 3", "channel 1"]
    magma = plots.plt.colormaps["magma"]
    for axis, value in zip(figure.axes, (1.0, 1.0, 0.5, 0.5), strict=True):
        np.testing.assert_allclose(drawn(axis)[:, [0, -1]], np.broadcast_to(magma(value)[:3], (3, 2, 3)), atol=1e-6)


def test_spectrum_adds_up_what_the_components_explain():
    models = {"face": SimpleNamespace(explained_variance_ratio_=np.array([0.5, 0.25, 0.125]))}
    (axis,) = plots.spectrum(models).axes
    (line,) = axis.lines
    np.testing.assert_array_equal(line.get_xydata(), [[1, 0.5], [2, 0.75], [3, 0.875]])
    assert line.get_label() == "face" and axis.get_ylim() == (0, 1)


@pytest.mark.parametrize(("lowest", "scale"), [(0.5, "log"), (-0.5, "linear")])
def test_losses_are_means_over_the_images(lowest, scale):
    history = {"Distance": np.array([[4.0, 2.0], [1.0, 2.0]]), "ClassScore": np.array([[3.0, 1.0], [lowest, lowest]])}
    (axis,) = plots.losses(history).axes
    assert [line.get_label() for line in axis.lines] == list(history)
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), [3, 1.5])
    np.testing.assert_array_equal(axis.lines[1].get_ydata(), [2, lowest])
    assert axis.get_yscale() == scale


def test_no_curve_is_behind_the_legend_and_steps_are_whole():
    figure = plots.losses({"Distance": np.ones((3, 2)), "total variation": np.ones((3, 2))})
    figure.draw_without_rendering()
    (axis,), (legend,) = figure.axes, figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Distance", "total variation"]
    assert not legend.get_window_extent().overlaps(axis.get_window_extent())
    assert all(tick == round(tick) for tick in axis.get_xticks())


def test_comparison_has_a_row_for_each_class_and_four_panels():
    items = [
        Comparison(name, "conv", name, pictures(4, seed=i), pictures(4, seed=9) - 0.5,
                   *(Result(pictures(4, seed=i + k), {}) for k in (2, 4)))
        for i, name in enumerate(("face", "cat"))
    ]
    axes = np.reshape(plots.comparison(items).axes, (2, 4))
    assert [row[0].get_ylabel() for row in axes] == ["face", "cat"]
    assert "baseline" in axes[0, 2].get_title() and not axes[1, 2].get_title()
    for row, item in zip(axes, items, strict=True):
        shown = (item.real[:2], plots.gradient_colours(item.saliency[:2]), item.baseline.images[:3], item.made.images)
        for axis, images in zip(row, shown, strict=True):
            np.testing.assert_array_equal(drawn(axis), plots.mosaic(images))


def test_a_figure_is_shown_once_and_can_be_saved(tmp_path):
    figure = plots.image_grid({"all": np.zeros((2, 8, 8, 3), "float32")}, title="Black")
    assert not plots.plt.get_fignums()  # pyplot would show what it still has at the end of a cell
    figure.savefig(tmp_path / "figure.png")
    pixels = np.asarray(Image.open(tmp_path / "figure.png").convert("L"))
    assert pixels.min() == 0 and pixels.max() == 255 and min(pixels.shape) > 50


def test_realism_bars_are_as_long_as_the_values_with_their_intervals():
    frame = pd.DataFrame(
        {"kid": [3.0, 0.5], "kid_low": [2.0, np.nan], "kid_high": [5.0, np.nan], "told_apart": [0.9, 0.5], "x": [7, 8]},
        index=["simonyan", "real"],
    )
    figure = plots.realism_bars(frame)
    kid, told = (axis for axis in figure.axes if axis.get_visible())
    assert (kid.get_title(), told.get_title()) == ("kid", "told apart")
    assert [bar.get_width() for bar in kid.patches] == [3, 0.5]
    assert [bar.get_width() for bar in told.patches] == [0.9, 0.5]
    (intervals,) = kid.collections
    np.testing.assert_allclose([line[:, 0] for line in intervals.get_segments()], [[2, 5], [0.5, 0.5]])
    assert not told.collections
    assert [label.get_text() for label in kid.get_yticklabels()] == ["simonyan", "real"]
    assert kid.lines[-1].get_xdata() == [0.5, 0.5]
    only = plots.realism_bars(frame, ["x"]).axes
    assert [axis.get_title() for axis in only] == ["x"]


def test_power_spectra_have_the_power_where_the_waves_are():
    phase = np.arange(32) * np.pi / 32 + np.pi / 64
    coarse, fine = (np.tile(0.5 + 0.4 * np.cos(k * phase)[:, None, None], (1, 1, 32, 3)) for k in (1, 20))
    (axis,) = plots.power_spectra({"coarse": coarse, "fine": fine}).axes
    powers = [line.get_ydata() for line in axis.lines]
    assert [line.get_label() for line in axis.lines] == ["coarse", "fine"] and axis.get_yscale() == "log"
    assert powers[0].argmax() == 0 and powers[1].argmax() == len(powers[1]) - 1
    # A wave of amplitude 0.4 has a squared cosine coefficient of 0.4² · 32 · 32 / 2; three coefficients share octave 0.
    np.testing.assert_allclose(powers[0][0], 0.08 * 32 * 32 / 3, rtol=1e-3)


def test_outlier_maps_show_where_patches_are_outliers_before_and_after():
    from vizlib.synthesis.methods import Suppression

    before, after = np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2), bool)
    before[0, 0, 1], after[1, 1, 0] = True, True
    images = pictures(2)
    outliers = {"k": (before, after), "fc": (before[:, :1, :1],) * 2}
    result = Suppression(images, {}, before=images[::-1], outliers=outliers)
    rows = [drawn(axis) for axis in plots.outlier_maps(result).axes]
    assert len(rows) == 4
    np.testing.assert_array_equal(rows[0], plots.mosaic(images[::-1]))
    np.testing.assert_array_equal(rows[2], plots.mosaic(images))
    size = images.shape[1]
    for row, where in ((rows[1], before), (rows[3], after)):
        maps = np.repeat(np.kron(where, np.ones((1, size // 2, size // 2)))[..., None], 3, axis=3)
        np.testing.assert_array_equal(row, plots.mosaic(maps.astype("float32")))


def test_heat_lies_over_the_image():
    """Where a map is 0 the image is grey, from its 99th percentile on it is red, from the negative of that blue."""
    images, maps = np.full((1, 10, 30, 3), (0.2, 0.4, 0.6), "float32"), np.zeros((1, 10, 30), "float32")
    maps[0, 0, :5] = 1, 100, -1, -100, 0.5
    maps[0, 1:] = np.where(np.arange(270).reshape(9, 30) < 20, 1, 0)
    figure = plots.overlay(images, {"heat": maps, "of colours": np.stack([maps, -maps, maps], axis=-1)})
    shown, heat, summed, bar = figure.axes
    np.testing.assert_array_equal(drawn(shown), images[0])
    np.testing.assert_array_equal(drawn(heat), drawn(summed))
    pixels = drawn(heat)
    np.testing.assert_allclose(pixels[5, 5], 0.25 + 0.75 * 0.4, atol=1e-6)
    np.testing.assert_allclose(pixels[0, 0], pixels[0, 1], atol=1e-6)
    np.testing.assert_allclose(pixels[0, 2], pixels[0, 3], atol=1e-6)
    assert pixels[0, 0, 0] > 0.6 > 0.2 > pixels[0, 0, 2] and pixels[0, 2, 2] > 0.6 > pixels[0, 2, 0]  # red, blue
    assert bar.get_ylim() == (-1, 1)
    assert plots.overlay(images, np.abs(maps)).axes[-1].get_ylim() == (0, 1)


def test_maps_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 4, 4\) or \(1, 4, 4, 3\); received \(1, 4, 5\) for 'heat'"):
        plots.overlay(pictures(1), {"heat": np.zeros((1, 4, 5))})


def test_confusions_are_told_in_percent():
    figure = plots.confusions(np.array([[0.75, 0.25], [0.0, 1.0]]), ["a", "b"])
    (axis,) = figure.axes
    assert {text.get_text(): text.get_position() for text in axis.texts} == {"75": (0, 0), "25": (1, 0), "100": (1, 1)}
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b"]


def test_headings_of_columns_do_not_run_into_each_other():
    names = ["old_english_sheepdog\n0.93", "a golden_retriever", "church", "x" * 10]
    figure = plots.image_grid({"a": pictures(4)}, names)
    labels = figure.axes[0].get_xticklabels()
    texts = [label.get_text() for label in labels]
    assert texts == ["old_english_\nsheepdog\n0.93", "a golden_\nretriever", *names[2:]]
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in labels]
    assert all(one.x1 < other.x0 for one, other in zip(boxes, boxes[1:], strict=False))


@pytest.mark.parametrize(("size", "how"), [(64, "nearest"), (224, "antialiased")])
def test_images_are_shrunk_without_aliasing_and_enlarged_pixel_by_pixel(size, how):
    figure = plots.image_grid({"a": pictures(3, size), "b": pictures(3, size)})
    assert {image.get_interpolation() for axis in figure.axes for image in axis.images} == {how}


def test_close_ups_are_parts_enlarged_beside_their_frames():
    images = np.round(pictures(2, size=8) * 255) / np.float32(255)
    boxes = np.array([[2, 3, 6, 7], [0, 6, 4, 8]])  # the second is half as wide as high, and at the edge
    found = plots.close_ups(images, boxes)
    assert found.shape == (4, 8, 8, 3)
    for image, framed, (top, left) in zip(images, found[::2], [(2, 3), (0, 4)], strict=True):
        is_frame = np.zeros((8, 8), bool)
        is_frame[top : top + 4, left : left + 4] = True
        is_frame[top + 1 : top + 3, left + 1 : left + 3] = False
        assert (np.rint(framed[is_frame] * 255) == plots.FRAME).all() and is_frame.sum() == 12
        np.testing.assert_array_equal(framed[~is_frame], image[~is_frame])
    large = plots.close_ups(np.zeros((1, 224, 192, 3), "float32"), np.array([[0, 0, 56, 48]]))[0]
    assert large[:56, :48].any(axis=2).sum() == 56 * 48 - (56 - 8) * (48 - 8) and not large[56:].any()  # 4 pixels wide
    whole = plots.close_ups(images[:1], np.array([[0, 0, 8, 8]]))
    np.testing.assert_array_equal(whole[1], images[0])
    flat = np.full((1, 8, 8, 3), 0.2, "float32")
    flat[0, 2:6, 3:7] = 0.8
    np.testing.assert_array_equal(plots.close_ups(flat, boxes[:1])[1], np.full((8, 8, 3), 0.8, "float32"))
