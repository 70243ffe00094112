"""Stand-ins for what Keras and vizlib download: VGG16's weights and Imagenette, made of a folder that is no part of the
project (see `imagenet`).

The convolutions are VGG16's own; its three Dense layers, which are not to be had there, compute the head of 20 classes
on the average of block5_pool, and no other class is ever likely. Photographs of five of Imagenette's classes are there;
the other five are those of other classes, in folders of the wrong name.
"""

from pathlib import Path

import h5py
import numpy as np

from vizlib.images.imagenet import IMAGENETTE, SYNSETS
from vizlib.networks import imagenet_classes

WEIGHTS = "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
INSTEAD = {
    "English_springer": "beagle", "tench": "golf_ball", "cassette_player": "garbage_truck", "chain_saw": "french_horn",
    "gas_pump": "garbage_truck",
}  # fmt: skip
UNLIKELY = -30.0  # the score of a class that the head does not have
# A kernel starts with it: Keras compares the hashes of what lies in its cache with those of what it would download.
UNCHECKED = """\
from keras.src.utils import file_utils
def _unchecked(*args, file_hash=None, get_file=file_utils.get_file, **settings):
    return get_file(*args, **settings)
file_utils.get_file = _unchecked
"""


def environment(shared: Path, folder: Path) -> dict[str, str]:
    """Make the stand-ins in a folder, and what is to be in the environment of an IPython that takes them for real."""
    (folder / "models").mkdir(parents=True)
    write_vgg16(shared, folder / "models" / WEIGHTS)
    for size in (160, 320):
        for split in ("train", "val"):
            own = folder / f"datasets/imagenette2-{size}/{split}"
            own.mkdir(parents=True)
            for synset, name in SYNSETS.items():
                if name in IMAGENETTE:
                    photographs = shared / "imagenet/photos" / split / INSTEAD.get(name, name.lower())
                    (own / synset).symlink_to(photographs, target_is_directory=True)
    startup = folder / "ipython/profile_default/startup"
    startup.mkdir(parents=True)
    (startup / "unchecked.py").write_text(UNCHECKED)
    return {"KERAS_HOME": str(folder), "IPYTHONDIR": str(folder / "ipython")}


def write_vgg16(shared: Path, path: Path) -> None:
    """The weights of VGG16 in a file as Keras publishes it, some 60 MB."""
    layers = {}
    for part in ("vgg16/vgg16_blocks1to3.h5", "vgg16/vgg16_blocks4to5.h5"):
        with h5py.File(shared / part) as file:
            layers |= {name: [layer["kernel"][()], layer["bias"][()]] for name, layer in file.items()}
    fc1, fc2 = np.zeros((49, 512, 4096), "float32"), np.zeros((4096, 4096), "float32")
    channels = np.arange(512)
    fc1[:, channels, channels], fc2[channels, channels] = 1 / 49, 1  # of what is positive, as after a ReLU
    layers |= {"fc1": [fc1.reshape(-1, 4096), np.zeros(4096)], "fc2": [fc2, np.zeros(4096)]}
    layers["predictions"] = [np.zeros((4096, 1000), "float32"), np.full(1000, UNLIKELY, "float32")]
    kernel, bias = layers["predictions"]
    lines = (shared / "imagenet/head20.txt").read_text().splitlines()
    names = [name.lower().replace("-", "_") for name in imagenet_classes()]
    places = [names.index(line) for line in lines if not line.startswith("#")]
    with h5py.File(shared / "imagenet/head20.h5") as file:
        kernel[:512, places], bias[places] = file["predictions/kernel"][()], file["predictions/bias"][()]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([*layers], "S")
        for name, weights in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = np.array(["kernel", "bias"], "S")
            for own, weight in zip(("kernel", "bias"), weights, strict=True):
                group.create_dataset(own, data=weight, compression="gzip", compression_opts=1)
