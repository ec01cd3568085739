"""How values of the checkpoint differ from those of the file: what is added, moved or computed on the way.

Every change is computed in float32 (softplus in float64) on whole tensors or, where it goes value by value,
on any piece of one.
"""

from __future__ import annotations

import math
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FLOAT32_MAX = float(np.finfo(np.float32).max)


class Change(Enum):
    NONE = "as it is"
    ADD_ONE = "w + 1: Gemma 3 keeps RMSNorm weights as w"
    SOFTPLUS = "log(1 + e^w): the scale the audio attention multiplies queries with"
    BOUND = "infinity -> the largest float32: a bound that bounds nothing"
    PATCH_CHW = "the last dimension from rows of pixels of colours [p, p, 3] to colour planes [3, p, p]"
    SWAP_FIRST = "the first two dimensions swapped"


ELEMENTWISE = {Change.NONE, Change.ADD_ONE, Change.SOFTPLUS, Change.BOUND}


def changed(change: Change, values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """`values` (flat) of a tensor of `shape` (in the checkpoint) as the file has them, flat."""
    if change is Change.ADD_ONE:
        return values + np.float32(1)
    if change is Change.SOFTPLUS:
        return np.logaddexp(0.0, values.astype(np.float64)).astype(np.float32)
    if change is Change.BOUND:
        return np.clip(values, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)
    if change is Change.PATCH_CHW:
        side = math.isqrt(shape[-1] // 3)
        return np.ascontiguousarray(values.reshape(-1, side, side, 3).transpose(0, 3, 1, 2)).ravel()
    if change is Change.SWAP_FIRST:
        return np.ascontiguousarray(values.reshape(shape).swapaxes(0, 1)).ravel()
    return values
