"""KL divergence to a yardstick at log-spaced positions: needs no trained model, only one that loads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from g4cpp.eval.blame import Yardsticks, parting
from g4cpp.eval.cells import Blame, Cell
from g4cpp.eval.distances import kl_divergence, landmarks, rows_around, top_1_agreement
from g4cpp.eval.subjects import EngineSubject, Remembered, Subject

ROUNDED_LIMIT = 0.02
"""Nats between float32 and bfloat16 roundings of any kind; measured on the demo model: 6e-4, single rows 3e-3."""

FINE_LIMIT = 1e-3
"""Nats between float32 and modes or caches that round to 10 bits or so; measured: 4e-5."""

EXACT_LIMIT = 1e-6
"""Nats between two float32 computations of the same."""


def limit_of(compute: str, kv: str) -> float:
    """What a setting may differ from float32 by."""
    if compute == "f32" and kv == "f32":
        return EXACT_LIMIT
    if kv.startswith("q4"):
        return 5 * ROUNDED_LIMIT
    return ROUNDED_LIMIT if compute == "bf16" or kv.startswith("q") else FINE_LIMIT


def compare_at_landmarks(
    group: str, setting: str, subject: Subject, yardstick: Subject, ids: Sequence[int], window: int, limit: float
) -> list[Cell]:
    """One cell for each landmark of the text: the mean over the sixteen rows around it."""
    marks = landmarks(len(ids), window)
    positions = sorted({row for mark in marks for row in rows_around(mark, len(ids))})
    at = {position: index for index, position in enumerate(positions)}
    wanted = yardstick.logits(ids, positions)
    found = subject.logits(ids, positions)
    cells = []
    for mark in marks:
        rows = [at[row] for row in rows_around(mark, len(ids))]
        value = float(np.mean(kl_divergence(wanted[rows], found[rows])))
        same = top_1_agreement(wanted[rows], found[rows])
        cells.append(
            Cell(
                group, f"position {mark}", setting, mark, value, value <= limit, limit=f"<= {limit:g} nats",
                detail=f"top-1 agreement {same:.0%} with {yardstick.name}",
            )
        )  # fmt: skip
    return cells


def divergence_cells(yardsticks: Yardsticks, ids: Sequence[int]) -> list[Cell]:
    """The setting against float32 mode."""
    subject, exact = yardsticks.subject(), yardsticks.exact()
    setting = yardsticks.engines.resolved(yardsticks.setting)
    cells = compare_at_landmarks(
        "kl_float32", yardsticks.setting.label, subject, exact, ids, yardsticks.engines.window,
        limit_of(setting.compute, setting.kv),
    )  # fmt: skip
    return with_blame(cells, yardsticks, subject, exact, ids, "differs from float32 mode")


def reference_cells(yardsticks: Yardsticks, ids: Sequence[int]) -> list[Cell]:
    """Float32 mode against the reference: what both modes have wrong alike shows here."""
    if yardsticks.reference is None:
        return []
    exact = yardsticks.exact()
    cells = compare_at_landmarks(
        "kl_reference", exact.name, exact, yardsticks.reference, ids, yardsticks.engines.window, 10 * EXACT_LIMIT
    )
    return with_blame(cells, yardsticks, exact, yardsticks.reference, ids, "float32 mode differs: every mode")


def variant_cells(
    group: str, yardsticks: Yardsticks, others: dict[str, Yardsticks], ids: Sequence[int]
) -> list[Cell]:
    """Other KV formats or devices against float32 mode of the one at hand: a cell each, its worst landmark."""
    exact = Remembered(yardsticks.exact())
    cells: list[Cell] = []
    for name, other in others.items():
        setting = other.engines.resolved(other.setting)
        subject = other.subject()
        marks = compare_at_landmarks(
            group, name, subject, exact, ids, yardsticks.engines.window, limit_of(setting.compute, setting.kv)
        )
        worst = max(marks, key=lambda cell: cell.value if math.isfinite(cell.value) else math.inf)
        cell = Cell(
            group, name, other.setting.label, len(ids), worst.value, worst.passed, limit=worst.limit,
            detail=f"worst at {worst.name}; {worst.detail}",
        )  # fmt: skip
        cells += with_blame([cell], yardsticks, subject, exact, ids, "differs from float32 mode")
    return cells


def with_blame(
    cells: list[Cell], yardsticks: Yardsticks, subject: EngineSubject, yardstick: Subject, ids: Sequence[int], what: str
) -> list[Cell]:
    """The same cells; those that fail name the layers where the two part."""
    if all(cell.passed for cell in cells):
        return cells
    found = parting(subject, yardstick, ids, yardsticks.engines)
    blame = Blame("engine", f"{what}. {found.text}", found.layers)
    return [cell if cell.passed else replace(cell, blame=blame) for cell in cells]
