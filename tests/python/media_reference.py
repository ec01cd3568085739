"""transformers on media: random whole models that see and hear, and its processor.

multimodal_e is like E2B (vision with clipped linears, audio), multimodal_k like 31B (vision with standardize). Weights
are drawn as in checkpoints.py. Needs torch and transformers (extra [parity]); no torchvision, hence no video processor.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from checkpoints import KINDS, SHARED_SETTINGS, draw_weights, save_tokenizer
from multimodal_checkpoints import AUDIO, TOKEN_IDS, VISION

MARKS = {
    "image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>",
    "audio_token": "<|audio|>", "boa_token": "<|audio>", "eoa_token": "<audio|>",
}  # fmt: skip
SMALLER: dict[str, dict[str, Any]] = {"dense_e": {}, "dense_k": {"num_hidden_layers": 6}}
TWO_LAYERS = {"num_hidden_layers": 2}
BOUND = 6.0


def make_multimodal(kind: str, out_dir: Path, template: str, seed: int = 7) -> Path:
    """Writes a bfloat16 checkpoint with its tokenizer and template into `out_dir` and returns that."""
    text = "dense_" + kind[-1]
    torch.manual_seed(seed)
    config = transformers.Gemma4Config(
        text_config=transformers.Gemma4TextConfig(**(SHARED_SETTINGS | KINDS[text] | SMALLER[text])),
        vision_config=transformers.Gemma4VisionConfig(**(VISION[kind[-1]] | TWO_LAYERS)),
        audio_config=transformers.Gemma4AudioConfig(**(AUDIO | TWO_LAYERS)) if kind == "multimodal_e" else None,
        **TOKEN_IDS,
    )
    model = transformers.Gemma4ForConditionalGeneration(config).eval()
    draw_weights(model, seed, overflow=False)
    random = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith(("input_min", "output_min", "input_max", "output_max")):
                buffer.fill_(-BOUND if name.endswith("min") else BOUND)
            elif name.endswith(("std_bias", "std_scale")):
                noise = torch.rand(buffer.shape, generator=random)
                buffer.copy_(noise + 0.5 if name.endswith("scale") else 2 * noise - 1)
    model.to(torch.bfloat16).save_pretrained(out_dir)
    save_tokenizer(out_dir)
    (out_dir / "chat_template.jinja").write_text(template)
    return out_dir


def make_processor(folder: Path, template: str) -> Any:
    """The Gemma4Processor of a checkpoint's tokenizer; its videos are not processed."""
    from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
    from transformers.models.gemma4.processing_gemma4 import Gemma4Processor

    class Processor(Gemma4Processor):  # type: ignore[misc]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return type(argument)

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, extra_special_tokens=MARKS)
    sound = transformers.Gemma4AudioFeatureExtractor()
    return Processor(sound, Gemma4ImageProcessorPil(), tokenizer, SimpleNamespace(), chat_template=template)
