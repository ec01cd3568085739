"""Faults an engine could have, put into the demo model without touching the engine.

A mutant of the file is wrong in every mode: only a reference can tell it from a bad model. A mutant of the engine is
wrong in one mode, path or device: `open_one` hands out the wrong engine there. The table of docs/evaluation.md:

    python tests/python/eval_mutants.py [HF_DIR]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from g4cpp import _core
from g4cpp.demo import demo_model
from g4cpp.eval import coherence
from g4cpp.eval.coherence import Result
from g4cpp.eval.settings import Setting, open_engine

FILE_PARTS = ("divergence", "retrieval", "context_loss")
ENGINE_PARTS = ("consistency", "divergence", "formats", "turns", "retrieval")
Edit = Callable[[gguf.GGUFReader], None]


def key(name: str, value: float) -> Edit:
    """A scalar of the metadata."""

    def edit(reader: gguf.GGUFReader) -> None:
        field = reader.fields[f"gemma4.{name}"]
        field.parts[field.data[0]][0] = value

    return edit


def tensor(ending: str, change: Callable[[NDArray[Any]], None]) -> Edit:
    """`change` works on the stored values of every tensor whose name ends so; Q8_0: on the blocks' scales."""

    def edit(reader: gguf.GGUFReader) -> None:
        for one in reader.tensors:
            if one.name.endswith(ending):
                quantised = one.tensor_type == gguf.GGMLQuantizationType.Q8_0
                change(one.data.reshape(-1, 34)[:, :2].view(np.float16) if quantised else one.data)

    return edit


def scaled(factor: float) -> Callable[[NDArray[Any]], None]:
    def change(values: NDArray[Any]) -> None:
        values[...] = values * factor

    return change


def constant(value: float) -> Callable[[NDArray[Any]], None]:
    def change(values: NDArray[Any]) -> None:
        values[...] = value

    return change


FILES: dict[str, Edit] = {
    "window off by one": key("attention.sliding_window", 255),
    "window halved": key("attention.sliding_window", 128),
    "rope base of globals that of sliding layers": key("rope.freq_base", 1e4),
    "rope base of sliding layers that of globals": key("rope.freq_base_swa", 1e6),
    "all pairs of global heads rotate": tensor("rope_freqs.weight", constant(1.0)),
    "global rope not proportional to the whole head": key("rope.freq_base", 1e6**0.25),
    "final softcap left out": key("final_logit_softcapping", 1e6),
    "wrong producer of shared keys": key("attention.shared_kv_layers", 4),
    "per-layer embedding not scaled": tensor("per_layer_token_embd.weight", scaled(32**-0.5)),
    "layer scalars left out": tensor("layer_output_scale.weight", constant(1.0)),
}


def mutated(model: Path, edit: Edit, folder: Path, name: str) -> Path:
    """A copy with the edit."""
    path = folder / f"{name.replace(' ', '-')}.gguf"
    shutil.copy(model, path)
    reader = gguf.GGUFReader(path, "r+")
    edit(reader)
    for part in {id(field.parts[0].base): field.parts[0].base for field in reader.fields.values()}.values():
        if isinstance(part, np.memmap):
            part.flush()
    reader.data.flush()
    return path


class Proxy:
    """An engine, but for what a subclass changes."""

    def __init__(self, engine: _core.Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


class StaleSnapshot(Proxy):
    """Going back to a prefix leaves the last tokens of the abandoned branch in the cache."""

    def prefill(self, ids: Sequence[int], poll: Any = None) -> int:
        held, ids = self._engine.tokens, list(ids)
        shared = next((i for i, (a, b) in enumerate(zip(held, ids, strict=False)) if a != b), min(len(held), len(ids)))
        left = held[shared:][:4]
        if left and shared > len(left):
            ids[shared - len(left) : shared] = left
        return self._engine.prefill(ids, poll)


class WrongDecode(Proxy):
    """Single tokens go through another engine than prompts do."""

    def __init__(self, engine: _core.Engine, wrong: _core.Engine) -> None:
        super().__init__(engine)
        self._wrong, self._last = wrong, engine

    def prefill(self, ids: Sequence[int], poll: Any = None) -> int:
        self._wrong.prefill(ids, poll)
        self._last = self._engine
        return self._engine.prefill(ids, poll)

    def reset(self) -> None:
        self._engine.reset()
        self._wrong.reset()

    def snapshot(self) -> None:
        self._engine.snapshot()
        self._wrong.snapshot()

    def decode(self, token: int, poll: Any = None) -> None:
        self._engine.decode(token, poll)
        self._wrong.decode(token, poll)
        self._last = self._wrong

    def last_logits(self) -> NDArray[np.float32]:
        return self._last.last_logits()

    def sample(self, sampler: _core.Sampler) -> int:
        return self._last.sample(sampler)


@dataclass(frozen=True)
class Fault:
    """An edit of FILES that is there only where `where` says so; or for single tokens; or a stale snapshot."""

    edit: str = ""
    where: Callable[[Setting], bool] = lambda setting: True
    decode_only: bool = False
    stale: bool = False


ENGINES: dict[str, Fault] = {
    "rope of the wrong layer type in bf16 mode": Fault(
        "rope base of sliding layers that of globals", lambda s: s.compute != "f32"
    ),
    "window halved with an f16 cache": Fault("window halved", lambda s: s.kv == "f16"),
    "ring off by one in small chunks": Fault("window off by one", lambda s: 0 < s.micro_batch < 512),
    "ring off by one in decode": Fault("window off by one", decode_only=True),
    "stale prefix snapshot": Fault(stale=True),
}


def opener(fault: Fault, wrong_file: Path | None) -> Callable[[_core.GgufFile, Setting, int], Any]:
    """open_one with the fault."""
    wrong = _core.GgufFile(str(wrong_file)) if wrong_file else None

    def open_one(file: _core.GgufFile, setting: Setting, n_ctx: int) -> Any:
        if fault.stale:
            return StaleSnapshot(open_engine(file, setting, n_ctx))
        assert wrong is not None
        if fault.decode_only:
            return WrongDecode(open_engine(file, setting, n_ctx), open_engine(wrong, setting, n_ctx))
        return open_engine(wrong if fault.where(setting) else file, setting, n_ctx)

    return open_one


def run_mutant(name: str, model: Path, reference: Path | None, folder: Path, **options: Any) -> Result:
    """The suite on a mutant of FILES or ENGINES; one thread, as other processes may want the cores."""
    options = {"n_threads": 1} | options
    if name in FILES:
        path = mutated(model, FILES[name], folder, name)
        return coherence(path, reference=reference or model, **options)
    fault = ENGINES[name]
    wrong = mutated(model, FILES[fault.edit], folder, fault.edit) if fault.edit else None
    return coherence(model, reference=reference, open_one=opener(fault, wrong), **options)


def main() -> None:
    model = demo_model()
    reference = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    print("| fault | red cells | blame |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in [*FILES, *ENGINES]:
            parts = FILE_PARTS if name in FILES else ENGINE_PARTS
            sizes = {"lengths": (512, 2048), "depths": 3, "exact_length": 1024}
            result = run_mutant(name, model, reference, Path(folder), parts=parts, **sizes)
            print(table_row(name, result), flush=True)


def table_row(name: str, result: Result) -> str:
    groups: dict[str, list[int]] = {}
    for cell in result.cells:
        if cell.passed is not None:
            counts = groups.setdefault(cell.group, [0, 0])
            counts[0] += cell.passed is False
            counts[1] += 1
    red = ", ".join(f"{group} {bad}/{count}" for group, (bad, count) in groups.items() if bad) or "none"
    blames = {cell.blame.verdict: cell.blame.because for cell in reversed(result.failed) if cell.blame}
    told = "; ".join(f"{verdict}: {because}" for verdict, because in blames.items() if verdict != "unclear")
    return f"| {name} | {red} | {told or '-'} |"


if __name__ == "__main__":
    main()
