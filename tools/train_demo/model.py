"""The demo model: transformers' Gemma 4 text classes at 14 M parameters, and a training attention without masks.

Every structural feature of E2B is here: per-layer embeddings, KV-shared layers with double-wide MLPs, sliding and
global layers of different head sizes, proportional RoPE, layer scalars, final softcap. sqrt(320) is not a bf16
number, so a missing rounding of the embedding scale shows. The last two layers with keys of their own are a sliding
and a global one, as in every published Gemma 4: other engines rely on it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import AttentionInterface, Gemma4ForCausalLM, Gemma4TextConfig

WINDOW = 256
LAYER_TYPES = (["sliding_attention"] * 2 + ["full_attention"]) * 4
ATTENTION = "local_window"


def config(vocab_size: int = 4096, context: int = 131_072) -> Gemma4TextConfig:
    return Gemma4TextConfig(
        vocab_size=vocab_size,
        vocab_size_per_layer_input=vocab_size,
        hidden_size=320,
        hidden_size_per_layer_input=32,
        intermediate_size=512,
        num_hidden_layers=len(LAYER_TYPES),
        layer_types=LAYER_TYPES,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        global_head_dim=128,
        num_kv_shared_layers=3,
        use_double_wide_mlp=True,
        sliding_window=WINDOW,
        max_position_embeddings=context,
        final_logit_softcapping=30.0,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        tie_word_embeddings=True,
    )


def windowed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float = 1.0,
    sliding_window: int | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention of a whole sequence, [batch, heads, length, size] -> [batch, length, heads, size].

    Global layers: one causal flash call. Sliding layers: blocks of one window, each against itself and the block before
    it, under one small mask; the length is a multiple of the window (or at most one window).
    """
    batch, heads, length, size = query.shape
    if not sliding_window or length <= sliding_window:
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
        return out.transpose(1, 2), None
    groups = heads // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    later = length // sliding_window - 1

    def blocks(x: torch.Tensor) -> torch.Tensor:  # [batch * later, heads, window, size]
        x = x.reshape(batch, heads, later, sliding_window, size).transpose(1, 2)
        return x.reshape(batch * later, heads, sliding_window, size)

    def with_previous(x: torch.Tensor) -> torch.Tensor:
        return torch.cat((blocks(x[:, :, :-sliding_window]), blocks(x[:, :, sliding_window:])), dim=2)

    at = torch.arange(sliding_window, device=query.device)[:, None]
    behind = at + sliding_window - torch.arange(2 * sliding_window, device=query.device)
    inside = (behind >= 0) & (behind < sliding_window)
    rest = F.scaled_dot_product_attention(
        blocks(query[:, :, sliding_window:]), with_previous(key), with_previous(value), attn_mask=inside, scale=scaling
    )
    rest = rest.view(batch, later, heads, sliding_window, size).transpose(2, 3).reshape(batch, -1, heads, size)
    start = (x[:, :, :sliding_window] for x in (query, key, value))
    first = F.scaled_dot_product_attention(*start, is_causal=True, scale=scaling)
    return torch.cat((first.transpose(1, 2), rest), dim=1), None


AttentionInterface.register(ATTENTION, windowed_attention)


@torch.no_grad()
def build(settings: Gemma4TextConfig, seed: int = 0) -> Gemma4ForCausalLM:
    """A fresh float32 model: unit residual stream, attention logits small enough to learn from."""
    torch.manual_seed(seed)
    model = Gemma4ForCausalLM(settings)
    for label, parameter in model.named_parameters():
        if label.endswith(("q_norm.weight", "k_norm.weight")):
            parameter.fill_(0.5)  # logits within +-16 (sliding) and +-32 (global), spread 2 to 3
        elif "post_" in label and label.endswith("norm.weight"):
            parameter.fill_(0.25)
        elif "embed_tokens_per_layer" in label:
            parameter.normal_(std=settings.hidden_size_per_layer_input**-0.5)
        elif "embed_tokens" in label:
            parameter.normal_(std=settings.hidden_size**-0.5)
        elif parameter.dim() == 2:
            parameter.normal_(std=0.7 * parameter.shape[1] ** -0.5)
    layers = model.model.layers
    for index, layer in enumerate(layers):  # fixed, and not 1: engines must apply them
        layer.layer_scalar.fill_(1 - 0.25 * index / len(layers))
    return model


def hidden_states(model: Gemma4ForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """The final norm's output [batch, length, hidden] for whole sequences."""
    masks = {"full_attention": None, "sliding_attention": None}
    out = model.model(input_ids=ids, attention_mask=masks, use_cache=False, shared_kv_states={})
    return out.last_hidden_state


def token_losses(model: Gemma4ForCausalLM, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross entropy of every position, float32; the softcap is applied to unrounded logits."""
    cap = model.config.final_logit_softcapping
    logits = cap * torch.tanh(F.linear(hidden, model.lm_head.weight).float() / cap)
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none").view(targets.shape)
