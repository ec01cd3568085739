"""The one table of tensor names: Hugging Face name -> GGUF name, the shape config.json implies, and how it
is stored.

GGUF names are those every published file has; shapes are slowest first. Which rows apply to a layer depends
on what the layer has (own keys, experts, ...), so the table says that too. The C++ loader's table is
compared with this one by a test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum

from .changes import Change
from .hf_config import TextConfig

Symbol = str | int  # a size by its name, or itself


class Storage(Enum):
    """What a tensor may be stored as; encoding.py turns it into a format."""

    PLAIN = "always F32"
    MATRIX = "the file's type"
    EMBEDDING = "the file's type, at least 8 bits"
    HALF = "the file's type, at least 16 bits"


@dataclass(frozen=True)
class TensorRule:
    """One tensor of the GGUF file. `source` is the name in the checkpoint without its prefix."""

    source: str
    target: str
    shape: tuple[int, ...]
    storage: Storage
    change: Change = Change.NONE
    source_shape: tuple[int, ...] | None = None  # in the checkpoint, where it is another
    aliases: tuple[str, ...] = ()  # further names in the checkpoint


@dataclass(frozen=True)
class Row:
    source: str
    target: str
    shape: tuple[Symbol, ...]
    storage: Storage
    when: str = "always"
    change: Change = Change.NONE
    source_shape: tuple[Symbol, ...] | None = None
    aliases: tuple[str, ...] = ()


MODEL_ROWS = (
    Row("embed_tokens.weight", "token_embd.weight", ("vocab", "hidden"), Storage.EMBEDDING),
    Row(
        "embed_tokens_per_layer.weight",
        "per_layer_token_embd.weight",
        ("vocab", "ple_all"),
        Storage.EMBEDDING,
        "ple",
    ),
    Row(
        "per_layer_model_projection.weight",
        "per_layer_model_proj.weight",
        ("ple_all", "hidden"),
        Storage.HALF,
        "ple",
    ),
    Row("per_layer_projection_norm.weight", "per_layer_proj_norm.weight", ("ple",), Storage.PLAIN, "ple"),
    Row("norm.weight", "output_norm.weight", ("hidden",), Storage.PLAIN),
)
LAYER_ROWS = (
    Row("input_layernorm.weight", "attn_norm.weight", ("hidden",), Storage.PLAIN),
    Row("self_attn.q_proj.weight", "attn_q.weight", ("q", "hidden"), Storage.MATRIX),
    Row("self_attn.k_proj.weight", "attn_k.weight", ("kv", "hidden"), Storage.MATRIX, "has_k"),
    Row("self_attn.v_proj.weight", "attn_v.weight", ("kv", "hidden"), Storage.MATRIX, "has_v"),
    Row("self_attn.q_norm.weight", "attn_q_norm.weight", ("head",), Storage.PLAIN),
    Row("self_attn.k_norm.weight", "attn_k_norm.weight", ("head",), Storage.PLAIN, "has_k"),
    Row("self_attn.o_proj.weight", "attn_output.weight", ("hidden", "q"), Storage.MATRIX),
    Row("post_attention_layernorm.weight", "post_attention_norm.weight", ("hidden",), Storage.PLAIN),
    Row("pre_feedforward_layernorm.weight", "ffn_norm.weight", ("hidden",), Storage.PLAIN),
    Row("mlp.gate_proj.weight", "ffn_gate.weight", ("mlp", "hidden"), Storage.MATRIX),
    Row("mlp.up_proj.weight", "ffn_up.weight", ("mlp", "hidden"), Storage.MATRIX),
    Row("mlp.down_proj.weight", "ffn_down.weight", ("hidden", "mlp"), Storage.MATRIX),
    Row("post_feedforward_layernorm.weight", "post_ffw_norm.weight", ("hidden",), Storage.PLAIN),
    Row("layer_scalar", "layer_output_scale.weight", ("one",), Storage.PLAIN, "gemma4"),
    Row("router.proj.weight", "ffn_gate_inp.weight", ("experts", "hidden"), Storage.PLAIN, "moe"),
    Row("router.scale", "ffn_gate_inp.scale", ("hidden",), Storage.PLAIN, "moe"),
    Row("router.per_expert_scale", "ffn_down_exps.scale", ("experts",), Storage.PLAIN, "moe"),
    Row(
        "experts.gate_up_proj",
        "ffn_gate_up_exps.weight",
        ("experts", "expert_gate_up", "hidden"),
        Storage.MATRIX,
        "moe",
    ),
    Row(
        "experts.down_proj",
        "ffn_down_exps.weight",
        ("experts", "hidden", "expert_mlp"),
        Storage.MATRIX,
        "moe",
    ),
    Row("post_feedforward_layernorm_1.weight", "post_ffw_norm_1.weight", ("hidden",), Storage.PLAIN, "moe"),
    Row("pre_feedforward_layernorm_2.weight", "pre_ffw_norm_2.weight", ("hidden",), Storage.PLAIN, "moe"),
    Row("post_feedforward_layernorm_2.weight", "post_ffw_norm_2.weight", ("hidden",), Storage.PLAIN, "moe"),
    Row("per_layer_input_gate.weight", "inp_gate.weight", ("ple", "hidden"), Storage.MATRIX, "ple"),
    Row("per_layer_projection.weight", "proj.weight", ("hidden", "ple"), Storage.MATRIX, "ple"),
    Row("post_per_layer_input_norm.weight", "post_norm.weight", ("hidden",), Storage.PLAIN, "ple"),
)
OUTPUT_HEAD = "lm_head.weight"  # outside the text model's prefix; only when it is not tied to token_embd
ROPE_FREQS = (
    "rope_freqs.weight"  # generated: 1 for pairs of a global head that rotate, 1e30 for those that do not
)


def text_tensors(config: TextConfig) -> list[TensorRule]:
    """Every tensor of the text model that comes from the checkpoint, in the order of the GGUF file."""
    rules = expand(MODEL_ROWS, _sizes(config, 0), _facts(config, 0), "", "")
    if not config.tied:
        rules.append(
            TensorRule(OUTPUT_HEAD, "output.weight", (config.vocab_size, config.hidden), Storage.EMBEDDING)
        )
    for layer in range(config.layers):
        sizes, facts = _sizes(config, layer), _facts(config, layer)
        rules += expand(LAYER_ROWS, sizes, facts, f"layers.{layer}.", f"blk.{layer}.")
    if config.architecture == "gemma3":
        rules = [
            replace(rule, change=Change.ADD_ONE) if rule.source.endswith("norm.weight") else rule
            for rule in rules
        ]
    return rules


def expand(
    rows: tuple[Row, ...], sizes: dict[str, int], facts: set[str], source: str, target: str
) -> list[TensorRule]:
    """The rules of the rows that `facts` call for, their names behind the prefixes `source` and `target`."""

    def shape(symbols: tuple[Symbol, ...]) -> tuple[int, ...]:
        return tuple(sizes[symbol] if isinstance(symbol, str) else symbol for symbol in symbols)

    return [
        TensorRule(
            source + row.source,
            target + row.target,
            shape(row.shape),
            row.storage,
            row.change,
            None if row.source_shape is None else shape(row.source_shape),
            tuple(source + alias for alias in row.aliases),
        )
        for row in rows
        if row.when in facts
    ]


def _sizes(config: TextConfig, layer: int) -> dict[str, int]:
    head = config.head_dim_of(layer)
    return {
        "one": 1,
        "vocab": config.vocab_size,
        "hidden": config.hidden,
        "head": head,
        "q": config.heads * head,
        "kv": config.kv_heads[layer] * head,
        "mlp": config.mlp[layer],
        "ple": config.per_layer_hidden,
        "ple_all": config.per_layer_hidden * config.layers,
        "experts": config.experts,
        "expert_mlp": config.expert_mlp,
        "expert_gate_up": 2 * config.expert_mlp,
    }


def _facts(config: TextConfig, layer: int) -> set[str]:
    has_k = config.has_kv(layer)
    facts = {
        "gemma4": config.architecture == "gemma4",
        "has_k": has_k,
        "has_v": has_k and (config.sliding[layer] or not config.k_eq_v),
        "moe": config.experts > 0,
        "ple": config.per_layer_hidden > 0,
    }
    return {"always"} | {name for name, holds in facts.items() if holds}


TOWERS = ("vision", "audio")  # reasons: these are in the projector file


def reason_to_leave_out(name: str, config: TextConfig) -> str | None:
    """Why the tensor `name` of the checkpoint has no place in the file, or None when nothing explains it."""
    if re.match(
        r"(model\.)?(vision_tower|vision_model|embed_vision|vision_embedder|multi_modal_projector)\.", name
    ):
        return "vision"
    if re.match(r"(model\.)?(audio_tower|embed_audio)\.", name):
        return "audio"
    if re.fullmatch(r"(.*\.)?rotary_emb(_local)?\.\w*inv_freq", name):
        return "RoPE frequencies, which are computed"
    if config.tied and re.fullmatch(r"(.*\.)?lm_head\.weight", name):
        return "output head, tied to the embedding"
    shared = re.fullmatch(r"(?:.*\.)?layers\.(\d+)\.self_attn\.(k_proj|v_proj|k_norm|v_norm)\.weight", name)
    if shared and int(shared[1]) < config.layers and not config.has_kv(int(shared[1])):
        return "keys and values of layers that read another layer's"
    return None
