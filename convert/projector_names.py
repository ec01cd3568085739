"""The table of the projector file: names of the checkpoint and of the file, shapes, storage, changes.

Names are those llama.cpp reads (gguf's MMPROJ architecture). Convolution kernels and position tables are
F32, other matrices the file's type. Two names mislead: the audio block's lconv1d.pre_layer_norm is
`conv_norm`, its lconv1d.conv_norm `norm_conv`.
"""

from __future__ import annotations

import re

from .changes import Change
from .tensor_names import Row, Storage, Symbol, TensorRule, expand
from .tower_config import AudioConfig, TowerConfig, VisionConfig

BOUNDS = ("input_min", "input_max", "output_min", "output_max")


def _plain(source: str, target: str, *shape: Symbol, when: str = "always") -> Row:
    return Row(source, target, shape, Storage.PLAIN, when)


def _matrix(source: str, target: str, *shape: Symbol) -> Row:
    return Row(f"{source}.weight", f"{target}.weight", shape, Storage.MATRIX)


def _clippable(source: str, target: str, *shape: Symbol) -> tuple[Row, ...]:
    """A linear layer that may clip what goes in and what comes out."""
    return (
        Row(f"{source}.linear.weight", f"{target}.weight", shape, Storage.MATRIX),
        *(
            Row(
                f"{source}.{bound}", f"{target}.{bound}", (1,), Storage.PLAIN, "clipped", Change.BOUND, ()
            )
            for bound in BOUNDS
        ),
    )


VISION_ROWS = (
    Row(
        "vision_tower.patch_embedder.input_proj.weight", "v.patch_embd.weight",
        ("hidden", 3, "patch", "patch"), Storage.PLAIN,
        change=Change.PATCH_CHW, source_shape=("hidden", "patch_values"),
    ),
    _plain(
        "vision_tower.patch_embedder.position_embedding_table", "v.position_embd.weight",
        2, "positions", "hidden",
    ),
    _plain("vision_tower.std_bias", "v.std_bias", "hidden", when="standardize"),
    _plain("vision_tower.std_scale", "v.std_scale", "hidden", when="standardize"),
    _matrix("embed_vision.embedding_projection", "mm.input_projection", "text", "hidden"),
)  # fmt: skip
VISION_LAYER_ROWS = (
    _plain("input_layernorm.weight", "ln1.weight", "hidden"),
    *_clippable("self_attn.q_proj", "attn_q", "hidden", "hidden"),
    *_clippable("self_attn.k_proj", "attn_k", "hidden", "hidden"),
    *_clippable("self_attn.v_proj", "attn_v", "hidden", "hidden"),
    _plain("self_attn.q_norm.weight", "attn_q_norm.weight", "head"),
    _plain("self_attn.k_norm.weight", "attn_k_norm.weight", "head"),
    *_clippable("self_attn.o_proj", "attn_out", "hidden", "hidden"),
    _plain("post_attention_layernorm.weight", "attn_post_norm.weight", "hidden"),
    _plain("pre_feedforward_layernorm.weight", "ln2.weight", "hidden"),
    *_clippable("mlp.gate_proj", "ffn_gate", "mlp", "hidden"),
    *_clippable("mlp.up_proj", "ffn_up", "mlp", "hidden"),
    *_clippable("mlp.down_proj", "ffn_down", "hidden", "mlp"),
    _plain("post_feedforward_layernorm.weight", "ffn_post_norm.weight", "hidden"),
)
AUDIO_ROWS = (
    _plain("audio_tower.subsample_conv_projection.layer0.conv.weight", "a.conv1d.0.weight", "c0", 1, 3, 3),
    _plain("audio_tower.subsample_conv_projection.layer0.norm.weight", "a.conv1d.0.norm.weight", "c0"),
    _plain("audio_tower.subsample_conv_projection.layer1.conv.weight", "a.conv1d.1.weight", "c1", "c0", 3, 3),
    _plain("audio_tower.subsample_conv_projection.layer1.norm.weight", "a.conv1d.1.norm.weight", "c1"),
    _matrix(
        "audio_tower.subsample_conv_projection.input_proj_linear", "a.input_projection", "hidden", "subsampled"
    ),
    _matrix("audio_tower.output_proj", "a.pre_encode.out", "output", "hidden"),
    _plain("audio_tower.output_proj.bias", "a.pre_encode.out.bias", "output"),
    _matrix("embed_audio.embedding_projection", "mm.a.input_projection", "text", "output"),
)
AUDIO_LAYER_ROWS = (
    _plain("feed_forward1.pre_layer_norm.weight", "ffn_norm.weight", "hidden"),
    *_clippable("feed_forward1.ffw_layer_1", "ffn_up", "mlp", "hidden"),
    *_clippable("feed_forward1.ffw_layer_2", "ffn_down", "hidden", "mlp"),
    _plain("feed_forward1.post_layer_norm.weight", "ffn_post_norm.weight", "hidden"),
    _plain("norm_pre_attn.weight", "attn_pre_norm.weight", "hidden"),
    *_clippable("self_attn.q_proj", "attn_q", "hidden", "hidden"),
    *_clippable("self_attn.k_proj", "attn_k", "hidden", "hidden"),
    *_clippable("self_attn.v_proj", "attn_v", "hidden", "hidden"),
    _matrix("self_attn.relative_k_proj", "attn_k_rel", "hidden", "hidden"),
    Row(
        "self_attn.per_dim_scale", "per_dim_scale.weight", ("head",), Storage.PLAIN, change=Change.SOFTPLUS
    ),
    *_clippable("self_attn.post", "attn_out", "hidden", "hidden"),
    _plain("norm_post_attn.weight", "attn_post_norm.weight", "hidden"),
    _plain("lconv1d.pre_layer_norm.weight", "conv_norm.weight", "hidden"),
    *_clippable("lconv1d.linear_start", "conv_pw1", "glu", "hidden"),
    Row(
        "lconv1d.depthwise_conv1d.weight", "conv_dw.weight", ("hidden", "kernel"), Storage.PLAIN,
        source_shape=("hidden", 1, "kernel"),
    ),
    _plain("lconv1d.conv_norm.weight", "norm_conv.weight", "hidden"),
    *_clippable("lconv1d.linear_end", "conv_pw2", "hidden", "hidden"),
    _plain("feed_forward2.pre_layer_norm.weight", "ffn_norm_1.weight", "hidden"),
    *_clippable("feed_forward2.ffw_layer_1", "ffn_up_1", "mlp", "hidden"),
    *_clippable("feed_forward2.ffw_layer_2", "ffn_down_1", "hidden", "mlp"),
    _plain("feed_forward2.post_layer_norm.weight", "ffn_post_norm_1.weight", "hidden"),
    _plain("norm_out.weight", "ln2.weight", "hidden"),
)  # fmt: skip


def _unified(part: str, target: str, *shape: Symbol, change: Change = Change.NONE, matrix: bool = False) -> Row:
    """A tensor of the unified image embedder: vision_embedder.* in checkpoints, embed_vision.* in memory."""
    return Row(
        f"vision_embedder.{part}", target, shape, Storage.MATRIX if matrix else Storage.PLAIN,
        change=change, aliases=(f"embed_vision.{part}",),
    )  # fmt: skip


UNIFIED_VISION_ROWS = (
    _unified("patch_ln1.weight", "v.patch_norm.1.weight", "patch_values", change=Change.PATCH_CHW),
    _unified("patch_ln1.bias", "v.patch_norm.1.bias", "patch_values", change=Change.PATCH_CHW),
    _unified(
        "patch_dense.weight", "v.patch_embd.weight", "hidden", "patch_values",
        change=Change.PATCH_CHW, matrix=True,
    ),
    _unified("patch_dense.bias", "v.patch_embd.bias", "hidden"),
    _unified("patch_ln2.weight", "v.patch_norm.2.weight", "hidden"),
    _unified("patch_ln2.bias", "v.patch_norm.2.bias", "hidden"),
    Row(
        "vision_embedder.pos_embedding", "v.position_embd.weight", (2, "positions", "hidden"), Storage.PLAIN,
        change=Change.SWAP_FIRST, source_shape=("positions", 2, "hidden"),
        aliases=("embed_vision.pos_embedding",),
    ),
    _unified("pos_norm.weight", "v.patch_norm.3.weight", "hidden"),
    _unified("pos_norm.bias", "v.patch_norm.3.bias", "hidden"),
    Row(
        "embed_vision.embedding_projection.weight", "mm.input_projection.weight", ("text", "hidden"),
        Storage.MATRIX, aliases=("embed_vision.multimodal_embedder.embedding_projection.weight",),
    ),
)  # fmt: skip
UNIFIED_AUDIO_ROWS = (
    _matrix("embed_audio.embedding_projection", "mm.a.input_projection", "text", "output"),
)


def tower_tensors(config: TowerConfig) -> list[TensorRule]:
    """Every tensor of the projector file, in its order."""
    rules: list[TensorRule] = []
    if config.vision is not None:
        rules += _vision_tensors(config.vision, config.text_hidden)
    if config.audio is not None:
        rules += _audio_tensors(config.audio, config.text_hidden)
    return rules


def _vision_tensors(vision: VisionConfig, text_hidden: int) -> list[TensorRule]:
    unified = vision.projector == "gemma4uv"
    side = vision.patch * vision.pooling if unified else vision.patch
    sizes = {
        "text": text_hidden,
        "hidden": vision.hidden,
        "patch": side,
        "patch_values": 3 * side * side,
        "positions": vision.positions,
        "mlp": vision.mlp,
        "head": vision.hidden // max(1, vision.heads),
    }
    facts = {"always"} | ({"clipped"} if vision.clipped else set())
    facts |= {"standardize"} if vision.standardize else set()
    rules = expand(UNIFIED_VISION_ROWS if unified else VISION_ROWS, sizes, facts, "", "")
    for layer in range(vision.layers):
        source = f"vision_tower.encoder.layers.{layer}."
        rules += expand(VISION_LAYER_ROWS, sizes, facts, source, f"v.blk.{layer}.")
    return rules


def _audio_tensors(audio: AudioConfig, text_hidden: int) -> list[TensorRule]:
    unified = audio.projector == "gemma4ua"
    sizes = {
        "text": text_hidden,
        "hidden": audio.hidden,
        "output": audio.output,
        "mlp": audio.mlp,
        "glu": 2 * audio.hidden,
        "head": audio.hidden // max(1, audio.heads),
        "kernel": audio.kernel,
        "c0": audio.channels[0],
        "c1": audio.channels[1],
        "subsampled": audio.features // 4 * audio.channels[1],
    }
    facts = {"always"} | ({"clipped"} if audio.clipped else set())
    rules = expand(UNIFIED_AUDIO_ROWS if unified else AUDIO_ROWS, sizes, facts, "", "")
    for layer in range(audio.layers):
        source = f"audio_tower.layers.{layer}."
        rules += expand(AUDIO_LAYER_ROWS, sizes, facts, source, f"a.blk.{layer}.")
    return rules


def belongs_to_towers(name: str) -> bool:
    """Whether `name` (without the checkpoint's prefix) is of vision or audio, and no buffer that is computed."""
    ours = r"(vision_tower|embed_vision|vision_embedder|audio_tower|embed_audio)\."
    computed = r"(.*\.)?(inv_freq|original_inv_freq|inv_timescales|softcap)"
    return re.match(ours, name) is not None and re.fullmatch(computed, name) is None
