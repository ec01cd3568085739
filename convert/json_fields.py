"""Typed access to the JSON files of a checkpoint. Every error names the file and the key, what was expected
and found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from g4cpp.errors import ConversionError

FLOAT32_MAX = 3.4028234e38  # numbers end up as float32 keys; NaN is no number either


def read_json(path: Path) -> dict[str, object]:
    """The JSON object in `path`. Raises ConversionError when it is absent, unreadable, or not an object."""
    if not path.is_file():
        raise ConversionError(f"[convert] {path.parent}: {path.name} expected, no such file")
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConversionError(f"[convert] {path}: JSON expected: {error}") from error
    if not isinstance(value, dict):
        raise ConversionError(f"[convert] {path}: a JSON object expected, {type(value).__name__} found")
    return value


def read_optional_json(path: Path) -> dict[str, object]:
    """As read_json(), but an empty object when there is no such file."""
    return read_json(path) if path.is_file() else {}


class Fields:
    """One JSON object. A null value counts as absent, as transformers' own optional fields do."""

    def __init__(self, values: Mapping[str, object], place: str) -> None:
        self._values = values
        self._place = place

    def has(self, key: str) -> bool:
        """Whether the key is written at all, null included."""
        return key in self._values

    def raw(self, key: str) -> object:
        return self._values.get(key)

    def integer(self, key: str, default: int | None = None, minimum: int = 1) -> int:
        value = self._values.get(key)
        if value is None:
            value = default
        if value is None:
            raise self._error(key, "an integer", "nothing")
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value < 2**31:
            raise self._error(key, f"an integer of at least {minimum}", repr(value))
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._values.get(key)
        if value is None:
            value = default
        if value is None:
            raise self._error(key, "a number", "nothing")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < FLOAT32_MAX:
            raise self._error(key, "a number", repr(value)[:80])
        return float(value)

    def optional_number(self, key: str) -> float | None:
        return None if self._values.get(key) is None else self.number(key)

    def flag(self, key: str, default: bool) -> bool:
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._error(key, "true or false", repr(value))
        return value

    def text(self, key: str, default: str | None = None) -> str | None:
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._error(key, "a string", repr(value))
        return value

    def integers(self, key: str) -> list[int]:
        """A list of integers; a single integer counts as a list of one, absence as an empty list."""
        value = self._values.get(key)
        if value is None:
            return []
        ids = []
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item < 2**31:
                raise self._error(key, "token ids", repr(value)[:80])
            ids.append(item)
        return ids

    def section(self, key: str) -> Fields | None:
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._error(key, "an object", repr(value)[:80])
        return Fields(value, f"{self._place}: {key}")

    def items(self) -> list[tuple[str, object]]:
        return list(self._values.items())

    def _error(self, key: str, expected: str, found: str) -> ConversionError:
        return ConversionError(f"[convert] {self._place}: {key}: {expected} expected, {found} found")

    def unsupported(self, key: str, expected: str) -> ConversionError:
        """An error for a setting this converter does not know how to carry over."""
        return self._error(key, expected, repr(self._values.get(key))[:80])
