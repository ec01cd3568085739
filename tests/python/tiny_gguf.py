"""Tiny GGUF files with random weights and a small tokenizer, written by the `gguf` package: no torch, no code
of ours.

Kinds: dense_e (per-layer embeddings, shared KV layers, double-wide MLP, as E2B), dense_k (K = V on global
layers, as 31B), moe (as 26B-A4B), gemma3 (SentencePiece vocabulary). Scales keep activations and attention
logits near unit size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

Array = NDArray[Any]
SPECIAL = [
    "<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|turn>", "<turn|>", "<|channel>", "<channel|>",
    "<|think|>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>",
    "<|tool_response>", "<tool_response|>", '<|"|>',
]  # fmt: skip
MEDIA_MARKS = ["<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>", "<|video|>"]
SPECIAL_GEMMA3 = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
WORDS = [
    "▁the",
    "▁a",
    "▁and",
    "▁hello",
    "▁world",
    "▁thought",
    "thought",
    "model",
    "user",
    "system",
    "ing",
    "tion",
    "er",
]
NORMAL, CONTROL, USER_DEFINED, BYTE = 1, 3, 4, 6
HIDDEN, HEADS, HEAD_DIM, GLOBAL_DIM, WINDOW = 64, 4, 32, 64, 16
KINDS = ("dense_e", "dense_k", "moe", "gemma3")


@dataclass
class Vocabulary:
    tokens: list[str]
    types: list[int]
    merges: list[str] = field(default_factory=list)

    def id(self, text: str) -> int:
        return self.tokens.index(text)


def vocabulary(kind: str, media: bool = False) -> Vocabulary:
    """Special tokens, 256 bytes, the printable ASCII characters, a few Greek ones, and WORDS with the merges
    to them; `media` adds the marks of images, audio and video at the end."""
    special = SPECIAL_GEMMA3 if kind == "gemma3" else SPECIAL
    user_defined = {"<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", '<|"|>'}
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [USER_DEFINED if text in user_defined else CONTROL for text in special] + [BYTE] * 256
    pieces = ["\n", "▁", *(chr(code) for code in range(33, 127)), *"αβγδε"]
    merges: dict[str, None] = {}
    for word in WORDS:
        left = word[0]
        for right in word[1:]:
            merges[f"{left} {right}"] = None
            left += right
            if left not in pieces:
                pieces.append(left)
    marks = MEDIA_MARKS if media else []
    return Vocabulary(
        tokens + pieces + marks, types + [NORMAL] * len(pieces) + [CONTROL] * len(marks), list(merges)
    )


def write_tiny(
    path: Path,
    kind: str = "dense_e",
    *,
    seed: int = 7,
    fmt: str = "F32",
    n_ctx: int = 512,
    template: str | None = None,
    with_vocabulary: bool = True,
    with_tensors: bool = True,
    media: bool = False,
    extra: Mapping[str, Any] | None = None,
    edit: Mapping[str, Array] | None = None,
) -> Path:
    """Writes one file. `extra` adds keys (int, float, str, list of int); `edit` replaces tensors by name."""
    arch = "gemma3" if kind == "gemma3" else "gemma4"
    writer = gguf.GGUFWriter(str(path), arch)
    vocab = vocabulary(kind, media)
    shapes = _Shapes(kind, len(vocab.tokens))
    _write_keys(writer, shapes, n_ctx)
    if with_vocabulary:
        _write_vocabulary(writer, kind, vocab, template)
    else:
        writer.add_uint32(f"{arch}.vocab_size", len(vocab.tokens))
        writer.add_tokenizer_model("none")
    for key, value in (extra or {}).items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_int32(key, value)
    if with_tensors:
        weights = {**shapes.weights(np.random.default_rng(seed)), **(edit or {})}
        for name, values in weights.items():
            _add_tensor(writer, name, values.astype(np.float32), fmt)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


class _Shapes:
    """What the kinds differ in, and from it every tensor."""

    def __init__(self, kind: str, n_vocab: int) -> None:
        self.kind, self.n_vocab = kind, n_vocab
        self.gemma3 = kind == "gemma3"
        self.arch = "gemma3" if self.gemma3 else "gemma4"
        self.n_layers = 7 if self.gemma3 else 6
        # Gemma 3 files carry no pattern: every sixth layer is global. Here every third of the others.
        self.sliding = [(layer + 1) % (6 if self.gemma3 else 3) != 0 for layer in range(self.n_layers)]
        self.ple = 32 if kind == "dense_e" else 0
        self.n_shared = 3 if kind == "dense_e" else 0
        self.k_is_v = kind in ("dense_k", "moe")
        self.ff = [
            128 * (2 if layer >= self.n_layers - self.n_shared else 1) for layer in range(self.n_layers)
        ]
        self.kv = [(2 if sliding else 1) if self.k_is_v else 1 for sliding in self.sliding]
        self.experts, self.top_k, self.expert_ff = (8, 2, 32) if kind == "moe" else (0, 0, 0)

    def dim(self, layer: int) -> int:
        return HEAD_DIM if self.gemma3 or self.sliding[layer] else GLOBAL_DIM

    def weights(self, rng: np.random.Generator) -> dict[str, Array]:
        def matrix(*shape: int) -> Array:
            return np.asarray(rng.standard_normal(shape) * shape[-1] ** -0.5)

        def norm(size: int, scale: float = 1.0) -> Array:
            return (1 + 0.2 * rng.standard_normal(size)) * scale

        out = {"token_embd.weight": matrix(self.n_vocab, HIDDEN), "output_norm.weight": norm(HIDDEN, 8)}
        if not self.gemma3:
            quarter = GLOBAL_DIM // 8  # a quarter of the pairs rotates
            factors = [1.0] * quarter + [1e30] * (GLOBAL_DIM // 2 - quarter)
            out["rope_freqs.weight"] = np.array(factors)
        if self.ple:
            out["per_layer_token_embd.weight"] = matrix(self.n_vocab, self.n_layers * self.ple)
            out["per_layer_model_proj.weight"] = matrix(self.n_layers * self.ple, HIDDEN)
            out["per_layer_proj_norm.weight"] = norm(self.ple)
        for layer in range(self.n_layers):
            dim, kv, ff = self.dim(layer), self.kv[layer], self.ff[layer]
            # q.k has unit variance: Gemma 4 scales by 1, Gemma 3 by dim^-0.5.
            qk_scale = 1.0 if self.gemma3 else dim**-0.25
            block = {
                "attn_norm": norm(HIDDEN),
                "attn_q": matrix(HEADS * dim, HIDDEN),
                "attn_k": matrix(kv * dim, HIDDEN),
                "attn_output": matrix(HIDDEN, HEADS * dim),
                "attn_q_norm": norm(dim, qk_scale),
                "attn_k_norm": norm(dim, qk_scale),
                "post_attention_norm": norm(HIDDEN),
                "ffn_norm": norm(HIDDEN),
                "ffn_gate": matrix(ff, HIDDEN),
                "ffn_up": matrix(ff, HIDDEN),
                "ffn_down": matrix(HIDDEN, ff),
                "post_ffw_norm": norm(HIDDEN),
            }
            if not self.k_is_v or self.sliding[layer]:
                block["attn_v"] = matrix(kv * dim, HIDDEN)
            if not self.gemma3:
                block["layer_output_scale"] = 0.8 + 0.4 * rng.random(1)
            if self.ple:
                block |= {
                    "inp_gate": matrix(self.ple, HIDDEN),
                    "proj": matrix(HIDDEN, self.ple),
                    "post_norm": norm(HIDDEN),
                }
            if self.experts:
                block |= {
                    "ffn_gate_inp": matrix(self.experts, HIDDEN),
                    "ffn_gate_up_exps": matrix(self.experts, 2 * self.expert_ff, HIDDEN),
                    "ffn_down_exps": matrix(self.experts, HIDDEN, self.expert_ff),
                    "pre_ffw_norm_2": norm(HIDDEN),
                    "post_ffw_norm_1": norm(HIDDEN),
                    "post_ffw_norm_2": norm(HIDDEN),
                }
                out[f"blk.{layer}.ffn_gate_inp.scale"] = norm(HIDDEN)
                out[f"blk.{layer}.ffn_down_exps.scale"] = norm(self.experts)
            out |= {f"blk.{layer}.{name}.weight": values for name, values in block.items()}
        return out


def _write_keys(writer: gguf.GGUFWriter, shapes: _Shapes, n_ctx: int) -> None:
    arch = shapes.arch
    writer.add_name("tiny " + shapes.kind)
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(shapes.n_layers)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_sliding_window(WINDOW)
    writer.add_rope_freq_base(1e6)
    if shapes.gemma3:
        writer.add_feed_forward_length(shapes.ff[0])
        writer.add_head_count_kv(1)
        writer.add_key_length(HEAD_DIM)
        writer.add_value_length(HEAD_DIM)
        return
    writer.add_feed_forward_length(shapes.ff if shapes.n_shared else shapes.ff[0])
    writer.add_head_count_kv(shapes.kv)
    writer.add_key_length(GLOBAL_DIM)
    writer.add_value_length(GLOBAL_DIM)
    writer.add_uint32(f"{arch}.attention.key_length_swa", HEAD_DIM)
    writer.add_uint32(f"{arch}.attention.value_length_swa", HEAD_DIM)
    writer.add_array(f"{arch}.attention.sliding_window_pattern", shapes.sliding)
    writer.add_uint32(f"{arch}.attention.shared_kv_layers", shapes.n_shared)
    writer.add_uint32(f"{arch}.embedding_length_per_layer_input", shapes.ple)
    writer.add_rope_dimension_count(GLOBAL_DIM)
    writer.add_uint32(f"{arch}.rope.dimension_count_swa", HEAD_DIM)
    writer.add_float32(f"{arch}.rope.freq_base_swa", 1e4)
    writer.add_float32(f"{arch}.final_logit_softcapping", 30.0)
    if shapes.experts:
        writer.add_expert_count(shapes.experts)
        writer.add_expert_used_count(shapes.top_k)
        writer.add_uint32(f"{arch}.expert_feed_forward_length", shapes.expert_ff)


def _write_vocabulary(writer: gguf.GGUFWriter, kind: str, vocab: Vocabulary, template: str | None) -> None:
    writer.add_tokenizer_model("llama" if kind == "gemma3" else "gemma4")
    writer.add_token_list(vocab.tokens)
    writer.add_token_types(vocab.types)
    longer_first = [
        -1000.0 if type != NORMAL else float(len(text))
        for text, type in zip(vocab.tokens, vocab.types, strict=True)
    ]
    writer.add_token_scores(longer_first)
    if kind != "gemma3":
        writer.add_token_merges(vocab.merges)
    writer.add_bos_token_id(vocab.id("<bos>"))
    writer.add_eos_token_id(vocab.id("<eos>"))
    writer.add_unk_token_id(vocab.id("<unk>"))
    writer.add_pad_token_id(vocab.id("<pad>"))
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    if template is not None:
        writer.add_chat_template(template)


def _add_tensor(writer: gguf.GGUFWriter, name: str, values: Array, fmt: str) -> None:
    """Matrices in `fmt` (F32, F16, BF16, Q8_0, ...), norms, scales and the router in F32."""
    if values.ndim < 2 or "ffn_gate_inp" in name or fmt == "F32":
        writer.add_tensor(name, values)
        return
    dtype = GGMLQuantizationType[fmt]
    writer.add_tensor(name, gguf.quants.quantize(values, dtype), raw_dtype=dtype)
