"""Trains the demo model in timed stages, resumable, and exports it.

    python train.py --corpus corpus.txt.xz --tokenizer tok --work /tmp/demo \\
        --stages 2048:480,8192:60 --progress 0,0.5 [--resume | --weights model.safetensors] [--evaluate 8192]

A stage is LENGTH:SECONDS. --progress says which part of the whole training the stages are: the learning rate is a
function of it (flat, then falling linearly to almost nothing). --resume continues from WORK/state.pt (masters and
optimiser, 200 MB), --weights from an export alone (30 MB), with the optimiser's memory empty.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from data import ANSWER_WEIGHT, TEXT_WEIGHT, Batches, prepare
from evaluate import evaluate
from model import ATTENTION, build, config, hidden_states, token_losses
from optim import Optimizer
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from transformers import Gemma4ForCausalLM, GenerationConfig
from vocab import STOPS

TOKENS_PER_STEP = 131_072
WARMUP_STEPS = 60
FLAT_UNTIL = 0.5
FINAL_RATE = 0.02
CONTEXT = 131_072


def rate(progress: float, step: int) -> float:
    falling = 1.0 if progress < FLAT_UNTIL else 1 - (1 - FINAL_RATE) * (progress - FLAT_UNTIL) / (1 - FLAT_UNTIL)
    return falling * min(1.0, (step + 1) / WARMUP_STEPS)


def to_bfloat16(model: Gemma4ForCausalLM) -> None:
    """Parameters and layer scalars only: RoPE frequencies stay float32, as transformers loads them."""
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16()
    for layer in model.model.layers:
        layer.layer_scalar.data = layer.layer_scalar.data.bfloat16()


class Trainer:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = build(config(context=CONTEXT))
        if options.weights:
            self.model.load_state_dict(load_file(options.weights), strict=False)
        to_bfloat16(self.model)
        self.model.to(self.device).train()
        self.model.config._attn_implementation = ATTENTION
        self.optimizer = Optimizer(self.model)
        self.step, self.seen, self.log = 0, 0, []
        if options.resume:
            state = torch.load(options.work / "state.pt", map_location=self.device)
            self.optimizer.load(state["optimizer"])
            self.step, self.seen, self.log = state["step"], state["seen"], state["log"]
        self.losses = token_losses
        if options.compile:
            torch._dynamo.config.recompile_limit = 64
            torch._dynamo.config.suppress_errors = True
            for layer in self.model.model.layers:
                layer.compile(dynamic=False)
            self.losses = torch.compile(token_losses, dynamic=False)

    def run(self) -> None:
        first, last = self.options.progress
        total = sum(seconds for _, seconds in self.options.stages)
        done = 0.0
        for length, seconds in self.options.stages:
            span = (first + (last - first) * done / total, first + (last - first) * (done + seconds) / total)
            self._stage(length, seconds, span)
            done += seconds

    def _stage(self, length: int, seconds: float, span: tuple[float, float]) -> None:
        rows = max(1, self.options.tokens_per_step // length)
        batches = Batches(self.options.work, self.options.tokenizer, length, rows, seed=self.step)
        loader = DataLoader(
            batches, batch_size=None, num_workers=self.options.workers, pin_memory=self.device == "cuda",
            prefetch_factor=4 if self.options.workers else None,
        )  # fmt: skip
        start = mark = time.time()
        sums, counted = torch.zeros(4, device=self.device), 0
        for number, (ids, weights) in enumerate(loader):
            passed = (time.time() - start) / seconds
            if passed >= 1 or number == self.options.max_steps:
                break
            scale = rate(span[0] + (span[1] - span[0]) * passed, self.step)
            sums += self._update(
                ids.to(self.device, non_blocking=True), weights.to(self.device, non_blocking=True), scale
            )
            self.step, self.seen, counted = self.step + 1, self.seen + ids.numel(), counted + ids.numel()
            if self.step % 25 == 0 or number < 2:
                text, texts, answer, answers = sums.tolist()
                line = {
                    "step": self.step, "length": length, "tokens": self.seen, "rate": round(scale, 4),
                    "text_loss": round(text / max(texts, 1), 4), "answer_loss": round(answer / max(answers, 1), 4),
                    "tokens_per_second": round(counted / (time.time() - mark)),
                }  # fmt: skip
                self.log.append(line)
                if self.step % 100 == 0 or number < 2:
                    print(json.dumps(line), flush=True)
                sums, counted, mark = torch.zeros_like(sums), 0, time.time()

    def _update(self, ids: torch.Tensor, weights: torch.Tensor, scale: float) -> torch.Tensor:
        """One step; sums of the losses and counts of text and answer tokens."""
        losses = self.losses(self.model, hidden_states(self.model, ids)[:, :-1], ids[:, 1:])
        weights = weights[:, 1:]
        loss = (losses * weights).sum() / weights.sum().clamp(min=1)
        loss.backward()
        self.optimizer.step(scale)
        with torch.no_grad():
            text, answer = weights == TEXT_WEIGHT, weights == ANSWER_WEIGHT
            return torch.stack([(losses * text).sum(), text.sum(), (losses * answer).sum(), answer.sum()])

    def save(self) -> None:
        """WORK/state.pt to resume from, and the export in WORK/model: weights, config, generation config."""
        state = {"optimizer": self.optimizer.state(), "step": self.step, "seen": self.seen, "log": self.log}
        torch.save(state, self.options.work / "state.pt")
        self.model.config.dtype = torch.bfloat16
        folder = self.options.work / "model"
        self.model.generation_config = GenerationConfig(
            bos_token_id=2, pad_token_id=0, eos_token_id=STOPS, do_sample=True, temperature=0.8, top_p=0.95, top_k=64
        )
        self.model.save_pretrained(folder)
        (self.options.work / "log.json").write_text("\n".join(json.dumps(line) for line in self.log) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--stages", type=lambda s: [(int(a), float(b)) for a, b in (p.split(":") for p in s.split(","))]
    )
    parser.add_argument("--progress", type=lambda s: tuple(map(float, s.split(","))), default=(0.0, 1.0))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--evaluate", type=int, default=0, metavar="LONGEST")
    parser.add_argument("--quick", action="store_true", help="evaluate with few prompts")
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--tokens-per-step", type=int, default=TOKENS_PER_STEP)
    parser.add_argument("--max-steps", type=int, default=math.inf)
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    options = parser.parse_args()
    start = time.time()
    if not (options.work / "train.bin").exists():
        print("tokens", prepare(options.corpus, options.tokenizer, options.work, max(1, options.workers)), flush=True)
    trainer = Trainer(options)
    print(f"{sum(p.numel() for p in trainer.model.parameters())} parameters, {time.time() - start:.0f} s", flush=True)
    if options.stages:
        trainer.run()
        trainer.save()
        print(f"saved after {time.time() - start:.0f} s", flush=True)
    if options.evaluate:
        trainer.model.eval()
        torch.compiler.set_stance("force_eager")  # prompts come in too many shapes to compile for
        report = evaluate(
            trainer.model, options.tokenizer, options.work, trainer.device, options.evaluate, not options.quick
        )
        (options.work / "metrics.json").write_text(json.dumps(report, indent=1))
        print(json.dumps(report), f"{time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
