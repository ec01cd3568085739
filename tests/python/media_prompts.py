"""Prompts with media for the engine's tests: random soft tokens between random text."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Span = tuple[int, Array, int, bool]
PLACEHOLDER = 9


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
            if begin <= position < begin + len(rows):
                rows = rows.copy()
                rows[position - begin] += np.float32(by)
                content += 1 << 40
            media.append((begin, rows, content, block))
        return MediaPrompt(self.hidden, self.ids, media)
