"""Checks of whole numbers that callers give."""

from __future__ import annotations

import operator
from collections.abc import Iterable

from g4cpp.errors import ArgumentError, ArgumentTypeError


def count(name: str, value: object) -> int:
    """A positive number. Raises ArgumentError, ArgumentTypeError."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentTypeError(f"[model] {name}: a whole number expected, {value!r} found")
    number = operator.index(value)
    if not 0 < number < 2**31:
        raise ArgumentError(f"[model] {name}: at least 1 (and below 2^31) expected, {number} found")
    return number


def row_numbers(positions: Iterable[int], n_tokens: int) -> list[int]:
    """Positions of n_tokens, negative ones from the end. Raises ArgumentError, ArgumentTypeError."""
    try:
        plain = [operator.index(position) for position in positions]
    except TypeError as error:
        raise ArgumentTypeError(f"[logits] positions: whole numbers expected ({error})") from None
    if not plain:
        raise ArgumentError("[logits] positions: at least one expected, 0 found")
    for position in plain:
        if not -n_tokens <= position < n_tokens:
            raise ArgumentError(
                f"[logits] positions: {-n_tokens} to {n_tokens - 1} expected, {position} found"
            )
    return [position % n_tokens for position in plain]
