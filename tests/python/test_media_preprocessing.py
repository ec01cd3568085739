"""Media preprocessing against transformers' own processors, number by number."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile
from media_samples import PHOTOGRAPHS, VOICE_RATE, encoded_sound, encoded_video, photograph, speech
from numpy.typing import NDArray
from PIL import Image as PilImages

from g4cpp.media import (
    BUDGETS,
    Audio,
    Image,
    audio_features,
    audio_tokens,
    image_patches,
    image_size,
    image_tokens,
    load_audio,
    load_image,
    time_stamp,
    video_frames,
)

pytestmark = pytest.mark.parity
pytest.importorskip("torch")
pytest.importorskip("transformers")

EXACT = 1e-5

# Shrunk and enlarged, square and odd, up to 40:1 both ways, sides that are multiples of 48 already (not resized).
SIZES = [(224, 224), (768, 768), (912, 672), (517, 333), (1201, 901), (49, 47), (1600, 40), (25, 1000), (7, 5)]


def picture(width: int, height: int, channels: int = 3) -> NDArray[np.uint8]:
    """Noise over gradients: every value depends on the filter, and edges overshoot."""
    rng = np.random.default_rng(width * 4096 + height)
    noise = rng.integers(0, 256, (height, width, channels))
    ramp = np.linspace(0, 255, width)[None, :, None]
    return np.where(rng.random((height, width, 1)) < 0.5, noise, ramp).astype(np.uint8)


def reference(source: object, budget: int) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """(patches without padding, their (x, y), tokens) of the reference's Pillow processor."""
    from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

    out = Gemma4ImageProcessorPil(max_soft_tokens=budget)(source, return_tensors="np")
    tokens = int(out["num_soft_tokens_per_image"][0])
    return out["pixel_values"][0][: tokens * 9], out["image_position_ids"][0][: tokens * 9], tokens


def assert_equal_to_reference(source: object, budget: int) -> None:
    values, positions, tokens = reference(source, budget)
    ours = image_patches(Image(source, tokens=budget))  # type: ignore[arg-type]
    assert ours.n_tokens == tokens
    assert ours.values.dtype == np.float32
    grid = np.stack(np.meshgrid(np.arange(ours.cols), np.arange(ours.rows)), -1).reshape(-1, 2)
    np.testing.assert_array_equal(grid, positions)
    assert np.abs(ours.values - values).max() <= EXACT


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pixels_of_every_size_and_budget(size: tuple[int, int]) -> None:
    source = PilImages.fromarray(picture(*size))
    for budget in BUDGETS:
        assert_equal_to_reference(source, budget)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_pixels_of_photographs(name: str) -> None:
    with PilImages.open(photograph(name)) as source:
        assert_equal_to_reference(source, 280)
        values, _, _ = reference(source, 280)
    assert np.abs(image_patches(Image(photograph(name))).values - values).max() <= EXACT


@pytest.mark.parametrize("mode", ["L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "1", "I", "F"])
def test_pixels_of_every_mode(mode: str) -> None:
    rgba = PilImages.fromarray(picture(120, 90, 4))
    steps = {"PA": ["P"], "LAB": ["RGB"], "HSV": ["RGB"]}.get(mode, ["RGB"] if "A" not in mode else [])
    source = rgba
    if mode == "LAB":
        source = PilImages.merge("LAB", rgba.convert("RGB").split())
    else:
        for step in [*steps, mode]:
            source = source.convert(step)
    assert source.mode == mode
    assert_equal_to_reference(source, 70)


def test_pixels_of_a_palette_with_a_transparent_colour() -> None:
    source = PilImages.fromarray(picture(120, 90)).convert("P", palette=PilImages.Palette.ADAPTIVE)
    source.info["transparency"] = 3
    assert_equal_to_reference(source, 70)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_of_arrays(channels: int) -> None:
    values = picture(301, 203, channels)
    assert_equal_to_reference(values, 140)
    assert_equal_to_reference(np.ascontiguousarray(values.transpose(2, 0, 1)), 140)


def test_sizes_and_token_counts_of_many_shapes() -> None:
    from transformers.models.gemma4.processing_gemma4 import get_aspect_ratio_preserving_size

    rng = np.random.default_rng(6)
    for _ in range(4000):
        width = int(2 ** rng.uniform(0, 13))
        height = max(1, int(width * 2 ** rng.uniform(-5.3, 5.3)))
        if max(width, height) > 40 * min(width, height):
            continue
        for budget in BUDGETS:
            high, wide = get_aspect_ratio_preserving_size(height, width, 16, budget * 9, 3)
            assert image_size(width, height, budget) == (wide, high)
            assert image_tokens(width, height, budget) == high * wide // 48**2 <= budget


def test_patches_of_the_unified_model_are_the_merged_ones() -> None:
    """The reference merges 3 x 3 patches of 16; patches of 48 cut at once hold the same pixels in the same order."""
    values, positions, tokens = reference(PilImages.fromarray(picture(517, 333)), 280)
    ours = image_patches(Image(picture(517, 333)), patch_size=48, pooling=1)
    assert ours.values.shape == (tokens, 48 * 48 * 3)
    assert ours.rows * ours.cols == ours.n_tokens == tokens
    small = values.reshape(-1, 16, 16, 3)
    merged = ours.values.reshape(ours.rows, ours.cols, 48, 48, 3)
    for (x, y), patch in zip(positions.tolist(), small, strict=True):
        row, col = y % 3 * 16, x % 3 * 16
        assert np.abs(merged[y // 3, x // 3, row : row + 16, col : col + 16] - patch).max() <= EXACT


@pytest.mark.parametrize("size", [(512, 512), (1600, 1200), (120, 90)], ids=str)
def test_distance_from_the_torchvision_processor(size: tuple[int, int]) -> None:
    """That one resizes with torch's 8-bit kernel, whose weights have fewer bits: a level apart in under 2 % of them."""
    import torch

    source = picture(*size)
    width, height = image_size(*size, 280)
    pixels = torch.from_numpy(source).permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(pixels, [height, width], mode="bicubic", antialias=True)[0]
    patches = theirs.reshape(3, height // 16, 16, width // 16, 16).permute(1, 3, 2, 4, 0).reshape(-1, 768).numpy()
    levels = np.abs(np.round(image_patches(Image(source)).values * 255) - patches)
    assert levels.max() <= 2
    assert (levels > 0).mean() < 0.02


def mel_reference(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    from transformers.models.gemma4.feature_extraction_gemma4 import Gemma4AudioFeatureExtractor

    out = Gemma4AudioFeatureExtractor()([samples], return_tensors="np")
    return out["input_features"][0][out["input_features_mask"][0]]  # type: ignore[no-any-return]


@pytest.mark.parametrize("length", [161, 320, 321, 480, 481, 16_000, 16_001, 47_999, 480_000])
def test_features_and_token_counts_of_a_clip(length: int) -> None:
    from transformers.models.gemma4_unified.feature_extraction_gemma4_unified import Gemma4UnifiedAudioFeatureExtractor

    rng = np.random.default_rng(length)
    samples = (0.1 * rng.standard_normal(length) + np.sin(np.arange(length) * 0.3)).astype(np.float32)
    expected = mel_reference(samples)
    features = audio_features(samples)
    assert features.shape == expected.shape
    assert np.abs(features - expected).max() <= EXACT
    mask = np.ones(len(expected))
    for _ in range(2):
        mask = mask[::2][: (len(mask) - 1) // 2 + 1]
    assert audio_tokens(length) == len(mask) <= 750

    unified = Gemma4UnifiedAudioFeatureExtractor()([samples], return_tensors="np")["input_features"][0]
    frames = audio_features(samples, "gemma4ua")
    assert frames.shape == unified.shape == (audio_tokens(length, "gemma4ua"), 640)
    assert np.abs(frames - unified).max() <= EXACT


def test_features_of_silence_and_of_a_loud_tone() -> None:
    """Silence lies on the floor; a tone leaves rounding noise of the FFT in the other bins, the same in both."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    for samples in (np.zeros(16_000, np.float32), tone, np.sign(tone)):
        assert np.abs(audio_features(samples) - mel_reference(samples)).max() <= EXACT


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_speech_from_file_to_features(rate: int) -> None:
    from transformers.audio_utils import load_audio as load_reference

    voice = speech()
    stereo = np.stack([voice, voice // 2], 1)
    data = encoded_sound(stereo, rate)
    expected = load_reference(base64.b64encode(data).decode(), backend="soundfile")
    samples = load_audio(Audio(data))
    assert samples.shape == expected.shape
    assert np.abs(samples - expected).max() <= EXACT
    assert np.abs(audio_features(samples) - mel_reference(expected)).max() <= EXACT


def test_frames_and_time_stamps_of_a_video() -> None:
    from functools import partial

    from transformers.video_utils import default_sample_indices_fn, read_video_pyav

    base = np.asarray(load_image(photograph("chelsea.png")))[:240, :320]
    data = encoded_video([np.roll(base, 3 * shift, axis=1) for shift in range(75)], fps=10)
    frames, metadata = read_video_pyav(io.BytesIO(data), partial(default_sample_indices_fn, num_frames=32))
    ours = video_frames(data)
    assert len(ours) == 32
    np.testing.assert_array_equal(np.stack([np.asarray(picture) for _, picture in ours]), frames)
    assert [seconds for seconds, _ in ours] == pytest.approx(metadata.timestamps)
    stamps = [f"{int(seconds // 60):02d}:{int(seconds % 60):02d}" for seconds in metadata.timestamps]
    assert [time_stamp(seconds) for seconds, _ in ours] == stamps
    assert image_patches(ours[0][1], budget=70).n_tokens == image_tokens(320, 240, 70) == 63


def test_the_voice_is_speech() -> None:
    """Guards the samples themselves: a few seconds, not silent, at the rate expected."""
    voice = speech()
    assert 2 < len(voice) / VOICE_RATE < 8
    assert np.abs(voice).max() > 3000
    assert soundfile.info(io.BytesIO(encoded_sound(voice, VOICE_RATE))).samplerate == VOICE_RATE
