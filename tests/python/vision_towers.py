"""Random vision towers of transformers and their projector files, for comparison with the engine.

Weights are drawn as checkpoints.py draws them: activations and attention logits have about unit size. The
files are written with the `gguf` package, names and shapes as llama.cpp reads them (projector types gemma4v
and gemma4uv), from the tower's own parameters: nothing here shares code with the converter.
Needs torch, transformers and gguf (extra [parity]).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from reference import ATTENTION
from transformers import Gemma4TextConfig, Gemma4VisionConfig
from transformers.models.gemma4.modeling_gemma4 import Gemma4MultimodalEmbedder, Gemma4VisionModel
from transformers.models.gemma4_unified.configuration_gemma4_unified import (
    Gemma4UnifiedTextConfig,
    Gemma4UnifiedVisionConfig,
)
from transformers.models.gemma4_unified.modeling_gemma4_unified import Gemma4UnifiedVisionEmbedder

Array = NDArray[np.float32]
TEXT_HIDDEN = 320  # of the text model behind small towers


def _sizes(hidden: int, mlp: int, layers: int, head: int, **kind: bool) -> dict[str, Any]:
    return {"hidden_size": hidden, "intermediate_size": mlp, "num_hidden_layers": layers, "head_dim": head} | kind


TOWERS = {
    "e": _sizes(192, 768, 4, 64, use_clipped_linears=True),
    "k": _sizes(288, 1072, 4, 72, standardize=True),
    "e_full": _sizes(768, 3072, 16, 64, use_clipped_linears=True),
    "k_full": _sizes(1152, 4304, 27, 72, standardize=True),
}
UNIFIED = {"patch_size": 4, "pooling_kernel_size": 3, "mm_embed_dim": 256, "mm_posemb_size": 40}
CLIP = 3.0  # bounds of clipped linears, which a share of the values passes
BLOCK_NAMES = {
    "input_layernorm": "ln1", "post_attention_layernorm": "attn_post_norm", "pre_feedforward_layernorm": "ln2",
    "post_feedforward_layernorm": "ffn_post_norm",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_out",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


class Noise:
    """Unit normal numbers cut from one pool at random places: half a billion of them would take too long to draw."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.pool = torch.randn(1 << 23, generator=self.random)

    def __call__(self, shape: torch.Size) -> torch.Tensor:
        n = shape.numel()
        begin = int(torch.randint(self.pool.numel(), (1,), generator=self.random))
        copies = (begin + n) // self.pool.numel() + 1
        return self.pool.repeat(copies)[begin : begin + n].view(shape)


@dataclass
class Tower:
    """A tower with its projection, and how to run it."""

    config: Any
    modules: torch.nn.ModuleDict  # "tower", "embedder", or "unified"

    @property
    def unified(self) -> bool:
        return "unified" in self.modules

    def keep_frequencies(self) -> None:
        """In float32, as a checkpoint that is loaded in another type has them."""
        if not self.unified:
            encoder = self.modules["tower"].encoder
            encoder.rotary_emb = type(encoder.rotary_emb)(self.config)

    def soft_tokens(
        self, patches: Array, cols: int, rows: int, dtype: torch.dtype = torch.float32, padding: int = 0
    ) -> Array:
        """[rows * cols, values] -> [tokens, text hidden]; `padding` patches more, as a batch would have them."""
        self.modules.to(dtype)
        self.keep_frequencies()
        pixels = torch.nn.functional.pad(torch.from_numpy(patches), (0, 0, 0, padding))[None]
        places = torch.nn.functional.pad(grid(cols, rows), (0, 0, 0, padding), value=-1)[None]
        with torch.no_grad():
            if self.unified:
                out = self.modules["unified"](pixels, places).pooler_output[0, : rows * cols]
            else:
                pooled = self.modules["tower"](pixel_values=pixels, pixel_position_ids=places).last_hidden_state
                out = self.modules["embedder"](pooled)
        return out.float().numpy()


def grid(cols: int, rows: int) -> torch.Tensor:
    """(x, y) of every patch, row after row."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def image(values: int, cols: int, rows: int, seed: int = 3) -> Array:
    """Patches of an image: values from 0 to 1 that differ from patch to patch and from pixel to pixel."""
    random = np.random.default_rng(seed)
    level = random.uniform(0.2, 0.8, (rows * cols, 1))
    return np.clip(level + random.normal(0, 0.2, (rows * cols, values)), 0, 1).astype(np.float32)


def make_tower(kind: str, seed: int = 7, overflow: bool = False, text_hidden: int = TEXT_HIDDEN) -> Tower:
    """A tower with bfloat16 weights; `overflow` makes pooled values pass float16's range."""
    if kind == "unified":
        config: Any = Gemma4UnifiedVisionConfig(**UNIFIED, output_proj_dims=UNIFIED["mm_embed_dim"])
        text: Any = Gemma4UnifiedTextConfig(
            hidden_size=text_hidden, layer_types=["full_attention"], num_hidden_layers=1
        )
        modules = {"unified": Gemma4UnifiedVisionEmbedder(config, text)}
    else:
        settings = TOWERS[kind]
        heads = settings["hidden_size"] // settings["head_dim"]
        config = Gemma4VisionConfig(**settings, num_attention_heads=heads, num_key_value_heads=heads)
        config._attn_implementation = ATTENTION
        text = Gemma4TextConfig(hidden_size=text_hidden, layer_types=["full_attention"], num_hidden_layers=1)
        with torch.device("meta"):
            modules = {"tower": Gemma4VisionModel(config), "embedder": Gemma4MultimodalEmbedder(config, text)}
        for module in modules.values():
            module.to_empty(device="cpu")
    tower = Tower(config, torch.nn.ModuleDict(modules).eval())
    tower.keep_frequencies()
    draw_weights(tower, Noise(seed), overflow)
    return tower


@torch.no_grad()
def draw_weights(tower: Tower, noise: Noise, overflow: bool) -> None:
    last = f"layers.{getattr(tower.config, 'num_hidden_layers', 0) - 1}.post_feedforward_layernorm.weight"
    for name, p in tower.modules.named_parameters():
        drawn = noise(p.shape)
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            drawn = (1 + 0.2 * drawn) * p.numel() ** -0.25
        elif name.endswith("bias"):
            drawn = 0.2 * drawn
        elif "norm" in name or "_ln" in name:
            drawn = (1 + 0.3 * drawn) * (5000 if overflow and name.endswith(last) else 1)
        elif "position_embedding_table" in name or "pos_embedding" in name:
            drawn = 0.3 * drawn
        else:
            drawn = drawn * p[0].numel() ** -0.5
        p.copy_(drawn.bfloat16())
    for name, b in tower.modules.named_buffers():
        if name.endswith(("_min", "_max")):  # each bound its own, so that one in another's place shows
            size = CLIP * (0.5 + float(torch.rand(1, generator=noise.random)))
            b.fill_(torch.tensor(-size if name.endswith("_min") else size).bfloat16().item())
        elif name.endswith("std_bias"):
            b.copy_((noise(b.shape) * (2e4 if overflow else 1)).bfloat16())
        elif name.endswith("std_scale"):
            b.copy_(((0.5 + noise(b.shape).abs()) * (1e-4 if overflow else 1)).bfloat16())


def channels_first(weight: torch.Tensor, side: int) -> torch.Tensor:
    """The last dimension from height, width, colour to colour, height, width."""
    return weight.unflatten(-1, (side, side, 3)).movedim(-1, -3)


def tensors_of(tower: Tower) -> dict[str, torch.Tensor]:
    """GGUF names and shapes."""
    state = tower.modules.state_dict()
    if tower.unified:
        side = tower.config.model_patch_size
        get = lambda name: state[f"unified.{name}"]  # noqa: E731
        tensors = {
            "v.patch_embd.weight": channels_first(get("patch_dense.weight"), side).flatten(1),
            "v.patch_embd.bias": get("patch_dense.bias"),
            "v.position_embd.weight": get("pos_embedding").transpose(0, 1),
            "mm.input_projection.weight": get("multimodal_embedder.embedding_projection.weight"),
        }
        for part in ("weight", "bias"):
            tensors[f"v.patch_norm.1.{part}"] = channels_first(get(f"patch_ln1.{part}"), side).flatten()
            tensors[f"v.patch_norm.2.{part}"] = get(f"patch_ln2.{part}")
            tensors[f"v.patch_norm.3.{part}"] = get(f"pos_norm.{part}")
        return tensors
    tensors = {
        "v.patch_embd.weight": channels_first(state["tower.patch_embedder.input_proj.weight"], tower.config.patch_size),
        "v.position_embd.weight": state["tower.patch_embedder.position_embedding_table"],
        "mm.input_projection.weight": state["embedder.embedding_projection.weight"],
    }
    for name in ("std_bias", "std_scale"):
        if f"tower.{name}" in state:
            tensors[f"v.{name}"] = state[f"tower.{name}"]
    for name, value in state.items():
        if name.startswith("tower.encoder.layers."):
            number, rest = name.removeprefix("tower.encoder.layers.").split(".", 1)
            module, part = rest.rsplit(".", 1)
            tensors[f"v.blk.{number}.{BLOCK_NAMES[module.removesuffix('.linear')]}.{part}"] = value
    return tensors


def write_projector(path: Path, tower: Tower, change: Any = None) -> Path:
    """Matrices in BF16, the patches' weight and the rest in F32; `change(name, tensor)` may alter a tensor."""
    config, writer = tower.config, gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_vision_projector_type("gemma4uv" if tower.unified else "gemma4v")
    tensors = tensors_of(tower)
    writer.add_vision_projection_dim(tensors["mm.input_projection.weight"].shape[0])
    writer.add_vision_patch_size(config.patch_size)
    writer.add_vision_projector_scale_factor(config.pooling_kernel_size)
    writer.add_vision_embedding_length(config.mm_embed_dim if tower.unified else config.hidden_size)
    writer.add_vision_feed_forward_length(0 if tower.unified else config.intermediate_size)
    writer.add_vision_block_count(0 if tower.unified else config.num_hidden_layers)
    writer.add_vision_head_count(0 if tower.unified else config.num_attention_heads)
    writer.add_vision_attention_layernorm_eps(config.rms_norm_eps)
    writer.add_vision_image_size(224)  # the rest is for llama.cpp alone
    writer.add_vision_image_mean([0.0, 0.0, 0.0])
    writer.add_vision_image_std([1.0, 1.0, 1.0])
    writer.add_vision_use_gelu(True)
    for name, value in tensors.items():
        tensor = (change(name, value) if change else value).contiguous()
        if tensor.dim() == 2 and name != "v.patch_embd.weight":
            raw = tensor.bfloat16().view(torch.uint8).numpy()
            writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(name, np.atleast_1d(tensor.float().numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
