"""Models in `.keras` files of anyone: zip archives of a config and weights, of Keras 3 or Keras 2."""

import io
import json
import zipfile
from math import prod
from pathlib import Path

import h5py
import keras

from vizlib._hdf5 import MAX_COMPRESSION, check_heaps, foreign_datasets
from vizlib.networks.config import build, check_config
from vizlib.networks.keras2 import modern

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAX_CONFIG = 2**26  # bytes; that of ResNet50 has 175,000


def read_archive(path: Path) -> keras.Model:
    """The model in a `.keras` file, not compiled.

    Raises ValueError, before memory is taken for a weight, unless the file is a whole archive of Keras layers which
    holds all that it asks for; and whatever Keras raises.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"expected a .keras model, which is a zip archive; {path} gave: {error}") from error
    with archive:
        size, packed = sum(member.file_size for member in archive.infolist()), path.stat().st_size
        if size > MAX_COMPRESSION * packed:  # Keras unpacks all that there is onto the disk
            raise ValueError(f"expected parts of a plausible size; received {size:,} bytes, packed into {packed:,}.")
        written = json.loads(_member(archive, CONFIG, MAX_CONFIG))
        content = _member(archive, WEIGHTS)
        with h5py.File(io.BytesIO(content), "r") as file:
            check_heaps(file, content)
            stored = sum(prod(dataset.shape) for dataset in foreign_datasets(file).values())
    config = modern(written)
    check_config(config, stored)
    if config == written:
        return keras.models.load_model(path, compile=False)
    model = build(config)
    model.load_weights(path)  # which takes eight times as long
    return model


def _member(archive, name, most=None):
    """The bytes of a file in the archive, which is there once and is not of more than `most` bytes."""
    found = [member for member in archive.infolist() if member.filename == name]
    if len(found) != 1:
        raise ValueError(f"expected one file {name} in the archive; received {archive.namelist()[:8]}.")
    if (size := found[0].file_size) > (most or size):
        raise ValueError(f"expected {name} of at most {most:,} bytes; received {size:,}.")
    return archive.read(found[0])
