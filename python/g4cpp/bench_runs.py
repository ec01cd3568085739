"""Single runs of bench: our side, through the loop of generate, and taking turns with a peer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from g4cpp.generation import SharedEngine, TokenLoop
from g4cpp.options import GenerationOptions, SamplingDefaults, make_sampler

if TYPE_CHECKING:
    from g4cpp import _core
    from g4cpp.peers import Timed
    from g4cpp.types import Timings

Kind = Literal["prefill", "decode"]


@dataclass(frozen=True)
class Case:
    """`tokens` of a prompt, or steps, after `depth` others."""

    kind: Kind
    tokens: int
    depth: int


def by_turns(
    case: Case,
    sides: Sequence[Timed],
    context: Sequence[int],
    draw: Callable[[int], list[int]],
    repeat: int,
    after_round: Callable[[], None],
) -> list[list[float]]:
    """`repeat` runs of each side after one to warm up; a list of seconds for each side.

    context: its first tokens stand before the test's; draw(n): n token ids, new for each round.
    """
    rounds = []
    for index in range(repeat + 1):
        if case.kind == "prefill":
            prompt = draw(case.tokens)
            seconds = [side.prefill(context[: case.depth], prompt) for side in sides]
        else:
            seconds = [side.decode(context[: max(case.depth, 1)], case.tokens) for side in sides]
        if index:
            rounds.append(seconds)
            after_round()
    return [list(column) for column in zip(*rounds, strict=True)]


class Runner:
    """Our side of the turns (g4cpp.peers.Timed).

    After a prompt longer than the micro-batch the rings have lost the window before it: its context is computed anew.
    """

    def __init__(self, file: _core.GgufFile, engine: _core.Engine) -> None:
        self._engine = engine
        self._shared = SharedEngine(engine)
        self._defaults = SamplingDefaults.of_file(file)

    def prefill(self, context: Sequence[int], prompt: Sequence[int]) -> float:
        with self._shared.step(None) as (engine, _):
            if context:
                engine.prefill(context)
            else:
                engine.reset()
        return self._loop([*context, *prompt], 1).prefill_seconds

    def decode(self, context: Sequence[int], tokens: int) -> float:
        return self._loop(context, tokens + 1).decode_seconds

    def _loop(self, prompt: Sequence[int], n_sampled: int) -> Timings:
        sampler = make_sampler(GenerationOptions(seed=1), self._defaults, self._engine.n_vocab)
        loop = TokenLoop(self._shared, prompt, sampler, n_ctx=self._engine.n_ctx, max_tokens=n_sampled)
        for _ in loop:
            pass
        return loop.timings
