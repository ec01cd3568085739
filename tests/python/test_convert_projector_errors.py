"""Every way the conversion to a projector file can fail: an error that names the place, and nothing left on the
disk, be it asked for alone or with the text model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_convert_errors import edit_json, rewrite
from tiny_checkpoint import make_tiny
from tiny_towers import AUDIO, make_tiny_media

from g4cpp.convert import convert, convert_projector
from g4cpp.errors import ArgumentError, ConversionError, FileError


def refused(folder: Path, match: str, together: bool = False) -> None:
    """The conversion raises ConversionError with `match` on one line, and writes nothing."""
    out = folder.parent / "out"
    out.mkdir(exist_ok=True)
    outputs: dict[str, Any] = {"out": out / "m.gguf", "mmproj": out / "mm.gguf"}
    run = convert if together else convert_projector
    with pytest.raises(ConversionError, match=match) as caught:
        run(folder, progress=False, **(outputs if together else {"out": out / "mm.gguf"}))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("[convert] ")
    assert list(out.iterdir()) == []


def test_checkpoints_without_towers(tmp_path: Path) -> None:
    text_only = make_tiny(tmp_path / "t", "dense_e").folder
    refused(text_only, "a text-only checkpoint has no projector file")
    refused(text_only, "a text-only checkpoint has no projector file", together=True)
    refused(make_tiny(tmp_path / "g", "gemma3").folder, "a Gemma 4 model, whose projector file")
    blind = make_tiny_media(
        tmp_path / "b", "k", config={"vision_config": None}
    ).folder  # tensors that nothing describes
    refused(blind, "a text-only checkpoint")
    edit_json(blind / "config.json", lambda c: c.update(audio_config=AUDIO["e"]))
    refused(blind, r"tensor model\.audio_tower\.subsample_conv_projection\.layer0\.conv\.weight missing")


def test_tensors_that_do_not_fit(tmp_path: Path) -> None:
    def drop(name: str) -> Callable[[dict[str, Any], bytearray], object]:
        return lambda header, data: header.pop(name)

    folder = make_tiny_media(tmp_path / "m", "e").folder
    blob = (folder / "model.safetensors").read_bytes()
    for name in (
        "model.vision_tower.encoder.layers.1.mlp.up_proj.linear.weight",
        "model.vision_tower.encoder.layers.1.mlp.up_proj.output_min",
        "model.audio_tower.layers.0.self_attn.per_dim_scale",
        "model.embed_audio.embedding_projection.weight",
    ):
        rewrite(folder, drop(name))
        refused(folder, f"tensor {name} missing".replace(".", r"\."), together=True)
        (folder / "model.safetensors").write_bytes(blob)
    for name, shape in {
        "model.vision_tower.patch_embedder.input_proj.weight": [16, 144],
        "model.audio_tower.layers.0.lconv1d.depthwise_conv1d.weight": [32, 5, 1],
        "model.vision_tower.encoder.layers.0.mlp.up_proj.output_min": [1],
    }.items():
        rewrite(folder, lambda header, data, n=name, s=shape: header[n].update(shape=s))
        refused(folder, rf"{name}: shape \[.*\] expected by config.json, \[")
        (folder / "model.safetensors").write_bytes(blob)

    def rename(header: dict[str, Any], data: bytearray) -> None:
        header["model.vision_tower.encoder.layers.7.extra"] = header.pop(
            "model.audio_tower.layers.1.norm_out.weight"
        )

    edit_json(folder / "config.json", lambda c: c["audio_config"].update(num_hidden_layers=1))
    refused(folder, r"unknown tensors: model\.audio_tower\.layers\.1\..* and \d+ more")
    edit_json(folder / "config.json", lambda c: c["audio_config"].update(num_hidden_layers=2))
    rewrite(folder, rename)
    refused(folder, r"layers\.1\.norm_out\.weight missing")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("vision_config", "hidden_activation", "silu"),
        ("vision_config", "attention_bias", True),
        ("vision_config", "num_key_value_heads", 1),
        ("vision_config", "head_dim", 16),
        ("vision_config", "patch_size", 0),
        ("vision_config", "rope_parameters", {"rope_theta": 10000.0}),
        ("audio_config", "hidden_act", "gelu"),
        ("audio_config", "attention_chunk_size", 16),
        ("audio_config", "attention_context_left", 12),
        ("audio_config", "attention_context_right", 1),
        ("audio_config", "attention_logit_cap", 30.0),
        ("audio_config", "residual_weight", 1.0),
        ("audio_config", "gradient_clipping", 1.0),
        ("audio_config", "subsampling_conv_channels", [64, 4]),
        ("audio_config", "num_attention_heads", 5),
    ],
)
def test_settings_readers_take_for_granted(tmp_path: Path, section: str, key: str, value: object) -> None:
    folder = make_tiny_media(tmp_path / "m", "e").folder
    edit_json(folder / "config.json", lambda c: c[section].update({key: value}))
    named = {"num_attention_heads": "hidden_size", "rope_parameters": "rope_theta"}.get(key, key)
    refused(folder, rf"config.json: {section}: (rope_parameters: )?{named}: .* expected, .* found")


def test_unified_settings(tmp_path: Path) -> None:
    folder = make_tiny_media(tmp_path / "m", "u").folder
    edit_json(folder / "config.json", lambda c: c["vision_config"].update(output_proj_dims=40))
    refused(folder, r"output_proj_dims: mm_embed_dim \(48\) expected, 40 found")
    edit_json(folder / "config.json", lambda c: c["vision_config"].update(output_proj_dims=48))
    edit_json(folder / "config.json", lambda c: c["audio_config"].update(audio_samples_per_token=10))
    refused(folder, r"audio_samples_per_token: audio_embed_dim \(20\) expected, 10 found")


def test_outputs(tmp_path: Path) -> None:
    folder = make_tiny_media(tmp_path / "m", "k").folder
    with pytest.raises(ArgumentError, match="'q4_0' found"):
        convert_projector(folder, tmp_path / "mm.gguf", "q4_0", progress=False)
    with pytest.raises(ArgumentError, match="mmproj_type: one of"):
        convert(folder, tmp_path / "m.gguf", progress=False, mmproj=tmp_path / "mm.gguf", mmproj_type="q4_0")
    for out in ("mm.gguf", "x/../mm.gguf"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(FileError, match="two files expected"):
            convert(folder, tmp_path / "mm.gguf", progress=False, mmproj=tmp_path / out)
    with pytest.raises(FileError, match="a directory found"):
        convert(folder, tmp_path / "m.gguf", progress=False, mmproj=tmp_path)
    with pytest.raises(FileError, match="the checkpoint's own file"):
        convert_projector(folder, folder / "model.safetensors", progress=False)
    assert not list(tmp_path.glob("*.gguf*"))
