"""The units of a coherence run: what is measured at which length in which setting, in a fixed order.

A unit is what a killed run does again from its beginning; cheap and telling ones come first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from g4cpp.eval.blame import Yardsticks
from g4cpp.eval.cells import Cell
from g4cpp.eval.consistency import CHECKS, consistency_cells
from g4cpp.eval.context_loss import context_cells
from g4cpp.eval.divergence import divergence_cells, reference_cells, variant_cells
from g4cpp.eval.generation import generation_cells
from g4cpp.eval.retrieval import DENSE_LIMIT, Asker, retrieval_cells
from g4cpp.eval.settings import Engines, Setting, devices, kv_formats
from g4cpp.eval.tasks import TASKS
from g4cpp.eval.turns import turn_cells

PARTS = ("consistency", "divergence", "formats", "devices", "turns", "retrieval", "context_loss", "generation")


@dataclass(frozen=True)
class Options:
    """What is asked of a run; together with the model it decides every cell.

    exact_length: the longest text that float32 mode and the reference compute. Lengths in tokens.
    """

    lengths: tuple[int, ...]
    devices: tuple[str, ...] = ("auto",)
    kv: tuple[str, ...] = ("auto",)
    compute: str = "auto"
    depths: int = 5
    trials: int = 1
    seed: int = 1
    exact_length: int = 4096
    parts: tuple[str, ...] = PARTS
    reference: str = ""


@dataclass(frozen=True)
class Unit:
    key: str
    run: Callable[[], list[Cell]]


def units(asker: Asker, options: Options, reference: Yardsticks, n_threads: int = 0) -> list[Unit]:
    """Everything to do. `reference` carries the engines and the reference, if any."""
    found: list[Unit] = []
    for device in options.devices:
        for kv in options.kv:
            setting = reference.engines.resolved(Setting(device, options.compute, kv, 0, n_threads))
            one = replace(reference, setting=setting)
            found += [unit for part in options.parts for unit in _PARTS[part](asker, options, one)]
    return list({unit.key: unit for unit in found}.values())


def _text(asker: Asker, length: int) -> list[int]:
    return asker.haystack.ids(length, start=asker.seed)


def _short(engines: Engines) -> int:
    """Long enough for two turns of a ring, short enough for float32 mode anywhere."""
    return min(3 * engines.window + 132, engines.n_ctx - 8, 4096)


def _consistency(asker: Asker, options: Options, one: Yardsticks) -> list[Unit]:
    def run(name: str) -> Callable[[], list[Cell]]:
        return lambda: list(consistency_cells(one, name, _text(asker, _short(one.engines))))

    return [Unit(f"consistency {name} {one.setting.label}", run(name)) for name in CHECKS]


def _divergence(asker: Asker, options: Options, one: Yardsticks) -> list[Unit]:
    length = min(max(options.lengths), options.exact_length)
    made = []
    if one.reference is not None:
        made.append(
            Unit(f"kl_reference {one.setting.device}", lambda: reference_cells(one, _text(asker, length)))
        )
    if not one.is_exact:
        made.append(Unit(f"kl_float32 {one.setting.label}", lambda: divergence_cells(one, _text(asker, length))))
    return made


def _formats(asker: Asker, options: Options, one: Yardsticks) -> list[Unit]:
    setting = one.setting

    def run() -> list[Cell]:
        names = kv_formats(one.engines.file, setting.device)
        others = {name: replace(one, setting=replace(setting, kv=name)) for name in names}
        # Float32 products leave the cache's own rounding alone, which the mode's would hide.
        alone = {f"{name} in float32": replace(one, setting=replace(setting.exact(), kv=name)) for name in names}
        return variant_cells("kv_format", one, others | alone, _text(asker, _short(one.engines)))

    return [Unit(f"kv_format {setting.device} {setting.compute}", run)]


def _devices(asker: Asker, options: Options, one: Yardsticks) -> list[Unit]:
    setting, names = one.setting, devices()
    if len(names) < 2:
        return []

    def run() -> list[Cell]:
        others = {name: replace(one, setting=Setting(name, n_threads=setting.n_threads)) for name in names}
        others = {n: replace(y, setting=y.engines.resolved(y.setting)) for n, y in others.items()}
        exact = {f"{name} float32": replace(y, setting=y.setting.exact()) for name, y in others.items()}
        return variant_cells("device", one, others | exact, _text(asker, _short(one.engines)))

    return [Unit(f"device {one.setting.device}", run)]


def _turns(asker: Asker, options: Options, one: Yardsticks) -> list[Unit]:
    length = min(max(options.lengths), options.exact_length, 6 * one.engines.window)
    return [Unit(f"turns {one.setting.label}", lambda: turn_cells(asker, one, length, options.seed))]


def _retrieval(asker: Asker, options: Options, one: Yardsticks) -> list[Unit]:
    def run(kind: str, length: int) -> Callable[[], list[Cell]]:
        return lambda: retrieval_cells(asker, one, kind, length, depths=options.depths, trials=options.trials)

    return [
        Unit(f"{kind} {length} {one.setting.label}", run(kind, length))
        for length in options.lengths
        for kind in TASKS
        if kind != "key_value" or length <= DENSE_LIMIT
    ]


def _context_loss(asker: Asker, options: Options, one: Yardsticks) -> list[Unit]:
    longest = max(options.lengths)
    skip = 1 if one.engines.tokenizer.add_bos else 0
    return [
        Unit(
            f"context_loss {longest} {one.setting.label}",
            lambda: context_cells(one, _text(asker, longest)[skip:], longest - 1),
        )
    ]


def _generation(asker: Asker, options: Options, one: Yardsticks) -> list[Unit]:
    def run(length: int) -> Callable[[], list[Cell]]:
        return lambda: generation_cells(one, _text(asker, length), options.seed)

    some = sorted({min(options.lengths), max(options.lengths)})
    return [Unit(f"generation {length} {one.setting.label}", run(length)) for length in some]


_PARTS: dict[str, Callable[[Asker, Options, Yardsticks], list[Unit]]] = {
    "consistency": _consistency,
    "divergence": _divergence,
    "formats": _formats,
    "devices": _devices,
    "turns": _turns,
    "retrieval": _retrieval,
    "context_loss": _context_loss,
    "generation": _generation,
}


def default_lengths(n_ctx_train: int, device: str) -> tuple[int, ...]:
    """4k to 128k, up to the trained context; on a CPU up to 16k, which takes minutes."""
    longest = min(n_ctx_train, 16384 if device == "cpu" else 131072)
    return tuple(size for size in (4096, 16384, 32768, 65536, 131072) if size <= longest) or (longest,)


def parse_lengths(text: str) -> tuple[int, ...]:
    """ "4k,16k,500" -> (4096, 16384, 500), ascending. Raises ArgumentError."""
    from g4cpp.errors import ArgumentError

    found = []
    for part in text.lower().split(","):
        number = part.strip().removesuffix("k")
        if not number.isdecimal() or not int(number):
            raise ArgumentError(f"[eval] --lengths: tokens as 4k,16k or 4096 expected, {text!r} found")
        found.append(int(number) * (1024 if part.strip().endswith("k") else 1))
    return tuple(sorted(set(found)))
