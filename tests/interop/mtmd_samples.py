"""What the comparisons of encoders share: an image and a sound, their soft tokens by transformers and by us,
the measure of likeness.

The image has as many pixels as its token budget allows (70 tokens of 48 x 48), so that neither llama.cpp nor the
processors resize it: 480 x 336 is what they would make of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from g4cpp import _core

Array = NDArray[np.float32]
SIDE = 48  # pixels of a token's side
COLS, ROWS = 10, 7  # tokens
SAMPLE_RATE = 16000


def picture(side: int = SIDE) -> NDArray[np.uint8]:
    """[ROWS * side, COLS * side, 3]: waves of a different length per colour, and noise."""
    y, x = np.mgrid[: ROWS * side, : COLS * side][..., None]
    waves = np.sin(x / (0.8 * side)) * np.cos(y / (side * np.array([0.4, 0.6, 0.8])))
    noise = np.random.default_rng(0).normal(0, 20, waves.shape)
    return np.clip(128 + 80 * waves + noise, 0, 255).astype(np.uint8)


def sound(n_samples: int = 2 * SAMPLE_RATE) -> Array:
    """A tone that rises, and noise."""
    t = np.arange(n_samples) / SAMPLE_RATE
    noise = np.random.default_rng(1).normal(0, 0.05, n_samples)
    return (0.3 * np.sin(2 * np.pi * 300 * t * (1 + t)) + noise).astype(np.float32)


def patches_of(pixels: NDArray[np.uint8], side: int) -> tuple[Array, int, int]:
    """(values 0..1, [rows * cols, side * side * 3]; cols; rows), patches row after row, HWC inside."""
    rows, cols = pixels.shape[0] // side, pixels.shape[1] // side
    grid = (pixels.astype(np.float32) / 255).reshape(rows, side, cols, side, 3)
    return np.ascontiguousarray(grid.transpose(0, 2, 1, 3, 4)).reshape(rows * cols, -1), cols, rows


def mel_of(samples: Array) -> Array:
    """[frames, 128] as the reference's feature extractor makes them."""
    from transformers import Gemma4AudioFeatureExtractor

    features = Gemma4AudioFeatureExtractor()([samples], sampling_rate=SAMPLE_RATE, return_tensors="np")
    return np.asarray(features["input_features"][0][features["input_features_mask"][0].astype(bool)], np.float32)


class Reference:
    """transformers in float32."""

    def __init__(self, folder: Path, unified: bool) -> None:
        import torch
        from transformers import Gemma4ForConditionalGeneration, Gemma4UnifiedForConditionalGeneration

        kind: Any = Gemma4UnifiedForConditionalGeneration if unified else Gemma4ForConditionalGeneration
        self._model = kind.from_pretrained(folder, dtype=torch.float32).eval().model
        self._unified = unified

    def embed_image(self, patches: Array, cols: int, rows: int) -> Array:
        import torch

        y, x = np.divmod(np.arange(rows * cols), cols)
        places = torch.from_numpy(np.stack([x, y], -1))[None]
        with torch.no_grad():
            return _rows(self._model.get_image_features(torch.from_numpy(patches)[None], places))

    def embed_audio(self, samples: Array) -> Array:
        import torch

        frames = samples.reshape(-1, 640) if self._unified else mel_of(samples)
        mask = torch.ones(1, len(frames), dtype=torch.bool)
        with torch.no_grad():
            return _rows(self._model.get_audio_features(torch.from_numpy(frames)[None], mask))


def _rows(output: Any) -> Array:
    found: torch.Tensor | tuple[torch.Tensor, ...] = output.pooler_output
    rows = found[0] if isinstance(found, (tuple, list)) else found
    return rows.reshape(-1, rows.shape[-1]).float().numpy()


def our_image(encoder: _core.MediaEncoder, pixels: NDArray[np.uint8]) -> Array:
    assert encoder.vision is not None
    return encoder.encode_image(*patches_of(pixels, encoder.vision.patch_size))


def our_audio(encoder: _core.MediaEncoder, samples: Array) -> Array:
    assert encoder.audio is not None
    unified = encoder.audio.projector == "gemma4ua"
    return encoder.encode_audio(samples.reshape(-1, encoder.audio.n_features) if unified else mel_of(samples))


def likeness(found: Array, expected: Array) -> float:
    """The least cosine between rows of the same place."""
    assert found.shape == expected.shape
    a, b = found.astype(np.float64), expected.astype(np.float64)
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())
