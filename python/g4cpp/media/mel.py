"""Sound features: log-mel frames for the audio tower, plain frames of samples for the unified model.

Mel (gemma4a), one frame every 10 ms: 160 zeros are put in front, so that the first frame's middle is the first sample;
frame t is the 320 samples from 160 t on, times a periodic Hann window, zero-padded to an FFT of 512; the magnitudes go
through 128 triangles, evenly spaced on the HTK mel scale from 0 to 8 kHz; log(mel + 0.001). Only frames that lie wholly
inside the clip count, judged by one sample past their end. Windowing and FFT are in float32 and the rest in float64, as
in the reference: a loud tone leaves float32 noise in the silent bins, which the logarithm would show as a difference.
Unified (gemma4ua): 640 samples (40 ms) are one frame, the last one filled up with zeros.
"""

from __future__ import annotations

import functools
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from g4cpp.errors import ArgumentError, MediaError

AudioKind = Literal["gemma4a", "gemma4ua"]
"""The projector types of the two audio front ends."""

RATE: Final = 16_000
CLIP_SAMPLES: Final = 30 * RATE
MAX_TOKENS: Final = 750
MEL_BINS: Final = 128
UNIFIED_FRAME: Final = 640
_FRAME = 320
_HOP = 160
_FFT = 512
_FLOOR = 1e-3


def audio_features(samples: NDArray[np.float32], kind: str = "gemma4a") -> NDArray[np.float32]:
    """[frames, 128] log-mel values ("gemma4a") or [frames, 640] samples ("gemma4ua") of a clip of mono sound at 16 kHz.

    At most 30 s: `audio_clips` cuts a longer sound. Raises ArgumentError, MediaError (too short, too long, not finite).
    """
    kind = _checked_kind(kind)
    samples = np.asarray(samples)
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise ArgumentError(f"[audio] mono float samples [n] expected, {samples.dtype} {list(samples.shape)} found")
    samples = samples.astype(np.float32, copy=False)
    if len(samples) > CLIP_SAMPLES:
        raise MediaError(f"[audio] at most {CLIP_SAMPLES} samples (30 s) in a clip expected, {len(samples)} found")
    if not audio_tokens(len(samples), kind):
        least = _FRAME - _HOP + 1 if kind == "gemma4a" else 1
        raise MediaError(f"[audio] too short: at least {least} samples at 16 kHz expected, {len(samples)} found")
    if not np.isfinite(samples).all():
        raise MediaError("[audio] samples that are not finite numbers")
    if kind == "gemma4ua":
        return np.pad(samples, (0, -len(samples) % UNIFIED_FRAME)).reshape(-1, UNIFIED_FRAME)
    padded = np.pad(samples, (_HOP, 0))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP][: _mel_frames(len(samples))]
    magnitudes = np.abs(np.fft.rfft(frames * _window(), n=_FFT, axis=-1))
    return cast("NDArray[np.float32]", np.log(magnitudes @ _triangles() + _FLOOR).astype(np.float32))


def audio_tokens(n_samples: int, kind: str = "gemma4a") -> int:
    """Soft tokens of a clip of `n_samples` at 16 kHz: mel frames after two convolutions of stride 2, or unified frames.

    Longer clips than 30 s count as 30 s; 0 for a clip too short for one token. Raises ArgumentError.
    """
    n_samples = min(n_samples, CLIP_SAMPLES)
    if _checked_kind(kind) == "gemma4ua":
        return -(-n_samples // UNIFIED_FRAME)
    return min((_mel_frames(n_samples) + 3) // 4, MAX_TOKENS)  # each convolution halves and rounds up


def _checked_kind(kind: str) -> AudioKind:
    if kind not in ("gemma4a", "gemma4ua"):
        raise ArgumentError(f"[audio] kind: gemma4a or gemma4ua expected, {kind!r:.40} found")
    return cast("AudioKind", kind)


def _mel_frames(n_samples: int) -> int:
    """Frames whose 320 samples and the one behind them lie inside the zeros and the clip."""
    return max(0, (_HOP + n_samples - (_FRAME + 1)) // _HOP + 1)


@functools.cache
def _window() -> NDArray[np.float32]:
    """[320], periodic Hann."""
    return cast("NDArray[np.float32]", np.hanning(_FRAME + 1)[:-1].astype(np.float32))


@functools.cache
def _triangles() -> NDArray[np.float64]:
    """[257, 128]: triangle m rises from corner m to 1 at corner m + 1 and falls to 0 at corner m + 2, in hertz."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    corners: NDArray[Any] = 700 * (10 ** (np.linspace(0, top, MEL_BINS + 2) / 2595) - 1)
    bins = np.linspace(0, RATE / 2, _FFT // 2 + 1)[:, None]
    widths = np.diff(corners)
    rising = (bins - corners[:-2]) / widths[:-1]
    falling = (corners[2:] - bins) / widths[1:]
    return cast("NDArray[np.float64]", np.maximum(0, np.minimum(rising, falling)))
