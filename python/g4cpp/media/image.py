"""An image: read, made RGB, scaled to its budget, cut into patches.

Pillow decodes and scales (bicubic; when shrinking, its filter widens with the step, which is the antialiasing), on
8-bit values, so pixels equal those of the reference's Pillow processor. EXIF orientation is applied, whatever the
source; transparency is laid on white; of an animation the first picture counts.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from g4cpp.errors import ArgumentError, G4Error, MediaError
from g4cpp.media.libraries import library
from g4cpp.media.sizes import SQUARE, budget_of, image_size
from g4cpp.media.sources import Image, open_encoded

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "ICO", "PPM", "TGA")
"""What is opened: not Pillow's whole list, which holds formats that start other programs (EPS)."""

_opening = threading.Lock()


@dataclass(frozen=True, eq=False)
class Patches:
    """An image as the vision tower reads it."""

    values: NDArray[np.float32]
    """[rows * cols, patch * patch * 3], 0..1: patches left to right, then down; inside one height, width, colour."""
    cols: int
    rows: int
    n_tokens: int


def image_patches(
    image: Image | object, *, patch_size: int = 16, pooling: int = 3, budget: int | None = None
) -> Patches:
    """The patches of an image (an `Image`, or what it may hold); the budget is its own unless one is given.

    patch_size, pooling: 16 and 3 for the towers, 48 and 1 for the unified model. Raises MediaError, ArgumentError,
    ArgumentTypeError, FileError, MissingFileError.
    """
    if patch_size * pooling != SQUARE:
        raise ArgumentError(f"[image] patch_size * pooling: {SQUARE} expected, {patch_size} * {pooling} found")
    if budget is None:
        budget = budget_of(image.tokens, image.detail) if isinstance(image, Image) else budget_of(None, None)
    else:
        budget = budget_of(budget, None)
    picture = load_image(image)
    width, height = image_size(picture.width, picture.height, budget)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), library("PIL.Image").Resampling.BICUBIC)
    cols, rows = width // patch_size, height // patch_size
    pixels = np.asarray(picture).reshape(rows, patch_size, cols, patch_size, 3).transpose(0, 2, 1, 3, 4)
    values = pixels.reshape(rows * cols, patch_size * patch_size * 3) * np.float32(1 / 255)
    return Patches(np.ascontiguousarray(values, np.float32), cols, rows, rows * cols // pooling**2)


def load_image(image: Image | object) -> PilImage:
    """The image upright, as 8-bit RGB. Raises MediaError, ArgumentTypeError, FileError, MissingFileError."""
    pil_image = library("PIL.Image")
    source = image.source if isinstance(image, Image) else image
    if isinstance(source, np.ndarray):
        picture = pil_image.fromarray(_rgb_of_array(source))
    elif isinstance(source, pil_image.Image):
        picture = _decoded(source)
    else:
        with open_encoded(source, "image") as file:
            picture = _decoded(_opened(file))
    return picture


def _opened(file: Any) -> PilImage:
    """The image in the file, its header read."""
    pil_image = library("PIL.Image")
    pil_image.init()
    formats = [name for name in _FORMATS if name in pil_image.OPEN]
    try:
        # Pillow warns from its limit on, where _decoded refuses, and raises from twice that on. The filters of warnings
        # are the process's, hence the lock.
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore", pil_image.DecompressionBombWarning)
            return pil_image.open(file, formats=formats)
    except pil_image.DecompressionBombError as error:
        raise MediaError(f"[image] {_one_line(error)}") from error
    except library("PIL").UnidentifiedImageError as error:
        raise MediaError(f"[image] not an image of a known format ({', '.join(_FORMATS)})") from error
    except MemoryError:
        raise
    except Exception as error:  # a decoder may raise anything on damaged bytes
        raise MediaError(f"[image] corrupt: {_one_line(error)}") from error


def _decoded(picture: PilImage) -> PilImage:
    """Upright RGB of an image that may not be decoded yet."""
    width, height = picture.size
    image_size(width, height, SQUARE)  # empty or too narrow: before anything is decoded
    limit = library("PIL.Image").MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise MediaError(f"[image] {width}x{height}: at most {limit} pixels expected (PIL.Image.MAX_IMAGE_PIXELS)")
    try:
        picture.load()
        return _rgb(_upright(picture))
    except (MemoryError, G4Error):
        raise
    except Exception as error:  # a decoder may raise anything on damaged bytes
        raise MediaError(f"[image] corrupt: {_one_line(error)}") from error


def _upright(picture: PilImage) -> PilImage:
    """Turned as its EXIF note says; a damaged note says nothing."""
    try:
        turned: PilImage = library("PIL.ImageOps").exif_transpose(picture)
        return turned
    except (MemoryError, G4Error):
        raise
    except Exception:
        return picture


def _rgb(picture: PilImage) -> PilImage:
    """8-bit RGB, transparency on white, as the reference; 16-bit grey is scaled (the reference clips it to white)."""
    pil_image = library("PIL.Image")
    if "A" in picture.getbands() or picture.info.get("transparency") is not None:
        picture = picture.convert("RGBA")
        white = pil_image.new("RGBA", picture.size, (255, 255, 255, 255))
        return pil_image.alpha_composite(white, picture).convert("RGB")
    if picture.mode.startswith("I;16"):
        return pil_image.fromarray(_rgb_of_array(np.asarray(picture).astype(np.uint16)))
    if picture.mode == "I":  # Pillow's older mode of 16-bit PNG and PGM files
        grey = np.asarray(picture)
        if grey.size and grey.max() > 255 and grey.min() >= 0 and grey.max() <= 65535:
            return pil_image.fromarray(_rgb_of_array(grey.astype(np.uint16)))
    return picture.convert("RGB")


def _rgb_of_array(values: NDArray[Any]) -> NDArray[np.uint8]:
    """[height, width, 3] of an array of pixels: uint8, uint16, bool, other integers 0..255, floats 0..1."""
    found = f"{values.dtype} {list(values.shape)}"
    channels = (1, 3, 4)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or (values.shape[2] not in channels and values.shape[0] not in channels):
        raise MediaError(f"[image] an array [height, width] or [height, width, 1|3|4] expected, {found} found")
    if values.shape[2] not in channels:
        values = values.transpose(1, 2, 0)
    image_size(values.shape[1], values.shape[0], SQUARE)
    values = _eight_bits(values, found)
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    if values.shape[2] == 4:
        alpha = values[:, :, 3:] / 255
        values = np.round(alpha * values[:, :, :3] + (1 - alpha) * 255).astype(np.uint8)
    return np.ascontiguousarray(values)


def _eight_bits(values: NDArray[Any], found: str) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint16:
        return np.round(values / 257).astype(np.uint8)
    if values.dtype.kind in "iu":
        low, high, scale = 0, 255, 1
    elif values.dtype.kind == "f":
        low, high, scale = 0, 1, 255
    else:
        raise MediaError(f"[image] an array of numbers expected, {found} found")
    if not (np.isfinite(values).all() and values.min() >= low and values.max() <= high):
        least, most = values.min(), values.max()
        raise MediaError(f"[image] values from {low} to {high} expected, {found} from {least} to {most} found")
    return np.round(values.astype(np.float64) * scale).astype(np.uint8)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:200] if text else type(error).__name__
