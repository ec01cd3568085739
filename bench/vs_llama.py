"""Prefill and decode of one model in this engine and in llama.cpp, by turns in one run: medians and their ratio.

    python bench/vs_llama.py [-m MODEL.gguf] [--threads T] [--prefill 512] [--decode 64] [--depth 0] [--repeat 5]
                             [--no-skip] [--json]

Without -m, the demo model; a file without a vocabulary will do. Random tokens, batch 1. Ours is the loop that
generate runs (embedding, full logits, sampling); llama.cpp runs with its defaults (float16 cache, weights
repacked), flash attention and one batch for the prompt, and takes the likeliest token. Prefill counts the
prompt, from an empty cache to the first token chosen; decode the tokens after it, behind `depth` others, which
are computed once: each further run goes on where the last ended. The engines' runs alternate, so that a busy
machine slows both alike. --no-skip: without the KV-shared skip.
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

from g4cpp import _core
from g4cpp.benchmark import Runner
from g4cpp.demo import demo_model
from g4cpp.files import open_gguf

Run = Callable[[], float]
"""Seconds of one run."""


def our_runs(runner: Runner, engine: _core.Engine, prompt: list[int], n_decode: int, depth: int) -> dict[str, Run]:
    context = repeated(prompt, depth)

    def decode() -> float:
        nonlocal context
        seconds = runner.seconds_after(context, n_decode)
        context = engine.tokens if depth else context
        return seconds

    return {"prefill": lambda: runner.seconds("prefill", len(prompt)), "decode": decode}


def peer_runs(peer: LlamaPeer, prompt: list[int], n_decode: int, depth: int) -> dict[str, Run]:
    def prefill() -> float:
        peer.reset()
        began = time.perf_counter()
        peer.append(prompt).argmax()
        return time.perf_counter() - began

    def decode() -> float:
        if not depth or peer.n_past < depth:
            peer.reset()
            peer.append(repeated(prompt, depth))
        token = prompt[0]
        began = time.perf_counter()
        for _ in range(n_decode):
            token = int(peer.append([token]).argmax())
        return time.perf_counter() - began

    return {"prefill": prefill, "decode": decode}


def repeated(prompt: list[int], depth: int) -> list[int]:
    """What stands in the context before a decode: one token at least."""
    return (prompt * (depth // len(prompt) + 1))[: max(depth, 1)]


def measure(
    path: Path, n_prefill: int, n_decode: int, depth: int, repeat: int, threads: int | None, skip: bool
) -> dict[str, Any]:
    """One warm-up and `repeat` runs of each kind in each engine."""
    n_ctx = max(n_prefill, (n_decode + 1) * (repeat + 1) + depth) + 8
    load = os.getloadavg()[0]
    file = open_gguf(path)
    engine = _core.Engine(file, n_ctx=n_ctx, n_threads=threads or 0, kv_shared_skip=skip)
    source = random.Random(1)
    runner = Runner(file, engine, source)
    prompt = [source.randrange(engine.n_vocab) for _ in range(n_prefill)]
    with LlamaPeer(
        path,
        n_ctx=n_ctx,
        n_threads=engine.n_threads,
        micro_batch=max(512, n_prefill),
        precise=False,
        all_logits=False,
    ) as peer:
        ours, theirs = our_runs(runner, engine, prompt, n_decode, depth), peer_runs(peer, prompt, n_decode, depth)
        results = [
            compare(kind, tokens, ours[kind], theirs[kind], repeat)
            for kind, tokens in (("prefill", n_prefill), ("decode", n_decode))
        ]
    return {
        "model": str(path),
        "compute": engine.compute,
        "depth": depth,
        "threads": engine.n_threads,
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
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-skip", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if min(options.prefill, options.decode, options.repeat) < 1:
        parser.error("prefill, decode and repeat: at least 1 expected")
    path = options.model or demo_model()
    report = measure(
        path,
        options.prefill,
        options.decode,
        options.depth,
        options.repeat,
        options.threads,
        not options.no_skip,
    )
    print(json.dumps(report) if options.json else table(report))


if __name__ == "__main__":
    sys.exit(main())
