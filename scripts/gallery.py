"""The gallery: images by every method on the embedded network, each a PNG that carries its recipe, and its two pages.

A method is a function below; docs/gallery/README.md shows what it says and does beside its images, recipes.md the
recipes. Run it through `make gallery`; it keeps the statistics in output/gallery.
"""

import inspect
import json

from worlds import DOCS, write

import vizlib as viz

FOLDER = DOCS / "gallery"
IN_A_ROW = 4


def statistics(classes=viz.partworld.CLASSES, folder="output/gallery"):
    """Statistics of three hundred scenes of each class."""
    net = viz.load_network("mini")
    store = viz.StatsStore(folder, net)
    layers = ["block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"]
    for class_name in classes:
        viz.collect(store, viz.load_images("partworld", class_name, n=300), class_name, layers)
    return store


def samples(store, class_name):
    """New activations, drawn from the statistics of the class, and inverted: all twelve classes."""
    targets = store.sample(class_name, n=1)
    return viz.reconstruct(store.network, targets, statistics=store.model(class_name, "image"))


def chain(store, class_name):
    """The same, inverted layer by layer, from the deepest to the finest."""
    return viz.chain(store, class_name, n=1)


def walk(store, class_name):
    """One sample, moved by −2 and by 2 standard deviations along the component of the largest variance."""
    return viz.walk(store, class_name, "block2_conv2", n=2)


def suppress(store, class_name):
    """The score of the class, raised, and rid of patches that no image of the class has."""
    return viz.suppress(store, class_name, n=1)


def vital(store, class_name):
    """Channels with the values that they have in the class, wherever they lie (VITAL, Gorgun et al. 2025)."""
    return viz.vital(store, class_name, n=1)


def deep_inversion(store, class_name):
    """The score, and channels with the means and variances of the class (DeepInversion, Yin et al. 2020)."""
    return viz.deep_inversion(store, class_name, n=1)


def maco(store, class_name):
    """The score, by the phases alone (MACO, Fel et al. 2023)."""
    return viz.maco(store.network, class_name, store.activations(class_name, "image"), n=1)


def olah(store, class_name):
    """The score, in many views (Olah et al. 2017)."""
    return viz.olah(store.network, class_name, n=1)


def simonyan(store, class_name):
    """The score less the norm of the image, with what was found to help since (Simonyan et al. 2013)."""
    return viz.simonyan(store.network, class_name, n=1)


def simonyan_2013(store, class_name):
    """The same as it was published."""
    return viz.simonyan(store.network, class_name, n=1, tuned=False)


def channels(store, class_name):
    """Not the class but the channel of `block4_conv3` that tells it best from the others."""
    channel = viz.attribution.telling_channels(store, class_name, "block4_conv3").index[0]
    return viz.olah(store.network, ("block4_conv3", int(channel)), n=1)


METHODS = {
    "Samples": samples,
    "Chain of layers": chain,
    "Walk along a component": walk,
    "Suppressed outliers": suppress,
    "VITAL": vital,
    "DeepInversion": deep_inversion,
    "MACO": maco,
    "Olah": olah,
    "Simonyan, tuned": simonyan,
    "Simonyan, as published": simonyan_2013,
    "Channels": channels,
}


def names(method):
    """{class: name of the file} of the images of a method: of the samples all classes, of any other the first four."""
    classes = viz.partworld.CLASSES if method is samples else viz.partworld.CLASSES[:IN_A_ROW]
    return {class_name: f"{method.__name__.replace('_', '-')}-{class_name}" for class_name in classes}


def code(function):
    """A function as a Markdown block, without its docstring, which is text beside it."""
    return "```python\n" + inspect.getsource(function).replace(f'    """{function.__doc__}"""\n', "") + "```\n"


def row(files):
    """Images as a Markdown table of one row, each a link to its recipe; files: [(class, name of the file)]."""
    heads = [class_name for class_name, _ in files]
    images = [f"[![{name}]({name}.png)](recipes.md#{name})" for _, name in files]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, ["---"] * len(files), images))


def section(title, method):
    """A method as Markdown: what it is, its images, and its code."""
    files = list(names(method).items())
    rows = [row(files[i : i + IN_A_ROW]) for i in range(0, len(files), IN_A_ROW)]
    return "\n".join([f"## {title}\n", f"{method.__doc__}\n", *rows, code(method)])


def recipe(name):
    """A recipe as Markdown: how to follow it, and all that it says."""
    again = f'viz.rerun("docs/gallery/{name}.png", store=store)'
    told = json.dumps(viz.recipe(FOLDER / f"{name}.png"), indent=2)
    return f"## {name}\n\n![{name}]({name}.png)\n\n```python\n{again}\n```\n\n```json\n{told}\n```\n"


def write_pages():
    """Put what is in the folder, and what made it, into its two pages."""
    sections = [section(title, method) for title, method in METHODS.items()]
    write("gallery", "\n".join([code(statistics), *sections]), FOLDER / "README.md")
    recipes = [recipe(name) for method in METHODS.values() for name in names(method).values()]
    write("gallery", "\n".join(recipes), FOLDER / "recipes.md")


def main():
    store = statistics()
    for method in METHODS.values():
        for class_name, name in names(method).items():
            method(store, class_name).save(FOLDER / f"{name}.png")
            print(name, flush=True)
    write_pages()


if __name__ == "__main__":
    main()
