"""Sound: formats, channels, rates, clips, features, and what is refused. No torch (test_media_parity.py has it)."""

from __future__ import annotations

import base64
import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from media_samples import VOICE_RATE, encoded_sound, encoded_video, speech

from g4cpp.errors import ArgumentError, FileError, G4Error, MediaError, MissingFileError
from g4cpp.media import Audio, audio_clips, audio_features, audio_tokens, load_audio

GOLDENS = Path(__file__).parents[1] / "data" / "goldens" / "media.npz"
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)


def correlation(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    length = min(len(a), len(b))
    return float(np.corrcoef(a[:length], b[:length])[0, 1])


def wav_header(data: bytes, *, rate: int = 16_000, claimed: int | None = None) -> bytes:
    """Mono 16-bit PCM; `claimed`: bytes of samples that the header speaks of."""
    size = len(data) if claimed is None else claimed
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + header + b"data" + struct.pack("<I", size) + data


def test_features_match_the_goldens() -> None:
    """Written by make_media_goldens.py from the reference's extractor: every 41st value of a chirp's frames."""
    with np.load(GOLDENS) as goldens:
        for length in (161, 4000, 16_001):
            time = np.arange(length) / 16_000
            samples = (0.5 * np.sin(2 * np.pi * (200 * time + 3000 * time**2))).astype(np.float32)
            # numpy 1 has no float32 FFT: the logarithm shows its missing noise in silent bins.
            tolerance = 1e-5 if int(np.__version__.split(".", maxsplit=1)[0]) >= 2 else 5e-2
            assert np.abs(audio_features(samples).reshape(-1)[::41] - goldens[f"mel_{length}"]).max() <= tolerance


def test_a_tone_is_where_its_frequency_is() -> None:
    """Mel bin m has its top at the m-th of 128 even steps on the HTK scale; silence lies on log(0.001)."""
    features = audio_features(TONE)
    corners = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 130)[1:-1]
    expected = np.abs(corners - 2595 * np.log10(1 + 440 / 700)).argmin()
    assert np.abs(features[2:].argmax(axis=1) - expected).max() <= 1
    np.testing.assert_allclose(audio_features(np.zeros(1000, np.float32)), np.log(1e-3), rtol=1e-6)
    # 160 zeros in front: the first frame holds the first 160 samples, a click at 159 but none at 161.
    for place, touched in ((159, True), (161, False)):
        click = np.zeros(1000, np.float32)
        click[place] = 1
        assert (audio_features(click)[0].max() > np.log(1e-3) + 1e-6) == touched


@pytest.mark.parametrize(
    ("samples", "mel", "tokens", "unified"),
    [(160, 0, 0, 1), (161, 1, 1, 1), (640, 3, 1, 1), (641, 4, 1, 2), (801, 5, 2, 2), (16_000, 99, 25, 25),
     (480_000, 2999, 750, 750), (10**7, 2999, 750, 750)],
)  # fmt: skip
def test_token_counts(samples: int, mel: int, tokens: int, unified: int) -> None:
    assert (audio_tokens(samples), audio_tokens(samples, "gemma4ua")) == (tokens, unified)
    if mel and samples <= 480_000:
        sound = np.zeros(samples, np.float32)
        assert audio_features(sound).shape == (mel, 128)
        assert audio_features(sound, "gemma4ua").shape == (unified, 640)


@pytest.mark.parametrize(
    ("container", "subtype", "least"),
    [("WAV", "PCM_U8", 0.999), ("WAV", "PCM_16", 0.99999), ("WAV", "PCM_24", 0.99999), ("WAV", "PCM_32", 0.99999),
     ("WAV", "FLOAT", 0.99999), ("WAV", "DOUBLE", 0.99999), ("WAV", "ULAW", 0.99), ("FLAC", "PCM_16", 0.99999),
     ("OGG", "VORBIS", 0.99), ("MP3", "MPEG_LAYER_III", 0.9), ("AIFF", "PCM_16", 0.99999)],
)  # fmt: skip
def test_formats(container: str, subtype: str, least: float) -> None:
    samples = load_audio(encoded_sound(TONE, 16_000, subtype, container))
    assert samples.dtype == np.float32
    assert len(samples) >= len(TONE)
    assert correlation(samples, TONE) > least
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)
    assert abs(samples.mean()) < 0.01  # unsigned 8-bit samples lie around 128


def test_sound_of_other_containers() -> None:
    """FFmpeg reads what libsndfile does not: here the sound of a video."""
    frames = [np.zeros((48, 64, 3), np.uint8)] * 5
    samples = load_audio(encoded_video(frames, fps=5, sound=True))
    assert len(samples) == pytest.approx(16_000, abs=1500)
    assert audio_features(samples[2000:10_000])[2:-2].argmax(axis=1).std() == 0
    with pytest.raises(MediaError, match="none found"):
        load_audio(encoded_video(frames, fps=5))


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_channels_are_averaged(channels: int) -> None:
    sound = np.zeros((len(TONE), channels), np.float32)
    sound[:, -1] = TONE
    for source in (sound, encoded_sound(sound, 16_000, "FLOAT")):
        np.testing.assert_allclose(load_audio(source), TONE / channels, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000, 96_000])
def test_rates(rate: int) -> None:
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)
    for samples in (load_audio(encoded_sound(tone, rate, "FLOAT")), load_audio(Audio(tone, sample_rate=rate))):
        assert len(samples) == 16_000
        assert np.abs(samples[500:-500] - TONE[500:-500]).max() < 1e-3


def test_arrays_of_every_type() -> None:
    for values, expected in (
        (TONE, TONE), (TONE.astype(np.float64), TONE), ((TONE * 32768).astype(np.int16), TONE),
        ((TONE * 2**31).astype(np.int32), TONE), (np.round(TONE * 128 + 128).astype(np.uint8), TONE),
    ):  # fmt: skip
        np.testing.assert_allclose(load_audio(values), expected, atol=5e-3)


def test_speech_through_files_and_data_urls(tmp_path: Path) -> None:
    data = encoded_sound(speech(), VOICE_RATE)
    path = tmp_path / "voice.wav"
    path.write_bytes(data)
    whole = load_audio(path)
    assert len(whole) == -(-len(speech()) * 16_000 // VOICE_RATE)
    for source in (str(path), data, f"data:audio/wav;base64,{base64.b64encode(data).decode()}"):
        np.testing.assert_array_equal(load_audio(Audio(source)), whole)
    features = audio_features(whole)
    assert features.max() - features.min() > 6  # it is no silence
    assert -(-len(features) // 4) == audio_tokens(len(whole))


def test_long_sound_is_cut_into_clips_and_said_so() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(audio_clips(np.zeros(480_000, np.float32))) == 1
    rng = np.random.default_rng(0)
    for length in (480_001, 1_200_005, 959_999, 960_000, 9_600_001):
        sound = rng.standard_normal(length).astype(np.float32)
        with pytest.warns(UserWarning, match=r"clips: one clip holds at most 30 s"):
            clips = audio_clips(sound)
        assert len(clips) == -(-length // 480_000)
        np.testing.assert_array_equal(np.concatenate(clips), sound)
        assert all(200_000 < len(clip) <= 480_000 for clip in clips)
        assert all(len(clip) % 640 == 0 for clip in clips[:-1])
    with pytest.raises(MediaError, match="30 s"):
        audio_features(np.zeros(480_001, np.float32))


def test_what_is_no_sound(tmp_path: Path) -> None:
    sound = encoded_sound(TONE, 16_000, container="FLAC")
    not_a_number = TONE.copy()
    not_a_number[7] = np.nan
    cases: list[tuple[object, type[G4Error], str]] = [
        (b"", MediaError, "no bytes"), (b"plain text" * 99, MediaError, "not a sound"),
        (sound[:30], MediaError, "not a sound"), (np.full(9, np.inf), MediaError, "finite"),
        (wav_header(b""), MediaError, "0 samples"), (np.zeros(0, np.float32), MediaError, "0 samples"),
        (np.zeros((0, 2)), MediaError, "0 samples"), (not_a_number, MediaError, "finite"),
        (encoded_sound(not_a_number, 16_000, "FLOAT"), MediaError, "finite"),
        (wav_header(bytes(100), rate=1), MediaError, "Hz"), (Audio(TONE, 0), MediaError, "Hz"),
        (Audio(TONE, 10**9), MediaError, "Hz"), (Audio(TONE, 16_000.5), ArgumentError, "sample_rate"),  # type: ignore[arg-type]
        (Audio(sound, 16_000), ArgumentError, "of an array"), (np.zeros((2, 2, 2)), MediaError, "array"),
        (np.zeros((2, 16_000)), MediaError, "channels"), (np.zeros(5, np.int64), MediaError, "samples as"),
        (np.zeros(5, complex), MediaError, "samples as"), (np.array(["a"]), MediaError, "samples as"),
        (tmp_path / "absent.wav", MissingFileError, "no such file"), (tmp_path, FileError, "folder"),
        ("http://example.org/a.wav", MediaError, "not fetched"), ("data:audio/wav;base64,??", MediaError, "data URL"),
        (7, ArgumentError, "int found"),
    ]  # fmt: skip
    for source, kind, message in cases:
        with pytest.raises(G4Error, match=message) as caught:
            load_audio(source)
        assert isinstance(caught.value, kind), (source, caught.value)
        assert str(caught.value).startswith("[audio] ")
        assert "\n" not in str(caught.value)


def test_features_refuse_what_is_no_clip() -> None:
    wrong: list[tuple[Any, str, str]] = [
        (TONE[:160], "gemma4a", "too short"), (TONE[:0], "gemma4ua", "too short"), (TONE[None], "gemma4a", "mono"),
        (TONE.astype(np.int16), "gemma4a", "mono"), (TONE, "mel", "kind"),
        (TONE * np.float32("nan"), "gemma4ua", "finite"),
    ]  # fmt: skip
    for samples, kind, message in wrong:
        with pytest.raises(G4Error, match=message):
            audio_features(samples, kind)


def test_a_header_that_promises_too_much_gives_what_is_there() -> None:
    data = (TONE * 32767).astype("<i2").tobytes()
    np.testing.assert_allclose(load_audio(wav_header(data, claimed=2**31)), TONE, atol=1e-4)
    assert soundfile.info(io.BytesIO(wav_header(data))).frames == len(TONE)
