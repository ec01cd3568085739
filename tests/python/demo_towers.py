"""The shipped demo model with its projector as transformers' model: both GGUF files decoded by the `gguf` package.

Needs torch, transformers and gguf (extra [parity]).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import audio_towers
import numpy as np
import torch
import vision_towers
from demo_checkpoint import write_checkpoint
from gguf import GGUFReader, dequantize
from safetensors.torch import load_file
from transformers import (
    Gemma4AudioConfig,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    Gemma4VisionConfig,
)

MARKS = {
    "boi_token_id": "<|image>", "eoi_token_id": "<image|>", "image_token_id": "<|image|>",
    "boa_token_id": "<|audio>", "eoa_token_index": "<audio|>", "audio_token_id": "<|audio|>",
    "video_token_id": "<|video|>",
}  # fmt: skip


def seeing_model(file: Path, projector: Path, folder: Path) -> Gemma4ForConditionalGeneration:
    """In float32, with the decoded weights of both files; `folder` keeps the text model's."""
    write_checkpoint(file, folder)
    text = json.loads((folder / "config.json").read_text())
    reader = GGUFReader(projector)
    keys = {name: field.contents() for name, field in reader.fields.items()}
    stored = {t.name: torch.from_numpy(np.array(dequantize(t.data, t.tensor_type), np.float32)) for t in reader.tensors}
    tokens = GGUFReader(file).fields["tokenizer.ggml.tokens"].contents()
    config = Gemma4Config(
        text_config=Gemma4TextConfig(**text),
        vision_config=Gemma4VisionConfig(**_vision_config(keys, stored)),
        audio_config=Gemma4AudioConfig(**_audio_config(keys, stored)),
        **{key: tokens.index(mark) for key, mark in MARKS.items()},
    )
    model = Gemma4ForConditionalGeneration(config).eval()
    state = model.state_dict()
    for name, value in load_file(folder / "model.safetensors").items():
        state[name.replace("model.", "model.language_model.", 1)].copy_(value)
    for name, value in state.items():
        if ".language_model." not in name and not name.startswith("lm_head"):
            value.copy_(_stored(name.removeprefix("model."), stored).reshape(value.shape))
    return model


def _vision_config(keys: dict[str, Any], stored: dict[str, torch.Tensor]) -> dict[str, Any]:
    hidden, heads = keys["clip.vision.embedding_length"], keys["clip.vision.attention.head_count"]
    return {
        "hidden_size": hidden,
        "intermediate_size": keys["clip.vision.feed_forward_length"],
        "num_hidden_layers": keys["clip.vision.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": hidden // heads,
        "position_embedding_size": stored["v.position_embd.weight"].shape[1],
    }


def _audio_config(keys: dict[str, Any], stored: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {
        "hidden_size": keys["clip.audio.embedding_length"],
        "num_hidden_layers": keys["clip.audio.block_count"],
        "num_attention_heads": keys["clip.audio.attention.head_count"],
        "output_proj_dims": stored["mm.a.input_projection.weight"].shape[1],
        "use_clipped_linears": False,
    }


def _stored(name: str, stored: dict[str, torch.Tensor]) -> torch.Tensor:
    """The file's values of a tensor that transformers calls `name`."""
    part, rest = name.split(".", 1)
    if part in {"audio_tower", "embed_audio"}:
        value = stored[audio_towers.file_name(rest)]
        return value.expm1().log() if rest.endswith("per_dim_scale") else value  # the file's is after softplus
    if part == "embed_vision":
        return stored["mm.input_projection.weight"]
    if rest == "patch_embedder.input_proj.weight":
        return stored["v.patch_embd.weight"].movedim(1, -1)  # colours last
    if rest == "patch_embedder.position_embedding_table":
        return stored["v.position_embd.weight"]
    _, _, number, inner = rest.split(".", 3)
    module, last = inner.rsplit(".", 1)
    return stored[f"v.blk.{number}.{vision_towers.BLOCK_NAMES[module.removesuffix('.linear')]}.{last}"]
