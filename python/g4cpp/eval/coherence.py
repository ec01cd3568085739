"""The suite: runs every unit of a plan that is not done yet, and keeps what it finds.

    from g4cpp import eval
    result = eval.coherence("gemma.gguf", lengths=(4096, 16384), out="report")
    assert not result.failed, result.failed
"""

from __future__ import annotations

import json
import platform
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import g4cpp
from g4cpp.errors import ArgumentError, FileError
from g4cpp.eval.blame import Yardsticks
from g4cpp.eval.cells import Cell, Journal
from g4cpp.eval.haystack import TITLE, Haystack
from g4cpp.eval.plan import PARTS, Options, default_lengths, units
from g4cpp.eval.reference import open_reference
from g4cpp.eval.report import write_report
from g4cpp.eval.retrieval import Asker
from g4cpp.eval.settings import Engines, OpenEngine, Setting, open_engine
from g4cpp.files import PathLike

Watch = Callable[[str, int, int], None]
"""Called before each unit with (its name, how many are done, how many there are)."""

_FURTHER = 640  # tokens of context beyond the longest text: answers and generated text


@dataclass(frozen=True)
class Result:
    """The run as the journal describes it, and every cell."""

    run: dict[str, Any]
    cells: list[Cell]

    @property
    def failed(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.passed is False]

    def to_dict(self) -> dict[str, Any]:
        return {"run": self.run, "cells": [cell.to_dict() for cell in self.cells]}


def coherence(
    model: PathLike | None = None,
    *,
    lengths: Sequence[int] | None = None,
    devices: Sequence[str] = ("auto",),
    kv: Sequence[str] = ("auto",),
    compute: str = "auto",
    reference: PathLike | None = None,
    out: PathLike | None = None,
    depths: int = 5,
    trials: int = 1,
    seed: int = 1,
    exact_length: int | None = None,
    parts: Sequence[str] = PARTS,
    n_threads: int | None = None,
    watch: Watch | None = None,
    open_one: OpenEngine = open_engine,
) -> Result:
    """Measures `model`, by default the demo model; of each failing cell says whether the model or the engine fails.

    lengths: tokens, by default 4k to 128k (16k on a CPU). kv: formats of the cache. reference: a Hugging Face folder
    (torch and transformers run it in float32) or a GGUF file. out: a folder for results.jsonl, from which a killed run
    goes on, report.json and report.html. exact_length: the longest text for float32 mode and the reference, by default
    4k on a CPU. parts: names of plan.PARTS. open_one: makes engines (tests put faults in here).
    Raises ArgumentError, FileError and what loading raises.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown or not parts:
        raise ArgumentError(f"[eval] parts: some of {', '.join(PARTS)} expected, {', '.join(unknown) or 'none'} found")
    if depths < 1 or trials < 1:
        raise ArgumentError(f"[eval] depths and trials: at least 1 expected, {depths} and {trials} found")
    probe = Engines(model, 512, open_one)
    first = probe.resolved(Setting(devices[0], compute)).device
    sizes = tuple(sorted(set(lengths or default_lengths(probe.n_ctx_train, first))))
    if sizes[0] < 512 or sizes[-1] > probe.n_ctx_train:
        raise ArgumentError(f"[eval] lengths: 512 to {probe.n_ctx_train} (as trained) expected, {sizes} found")
    probe.close()
    options = Options(
        lengths=sizes, devices=tuple(devices), kv=tuple(kv), compute=compute, depths=depths, trials=trials, seed=seed,
        exact_length=exact_length or (4096 if first == "cpu" else sizes[-1]), parts=tuple(parts),
        reference="" if reference is None else Path(reference).name,
    )  # fmt: skip
    engines = Engines(model, sizes[-1] + _FURTHER, open_one)
    folder = None if out is None else Path(out)
    journal = Journal(folder, _run(engines, options))
    setting = engines.resolved(Setting(devices[0], compute, n_threads=n_threads or 0))
    beside = None if reference is None else open_reference(Path(reference), engines, setting)
    asker = Asker(engines, Haystack(engines.tokenizer), seed)
    todo = units(asker, options, Yardsticks(engines, setting, beside), n_threads or 0)
    cells: list[Cell] = []
    for number, unit in enumerate(todo):
        found = journal.cells_of(unit.key)
        if found is None:
            if watch:
                watch(unit.key, number, len(todo))
            found = unit.run()
            journal.add(unit.key, found)
        cells += found
    if watch:
        watch("", len(todo), len(todo))
    result = Result(_run(engines, options), cells)
    if folder is not None:
        save(result, folder)
    return result


def save(result: Result, folder: Path) -> None:
    """report.json and report.html. Raises FileError."""
    try:
        about = {"finished": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()), "machine": platform.machine()}
        text = json.dumps(result.to_dict() | about, indent=1)
        (folder / "report.json").write_text(text + "\n")
        write_report(result.run, result.cells, folder / "report.html")
    except OSError as error:
        raise FileError(f"[eval] {folder}: {error.strerror}") from error


def _run(engines: Engines, options: Options) -> dict[str, Any]:
    """What must be the same for a run to go on; JSON as it comes back."""
    file = engines.file
    with open(file.path, "rb") as opened:
        head = zlib.crc32(opened.read(1 << 20))
    described = {
        "model": Path(file.path).name,
        "bytes": file.file_bytes,
        "crc_of_first_mebibyte": f"{head:08x}",
        "architecture": str(file.get("general.architecture")),
        "window": engines.window,
        "text": TITLE,
        "version": g4cpp.__version__,
        "options": asdict(options),
    }
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain
