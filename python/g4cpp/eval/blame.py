"""Whose fault a failing cell is: the same question put to a yardstick, and layer by layer where the two part.

The yardsticks are the engine's own float32 mode and, where given, a reference that shares no code with it. A fault
that both modes of the engine have shows against the reference only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from g4cpp.eval.cells import Blame
from g4cpp.eval.distances import Rows, nmse, row_nmse
from g4cpp.eval.settings import Engines, Setting
from g4cpp.eval.subjects import EngineSubject, Subject

TRACED = 1024
"""Tokens of a layer-by-layer comparison, at most: it keeps every layer's output of every token."""

_EXACT_LAYER = 1e-9  # NMSE of a layer in float32 on equal inputs: the house's gate is 1e-10, a window off by one 1e-8
_ROUNDED_LAYER = 1e-4  # of a layer with bfloat16 roundings and quantised weights: measured below 3e-5
_OUTLIER = 30.0  # a wrong layer stands out from the best one by more than this; most may be wrong


@dataclass(frozen=True)
class Yardsticks:
    """What a failing cell is compared with."""

    engines: Engines
    setting: Setting
    reference: Subject | None = None

    def subject(self) -> EngineSubject:
        return self._of(self.setting, self.setting.label)

    def exact(self) -> EngineSubject:
        """Float32 mode on the same device."""
        return self._of(self.setting.exact(), "float32 mode")

    def _of(self, setting: Setting, name: str) -> EngineSubject:
        tracing = replace(setting, micro_batch=TRACED)
        return EngineSubject(self.engines.get(setting), name, lambda: self.engines.get(tracing))

    @property
    def is_exact(self) -> bool:
        return self.engines.resolved(self.setting).compute == "f32"


def assign(yardsticks: Yardsticks, ids: Sequence[int], passes: Callable[[Subject], bool]) -> Blame:
    """The verdict on a measurement that the setting failed: `passes` repeats it with another subject."""
    reference = yardsticks.reference
    exact_passes = not yardsticks.is_exact and passes(yardsticks.exact())
    if reference is not None and not passes(reference):
        also = "though float32 mode does not" if exact_passes else "and so does float32 mode"
        return Blame("model", f"{reference.name} fails as well, {also}")
    if exact_passes:
        found = parting(yardsticks.subject(), yardsticks.exact(), ids, yardsticks.engines)
        return Blame("engine", f"float32 mode passes: this setting. {found.text}", found.layers)
    if reference is not None:
        found = parting(yardsticks.exact(), reference, ids, yardsticks.engines)
        because = f"{reference.name} passes, float32 mode does not: every mode. {found.text}"
        return Blame("engine", because, found.layers)
    return Blame("model", "float32 mode fails as well (or a fault of every mode: --reference would tell)")


@dataclass(frozen=True)
class Parting:
    text: str
    layers: list[int]


def parting(subject: EngineSubject, yardstick: Subject, ids: Sequence[int], engines: Engines) -> Parting:
    """The layers that compute something else than the yardstick on the yardstick's own inputs."""
    some = list(ids)[: min(TRACED, engines.n_ctx)]
    wanted = yardstick.layers(some)
    found = subject.layers(some, np.ascontiguousarray(wanted[:-1]))
    return compare_layers(found, wanted, engines, exact=subject.engine.compute == "f32")


def compare_layers(found: Rows, wanted: Rows, engines: Engines, exact: bool) -> Parting:
    """[1 + layers, tokens, hidden] twice, the embedding first."""
    errors = [nmse(a, b) for a, b in zip(found, wanted, strict=True)]
    floor = _EXACT_LAYER if exact else _ROUNDED_LAYER
    limit = floor if exact else max(floor, _OUTLIER * min(errors[1:]))
    if not errors[0] <= floor:
        return Parting(f"The embedding parts (NMSE {errors[0]:.1e})", [-1])
    parted = [layer for layer, error in enumerate(errors[1:]) if not error <= limit]
    if not parted:
        return Parting(f"Over {found.shape[1]} tokens every layer agrees (NMSE up to {max(errors[1:]):.0e})", [])
    first = parted[0]
    rows = row_nmse(found[first + 1], wanted[first + 1])
    start = int(np.flatnonzero(~(rows <= limit))[0]) if (~(rows <= limit)).any() else 0
    kinds = {engines.layer_kind(layer) for layer in parted} - {""}
    all_of = len(kinds) == 1 and parted == [
        layer for layer in range(len(errors) - 1) if engines.layer_kind(layer) in kinds
    ]
    which = f"{len(parted)} of {len(errors) - 1} layers" + (f", all {next(iter(kinds))}" if len(kinds) == 1 else "")
    which = f"every {next(iter(kinds))} layer" if all_of else which
    kind = engines.layer_kind(first)
    return Parting(
        f"They first part in layer {first}{f' ({kind})' if kind else ''} at position {start}: "
        f"NMSE {errors[first + 1]:.1e}; {which}",
        parted,
    )
