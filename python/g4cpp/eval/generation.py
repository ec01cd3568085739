"""Long generation after a long text: does it run in circles?"""

from __future__ import annotations

from collections.abc import Sequence

from g4cpp.eval.blame import Yardsticks, assign
from g4cpp.eval.cells import Cell
from g4cpp.eval.loops import Signs, signs
from g4cpp.eval.subjects import EngineSubject, Subject
from g4cpp.generation import poll
from g4cpp.options import GenerationOptions, SamplingDefaults, make_sampler

GENERATED = 512


def generation_cells(yardsticks: Yardsticks, ids: Sequence[int], seed: int) -> list[Cell]:
    """`ids` continued by GENERATED sampled tokens (Gemma's own settings), whatever ends the model would make.

    Greedy text of small models circles by itself, so it says nothing about an engine.
    """
    found = _signs(yardsticks, yardsticks.subject(), ids, seed)
    blame = None
    if found.looping:

        def passes(other: Subject) -> bool:
            # A reference offers greedy text only, which is no evidence; float32 mode samples as we do.
            return isinstance(other, EngineSubject) and not _signs(yardsticks, other, ids, seed).looping

        blame = assign(Yardsticks(yardsticks.engines, yardsticks.setting), ids, passes)
    return [
        Cell(
            "generation", f"{GENERATED} sampled tokens", yardsticks.setting.label, len(ids), found.compression,
            not found.looping, limit="no circle, 8-grams repeated <= 50 %, deflates <= 4 to 1", detail=str(found),
            blame=blame,
        )
    ]  # fmt: skip


def _signs(yardsticks: Yardsticks, subject: EngineSubject, ids: Sequence[int], seed: int) -> Signs:
    tokens = sample(yardsticks, subject, ids, seed)
    return signs(tokens, yardsticks.engines.tokenizer.decode(tokens))


def sample(yardsticks: Yardsticks, subject: EngineSubject, ids: Sequence[int], seed: int) -> list[int]:
    """Sampled tokens with stop tokens forbidden."""
    tokenizer, engine = yardsticks.engines.tokenizer, subject.engine
    banned = [*tokenizer.suppress_ids, *tokenizer.stop_ids]
    options = GenerationOptions(temperature=1.0, top_k=64, top_p=0.95, seed=seed)
    defaults = SamplingDefaults.of_file(yardsticks.engines.file)
    sampler = make_sampler(options, defaults, engine.n_vocab, suppress=banned, prompt=list(ids))
    engine.prefill(ids, poll)
    found: list[int] = []
    while len(found) < GENERATED and len(ids) + len(found) < engine.n_ctx:
        token = engine.sample(sampler)
        sampler.accept(token)
        found.append(token)
        if len(found) < GENERATED:
            engine.decode(token, poll)
    return found
