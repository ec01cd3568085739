"""Signs that a text has gone wrong: it repeats itself, runs in a circle, or does not end."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass


def period_at_end(ids: Sequence[int], least: int = 48) -> int:
    """The length of the piece that the tokens repeat to their end, over at least `least` tokens and three times; 0:
    none."""
    size = len(ids)
    for period in range(1, size // 3 + 1):
        same = 0
        while same < size - period and ids[size - 1 - same] == ids[size - 1 - same - period]:
            same += 1
        if same + period >= max(least, 3 * period):
            return period
    return 0


def repeated_share(ids: Sequence[int], n: int = 8) -> float:
    """The share of n-grams that have come before; 0 for a text shorter than n."""
    grams = [tuple(ids[at : at + n]) for at in range(len(ids) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def compression(text: str) -> float:
    """Bytes over deflated bytes: English prose of some kilobytes has about 2, a circle far more."""
    data = text.encode()
    return len(data) / max(1, len(zlib.compress(data, 9)))


@dataclass(frozen=True)
class Signs:
    """What was found in a generated text, and whether any of it says that the text has gone wrong."""

    period: int
    repeated: float
    compression: float

    @property
    def looping(self) -> bool:
        return self.period > 0 or self.repeated > 0.5 or self.compression > 4.0

    def __str__(self) -> str:
        circle = f"runs in a circle of {self.period} tokens, " if self.period else ""
        return f"{circle}{self.repeated:.0%} of 8-grams repeated, deflates {self.compression:.1f} to 1"


def signs(ids: Sequence[int], text: str) -> Signs:
    return Signs(period_at_end(ids), repeated_share(ids), compression(text))
