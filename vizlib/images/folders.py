"""Images of a class: drawn scenes of PartWorld, or folders of image files."""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from vizlib import partworld
from vizlib._arrays import as_images, to_uint8
from vizlib.images.files import read_image, resized


def load_images(
    source: str | os.PathLike, class_name: str, n: int | None = None, seed: int = 0, size: int = 64
) -> np.ndarray:
    """Images of one class: float32 RGB in [0, 1], (n, size, size, 3).

    source: "partworld" for drawn scenes, or the path of a folder of class folders (a folder of that very
    name is "./partworld"). From a folder, n=None takes all files in the order of their names; a number takes
    a random choice that the seed decides and of which a smaller n is the beginning. Of PartWorld, n=None
    draws 100 scenes.

    A picture is turned upright (EXIF), cropped to the square in its middle and resized with Pillow's Lanczos
    filter, which averages over the pixels that it drops. Of an animation the first frame is taken;
    transparent pixels show white; colour profiles are not applied.

    A file that cannot be read whole, that has over 50 megapixels or 100 MB, or that is no JPEG, PNG, BMP,
    GIF, WebP or TIFF is skipped with a warning that names it, and another is taken in its place. Hidden files
    are passed over. Fewer than n in the end is a warning, none at all a ValueError. An unknown class is a
    ValueError that lists the classes, a missing folder a FileNotFoundError.
    """
    if n is not None and n < 1:
        raise ValueError(f"expected n of at least 1, or None; received {n!r}.")
    if size < 1:
        raise ValueError(f"expected a size of at least 1 pixel; received {size!r}.")
    if source == "partworld":
        return _drawn(class_name, 100 if n is None else n, seed, size)

    files = _files(Path(source), class_name)
    if n is not None:
        files = [files[i] for i in np.random.default_rng(seed).permutation(len(files))]
    pictures = []
    for file in files:
        try:
            pictures.append(read_image(file, size))
        except Exception as error:  # on a damaged file Pillow's decoders raise nearly anything
            warnings.warn(f"skipped {str(file)!r}: {type(error).__name__}: {error}", stacklevel=2)
        if len(pictures) == n:
            break
    if not pictures:
        folder = str(Path(source, class_name))
        raise ValueError(f"expected images in {folder!r}; received {len(files)} files, none readable.")
    if n is not None and len(pictures) < n:
        warnings.warn(f"expected {n} images of {class_name!r}; received {len(pictures)}.", stacklevel=2)
    return as_images(np.stack(pictures))


def class_names(source: str | os.PathLike) -> list[str]:
    """The classes of a source, as `load_images` takes it: names, of a folder in alphabetical order.

    A missing folder is a FileNotFoundError.
    """
    if source == "partworld":
        return list(partworld.CLASSES)
    if not Path(source).is_dir():
        raise FileNotFoundError(f"expected \"partworld\" or a folder of classes; received {str(source)!r}.")
    return sorted(folder.name for folder in _visible(Path(source)) if folder.is_dir())


def _drawn(class_name, n, seed, size):
    scenes = partworld.draw(class_name, n, seed)
    if scenes.shape[1] == size:
        return scenes
    return as_images(np.stack([resized(Image.fromarray(scene), size) for scene in to_uint8(scenes)]))


def _files(source, class_name):
    classes = class_names(source)
    if class_name not in classes:
        known = ", ".join(classes) or "none"
        raise ValueError(f"expected a class of {str(source)!r} ({known}); received {class_name!r}.")
    return sorted(file for file in _visible(source / class_name) if not file.is_dir())


def _visible(folder):
    return [path for path in folder.iterdir() if not path.name.startswith(".")]
