"""Damaged files: every one ends in a result or in a g4cpp error, soon, whatever the decoders think of it."""

from __future__ import annotations

import importlib
import io
import random
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from media_samples import encoded_sound, encoded_video
from PIL import Image as PilImages

from g4cpp.errors import G4Error, MissingExtraError
from g4cpp.media import audio_features, load_audio, load_image, video_frames

PICTURE = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
TONE = np.sin(np.arange(4000) / 9).astype(np.float32) / 2


def picture_as(container: str) -> bytes:
    file = io.BytesIO()
    PilImages.fromarray(PICTURE).save(file, container)
    return file.getvalue()


IMAGES = {name: picture_as(name) for name in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "TGA")}
SOUNDS = {
    "wav": encoded_sound(TONE, 16_000),
    "float": encoded_sound(TONE, 8000, "FLOAT"),
    "flac": encoded_sound(TONE, 16_000, container="FLAC"),
    "ogg": encoded_sound(TONE, 16_000, "VORBIS", "OGG"),
    "mp3": encoded_sound(TONE, 16_000, "MPEG_LAYER_III", "MP3"),
}
FRAMES = [np.full((32, 48, 3), 9 * index, np.uint8) for index in range(6)]
VIDEOS = {name: encoded_video(FRAMES, 5, name) for name in ("mp4", "matroska", "avi", "mpegts")}


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, mostly near the start; or cut off; or a piece doubled or taken out."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = min(int(rng.expovariate(1 / 60)), len(out) - 1) if rng.random() < 0.7 else rng.randrange(len(out))
        out[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    begin = rng.randrange(len(out))
    match rng.randrange(6):
        case 0:
            return bytes(out[:begin])
        case 1:
            return bytes(out[:begin] + out[begin // 2 :])
        case 2:
            return bytes(out[:begin] + out[begin + rng.randrange(16) :])
    return bytes(out)


def ends_well(read: Callable[[bytes], object], data: bytes, label: str) -> bool:
    """Whether it gave a result; any exception but ours fails the test."""
    began = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(data)
        return True
    except G4Error as error:
        if "\n" in str(error):
            pytest.fail(f"{label}: {error}")
        return False
    except Exception as error:
        pytest.fail(f"{label}: {type(error).__name__}: {error}")
    finally:
        if time.monotonic() - began > 30:
            pytest.fail(f"{label}: more than 30 s")


@pytest.mark.parametrize(
    ("files", "read", "runs"),
    [
        (IMAGES, load_image, 100),
        (SOUNDS, lambda data: audio_features(load_audio(data)[:480_000]), 100),
        (VIDEOS, video_frames, 40),
    ],
    ids=["images", "sounds", "videos"],
)
def test_damaged_files(
    files: dict[str, bytes], read: Callable[[bytes], object], runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PilImages, "MAX_IMAGE_PIXELS", 1 << 20)  # so that an enlarged header costs no second
    results = {True: 0, False: 0}
    for name, data in files.items():
        assert ends_well(read, data, name)
        rng = random.Random(name)
        for run in range(runs):
            results[ends_well(read, damaged(data, rng), f"{name} {run}")] += 1
    assert min(results.values()) > runs // 2  # both ends are reached


def test_noise() -> None:
    rng = random.Random(6)
    for run in range(60):
        data = rng.randbytes(rng.randrange(1, 400))
        for read in (load_image, load_audio, video_frames):
            ends_well(read, data, f"{read.__name__} {run}")


@pytest.mark.parametrize(
    ("missing", "read"),
    [("PIL", lambda: load_image(IMAGES["PNG"])), ("soundfile", lambda: load_audio(SOUNDS["wav"])),
     ("soxr", lambda: load_audio(SOUNDS["float"])), ("av", lambda: video_frames(VIDEOS["mp4"]))],
)  # fmt: skip
def test_without_the_extra_an_error_names_it(
    missing: str, read: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_module = importlib.import_module

    def refuse(name: str, *rest: Any, **options: Any) -> Any:
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}")
        return real_module(name, *rest, **options)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(MissingExtraError, match=rf"^\[media\] .*{missing}.*g4cpp\[multimodal\]"):
        read()
