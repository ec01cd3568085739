"""From the start of a process to its first token, and the memory it then holds, in this engine and in llama.cpp.

    python bench/cold_start.py -m MODEL.gguf [--threads T] [--prompt 512] [--repeat 3] [--json]

Each run is a new process that imports, loads the file (its pages are in the page cache after a run to warm up),
computes the prompt and takes the likeliest token; the engines take turns. Memory is what the process holds then:
anonymous (its own) and mapped from files (shared with the page cache). Any file with a model will do, a vocabulary
is not needed. Needs llama-cpp-python (extra [interop]).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ENGINES = ("g4cpp", "llama.cpp")


def first_token(engine: str, path: Path, n_prompt: int, threads: int) -> dict[str, float]:
    """Runs in the new process."""
    source = random.Random(1)
    prompt = [source.randrange(1000) for _ in range(n_prompt)]
    extra: dict[str, float] = {}
    if engine == "g4cpp":
        from g4cpp import _core
        from g4cpp.files import open_gguf

        ours = _core.Engine(open_gguf(path), n_ctx=n_prompt + 64, n_threads=threads)
        loaded = time.monotonic()
        ours.prefill(prompt)
        ours.last_logits().argmax()
        extra = {"planned_mb": ours.memory_plan.total / 1e6}
    else:
        from g4cpp.peers.llama_cpp import LlamaPeer

        peer = LlamaPeer(
            path,
            n_ctx=n_prompt + 64,
            n_threads=threads,
            micro_batch=max(512, n_prompt),
            precise=False,
            all_logits=False,
        )
        loaded = time.monotonic()
        peer.append(prompt).argmax()
    return {"loaded": loaded, "first_token": time.monotonic(), **resident(), **extra}


def resident() -> dict[str, float]:
    """Megabytes of this process in memory."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "anonymous_mb": int(fields["RssAnon"].split()[0]) * 1024 / 1e6,
        "mapped_mb": int(fields["RssFile"].split()[0]) * 1024 / 1e6,
    }


def run(engine: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "-m", options.model, "--threads", str(options.threads)]
    command += ["--prompt", str(options.prompt), "--child", engine]
    began = time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures | {"loaded": figures["loaded"] - began, "first_token": figures["first_token"] - began}


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Medians, after one warm-up of each engine."""
    runs: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
    for index in range(options.repeat + 1):
        for engine in ENGINES:
            figures = run(engine, options)
            if index:
                runs[engine].append(figures)
    return {
        engine: {key: statistics.median(one[key] for one in rows) for key in rows[0]} for engine, rows in runs.items()
    }


def table(report: dict[str, dict[str, float]], options: argparse.Namespace) -> str:
    name = Path(options.model).name
    lines = [f"{name}, {options.threads} threads, prompt of {options.prompt}, medians of {options.repeat}"]
    lines += [f"{'':10}{'loaded, s':>11}{'first token, s':>16}{'anonymous, MB':>15}{'mapped, MB':>12}"]
    for engine, row in report.items():
        lines.append(
            f"{engine:10}{row['loaded']:11.2f}{row['first_token']:16.2f}"
            f"{row['anonymous_mb']:15.0f}{row['mapped_mb']:12.0f}"
        )
    lines.append(f"g4cpp's memory plan: {report['g4cpp']['planned_mb']:.0f} MB")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        figures: Any = first_token(options.child, Path(options.model), options.prompt, options.threads)
        print(json.dumps(figures))
        return
    report = measure(options)
    print(json.dumps(report) if options.json else table(report, options))


if __name__ == "__main__":
    main()
