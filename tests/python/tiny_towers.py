"""Tiny Gemma 4 checkpoints that see and hear, written without torch: tiny_checkpoint.py's text models with
towers beside them.

    tiny = make_tiny_media(folder, "e")         # tiny.tensors: name -> the exact values as float32

Variants: e (clipped linears, audio; like E2B), k (standardized pooling, no audio; like 31B), u (unified, like
12B). Names and shapes are those of the modelling code (test_convert_projector_parity.py compares them);
widths that are no multiple of a quantisation block are among them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tiny_checkpoint import CONFIGS, Tiny, encode, random_values, shapes, write_tokenizer, write_weights

Shapes = dict[str, tuple[int, ...]]
VISION: dict[str, dict[str, Any]] = {
    "e": {
        "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 24, "patch_size": 4, "position_embedding_size": 10,
        "use_clipped_linears": True,
    },
    "k": {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 32, "patch_size": 4, "position_embedding_size": 10,
        "standardize": True,
    },
    "u": {
        "mm_embed_dim": 48, "output_proj_dims": 48, "mm_posemb_size": 10, "patch_size": 2,
        "pooling_kernel_size": 3,
    },
}  # fmt: skip
AUDIO: dict[str, dict[str, Any]] = {
    "e": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "output_proj_dims": 40,
        "subsampling_conv_channels": [128, 4], "use_clipped_linears": True,
    },
    "u": {"audio_embed_dim": 20},
}  # fmt: skip
TEXT = {"e": "dense_e", "k": "dense_k", "u": "dense_k"}
BOUNDS = {"input_min": -3.5, "input_max": 3.25, "output_min": -7.0, "output_max": 6.5}


def settings(variant: str) -> dict[str, Any]:
    """config.json."""
    family = "Gemma4Unified" if variant == "u" else "Gemma4"
    return {
        "architectures": [f"{family}ForConditionalGeneration"],
        "text_config": CONFIGS[TEXT[variant]],
        "vision_config": VISION[variant],
        "audio_config": AUDIO.get(variant),
    }


def tower_shapes(variant: str) -> Shapes:
    """Every tensor beside the text model, as checkpoints name it."""
    text = CONFIGS[TEXT[variant]]["hidden_size"]
    vision, audio = VISION[variant], AUDIO.get(variant)
    if variant == "u":
        assert audio is not None
        return unified_shapes(vision, audio, text)
    out = vision_shapes(vision, text)
    return out if audio is None else out | audio_shapes(audio, text)


def vision_shapes(vision: dict[str, Any], text: int) -> Shapes:
    hidden, mlp, head = vision["hidden_size"], vision["intermediate_size"], vision["head_dim"]
    out: Shapes = {
        "model.vision_tower.patch_embedder.input_proj.weight": (hidden, 3 * vision["patch_size"] ** 2),
        "model.vision_tower.patch_embedder.position_embedding_table": (
            2, vision["position_embedding_size"], hidden,
        ),
        "model.embed_vision.embedding_projection.weight": (text, hidden),
    }  # fmt: skip
    if vision.get("standardize"):
        out |= {f"model.vision_tower.std_{part}": (hidden,) for part in ("bias", "scale")}
    for layer in range(vision["num_hidden_layers"]):
        at = f"model.vision_tower.encoder.layers.{layer}."
        for norm in (
            "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ):  # fmt: skip
            out[f"{at}{norm}.weight"] = (hidden,)
        out |= {f"{at}self_attn.{norm}.weight": (head,) for norm in ("q_norm", "k_norm")}
        for part in ("q", "k", "v", "o"):
            out |= clippable(f"{at}self_attn.{part}_proj", (hidden, hidden), vision)
        out |= clippable(f"{at}mlp.gate_proj", (mlp, hidden), vision)
        out |= clippable(f"{at}mlp.up_proj", (mlp, hidden), vision)
        out |= clippable(f"{at}mlp.down_proj", (hidden, mlp), vision)
    return out


def audio_shapes(audio: dict[str, Any], text: int) -> Shapes:
    hidden, output = audio["hidden_size"], audio["output_proj_dims"]
    first, second = audio["subsampling_conv_channels"]
    subsampling = "model.audio_tower.subsample_conv_projection."
    out: Shapes = {
        f"{subsampling}layer0.conv.weight": (first, 1, 3, 3),
        f"{subsampling}layer0.norm.weight": (first,),
        f"{subsampling}layer1.conv.weight": (second, first, 3, 3),
        f"{subsampling}layer1.norm.weight": (second,),
        f"{subsampling}input_proj_linear.weight": (hidden, first // 4 * second),
        "model.audio_tower.output_proj.weight": (output, hidden),
        "model.audio_tower.output_proj.bias": (output,),
        "model.embed_audio.embedding_projection.weight": (text, output),
    }
    for layer in range(audio["num_hidden_layers"]):
        at = f"model.audio_tower.layers.{layer}."
        for block in ("feed_forward1", "feed_forward2"):
            out |= clippable(f"{at}{block}.ffw_layer_1", (4 * hidden, hidden), audio)
            out |= clippable(f"{at}{block}.ffw_layer_2", (hidden, 4 * hidden), audio)
        for norm in (
            "feed_forward1.pre_layer_norm", "feed_forward1.post_layer_norm", "feed_forward2.pre_layer_norm",
            "feed_forward2.post_layer_norm", "norm_pre_attn", "norm_post_attn", "norm_out",
            "lconv1d.pre_layer_norm", "lconv1d.conv_norm",
        ):  # fmt: skip
            out[f"{at}{norm}.weight"] = (hidden,)
        for part in ("q_proj", "k_proj", "v_proj", "post"):
            out |= clippable(f"{at}self_attn.{part}", (hidden, hidden), audio)
        out[f"{at}self_attn.relative_k_proj.weight"] = (hidden, hidden)
        out[f"{at}self_attn.per_dim_scale"] = (hidden // audio["num_attention_heads"],)
        out |= clippable(f"{at}lconv1d.linear_start", (2 * hidden, hidden), audio)
        out |= clippable(f"{at}lconv1d.linear_end", (hidden, hidden), audio)
        out[f"{at}lconv1d.depthwise_conv1d.weight"] = (hidden, 1, 5)
    return out


def unified_shapes(vision: dict[str, Any], audio: dict[str, Any], text: int) -> Shapes:
    hidden, samples = vision["mm_embed_dim"], audio["audio_embed_dim"]
    values = 3 * (vision["patch_size"] * vision["pooling_kernel_size"]) ** 2
    out: Shapes = {}
    for norm, width in {"patch_ln1": values, "patch_ln2": hidden, "pos_norm": hidden}.items():
        out |= {f"model.vision_embedder.{norm}.{part}": (width,) for part in ("weight", "bias")}
    return out | {
        "model.vision_embedder.patch_dense.weight": (hidden, values),
        "model.vision_embedder.patch_dense.bias": (hidden,),
        "model.vision_embedder.pos_embedding": (vision["mm_posemb_size"], 2, hidden),
        "model.embed_vision.embedding_projection.weight": (text, hidden),
        "model.embed_audio.embedding_projection.weight": (text, samples),
    }


def clippable(name: str, shape: tuple[int, int], tower: dict[str, Any]) -> Shapes:
    out: Shapes = {f"{name}.linear.weight": shape}
    return out | {f"{name}.{bound}": () for bound in BOUNDS} if tower.get("use_clipped_linears") else out


def values_of(name: str, shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    bound = BOUNDS.get(name.rpartition(".")[2])
    if bound is None:
        return random_values(name, shape, False, random)
    return np.full(shape, bound * random.uniform(1, 2), np.float32)


def make_tiny_media(
    folder: Path,
    variant: str,
    *,
    dtype: str = "BF16",
    config: dict[str, Any] | None = None,
    rename: dict[str, str] | None = None,
) -> Tiny:
    """Writes a whole checkpoint; `tensors` holds what is beside the text model. `config` overrides settings,
    `rename` maps parts of names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = {
        name.replace("model.", "model.language_model.", 1): shape
        for name, shape in shapes(CONFIGS[TEXT[variant]]).items()
    }
    random = np.random.default_rng(1)
    stored: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    values: dict[str, NDArray[np.float32]] = {}
    towers = tower_shapes(variant)
    for name, shape in (text | towers).items():
        data, exact = encode(values_of(name, shape, random), dtype)
        final = name
        for old, new in (rename or {}).items():
            final = final.replace(old, new)
        stored[final] = (dtype, shape, data)
        if name in towers:
            values[name] = exact
    write_weights(folder, stored, 1)
    (folder / "config.json").write_text(json.dumps(settings(variant) | (config or {})))
    write_tokenizer(folder)
    return Tiny(folder, settings(variant), values)
