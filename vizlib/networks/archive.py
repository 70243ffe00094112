"""What is looked at in a `.keras` file before Keras reads it: the file may be anyone's.

Keras's safe mode refuses code. It still takes memory for whatever a file declares, so that a few bytes can ask for
terabytes; and the classes that it may name grew fewer only over time. Here the sizes of all parts, and the number of
parameters that the layers ask for, are compared with what the file really holds before anything is allocated.
"""

import io
import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path

import h5py
import keras

from vizlib._hdf5 import MAX_COMPRESSION, foreign_datasets

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAX_CONFIG = 2**26  # bytes; that of ResNet50 has 175,000
MODULES = {"activations", "applications", "constraints", "dtype_policies", "initializers", "layers", "legacy", "losses"}
MODULES |= {"metrics", "models", "ops", "optimizers", "quantizers", "regularizers"}
# These hold code of other libraries, or read files that they name.
CLASSES = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
CLASSES |= {"StringLookup", "IntegerLookup", "TextVectorization"}


def check_archive(path: str | os.PathLike) -> None:
    """Raise ValueError unless a file is a whole `.keras` archive of Keras layers, which holds all that it asks for."""
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"expected a .keras model, which is a zip archive; {path} gave: {error}") from error
    with archive:
        config = json.loads(_member(archive, CONFIG, MAX_CONFIG))
        _check_classes(config)
        with h5py.File(io.BytesIO(_member(archive, WEIGHTS)), "r") as file:
            stored = sum(prod(dataset.shape) for dataset in foreign_datasets(file).values())
    # In a thread of its own: Keras keeps a list of the variables without a value for each thread, and would give them
    # one at the next opportunity.
    with ThreadPoolExecutor(1) as thread:
        declared = thread.submit(_parameters, config).result()
    if declared > stored:
        raise ValueError(f"expected weights of {declared:,} parameters, as the layers have; the file has {stored:,}.")


def _member(archive, name, most=None):
    """The bytes of a file in the archive, which is there once and is not of more than `most` bytes."""
    found = [member for member in archive.infolist() if member.filename == name]
    if len(found) != 1:
        raise ValueError(f"expected one file {name} in the archive; received {archive.namelist()[:8]}.")
    size = found[0].file_size
    packed = min(found[0].compress_size, Path(archive.filename).stat().st_size)  # the first is only what it says
    if size > (most or size) or size > MAX_COMPRESSION * packed:
        raise ValueError(f"expected {name} of a plausible size; received {size:,} bytes, packed into {packed:,}.")
    return archive.read(found[0])


def _check_classes(config):
    """Raise ValueError if a config names a class that is neither a layer of Keras nor registered with it."""
    if isinstance(config, dict):
        name, module, content = (config.get(key) for key in ("class_name", "module", "config"))
        known = module is None or keras.saving.get_registered_object(str(config.get("registered_name")))
        known = known or _is_modelling(str(module)) or module == "builtins" and hasattr(keras.activations, str(content))
        if name in CLASSES or not known:
            raise ValueError(
                f"expected layers of Keras, without code, or such as are registered with it "
                f"(keras.saving.register_keras_serializable); received {module}.{name}."
            )
    for part in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        _check_classes(part)


def _is_modelling(module):
    first, *rest = [part for part in module.split(".") if part != "src"]
    return first == "keras" and (not rest or rest[0] in MODULES)


def _parameters(config):
    """How many numbers a model's weights have, without taking memory for them."""
    config = {key: value for key, value in config.items() if key != "compile_config"}
    with keras.StatelessScope(initialize_variables=False):
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        return sum(prod(weight.shape) for weight in getattr(model, "weights", ()))
