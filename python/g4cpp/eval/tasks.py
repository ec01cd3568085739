"""Retrieval tasks: facts for a haystack, questions, and what counts as an answer.

Plain English for any model; the demo model was trained on the same wordings. An answer counts when it holds the asked
for number or words, whatever stands around them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ADJECTIVES = """
amber ancient blue bold brave bright broken calm clever cold copper crimson curious dark deep distant dry dusty
early empty fair fast fierce fine frozen gentle giant golden grand gray green happy heavy hidden hollow honest
humble iron jolly kind large lazy light little lonely long lost loud lucky marble mighty misty narrow noble old
orange pale patient plain proud purple quick quiet rare red rich rough round royal rusty scarlet secret sharp
""".split()  # noqa: SIM905
NOUNS = """
anchor apple arrow badger barrel basket beacon bear bell boat book bottle bridge candle canyon castle cat chair
clock cloud coat cookie crown desert dog door dragon drum eagle engine falcon feather field fire fish flag
flower forest fountain fox garden gate glass hammer harbor hat hawk hill horse house island jacket key king
kitchen kite ladder lake lamp lantern leaf letter lion map market meadow mirror moon mountain mouse needle ocean
""".split()  # noqa: SIM905


@dataclass(frozen=True)
class Question:
    """`answer` is a full sentence; right when all of `parts` come in this order. depth: where its fact stands."""

    text: str
    answer: str
    parts: tuple[str, ...]
    depth: float


@dataclass(frozen=True)
class Task:
    """Lines with their depths, in order, and questions on them. dense: no running text around the lines."""

    pieces: Sequence[tuple[float, str]]
    questions: Sequence[Question]
    dense: bool = False


def is_right(answer: str, question: Question) -> bool:
    """Whether every part comes, in order, as whole words; markup, capitals and commas within numbers do not matter."""
    text, at = _plain(answer), 0
    for part in question.parts:
        found = re.search(rf"(?<!\w){re.escape(_plain(part))}(?!\w)", text[at:])
        if not found:
            return False
        at += found.end()
    return True


def _plain(text: str) -> str:
    return " ".join(re.sub(r"(?<=\d),(?=\d{3})", "", re.sub(r"[*_`#\"]", "", text)).lower().split())


def needle(rng: random.Random, depths: int, room: int) -> Task:
    """One fact at each depth, each asked for."""
    facts = [(key, _digits(rng, 5)) for key in _names(rng, depths)]
    lines = [(_depth(i, depths), f"The secret number of the {key} is {value}.") for i, (key, value) in enumerate(facts)]
    questions = [
        Question(f"What is the secret number of the {key}?", line, (value,), depth)
        for (key, value), (depth, line) in zip(facts, lines, strict=True)
    ]
    return Task(lines, questions)


def multi_needle(rng: random.Random, depths: int, room: int) -> Task:
    """Three notes on each of several names; a question asks for one by name and number."""
    keys = _names(rng, max(2, depths - 1))
    order = [(key, number) for number in (1, 2, 3) for key in keys]
    texts = {note: f"{_name(rng)} and {_name(rng)}" for note in order}
    lines = {
        (key, number): (_depth(i, len(order)), f"Note {number} about the {key}: {texts[key, number]}.")
        for i, (key, number) in enumerate(order)
    }
    asked = [order[round(i * (len(order) - 1) / max(1, depths - 1))] for i in range(depths)]
    questions = [
        Question(
            f"What does note {number} about the {key} say?",
            lines[key, number][1],
            (texts[key, number],),
            _depth(i, depths),
        )
        for i, (key, number) in enumerate(asked)
    ]
    return Task(list(lines.values()), questions)


def ordered_recall(rng: random.Random, depths: int, room: int) -> Task:
    """Numbered items met from the first depth to the last, asked for as a list."""
    items = _names(rng, depths)
    lines = [(_depth(i, depths), f"Checkpoint {i + 1} is the {item}.") for i, item in enumerate(items)]
    answer = " ".join(line for _, line in lines)
    return Task(lines, [Question("List all checkpoints in order.", answer, tuple(items), 1.0)])


def key_value(rng: random.Random, depths: int, room: int) -> Task:
    """A table that fills the room by itself (about nine tokens a line, six thousand names at most)."""
    count = max(depths, min(room // 12, len(ADJECTIVES) * len(NOUNS) // 2))
    rows = [(key, _digits(rng, 4)) for key in _names(rng, count)]
    lines = [(0.0, "This is a table of values."), *((0.0, f"{key}: {value}") for key, value in rows)]
    asked = [round(i * (count - 1) / max(1, depths - 1)) for i in range(depths)]
    questions = [
        Question(f"What is the value of {rows[i][0]}?", lines[i + 1][1], (rows[i][1],), _depth(number, depths))
        for number, i in enumerate(asked)
    ]
    return Task(lines, questions, dense=True)


TASKS: dict[str, Callable[[random.Random, int, int], Task]] = {
    "needle": needle,
    "multi_needle": multi_needle,
    "ordered_recall": ordered_recall,
    "key_value": key_value,
}
"""Name -> task(random source, number of depths, tokens of room)."""


def _depth(i: int, count: int) -> float:
    return i / max(1, count - 1)


def _name(rng: random.Random) -> str:
    return f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"


def _names(rng: random.Random, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[_name(rng)] = None
    return list(found)


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))
