"""The engine's sampling: what it reads of the logits must not change what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_gguf import KINDS

from g4cpp import _core

Tiny = Callable[..., Path]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.0},
        {"top_k": 256, "top_p": 1.0, "temperature": 3.0},
        {"top_k": 300, "top_p": 1.0, "temperature": 3.0},
        {"top_k": 0},
        {"top_k": 20, "min_p": 0.01, "repetition_penalty": 1.2, "presence_penalty": 0.3, "suppress": [30, 31]},
        {"top_k": 5, "logit_bias": {40: 4.0, 41: -3.0}},
        {"top_k": 1, "repetition_penalty": 0.5},
    ],
)
def test_sampling_reads_what_decides(tiny: Tiny, kind: str, options: dict[str, Any]) -> None:
    """The engine may look at the best logits only; a twin that is given the whole row draws the same."""
    model = _core.Engine(_core.GgufFile(str(tiny(kind))), n_ctx=256, n_threads=1)
    ours, twin = (_core.Sampler(seed=3, **options) for _ in range(2))
    model.prefill([2, *range(30, 50)])
    for _ in range(30):
        token = model.sample(ours)
        best = model.sample(_core.Sampler(temperature=0.0))
        row = model.last_logits()
        assert twin.sample(row) == token
        assert best == int(np.argmax(row))
        ours.accept(token)
        twin.accept(token)
        model.decode(token)
