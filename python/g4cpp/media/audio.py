"""A sound: read, mixed down to mono, resampled to 16 kHz, cut into clips.

libsndfile reads wav, flac, ogg and mp3, FFmpeg (PyAV) the rest (m4a, webm, the sound of a video). Channels are averaged
and soxr resamples at its high quality, like the reference's loader. Reading goes block by block, mixed down at
once, so that a header's claims allocate nothing.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import closing
from typing import Any, BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray

from g4cpp.errors import ArgumentError, G4Error, MediaError
from g4cpp.media.containers import open_container, stream_of
from g4cpp.media.libraries import library
from g4cpp.media.mel import CLIP_SAMPLES, RATE, UNIFIED_FRAME
from g4cpp.media.sources import Audio, open_encoded, samples_of_integers

Samples = NDArray[np.float32]

_BLOCK = 1 << 18
_RATES: Final = (1000, 768_000)
"""Hz; outside it a rate is damage, and resampling from 1 Hz would blow a second up to hours."""
_MAX_CHANNELS = 64


def load_audio(audio: Audio | object) -> Samples:
    """Mono samples at 16 kHz, [n], of an `Audio` or what it may hold. Raises MediaError, ArgumentError, FileError."""
    source = audio.source if isinstance(audio, Audio) else audio
    rate = audio.sample_rate if isinstance(audio, Audio) else None
    if isinstance(source, np.ndarray):
        mono, rate = _mono_of_array(source), RATE if rate is None else rate
        if isinstance(rate, bool) or not isinstance(rate, int):
            raise ArgumentError(f"[audio] sample_rate: a whole number of Hz expected, {rate!r:.40} found")
    elif rate is not None:
        raise ArgumentError("[audio] sample_rate: only of an array; a file has its own")
    else:
        with open_encoded(source, "audio") as file:
            mono, rate = _read(file)
    if not len(mono):
        raise MediaError("[audio] 0 samples")
    if not _RATES[0] <= rate <= _RATES[1]:
        raise MediaError(f"[audio] a rate from {_RATES[0]} to {_RATES[1]} Hz expected, {rate} found")
    if not np.isfinite(mono).all():
        raise MediaError("[audio] samples that are not finite numbers")
    return mono if rate == RATE else _resampled(mono, rate)


def audio_clips(samples: Samples) -> list[Samples]:
    """The clips of a sound at 16 kHz: itself up to 30 s; beyond that equal pieces of at most 30 s, with a warning.

    Cuts lie on multiples of 40 ms. Nothing is dropped: the pieces are the whole sound.
    """
    count = max(1, math.ceil(len(samples) / CLIP_SAMPLES))
    if count == 1:
        return [samples]
    cuts = [-(-(index * len(samples)) // (count * UNIFIED_FRAME)) * UNIFIED_FRAME for index in range(1, count)]
    warnings.warn(
        f"[audio] {len(samples) / RATE:.1f} s of sound are given as {count} clips: one clip holds at most 30 s",
        stacklevel=2,
    )
    return np.split(samples, cuts)


def _resampled(mono: Samples, rate: int) -> Samples:
    length = math.ceil(len(mono) * RATE / rate)
    out = library("soxr").resample(mono, rate, RATE, quality="HQ")[:length]
    return np.pad(out, (0, length - len(out))).astype(np.float32, copy=False)


def _mono_of_array(values: NDArray[Any]) -> Samples:
    """The mean over the channels of [n] or [n, channels]."""
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not 1 <= values.shape[1] <= _MAX_CHANNELS:
        raise MediaError(f"[audio] an array [n] or [n, channels] expected, {values.dtype} {list(values.shape)} found")
    if values.dtype in (np.uint8, np.int8, np.int16, np.int32):
        values = samples_of_integers(values)
    elif values.dtype.kind != "f":
        raise MediaError(f"[audio] samples as floats, int16, int32 or uint8 expected, {values.dtype} found")
    return _mono(values.astype(np.float32))


def _mono(block: NDArray[np.float32]) -> Samples:
    """[n] of [n, channels]."""
    return block[:, 0] if block.shape[1] == 1 else cast("Samples", block.mean(axis=1, dtype=np.float32))


def _read(file: BinaryIO) -> tuple[Samples, int]:
    """The samples and their rate."""
    soundfile = library("soundfile")
    try:
        with soundfile.SoundFile(file) as sound:
            if sound.channels > _MAX_CHANNELS:
                raise MediaError(f"[audio] at most {_MAX_CHANNELS} channels expected, {sound.channels} found")
            blocks = list(iter(lambda: _mono(sound.read(_BLOCK, dtype="float32", always_2d=True)), _Empty()))
            return _joined(blocks), int(sound.samplerate)
    except (MemoryError, G4Error):
        raise
    except Exception as error:  # unknown to libsndfile, or damaged: FFmpeg tries, and says what is wrong
        reason = getattr(error, "error_string", None) or " ".join(str(error).split())[:200]
    file.seek(0)
    try:
        container = open_container(file, "audio")
    except MediaError as error:
        raise MediaError(f"[audio] not a sound that can be read: {reason}") from error
    with closing(container):
        stream = stream_of(container, "audio")
        blocks = list(_decoded(container, stream))
        return _joined(blocks), int(stream.rate or 0)


class _Empty:
    """Equal to a block without samples, which ends the reading."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, np.ndarray) and not len(other)

    __hash__ = None  # type: ignore[assignment]


def _joined(blocks: list[Samples]) -> Samples:
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _decoded(container: Any, stream: Any) -> Iterator[Samples]:
    """Mono blocks of the stream, at its own rate."""
    av = library("av")
    planar = av.AudioResampler(format="fltp")
    try:
        for frame in container.decode(stream):
            for converted in planar.resample(frame):
                yield _mono(converted.to_ndarray().T)
    except av.error.FFmpegError as error:
        raise MediaError(f"[audio] corrupt: {' '.join(str(error).split())[:200]}") from error
