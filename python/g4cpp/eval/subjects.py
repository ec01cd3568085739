"""Whatever can be asked for logits and greedy text: our engine in some setting, or a reference beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from g4cpp.eval.distances import Rows
from g4cpp.generation import poll

if TYPE_CHECKING:
    from g4cpp import _core


class Subject(Protocol):
    """A model under test or a yardstick. Token ids go in, float32 rows come out."""

    name: str

    def logits(self, ids: Sequence[int], positions: Sequence[int]) -> Rows:
        """[positions, vocabulary] from an empty cache; positions ascend."""
        ...

    def greedy(self, ids: Sequence[int], count: int, stop: Collection[int]) -> tuple[list[int], bool]:
        """At most `count` likeliest tokens, and whether a stop token ended them (it is left out)."""
        ...

    def layers(self, ids: Sequence[int], inputs: Rows | None = None) -> Rows:
        """[1 + layers, tokens, hidden]: the embedding, then each layer's output, on `inputs` [layers, tokens, hidden]
        where given."""
        ...


class EngineSubject:
    """Our engine. greedy() reuses what the cache holds, as generate() does; logits() computes anew.

    tracer: gives the engine for layers(), which must take its tokens as one micro-batch.
    """

    def __init__(self, engine: _core.Engine, name: str, tracer: Callable[[], _core.Engine] | None = None) -> None:
        self.engine, self.name = engine, name
        self._tracer = tracer or (lambda: engine)

    def logits(self, ids: Sequence[int], positions: Sequence[int]) -> Rows:
        return self.engine.logits(ids, positions, poll)

    def greedy(self, ids: Sequence[int], count: int, stop: Collection[int]) -> tuple[list[int], bool]:
        found: list[int] = []
        self.engine.prefill(ids, poll)
        self.engine.snapshot()
        while len(found) < count and len(ids) + len(found) < self.engine.n_ctx:
            token = int(self.engine.last_logits().argmax())
            if token in stop:
                return found, True
            found.append(token)
            if len(found) < count:
                self.engine.decode(token, poll)
        return found, False

    def layers(self, ids: Sequence[int], inputs: Rows | None = None) -> Rows:
        trace = self._tracer().trace(ids, inputs)
        return np.stack([trace["embedding"], *(trace[f"layer.{i}"] for i in range(self.engine.n_layers))])


class Remembered:
    """A subject that computes the same logits only once."""

    def __init__(self, subject: Subject) -> None:
        self._subject, self.name = subject, subject.name
        self._rows: dict[tuple[tuple[int, ...], tuple[int, ...]], Rows] = {}

    def logits(self, ids: Sequence[int], positions: Sequence[int]) -> Rows:
        key = (tuple(ids), tuple(positions))
        if key not in self._rows:
            self._rows[key] = self._subject.logits(ids, positions)
        return self._rows[key]

    def greedy(self, ids: Sequence[int], count: int, stop: Collection[int]) -> tuple[list[int], bool]:
        return self._subject.greedy(ids, count, stop)

    def layers(self, ids: Sequence[int], inputs: Rows | None = None) -> Rows:
        return self._subject.layers(ids, inputs)

