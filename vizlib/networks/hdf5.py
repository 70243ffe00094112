"""Models in `.h5` files of anyone: the whole of a model, as `model.save("NAME.h5")` of Keras 1, 2 and 3 writes it.

Keras reads them with less care than its `.keras` files: up to 3.11.2 its safe mode did not hold for them
(CVE-2025-9905). So the same is asked of their config and of their weights as of those.
"""

import json
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path

import h5py
import keras
import numpy as np

from vizlib._hdf5 import check_heaps, foreign_datasets
from vizlib.networks.config import build, check_config
from vizlib.networks.keras2 import modern

CONFIG, WEIGHTS = "model_config", "model_weights"


def read_hdf5(path: Path) -> keras.Model:
    """The model in an `.h5` file, not compiled.

    Raises ValueError, before memory is taken for a weight, for weights without a model and unless the file is a whole
    HDF5 file of Keras layers which holds all that it asks for; and whatever h5py and Keras raise.
    """
    with open(path, "rb") as raw, mmap(raw.fileno(), 0, access=ACCESS_READ) as content, h5py.File(path, "r") as file:
        datasets = foreign_datasets(file)
        check_heaps(file, content)
        if CONFIG not in file.attrs:
            raise ValueError(
                "expected a whole model, as model.save('NAME.keras') writes it; received weights alone, which go into "
                "the model that they are of: model.load_weights(...). For those of VGG16 see vizlib.convert_vgg16."
            )
        config = modern(json.loads(file.attrs[CONFIG]))
        _check_names(file)
    check_config(config, sum(prod(dataset.shape) for name, dataset in datasets.items() if name.startswith(WEIGHTS)))
    model = build(config)
    model.load_weights(path)
    return model


def _check_names(file):
    """Raise ValueError if a layer lists a weight twice: Keras takes memory for each before it counts them."""
    for group in filter(lambda item: isinstance(item, h5py.Group), file[WEIGHTS].values()):
        lists = [found for key, found in group.attrs.items() if key.startswith("weight_names")]
        names = [str(name) for found in lists for name in np.ravel(found)]
        if len(names) != len(set(names)):
            raise ValueError(f"expected each weight of a layer once; received {names[:8]} in {group.name}.")
