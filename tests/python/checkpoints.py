"""Random Gemma 4 checkpoints of three kinds, small but deep, for comparison with transformers.

    python checkpoints.py {dense_e,dense_k,moe} FOLDER [--seed N] [--overflow]

dense_e is like E2B (per-layer embeddings, shared keys and values, double-wide MLP), dense_k like 31B (K = V
on global layers), moe like 26B-A4B. The weights are drawn so that activations and attention logits have
about unit size, as trained ones do: with plain random weights attention is near one-hot, and a comparison
would measure chaos. `overflow` enlarges the MLP's gate and up projections until a float16 product of them
is infinite.

Same kind and seed, same weights. The tokenizer is trained on this Python's standard library.
Needs torch, transformers and tokenizers (extra [parity]).
"""

from __future__ import annotations

import argparse
import sysconfig
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

VOCAB = 4096
CONTROL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
CHAT = [
    "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>", "<|tool>", "<tool|>", "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>", "<tool_response|>", '<|"|>', "<|image>", "<|image|>", "<image|>", "<|audio>",
    "<|audio|>",
    "<audio|>", "<|video|>",
]  # fmt: skip
SHARED_SETTINGS: dict[str, Any] = {
    "vocab_size": VOCAB, "vocab_size_per_layer_input": VOCAB, "final_logit_softcapping": 30.0,
    "sliding_window": 128,
    "head_dim": 64, "global_head_dim": 128, "num_attention_heads": 8,
}  # fmt: skip
K_IS_V: dict[str, Any] = {
    "hidden_size": 640, "hidden_size_per_layer_input": 0, "num_hidden_layers": 12, "num_key_value_heads": 4,
    "num_global_key_value_heads": 2, "attention_k_eq_v": True, "use_bidirectional_attention": "vision",
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "dense_e": {
        "hidden_size": 512, "hidden_size_per_layer_input": 64, "intermediate_size": 2048,
        "num_hidden_layers": 15,
        "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 3, "num_key_value_heads": 1,
        "num_kv_shared_layers": 5, "use_double_wide_mlp": True,
    },
    "dense_k": K_IS_V | {"intermediate_size": 2560},
    "moe": K_IS_V | {
        "intermediate_size": 512, "enable_moe_block": True, "num_experts": 32, "top_k_experts": 4,
        "moe_intermediate_size": 256,
    },
}  # fmt: skip
OVERFLOW_FACTOR = 120.0


def make_checkpoint(kind: str, out_dir: Path, seed: int = 7, overflow: bool = False) -> Path:
    """Writes a bfloat16 checkpoint with its tokenizer into `out_dir` and returns that."""
    import torch
    from transformers import Gemma4ForCausalLM, Gemma4TextConfig

    torch.manual_seed(seed)
    model = Gemma4ForCausalLM(Gemma4TextConfig(**SHARED_SETTINGS, **KINDS[kind])).eval()
    draw_weights(model, seed, overflow)
    model.to(torch.bfloat16).save_pretrained(out_dir)
    save_tokenizer(out_dir)
    return Path(out_dir)


def draw_weights(model: torch.nn.Module, seed: int, overflow: bool) -> None:
    """Fills every parameter and layer scalar from one generator, in the order the model names them."""
    import torch

    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(scaled(name, torch.randn(parameter.shape, generator=random)))
            if overflow and name.endswith(("gate_proj.weight", "up_proj.weight")):
                parameter.mul_(OVERFLOW_FACTOR)
        for name, buffer in model.named_buffers():
            if name.endswith("layer_scalar"):
                buffer.fill_(0.8 + 0.4 * torch.rand(1, generator=random).item())


def scaled(name: str, noise: torch.Tensor) -> torch.Tensor:
    """`noise` (unit normal) with the spread the parameter `name` would have in a trained model."""
    if name.endswith(("q_norm.weight", "k_norm.weight")):
        return (1 + 0.2 * noise) * noise.numel() ** -0.25  # q . k then has unit variance at attention scale 1
    if "norm" in name or name.endswith(("router.scale", "per_expert_scale")):
        # the last norm is wide enough for the softcap to bend the logits
        return (1 + 0.3 * noise) * (8 if name.endswith("model.norm.weight") else 1)
    if noise.dim() >= 2:
        return noise * noise[0].numel() ** -0.5
    return 0.1 * noise


def save_tokenizer(out_dir: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    roles = {f"{text[1:-1]}_token": text for text in CONTROL}
    PreTrainedTokenizerFast(tokenizer_object=trained_tokenizer(), **roles).save_pretrained(out_dir)


@cache
def trained_tokenizer() -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[^\n]+|\n+"), "isolated")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    special = [*CONTROL, *CHAT, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=special, show_progress=False, max_token_length=16
    )
    texts = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:120]
    tokenizer.train([str(path) for path in texts], trainer)
    return tokenizer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a random Gemma 4 checkpoint.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--overflow", action="store_true")
    options = parser.parse_args()
    print(make_checkpoint(options.kind, options.folder, options.seed, options.overflow))
