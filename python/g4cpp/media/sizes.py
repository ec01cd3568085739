"""How large an image becomes, and how many soft tokens that is.

One soft token is a square of 48 x 48 pixels. An image is scaled, up or down and keeping its proportions, to the area of
its budget, and each side is rounded down to a multiple of 48; a side below one square becomes one square, and the
other then follows from the proportions. So the tokens are at most the budget, and usually a little fewer.
"""

from __future__ import annotations

import math
from typing import Final

from g4cpp.errors import ArgumentError, ArgumentTypeError, MediaError
from g4cpp.media.sources import Detail

SQUARE: Final = 48
"""Pixels of a side of one soft token: 3 x 3 patches of 16, or one of 48."""

BUDGETS: Final = (70, 140, 280, 560, 1120)
"""Soft tokens the models were trained with."""

DEFAULT_BUDGET: Final = 280
DETAILS: Final[dict[Detail, int]] = {"low": 70, "auto": DEFAULT_BUDGET, "high": 1120}

MAX_PROPORTION: Final = 40
"""Wider or taller images are refused: at 40:1 an image of 280 tokens is two squares high."""


def budget_of(tokens: object, detail: object) -> int:
    """The budget of an image that asks for `tokens` or `detail`. Raises ArgumentError, ArgumentTypeError."""
    if tokens is not None and detail is not None:
        raise ArgumentError("[image] tokens or detail expected, both found")
    if detail is not None:
        if not isinstance(detail, str) or detail not in DETAILS:
            raise ArgumentError(f"[image] detail: one of {', '.join(DETAILS)} expected, {detail!r:.40} found")
        return DETAILS[detail]
    if tokens is None:
        return DEFAULT_BUDGET
    if isinstance(tokens, bool) or not isinstance(tokens, int):
        raise ArgumentTypeError(f"[image] tokens: a number expected, {type(tokens).__name__} found")
    if tokens not in BUDGETS:
        raise ArgumentError(f"[image] tokens: one of {', '.join(map(str, BUDGETS))} expected, {tokens} found")
    return tokens


def image_size(width: int, height: int, budget: int) -> tuple[int, int]:
    """(width, height) in pixels that an image of `width` x `height` is scaled to. Raises MediaError."""
    if width < 1 or height < 1:
        raise MediaError(f"[image] at least 1x1 pixels expected, {width}x{height} found")
    if max(width, height) > MAX_PROPORTION * min(width, height):
        raise MediaError(f"[image] {width}x{height}: wider or taller than {MAX_PROPORTION}:1")
    # The reference's order of operations: a side that falls on a multiple of 48 depends on its last bit.
    factor = math.sqrt(budget * SQUARE**2 / (height * width))
    rows = math.floor(factor * height / SQUARE)
    cols = math.floor(factor * width / SQUARE)
    if rows == 0:
        rows, cols = 1, min(width // height, budget)
    elif cols == 0:
        rows, cols = min(height // width, budget), 1
    return cols * SQUARE, rows * SQUARE


def image_tokens(width: int, height: int, budget: int = DEFAULT_BUDGET) -> int:
    """Soft tokens of an image of `width` x `height` pixels. Raises MediaError."""
    wide, high = image_size(width, height, budget)
    return (wide // SQUARE) * (high // SQUARE)
