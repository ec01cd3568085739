"""Writes tests/data/goldens/KIND.npz: transformers' logits for checkpoints that tiny_checkpoint.py can make
again without torch.

    python make_goldens.py [KIND ...]

Needs torch and transformers (extra [parity]). Each file holds ids [tokens]; columns [16], the logits kept of
each row; f32 [tokens, 16]; bf16 [tokens, 16], the bits of the f32-attention reference's logits; floor, what
float64-accumulated products change of those (reference.py); digest of the weights.

The models are deep enough for rounding differences to near the floor, and the prompts cross the window of 16
twelve times.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tiny_checkpoint import GLOBAL, SLIDING, VOCAB, Tiny, make_tiny

FOLDER = Path(__file__).parents[1] / "data" / "goldens"
N_TOKENS, N_COLUMNS = 200, 16
DEEP: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 528, "num_hidden_layers": 12}
GOLDENS: dict[str, dict[str, Any]] = {
    "dense_e": DEEP | {"num_kv_shared_layers": 4, "layer_types": ([SLIDING] * 3 + [GLOBAL]) * 3},
    "dense_k": DEEP,
    "moe": DEEP | {"num_experts": 8, "moe_intermediate_size": 64},
    "gemma3": DEEP,
}


def make_checkpoint(kind: str, folder: Path) -> Tiny:
    return make_tiny(folder, kind, config=GOLDENS[kind], seed=1)


def digest(tiny: Tiny) -> str:
    """Of the weights as stored: another generator of random numbers would give another."""
    state = hashlib.sha256()
    for name, values in sorted(tiny.tensors.items()):
        state.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return state.hexdigest()


def make_golden(kind: str, folder: Path) -> dict[str, Any]:
    import torch
    from reference import Reference, float64_products, nmse

    tiny = make_checkpoint(kind, folder)
    random = np.random.default_rng(2)
    ids = [2, *random.integers(10, VOCAB, N_TOKENS - 1).tolist()]
    columns = np.sort(random.choice(VOCAB, N_COLUMNS, replace=False))
    f32 = Reference(tiny.folder, torch.float32).trace(ids)
    if any(routing.ties() for routing in f32.routing):
        sys.exit(f"{kind}: a router tie, choose another seed")
    half = Reference(tiny.folder, torch.bfloat16)
    bf16 = half.trace(ids).logits[:, columns]
    with float64_products():
        floor = nmse(half.trace(ids).logits[:, columns], bf16)
    bits = bf16.view(np.uint32) >> 16
    assert np.array_equal((bits << 16).view(np.float32), bf16)
    print(f"{kind}: floor {floor:.2e}, float32 {nmse(f32.logits[:, columns], bf16) / floor:.2f} floors")
    return {
        "ids": np.array(ids, np.int32),
        "columns": columns.astype(np.int32),
        "f32": f32.logits[:, columns],
        "bf16": bits.astype(np.uint16),
        "floor": floor,
        "digest": digest(tiny),
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for kind in sys.argv[1:] or GOLDENS:
        with tempfile.TemporaryDirectory() as folder:
            np.savez_compressed(FOLDER / f"{kind}.npz", **make_golden(kind, Path(folder)))
