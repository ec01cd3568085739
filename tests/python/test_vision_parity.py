"""The vision towers against transformers, in every compute mode, and each trap that would go unnoticed.

Tolerances: f32 mode computes the same numbers in another order. bf16 mode rounds where transformers does, yet
products that accumulate in another order land on the other side of a rounding boundary here and there: what
a float64-accumulating transformers in bfloat16 differs from itself by is the floor (see reference.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from g4cpp import _core
from g4cpp.errors import ArgumentError, DeviceError, ModelError

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from reference import float64_products, nmse  # noqa: E402
from vision_towers import Tower, image, make_tower, write_projector  # noqa: E402

Array = NDArray[np.float32]
DEVICE = os.environ.get("G4CPP_TEST_DEVICE", "cpu")
KINDS = ["e", "k", "unified"]
F32 = 1e-8
COSINE = 0.9999
BF16_FLOORS, BF16_LEAST = 1.2, 1e-6  # float32 is off by 1.3 to 1.4 floors, and the floor of one product is nothing
GRIDS = [(6, 9), (12, 3), (3, 3)]  # columns, rows


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Tower, _core.GgufFile]]:
    """towers(kind, **options of make_tower) -> a tower and its file, made once."""
    folder = tmp_path_factory.mktemp("towers")
    made: dict[str, tuple[Tower, _core.GgufFile]] = {}

    def make(kind: str, **options: Any) -> tuple[Tower, _core.GgufFile]:
        key = repr((kind, options))
        if key not in made:
            tower = make_tower(kind, **options)
            made[key] = tower, _core.GgufFile(str(write_projector(folder / f"{len(made)}.gguf", tower)))
        return made[key]

    return make


def patches_for(encoder: _core.MediaEncoder, cols: int, rows: int) -> Array:
    assert encoder.vision is not None
    return image(3 * encoder.vision.patch_size**2, cols, rows)


def cosine(a: Array, b: Array) -> float:
    return float((a * b).sum(dtype=np.float64) / np.sqrt((a**2).sum(dtype=np.float64) * (b**2).sum(dtype=np.float64)))


@pytest.mark.parametrize(("cols", "rows"), GRIDS)
@pytest.mark.parametrize("kind", KINDS)
def test_float32(towers: Callable[..., Any], kind: str, cols: int, rows: int) -> None:
    tower, file = towers(kind)
    encoder = _core.MediaEncoder(file, device=DEVICE, compute="f32", n_threads=2)
    patches = patches_for(encoder, cols, rows)
    tokens = encoder.encode_image(patches, cols, rows)
    assert tokens.shape == (cols * rows // encoder.vision.pooling**2, encoder.hidden_size)
    assert nmse(tokens, tower.soft_tokens(patches, cols, rows)) <= F32


@pytest.mark.parametrize("kind", KINDS)
def test_padding_of_a_batch_changes_nothing(towers: Callable[..., Any], kind: str) -> None:
    """The engine is given no padding, transformers' processor pads: both mean the same image."""
    tower, file = towers(kind)
    encoder = _core.MediaEncoder(file, device=DEVICE, compute="f32")
    patches = patches_for(encoder, 6, 3)
    assert nmse(encoder.encode_image(patches, 6, 3), tower.soft_tokens(patches, 6, 3, padding=18)) <= F32


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16(towers: Callable[..., Any], kind: str) -> None:
    tower, file = towers(kind)
    encoder = _core.MediaEncoder(file, device=DEVICE, compute="bf16")
    patches = patches_for(encoder, 18, 18)
    tokens = encoder.encode_image(patches, 18, 18)
    reference = tower.soft_tokens(patches, 18, 18, torch.bfloat16)
    with float64_products():
        floor = nmse(tower.soft_tokens(patches, 18, 18, torch.bfloat16), reference)
    assert nmse(tokens, reference) <= max(BF16_FLOORS * floor, BF16_LEAST)
    assert cosine(tokens, tower.soft_tokens(patches, 18, 18)) >= COSINE


@pytest.mark.parametrize("kind", KINDS)
def test_float16(towers: Callable[..., Any], kind: str) -> None:
    tower, file = towers(kind)
    encoder = _core.MediaEncoder(file, device=DEVICE, compute="f16")
    patches = patches_for(encoder, 9, 6)
    assert nmse(encoder.encode_image(patches, 9, 6), tower.soft_tokens(patches, 9, 6)) <= 1e-5


@pytest.mark.parametrize("kind", ["e_full", "k_full"])
def test_full_size(kind: str, tmp_path: Path) -> None:
    tower = make_tower(kind)
    file = _core.GgufFile(str(write_projector(tmp_path / "full.gguf", tower)))
    patches = image(768, 6, 6)
    expected = tower.soft_tokens(patches, 6, 6)
    exact = _core.MediaEncoder(file, device=DEVICE, compute="f32").encode_image(patches, 6, 6)
    assert nmse(exact, expected) <= F32
    rounded = _core.MediaEncoder(file, device=DEVICE, compute="bf16").encode_image(patches, 6, 6)
    assert cosine(rounded, expected) >= COSINE


@pytest.mark.parametrize("compute", ["f16", "bf16", "f32"])
def test_pooled_values_beyond_float16(towers: Callable[..., Any], compute: str) -> None:
    """The pooler's * sqrt(hidden) reaches 2e5 here; held to float16's range, standardize would make noise of it."""
    tower, file = towers("k", overflow=True)
    patches = image(768, 9, 6)
    tokens = _core.MediaEncoder(file, device=DEVICE, compute=compute).encode_image(patches, 9, 6)
    assert np.isfinite(tokens).all()
    bound = {"f32": F32, "f16": 1e-5, "bf16": 1e-3}[compute]
    assert nmse(tokens, tower.soft_tokens(patches, 9, 6)) <= bound
    with torch.no_grad():
        pooled = tower.modules["tower"](
            pixel_values=torch.from_numpy(patches)[None], pixel_position_ids=grid_of(9, 6)
        ).last_hidden_state
    unscaled = pooled / tower.modules["tower"].std_scale + tower.modules["tower"].std_bias
    assert unscaled.abs().max() > 65504  # the case is what it says


def grid_of(cols: int, rows: int) -> Any:
    from vision_towers import grid

    return grid(cols, rows)[None]


# --- traps: what a mistake would leave unchanged must change, and the other way round


def test_columns_and_rows_are_not_exchanged(towers: Callable[..., Any]) -> None:
    """An image and its transpose differ by more than the order of their tokens: rotation and both tables."""
    tower, file = towers("e")
    encoder = _core.MediaEncoder(file, device=DEVICE, compute="f32")
    patches = image(768, 6, 6)
    turned = np.ascontiguousarray(patches.reshape(6, 6, 768).transpose(1, 0, 2)).reshape(36, 768)
    tokens, other = encoder.encode_image(patches, 6, 6), encoder.encode_image(turned, 6, 6)
    back = other.reshape(2, 2, -1).transpose(1, 0, 2).reshape(4, -1)
    assert nmse(back, tokens) > 1e-4
    assert nmse(other, tower.soft_tokens(turned, 6, 6)) <= F32


@pytest.mark.parametrize("kind", KINDS)
def test_colours_are_not_exchanged(towers: Callable[..., Any], kind: str) -> None:
    tower, file = towers(kind)
    encoder = _core.MediaEncoder(file, device=DEVICE, compute="f32")
    patches = patches_for(encoder, 3, 3)
    swapped = np.ascontiguousarray(patches.reshape(9, -1, 3)[:, :, ::-1]).reshape(9, -1)
    assert nmse(encoder.encode_image(swapped, 3, 3), encoder.encode_image(patches, 3, 3)) > 1e-4
    assert nmse(encoder.encode_image(swapped, 3, 3), tower.soft_tokens(swapped, 3, 3)) <= F32


def test_a_token_pools_its_own_square(towers: Callable[..., Any], tmp_path: Path) -> None:
    """Without attention and MLP a patch reaches one token: the one of its square of 3 x 3."""
    tower, _ = towers("e")

    def cut(name: str, tensor: Any) -> Any:
        return tensor * 0 if "post_norm" in name else tensor

    file = _core.GgufFile(str(write_projector(tmp_path / "cut.gguf", tower, cut)))
    encoder = _core.MediaEncoder(file, device=DEVICE, compute="f32")
    patches = image(768, 9, 6)
    before = encoder.encode_image(patches, 9, 6)
    for x, y in [(0, 0), (3, 2), (8, 1), (2, 3), (5, 5)]:
        changed = patches.copy()
        changed[y * 9 + x] = 1 - changed[y * 9 + x]
        differs = (encoder.encode_image(changed, 9, 6) != before).any(1)
        assert np.flatnonzero(differs).tolist() == [y // 3 * 3 + x // 3]


@pytest.mark.parametrize("bound", ["input_min", "input_max", "output_min", "output_max"])
@pytest.mark.parametrize("linear", ["attn_q", "attn_k", "attn_v", "attn_out", "ffn_gate", "ffn_up", "ffn_down"])
def test_every_bound_is_kept(towers: Callable[..., Any], tmp_path: Path, linear: str, bound: str) -> None:
    """Moving a bound moves the result, so that parity with the bounds in place means that each is honoured."""
    tower, file = towers("e")
    patches = image(768, 6, 3)
    expected = _core.MediaEncoder(file, device=DEVICE, compute="f32").encode_image(patches, 6, 3)

    def move(name: str, tensor: Any) -> Any:
        return tensor / 8 if name == f"v.blk.1.{linear}.{bound}" else tensor

    moved = _core.GgufFile(str(write_projector(tmp_path / "moved.gguf", tower, move)))
    tokens = _core.MediaEncoder(moved, device=DEVICE, compute="f32").encode_image(patches, 6, 3)
    assert nmse(tokens, expected) > 100 * F32


def test_threads_and_programs_change_nothing(towers: Callable[..., Any]) -> None:
    """Bit for bit: another number of threads, another image in between, many shapes one after the other."""
    _, file = towers("e")
    patches = image(768, 9, 6)
    first = _core.MediaEncoder(file, device=DEVICE, n_threads=1).encode_image(patches, 9, 6)
    encoder = _core.MediaEncoder(file, device=DEVICE, n_threads=3)
    assert np.array_equal(encoder.encode_image(patches, 9, 6), first)
    for cols in range(3, 33, 3):
        encoder.encode_image(image(768, cols, 3), cols, 3)
    assert np.array_equal(encoder.encode_image(patches, 9, 6), first)


# --- errors


def test_wrong_arguments(towers: Callable[..., Any]) -> None:
    _, file = towers("unified")
    encoder = _core.MediaEncoder(file, device=DEVICE)
    good = patches_for(encoder, 3, 3)
    with pytest.raises(ArgumentError, match=r"\[media\] patches: an array of 12 rows expected"):
        encoder.encode_image(good, 4, 3)
    with pytest.raises(ArgumentError, match=r"\[media\] 3 x 3 of 432 values"):
        encoder.encode_image(good[:, :-1], 3, 3)
    with pytest.raises(ArgumentError, match=r"\[media\] a grid of 1 to 40 patches a side"):
        encoder.encode_image(np.zeros((41, 432), np.float32), 41, 1)
    with pytest.raises(ArgumentError, match=r"\[media\] patches"):
        encoder.encode_image(good[0], 1, 1)
    with pytest.raises(ArgumentError, match="compute"):
        _core.MediaEncoder(file, device=DEVICE, compute="f8")
    with pytest.raises(ArgumentError, match="n_threads"):
        _core.MediaEncoder(file, device=DEVICE, n_threads=-1)
    with pytest.raises(DeviceError, match=r"no device 'toaster'; there are"):
        _core.MediaEncoder(file, device="toaster")


def test_grids_that_cannot_be_pooled(towers: Callable[..., Any]) -> None:
    _, file = towers("e")
    with pytest.raises(ArgumentError, match="in whole steps of 3, expected, 4 x 3 given"):
        _core.MediaEncoder(file, device=DEVICE).encode_image(image(768, 4, 3), 4, 3)
    with pytest.raises(ArgumentError, match="0 x 3 given"):
        _core.MediaEncoder(file, device=DEVICE).encode_image(np.zeros((0, 768), np.float32), 0, 3)


def test_what_poll_raises_ends_the_encoding(towers: Callable[..., Any]) -> None:
    _, file = towers("e")
    encoder = _core.MediaEncoder(file, device=DEVICE, n_threads=1)
    patches = image(768, 60, 42)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoder.encode_image(patches, 60, 42, stop)
    assert encoder.encode_image(patches[:9], 3, 3).shape == (1, encoder.hidden_size)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("v.blk.2.ffn_up.weight", lambda t: t[:, :-1], r"v.blk.2.ffn_up.weight: \[768, 192\] expected"),
        ("v.patch_embd.weight", lambda t: t[:, :, :8], r"v.patch_embd.weight: \[192, 3, 16, 16\] expected"),
        ("v.position_embd.weight", lambda t: t[:1], r"\[2, positions, hidden\] expected"),
        ("v.blk.0.ln1.weight", lambda t: t * float("nan"), "not finite"),
        ("v.blk.0.attn_q.input_max", lambda t: t * 0 - 9, "ascending order"),
        ("v.blk.0.attn_q.input_max", lambda t: t * float("nan"), "NaN found"),
    ],
)
def test_odd_files(towers: Callable[..., Any], tmp_path: Path, name: str, change: Any, message: str) -> None:
    tower, _ = towers("e")
    path = write_projector(tmp_path / "odd.gguf", tower, lambda n, t: change(t) if n == name else t)
    with pytest.raises(ModelError, match=message):
        _core.MediaEncoder(_core.GgufFile(str(path)))


def test_a_text_model_is_no_projector(tiny: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"projector file \(architecture 'clip'\) expected, 'gemma4' found"):
        _core.MediaEncoder(_core.GgufFile(str(tiny("dense_e"))))
