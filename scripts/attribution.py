"""How much maps tell: whether pixels in their order matter to the class, and whether they change with the weights.

Writes a table into docs/attribution.md and, on PartWorld, a figure beside it; with --photographs FOLDER it asks VGG16
of photographs, see `imagenet`.
"""

from functools import partial

import numpy as np
import pandas as pd
from worlds import DOCS, HELD_OUT, options, table, write

import vizlib as viz
from vizlib.attribution import curves, sanity_check

QUIET = {"progress": False}
METHODS = {
    "saliency": viz.saliency,
    "guided backpropagation": partial(viz.saliency, rule="guided"),
    "pixels × gradient": viz.input_x_gradient,
    "SmoothGrad": partial(viz.smooth_grad, **QUIET),
    "integrated gradients": partial(viz.integrated_gradients, **QUIET),
    "Grad-CAM": viz.grad_cam,
    "LayerCAM": viz.layer_cam,
    "occlusion": partial(viz.occlusion, **QUIET),
    "LRP, epsilon": viz.lrp,
    "LRP, z_plus": partial(viz.lrp, rule="z_plus"),
}
# Which the sanity check, that asks for maps as often as there are layers, leaves out; and of VGG16 also:
SLOW, SLOWER = {"occlusion"}, {"occlusion", "SmoothGrad", "integrated gradients"}
COARSE = 4  # squares in a side of a photograph that occlusion covers, as it has hundreds of passes else
CHECKED = 2  # classes that the sanity check is of
COLUMNS = {
    "deletion": ("deletion", 1, 2),
    "insertion": ("insertion", 1, 2),
    "like maps with scrambled scores": ("scores", 1, 2),
    "with all scrambled": ("all", 1, 2),
}


def random_maps(net, images, layer, neuron):
    return np.random.default_rng(0).random(images.shape[:3], "float32")


def main():
    world, given = options(__doc__, (8, 2))
    net, name, rows, shown = world.net, world.title.format("attribution"), {}, {}
    slow, methods = SLOW if world.public else SLOWER, {**METHODS, "random": random_maps}
    if not world.public:
        methods["occlusion"] = partial(viz.occlusion, patch=net.image_size // COARSE, **QUIET)
    fresh = {class_name: world.images(class_name, given.n, HELD_OUT) for class_name in world.classes}
    for method, asked in methods.items():
        areas, alike = [], []
        for i, (class_name, images) in enumerate(fresh.items()):
            maps = asked(net, images, "scores", class_name)
            shown.setdefault(method, []).append(maps[0] if maps.ndim == 3 else maps[0].sum(axis=-1))
            # Of signed maps the magnitude: what speaks against the class is looked at as well.
            found = curves(net, images, np.abs(maps), "scores", class_name, **QUIET)
            areas.append((found.deletion_area.mean(), found.insertion_area.mean()))
            if i < CHECKED and method not in slow:
                alike.append(sanity_check(asked, net, images[:2], class_name).correlation.iloc[[0, -1]])
        rows[method] = *np.mean(areas, axis=0), *(np.mean(alike, axis=0) if alike else (np.nan, np.nan))
        print(method, rows[method], flush=True)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["deletion", "insertion", "scores", "all"])
    if world.public:
        firsts = np.stack([images[0] for images in fresh.values()])
        maps = {method: np.stack(found) for method, found in shown.items() if method != "random"}
        viz.plots.overlay(firsts, maps, [*fresh]).savefig(DOCS / "attribution.png")
    text = table(frame, COLUMNS, intervals=False).replace("| images |", "| maps |", 1)
    write(name, f"{text}\n\n{len(fresh)} classes × {given.n} fresh images. Written by `make {name}`.",
          DOCS / "attribution.md")


if __name__ == "__main__":
    main()
