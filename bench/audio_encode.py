"""Encoding a clip of audio with a tower of E2B's size, here and in transformers on the CPU, in one run.

    python bench/audio_encode.py [--frames 3000] [--threads 2] [--repeat 5] [--json]

The tower has random bfloat16 weights (tests/python/audio_towers.py); 3000 log-mel frames are 30 seconds and become
750 soft tokens. The engines take turns after one run each to warm up; figures are medians in milliseconds, with the
fastest and the slowest. Needs torch, transformers and gguf (extras [parity] and [test]).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from g4cpp import _core

HIDDEN = 1536  # of E2B's text model
PAUSE = 0.2  # seconds between turns: other engines' threads go to sleep


def engines(threads: int, folder: Path) -> dict[str, Callable[[Any], Any]]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "python"))
    import torch
    from audio_towers import FULL, random_tower, write_projector
    from transformers import Gemma4AudioConfig

    torch.set_num_threads(threads)
    tower = random_tower(Gemma4AudioConfig(**FULL), HIDDEN)
    file = _core.GgufFile(str(write_projector(tower, folder / "mmproj.gguf")))
    return {
        "g4cpp bf16": _core.MediaEncoder(file, device="cpu", compute="bf16", n_threads=threads).encode_audio,
        "transformers bf16": tower.to(torch.bfloat16).soft_tokens,
        "transformers f32": tower.soft_tokens,
    }


def measure(frames: int, threads: int, repeat: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a clip: median, least and most."""
    with tempfile.TemporaryDirectory() as folder:
        runners = engines(threads, Path(folder))
        from audio_towers import mel_frames

        clip = mel_frames(frames)
        times: dict[str, list[float]] = {name: [] for name in runners}
        results = {name: np.asarray(encode(clip)) for name, encode in runners.items()}
        exact = results["transformers f32"]
        for _ in range(repeat):
            for name, encode in runners.items():
                time.sleep(PAUSE)
                began = time.perf_counter()
                encode(clip)
                times[name].append(1e3 * (time.perf_counter() - began))
    return {
        name: {
            "median_ms": statistics.median(taken),
            "least_ms": min(taken),
            "most_ms": max(taken),
            "nmse": float(((results[name] - exact) ** 2).sum() / (exact**2).sum()),
        }
        for name, taken in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.frames, options.threads, options.repeat)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    ours = figures["g4cpp bf16"]["median_ms"]
    print(f"{options.frames} log-mel frames, {options.threads} threads, {options.repeat} turns")
    for name, row in figures.items():
        print(
            f"{name:20} {row['median_ms']:8.0f} ms ({row['least_ms']:.0f} to {row['most_ms']:.0f})"
            f"  {row['median_ms'] / ours:5.2f} x g4cpp bf16  NMSE to float32 {row['nmse']:.1e}"
        )


if __name__ == "__main__":
    main()
