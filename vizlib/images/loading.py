"""Images of a class: drawn scenes of PartWorld, pictures of Imagenette, or those in folders of anyone."""

import os
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from vizlib import partworld
from vizlib._arrays import ImagesLike, Size, as_images, sides, to_uint8
from vizlib._progress import progress_bar
from vizlib.images.files import fitted, read_image
from vizlib.images.folders import classes_in, files_of
from vizlib.images.imagenet import ARCHIVES, IMAGENETTE, SYNSETS, imagenette

AHEAD = 256  # files that are read side by side at a time
PATIENCE = 2  # seconds without a progress bar


def load_images(
    source: str | os.PathLike,
    class_name: str,
    n: int | None = None,
    seed: int = 0,
    size: Size = 64,
    fit: str = "crop",
    dtype: str = "float32",
    progress: bool = True,
) -> ImagesLike:
    """Images of one class: RGB, (n, size, size, 3), float32 in [0, 1] or uint8.

    source: "partworld" for drawn scenes; "imagenette" for pictures of ten classes of ImageNet, which are downloaded
    once; or the path of a folder of class folders, of `train` and `val` with such, of pictures of one class, or of
    pictures with a table of labels (a folder of that very name is "./partworld"). Folders named by ImageNet's synsets,
    such as n03028079, answer to the name of the class too. From a folder, n=None takes all files in the order of their
    names; a number takes a random choice that the seed decides and of which a smaller n is the beginning. Of PartWorld,
    n=None draws 100 scenes.

    size: pixels, or (height, width). fit: "crop" for the middle of a picture, "pad" for the whole with its mean colour
    around it. A picture is turned upright (EXIF) and resized with Pillow's Lanczos filter, which averages over the
    pixels that it drops. Of an animation the first frame is taken; transparent pixels show white; colour profiles are
    not applied. 16 bits that hold no more than 12 or 8 are taken for so many; floating-point numbers in [0, 1] are as
    they are, others and 32-bit integers from the lowest to the highest: a warning says so.

    dtype: "uint8" takes a quarter of the memory, and serves wherever images are asked for. Files are read side by
    side; progress: whether to show a bar where it takes longer than two seconds.

    A file that cannot be read whole, that has over 50 megapixels or 100 MB, or that is no JPEG, PNG, BMP, GIF, WebP,
    TIFF, AVIF or JPEG 2000 is skipped with a warning that names it, and another is taken in its place. Hidden files are
    passed over. Fewer than n in the end is a warning, none at all a ValueError. An unknown class is a ValueError that
    lists the classes, a missing folder, or data that cannot be downloaded, a FileNotFoundError.
    """
    shape = sides(size)
    for what, expected, received, holds in (
        ("n", "at least 1, or None", n, n is None or n >= 1),
        ("size", "pixels, at least 1, or a height and a width", size, len(shape) == 2 and min(shape) >= 1),
        ("fit", "'crop' or 'pad'", fit, fit in ("crop", "pad")),
        ("dtype", "'float32' or 'uint8'", dtype, dtype in ("float32", "uint8")),
    ):
        if not holds:
            raise ValueError(f"expected {what} to be {expected}; received {received!r}.")
    if source == "partworld":
        pixels = _drawn(class_name, 100 if n is None else n, seed, shape, fit)
    else:
        files = _files(source, class_name, min(shape))
        if n is not None:
            files = [files[i] for i in np.random.default_rng(seed).permutation(len(files))]
        pixels = _read(files, class_name, n, shape, fit, progress)
        if not len(pixels):
            raise ValueError(
                f"expected images of {class_name!r} in {str(source)!r}; received {len(files)} files, none readable."
            )
        if n is not None and len(pixels) < n:
            warnings.warn(f"expected {n} images of {class_name!r}; received {len(pixels)}.", stacklevel=2)
    if pixels.dtype != dtype:
        pixels = as_images(pixels) if dtype == "float32" else to_uint8(pixels)
    return pixels


def class_names(source: str | os.PathLike) -> list[str]:
    """The classes of a source, as `load_images` takes it: names, but for PartWorld in alphabetical order.

    A missing folder is a FileNotFoundError.
    """
    if source == "partworld":
        return list(partworld.CLASSES)
    if source == "imagenette":
        return sorted(IMAGENETTE)
    return list(classes_in(Path(source)))


def _drawn(class_name, n, seed, size, fit):
    scenes = partworld.draw(class_name, n, seed)
    if scenes.shape[1:3] == size:
        return scenes
    return np.stack([fitted(Image.fromarray(scene), size, fit) for scene in to_uint8(scenes)])


def _files(source, class_name, size):
    # A folder is looked through once; Imagenette's classes are known before it is downloaded.
    known = sorted(IMAGENETTE) if source == "imagenette" else classes_in(Path(source))
    name = class_name if class_name in known else SYNSETS.get(class_name)
    if name not in known:
        listed = ", ".join(known) or "none"
        raise ValueError(f"expected a class of {str(source)!r} ({listed}); received {class_name!r}.")
    if source == "imagenette":
        known = classes_in(imagenette(next((has for has in ARCHIVES if has >= size), max(ARCHIVES))))
    return files_of(known[name])


def _read(files, class_name, n, size, fit, progress):
    """The first n pictures that can be read, uint8, and warnings of what cannot and of what was assumed."""
    pixels = np.empty((min(n or len(files), len(files)), *size, 3), np.uint8)
    found, assumptions, left = 0, Counter(), iter(files)

    def read(file):
        try:
            return *read_image(file, size, fit), None
        except Exception as error:  # on a damaged file Pillow's decoders raise nearly anything
            return None, "", error

    shown = progress_bar(None, class_name, len(pixels), "image", delay=PATIENCE, disable=not progress)
    with ThreadPoolExecutor() as threads, shown as bar:
        while some := list(islice(left, min(AHEAD, len(pixels) - found))):
            for file, (picture, assumed, error) in zip(some, threads.map(read, some), strict=True):
                if error is not None:
                    warnings.warn(f"skipped {str(file)!r}: {type(error).__name__}: {error}", stacklevel=3)
                    continue
                pixels[found] = picture
                assumptions.update([assumed])
                found += 1
                bar.update()
    for assumed, times in assumptions.items():
        if assumed:
            warnings.warn(f"{times} of {found} images of {class_name!r}: {assumed}.", stacklevel=3)
    return pixels[:found]
