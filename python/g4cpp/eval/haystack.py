"""The running text that facts are hidden in and perplexity is measured on.

Jane Austen, Sense and Sensibility (1811), in the public domain; from Debian's r-cran-janeaustenr, a paragraph a line,
chapter headings dropped. The demo model was not trained on it (docs/demo-model.md lists what it was).
"""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from functools import cache
from importlib import resources
from itertools import accumulate

from g4cpp.tokenizer import Tokenizer

TITLE = "Jane Austen, Sense and Sensibility"
_FILE = "sense_and_sensibility.txt.xz"


@cache
def paragraphs() -> tuple[str, ...]:
    """The book, paragraph by paragraph."""
    data = resources.files("g4cpp.eval").joinpath(_FILE).read_bytes()
    return tuple(lzma.decompress(data).decode().splitlines())


class Haystack:
    """The book measured in a model's own tokens: about 197,000 of the demo model, 150,000 of Gemma 4."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._sizes = [len(tokenizer.encode(f"\n{text}", add_bos=False)) for text in paragraphs()]

    def filler(self, tokens: int, start: int = 0) -> list[str]:
        """Paragraphs from number `start` on, at most `tokens` long in all; past the end the book begins anew."""
        found: list[str] = []
        left, count = tokens, len(self._sizes)
        at = start % count
        while left >= self._sizes[at]:
            found.append(paragraphs()[at])
            left -= self._sizes[at]
            at = (at + 1) % count
        words = paragraphs()[at].split()
        low, high = 0, len(words)
        while low < high:  # as many words of the next as there is room for
            middle = (low + high + 1) // 2
            if len(self._tokenizer.encode("\n" + " ".join(words[:middle]), add_bos=False)) <= left:
                low = middle
            else:
                high = middle - 1
        return [*found, " ".join(words[:low])] if low else found

    def scatter(self, tokens: int, pieces: Sequence[tuple[float, str]], start: int = 0) -> str:
        """A text of about `tokens` tokens with each (depth 0 to 1, line) at its depth, in the given order."""
        room = tokens - sum(len(self._tokenizer.encode(f"\n{line}", add_bos=False)) for _, line in pieces)
        lines = self.filler(max(0, room), start)
        ends = list(accumulate(self._size(line) for line in lines))
        total = ends[-1] if ends else 0
        result: list[str] = []
        waiting = list(pieces)
        for end, line in zip([0, *ends], [*lines, ""], strict=True):
            while waiting and end >= waiting[0][0] * total:
                result.append(waiting.pop(0)[1])
            result.append(line)
        return "\n".join(filter(None, result))

    def ids(self, tokens: int, start: int = 0) -> list[int]:
        """Exactly `tokens` ids of running text, the file's BOS first where it asks for one."""
        text = "\n".join(self.filler(tokens + 64, start))
        found = self._tokenizer.encode(text)
        while len(found) < tokens:  # where paragraphs merge at their borders
            text += "\n" + "\n".join(self.filler(tokens - len(found) + 64, start + 7))
            found = self._tokenizer.encode(text)
        return found[:tokens]

    def _size(self, line: str) -> int:
        return len(self._tokenizer.encode(f"\n{line}", add_bos=False))
