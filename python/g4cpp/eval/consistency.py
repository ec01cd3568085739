"""An engine against itself: chunks, cache, ring edges and going back must not change what comes out.

Each check runs in the setting and in float32 mode, where nothing but a fault can make two ways differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from g4cpp.eval.blame import Yardsticks
from g4cpp.eval.cells import Blame, Cell
from g4cpp.eval.distances import Rows, kl_divergence
from g4cpp.eval.divergence import EXACT_LIMIT, ROUNDED_LIMIT
from g4cpp.eval.settings import Engines, Setting
from g4cpp.generation import poll

if TYPE_CHECKING:
    from g4cpp import _core

Pair = tuple[Rows, Rows, str]
"""Rows as computed one way, the same another way, and what was done."""


def chunked(engines: Engines, setting: Setting, ids: Sequence[int]) -> Pair:
    """Pieces that do not divide the window against as large pieces as the device likes."""
    piece = max(3, engines.window // 4 + 3)
    rows = range(len(ids) - 64, len(ids))
    small = engines.get(replace(setting, micro_batch=piece)).logits(ids, rows, poll)
    return small, engines.get(setting).logits(ids, rows, poll), f"in pieces of {piece} tokens and at once"


def cache(engines: Engines, setting: Setting, ids: Sequence[int]) -> Pair:
    """The last tokens decoded one by one against the same computed as a prompt."""
    engine = engines.get(setting)
    wanted = engine.logits(ids, range(len(ids) - 32, len(ids)), poll)
    engine.reset()
    engine.prefill(ids[:-32], poll)
    return _decoded(engine, ids[-32:]), wanted, "the last 32 tokens decoded and recomputed"


def ring_edge(engines: Engines, setting: Setting, ids: Sequence[int]) -> Pair:
    """Decoding across the window's end, twice: where a ring wraps and where it has wrapped."""
    engine, window = engines.get(setting), min(engines.window, len(ids) // 2 - 8)
    found: list[Rows] = []
    positions: list[int] = []
    for edge in (window, 2 * window):
        engine.reset()
        engine.prefill(ids[: edge - 6], poll)
        found.append(_decoded(engine, ids[edge - 6 : edge + 6]))
        positions += range(edge - 6, edge + 6)
    return np.concatenate(found), engine.logits(ids, positions, poll), f"decoded across {window} and {2 * window}"


def going_back(engines: Engines, setting: Setting, ids: Sequence[int]) -> Pair:
    """A prompt, an answer longer than the window, then back to the prompt and on another way: prefix reuse."""
    engine, window = engines.get(setting), min(engines.window, len(ids) // 2)
    cut = len(ids) - 40
    engine.reset()
    engine.prefill(ids[:cut], poll)
    engine.snapshot()
    _decoded(engine, ids[: min(window + 8, engine.n_ctx - cut)])
    engine.prefill(ids, poll)
    found = engine.last_logits()[None]
    return found, engine.logits(ids, [len(ids) - 1], poll), f"after {window + 8} other tokens back to position {cut}"


CHECKS: dict[str, Callable[[Engines, Setting, Sequence[int]], Pair]] = {
    "chunked prefill": chunked,
    "cache against recompute": cache,
    "ring edge": ring_edge,
    "going back": going_back,
}


def consistency_cells(yardsticks: Yardsticks, name: str, ids: Sequence[int]) -> Iterator[Cell]:
    """The check in the setting and, where that is another, in float32 mode."""
    engines, setting = yardsticks.engines, yardsticks.setting
    settings = [setting] if yardsticks.is_exact else [setting, setting.exact()]
    for one in settings:
        found, wanted, what = CHECKS[name](engines, one, ids)
        limit = EXACT_LIMIT if engines.resolved(one).compute == "f32" else ROUNDED_LIMIT
        value = float(np.max(kl_divergence(wanted, found)))
        passed = value <= limit
        blame = None if passed else Blame("engine", f"the same tokens, {what}, give other logits")
        yield Cell("consistency", name, one.label, len(ids), value, passed, limit=f"<= {limit:g} nats",
                   detail=what, blame=blame)  # fmt: skip


def _decoded(engine: _core.Engine, ids: Sequence[int]) -> Rows:
    rows = []
    for token in ids:
        engine.decode(token, poll)
        rows.append(engine.last_logits())
    return np.stack(rows)
