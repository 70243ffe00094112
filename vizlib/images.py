"""Pictures to arrays and back: PartWorld scenes and folders of image files, as float32 RGB in [0, 1]."""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

# Files come from anywhere: only these decoders see them, and nothing this large is read or unpacked.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
MAX_BYTES = 100_000_000
MAX_PIXELS = 50_000_000


def load_images(source, class_name, n=None, seed=0, size=64):
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
            pictures.append(_read(file, size))
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


def class_names(source):
    """The classes of a source, as `load_images` takes it: names, of a folder in alphabetical order.

    A missing folder is a FileNotFoundError.
    """
    if source == "partworld":
        from vizlib.partworld import CLASSES  # only those who ask for it load it

        return list(CLASSES)
    if not Path(source).is_dir():
        raise FileNotFoundError(f"expected \"partworld\" or a folder of classes; received {str(source)!r}.")
    return sorted(folder.name for folder in _visible(Path(source)) if folder.is_dir())


def as_images(array):
    """Images in the library's own form: float32 RGB in [0, 1], (n, height, width, 3).

    array: uint8 in [0, 255] or float in [0, 1], (n, height, width, 3) or one image (height, width, 3);
    float32 comes back as it is, not copied.
    Anything else is a ValueError: another rank, dtype or number of channels, no pixels, NaN, values outside.
    """
    array = np.asarray(array)
    if array.ndim not in (3, 4) or array.shape[-1] != 3 or array.size == 0:
        wanted = "(n, height, width, 3) or one of shape (height, width, 3)"
        raise ValueError(f"expected images of shape {wanted}; received {array.shape}.")
    images = array.reshape(-1, *array.shape[-3:])
    if images.dtype == np.uint8:
        return images / np.float32(255)
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"expected float in [0, 1] or uint8 in [0, 255]; received dtype {images.dtype}.")
    images = images.astype(np.float32, copy=False)
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):  # so that NaN fails as well
        raise ValueError(f"expected float images in [0, 1]; received values from {low:g} to {high:g}.")
    return images


def to_uint8(images):
    """Images, as `as_images` takes them, to uint8 in [0, 255], rounded, of the same shape."""
    return np.rint(as_images(images) * 255).astype(np.uint8).reshape(np.shape(images))


def save_image(path, image, text=None):
    """Write one image (height, width, 3), as `as_images` takes it, to a PNG file: the whole file or none.

    text: {key: str} that the file is to carry.
    """
    path, carried = Path(path), PngInfo()
    for key, value in (text or {}).items():
        carried.add_itxt(key, value)
    picture = Image.fromarray(to_uint8(image))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        picture.save(part, format="PNG", pnginfo=carried)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _drawn(class_name, n, seed, size):
    from vizlib import partworld  # only those who ask for it load it

    scenes = partworld.draw(class_name, n, seed)
    if scenes.shape[1] == size:
        return scenes
    return as_images(np.stack([_resized(Image.fromarray(scene), size) for scene in to_uint8(scenes)]))


def _files(source, class_name):
    classes = class_names(source)
    if class_name not in classes:
        known = ", ".join(classes) or "none"
        raise ValueError(f"expected a class of {str(source)!r} ({known}); received {class_name!r}.")
    return sorted(file for file in _visible(source / class_name) if not file.is_dir())


def _visible(folder):
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _read(file, size):
    if not file.is_file():  # opening a named pipe would wait for ever
        raise ValueError("expected a regular file")
    if (n_bytes := file.stat().st_size) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes; received {n_bytes}")
    with Image.open(file, formats=FORMATS) as image:  # reads the header alone
        if (n_pixels := image.width * image.height) > MAX_PIXELS:
            raise ValueError(f"expected at most {MAX_PIXELS} pixels; received {n_pixels}")
        image = ImageOps.exif_transpose(image)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return _resized(_rgb(image.crop((left, top, left + side, top + side))), size)


def _rgb(image):
    if image.mode.startswith("I;16"):  # which Pillow would clip at 255
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"expected 8 or 16 bits a channel; received 32 (mode {image.mode})")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _resized(image, size):
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0))
