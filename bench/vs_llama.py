"""Prefill and decode of one model in this engine and in llama.cpp, by turns in one run: medians and their ratio.

    python bench/vs_llama.py [-m MODEL.gguf] [--threads T] [--prefill 512] [--decode 64] [--repeat 5] [--json]

Without -m, the demo model. Random tokens, batch 1. Ours is Model.generate's own loop (embedding, full logits,
sampling); llama.cpp runs with its defaults (float16 cache, flash attention where it chooses, weights repacked)
and takes the likeliest token. Prefill counts the prompt, from an empty cache to the first token chosen;
decode the tokens after it. The two engines' runs alternate, so that a busy machine slows both alike.
Needs llama-cpp-python (extra [interop]).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llama_peer import LlamaPeer

from g4cpp import Model
from g4cpp.demo import demo_model

Run = Callable[[], float]
"""Seconds of one run."""


def our_runs(model: Model, prompt: list[int], n_decode: int) -> dict[str, Run]:
    def generate(ids: list[int], n_tokens: int) -> Any:
        model.reset()
        return model.generate(ids, max_tokens=n_tokens, ignore_eos=True, seed=1).timings

    return {
        "prefill": lambda: float(generate(prompt, 1).prefill_seconds),
        "decode": lambda: float(generate(prompt[:1], n_decode + 1).decode_seconds),
    }


def peer_runs(peer: LlamaPeer, prompt: list[int], n_decode: int) -> dict[str, Run]:
    def prefill() -> float:
        peer.reset()
        began = time.perf_counter()
        peer.append(prompt).argmax()
        return time.perf_counter() - began

    def decode() -> float:
        peer.reset()
        token = int(peer.append(prompt[:1]).argmax())
        began = time.perf_counter()
        for _ in range(n_decode):
            token = int(peer.append([token]).argmax())
        return time.perf_counter() - began

    return {"prefill": prefill, "decode": decode}


def measure(path: Path, n_prefill: int, n_decode: int, repeat: int, threads: int | None) -> dict[str, Any]:
    """One warm-up and `repeat` runs of each kind in each engine."""
    n_ctx = max(n_prefill, n_decode) + 8
    load = os.getloadavg()[0]
    with Model(path, n_ctx=n_ctx, n_threads=threads) as model:
        info = model.info
        source = random.Random(1)
        prompt = [source.randrange(info.n_vocab) for _ in range(n_prefill)]
        with LlamaPeer(path, n_ctx=n_ctx, n_threads=info.n_threads, precise=False, all_logits=False) as peer:
            ours, theirs = our_runs(model, prompt, n_decode), peer_runs(peer, prompt, n_decode)
            results = [
                compare(kind, tokens, ours[kind], theirs[kind], repeat)
                for kind, tokens in (("prefill", n_prefill), ("decode", n_decode))
            ]
    return {
        "model": str(path),
        "compute": info.compute,
        "threads": info.n_threads,
        "machine": processor(),
        "load_average": [load, os.getloadavg()[0]],
        "repeat": repeat,
        "results": results,
    }


def compare(kind: str, tokens: int, ours: Run, theirs: Run, repeat: int) -> dict[str, Any]:
    seconds = [(ours(), theirs()) for _ in range(repeat + 1)][1:]
    our_speed, peer_speed = (tokens / statistics.median(column) for column in zip(*seconds, strict=True))
    return {
        "kind": kind,
        "tokens": tokens,
        "ours_tokens_per_second": our_speed,
        "llama_tokens_per_second": peer_speed,
        "ratio": our_speed / peer_speed,
        # Of a pair's two neighbours in time: what the load changes between pairs drops out.
        "ratio_of_pairs": statistics.median(their_time / our_time for our_time, their_time in seconds),
        "seconds": seconds,
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def table(report: dict[str, Any]) -> str:
    before, after = report["load_average"]
    lines = [
        f"{Path(report['model']).name} on {report['machine']}, {report['threads']} threads, "
        f"{report['compute']} mode, medians of {report['repeat']}, load average {before:.1f} to {after:.1f}",
        f"{'':14}{'g4cpp tok/s':>14}{'llama.cpp tok/s':>18}{'ratio':>8}{'of pairs':>10}",
    ]
    for row in report["results"]:
        lines.append(
            f"{row['kind']} {row['tokens']:<6}".ljust(14)
            + f"{row['ours_tokens_per_second']:14.1f}{row['llama_tokens_per_second']:18.1f}"
            + f"{row['ratio']:8.2f}{row['ratio_of_pairs']:10.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-m", "--model", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if min(options.prefill, options.decode, options.repeat) < 1:
        parser.error("prefill, decode and repeat: at least 1 expected")
    path = options.model or demo_model()
    report = measure(path, options.prefill, options.decode, options.repeat, options.threads)
    print(json.dumps(report) if options.json else table(report))


if __name__ == "__main__":
    sys.exit(main())
