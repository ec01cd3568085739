"""FFmpeg's containers through PyAV, opened so that a file can name no other file or address (playlists can)."""

from __future__ import annotations

from typing import Any, BinaryIO

from g4cpp.errors import G4Error, MediaError
from g4cpp.media.libraries import library

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,h264,hevc,m4v,ivf,"
    "aac,mp3,flac,wav,w64,aiff,au,caf,amr,ac3,eac3"
)


def open_container(file: BinaryIO, place: str) -> Any:
    """An av.container.InputContainer. Raises MediaError."""
    av = library("av")
    try:
        return av.open(file, "r", options={"format_whitelist": _FORMATS, "protocol_whitelist": "none"})
    except (MemoryError, G4Error):
        raise
    except Exception as error:  # FFmpeg's errors, and PyAV's own on odd files
        raise MediaError(f"[{place}] not a file that can be read: {reason_of(error)}") from error


def stream_of(container: Any, kind: str) -> Any:
    """The best stream of the kind ("audio", "video"). Raises MediaError where there is none."""
    stream = container.streams.best(kind)
    if stream is None or stream.codec_context is None:
        raise MediaError(f"[{kind}] a file with {kind} expected, none found in it")
    return stream


def reason_of(error: Exception) -> str:
    """What FFmpeg says, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())[:200]
