"""Engine.work, what bench relates its figures to, against a count over the file's tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_gguf import GLOBAL_DIM, HEAD_DIM, HEADS, KINDS, WINDOW

from g4cpp import _core

EXPERTS, TOP_K = 8, 2
SHARED = 3  # of dense_e's six layers


@pytest.mark.parametrize("kind", KINDS)
def test_work_of_a_step(tiny: Callable[..., Path], kind: str) -> None:
    file = _core.GgufFile(str(tiny(kind)))
    engine = _core.Engine(file, compute="f32", n_threads=1)
    depth = 100
    elements, layers, keys = 0.0, 0, 0
    for tensor in file.tensors():
        name, shape = tensor.name, tensor.shape
        layer = int(name.split(".")[1]) if name.startswith("blk.") else -1
        shared = kind == "dense_e" and layer >= 6 - SHARED
        if name.endswith("attn_k.weight"):
            layers += 1
            sliding = (layer + 1) % (6 if kind == "gemma3" else 3) != 0
            seen = min(WINDOW, depth + 1) if sliding else depth + 1
            keys += seen * shape[0]  # of all heads of the layer whose cache this one reads
        if len(shape) == 3:
            elements += shape[0] * shape[1] * shape[2] * TOP_K / EXPERTS
        elif len(shape) == 2 and "per_layer_token_embd" not in name and not (shared and name[-8] in "kv"):
            elements += shape[0] * shape[1]
    n_bytes, multiply_adds = engine.work(1, depth)
    assert n_bytes == 4 * elements + 2 * 4 * keys
    one_key = [HEAD_DIM if kind == "gemma3" or (i + 1) % 3 else GLOBAL_DIM for i in range(layers)]
    assert engine.work(1)[1] == elements + 2 * HEADS * sum(one_key)
    assert multiply_adds > engine.work(1)[1]
