"""The shipped demo model as a Hugging Face checkpoint: its GGUF file decoded by the `gguf` package, config.json from
its keys. So transformers computes with the very weights that ship, and nothing of this engine had a part in it.

Needs gguf and safetensors (extra [test]).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize
from safetensors.numpy import save_file

OUTER = {
    "token_embd": "embed_tokens",
    "per_layer_token_embd": "embed_tokens_per_layer",
    "per_layer_model_proj": "per_layer_model_projection",
    "per_layer_proj_norm": "per_layer_projection_norm",
    "output_norm": "norm",
}
INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
    "inp_gate": "per_layer_input_gate",
    "proj": "per_layer_projection",
    "post_norm": "post_per_layer_input_norm",
}


def write_checkpoint(file: Path, folder: Path) -> Path:
    """config.json and float32 model.safetensors of a dense Gemma 4 GGUF file, into `folder`."""
    reader = GGUFReader(file)
    config = _config({name: field.contents() for name, field in reader.fields.items()})
    (folder / "config.json").write_text(json.dumps(config))
    weights = {
        _name(tensor.name): np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
        for tensor in reader.tensors
        if tensor.name != "rope_freqs.weight"  # 1 for the pairs that rotate: transformers computes them
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _name(name: str) -> str:
    parts = name.removesuffix(".weight").split(".")
    if parts[0] != "blk":
        return f"model.{OUTER[parts[0]]}.weight"
    if parts[2] == "layer_output_scale":
        return f"model.layers.{parts[1]}.layer_scalar"
    return f"model.layers.{parts[1]}.{INNER[parts[2]]}.weight"


def _config(keys: dict[str, Any]) -> dict[str, Any]:
    def get(key: str) -> Any:
        return keys[f"gemma4.{key}"]

    sliding, widths = get("attention.sliding_window_pattern"), get("feed_forward_length")
    vocab = len(keys["tokenizer.ggml.tokens"])
    return {
        "architectures": ["Gemma4ForCausalLM"],
        "model_type": "gemma4_text",
        "vocab_size": vocab,
        "vocab_size_per_layer_input": vocab,
        "hidden_size": get("embedding_length"),
        "hidden_size_per_layer_input": get("embedding_length_per_layer_input"),
        "intermediate_size": widths[0],
        "use_double_wide_mlp": widths[-1] == 2 * widths[0],
        "num_hidden_layers": get("block_count"),
        "layer_types": ["sliding_attention" if local else "full_attention" for local in sliding],
        "num_attention_heads": get("attention.head_count"),
        "num_key_value_heads": get("attention.head_count_kv"),
        "head_dim": get("attention.key_length_swa"),
        "global_head_dim": get("attention.key_length"),
        "num_kv_shared_layers": get("attention.shared_kv_layers"),
        "sliding_window": get("attention.sliding_window"),
        "max_position_embeddings": get("context_length"),
        "rms_norm_eps": get("attention.layer_norm_rms_epsilon"),
        "final_logit_softcapping": get("final_logit_softcapping"),
        "rope_parameters": {
            "full_attention": {
                "rope_type": "proportional",
                "rope_theta": get("rope.freq_base"),
                "partial_rotary_factor": 0.25,
            },
            "sliding_attention": {"rope_type": "default", "rope_theta": get("rope.freq_base_swa")},
        },
        "bos_token_id": keys["tokenizer.ggml.bos_token_id"],
        "eos_token_id": keys["tokenizer.ggml.eos_token_id"],
        "pad_token_id": keys["tokenizer.ggml.padding_token_id"],
        "tie_word_embeddings": True,
    }
