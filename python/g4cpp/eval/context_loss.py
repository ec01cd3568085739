"""Perplexity against position: the same tokens, with more and more of the text before them.

More context never hurts a model that works within the length it was trained at, so a rise at a power of two or after
the window is the signature of a wrong rope, mask or cache. As the scored tokens are always the same ones, how hard the
text is at a place drops out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from g4cpp.eval.blame import Yardsticks, assign
from g4cpp.eval.cells import Blame, Cell
from g4cpp.eval.distances import Figures, losses
from g4cpp.eval.subjects import Subject

SCORED = 512
"""Tokens at the end of the text whose loss is measured."""

_RISE = 0.1  # nats a token above the best shorter context ...
_ERRORS = 3.0  # ... and so many standard errors of the paired difference


@dataclass(frozen=True)
class Point:
    """The mean loss of the scored tokens after `context` others. rise: over the best shorter context."""

    context: int
    loss: float
    rise: float
    error: float

    @property
    def rises(self) -> bool:
        return not self.rise <= max(_RISE, _ERRORS * self.error)


def contexts(longest: int, window: int) -> list[int]:
    """Powers of two, from half the window on, that leave room for the scored tokens; and the window itself."""
    first = max(6, (window // 2).bit_length() - 1)
    powers = {2**k for k in range(first, longest.bit_length()) if 2**k + SCORED <= longest}
    return sorted({*powers, *([window] if window + SCORED <= longest else [])})


def loss_at(subject: Subject, ids: Sequence[int], context: int, bos: int | None) -> Figures:
    """The losses of the last SCORED tokens of `ids` given `context` tokens before them, and a BOS before all."""
    first = len(ids) - SCORED - context
    before = [] if bos is None else [bos]
    text = [*before, *ids[first:]]
    start = len(before) + context
    rows = subject.logits(text[:-1], range(start - 1, len(text) - 1))
    return losses(rows, np.asarray(text[start:], np.int64))


def curve(measured: dict[int, Figures]) -> list[Point]:
    """Context -> losses, as points with their rise over the best shorter context."""
    points: list[Point] = []
    best: Figures | None = None
    for context, found in sorted(measured.items()):
        difference = found - (found if best is None else best)
        error = float(difference.std(ddof=1) / math.sqrt(len(difference)))
        points.append(Point(context, float(found.mean()), float(difference.mean()), error))
        if best is None or found.mean() < best.mean():
            best = found
    return points


def context_cells(yardsticks: Yardsticks, ids: Sequence[int], longest: int) -> list[Cell]:
    """One cell for each context of at most `longest` tokens with the scored ones; ids without BOS."""
    engines = yardsticks.engines
    bos = engines.tokenizer.bos_id if engines.tokenizer.add_bos else None
    sizes = contexts(min(longest, len(ids)), engines.window)
    subject = yardsticks.subject()
    measured = {size: loss_at(subject, ids, size, bos) for size in sizes}
    points = curve(measured)
    cells = []
    blame: Blame | None = None
    for place, point in enumerate(points):
        if point.rises and blame is None:  # the first rise tells of the others too
            low = min(points[:place], key=lambda other: other.loss).context

            def passes(other: Subject, low: int = low, high: int = point.context) -> bool:
                pair = {size: loss_at(other, ids, size, bos) for size in (low, high)}
                return not curve(pair)[-1].rises

            blame = assign(yardsticks, ids[-point.context - SCORED :], passes)
        cells.append(
            Cell(
                "context_loss", f"after {point.context} tokens", yardsticks.setting.label, point.context, point.loss,
                not point.rises, limit=f"rises by less than {max(_RISE, _ERRORS * point.error):.2f}",
                detail=f"perplexity {math.exp(min(point.loss, 700)):.1f}, {point.rise:+.3f} +- {point.error:.3f} nats",
                blame=blame if point.rises else None,
            )
        )  # fmt: skip
    return cells
