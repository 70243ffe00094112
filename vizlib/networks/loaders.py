"""Where networks come from: the embedded one, keras.applications, a Keras model, a file of anyone."""

import os
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import keras
from numpy.typing import ArrayLike

from vizlib.images import SYNSETS, Size
from vizlib.networks.applications import APPLICATIONS, imagenet_model, preprocessing_of, vgg_preprocess
from vizlib.networks.archive import read_archive
from vizlib.networks.foreign import check_foreign
from vizlib.networks.hdf5 import read_hdf5
from vizlib.networks.network import Network
from vizlib.partworld import CLASSES
from vizlib.partworld.embedded import embedded_file

READERS = {".keras": read_archive, ".h5": read_hdf5, ".hdf5": read_hdf5}
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
    sequential Keras model; or the path of a `.keras` file, or of an `.h5` file with a whole model, of Keras 2 too
    (checked, then read in Keras's safe mode). preprocess, classes, size, dtype, output, given: as in `Network`;
    networks with a name bring their own preprocessing and classes. The classes of NAME.keras or NAME.h5 may stand in
    NAME.txt beside it, one in a line.

    Returns a `Network`. Raises FileNotFoundError where weights or a file are missing, ValueError for anything that is
    not an image model, holds code, or whose SHA-256 is wrong, and for files of other libraries, with what converts it.
    """
    if isinstance(source, str) and source == "mini":
        model = keras.models.load_model(embedded_file("mini.keras"), compile=False)
        return Network(model, preprocess or vgg_preprocess, classes or CLASSES, size, dtype, output, given)
    if isinstance(source, str) and source in APPLICATIONS:
        preprocess = preprocess or preprocessing_of(source)
        return Network(imagenet_model(source), preprocess, classes or imagenet_classes(), size, dtype, output, given)
    if isinstance(source, (str, os.PathLike)):
        check_foreign(os.fspath(source))
        path = Path(source)
        source, classes = _read_model(path), classes or _read_classes(path.with_suffix(".txt"))
    return Network(source, preprocess, classes or (), size, dtype, output, given)


def imagenet_classes() -> list[str]:
    """The names of ImageNet's 1,000 classes, in the order of the scores of all models of keras.applications."""
    return list(SYNSETS.values())


def _read_model(path):
    if path.is_dir():
        raise ValueError(f"expected a .keras or .h5 file; received the folder {path}.")
    if not path.is_file():
        close = "".join(f" Is it {name!r}?" for name in get_close_matches(str(path).lower(), APPLICATIONS, 1))
        raise FileNotFoundError(
            "expected 'mini', 'vgg16' or another name of keras.applications, a Keras model, or a .keras or .h5 file; "
            f"found no file {path}.{close}"
        )
    if path.suffix not in READERS:
        raise ValueError(
            f"expected a file that ends in .keras or .h5; received {path.name}. Keras writes one from a model it has "
            "open: model.save('NAME.keras')."
        )
    try:
        return READERS[path.suffix](path)
    except Exception as error:  # of zip, JSON, HDF5 and of all that Keras makes of a config: a file can do no worse
        raise ValueError(f"expected a model that Keras reads in safe mode; {path} gave: {error}") from error


def _read_classes(path):
    if not path.is_file():
        return ()
    if path.stat().st_size > MAX_NAMES:
        raise ValueError(f"expected class names, at most {MAX_NAMES} bytes; received {path.stat().st_size} in {path}.")
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"expected class names in UTF-8, one in a line; received {path}: {error}.") from error
