"""What a run finds, cell by cell, and the journal that a killed run goes on from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from g4cpp.errors import ArgumentError, FileError

JOURNAL = "results.jsonl"


@dataclass(frozen=True)
class Blame:
    """Whose fault a failing cell is.

    verdict: "model" (the yardstick fails as well), "engine" (it does not) or "unclear". layers: those that part from
    the yardstick when each reads the yardstick's own input, first to last.
    """

    verdict: str
    because: str
    layers: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Cell:
    """One figure. `passed` None: told, not judged."""

    group: str
    name: str
    setting: str
    length: int
    value: float
    passed: bool | None
    depth: float | None = None
    limit: str = ""
    detail: str = ""
    blame: Blame | None = None

    @staticmethod
    def of(data: dict[str, Any]) -> Cell:
        blame = data.pop("blame", None)
        value = data.pop("value")
        return Cell(**data, value=math.nan if value is None else value, blame=Blame(**blame) if blame else None)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN."""
        return asdict(self) | {"value": self.value if math.isfinite(self.value) else None}


class Journal:
    """results.jsonl of a folder: a line on the run, then a line for each finished unit. None keeps nothing."""

    def __init__(self, folder: Path | None, run: dict[str, Any]) -> None:
        self._path = None if folder is None else folder / JOURNAL
        self._done: dict[str, list[Cell]] = {}
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            known, end = _read(self._path)
            if not known:
                self._path.write_text(json.dumps({"run": run}) + "\n")
                return
            if known[0] != {"run": run}:
                raise ArgumentError(
                    f"[eval] {self._path}: the same run expected to go on with, another model or other options found"
                )
            self._done = {line["unit"]: [Cell.of(cell) for cell in line["cells"]] for line in known[1:]}
            with self._path.open("r+b") as file:  # a line cut off in the middle goes
                file.truncate(end)
        except OSError as error:
            raise FileError(f"[eval] {self._path}: {error.strerror}") from error

    def cells_of(self, unit: str) -> list[Cell] | None:
        """What an earlier run found; None when the unit is still to do."""
        return self._done.get(unit)

    def add(self, unit: str, cells: list[Cell]) -> None:
        self._done[unit] = cells
        if self._path is not None:
            line = json.dumps({"unit": unit, "cells": [cell.to_dict() for cell in cells]})
            with self._path.open("a") as file:
                file.write(line + "\n")


def read_journal(folder: Path) -> tuple[dict[str, Any], list[Cell]]:
    """(the run, its cells) of a folder. Raises FileError."""
    try:
        lines, _ = _read(folder / JOURNAL)
    except OSError as error:
        raise FileError(f"[eval] {folder / JOURNAL}: {error.strerror}") from error
    if not lines:
        raise FileError(f"[eval] {folder / JOURNAL}: no run in this file")
    return lines[0]["run"], [Cell.of(cell) for line in lines[1:] for cell in line["cells"]]


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole lines, and where the last of them ends."""
    if not path.exists():
        return [], 0
    found, end = [], 0
    for line in _whole_lines(path.read_bytes()):
        found.append(json.loads(line))
        end += len(line)
    return found, end


def _whole_lines(data: bytes) -> Iterator[bytes]:
    for line in data.splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield line
