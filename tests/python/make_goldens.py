"""Writes tests/data/goldens/KIND.npz: what transformers computes for checkpoints that tiny_checkpoint.py can
make again without torch.

    python make_goldens.py [KIND ...]

Needs torch and transformers (extra [parity]). Each file holds
- ids [tokens]: the prompt, which crosses the window of 16 twice;
- columns [16]: the logits kept of each row, and f32 [tokens, 16] of the float32 model;
- bf16 [tokens, 16], hidden [layers + 1, tokens, hidden], routing [layers, tokens, k]: logits, every layer's
  input and the last one's output, and chosen experts of the f32-attention reference (reference.py), as bits;
- same_rows [layers]: the share of rows of each layer's output that stay the same to the last bit when the
  reference, on the same inputs, accumulates its products in float64;
- digest: of the weights.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tiny_checkpoint import VOCAB, Tiny, make_tiny

FOLDER = Path(__file__).parents[1] / "data" / "goldens"
KINDS = ("dense_e", "dense_k", "moe", "gemma3")
N_TOKENS, N_COLUMNS = 40, 16


def make_checkpoint(kind: str, folder: Path) -> Tiny:
    return make_tiny(folder, kind, seed=1)


def digest(tiny: Tiny) -> str:
    """Of the weights as stored: another generator of random numbers would give another."""
    state = hashlib.sha256()
    for name, values in sorted(tiny.tensors.items()):
        state.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return state.hexdigest()


def bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    high = values.view(np.uint32) >> 16
    assert np.array_equal((high << 16).view(np.float32), values), "the bfloat16 reference's values are bfloat16"
    return high.astype(np.uint16)


def make_golden(kind: str, folder: Path) -> dict[str, Any]:
    import torch
    from reference import Reference, float64_products, identical_rows

    tiny = make_checkpoint(kind, folder)
    random = np.random.default_rng(2)
    ids = [2, *random.integers(10, VOCAB, N_TOKENS - 1).tolist()]
    columns = np.sort(random.choice(VOCAB, N_COLUMNS, replace=False))
    f32 = Reference(tiny.folder, torch.float32).trace(ids)
    assert not any(routing.ties() for routing in f32.routing), "choose another seed"
    reference = Reference(tiny.folder, torch.bfloat16)
    bf16 = reference.trace(ids)
    assert np.array_equal(bf16.inputs[1:], bf16.outputs[:-1])
    with float64_products():
        same_rows = identical_rows(reference.trace(ids, bf16.inputs).outputs, bf16.outputs)
    print(kind, "same rows", same_rows)
    return {
        "ids": np.array(ids, np.int32),
        "columns": columns.astype(np.int32),
        "f32": f32.logits[:, columns],
        "bf16": bits(bf16.logits[:, columns]),
        "hidden": bits(np.concatenate([bf16.inputs, bf16.outputs[-1:]])),
        "routing": np.array([routing.chosen for routing in bf16.routing], np.uint8),
        "same_rows": same_rows,
        "digest": digest(tiny),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for kind in sys.argv[1:] or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            np.savez_compressed(FOLDER / f"{kind}.npz", **make_golden(kind, Path(folder)))
