"""The projector file the converter writes, read back with the `gguf` package.

Oracles: the values the tiny checkpoint was made of, rearranged here one by one; gguf's own name map, for the
names it knows; the keys llama.cpp's clip reads. Errors are in test_convert_projector_errors.py.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from test_convert import File, expected_bytes
from test_convert_errors import rewrite
from tiny_towers import AUDIO, BOUNDS, VISION, make_tiny_media

from g4cpp import _core
from g4cpp.cli import main
from g4cpp.convert import convert, convert_projector
from g4cpp.errors import ConversionError

VARIANTS = ("e", "k", "u")
# What gguf's own map does not know in every version.
UNIFIED_NAMES = {
    "model.vision_embedder.patch_ln1": "v.patch_norm.1",
    "model.vision_embedder.patch_ln2": "v.patch_norm.2",
    "model.vision_embedder.pos_norm": "v.patch_norm.3",
    "model.vision_embedder.patch_dense": "v.patch_embd",
    "model.vision_embedder.pos_embedding": "v.position_embd",
}
F32_KERNELS = ("v.patch_embd.weight", "v.position_embd.weight", "a.conv1d.", "conv_dw")


@cache
def name_map() -> gguf.TensorNameMap:
    return gguf.get_tensor_name_map(gguf.MODEL_ARCH.MMPROJ, 8)


def gguf_name(source: str) -> str:
    """The file's name of a checkpoint's tensor."""
    base, _, suffix = source.rpartition(".")
    if suffix not in ("weight", "bias", *BOUNDS):
        base, suffix = source, "" if "std_" in source else "weight"
    known = base.removesuffix(".linear")
    known = known.replace("model.audio_tower.", "conformer.")
    known = known.replace("model.vision_tower.encoder.", "vision_model.model.")
    known = known.replace("self_attn.per_dim_scale", "attention.attn.per_dim_scale")
    name = UNIFIED_NAMES.get(known) or name_map().get_name(known)
    assert name is not None, source
    return f"{name}.{suffix}" if suffix else name


def chw(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """[..., side * side * 3] -> the same shape, its last dimension colour plane by colour plane."""
    side = math.isqrt(values.shape[-1] // 3)
    out = np.empty_like(values)
    for y in range(side):
        for x in range(side):
            for colour in range(3):
                out[..., (colour * side + y) * side + x] = values[..., (y * side + x) * 3 + colour]
    return out


def as_stored(source: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the file holds for the tensor `source`, in the shape it has there."""
    if source.endswith("patch_embedder.input_proj.weight"):
        side = math.isqrt(values.shape[1] // 3)
        return chw(values).reshape(-1, 3, side, side)
    if "patch_dense.weight" in source or "patch_ln1" in source:
        return chw(values)
    if source.endswith("pos_embedding"):
        return np.stack([values[:, 0], values[:, 1]])
    if source.endswith("depthwise_conv1d.weight"):
        return values[:, 0]
    if source.endswith("per_dim_scale"):
        return np.array([math.log1p(math.exp(value)) for value in values], np.float32)
    return values.reshape(1) if values.shape == () else values


def plain(name: str, values: NDArray[np.float32]) -> bool:
    """Whether the file keeps the tensor in float32 whatever its type."""
    if name == "v.patch_embd.weight" and values.ndim == 2:
        return False  # of the unified embedder: a matrix like any other
    return values.ndim == 1 or any(part in name for part in F32_KERNELS)


def close(stored: NDArray[np.float32], expected: NDArray[np.float32], name: str) -> bool:
    """Equal; a computed scale to the last bit but one."""
    ulps = 2 if "per_dim_scale" in name else 0
    return bool(np.all(np.abs(stored - expected) <= ulps * np.spacing(np.abs(expected))))


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_names_shapes_and_values(tmp_path: Path, variant: str, dtype: str) -> None:
    tiny = make_tiny_media(tmp_path / "m", variant, dtype=dtype)
    report = convert_projector(tiny.folder, tmp_path / "mm.gguf", progress=False)
    file = File(report.path)
    assert (report.type, report.n_tensors) == (dtype.lower(), len(tiny.tensors))
    for source, values in tiny.tensors.items():
        name, expected = gguf_name(source), as_stored(source, values)
        stored = file.tensors.pop(name)
        assert stored.format == ("F32" if plain(name, expected) else dtype), name
        assert stored.shape == expected.shape, name
        found = gguf.quants.dequantize(stored.raw, gguf.GGMLQuantizationType[stored.format])
        assert close(found.reshape(expected.shape), expected, name), name
    assert file.tensors == {}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("type", ["f32", "f16", "bf16", "q8_0"])
def test_types(tmp_path: Path, variant: str, type: str) -> None:
    tiny = make_tiny_media(tmp_path / "m", variant)
    file = File(convert_projector(tiny.folder, tmp_path / "mm.gguf", type, progress=False).path)
    for source, values in tiny.tensors.items():
        name, expected = gguf_name(source), as_stored(source, values)
        format = "F32" if plain(name, expected) else type.upper()
        if format == "Q8_0" and expected.shape[-1] % 32:
            format = "BF16"
        stored = file.tensors[name]
        assert stored.format == format, name
        if "per_dim_scale" not in name:
            assert np.array_equal(stored.raw, expected_bytes(expected, format)), name


def test_norms_of_the_light_convolution_are_not_swapped(tmp_path: Path) -> None:
    tiny = make_tiny_media(tmp_path / "m", "e", dtype="F32")
    file = File(convert_projector(tiny.folder, tmp_path / "mm.gguf", progress=False).path)
    for source, name in {"pre_layer_norm": "conv_norm", "conv_norm": "norm_conv"}.items():
        values = tiny.tensors[f"model.audio_tower.layers.1.lconv1d.{source}.weight"]
        assert np.array_equal(file.tensors[f"a.blk.1.{name}.weight"].raw.view(np.float32), values)


def keys_of(tmp_path: Path, variant: str) -> dict[str, Any]:
    tiny = make_tiny_media(tmp_path / "m", variant)
    file = File(convert_projector(tiny.folder, tmp_path / "mm.gguf", progress=False).path)
    assert file.types["clip.vision.image_mean"] == ["ARRAY", "FLOAT32"]
    assert file.types["clip.vision.block_count"] == ["UINT32"]
    assert file.types["clip.has_vision_encoder"] == ["BOOL"]
    assert file.types["clip.vision.attention.layer_norm_epsilon"] == ["FLOAT32"]
    return {key: value for key, value in file.keys.items() if not key.startswith("GGUF.")}


@pytest.mark.parametrize("variant", VARIANTS)
def test_keys(tmp_path: Path, variant: str) -> None:
    vision, audio = VISION[variant], AUDIO.get(variant)
    tower = variant != "u"
    expected: dict[str, Any] = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "general.name": "m",
        "general.file_type": 32,
        "general.quantization_version": 2,
        "clip.has_vision_encoder": True,
        "clip.has_audio_encoder": audio is not None,
        "clip.vision.projector_type": "gemma4v" if tower else "gemma4uv",
        "clip.vision.projection_dim": 64,
        "clip.vision.embedding_length": vision["hidden_size" if tower else "mm_embed_dim"],
        "clip.vision.feed_forward_length": vision.get("intermediate_size", 0),
        "clip.vision.block_count": vision.get("num_hidden_layers", 0),
        "clip.vision.attention.head_count": vision.get("num_attention_heads", 0),
        "clip.vision.attention.layer_norm_epsilon": pytest.approx(1e-6),
        "clip.vision.image_size": 224,
        "clip.vision.patch_size": vision["patch_size"],
        "clip.vision.projector.scale_factor": 3,
        "clip.vision.image_mean": [0.0, 0.0, 0.0],
        "clip.vision.image_std": [1.0, 1.0, 1.0],
    }
    if tower:
        expected["clip.use_gelu"] = True
    if audio is not None:
        samples = audio.get("audio_embed_dim", 0)
        expected |= {
            "clip.audio.projector_type": "gemma4a" if tower else "gemma4ua",
            "clip.audio.projection_dim": 64,
            "clip.audio.embedding_length": audio.get("hidden_size", samples),
            "clip.audio.feed_forward_length": 4 * audio.get("hidden_size", 0),
            "clip.audio.block_count": audio.get("num_hidden_layers", 0),
            "clip.audio.attention.head_count": audio.get("num_attention_heads", 0),
            "clip.audio.attention.layer_norm_epsilon": pytest.approx(1e-6),
            "clip.audio.num_mel_bins": 128 if tower else samples,
        }
    found = keys_of(tmp_path, variant)
    del found["general.size_label"]
    assert found == expected


def test_names_as_in_memory(tmp_path: Path) -> None:
    """transformers renames the unified embedder on loading; a state saved as it is converts as well."""
    as_published = make_tiny_media(tmp_path / "a" / "m", "u")
    renamed = {
        "model.embed_vision.": "model.embed_vision.multimodal_embedder.",
        "model.vision_embedder.": "model.embed_vision.",
    }
    in_memory = make_tiny_media(tmp_path / "b" / "m", "u", rename=renamed)
    files = [
        convert_projector(tiny.folder, tiny.folder.parent / "mm.gguf", progress=False).path.read_bytes()
        for tiny in (as_published, in_memory)
    ]
    assert files[0] == files[1]


def test_bounds_that_bound_nothing(tmp_path: Path) -> None:
    """A clipped layer that was never calibrated has infinite bounds."""
    tiny = make_tiny_media(tmp_path / "m", "e")
    name = "model.vision_tower.encoder.layers.0.mlp.up_proj.input_max"
    rewrite(tiny.folder, lambda header, data: poke(header, data, name, 0x7F80))
    file = File(convert_projector(tiny.folder, tmp_path / "mm.gguf", progress=False).path)
    assert file.tensors["v.blk.0.ffn_up.input_max"].raw.view(np.float32)[0] == np.finfo(np.float32).max
    rewrite(tiny.folder, lambda header, data: poke(header, data, name, 0x7FC0))
    with pytest.raises(ConversionError, match=f"{name}: finite weights expected, 1 NaN"):
        convert_projector(tiny.folder, tmp_path / "nan.gguf", progress=False)
    assert not (tmp_path / "nan.gguf").exists()


def poke(header: dict[str, Any], data: bytearray, name: str, bits: int) -> None:
    begin = header[name]["data_offsets"][0]
    data[begin : begin + 2] = bits.to_bytes(2, "little")


@pytest.mark.parametrize("variant", VARIANTS)
def test_model_and_projector_together(tmp_path: Path, variant: str) -> None:
    folder = make_tiny_media(tmp_path / "m", variant).folder
    seen: list[str] = []
    report = convert(
        folder,
        tmp_path / "m.gguf",
        "q8_0",
        lambda name, done, total: seen.append(name),
        mmproj=tmp_path / "mm.gguf",
    )
    alone = convert_projector(folder, tmp_path / "alone.gguf", progress=False)
    assert report.projector is not None
    assert (report.type, report.projector.type) == ("q8_0", "bf16")
    assert report.left_out == {}
    assert (tmp_path / "mm.gguf").read_bytes() == alone.path.read_bytes()
    assert {"token_embd.weight", "v.patch_embd.weight"} <= set(seen)
    assert str(tmp_path / "mm.gguf") in str(report)
    text = File(tmp_path / "m.gguf")
    assert not [name for name in text.tensors if name.startswith(("v.", "a.", "mm."))]
    assert text.keys["gemma4.attention.bidirectional_media"] is (variant != "e")
    without = convert(folder, tmp_path / "m2.gguf", "q8_0", progress=False)
    assert set(without.left_out) == ({"vision"} if variant == "k" else {"vision", "audio"})
    assert (tmp_path / "m2.gguf").read_bytes() == (tmp_path / "m.gguf").read_bytes()


def test_default_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_tiny_media(tmp_path / "tiny-it", "k").folder
    monkeypatch.chdir(tmp_path)
    assert convert_projector(folder, progress=False).path == Path("mmproj-tiny-it-BF16.gguf")


def cli(*words: object) -> int:
    return main(["convert", *map(str, words)])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_tiny_media(tmp_path / "m", "e").folder
    both = (folder, "-o", tmp_path / "m.gguf", "--mmproj", tmp_path / "mm.gguf", "--json")
    assert cli(*both) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["path"] == str(tmp_path / "m.gguf")
    assert facts["projector"]["path"] == str(tmp_path / "mm.gguf")
    assert cli(folder, "--no-text", "--mmproj", tmp_path / "only.gguf", "--mmproj-type", "f32") == 0
    assert "clip" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.glob("*.gguf")) == ["m.gguf", "mm.gguf", "only.gguf"]
    for words in (["--no-text"], ["--no-text", "--mmproj", "a.gguf", "-o", "b.gguf"]):
        assert cli(folder, *words) != 0
        assert "--no-text: --mmproj FILE and no --output expected" in capsys.readouterr().err


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_engine_reads_them(tmp_path: Path, variant: str) -> None:
    folder = make_tiny_media(tmp_path / "m", variant).folder
    path = convert_projector(folder, tmp_path / "mm.gguf", progress=False).path
    encoder = _core.MediaEncoder(_core.GgufFile(str(path)), device="cpu")
    vision, audio = encoder.vision, encoder.audio
    unified = variant == "u"
    assert encoder.hidden_size == 64
    assert vision is not None
    assert (vision.projector, vision.max_position) == ("gemma4uv" if unified else "gemma4v", 10)
    assert (vision.patch_size, vision.pooling) == ((6, 1) if unified else (4, 3))
    assert (None if audio is None else audio.n_features) == {"e": 128, "k": None, "u": 20}[variant]
    pixels = np.random.default_rng(0).random((54, 3 * vision.patch_size**2), np.float32)
    seen = encoder.encode_image(pixels, 9, 6)
    assert seen.shape == (54 // vision.pooling**2, 64)
    assert np.isfinite(seen).all()
    if audio is not None:
        heard = encoder.encode_audio(np.random.default_rng(1).random((40, audio.n_features), np.float32))
        assert heard.shape == (40 if unified else 10, 64)
        assert np.isfinite(heard).all()


@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_float32_files_of_bfloat16_values(tmp_path: Path, dtype: str) -> None:
    """Compute bit for bit alike in mode bf16, where matrices become BF16 if that loses nothing; others stay."""
    folder = make_tiny_media(tmp_path / "m", "e", dtype=dtype).folder
    pixels = np.random.default_rng(0).random((54, 48), np.float32)
    frames = np.random.default_rng(1).random((40, 128), np.float32)
    encoders = []
    for type in ("bf16", "f32"):
        path = convert_projector(folder, tmp_path / f"{type}.gguf", type=type, progress=False).path
        encoders.append(_core.MediaEncoder(_core.GgufFile(str(path)), device="cpu", compute="bf16"))
    narrow, wide = encoders
    alike = dtype == "BF16"
    assert np.array_equal(narrow.encode_image(pixels, 9, 6), wide.encode_image(pixels, 9, 6)) == alike
    assert np.array_equal(narrow.encode_audio(frames), wide.encode_audio(frames)) == alike
