"""Random audio towers: transformers' own modules, and the same weights in a projector file.

The file is written with the `gguf` package from what llama.cpp's names mean, not with our converter: it is an
oracle for names and layouts too. Weights are drawn so that activations and attention scores have about unit
size; clipped linears really clip. Needs torch and transformers (extra [parity]).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Gemma4AudioConfig, Gemma4AudioModel
from transformers.models.gemma4.modeling_gemma4 import Gemma4MultimodalEmbedder

Array = NDArray[np.float32]
BINS = 128
SMALL: dict[str, Any] = {
    "hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4, "output_proj_dims": 384,
}  # fmt: skip
FULL: dict[str, Any] = {"hidden_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 8}
# Names inside a block: transformers' on the left, the file's on the right. The norms of the light convolution are
# crossed there: what comes before it is `conv_norm`, what comes inside `norm_conv`.
BLOCK = {
    "feed_forward1.pre_layer_norm": "ffn_norm", "feed_forward1.post_layer_norm": "ffn_post_norm",
    "feed_forward1.ffw_layer_1": "ffn_up", "feed_forward1.ffw_layer_2": "ffn_down",
    "feed_forward2.pre_layer_norm": "ffn_norm_1", "feed_forward2.post_layer_norm": "ffn_post_norm_1",
    "feed_forward2.ffw_layer_1": "ffn_up_1", "feed_forward2.ffw_layer_2": "ffn_down_1",
    "norm_pre_attn": "attn_pre_norm", "norm_post_attn": "attn_post_norm", "norm_out": "ln2",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.post": "attn_out", "self_attn.relative_k_proj": "attn_k_rel",
    "self_attn.per_dim_scale": "per_dim_scale",
    "lconv1d.pre_layer_norm": "conv_norm", "lconv1d.conv_norm": "norm_conv",
    "lconv1d.linear_start": "conv_pw1", "lconv1d.linear_end": "conv_pw2", "lconv1d.depthwise_conv1d": "conv_dw",
}  # fmt: skip
OUTSIDE = {
    "subsample_conv_projection.layer0.conv": "a.conv1d.0", "subsample_conv_projection.layer1.conv": "a.conv1d.1",
    "subsample_conv_projection.layer0.norm": "a.conv1d.0.norm",
    "subsample_conv_projection.layer1.norm": "a.conv1d.1.norm",
    "subsample_conv_projection.input_proj_linear": "a.input_projection", "output_proj": "a.pre_encode.out",
    "embedding_projection": "mm.a.input_projection",
}  # fmt: skip
BOUNDS = ("input_min", "input_max", "output_min", "output_max")


@dataclass
class TextSize:
    """What the embedder asks of a text model's config."""

    hidden_size: int


@dataclass
class Tower:
    """The tower and its embedder in float32, with weights that bfloat16 holds exactly."""

    model: Gemma4AudioModel
    embedder: Gemma4MultimodalEmbedder

    @torch.no_grad()
    def soft_tokens(self, frames: Array, n_valid: int | None = None) -> Array:
        """frames [n, 128] -> [tokens, hidden] in the model's dtype; frames from n_valid on are padding."""
        mask = torch.arange(len(frames))[None] < (len(frames) if n_valid is None else n_valid)
        out = self.model(torch.from_numpy(frames)[None].to(self.model.dtype), mask)
        assert torch.isfinite(out.last_hidden_state.float()).all()
        rows = self.embedder(out.last_hidden_state)[out.attention_mask]
        return rows.float().numpy()

    def to(self, dtype: torch.dtype) -> Tower:
        """A copy in another dtype. Buffers of constants stay float32, as loading a checkpoint leaves them."""
        copy = random_tower(self.model.config, self.embedder.text_hidden_size, draw=False)
        for mine, theirs in ((copy.model, self.model), (copy.embedder, self.embedder)):
            mine.load_state_dict(theirs.state_dict())
            for parameter in mine.parameters():
                parameter.data = parameter.data.to(dtype)
        return copy


def random_tower(config: Gemma4AudioConfig, hidden: int, seed: int = 3, draw: bool = True) -> Tower:
    """A tower for a text model of width `hidden`; same config and seed, same weights."""
    model = Gemma4AudioModel(config).eval()
    embedder = Gemma4MultimodalEmbedder(config, TextSize(hidden)).eval()
    tower = Tower(model, embedder)
    if not draw:
        return tower
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in (model, embedder):
            for name, parameter in module.named_parameters():
                noise = torch.randn(parameter.shape, generator=random)
                if "norm" in name:
                    noise = 1 + 0.3 * noise
                elif parameter.dim() >= 2:
                    noise *= parameter[0].numel() ** -0.5
                else:
                    noise *= 0.3
                parameter.copy_(noise.bfloat16())
            for name, buffer in module.named_buffers():
                if name.endswith(BOUNDS):
                    buffer.fill_((2.5 if "output" in name else 3.0) * (-1 if name.endswith("min") else 1))
    return tower


def file_name(name: str) -> str:
    """transformers' name of a parameter or bound -> the file's."""
    stem, _, last = name.replace(".linear.", ".").rpartition(".")
    if last == "per_dim_scale":
        stem, last = f"{stem}.{last}", "weight"
    if stem.startswith("layers."):
        _, block, inner = stem.split(".", 2)
        return f"a.blk.{block}.{BLOCK[inner]}.{last}"
    return f"{OUTSIDE[stem]}.{last}"


def write_projector(tower: Tower, path: Path, **changes: Array) -> Path:
    """The tower as a projector file; matrices in bfloat16, the rest in float32. `changes`: other values, by the
    file's name with dots as double underscores."""
    config = tower.model.config
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_clip_has_audio_encoder(True)
    writer.add_clip_audio_projector_type("gemma4a")
    writer.add_audio_projection_dim(tower.embedder.text_hidden_size)
    writer.add_audio_embedding_length(config.hidden_size)
    writer.add_audio_feed_forward_length(4 * config.hidden_size)
    writer.add_audio_block_count(config.num_hidden_layers)
    writer.add_audio_head_count(config.num_attention_heads)
    writer.add_audio_num_mel_bins(BINS)
    writer.add_audio_attention_layernorm_eps(1e-5)  # as some files say; the tower's is 1e-6 all the same
    named = [*tower.model.named_parameters(), *tower.embedder.named_parameters()]
    named += [(name, b[None]) for name, b in tower.model.named_buffers() if name.endswith(BOUNDS)]
    for name, tensor in named:
        stored, value = file_name(name), tensor.detach()
        if stored.endswith("per_dim_scale.weight"):
            value = torch.nn.functional.softplus(value)
        if stored.endswith("conv_dw.weight"):
            value = value[:, 0]
        values = changes.get(stored.replace(".", "__"), value.numpy())
        if values.ndim == 2 and not stored.endswith("conv_dw.weight"):
            packed = (np.ascontiguousarray(values).view(np.uint32) >> 16).astype(np.uint16)  # exact: see random_tower
            writer.add_tensor(stored, packed.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(stored, np.ascontiguousarray(values, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def mel_frames(n: int, seed: int = 5) -> Array:
    """Frames [n, 128] with the size and the slow drift of log-mel features."""
    random = np.random.default_rng(seed)
    drift = np.cumsum(random.normal(0, 0.2, (n, BINS)), axis=0)
    return (drift + random.normal(0, 1, (n, BINS)) - 2).astype(np.float32)
