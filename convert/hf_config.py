"""config.json of a Gemma 3 or Gemma 4 checkpoint -> TextConfig, the text model's sizes.

Source of names and defaults: transformers 5.23, configuration_gemma4, configuration_gemma4_unified,
configuration_gemma3; both spellings of per-layer sizes are read (`global_head_dim`,
`num_global_key_value_heads`, and `per_layer_config`), and both of RoPE (`rope_parameters`, and `rope_theta`
with `rope_local_base_freq` and `rope_scaling`). Settings that change the computation and have no place in
GGUF are refused, not dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from g4cpp.errors import ConversionError

from .json_fields import Fields, read_json

# The key of the class in config.json -> the family that gives the defaults.
ARCHITECTURES = {
    "Gemma4ForConditionalGeneration": "gemma4",
    "Gemma4ForCausalLM": "gemma4",
    "Gemma4TextModel": "gemma4",
    "Gemma4UnifiedForConditionalGeneration": "gemma4_unified",
    "Gemma4UnifiedForCausalLM": "gemma4_unified",
    "Gemma4UnifiedTextModel": "gemma4_unified",
    "Gemma3ForConditionalGeneration": "gemma3",
    "Gemma3ForCausalLM": "gemma3",
}
SLIDING, GLOBAL = "sliding_attention", "full_attention"


@dataclass(frozen=True)
class RopeConfig:
    """theta per kind of layer; `scale` divides global positions (Gemma 3), `rotated` is the share of global
    pairs that turn.
    """

    theta_global: float
    theta_sliding: float
    scale: float = 1.0
    rotated: float = 1.0


@dataclass(frozen=True)
class TextConfig:
    """Sizes of the text model; tuples hold one value per layer."""

    architecture: str  # as in GGUF: "gemma4" or "gemma3"
    vocab_size: int
    hidden: int
    layers: int
    heads: int
    context: int
    rms_eps: float
    sliding_window: int
    sliding: tuple[bool, ...]
    kv_heads: tuple[int, ...]
    mlp: tuple[int, ...]
    head_dim: int  # of sliding layers
    head_dim_global: int
    rope: RopeConfig
    softcap: float | None
    tied: bool
    per_layer_hidden: int = 0
    kv_shared_layers: int = 0
    k_eq_v: bool = False
    experts: int = 0
    experts_used: int = 0
    expert_mlp: int = 0
    bidirectional_media: bool = False

    def head_dim_of(self, layer: int) -> int:
        return self.head_dim if self.sliding[layer] else self.head_dim_global

    def has_kv(self, layer: int) -> bool:
        return layer < self.layers - self.kv_shared_layers


def read_config(folder: Path) -> TextConfig:
    """The text model described by `folder`/config.json. Raises ConversionError naming the setting."""
    root = Fields(read_json(folder / "config.json"), "config.json")
    family = family_of(root)
    text = root.section("text_config") or root
    if text.text("hidden_activation", "gelu_pytorch_tanh") != "gelu_pytorch_tanh":
        raise text.unsupported("hidden_activation", "gelu_pytorch_tanh")
    if text.flag("attention_bias", False):
        raise text.unsupported("attention_bias", "false")
    if text.optional_number("attn_logit_softcapping") is not None:
        raise text.unsupported("attn_logit_softcapping", "null")
    tied = root.flag("tie_word_embeddings", text.flag("tie_word_embeddings", True))
    return _gemma3(text, tied) if family == "gemma3" else _gemma4(text, tied, family)


def family_of(root: Fields) -> str:
    """Which defaults hold: "gemma4", "gemma4_unified" or "gemma3"."""
    names = root.raw("architectures")
    name = names[0] if isinstance(names, list) and names else names
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise ConversionError(
            "[convert] config.json: architectures: "
            f"one of {', '.join(ARCHITECTURES)} expected, {name!r} found"
        )
    return ARCHITECTURES[name]


def _gemma4(text: Fields, tied: bool, family: str) -> TextConfig:
    unified = family == "gemma4_unified"
    absent = "vision" if unified and not text.has("use_bidirectional_attention") else None
    bidirectional = text.text("use_bidirectional_attention", absent)
    if bidirectional not in (None, "vision"):
        raise text.unsupported("use_bidirectional_attention", 'null or "vision"')
    layers = text.integer("num_hidden_layers", 30)
    sliding = (*_layer_kinds(text, layers, period=6)[:-1], False)  # the last is global whatever the file says
    k_eq_v = text.flag("attention_k_eq_v", False)
    head_dim_global, kv_heads = _attention_sizes(text, sliding, k_eq_v)
    shared = text.integer("num_kv_shared_layers", 0, minimum=0)
    if shared and (shared >= layers or set(sliding[: layers - shared]) != set(sliding)):
        raise text.unsupported("num_kv_shared_layers", "a layer of each kind before the shared ones")
    mlp = text.integer("intermediate_size", 9216)
    wide = text.flag("use_double_wide_mlp", False)
    vocab_size = text.integer("vocab_size", 262_144)
    per_layer_hidden = 0
    if not unified:
        unset = 0 if text.has("hidden_size_per_layer_input") else 256
        per_layer_hidden = text.integer("hidden_size_per_layer_input", unset, minimum=0)
        if per_layer_hidden and text.integer("vocab_size_per_layer_input", 262_144) != vocab_size:
            raise text.unsupported(
                "vocab_size_per_layer_input", f"vocab_size ({vocab_size}), GGUF has one vocabulary,"
            )
    moe = text.flag("enable_moe_block", False)
    return TextConfig(
        architecture="gemma4",
        vocab_size=vocab_size,
        hidden=text.integer("hidden_size", 2304),
        layers=layers,
        heads=text.integer("num_attention_heads", 8),
        context=text.integer("max_position_embeddings", 262_144 if unified else 131_072),
        rms_eps=text.number("rms_norm_eps", 1e-6),
        sliding_window=text.integer("sliding_window", 1024 if unified else 512),
        sliding=sliding,
        kv_heads=kv_heads,
        mlp=tuple(2 * mlp if wide and layer >= layers - shared else mlp for layer in range(layers)),
        head_dim=text.integer("head_dim", 256),
        head_dim_global=head_dim_global,
        rope=_gemma4_rope(text),
        softcap=text.optional_number("final_logit_softcapping"),
        tied=tied,
        per_layer_hidden=per_layer_hidden,
        kv_shared_layers=shared,
        k_eq_v=k_eq_v,
        experts=text.integer("num_experts") if moe else 0,
        experts_used=text.integer("top_k_experts") if moe else 0,
        expert_mlp=text.integer("moe_intermediate_size") if moe else 0,
        bidirectional_media=bidirectional == "vision",
    )


def _gemma3(text: Fields, tied: bool) -> TextConfig:
    if text.flag("use_bidirectional_attention", False):
        raise text.unsupported("use_bidirectional_attention", "false")
    layers, hidden = text.integer("num_hidden_layers", 26), text.integer("hidden_size", 2304)
    heads, head_dim = text.integer("num_attention_heads", 8), text.integer("head_dim", 256)
    # GGUF has no key for the query scale: readers take head_dim, and hidden / heads for the 62 layers of 27B
    implied = hidden // heads if layers == 62 else head_dim
    if text.integer("query_pre_attn_scalar", 256) != implied:
        raise text.unsupported("query_pre_attn_scalar", f"{implied}, as readers of GGUF assume,")
    if text.has("sliding_window") and text.raw("sliding_window") is None:
        raise text.unsupported("sliding_window", "a number of positions")
    return TextConfig(
        architecture="gemma3",
        vocab_size=text.integer("vocab_size", 262_208),
        hidden=hidden,
        layers=layers,
        heads=heads,
        context=text.integer("max_position_embeddings", 131_072),
        rms_eps=text.number("rms_norm_eps", 1e-6),
        sliding_window=text.integer("sliding_window", 4096),
        sliding=_layer_kinds(text, layers, period=text.integer("sliding_window_pattern", 6)),
        kv_heads=(text.integer("num_key_value_heads", 4),) * layers,
        mlp=(text.integer("intermediate_size", 9216),) * layers,
        head_dim=head_dim,
        head_dim_global=head_dim,
        rope=_gemma3_rope(text),
        softcap=text.optional_number("final_logit_softcapping"),
        tied=tied,
    )


def _layer_kinds(text: Fields, layers: int, period: int) -> tuple[bool, ...]:
    """Per layer, whether it slides; by default every `period`th does not."""
    kinds = text.raw("layer_types")
    if kinds is None:
        return tuple((layer + 1) % period != 0 for layer in range(layers))
    if (
        not isinstance(kinds, list)
        or len(kinds) != layers
        or any(kind not in (SLIDING, GLOBAL) for kind in kinds)
    ):
        raise text.unsupported("layer_types", f"{layers} of {SLIDING!r} and {GLOBAL!r}")
    return tuple(kind == SLIDING for kind in kinds)


def _attention_sizes(text: Fields, sliding: tuple[bool, ...], k_eq_v: bool) -> tuple[int, tuple[int, ...]]:
    """(head size of global layers, key-value heads per layer)."""
    head_dim, kv_heads = text.integer("head_dim", 256), text.integer("num_key_value_heads", 4)
    overrides = text.section("per_layer_config")
    if overrides is None:
        global_kv = text.integer("num_global_key_value_heads", kv_heads) if k_eq_v else kv_heads
        return text.integer("global_head_dim", 512), tuple(
            kv_heads if slides else global_kv for slides in sliding
        )
    head_dims = [head_dim] * len(sliding)
    heads = [kv_heads] * len(sliding)
    for key, _ in overrides.items():
        entry = overrides.section(key)
        if not key.isdecimal() or int(key) >= len(sliding) or entry is None:
            raise overrides.unsupported(key, f"a layer number below {len(sliding)}")
        unknown = [name for name, _ in entry.items() if name not in ("head_dim", "num_key_value_heads")]
        if unknown:
            raise entry.unsupported(unknown[0], "head_dim and num_key_value_heads only")
        head_dims[int(key)] = entry.integer("head_dim", head_dim)
        heads[int(key)] = entry.integer("num_key_value_heads", kv_heads)
    of_global = {size for size, slides in zip(head_dims, sliding, strict=True) if not slides} or {head_dim}
    of_sliding = {size for size, slides in zip(head_dims, sliding, strict=True) if slides} or {head_dim}
    if len(of_global) > 1 or of_sliding != {head_dim}:
        raise text.unsupported("per_layer_config", "one head_dim for global layers and one for sliding ones")
    return of_global.pop(), tuple(heads)


def _gemma4_rope(text: Fields) -> RopeConfig:
    rope = text.section("rope_parameters")
    if rope is None:
        return RopeConfig(1_000_000.0, 10_000.0, rotated=0.25)
    of_global, of_sliding = rope.section(GLOBAL), rope.section(SLIDING)
    if of_global is None or of_sliding is None:
        raise text.unsupported("rope_parameters", f"an entry for {GLOBAL!r} and one for {SLIDING!r}")
    if of_sliding.text("rope_type", "default") != "default":
        raise of_sliding.unsupported("rope_type", "'default'")
    if of_sliding.number("partial_rotary_factor", 1.0) != 1.0:
        raise of_sliding.unsupported("partial_rotary_factor", "1")
    if of_global.text("rope_type", "default") not in ("default", "proportional"):
        raise of_global.unsupported("rope_type", "'proportional'")
    rotated = of_global.number("partial_rotary_factor", 1.0)
    if not 0.0 < rotated <= 1.0 or (rotated != 1.0 and of_global.text("rope_type") != "proportional"):
        raise of_global.unsupported("partial_rotary_factor", "a share of proportional RoPE")
    if of_global.number("factor", 1.0) != 1.0:
        raise of_global.unsupported("factor", "1")
    return RopeConfig(of_global.number("rope_theta"), of_sliding.number("rope_theta"), rotated=rotated)


def _gemma3_rope(text: Fields) -> RopeConfig:
    theta, theta_sliding = (
        text.number("rope_theta", 1_000_000.0),
        text.number("rope_local_base_freq", 10_000.0),
    )
    rope = text.section("rope_parameters")
    scaling = rope.section(GLOBAL) if rope else text.section("rope_scaling")
    if rope:
        of_sliding = rope.section(SLIDING)
        theta = scaling.number("rope_theta", theta) if scaling else theta
        theta_sliding = of_sliding.number("rope_theta", theta_sliding) if of_sliding else theta_sliding
    if scaling is None:
        return RopeConfig(theta, theta_sliding)
    kind = scaling.text("rope_type", scaling.text("type", "default"))
    if kind not in ("default", "linear"):
        raise scaling.unsupported("rope_type", "'default' or 'linear'")
    scale = scaling.number("factor", 1.0) if kind == "linear" else 1.0
    if scale <= 0.0:
        raise scaling.unsupported("factor", "a positive number")
    return RopeConfig(theta, theta_sliding, scale=scale)
