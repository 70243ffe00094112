"""Where networks come from: the embedded one, keras.applications, a Keras model, a `.keras` file of anyone."""

import os
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import keras
from numpy.typing import ArrayLike

from vizlib.images import SYNSETS, Size
from vizlib.networks.applications import APPLICATIONS, imagenet_model, preprocessing_of, vgg_preprocess
from vizlib.networks.archive import check_archive
from vizlib.networks.network import Network
from vizlib.partworld import CLASSES
from vizlib.partworld.embedded import embedded_file

MAX_NAMES = 2**20  # bytes of class names; those of ImageNet have 20,000


def load_network(
    source: str | os.PathLike | keras.Model = "mini",
    preprocess: Callable | None = None,
    classes: Sequence[str] | None = None,
    size: Size | None = None,
    dtype: str = "float32",
    output: str | None = None,
    given: Mapping[str, ArrayLike] | None = None,
) -> Network:
    """Open a network for visualisation.

    source: "mini", the embedded VGG16-topology network of PartWorld (64 px, offline); "vgg16" (Simonyan & Zisserman
        2015), "resnet50" or another name of keras.applications in lower case, with ImageNet weights; a functional or
        sequential Keras model; or the path of a `.keras` file (checked, then read in Keras's safe mode).
    preprocess, classes, size, dtype, output, given: as in `Network`; networks with a name bring their own preprocessing
        and classes. The classes of NAME.keras may stand in NAME.txt beside it, one in a line.

    Returns a `Network`. Raises FileNotFoundError where weights or a file are missing, ValueError for anything that is
    not an image model, holds code, or whose SHA-256 is wrong.
    """
    if isinstance(source, str) and source == "mini":
        model = keras.models.load_model(embedded_file("mini.keras"), compile=False)
        return Network(model, preprocess or vgg_preprocess, classes or CLASSES, size, dtype, output, given)
    if isinstance(source, str) and source in APPLICATIONS:
        preprocess = preprocess or preprocessing_of(source)
        return Network(imagenet_model(source), preprocess, classes or imagenet_classes(), size, dtype, output, given)
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        source, classes = _read_model(path), classes or _read_classes(path.with_suffix(".txt"))
    return Network(source, preprocess, classes or (), size, dtype, output, given)


def imagenet_classes() -> list[str]:
    """The names of ImageNet's 1,000 classes, in the order of the scores of all models of keras.applications."""
    return list(SYNSETS.values())


def _read_model(path):
    if path.is_dir():
        raise ValueError(f"expected a .keras file; received the folder {path}.")
    if not path.is_file():
        close = "".join(f" Is it {name!r}?" for name in get_close_matches(str(path).lower(), APPLICATIONS, 1))
        wanted = "expected 'mini', 'vgg16' or another name of keras.applications, a Keras model or a .keras file"
        raise FileNotFoundError(f"{wanted}; found no file {path}.{close}")
    if path.suffix != ".keras":
        raise ValueError(
            f"expected a file that ends in .keras; received {path.name}. Keras writes one from a model it has open: "
            "model.save('NAME.keras'). For weights of VGG16 see vizlib.convert_vgg16."
        )
    try:
        check_archive(path)
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # of zip, JSON, HDF5 and of all that Keras makes of a config: a file can do no worse
        raise ValueError(f"expected a .keras model that Keras reads in safe mode; {path} gave: {error}") from error


def _read_classes(path):
    if not path.is_file():
        return ()
    if path.stat().st_size > MAX_NAMES:
        raise ValueError(f"expected class names, at most {MAX_NAMES} bytes; received {path.stat().st_size} in {path}.")
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"expected class names in UTF-8, one in a line; received {path}: {error}.") from error
