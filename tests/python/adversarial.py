"""Random mixtures of what tokenizers get wrong: scripts, emoji, whitespace runs, controls, lookalikes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

# First and last code point: Latin, Greek, Cyrillic, Hebrew and Arabic, Devanagari, Khmer, kana, CJK, Hangul,
# private use, specials, pictographs, the last ones there are.
RANGES = [
    *((0x20, 0x7E), (0xA0, 0x24F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F)),
    *((0x1780, 0x17FF), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xE0FF)),
    *((0xFFF0, 0xFFFF), (0x1F300, 0x1FAFF), (0x10FFF0, 0x10FFFF)),
]
WORDS = ["def", "return", "self", "import", "the", "value", "None", "x1", "__init__", "isn't"]
CONTROLS = ["\t", "\r\n", "\r", "\v", "\x00", "\x1b[0m", "\x7f", "\x85", "\u2028", "\ufeff"]
CLUSTERS = [
    *(
        "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "\U0001f3f3\ufe0f\u200d\U0001f308",
        "\U0001f44d\U0001f3fd",
    ),
    *(
        "\U0001f1e9\U0001f1ea\U0001f1eb",
        "e\u0301\u0302\u0323",
        "\u0e01\u0e47\u0e47\u0e47",
        "\u200d",
        "\u202e",
        "\ufdfa",
    ),
]
MARKS = ["\u2581", "\u2581" * 3, " \u2581 ", "\u2580", "\u2582", "\u2581the\u2581"]
LOOKALIKES = [
    *("<", "<|", "|>", "<||>", "< |turn>", "<|turn >", "<<|turn>>", "<|TURN>", "<|turn<turn|>|>", "<bos"),
    *("<0x41>", "<0x0A>", "<0xFF", "<0xE2><0x96><0x81>", "<unused0>", "[multimodal]", "</b", "<b><"),
]


def adversarial_texts(count: int, seed: int, special: Sequence[str]) -> list[str]:
    """`count` texts, the same for the same arguments. No lone surrogates: they have no UTF-8."""
    rng = random.Random(seed)

    def torn() -> str:
        text, cut = rng.choice(special), rng.randint(1, 4)
        return text[:cut] if rng.random() < 0.5 else text[cut:]

    pieces: list[Callable[[], str]] = [
        lambda: "".join(chr(rng.randint(*rng.choice(RANGES))) for _ in range(rng.randint(1, 12))),
        lambda: "".join(chr(rng.randint(0x20, 0x7E)) for _ in range(rng.randint(1, 20))),
        lambda: " ".join(rng.choice(WORDS) for _ in range(6)),
        lambda: "\n" * rng.randint(1, 40),
        lambda: " " * rng.randint(1, 60),
        lambda: rng.choice(CONTROLS) * rng.randint(1, 9),
        lambda: rng.choice(CLUSTERS),
        lambda: rng.choice(MARKS),
        lambda: rng.choice(special),
        torn,
        lambda: rng.choice(LOOKALIKES),
        lambda: str(rng.randint(0, 10**12)),
        lambda: rng.choice("aA\u00e9\u754c\U0001f600<") * rng.randint(1, 100),
    ]
    return ["".join(rng.choice(pieces)() for _ in range(rng.randint(0, 8))) for _ in range(count)]
