"""Tiny Hugging Face checkpoints of Gemma 4 and Gemma 3, written without torch: numpy, json and the
`tokenizers` package.

    tiny = make_tiny(folder, "dense_e")          # tiny.tensors: name -> the exact values as float32

Variants: dense_e (per-layer embeddings, shared keys and values, double-wide MLP), dense_k (K = V on global
layers), moe, gemma3. Sizes are the smallest that keep every feature; the MLP of 80 is no multiple of a
quantisation block. Weights are random with unit-variance outputs, so that a forward pass stays finite.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VOCAB = 320
SPECIAL = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    "<|turn>",
    "<turn|>",
    "<|channel>",
    "<channel|>",
    "<|image|>",
]
TEMPLATE = "{{ bos_token }}{% for m in messages %}<|turn>{{ m.role }}\n{{ m.content }}<turn|>\n{% endfor %}"
SLIDING, GLOBAL = "sliding_attention", "full_attention"
COMMON: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "max_position_embeddings": 2048, "sliding_window": 16, "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
}  # fmt: skip
GEMMA4 = COMMON | {
    "architectures": ["Gemma4ForCausalLM"], "model_type": "gemma4_text", "head_dim": 16,
    "global_head_dim": 32,
    "final_logit_softcapping": 30.0, "hidden_size_per_layer_input": 0,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "dense_e": GEMMA4 | {
        "num_key_value_heads": 1, "hidden_size_per_layer_input": 32, "vocab_size_per_layer_input": VOCAB,
        "num_kv_shared_layers": 2, "use_double_wide_mlp": True,
        "layer_types": [SLIDING, GLOBAL, SLIDING, GLOBAL, SLIDING, GLOBAL],
    },
    "dense_k": GEMMA4 | {
        "num_key_value_heads": 2, "num_global_key_value_heads": 1, "attention_k_eq_v": True,
        "use_bidirectional_attention": "vision",
    },
    "moe": GEMMA4 | {
        "num_key_value_heads": 2, "num_global_key_value_heads": 1, "attention_k_eq_v": True,
        "use_bidirectional_attention": "vision", "enable_moe_block": True, "num_experts": 4,
        "top_k_experts": 2,
        "moe_intermediate_size": 32,
    },
    "gemma3": COMMON | {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "head_dim": 16,
        "num_key_value_heads": 2,
        "query_pre_attn_scalar": 16, "rope_theta": 1e6, "rope_local_base_freq": 1e4,
    },
}  # fmt: skip


@dataclass
class Tiny:
    folder: Path
    config: dict[str, Any]
    tensors: dict[str, NDArray[np.float32]]  # as stored, widened


def bf16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to nearest even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def encode(values: NDArray[np.float32], dtype: str) -> tuple[bytes, NDArray[np.float32]]:
    """(stored bytes, the values they stand for)."""
    if dtype == "BF16":
        bits = bf16_bits(values)
        return bits.tobytes(), (bits.astype(np.uint32) << 16).view(np.float32).reshape(values.shape)
    if dtype == "F16":
        half = values.astype(np.float16)
        return half.tobytes(), half.astype(np.float32)
    return values.astype("<f4").tobytes(), values


def write_safetensors(path: Path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    """tensors: name -> (dtype, shape, bytes)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(
        len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values())
    )


def layer_types(config: dict[str, Any]) -> list[str]:
    period = [SLIDING] * 5 + [GLOBAL]
    types: list[str] = config.get("layer_types") or [
        period[i % 6] for i in range(config["num_hidden_layers"])
    ]
    return types


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor of Gemma4ForCausalLM or Gemma3ForCausalLM with this config, from the modelling code."""
    hidden, layers, heads = config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]
    per_layer = config.get("hidden_size_per_layer_input", 0)
    gemma4 = config["model_type"].startswith("gemma4")
    shared_from = layers - config.get("num_kv_shared_layers", 0)
    out: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (config["vocab_size"], hidden),
        "norm.weight": (hidden,),
    }
    if per_layer:
        out["embed_tokens_per_layer.weight"] = (config["vocab_size"], layers * per_layer)
        out["per_layer_model_projection.weight"] = (layers * per_layer, hidden)
        out["per_layer_projection_norm.weight"] = (per_layer,)
    for layer, kind in enumerate(layer_types(config)):
        head = config["global_head_dim"] if gemma4 and kind == GLOBAL else config["head_dim"]
        k_is_v = config.get("attention_k_eq_v", False) and kind == GLOBAL
        kv_heads = config["num_global_key_value_heads"] if k_is_v else config["num_key_value_heads"]
        mlp = config["intermediate_size"]
        if config.get("use_double_wide_mlp") and layer >= shared_from:
            mlp *= 2
        rows: dict[str, tuple[int, ...]] = {
            "input_layernorm.weight": (hidden,),
            "post_attention_layernorm.weight": (hidden,),
            "pre_feedforward_layernorm.weight": (hidden,),
            "post_feedforward_layernorm.weight": (hidden,),
            "self_attn.q_proj.weight": (heads * head, hidden),
            "self_attn.o_proj.weight": (hidden, heads * head),
            "self_attn.q_norm.weight": (head,),
            "mlp.gate_proj.weight": (mlp, hidden),
            "mlp.up_proj.weight": (mlp, hidden),
            "mlp.down_proj.weight": (hidden, mlp),
        }
        if layer < shared_from:
            rows["self_attn.k_proj.weight"] = (kv_heads * head, hidden)
            rows["self_attn.k_norm.weight"] = (head,)
            if not k_is_v:
                rows["self_attn.v_proj.weight"] = (kv_heads * head, hidden)
        if gemma4:
            rows["layer_scalar"] = (1,)
        if per_layer:
            rows["per_layer_input_gate.weight"] = (per_layer, hidden)
            rows["per_layer_projection.weight"] = (hidden, per_layer)
            rows["post_per_layer_input_norm.weight"] = (hidden,)
        if config.get("enable_moe_block"):
            experts, expert_mlp = config["num_experts"], config["moe_intermediate_size"]
            rows["router.proj.weight"] = (experts, hidden)
            rows["router.scale"] = (hidden,)
            rows["router.per_expert_scale"] = (experts,)
            rows["experts.gate_up_proj"] = (experts, 2 * expert_mlp, hidden)
            rows["experts.down_proj"] = (experts, hidden, expert_mlp)
            for norm in (
                "post_feedforward_layernorm_1",
                "pre_feedforward_layernorm_2",
                "post_feedforward_layernorm_2",
            ):
                rows[f"{norm}.weight"] = (hidden,)
        out |= {f"layers.{layer}.{name}": shape for name, shape in rows.items()}
    return {f"model.{name}": shape for name, shape in out.items()}


def random_values(
    name: str, shape: tuple[int, ...], gemma3: bool, random: np.random.Generator
) -> NDArray[np.float32]:
    noise = random.standard_normal(shape).astype(np.float32)
    if len(shape) == 1:
        center = 0.0 if gemma3 else 0.5 if name.endswith(("q_norm.weight", "k_norm.weight")) else 1.0
        return np.float32(center) + np.float32(0.2) * noise
    return noise * np.float32(shape[-1] ** -0.5)


def make_tiny(
    folder: Path,
    variant: str,
    *,
    seed: int = 0,
    dtype: str = "BF16",
    shards: int = 1,
    config: dict[str, Any] | None = None,
    extra: dict[str, tuple[int, ...]] | None = None,
    rename: dict[str, str] | None = None,
) -> Tiny:
    """Writes a whole checkpoint. `config` overrides settings, `extra` adds tensors, `rename` maps name
    prefixes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = CONFIGS[variant] | (config or {})
    random = np.random.default_rng(seed)
    stored: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    values: dict[str, NDArray[np.float32]] = {}
    for name, shape in (shapes(settings) | (extra or {})).items():
        data, exact = encode(random_values(name, shape, variant == "gemma3", random), dtype)
        final = name
        for old, new in (rename or {}).items():
            final = new + final.removeprefix(old) if final.startswith(old) else final
        stored[final], values[final] = (dtype, shape, data), exact
    write_weights(folder, stored, shards)
    (folder / "config.json").write_text(json.dumps(settings))
    write_tokenizer(folder)
    generation = {
        "eos_token_id": [1, 6],
        "temperature": 1.0,
        "top_k": 64,
        "top_p": 0.95,
        "suppress_tokens": [9, VOCAB],
    }
    (folder / "generation_config.json").write_text(json.dumps(generation))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return Tiny(folder, settings, values)


def write_weights(folder: Path, stored: dict[str, tuple[str, tuple[int, ...], bytes]], shards: int) -> None:
    if shards == 1:
        write_safetensors(folder / "model.safetensors", stored)
        return
    names = list(stored)
    weight_map = {}
    for part in range(shards):
        file = f"model-{part + 1:05}-of-{shards:05}.safetensors"
        mine = names[part::shards]
        write_safetensors(folder / file, {name: stored[name] for name in mine})
        weight_map |= dict.fromkeys(mine, file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )


def write_tokenizer(folder: Path) -> None:
    """A Gemma-style tokenizer.json: BPE over escaped spaces, byte fallback, split at newline runs."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    words = ["the", "he", "th", "▁t", "▁the", "in", "ing", "an", "and", "\n\n"]
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + ["▁", "\n", "."]
    pieces = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)] + letters + words
    merges = [
        ("t", "h"),
        ("h", "e"),
        ("th", "e"),
        ("▁", "t"),
        ("▁", "the"),
        ("i", "n"),
        ("in", "g"),
        ("a", "n"),
        ("an", "d"),
    ]
    merges.append(("\n", "\n"))
    vocab = {piece: id for id, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab, merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[^\n]+|\n+"), "isolated")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {f"{role}_token": f"<{role}>" for role in ("bos", "eos", "unk", "pad", "mask")}
    (folder / "tokenizer_config.json").write_text(json.dumps(roles))
