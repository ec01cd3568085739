"""Two models, formats, modes or devices on the same text: how far their predictions lie apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g4cpp.errors import ArgumentError
from g4cpp.eval.distances import kl_divergence, losses, nmse
from g4cpp.eval.haystack import Haystack
from g4cpp.eval.perplexity import ROW_BYTES
from g4cpp.eval.settings import Engines, OpenEngine, Setting, open_engine
from g4cpp.files import PathLike
from g4cpp.generation import poll


@dataclass(frozen=True)
class Side:
    path: str
    setting: str
    perplexity: float


@dataclass(frozen=True)
class Comparison:
    """KL(a || b) in nats over `rows` positions spread evenly over a text of `tokens`."""

    a: Side
    b: Side
    tokens: int
    rows: int
    kl_mean: float
    kl_median: float
    kl_99: float
    kl_max: float
    top_1: float
    """Share of rows with the same likeliest token."""
    nmse: float
    """Of the logits, against a."""


def parse_side(text: str, base: Setting) -> tuple[Path, Setting]:
    """ "FILE[,device=cuda][,compute=f32][,kv=f16]" -> the file and its setting. Raises ArgumentError."""
    name, *changes = text.split(",")
    fields = {"device": base.device, "compute": base.compute, "kv": base.kv}
    for change in changes:
        key, _, value = change.partition("=")
        if key not in fields or not value:
            raise ArgumentError(f"[eval] {text}: FILE,device=...,compute=...,kv=... expected, {change!r} found")
        fields[key] = value
    return Path(name), Setting(fields["device"], fields["compute"], fields["kv"], n_threads=base.n_threads)


def compare(
    a: PathLike,
    b: PathLike,
    *,
    a_setting: Setting | None = None,
    b_setting: Setting | None = None,
    text: str | None = None,
    length: int = 4096,
    rows: int = 512,
    open_one: OpenEngine = open_engine,
) -> Comparison:
    """`text`, by default the suite's own, cut to `length` tokens. Raises ArgumentError if the vocabularies differ."""
    if length < 2 or rows < 1:
        raise ArgumentError(f"[eval] length and rows: at least 2 and 1 expected, {length} and {rows} found")
    sides = [Engines(path, length, open_one) for path in (a, b)]
    first, second = (side.tokenizer for side in sides)
    sample = "The quick brown fox jumps over 1,234 lazy dogs."
    if first.n_tokens != second.n_tokens or first.encode(sample) != second.encode(sample):
        raise ArgumentError(f"[eval] {b}: the vocabulary of {a} expected, another found")
    ids = Haystack(first).ids(length) if text is None else first.encode(text)[:length]
    if len(ids) < 2:
        raise ArgumentError(f"[eval] text: at least 2 tokens expected, {len(ids)} found")
    count = min(rows, len(ids) - 1, max(1, ROW_BYTES // (4 * first.n_tokens)))
    positions = sorted({int(at) for at in np.linspace(0, len(ids) - 2, count).round()})
    targets = np.asarray([ids[at + 1] for at in positions], np.int64)
    found = []
    for side, setting in zip(sides, (a_setting, b_setting), strict=True):
        used = side.resolved(setting or Setting())
        logits = side.get(used).logits(ids, positions, poll)
        side.close()
        perplexity = float(np.exp(min(losses(logits, targets).mean(), 700.0)))
        found.append((logits, Side(side.file.path, used.label, perplexity)))
    (wanted, one), (other, two) = found
    kl = kl_divergence(wanted, other)
    return Comparison(
        one, two, len(ids), len(positions), float(kl.mean()), float(np.median(kl)), float(np.quantile(kl, 0.99)),
        float(kl.max()), float((wanted.argmax(-1) == other.argmax(-1)).mean()), nmse(other, wanted),
    )  # fmt: skip
