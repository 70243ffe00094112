"""What an image can take from another image: a place, its colours, waves, blocks, where its object is; and turns."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops
from scipy.fft import dctn, idctn, irfft2, rfft2

LUMA = np.array([0.299, 0.587, 0.114], "float32")
EIGHTH = 8  # places begin at eighths of a side and are two of them wide
FRAME = 16  # its width is this part of a side
BLOCK = 8  # pixels of a side of JPEG's blocks
OCTAVES = 4  # of waves, from 2 pixels on
AXES = {"vertical": (1, 0), "horizontal": (0, 1)}  # of positions: (down, right)
TURNS = 22.5, 45  # degrees, of poses
TINY = 1e-6


class Exchange(NamedTuple):
    """A component that images can take from donors.

    apply: (images, donors), float32 (n, h, w, 3) in [0, 1] each, to images of that shape: the images with this of the
    donors, each of the donor in its row. shift: of a place, how far it is from the middle, (down, right) in shares of
    the sides.
    """

    kind: str
    name: str
    apply: Callable[[np.ndarray, np.ndarray], np.ndarray]
    shift: tuple[float, float] = (0.0, 0.0)


class Turn(NamedTuple):
    """A way to turn an image and the opposite one: functions of images, float32 (n, h, w, 3), to images."""

    name: str
    there: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


def exchanges(shape: tuple[int, int]) -> list[Exchange]:
    """All components of images of this height and width that can be exchanged."""
    found = [Exchange("place", name, _pasting(mask), off_centre(mask)) for name, mask in places(shape).items()]
    found += [Exchange("colour", f.__name__[1:], f) for f in (_brightness, _tones, _tint)]
    found += [Exchange("waves", name, _waving(band)) for name, band in _bands(shape).items()]
    return [*found, Exchange("blocks", f"blocks of {BLOCK} px", _blocks)]


def turns() -> list[Turn]:
    """By 22.5 and 45 degrees either way."""
    return [Turn(f"{degrees} degrees {way}", _turning(sign * degrees), _turning(-sign * degrees))
            for degrees in TURNS for way, sign in {"clockwise": 1, "anticlockwise": -1}.items()]


def shifted(images: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Images, float32 (n, h, w, 3), moved by (down, right) pixels, (n, 2) or (2,); what is at the border goes on.

    Mirrored, it would bring an object that leaves the border back to where it was.
    """
    down, right = np.broadcast_to(by, (len(images), 2)).T
    return _transformed(images, np.broadcast_to(np.eye(2), (len(images), 2, 2)), np.stack([-right, -down], axis=1))


def cells(shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Squares of a quarter of a side at every eighth: {name: boolean (h, w)}."""
    return {f"rows {r.start}-{r.stop}, columns {c.start}-{c.stop}": _rectangle(shape, r, c)
            for r in _spans(shape[0]) for c in _spans(shape[1])}


def places(shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """The cells, bands of a quarter of a side at every eighth, and the frame: {name: boolean (h, w)}."""
    h, w = shape
    rows = {f"rows {r.start}-{r.stop}": _rectangle(shape, r, slice(w)) for r in _spans(h)}
    columns = {f"columns {c.start}-{c.stop}": _rectangle(shape, slice(h), c) for c in _spans(w)}
    inside = _rectangle(shape, slice(h // FRAME, h - h // FRAME), slice(w // FRAME, w - w // FRAME))
    return cells(shape) | rows | columns | {"frame": ~inside}


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of a place, bottom and right exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def off_centre(mask: np.ndarray) -> tuple[float, float]:
    """How far the middle of a place is from that of the image, (down, right) in shares of the sides."""
    top, left, bottom, right = box(mask)
    return (top + bottom) / 2 / mask.shape[0] - 0.5, (left + right) / 2 / mask.shape[1] - 0.5


def _spans(side):
    return [slice(i * side // EIGHTH, (i + 2) * side // EIGHTH) for i in range(EIGHTH - 1)]


def _rectangle(shape, rows, columns):
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask


def _pasting(mask):
    return lambda images, donors: np.where(mask[..., None], donors, images)


def _brightness(images, donors):
    return np.clip(images + ((donors - images) @ LUMA).mean((1, 2))[:, None, None, None], 0, 1)


def _tint(images, donors):
    apart = (donors - images).mean((1, 2))
    return np.clip(images + (apart - (apart @ LUMA)[:, None])[:, None, None], 0, 1)


def _tones(images, donors):
    """Mean and standard deviation of brightness (Reinhard et al. 2001); colours are kept."""
    ours, theirs = images @ LUMA, donors @ LUMA
    (mean, spread), (wanted, wider) = ((x.mean((1, 2), keepdims=True), x.std((1, 2), keepdims=True))
                                       for x in (ours, theirs))
    found = wanted + (ours - mean) * wider / np.maximum(spread, TINY)
    return np.clip(images + (found - ours)[..., None], 0, 1)


def _bands(shape):
    """Octaves of the spectrum, whole and in four directions: {name: boolean (h, w // 2 + 1)}."""
    down, across = np.meshgrid(np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1]), indexing="ij")
    length, angle = 1 / np.maximum(np.hypot(down, across), TINY), np.rad2deg(np.arctan2(down, across))
    found = {}
    for shortest in 2 ** np.arange(1, OCTAVES + 1):
        octave = (length < 2 * shortest) & (length >= shortest * (shortest > 2))
        found[name := f"waves of {shortest}-{2 * shortest} px"] = octave
        for turn in (0, 45, 90, 135):
            found[f"{name} at {turn} degrees"] = octave & (np.abs((angle - turn + 90) % 180 - 90) <= 22.5)
    return found


def _waving(band):
    """The amplitudes of a band are exchanged, the phases, which tell the objects, are kept."""

    def apply(images, donors):
        ours, theirs = (rfft2(x, axes=(1, 2)) for x in (images, donors))
        ours[:, band] *= np.abs(theirs[:, band]) / np.maximum(np.abs(ours[:, band]), TINY)
        return np.clip(irfft2(ours, images.shape[1:3], axes=(1, 2)), 0, 1)

    return apply


def _blocks(images, donors):
    """The mean amplitudes of JPEG's cosines in blocks of 8 × 8 pixels are exchanged, the contrast is kept."""
    n, h, w, c = images.shape
    h, w = h - h % BLOCK, w - w % BLOCK
    ours, theirs = (dctn(x[:, :h, :w].reshape(n, h // BLOCK, BLOCK, w // BLOCK, BLOCK, c), axes=(2, 4), norm="ortho")
                    for x in (images, donors))
    power, wanted = ((x**2).mean((1, 3), keepdims=True) for x in (ours, theirs))
    power[:, :, 0, :, 0] = wanted[:, :, 0, :, 0] = 0  # the means of blocks are no matter of waves
    gain = np.sqrt(wanted / np.maximum(power, TINY**2))
    kept = power.sum((2, 4), keepdims=True) / np.maximum((power * gain**2).sum((2, 4), keepdims=True), TINY**2)
    gain *= np.sqrt(kept)
    gain[:, :, 0, :, 0] = 1
    found = images.copy()
    found[:, :h, :w] = idctn(ours * gain, axes=(2, 4), norm="ortho").reshape(n, h, w, c)
    return np.clip(found, 0, 1)


def _turning(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    back = np.array([[c, s], [-s, c]])  # (x, y) of the new image to that of the old

    def apply(images):
        middle = (np.array(images.shape[2:0:-1]) - 1) / 2
        return _transformed(images, np.stack(len(images) * [back]), np.stack(len(images) * [middle - back @ middle]))

    return apply


def _transformed(images, back, start):
    """Pixels from (x, y) = back (n, 2, 2) times that of the new image, plus start (n, 2)."""
    rows = np.concatenate([back, start[..., None]], axis=2).reshape(-1, 6)
    transforms = np.pad(rows, ((0, 0), (0, 2))).astype("float32")
    return ops.convert_to_numpy(ops.image.affine_transform(images, transforms, fill_mode="nearest"))
