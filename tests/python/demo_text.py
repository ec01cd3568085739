"""Real English for the demo model's tests: the manual pages that this Python carries."""

from __future__ import annotations

import random
from pathlib import Path
from pydoc_data.topics import topics

ROOT = Path(__file__).parents[2]
TEXT = "\n".join(topics[name] for name in sorted(topics))


def haystack(text: str, pieces: list[str], characters: int, seed: int) -> str:
    """The first `characters` of `text` with the pieces as lines of their own, in order, at random depths."""
    rng = random.Random(seed)
    lines = text[:characters].split("\n")
    cuts = sorted(rng.randrange(len(lines)) for _ in pieces)
    for cut, piece in reversed(list(zip(cuts, pieces, strict=True))):
        lines.insert(cut, piece)
    return "\n".join(lines)
