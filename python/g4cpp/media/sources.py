"""What a user may hand over: `Image`, `Audio`, `Video`, and the bytes behind a path or a data URL.

A source is checked where it is read, not here: building one of these loads nothing. Addresses (http://...) are not
fetched.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal
from urllib.parse import unquote_to_bytes

import numpy as np
from numpy.typing import NDArray

from g4cpp.errors import ArgumentTypeError, FileError, MediaError, MissingFileError

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

Detail = Literal["low", "auto", "high"]
Encoded = str | os.PathLike[str] | bytes | bytearray | memoryview
"""A path, a data URL (a string that begins with "data:") or the bytes of a file."""

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?P<parameters>(;[^;,]*)*),(?P<data>.*)", re.DOTALL | re.IGNORECASE)
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


@dataclass(frozen=True, eq=False)
class Image:
    """An image: a path, bytes, a data URL, a PIL image, or an array [height, width] or [height, width, 1|3|4].

    tokens: the budget of soft tokens (70, 140, 280, 560 or 1120; 280 when neither is given); detail: the same in words.
    """

    source: Encoded | PilImage | NDArray[Any] = field(repr=False)
    tokens: int | None = None
    detail: Detail | None = None


@dataclass(frozen=True, eq=False)
class Audio:
    """A sound: a path, bytes, a data URL, or an array of samples [n] or [n, channels].

    sample_rate: of an array, in Hz (16000 when not given); a file has its own.
    """

    source: Encoded | NDArray[Any] = field(repr=False)
    sample_rate: int | None = None


@dataclass(frozen=True, eq=False)
class Video:
    """A video: a path, bytes, a data URL, a list of frames (PIL images or arrays), or an array [n, height, width, 3].

    tokens: the budget of each frame; frames: how many are taken; fps: of a list or an array (24 when not given).
    """

    source: Encoded | Sequence[PilImage | NDArray[Any]] | NDArray[Any] = field(repr=False)
    tokens: int = 70
    frames: int = 32
    fps: float | None = None


def open_encoded(source: object, place: str) -> BinaryIO:
    """The file behind a path, a data URL or bytes, opened for reading; `place` opens the error messages.

    Raises ArgumentTypeError, MissingFileError, FileError, MediaError (a malformed data URL, nothing in it).
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _filled(bytes(source), place)
    if isinstance(source, str) and source[:5].lower() == "data:":
        return _filled(_data_of_url(source, place), place)
    if isinstance(source, (str, os.PathLike)):
        return _open_path(source, place)
    raise ArgumentTypeError(f"[{place}] a path, bytes, a data URL or an array expected, {type(source).__name__} found")


def _filled(data: bytes, place: str) -> BinaryIO:
    if not data:
        raise MediaError(f"[{place}] no bytes")
    return io.BytesIO(data)


def _data_of_url(url: str, place: str) -> bytes:
    parts = _DATA_URL.fullmatch(url)
    if parts is None:
        raise MediaError(f"[{place}] malformed data URL: data:TYPE;base64,DATA expected, {url[:32]!r}... found")
    if not parts["parameters"].lower().endswith(";base64"):
        return unquote_to_bytes(parts["data"])
    # Line breaks and a missing padding occur in the wild; anything else is damage.
    data = re.sub(rb"\s+", b"", unquote_to_bytes(parts["data"]))
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except binascii.Error as error:
        raise MediaError(f"[{place}] malformed data URL: {error}") from error


def _open_path(path: str | os.PathLike[str], place: str) -> BinaryIO:
    name = os.fspath(path)
    if not isinstance(name, str) or not name or "\0" in name:
        raise ArgumentTypeError(f"[{place}] a file name expected, {name!r:.80} found")
    if _ADDRESS.match(name):
        raise MediaError(f"[{place}] {name[:80]}: addresses are not fetched; give a path, bytes or a data URL")
    file = Path(name).expanduser()
    try:
        mode = file.stat().st_mode
        if stat.S_ISDIR(mode):
            raise FileError(f"[{place}] {file}: a file expected, a folder found")
        if not stat.S_ISREG(mode):  # reading a pipe or a terminal would wait for ever
            raise FileError(f"[{place}] {file}: a regular file expected")
        opened = file.open("rb")
    except FileNotFoundError as error:
        raise MissingFileError(f"[{place}] {name[:200]}: no such file") from error
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"[{place}] {name[:200]}: {error.strerror}") from error
    if mode and not file.stat().st_size:
        opened.close()
        raise MediaError(f"[{place}] {file}: no bytes")
    return opened


def samples_of_integers(values: NDArray[Any]) -> NDArray[np.float32]:
    """Integer samples as float32 in [-1, 1): signed ones by their range, unsigned 8-bit ones around 128."""
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - np.float32(128)) / np.float32(128)
    return values.astype(np.float32) / np.float32(-float(np.iinfo(values.dtype).min))
