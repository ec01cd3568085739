"""Needle, multi-needle, ordered recall and key-value recall over length and depth.

All questions on one text share its cached tokens, as turns of a chat do; each is answered greedily.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from g4cpp.eval.blame import Yardsticks, assign
from g4cpp.eval.cells import Blame, Cell
from g4cpp.eval.haystack import Haystack
from g4cpp.eval.settings import Engines
from g4cpp.eval.subjects import Subject
from g4cpp.eval.tasks import TASKS, Question, Task, is_right
from g4cpp.types import Message

DENSE_LIMIT = 16384
"""A table without running text is asked for up to this length: no more names are to be had."""

_PASS = 0.9
_ENDS = 0.5  # of the answers of a model with a template: what else it likes to say is its own business
_ROOM = 64  # tokens of an answer beside twice the expected sentence


@dataclass(frozen=True)
class Answered:
    question: Question
    ids: list[int]
    budget: int
    text: str
    stopped: bool
    right: bool


class Asker:
    """Builds prompts for a model's own template and tokenizer, and puts them to subjects."""

    def __init__(self, engines: Engines, haystack: Haystack, seed: int) -> None:
        self.engines, self.haystack, self.seed = engines, haystack, seed

    def prompt(self, context: str, question: str) -> list[int]:
        """A user's turn where the file has a template, else a form that a base model completes."""
        if self.engines.template is None:
            return self.engines.tokenizer.encode(f"{context}\n\nQuestion: {question}\nAnswer:")
        return self.render([Message("user", f"{context}\n{question}")])

    def render(self, messages: Sequence[Message]) -> list[int]:
        """Turns by the file's template, or as plain lines where it has none."""
        vocabulary, template = self.engines.tokenizer, self.engines.template
        if template is None:
            lines = [f"{message.role}: {message.content}" for message in messages]
            return vocabulary.encode("\n".join([*lines, "assistant:"]))
        text = template.render(messages, thinking=False)
        bos = vocabulary.special_texts.get("bos_token")
        return vocabulary.encode(text, add_bos=False if bos and text.startswith(bos) else None)

    def task(self, kind: str, length: int, trial: int, depths: int) -> tuple[Task, str]:
        """The task and its text, so long that prompt and answer fit `length`."""
        rng = random.Random(f"{self.seed}.{kind}.{length}.{trial}")
        room = length - 192
        task = TASKS[kind](rng, depths, room)
        if task.dense:
            return task, "\n".join(line for _, line in task.pieces)
        return task, self.haystack.scatter(room, task.pieces, start=rng.randrange(1000))

    def answer(self, subject: Subject, ids: list[int], question: Question) -> Answered:
        vocabulary = self.engines.tokenizer
        budget = 2 * len(vocabulary.encode(question.answer, add_bos=False)) + _ROOM
        tokens, stopped = subject.greedy(ids, budget, vocabulary.stop_ids)
        text = vocabulary.decode(tokens)
        return Answered(question, ids, budget, text, stopped, is_right(text, question))


def retrieval_cells(
    asker: Asker, yardsticks: Yardsticks, kind: str, length: int, *, depths: int, trials: int, judge: bool = True
) -> list[Cell]:
    """One cell for each depth; the first miss of the unit is put to the yardsticks (`judge`)."""
    answered: dict[float, list[Answered]] = {}
    for trial in range(trials):
        task, context = asker.task(kind, length, trial, depths)
        for question in task.questions:
            ids = asker.prompt(context, question.text)
            answered.setdefault(question.depth, []).append(asker.answer(yardsticks.subject(), ids, question))
    missed = next((one for all_of in answered.values() for one in all_of if not one.right), None)
    blame = _blame(asker, yardsticks, missed) if missed and judge else None
    ends = asker.engines.template is not None
    return list(_cells(answered, kind, yardsticks.setting.label, length, blame, ends))


def _cells(
    answered: dict[float, list[Answered]], kind: str, setting: str, length: int, blame: Blame | None, ends: bool
) -> Iterator[Cell]:
    for depth, all_of in answered.items():
        share = sum(one.right for one in all_of) / len(all_of)
        passed = share >= _PASS
        wrong = next((one for one in all_of if not one.right), all_of[0])
        told = f"asked: {wrong.question.text} wanted: {', '.join(wrong.question.parts)} found: {wrong.text[:160]}"
        yield Cell(
            kind, "all" if kind == "ordered_recall" else f"depth {depth:.0%}", setting, length, share, passed,
            depth=depth, limit=f">= {_PASS:.0%} right", detail="" if passed else told, blame=None if passed else blame,
        )  # fmt: skip
    everything = [one for all_of in answered.values() for one in all_of]
    stopped = sum(one.stopped for one in everything) / len(everything)
    blame = Blame("unclear", "see what the answers say") if ends and stopped < _ENDS else None
    yield Cell(
        "stop", kind.replace("_", " "), setting, length, stopped, stopped >= _ENDS if ends else None,
        limit=f">= {_ENDS:.0%} of the answers end", detail=f"{len(everything)} answers", blame=blame,
    )  # fmt: skip


def _blame(asker: Asker, yardsticks: Yardsticks, missed: Answered) -> Blame:
    passes: Callable[[Subject], bool] = lambda subject: asker.answer(subject, missed.ids, missed.question).right  # noqa: E731
    return assign(yardsticks, missed.ids, passes)
