"""A chat of many turns with prefix reuse, against the same turns computed from nothing.

Half way a turn is edited and the chat goes on from there, as users of a chat window do.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from g4cpp.eval.blame import Yardsticks
from g4cpp.eval.cells import Blame, Cell
from g4cpp.eval.distances import Rows, kl_divergence
from g4cpp.eval.divergence import EXACT_LIMIT, ROUNDED_LIMIT
from g4cpp.eval.retrieval import Asker
from g4cpp.eval.subjects import EngineSubject
from g4cpp.eval.tasks import needle
from g4cpp.types import Message

TURNS = 8
_ANSWER = 32  # tokens of an answer at most


@dataclass(frozen=True)
class Turn:
    """A prompt with all turns before it, the logits after it as the chat had them, and the answer."""

    ids: list[int]
    row: Rows
    answer: list[int]


def turn_cells(asker: Asker, yardsticks: Yardsticks, length: int, seed: int) -> list[Cell]:
    """The worst turn of the chat, in the setting and in float32 mode; `length` tokens in all, about."""
    subjects = [yardsticks.subject()] if yardsticks.is_exact else [yardsticks.subject(), yardsticks.exact()]
    cells = []
    for subject in subjects:
        found = _chat(asker, subject, length, seed)
        limit = EXACT_LIMIT if subject.engine.compute == "f32" else ROUNDED_LIMIT
        each = [_recomputed(subject, turn) for turn in found]
        worst = int(np.argmax(np.nan_to_num([value for value, _ in each], nan=np.inf)))
        other_texts = sum(not same for _, same in each)
        passed = each[worst][0] <= limit and (not other_texts or subject.engine.compute != "f32")
        blame = None if passed else Blame("engine", "a chat that reuses its prefix is not what its text gives")
        cells.append(
            Cell(
                "turns", f"{len(found)} turns", subject.name, length, each[worst][0], passed,
                limit=f"<= {limit:g} nats", blame=blame,
                detail=f"worst in turn {worst + 1}; {other_texts} answers differ from the recomputed ones",
            )
        )  # fmt: skip
    return cells


def _chat(asker: Asker, subject: EngineSubject, length: int, seed: int) -> list[Turn]:
    rng = random.Random(f"{seed}.turns.{length}")
    task = needle(rng, TURNS, 0)
    messages: list[Message] = []
    turns: list[Turn] = []
    for number, (question, (_, line)) in enumerate(zip(task.questions, task.pieces, strict=True)):
        if number == TURNS // 2:
            # Back to the third turn: what was said since is gone, and the next turn says something else.
            del messages[4:]
        story = "\n".join(asker.haystack.filler(max(32, length // TURNS - 96), rng.randrange(1000)))
        messages.append(Message("user", f"{story}\n{line}\n{question.text}"))
        ids = asker.render(messages)
        subject.greedy(ids, 1, ())
        row = subject.engine.last_logits()
        tokens, _ = subject.greedy(ids, _ANSWER, asker.engines.tokenizer.stop_ids)
        turns.append(Turn(ids, row, tokens))
        messages.append(Message("assistant", asker.engines.tokenizer.decode(tokens)))
    return turns


def _recomputed(subject: EngineSubject, turn: Turn) -> tuple[float, bool]:
    """KL(computed from nothing || as the chat had it), and whether the answer is the same."""
    subject.engine.reset()
    subject.greedy(turn.ids, 1, ())
    row = subject.engine.last_logits()
    value = float(kl_divergence(row[None], turn.row[None])[0])
    answer, _ = subject.greedy(turn.ids, max(1, len(turn.answer)), ())
    return value, answer[: len(turn.answer)] == turn.answer
