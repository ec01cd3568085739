"""Random Gemma 4 checkpoints that see, and hear: checkpoints.py's text models with encoders beside them.

    python multimodal_checkpoints.py {multimodal_e,multimodal_k} FOLDER [--seed N]

multimodal_e is like E2B (clipped linears, audio), multimodal_k like 31B (standardized pooling, images alone). Same
kind and seed, same weights. Needs torch, transformers and tokenizers (extra [parity]).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from checkpoints import CHAT, CONTROL, KINDS, SHARED_SETTINGS, draw_weights, save_tokenizer

MULTIMODAL = ("multimodal_e", "multimodal_k")
TOKEN = {text: id for id, text in enumerate([*CONTROL, *CHAT])}
TOKEN_IDS = {
    "boi_token_id": TOKEN["<|image>"], "eoi_token_id": TOKEN["<image|>"], "image_token_id": TOKEN["<|image|>"],
    "boa_token_id": TOKEN["<|audio>"], "eoa_token_index": TOKEN["<audio|>"], "audio_token_id": TOKEN["<|audio|>"],
    "video_token_id": TOKEN["<|video|>"],
}  # fmt: skip
VISION: dict[str, dict[str, Any]] = {
    "e": {
        "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 3,
        "num_key_value_heads": 3, "head_dim": 64, "use_clipped_linears": True,
    },
    "k": {
        "hidden_size": 288, "intermediate_size": 1072, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 4, "head_dim": 72, "standardize": True,
    },
}  # fmt: skip
AUDIO = {"hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4, "output_proj_dims": 384}


def make_multimodal(kind: str, out_dir: Path, seed: int = 7) -> Path:
    """Writes a bfloat16 checkpoint with its tokenizer into `out_dir` and returns that."""
    import torch
    from transformers import (
        Gemma4AudioConfig,
        Gemma4Config,
        Gemma4ForConditionalGeneration,
        Gemma4TextConfig,
        Gemma4VisionConfig,
    )

    family = kind[-1]
    torch.manual_seed(seed)
    config = Gemma4Config(
        text_config=Gemma4TextConfig(**SHARED_SETTINGS, **KINDS["dense_" + family]),
        vision_config=Gemma4VisionConfig(**VISION[family]),
        audio_config=Gemma4AudioConfig(**AUDIO) if family == "e" else None,
        **TOKEN_IDS,
    )
    model = Gemma4ForConditionalGeneration(config).eval()
    draw_weights(model, seed, overflow=False)
    with torch.no_grad():
        for name, buffer in model.named_buffers():  # clipping and standardizing that do something
            if name.endswith(("input_min", "output_min")):
                buffer.fill_(-6.0)
            elif name.endswith(("input_max", "output_max")):
                buffer.fill_(6.0)
            elif name.endswith("std_scale"):
                buffer.fill_(0.75)
    model.to(torch.bfloat16).save_pretrained(out_dir)
    save_tokenizer(out_dir)
    return Path(out_dir)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a random Gemma 4 checkpoint with encoders.")
    parser.add_argument("kind", choices=MULTIMODAL)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    print(make_multimodal(options.kind, options.folder, options.seed))
