"""Real input for the media tests: photographs of scikit-image, a voice of eSpeak NG, videos made of the photographs."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import espeakng_loader
import numpy as np
import soundfile
from numpy.typing import NDArray

PHOTOGRAPHS = ("chelsea.png", "coffee.png", "astronaut.png", "hubble_deep_field.jpg", "camera.png", "logo.png")
"""Colour, a JPEG, grey (camera) and transparent (logo) ones."""

VOICE_RATE = 22_050


def photograph(name: str) -> Path:
    """The path of one; scikit-image itself, and what it needs, is not imported."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None, "pip install '.[test]'"
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / name


@functools.cache
def speech(text: str = "the quick brown fox jumps over the lazy dog") -> NDArray[np.int16]:
    """[n] at VOICE_RATE: eSpeak NG's English voice, through its C interface (speak_lib.h)."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    synchronous, characters_utf8 = 2, 1
    heard: list[NDArray[np.int16]] = []
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int16), ctypes.c_int, ctypes.c_void_p)

    @callback
    def hear(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    rate = library.espeak_Initialize(synchronous, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    assert rate == VOICE_RATE
    library.espeak_SetSynthCallback(hear)
    assert library.espeak_SetVoiceByName(b"en") == 0
    spoken = text.encode()
    buffer = ctypes.create_string_buffer(spoken)
    library.espeak_Synth(buffer, ctypes.c_size_t(len(spoken) + 1), 0, 0, 0, characters_utf8, None, None)
    library.espeak_Synchronize()
    library.espeak_Terminate()
    return np.concatenate(heard)


def encoded_sound(samples: NDArray[Any], rate: int, subtype: str = "PCM_16", container: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def encoded_video(
    frames: Sequence[NDArray[np.uint8]], fps: int, container: str = "mp4", codec: str = "mpeg4", sound: bool = False
) -> bytes:
    """The frames, each [height, width, 3]; with `sound` also one second of a 440 Hz tone."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        tone_stream = out.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
        if tone_stream is not None:
            tone = np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000).astype(np.float32)[None] / 2
            block = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            block.sample_rate = 48_000
            out.mux(tone_stream.encode(block))
            out.mux(tone_stream.encode())
    return file.getvalue()
