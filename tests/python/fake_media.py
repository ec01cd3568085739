"""A stand-in for the core's MediaEncoder, and projector files of metadata alone: tests of everything around the towers.

The tokens depend on every value that is encoded, and on nothing else.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from g4cpp import Image

Array = NDArray[np.float32]


class FakeEncoder:
    """Hidden size 64, patches of 16 pixels pooled by 3, mel features of 128 bins four frames to a token."""

    calls: list[str] = []  # noqa: RUF012
    during: Callable[[], None] | None = None

    def __init__(self, file: Any, *, device: str = "auto", compute: str = "auto", n_threads: int = 0) -> None:
        self.hidden_size = 64
        kinds = {sense: file.get(f"clip.{sense}.projector_type") for sense in ("vision", "audio")}
        self.vision = SimpleNamespace(projector=kinds["vision"], patch_size=16, pooling=3, max_position=1024)
        self.audio = SimpleNamespace(projector=kinds["audio"], n_features=128)
        self.compute, self.n_threads = compute, n_threads
        type(self).calls.append(f"load {compute}")

    def encode_image(self, patches: Array, cols: int, rows: int, poll: Any = None) -> Array:
        type(self).calls.append(f"image {cols}x{rows}")
        assert patches.dtype == np.float32
        assert patches.shape == (cols * rows, 768)
        self._work(poll)
        pooled = patches.reshape(rows // 3, 3, cols // 3, 3, 768).mean(axis=(1, 3)).reshape(-1, 768)
        return self._tokens(pooled)

    def encode_audio(self, features: Array, poll: Any = None) -> Array:
        type(self).calls.append(f"audio {len(features)}")
        assert features.dtype == np.float32
        self._work(poll)
        return self._tokens(features[::4])

    def _work(self, poll: Any) -> None:
        if FakeEncoder.during is not None:
            FakeEncoder.during()
        if poll is not None:
            poll()

    def _tokens(self, values: Array) -> Array:
        mixing = np.random.default_rng(1).standard_normal((values.shape[1], 64)) / values.shape[1] ** 0.5
        return np.asarray(values @ mixing, np.float32)


def write_projector(
    path: Path, *, hidden: int = 64, vision: str | None = "gemma4v", audio: str | None = "gemma4a", arch: str = "clip"
) -> Path:
    """A file with the keys of a projector and one tensor of no use."""
    writer = gguf.GGUFWriter(str(path), arch)
    writer.add_type("mmproj")
    for sense, kind in (("vision", vision), ("audio", audio)):
        if kind is not None:
            writer.add_bool(f"clip.has_{sense}_encoder", True)
            writer.add_string(f"clip.{sense}.projector_type", kind)
            writer.add_uint32(f"clip.{sense}.projection_dim", hidden)
    writer.add_tensor("mm.none", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def picture(seed: int = 0, width: int = 96, height: int = 64) -> Pillow.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Pillow.fromarray(values)


def png(seed: int = 0, width: int = 96, height: int = 64) -> bytes:
    out = io.BytesIO()
    picture(seed, width, height).save(out, "PNG")
    return out.getvalue()


def wav(seconds: float = 1.0, hertz: float = 440.0) -> bytes:
    samples = 0.4 * np.sin(2 * np.pi * hertz * np.arange(int(16000 * seconds)) / 16000)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return out.getvalue()


def small(seed: int = 0) -> Image:
    return Image(png(seed), tokens=70)


def asked(*parts: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]
