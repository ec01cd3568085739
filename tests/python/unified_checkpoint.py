"""A random Gemma 4 "unified" checkpoint, like 12B: no towers, pixels and samples are embedded directly.

    python unified_checkpoint.py FOLDER [--seed N]

The text model is checkpoints.py's dense_k without per-layer embeddings; images are embedded by 48 x 48
pixels over a width of 256, sound by 640 samples, as in the published model (readers take 640 for granted).
Same seed, same weights. Needs torch, transformers and tokenizers (extra [parity]).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checkpoints import K_IS_V, SHARED_SETTINGS, draw_weights, save_tokenizer
from multimodal_checkpoints import TOKEN_IDS

if TYPE_CHECKING:
    import torch

NO_SUCH_SETTINGS = ("hidden_size_per_layer_input", "vocab_size_per_layer_input")
TEXT: dict[str, Any] = {
    key: value
    for key, value in (SHARED_SETTINGS | K_IS_V | {"intermediate_size": 2560}).items()
    if key not in NO_SUCH_SETTINGS
}
VISION: dict[str, Any] = {"mm_embed_dim": 256, "output_proj_dims": 256, "mm_posemb_size": 1120}
AUDIO: dict[str, Any] = {"audio_embed_dim": 640}


def make_unified(out_dir: Path, seed: int = 7, **text: Any) -> Path:
    """Writes a bfloat16 checkpoint with its tokenizer into `out_dir` and returns that; `text` overrides
    settings of the text model.
    """
    import torch
    from transformers import (
        Gemma4UnifiedAudioConfig,
        Gemma4UnifiedConfig,
        Gemma4UnifiedForConditionalGeneration,
        Gemma4UnifiedTextConfig,
        Gemma4UnifiedVisionConfig,
    )

    torch.manual_seed(seed)
    config = Gemma4UnifiedConfig(
        text_config=Gemma4UnifiedTextConfig(**(TEXT | text)),
        vision_config=Gemma4UnifiedVisionConfig(**VISION),
        audio_config=Gemma4UnifiedAudioConfig(**AUDIO),
        **TOKEN_IDS,
    )
    model = Gemma4UnifiedForConditionalGeneration(config).eval()
    draw_weights(model, seed, overflow=False)
    draw_embedder(model, seed + 1)
    model.to(torch.bfloat16).save_pretrained(out_dir)
    save_tokenizer(out_dir)
    return Path(out_dir)


def draw_embedder(model: torch.nn.Module, seed: int) -> None:
    """The image embedder's norms and positions: weights near one, biases and positions that show."""
    import torch

    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            if name.endswith("pos_embedding"):
                parameter.copy_(0.5 * noise)
            elif ".patch_ln" in name or ".pos_norm." in name:
                parameter.copy_(0.3 * noise + (1 if name.endswith("weight") else 0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a random unified Gemma 4 checkpoint.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    print(make_unified(options.folder, options.seed))
