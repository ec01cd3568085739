"""How far two models' predictions lie apart, and at which positions of a long text to look.

Everything in float64 on rows of logits [rows, vocabulary].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Figures = NDArray[np.float64]


def log_softmax(rows: NDArray[Any]) -> Figures:
    """Log probabilities of each row."""
    wide = np.asarray(rows, np.float64)
    shifted = wide - wide.max(-1, keepdims=True)
    result: Figures = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def kl_divergence(reference: Rows, other: Rows) -> Figures:
    """KL(reference || other) of each row in nats; NaN where either is not finite."""
    p, q = log_softmax(reference), log_softmax(other)
    result: Figures = (np.exp(p) * (p - q)).sum(-1)
    return result


def top_1_agreement(reference: Rows, other: Rows) -> float:
    """The share of rows whose likeliest token is the same."""
    return float((reference.argmax(-1) == other.argmax(-1)).mean())


def nmse(values: NDArray[Any], reference: NDArray[Any]) -> float:
    """Squared error over the reference's squared size."""
    a, b = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    return float(((a - b) ** 2).sum() / (b**2).sum())


def row_nmse(values: NDArray[Any], reference: NDArray[Any]) -> Figures:
    """nmse along the last axis."""
    a, b = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    result: Figures = ((a - b) ** 2).sum(-1) / (b**2).sum(-1)
    return result


def losses(rows: Rows, targets: NDArray[np.int64]) -> Figures:
    """-log p(target) of each row, in nats."""
    picked: Figures = -log_softmax(rows)[np.arange(len(targets)), targets]
    return picked


def landmarks(length: int, window: int) -> list[int]:
    """Powers of two from 64 on, the window's end, the last position: where faults of rope, masks and rings show."""
    powers = {2**k for k in range(6, length.bit_length()) if 2**k < length}
    return sorted({*powers, min(window, length), length} - {0})


def rows_around(mark: int, length: int, half: int = 8) -> list[int]:
    """The positions from `half` before `mark` to `half` after it that a text of `length` tokens has."""
    return list(range(max(0, mark - half), min(length, mark + half)))
