"""What the comparisons with llama.cpp share: prompts of random ids, our logits, the measure of error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g4cpp import Model


def random_ids(path: Path, count: int, first: int, seed: int = 0) -> list[int]:
    """BOS, then ids from `first` (past the special tokens) to the end of the file's vocabulary."""
    from gguf import GGUFReader

    n_vocab = int(next(t for t in GGUFReader(path).tensors if t.name == "token_embd.weight").shape[1])
    return [2, *np.random.default_rng(seed).integers(first, n_vocab, count - 1).tolist()]


def our_logits(path: Path, ids: list[int], compute: str) -> NDArray[np.float32]:
    """[len(ids), n_vocab]."""
    with Model(path, compute=compute, n_ctx=len(ids)) as model:
        return model.logits(ids)


def nmse(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Squared error over squared size, row by row in float64 (the whole may be a gigabyte)."""
    error = size = 0.0
    for row, reference in zip(found, expected, strict=True):
        exact = reference.astype(np.float64)
        error += float(np.sum((row - exact) ** 2))
        size += float(np.sum(exact**2))
    return error / size


def row_nmse(found: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float64]:
    """[rows]: each row's squared error over its squared size."""
    exact = expected.astype(np.float64)
    return np.asarray(((found - exact) ** 2).sum(axis=1) / (exact**2).sum(axis=1))
