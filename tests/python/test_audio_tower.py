"""The audio tower against transformers, on random towers small and full-size, at lengths around every edge.

Token t of the subsampled clip comes from mel frames 4 t - 3 to 4 t + 3, so frame 4 t reaches no other token
before the first block: what a block lets through can be seen by changing that one frame.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from g4cpp import _core

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from audio_towers import BINS, FULL, SMALL, Tower, mel_frames, random_tower, write_projector  # noqa: E402
from reference import nmse  # noqa: E402
from transformers import Gemma4AudioConfig, Gemma4UnifiedAudioConfig  # noqa: E402
from transformers.models.gemma4_unified.modeling_gemma4_unified import (  # noqa: E402
    Gemma4UnifiedMultimodalEmbedder,
)

Array = NDArray[np.float32]
DEVICE = os.environ.get("G4CPP_TEST_DEVICE", "cpu")
HIDDEN = 512  # of the text model
F32, BF16_COSINE = 1e-8, 0.9999
# Mel frames: one, those around a token's 4, a window's 48 and its double, odd ones, many.
LENGTHS = [1, 2, 3, 4, 5, 7, 45, 47, 48, 49, 52, 96, 97, 193]


def encoder(path: Path, compute: str = "f32") -> _core.MediaEncoder:
    return _core.MediaEncoder(_core.GgufFile(str(path)), device=DEVICE, compute=compute, n_threads=2)


def cosine(a: Array, b: Array) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def small() -> Tower:
    return random_tower(Gemma4AudioConfig(**SMALL), HIDDEN)


@pytest.fixture(scope="module")
def small_file(small: Tower, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_projector(small, tmp_path_factory.mktemp("small") / "mmproj.gguf")


@pytest.fixture(scope="module")
def one_block(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tower, Callable[..., Path]]:
    """A tower of one block, and what writes it with some tensors changed."""
    tower = random_tower(Gemma4AudioConfig(**{**SMALL, "num_hidden_layers": 1}), HIDDEN, seed=4)
    folder = tmp_path_factory.mktemp("one_block")

    def write(**changes: Array) -> Path:
        return write_projector(tower, folder / f"{len(list(folder.iterdir()))}.gguf", **changes)

    return tower, write


def test_f32_equals_transformers_at_every_length(small: Tower, small_file: Path) -> None:
    media = encoder(small_file)
    assert media.hidden_size == HIDDEN
    assert media.vision is None
    assert media.audio.projector == "gemma4a"
    assert media.audio.n_features == BINS
    for n in LENGTHS:
        frames = mel_frames(n, seed=n)
        ours, expected = media.encode_audio(frames), small.soft_tokens(frames)
        assert ours.shape == (((n + 1) // 2 + 1) // 2, HIDDEN)
        assert nmse(ours, expected) <= F32, n


def test_half_a_minute(small: Tower, small_file: Path) -> None:
    frames = mel_frames(3000)
    ours = encoder(small_file).encode_audio(frames)
    assert len(ours) == 750
    assert nmse(ours, small.soft_tokens(frames)) <= F32


def test_valid_frames_alone_equal_a_padded_batch(small: Tower, small_file: Path) -> None:
    """The reference masks what lies past the clip (-1e9, so that all stays finite); we never see it."""
    media, frames = encoder(small_file), mel_frames(130)
    for n in (1, 2, 47, 48, 49, 97):
        assert nmse(media.encode_audio(frames[:n]), small.soft_tokens(frames, n)) <= F32, n


def test_bf16(small: Tower, small_file: Path) -> None:
    frames = mel_frames(333)
    assert cosine(encoder(small_file, "bf16").encode_audio(frames), small.soft_tokens(frames)) >= BF16_COSINE


def test_bf16_rounds_where_transformers_does(one_block: tuple[Tower, Callable[..., Path]]) -> None:
    """Closer to the bfloat16 reference than float32 is. Not much closer: a block rounds twenty times in a row, and a
    difference in float32's last bit has spread to every number a few roundings on."""
    tower, write = one_block
    frames = mel_frames(400)
    rounded = tower.to(torch.bfloat16).soft_tokens(frames)
    ours = encoder(write(), "bf16").encode_audio(frames)
    assert nmse(ours, rounded) <= 0.6 * nmse(tower.soft_tokens(frames), rounded)


def test_f16_is_near(small: Tower, small_file: Path) -> None:
    frames = mel_frames(333)
    assert nmse(encoder(small_file, "f16").encode_audio(frames), small.soft_tokens(frames)) <= 1e-4


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tower, Path]:
    tower = random_tower(Gemma4AudioConfig(**FULL), 1536)
    return tower, write_projector(tower, tmp_path_factory.mktemp("full") / "mmproj.gguf")


def test_full_size(full: tuple[Tower, Path]) -> None:
    tower, path = full
    frames = mel_frames(101)
    expected = tower.soft_tokens(frames)
    assert nmse(encoder(path).encode_audio(frames), expected) <= F32
    # Twelve blocks of random weights: transformers' own bfloat16 has a cosine of 0.99986 to its float32.
    ours, rounded = encoder(path, "bf16").encode_audio(frames), tower.to(torch.bfloat16).soft_tokens(frames)
    assert cosine(ours, rounded) >= BF16_COSINE
    assert nmse(ours, expected) <= 1.2 * nmse(rounded, expected)


def changed_tokens(media: _core.MediaEncoder, token: int) -> list[int]:
    """Tokens that a change of frame 4 * token changes."""
    frames = mel_frames(4 * 60)
    before = media.encode_audio(frames)
    frames[4 * token] += np.where(np.arange(BINS) % 2, 3, -3)
    return np.flatnonzero((media.encode_audio(frames) != before).any(1)).tolist()


@pytest.mark.parametrize("token", [0, 5, 11, 12, 23, 30])
def test_a_block_sees_fifteen_tokens_back(one_block: tuple[Tower, Callable[..., Path]], token: int) -> None:
    """Attention sees 11 past tokens, the light convolution 4 past results of it."""
    assert changed_tokens(encoder(one_block[1]()), token) == list(range(token, token + 16))


@pytest.mark.parametrize("token", [0, 5, 11, 12, 23, 30])
def test_attention_sees_eleven_tokens_back(one_block: tuple[Tower, Callable[..., Path]], token: int) -> None:
    here = np.zeros((SMALL["hidden_size"], 5), np.float32)
    here[:, -1] = 1
    media = encoder(one_block[1](a__blk__0__conv_dw__weight=here))
    assert changed_tokens(media, token) == list(range(token, token + 12))


def test_norms_of_the_light_convolution_are_told_apart(one_block: tuple[Tower, Callable[..., Path]]) -> None:
    tower, write = one_block
    block = tower.model.layers[0].lconv1d
    before, inside = (norm.weight.detach().numpy() for norm in (block.pre_layer_norm, block.conv_norm))
    frames = mel_frames(100)
    expected = tower.soft_tokens(frames)
    assert nmse(encoder(write()).encode_audio(frames), expected) <= F32
    swapped = write(a__blk__0__conv_norm__weight=inside, a__blk__0__norm_conv__weight=before)
    assert nmse(encoder(swapped).encode_audio(frames), expected) > 1e-3


def test_scores_are_capped(tmp_path: Path) -> None:
    """Queries so large that scores pass the cap of 50 by far."""
    tower = random_tower(Gemma4AudioConfig(**SMALL), HIDDEN, seed=6)
    with torch.no_grad():
        for layer in tower.model.layers:
            layer.self_attn.per_dim_scale.fill_(40)
    media = encoder(write_projector(tower, tmp_path / "mmproj.gguf"))
    frames = mel_frames(200)
    ours = media.encode_audio(frames)
    assert nmse(ours, tower.soft_tokens(frames)) <= F32
    for layer in tower.model.layers:
        layer.self_attn.softcap.fill_(1e9)
    assert nmse(ours, tower.soft_tokens(frames)) > 1e-3


def test_gradient_bounds_are_kept(tmp_path: Path) -> None:
    """Results about the bound of 1e10, where nothing else holds them: a tower without clipped linears."""
    config = Gemma4AudioConfig(**{**SMALL, "num_hidden_layers": 1}, use_clipped_linears=False)
    tower = random_tower(config, HIDDEN, seed=8)
    block = tower.model.layers[0]
    with torch.no_grad():
        for linear in (block.feed_forward1.ffw_layer_2, block.self_attn.post, block.lconv1d.linear_end):
            linear.linear.weight.mul_(2.0**34)
    media = encoder(write_projector(tower, tmp_path / "mmproj.gguf"))
    frames = mel_frames(120)
    ours = media.encode_audio(frames)
    assert nmse(ours, tower.soft_tokens(frames)) <= F32
    for module in tower.model.modules():
        if hasattr(module, "gradient_clipping"):
            module.gradient_clipping = 1e30
    assert nmse(ours, tower.soft_tokens(frames)) > 1e-3


def test_quiet_frames_meet_the_right_epsilon(small: Tower, small_file: Path) -> None:
    """The file says 1e-5; the tower's layer norms have 1e-6, which decides where nothing is loud."""
    frames = mel_frames(100) * np.float32(1e-3)
    assert nmse(encoder(small_file).encode_audio(frames), small.soft_tokens(frames)) <= F32


def test_unified_embeds_samples(tmp_path: Path) -> None:
    import gguf
    from audio_towers import TextSize

    embedder = Gemma4UnifiedMultimodalEmbedder(Gemma4UnifiedAudioConfig(), TextSize(HIDDEN)).eval()
    with torch.no_grad():
        embedder.embedding_projection.weight.normal_(0, 0.04, generator=torch.Generator().manual_seed(1))
    writer = gguf.GGUFWriter(tmp_path / "mmproj.gguf", "clip")
    writer.add_type("mmproj")
    writer.add_clip_has_audio_encoder(True)
    writer.add_clip_audio_projector_type("gemma4ua")
    writer.add_audio_projection_dim(HIDDEN)
    writer.add_tensor("mm.a.input_projection.weight", embedder.embedding_projection.weight.detach().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    frames = np.random.default_rng(2).normal(0, 0.1, (31, 640)).astype(np.float32)
    media = encoder(tmp_path / "mmproj.gguf")
    assert media.audio.projector == "gemma4ua"
    assert media.audio.n_features == 640
    with torch.no_grad():
        expected = embedder(torch.from_numpy(frames)).numpy()
    assert nmse(media.encode_audio(frames), expected) <= F32
    assert cosine(encoder(tmp_path / "mmproj.gguf", "bf16").encode_audio(frames), expected) >= BF16_COSINE
