"""Whether a network recognises real images of a class, and what may be wrong if not: preprocessing, order, weights."""

from html import escape
from typing import NamedTuple

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from vizlib.networks.applications import bytes_preprocess, standard_preprocess, symmetric_preprocess, vgg_preprocess
from vizlib.networks.network import Network

LEVEL = 1e-3  # of the tests
FEWEST = 10  # images: by chance, one of two classes is recognised in all of so many with a probability below LEVEL
GREY = {"x * 255": bytes_preprocess, "x * 2 - 1": symmetric_preprocess, "x": lambda x: x}
USUAL = {  # {what is written of images x, RGB in [0, 1]: its function}; of their brightness, those of GREY
    "viz.networks.vgg_preprocess(x)": vgg_preprocess,
    "viz.networks.standard_preprocess(x)": standard_preprocess,
    **GREY,
}
FLIPPED = "keras.ops.flip(x, -1)"  # red and blue exchanged


class Check(NamedTuple):
    """How a network recognises images of a class, and what may be wrong with it.

    ok: whether nothing was found to be wrong. text: what was found, in a sentence or two. n: how many images were
    shown. recognised: {preprocessing: in how many of them the class was recognised}, "as given" and those that were
    tried.
    """

    ok: bool
    text: str
    n: int
    recognised: dict[str, int]

    def _repr_html_(self) -> str:
        rows = [f"<tr><td><code>{escape(code)}</code></td><td>{m}</td></tr>" for code, m in self.recognised.items()]
        head = f"<tr><th>preprocessing</th><th>recognised, of {self.n}</th></tr>"
        return f"{escape(self.text)}<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def check(net: Network, images: ArrayLike, class_name: str | int) -> Check:
    """Whether a network recognises real images of a class better than chance, and what may be wrong if not: a `Check`.

    images: of the class, at least 10, better 50: (n, height, width, 3), float in [0, 1] or uint8. class_name:
    the class, or its position in the scores. An image is recognised where no class has a higher score, or where a
    sigmoid has a probability above a half; chance is one of all classes. The test is binomial, at a level of 0.001.

    Where the class is recognised no better, and where ten images or more are not, the usual preprocessings are tried,
    and if none of them fits, they and the network's own with red and blue exchanged (of a grey network, those that
    need no colours). One fits that is better than chance, and better than the network's own (McNemar 1947, exact)
    where that is, too; a network that sees the class in plain colours and in pixels in random order as well has not
    recognised it. If none fits, most images taken for one other class speak for another order of the classes, anything
    else for other weights.

    Raises ValueError for fewer images or of another size, for a class that there is not, and for a network without
    class scores.
    """
    images, k = net.as_images(images), net.class_index(class_name)
    n = len(images)
    if n < FEWEST:
        raise ValueError(f"expected at least {FEWEST} images, as fewer may all be right by chance; received {n}.")
    seen = _seen(net, images)
    m, chance, j = int(seen[:, k].sum()), 1 / seen.shape[1], int(seen.sum(axis=0).argmax())
    known = _is_above(m, n, chance)
    reordered = not known and j != k and seen[:, j].mean() > 0.5 and not _sees_anyway(net, images, j)
    before = seen[:, j if reordered else k]  # as if the names were in another order

    def is_better(right):
        gained, lost = np.sum(right & ~before), np.sum(before & ~right)
        tested = _is_above(gained, gained + lost, 0.5) if known else gained > lost
        return tested and _is_above(right.sum(), n, chance)

    recognised, fitting = {"as given": m}, []
    if not known or n - m >= FEWEST:  # of fewer that are missed, none can be significantly better
        fitting = _fitting(net, images, k, is_better, recognised)
    text = f"{_name(net, k)} is recognised in {m} of {n} images ({n * chance:.2g} by chance)"
    if fitting:
        found = [f"in {recognised[code]} with preprocess=lambda x: {code}" for code in fitting]
        text += f", but {', '.join(found)}: see viz.load_network."
    elif known:
        anyway = ", but in plain colours and in pixels in random order, too: images of another class tell more"
        text += anyway * _sees_anyway(net, images, k) + "."
    else:
        asked = "Are the classes in the order of the scores" if reordered else "Are the weights those of this network"
        text += f", and no usual preprocessing does better. {seen[:, j].sum()} are taken for {_name(net, j)}. {asked}?"
    return Check(known and not fitting, text, n, recognised)


def _fitting(net, images, k, is_better, recognised):
    """The preprocessings with which a class is recognised better, best first.

    is_better(right): of booleans, which images are recognised. recognised: {preprocessing: how many are} of those that
    were tried, is added to.
    """
    own = {"net.preprocess(x)": net.preprocess}
    flipped = {code.replace("x", FLIPPED): lambda x, f=f: f(ops.flip(x, -1)) for code, f in (USUAL | own).items()}
    for tried in [GREY] if net.is_grey else [USUAL, flipped]:
        others = {code: Network(net.model, **net.settings | {"preprocess": own}) for code, own in tried.items()}
        right = {code: _seen(other, images)[:, k] for code, other in others.items()}
        recognised |= {code: int(x.sum()) for code, x in right.items()}
        found = [code for code, x in right.items() if is_better(x) and not _sees_anyway(others[code], images, k)]
        if found:
            return sorted(found, key=recognised.get, reverse=True)
    return []


def _seen(net, images):
    """Which classes a network sees in images, booleans (n, classes)."""
    scores = net.scores(images)
    if scores.ndim != 2:
        raise ValueError(f"expected a network with class scores (n, classes); received {scores.shape}.")
    return net.recognised(scores)


def _sees_anyway(net, images, k):
    """Whether a network sees a class in most plain colours and in most images whose pixels are in random order."""
    images = images[:FEWEST]
    plain = np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
    mixed = np.random.default_rng(0).permutation(images.reshape(len(images), -1, 3), axis=1).reshape(images.shape)
    return all(_seen(net, x)[:, k].mean() > 0.5 for x in (plain, mixed))


def _is_above(k, n, chance):
    """Whether k of n is significantly more than chance."""
    from scipy.stats import binomtest  # which takes half a second to import

    return bool(n > 0 and binomtest(int(k), int(n), chance, "greater").pvalue < LEVEL)


def _name(net, k):
    return net.classes[k] if net.classes else f"class {k}"
