"""Files of pictures: read from anyone, and written whole or not at all."""

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageOps, UnidentifiedImageError, features
from PIL.PngImagePlugin import MAX_TEXT_CHUNK, PngInfo
from PIL.TiffImagePlugin import TiffImageFile

from vizlib._arrays import to_uint8

# Files come from anywhere: only these decoders see them, and nothing this large is read or unpacked.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
FORMATS += tuple(name for name, feature in (("AVIF", "avif"), ("JPEG2000", "jpg_2000")) if features.check(feature))
MAX_BYTES = 100_000_000
MAX_PIXELS = 50_000_000
DEPTHS = 8, 12, 16  # bits that cameras put into 16
OTHERS = {  # what else a file may begin with: (from which byte, bytes)
    "HEIC": [(4, b"ftyphei"), (4, b"ftyphev"), (4, b"ftypmif1"), (4, b"ftypmsf1")],
    "AVIF": [(4, b"ftypavi")],
    "JPEG 2000": [(4, b"jP  "), (0, b"\xffO\xffQ")],
    "JPEG XL": [(0, b"\xff\n"), (4, b"JXL ")],
    "Photoshop": [(0, b"8BPS")],
    "OpenEXR": [(0, b"v/1\x01")],
    "DICOM": [(128, b"DICM")],
    "FITS": [(0, b"SIMPLE  =")],
    "HDF5": [(0, b"\x89HDF")],
    "NumPy": [(0, b"\x93NUMPY")],
    "PDF": [(0, b"%PDF")],
}
BITS_PER_SAMPLE = 258  # tag of TIFF


def read_image(file: Path, size: tuple[int, int], fit: str = "crop") -> tuple[np.ndarray, str]:
    """A picture, uint8 (*size, 3), and what had to be assumed to show it, or "".

    fit: "crop" for the largest part in the middle that has the shape of `size`, "pad" for the whole, with its mean
    colour around it. Raises nearly anything for what is no picture.
    """
    if not file.is_file():  # opening a named pipe would wait for ever
        raise ValueError("expected a regular file")
    if (n_bytes := file.stat().st_size) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes; received {n_bytes}")
    try:
        # Reads the header alone; of a file on disk some decoders would take memory for all that it declares.
        opened = Image.open(io.BytesIO(file.read_bytes()), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError(f"expected {', '.join(FORMATS)}; received {_kind(file)}") from error
    with opened as image:
        if (n_pixels := image.width * image.height) > MAX_PIXELS:
            raise ValueError(f"expected at most {MAX_PIXELS} pixels; received {n_pixels}")
        assumed = _turnable(image)
        bits = image.tag_v2.get(BITS_PER_SAMPLE, (8,)) if isinstance(image, TiffImageFile) else (8,)
        deep = image.mode == "RGB" and max(bits) > 8
        inverted = image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info
        image = image.copy() if assumed else ImageOps.exif_transpose(image)
    if inverted:  # Pillow takes all for Adobe's, who writes them so
        image = Image.fromarray(255 - np.asarray(image), "CMYK")
    if deep and np.asarray(image).max() < 16:
        raise ValueError("expected 16 bits that are used; received colours of 12, of which Pillow keeps the upper 4")
    image, scaled = _of_eight_bits(image)
    return fitted(image, size, fit), "; ".join(filter(None, (assumed, scaled)))


def fitted(image: Image.Image, size: tuple[int, int], fit: str = "crop") -> np.ndarray:
    """A picture of Pillow's, cropped or padded as by `read_image`, and resized: uint8 (*size, 3)."""
    height, width = size
    if fit == "pad":
        scale = min(height / image.height, width / image.width)
        inner = max(1, round(image.height * scale)), max(1, round(image.width * scale))
        pixels = _resized(_rgb(image), inner)
        padded = np.empty((height, width, 3), np.uint8)
        padded[:] = np.rint(pixels.mean(axis=(0, 1)))
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        padded[top : top + inner[0], left : left + inner[1]] = pixels
        return padded
    scale = min(image.height / height, image.width / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (image.height - inner[0]) // 2, (image.width - inner[1]) // 2
    return _resized(_rgb(image.crop((left, top, left + inner[1], top + inner[0]))), size)


def save_image(path: str | os.PathLike, image: ArrayLike, text: dict[str, str] | None = None) -> None:
    """Write one image (height, width, 3), as `as_images` takes it, to a PNG file: the whole file or none.

    text: {key: str} that the file is to carry.
    """
    path, carried = Path(path), PngInfo()
    for key, value in (text or {}).items():
        carried.add_itxt(key, value, zip=len(value.encode()) <= MAX_TEXT_CHUNK)  # of which Pillow reads no more zipped
    picture = Image.fromarray(to_uint8(image))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        picture.save(part, format="PNG", pnginfo=carried)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _kind(file):
    """What a file seems to be that is none of the formats."""
    with file.open("rb") as opened:
        beginning = opened.read(256)
    for name, places in OTHERS.items():
        if any(beginning[start : start + len(known)] == known for start, known in places):
            return f"{name}, to be converted first"
    return "something else" if beginning else "an empty file"


def _turnable(image):
    """What is to be said of a picture whose metadata do not say which side is up."""
    try:
        image.getexif().get(0x0112)
    except Exception as error:  # damaged metadata raise nearly anything
        return f"taken to be upright, as its metadata are damaged ({type(error).__name__})"
    return ""


def _of_eight_bits(image):
    """A picture of at most 8 bits a channel, and what was assumed of its range, or ""."""
    if not image.mode.startswith(("I", "F")):
        return image, ""
    values = np.asarray(image).astype(float)
    low, high = values.min(), values.max()
    if not np.isfinite(high - low):
        raise ValueError("expected finite values; received some that are not")
    if image.mode.startswith("I;16") or (image.mode == "I" and low >= 0 and high < 2**16):
        bits = next(bits for bits in DEPTHS if high < 2**bits)
        low, high = 0, 2**bits - 1
        assumed = f"16 bits that hold no more than {bits} were taken for {bits}" if bits < 16 else ""
    elif image.mode == "F" and low >= 0 and high <= 1:
        low, high, assumed = 0, 1, ""
    else:
        assumed = "its lowest value was taken for black and its highest for white"
    values = np.rint((values - low) / max(high - low, np.finfo(float).tiny) * 255)
    return Image.fromarray(values.astype(np.uint8)), assumed


def _resized(image, size):
    return np.asarray(image.resize(size[::-1], Image.Resampling.LANCZOS, reducing_gap=3.0))


def _rgb(image):
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
