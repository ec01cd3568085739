"""Media on the CUDA backend against the CPU's, without torch: towers of every kind, text with soft tokens.

In float32 each backend lies within 1e-8 of transformers (test_vision_parity.py, test_audio_tower.py), so two of them
lie within 4e-8 of each other. Towers are small ones whose widths and heads take the paths of full-size towers, and
tiny ones of odd sizes. Against transformers itself: those two files with G4CPP_TEST_DEVICE=cuda.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_towers
from media_prompts import MediaPrompt, album, engine
from numpy.typing import NDArray
from test_cuda import F32_PAIR, needs_device
from test_goldens import nmse
from tiny_gguf import HIDDEN

from g4cpp import _core
from g4cpp.convert import convert_projector

Array = NDArray[np.float32]
TOWERS_PAIR = 4e-8
SMALL: dict[str, dict[str, Any]] = {
    "e": {
        "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 3, "num_attention_heads": 3,
        "num_key_value_heads": 3, "head_dim": 64, "patch_size": 16, "position_embedding_size": 60,
        "use_clipped_linears": True,
    },
    "k": {
        "hidden_size": 288, "intermediate_size": 1072, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 4, "head_dim": 72, "patch_size": 16, "position_embedding_size": 60,
        "standardize": True,
    },
}  # fmt: skip
SMALL_AUDIO: dict[str, Any] = {
    "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "output_proj_dims": 96,
    "subsampling_conv_channels": [128, 32], "use_clipped_linears": True,
}  # fmt: skip
KINDS = ["e", "k", "u", "tiny e", "tiny k"]
GRIDS = {"e": [(18, 18), (60, 42), (3, 3)], "k": [(18, 21), (60, 42), (3, 3)], "u": [(9, 6), (10, 1)]}
TINY_GRIDS = [(9, 6), (3, 3)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], _core.GgufFile]:
    """files(kind) -> the projector, made once."""
    folder = tmp_path_factory.mktemp("towers")
    made: dict[str, _core.GgufFile] = {}

    def make(kind: str) -> _core.GgufFile:
        if kind not in made:
            tiny, variant = kind.startswith("tiny"), kind[-1]
            with pytest.MonkeyPatch.context() as patch:
                if not tiny and variant in SMALL:
                    patch.setitem(tiny_towers.VISION, variant, SMALL[variant])
                if not tiny and variant == "e":
                    patch.setitem(tiny_towers.AUDIO, variant, SMALL_AUDIO)
                checkpoint = tiny_towers.make_tiny_media(folder / kind, variant).folder
                path = folder / f"{len(made)}.gguf"
                convert_projector(checkpoint, path, progress=False)
            made[kind] = _core.GgufFile(str(path))
        return made[kind]

    return make


def on(file: _core.GgufFile, device: str, compute: str) -> _core.MediaEncoder:
    return _core.MediaEncoder(file, device=device, compute=compute)


def pixels(encoder: _core.MediaEncoder, cols: int, rows: int) -> Array:
    assert encoder.vision is not None
    return np.random.default_rng(cols).random((cols * rows, 3 * encoder.vision.patch_size**2), np.float32)


@needs_device
@pytest.mark.parametrize("kind", KINDS)
def test_images_in_float32(files: Callable[[str], _core.GgufFile], kind: str) -> None:
    ours, cpu = on(files(kind), "cuda", "f32"), on(files(kind), "cpu", "f32")
    assert ours.device == "cuda"
    for cols, rows in GRIDS.get(kind, TINY_GRIDS):
        patches = pixels(cpu, cols, rows)
        assert nmse(ours.encode_image(patches, cols, rows), cpu.encode_image(patches, cols, rows)) <= TOWERS_PAIR


@needs_device
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compute", ["bf16", "f16"])
def test_images_rounded(files: Callable[[str], _core.GgufFile], kind: str, compute: str) -> None:
    """As far from float32 as the CPU's."""
    exact, cpu, ours = on(files(kind), "cpu", "f32"), on(files(kind), "cpu", compute), on(files(kind), "cuda", compute)
    for cols, rows in GRIDS.get(kind, TINY_GRIDS):
        patches = pixels(exact, cols, rows)
        expected = exact.encode_image(patches, cols, rows)
        off = nmse(cpu.encode_image(patches, cols, rows), expected)
        assert nmse(ours.encode_image(patches, cols, rows), expected) <= 1.5 * off + 1e-9, (cols, rows, off)


@needs_device
@pytest.mark.parametrize("kind", ["e", "tiny e", "u"])
def test_sound(files: Callable[[str], _core.GgufFile], kind: str) -> None:
    exact, ours = on(files(kind), "cpu", "f32"), on(files(kind), "cuda", "f32")
    assert exact.audio is not None
    for frames in (1, 2, 5, 48, 97, 1501):
        features = np.random.default_rng(frames).normal(0, 1, (frames, exact.audio.n_features)).astype(np.float32)
        expected = exact.encode_audio(features)
        assert nmse(ours.encode_audio(features), expected) <= TOWERS_PAIR, frames
    for compute in ("bf16", "f16"):
        off = nmse(on(files(kind), "cpu", compute).encode_audio(features), expected)
        assert nmse(on(files(kind), "cuda", compute).encode_audio(features), expected) <= 1.5 * off + 1e-9, compute


@needs_device
def test_the_same_bits_again(files: Callable[[str], _core.GgufFile]) -> None:
    """The second run is recorded, the third replayed; other shapes come between."""
    encoder = on(files("e"), "cuda", "bf16")
    patches = pixels(encoder, 18, 18)
    first = encoder.encode_image(patches, 18, 18)
    for _ in range(3):
        assert np.array_equal(encoder.encode_image(patches, 18, 18), first)
    for cols in range(3, 33, 3):
        encoder.encode_image(pixels(encoder, cols, 3), cols, 3)
    assert np.array_equal(encoder.encode_image(patches, 18, 18), first)
    assert sum(milliseconds for _, _, milliseconds in encoder.node_times()) > 0


@needs_device
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compute", ["f32", "bf16"])
def test_fused_kernels_change_no_bit(
    files: Callable[[str], _core.GgufFile], kind: str, compute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused = on(files(kind), "cuda", compute)
    cols, rows = GRIDS.get(kind, TINY_GRIDS)[0]
    patches, frames = pixels(fused, cols, rows), np.random.default_rng(2).random((1201, 128), np.float32)
    image = fused.encode_image(patches, cols, rows)
    sound = fused.encode_audio(frames) if kind.endswith("e") else None
    monkeypatch.setenv("G4CPP_CUDA_FUSION", "0")
    apart = on(files(kind), "cuda", compute)
    assert np.array_equal(apart.encode_image(patches, cols, rows), image)
    if sound is not None:
        assert np.array_equal(apart.encode_audio(frames), sound)


@needs_device
def test_text_with_media(media_path: Path) -> None:
    """Images longer than the window and the micro-batch, that see ahead on models made for it; several cuts."""
    made = album()
    rows = range(len(made.ids))
    expected = engine(media_path, device="cpu", micro_batch=256).logits(made.ids, rows, media=made.media)
    for micro_batch in (7, 64, 256):
        model = engine(media_path, device="cuda", micro_batch=micro_batch)
        assert model.fallbacks == []
        assert nmse(model.logits(made.ids, rows, media=made.media), expected) <= F32_PAIR, micro_batch
    rounded = engine(media_path, "bf16", device="cpu", micro_batch=256).logits(made.ids, rows, media=made.media)
    ours = engine(media_path, "bf16", device="cuda", micro_batch=256).logits(made.ids, rows, media=made.media)
    assert nmse(ours, expected) <= 1.5 * nmse(rounded, expected)


@needs_device
def test_decode_after_media(media_path: Path) -> None:
    made = MediaPrompt(HIDDEN).text(5).image(40, 1)
    ours, cpu = engine(media_path, device="cuda"), engine(media_path, device="cpu")
    for model in (ours, cpu):
        model.prefill(made.ids, media=made.media)
    for token in np.random.default_rng(0).integers(24, 300, 20).tolist():
        assert nmse(ours.last_logits(), cpu.last_logits()) <= F32_PAIR
        ours.decode(token)
        cpu.decode(token)


@needs_device
def test_the_plan_counts_the_towers(media_path: Path) -> None:
    def plan(**options: Any) -> _core.MemoryPlan:
        return _core.Engine.plan(_core.GgufFile(str(media_path)), n_ctx=256, max_media_span=100, **options)

    with_towers = plan(device="cuda", projector_bytes=10**8)
    assert with_towers.projector > 10**8
    assert with_towers.total == plan(device="cuda").total + with_towers.projector
    assert plan(device="cpu", projector_bytes=10**8).projector == 0
