"""Files of pictures: read from anyone, and written whole or not at all."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from vizlib._arrays import to_uint8

# Files come from anywhere: only these decoders see them, and nothing this large is read or unpacked.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
MAX_BYTES = 100_000_000
MAX_PIXELS = 50_000_000


def read_image(file: Path, size: int) -> np.ndarray:
    """The square in the middle of a picture, uint8 (size, size, 3); raises nearly anything for what is none."""
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
    return resized(_rgb(image.crop((left, top, left + side, top + side))), size)


def save_image(path: str | os.PathLike, image: ArrayLike, text: dict[str, str] | None = None) -> None:
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


def _rgb(image):
    if image.mode.startswith("I;16"):  # which Pillow would clip at 255
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"expected 8 or 16 bits a channel; received 32 (mode {image.mode})")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def resized(image: Image.Image, size: int) -> np.ndarray:
    """A picture of Pillow's at another size: uint8 (size, size, 3)."""
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0))
