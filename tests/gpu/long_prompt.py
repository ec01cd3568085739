"""A long prompt on a device: finite, the same in chunks as in one step, in the memory that was planned.

    python tests/gpu/long_prompt.py FILE [--tokens 100000] [--device cuda]

Chunks and one step differ by where sums are rounded to bfloat16. The bound is what that rounding itself does on this
file: the distance of bf16 mode from float32 mode, measured on a short prompt. The logits compared are those of
positions spread over the whole prompt. Exits with 1 when anything does not hold.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from numpy.typing import NDArray

from g4cpp import _core
from g4cpp.eval.distances import nmse

SHORT = 2048
CHUNK = 1024
CONTEXT_BYTES = 700 << 20  # the driver's context and code, which no plan counts


def vocabulary(file: _core.GgufFile) -> int:
    return next(t.shape[0] for t in file.tensors() if t.name == "token_embd.weight")


def free_memory(device: str) -> int:
    return next(d.memory_available for d in _core.devices() if d.name == device)


def logits(file: _core.GgufFile, device: str, compute: str, ids: list[int], micro_batch: int) -> NDArray[np.float32]:
    """At positions spread over `ids`, [positions, n_vocab]."""
    before = free_memory(device)
    engine = _core.Engine(file, device=device, compute=compute, n_ctx=len(ids) + 1, micro_batch=micro_batch)
    positions = np.unique(np.geomspace(1, len(ids), 24).astype(int) - 1)
    began = time.perf_counter()
    rows = engine.logits(ids, positions.tolist())
    seconds = time.perf_counter() - began
    used, planned = before - free_memory(device), engine.memory_plan.total
    print(
        f"{compute}, {len(ids)} tokens by {micro_batch}: {seconds:.2f} s, {len(ids) / seconds:.0f} tok/s, "
        f"{used / 1e9:.2f} GB used, {planned / 1e9:.2f} GB planned"
    )
    if used > planned + CONTEXT_BYTES:
        sys.exit(f"more memory than planned: {used} of {planned} bytes")
    if not np.isfinite(rows).all():
        sys.exit(f"{compute} by {micro_batch}: logits that are not finite")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    file = _core.GgufFile(options.file)
    ids = [2, *np.random.default_rng(1).integers(10, vocabulary(file), options.tokens - 1).tolist()]
    short = ids[:SHORT]
    floor = nmse(logits(file, options.device, "bf16", short, SHORT), logits(file, options.device, "f32", short, SHORT))
    chunked = logits(file, options.device, "bf16", ids, CHUNK)
    whole = logits(file, options.device, "bf16", ids, options.tokens)
    found = nmse(chunked, whole)
    print(f"chunks against one step: NMSE {found:.3g}, bound {floor:.3g} (bf16 against f32)")
    if found > floor:
        sys.exit("chunks and one step differ by more than bfloat16's rounding")


if __name__ == "__main__":
    main()
