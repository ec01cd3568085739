"""Teaches the demo model to see and to hear: a Gemma 4 vision and an audio tower for the text model as it ships.

    python media.py --corpus FOLDER --text demo-q8_0.gguf --out FOLDER --vision 90,150 --audio 120

FOLDER is media_corpus.py's. The text model is frozen: the towers learn soft tokens at which it gives the right answers.
--vision and --audio are seconds: of pictures of 70 soft tokens, of pictures of 70 to 280, and of clips. Every minute,
and at the end, OUT holds a checkpoint that `g4cpp convert OUT --no-text --mmproj FILE` reads (towers alone) and
metrics.json, accuracies on typefaces and voices that were held out.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from media_data import SOUNDS, Batches
from media_pictures import COLOURS, THINGS
from media_text import load_text, load_tokenizer
from media_towers import AUDIO, VISION, Tower, draw_weights
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader
from transformers import Gemma4AudioConfig, Gemma4Config, Gemma4VisionConfig
from transformers.models.gemma4.modeling_gemma4 import Gemma4AudioModel, Gemma4MultimodalEmbedder, Gemma4VisionModel

RATE, WARMUP_STEPS, DECAY = 2e-3, 150, 0.1
HELPER_WEIGHT = 0.3  # of the classes read off the soft tokens' mean, which teach a tower before the text model does
SAVE_SECONDS = 60
PREFIXES = {
    "image": ("model.vision_tower.", "model.embed_vision."),
    "audio": ("model.audio_tower.", "model.embed_audio."),
}  # of the checkpoint's names


def make_optimizers(tower: Tower, device: str) -> list[torch.optim.Optimizer]:
    """Muon, with updates as large as Adam's, for the layers' matrices, Adam for all else."""
    inner = [p for name, p in tower.named_parameters() if p.dim() == 2 and "layers." in name]
    outer = [p for name, p in tower.named_parameters() if p.dim() > 1 and not (p.dim() == 2 and "layers." in name)]
    vectors = [p for p in tower.parameters() if p.dim() <= 1]
    groups = [{"params": outer, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return [
        torch.optim.Muon(inner, lr=RATE, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), fused=device == "cuda"),
    ]


class Trainer:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.device = options, options.device
        torch.manual_seed(0)
        self.tokenizer = load_tokenizer(options.text)
        self.text = load_text(options.text, torch.bfloat16 if options.bf16 else torch.float32)
        self.text.to(self.device).eval().requires_grad_(False)
        self.config = Gemma4Config(
            text_config=self.text.config,
            vision_config=Gemma4VisionConfig(**VISION),
            audio_config=Gemma4AudioConfig(**AUDIO),
            **{
                f"{role}": self.tokenizer.token_to_id(token)
                for role, token in {
                    "boi_token_id": "<|image>", "eoi_token_id": "<image|>", "image_token_id": "<|image|>",
                    "boa_token_id": "<|audio>", "eoa_token_index": "<audio|>", "audio_token_id": "<|audio|>",
                    "video_token_id": "<|video|>",
                }.items()
            },
        )  # fmt: skip
        vision, audio, text = self.config.vision_config, self.config.audio_config, self.text.config
        vision._attn_implementation, audio._attn_implementation, text._attn_implementation = "sdpa", "eager", "sdpa"
        self.towers = {
            "image": Tower(
                "image", Gemma4VisionModel(vision), Gemma4MultimodalEmbedder(vision, text), vision.hidden_size,
                (len(COLOURS), len(THINGS)),
            ),
            "audio": Tower(
                "audio", Gemma4AudioModel(audio), Gemma4MultimodalEmbedder(audio, text), audio.output_proj_dims,
                (len(SOUNDS),),
            ),
        }  # fmt: skip
        before = load_file(options.resume) if options.resume else {}
        for name, tower in self.towers.items():
            draw_weights(tower)
            for module, prefix in zip((tower.tower, tower.embedder), PREFIXES[name], strict=True):
                known = {key.removeprefix(prefix): value for key, value in before.items() if key.startswith(prefix)}
                module.load_state_dict(known or module.state_dict())
            tower.to(self.device)
        self.metrics: dict[str, Any] = {"log": []}
        self.saved = time.time()

    def train(self, name: str, phases: list[tuple[float, tuple[int, ...], int]]) -> None:
        """Phases of (seconds, budgets, rows); the rate falls to nothing over all of them."""
        tower, whole, before, step = self.towers[name], sum(phase[0] for phase in phases), 0.0, 0
        seen = 0
        optimizers = make_optimizers(tower, self.device)
        for seconds, budgets, rows in phases:
            start = time.time()
            for batch in self._batches(name, budgets, rows, seed=step + 1, held=False):
                passed = time.time() - start
                if passed >= seconds:
                    break
                progress = (before + passed) / whole
                scale = min(1.0, (step + 1) / WARMUP_STEPS) * (0.01 + 0.99 * math.cos(progress * math.pi / 2) ** 2)
                for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                    group["lr"] = RATE * scale
                loss, helped = self._losses(tower, batch)
                (loss + HELPER_WEIGHT * helped).backward()
                norm = nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
                for optimizer in optimizers:
                    if torch.isfinite(norm):
                        optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                step, seen = step + 1, seen + rows
                if step % 50 == 0 or step == 1:
                    line = {
                        "medium": name, "step": step, "seconds": round(before + passed, 1),
                        "loss": round(loss.item(), 4), "helpers": round(helped.item(), 4),
                    }  # fmt: skip
                    self.metrics["log"].append(line)
                    if step % 200 == 0 or step == 1:
                        print(json.dumps(line), flush=True)
                if time.time() - self.saved > SAVE_SECONDS:
                    self.save()
            before += seconds
        self.metrics[f"{name}_steps"], self.metrics[f"{name}_rows"] = step, seen

    def _batches(self, name: str, budgets: tuple[int, ...], rows: int, seed: int, held: bool) -> Any:
        batches = Batches(name, self.options.corpus, self.tokenizer, rows, seed, held)
        batches.budgets = budgets
        workers = self.options.workers
        return DataLoader(batches, batch_size=None, num_workers=workers, pin_memory=self.device == "cuda",
                          prefetch_factor=2 if workers else None)  # fmt: skip

    def _predict(self, tower: Tower, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Any]:
        """Logits and targets of the answers' tokens, which rows they are of, the helpers' logits."""
        ids, answers = (batch[key].to(self.device, non_blocking=True) for key in ("ids", "answers"))
        start, n_soft = batch["soft"]
        with torch.autocast(self.device, torch.bfloat16, enabled=self.options.bf16):
            soft, helped = tower(batch, self.device)
        model = self.text.model
        hard = model.embed_tokens(ids)
        whole = torch.cat((hard[:, :start], soft.to(hard.dtype), hard[:, start + n_soft :]), 1)
        length, window = ids.shape[1], self.text.config.sliding_window
        behind = torch.arange(length, device=ids.device)[:, None] - torch.arange(length, device=ids.device)
        seen = {"full_attention": behind >= 0, "sliding_attention": (behind >= 0) & (behind < window)}
        out = model(
            inputs_embeds=whole, per_layer_inputs=model.get_per_layer_inputs(ids, None), use_cache=False,
            attention_mask={kind: mask[None, None] for kind, mask in seen.items()},
        ).last_hidden_state  # fmt: skip
        asked = answers[:, 1:]
        cap = self.text.config.final_logit_softcapping
        logits = cap * torch.tanh(self.text.lm_head(out[:, :-1][asked]).float() / cap)
        return logits, ids[:, 1:][asked], asked, helped

    def _losses(self, tower: Tower, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        logits, targets, _, helped = self._predict(tower, batch)
        classes = batch["classes"].to(self.device)
        known = sum(F.cross_entropy(logit.float(), classes[:, place]) for place, logit in enumerate(helped))
        return F.cross_entropy(logits, targets), torch.as_tensor(known)

    @torch.no_grad()
    def evaluate(self, name: str, budgets: tuple[int, ...], batches: int) -> float:
        """Share of held-out conversations whose every answer token is the most likely one."""
        tower, right, rows = self.towers[name].eval(), 0, 0
        for number, batch in enumerate(self._batches(name, budgets, self.options.rows, seed=-1, held=True)):
            if number == batches:
                break
            logits, targets, asked, _ = self._predict(tower, batch)
            wrong = torch.zeros_like(asked)
            wrong[asked] = logits.argmax(-1) != targets
            right, rows = right + int((~wrong.any(1)).sum()), rows + len(wrong)
        tower.train()
        return right / rows

    def save(self) -> None:
        state = {}
        for name, tower in self.towers.items():
            for module, prefix in zip((tower.tower, tower.embedder), PREFIXES[name], strict=True):
                state |= {prefix + key: value for key, value in module.state_dict().items()}
        out = self.options.out
        save_file({key: value.float().cpu().contiguous() for key, value in state.items()}, out / "model.part",
                  metadata={"format": "pt"})  # fmt: skip
        (out / "model.part").rename(out / "model.safetensors")
        config = self.config.to_dict() | {"architectures": ["Gemma4ForConditionalGeneration"]}
        (out / "config.json").write_text(json.dumps(config, indent=1))
        (out / "metrics.json").write_text(json.dumps(self.metrics, indent=1))
        self.saved = time.time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--corpus", "--text", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--vision", default="90,150", help="seconds of the two phases")
    parser.add_argument("--audio", default="120", help="seconds")
    parser.add_argument("--resume", type=Path, help="model.safetensors of an earlier run, to go on from")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--eval-batches", type=int, default=16)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available())
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(options)
    small, mixed = (float(seconds) for seconds in options.vision.split(","))
    rows = options.rows  # small pictures and clips leave room for more
    plan = {
        "audio": [(float(options.audio), (280,), 2 * rows)],
        "image": [(small, (70,), 2 * rows), (mixed, (70, 140, 280, 280, 280), rows)],
    }
    for name, phases in plan.items():
        trainer.train(name, [phase for phase in phases if phase[0] > 0])
        for budget in dict.fromkeys(phases[-1][1]):
            key = f"{name}_held_out" if name == "audio" else f"{name}_held_out_{budget}"
            trainer.metrics[key] = trainer.evaluate(name, (budget,), options.eval_batches)
            print(key, trainer.metrics[key], flush=True)
        trainer.save()


if __name__ == "__main__":
    main()
