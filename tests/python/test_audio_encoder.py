"""Audio in a projector file: what the encoder says of it, and one line for everything that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")
from g4cpp import _core  # noqa: E402
from g4cpp.errors import ArgumentError, ModelError  # noqa: E402

HIDDEN, SAMPLES = 48, 640


def write(path: Path, projector: str = "gemma4ua", **sizes: int) -> _core.GgufFile:
    """A projector file with audio alone: the unified model's one matrix, and keys of a tower without its tensors."""
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_clip_has_audio_encoder(True)
    writer.add_clip_audio_projector_type(projector)
    writer.add_audio_projection_dim(HIDDEN)
    keys = {"embedding_length": 64, "feed_forward_length": 256, "block_count": 1, "attention.head_count": 4}
    for key, value in (keys | {"num_mel_bins": 128} | sizes).items():
        writer.add_uint32(f"clip.audio.{key.replace('__', '.')}", value)
    weight = np.random.default_rng(1).normal(0, 0.04, (HIDDEN, SAMPLES)).astype(np.float32)
    writer.add_tensor("mm.a.input_projection.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return _core.GgufFile(str(path))


def test_unified_embedder(tmp_path: Path) -> None:
    media = _core.MediaEncoder(write(tmp_path / "m.gguf"), device="cpu", compute="f32", n_threads=1)
    assert media.vision is None
    assert (media.hidden_size, media.audio.projector, media.audio.n_features) == (HIDDEN, "gemma4ua", SAMPLES)
    frames = np.random.default_rng(2).normal(0, 1, (3, SAMPLES)).astype(np.float32)
    weight = np.random.default_rng(1).normal(0, 0.04, (HIDDEN, SAMPLES))
    expected = frames / np.sqrt((frames.astype(np.float64) ** 2).mean(1, keepdims=True) + 1e-6) @ weight.T
    np.testing.assert_allclose(media.encode_audio(frames), expected, rtol=0, atol=2e-5)
    assert np.isfinite(media.encode_audio(np.zeros((1, SAMPLES), np.float32))).all()  # silence


@pytest.mark.parametrize("shape", [(0, SAMPLES), (3, SAMPLES - 1), (SAMPLES,), (1, 3, SAMPLES)])
def test_frames_of_another_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    media = _core.MediaEncoder(write(tmp_path / "m.gguf"), device="cpu")
    with pytest.raises(ArgumentError, match=r"^\[media\] .*expected"):
        media.encode_audio(np.zeros(shape, np.float32))


def test_images_want_a_vision_tower(tmp_path: Path) -> None:
    media = _core.MediaEncoder(write(tmp_path / "m.gguf"), device="cpu")
    with pytest.raises(ArgumentError, match="no vision tower"):
        media.encode_image(np.zeros((9, 768), np.float32), 3, 3)


@pytest.mark.parametrize(
    ("projector", "sizes", "message"),
    [
        ("whisper", {}, "audio projector 'whisper' is not supported"),
        ("gemma4a", {}, r"a\.conv1d\.0\.weight: 4 dimensions expected, none found"),
        ("gemma4a", {"attention__head_count": 5}, "a divisor of 64"),
        ("gemma4a", {"block_count": 0}, "block_count"),
        ("gemma4a", {"num_mel_bins": 0}, "num_mel_bins"),
    ],
)
def test_odd_files(tmp_path: Path, projector: str, sizes: dict[str, int], message: str) -> None:
    file = write(tmp_path / "m.gguf", projector, **sizes)
    with pytest.raises(ModelError, match=message):
        _core.MediaEncoder(file)
