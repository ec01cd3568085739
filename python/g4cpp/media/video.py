"""A video: which frames are taken, when they are, and the frames as images.

Of N frames those at i * N // 32 are taken, i = 0..31 (all of them when there are fewer), each an image of at most 70
tokens; its time is its index over the average frame rate. Frames are decoded from the start up to the last one taken; a
rotation in the file is applied. The sound of a video is not used: give it as an `Audio` as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from g4cpp.errors import ArgumentError, G4Error, MediaError
from g4cpp.media.containers import open_container, reason_of, stream_of
from g4cpp.media.image import load_image
from g4cpp.media.libraries import library
from g4cpp.media.sources import Video, open_encoded

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

DEFAULT_FPS = 24.0
"""The reference's guess where nothing tells the rate."""

_MAX_FRAMES = 1024


def video_frames(video: Video | object) -> list[tuple[float, PilImage]]:
    """(seconds, RGB image) of each frame taken of a `Video`, or of what it may hold.

    Raises MediaError (unreadable, no frames), ArgumentError, FileError, MissingFileError.
    """
    video = video if isinstance(video, Video) else Video(video)  # type: ignore[arg-type]
    count, fps = video.frames, video.fps
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MAX_FRAMES:
        raise ArgumentError(f"[video] frames: 1 to {_MAX_FRAMES} expected, {count!r:.40} found")
    if fps is not None and not (isinstance(fps, (int, float)) and 0 < fps < float("inf")):
        raise ArgumentError(f"[video] fps: a number above 0 expected, {fps!r:.40} found")
    source = video.source
    if isinstance(source, np.ndarray) or (
        isinstance(source, Sequence) and not isinstance(source, (str, bytes, bytearray, memoryview))
    ):
        if isinstance(source, np.ndarray) and source.ndim != 4:
            raise MediaError(f"[video] an array [n, height, width, 3] expected, {list(source.shape)} found")
        if not len(source):
            raise MediaError("[video] 0 frames")
        return [(index / (fps or DEFAULT_FPS), load_image(source[index])) for index in sampled(len(source), count)]
    if fps is not None:
        raise ArgumentError("[video] fps: only of a list of frames; a file has its own")
    with open_encoded(source, "video") as file:
        return _frames_of_file(file, count)


def sampled(total: int, count: int) -> list[int]:
    """Indices of the frames taken of `total`: i * total // count, or all when there are no more than `count`."""
    count = min(total, count)
    return [index * total // count for index in range(count)]


def time_stamp(seconds: float) -> str:
    """mm:ss, minutes running past 59."""
    return f"{int(seconds // 60):02d}:{int(seconds % 60):02d}"


def _frames_of_file(file: BinaryIO, count: int) -> list[tuple[float, PilImage]]:
    total, rate = _measured(file)
    # Headers and packet counts can be wrong: where the decoder gives fewer frames, those are the video.
    for _ in range(2):
        found, decoded = _taken(file, sampled(total, count))
        if not decoded:
            raise MediaError("[video] 0 frames that can be decoded")
        if decoded >= total or decoded > sampled(total, count)[-1]:
            break
        total = decoded
    return [(index / rate, picture) for index, picture in found]


def _measured(file: BinaryIO) -> tuple[int, float]:
    """How many frames there are, counted without decoding when the header does not tell, and how many a second."""
    file.seek(0)
    with closing(open_container(file, "video")) as container:
        stream = stream_of(container, "video")
        limit = library("PIL.Image").MAX_IMAGE_PIXELS
        pixels = stream.codec_context.width * stream.codec_context.height
        if limit is not None and pixels > limit:
            raise MediaError(f"[video] at most {limit} pixels a frame expected, {pixels} found")
        rate = float(stream.average_rate or stream.guessed_rate or 0) or DEFAULT_FPS
        total = int(stream.frames or 0)
        if total <= 0:
            try:
                total = sum(packet.size > 0 for packet in container.demux(stream))
            except (MemoryError, G4Error):
                raise
            except Exception as error:  # FFmpeg's errors
                raise MediaError(f"[video] corrupt: {reason_of(error)}") from error
    return max(1, total), rate


def _taken(file: BinaryIO, wanted: list[int]) -> tuple[list[tuple[int, PilImage]], int]:
    """The frames at these indices, and how many were decoded on the way to the last of them."""
    left, decoded, found = set(wanted), 0, []
    file.seek(0)
    with closing(open_container(file, "video")) as container:
        stream = stream_of(container, "video")
        stream.thread_type = "AUTO"
        try:
            for frame in container.decode(stream):
                if decoded in left:
                    found.append((decoded, _picture(frame)))
                decoded += 1
                if decoded > wanted[-1]:
                    break
        except (MemoryError, G4Error):
            raise
        except Exception as error:  # FFmpeg's errors; what came before the damage is kept
            if not decoded:
                raise MediaError(f"[video] corrupt: {reason_of(error)}") from error
    return found, decoded


def _picture(frame: Any) -> PilImage:
    pil_image = library("PIL.Image")
    picture = pil_image.fromarray(frame.to_ndarray(format="rgb24"))
    turned = round(getattr(frame, "rotation", 0) / 90) % 4  # counter-clockwise quarter turns
    if turned:
        turns = (pil_image.Transpose.ROTATE_90, pil_image.Transpose.ROTATE_180, pil_image.Transpose.ROTATE_270)
        picture = picture.transpose(turns[turned - 1])
    return load_image(picture)
