"""Prompts with media for the engine's tests, random soft tokens between random text, and engines that take them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tiny_gguf import HIDDEN

from g4cpp import _core

Array = NDArray[np.float32]
Span = tuple[int, Array, int, bool]
PLACEHOLDER = 9
# dense_e_sees: with shared KV layers and images whose tokens see each other, which no published model has both.
KINDS = ("dense_e", "dense_k", "moe", "dense_e_sees")
N_CTX = 512
SPAN = 100


@dataclass
class MediaPrompt:
    """Built piece by piece; `media` is what the engine takes."""

    hidden: int
    ids: list[int] = field(default_factory=list)
    media: list[Span] = field(default_factory=list)

    def text(self, n: int, seed: int = 0) -> MediaPrompt:
        start = [] if self.ids else [2]
        self.ids += start + np.random.default_rng(1000 + seed).integers(24, 300, n - len(start)).tolist()
        return self

    def image(self, n: int, content: int, block: bool = True) -> MediaPrompt:
        """n soft tokens, about as large as embeddings, that the content decides."""
        rows = np.random.default_rng(content).standard_normal((n, self.hidden)).astype(np.float32)
        self.media.append((len(self.ids), rows, content, block))
        self.ids += [PLACEHOLDER] * n
        return self

    def audio(self, n: int, content: int) -> MediaPrompt:
        return self.image(n, content, block=False)

    def blocks(self) -> list[tuple[int, int]]:
        """[begin, end) of images without a token between, joined."""
        joined: list[tuple[int, int]] = []
        for begin, rows, _, block in self.media:
            if block and joined and joined[-1][1] == begin:
                joined[-1] = (joined[-1][0], begin + len(rows))
            elif block:
                joined.append((begin, begin + len(rows)))
        return joined

    def first(self, n: int) -> MediaPrompt:
        """The prompt's beginning, which cuts no span."""
        assert all(begin + len(rows) <= n or begin >= n for begin, rows, _, _ in self.media)
        return MediaPrompt(self.hidden, self.ids[:n], [span for span in self.media if span[0] < n])

    def changed(self, position: int, by: float = 0.5) -> MediaPrompt:
        """With another soft token at `position`, under another key."""
        media: list[Span] = []
        for begin, rows, content, block in self.media:
            other = rows.copy()
            if here := begin <= position < begin + len(rows):
                other[position - begin] += np.float32(by)
            media.append((begin, other, content + (here << 40), block))
        return MediaPrompt(self.hidden, self.ids, media)


def engine(path: Path, compute: str = "f32", **options: Any) -> _core.Engine:
    options = {"n_ctx": N_CTX, "n_threads": 1, "max_media_span": SPAN, "micro_batch": 8} | options
    return _core.Engine(_core.GgufFile(str(path)), compute=compute, **options)


def prefill(model: _core.Engine, prompt: MediaPrompt) -> int:
    return model.prefill(prompt.ids, media=prompt.media)


def fresh_row(path: Path, prompt: MediaPrompt, compute: str = "f32", **options: Any) -> Array:
    model = engine(path, compute, **options)
    assert prefill(model, prompt) == len(prompt.ids)
    return model.last_logits()


def equal(a: Array, b: Array) -> bool:
    return bool(np.isfinite(a).all()) and np.array_equal(a, b)


def album() -> MediaPrompt:
    """Two images with text between, one longer than four windows, then two that touch, and audio."""
    made = MediaPrompt(HIDDEN).text(11).image(30, 1).text(3).image(4 * 16 + 7, 2).text(20)
    return made.image(9, 3).image(8, 4).text(2).audio(2 * 16, 5).text(5)
