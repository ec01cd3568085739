"""Perplexity of a text in windows that overlap, token by token."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from g4cpp.errors import ArgumentError
from g4cpp.eval.distances import losses
from g4cpp.eval.settings import Engines, OpenEngine, Setting, open_engine
from g4cpp.files import PathLike
from g4cpp.generation import poll

ROW_BYTES = 1 << 29
"""Logits that are held at once; a window with more scored tokens is computed more than once."""


@dataclass(frozen=True)
class Perplexity:
    """Of the scored tokens: all but the first of the text. losses: -log p of each in nats."""

    model: str
    setting: str
    window: int
    stride: int
    tokens: list[int]
    losses: list[float]

    @property
    def loss(self) -> float:
        """The mean, nats a token."""
        return float(np.mean(self.losses))

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))

    @property
    def error(self) -> float:
        """One standard error of the perplexity, of the token losses taken as independent."""
        if len(self.losses) < 2:
            return math.nan
        return self.perplexity * float(np.std(self.losses, ddof=1)) / math.sqrt(len(self.losses))


def perplexity(
    model: PathLike,
    text: str | Sequence[int],
    *,
    window: int = 2048,
    stride: int | None = None,
    setting: Setting | None = None,
    open_one: OpenEngine = open_engine,
) -> Perplexity:
    """Each window starts with the file's BOS and scores the tokens that the one before it has not: the last `stride`.

    stride: by default half of the window; equal to it, windows do not overlap. text: read without special tokens, or
    ids without BOS. Raises ArgumentError.
    """
    step = window // 2 if stride is None else stride
    if window < 2 or not 0 < step <= window:
        raise ArgumentError(f"[eval] window and stride: 0 < stride <= window expected, {step} and {window} found")
    engines = Engines(model, window + 1, open_one)
    vocabulary = engines.tokenizer
    ids = vocabulary.encode(text, add_bos=False, parse_special=False) if isinstance(text, str) else list(text)
    if len(ids) < 2:
        raise ArgumentError(f"[eval] text: at least 2 tokens expected, {len(ids)} found")
    used = engines.resolved(setting or Setting())
    engine = engines.get(used)
    bos = [vocabulary.bos_id] if vocabulary.add_bos and vocabulary.bos_id is not None else []
    found: list[float] = []
    for start, first, end in windows(len(ids), window, step):
        tokens = [*bos, *ids[start:end]]
        shift = len(bos) - start  # from a place in `ids` to one in `tokens`
        for low in range(first, end, _rows(engine.n_vocab)):
            high = min(end, low + _rows(engine.n_vocab))
            rows = engine.logits(tokens[: high + shift - 1], range(low + shift - 1, high + shift - 1), poll)
            found += losses(rows, np.asarray(ids[low:high], np.int64)).tolist()
    return Perplexity(engines.file.path, used.label, window, step, ids[1:], found)


def windows(length: int, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(start, first scored, end) of each window; together they score places 1 to length - 1 once."""
    first = 1
    end = min(window, length)
    while first < length:
        yield max(0, end - window), first, end
        first, end = end, min(end + stride, length)


def _rows(n_vocab: int) -> int:
    return max(1, ROW_BYTES // (4 * n_vocab))
