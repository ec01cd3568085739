"""The step loop behind generate, chat, their streams and bench: prefill, snapshot, then sample and decode by
turns.

One engine holds one sequence. Each step takes the engine's lock; a loop that finds another call's sequence in
the engine prefills its own tokens again (what the two share is reused), so loops may interleave freely. A
call that does not stream holds the lock to its end, which spares that work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from g4cpp.errors import ArgumentError, ContextOverflowError, ModelError
from g4cpp.prompt import Prompt
from g4cpp.types import FinishReason, Timings, Usage

if TYPE_CHECKING:
    from g4cpp import _core


def poll() -> None:
    """Called by the engine now and then: entering Python lets a pending Ctrl-C raise its KeyboardInterrupt
    here."""


def closed_error() -> ModelError:
    return ModelError("[model] an open model expected, this one is closed")


class SharedEngine:
    """The engine, the lock around it, and who put the present sequence into it."""

    def __init__(self, engine: _core.Engine) -> None:
        self._engine: _core.Engine | None = engine
        self._owner: object = None
        self.lock = threading.RLock()

    @contextmanager
    def step(self, owner: object) -> Iterator[tuple[_core.Engine, bool]]:
        """The engine, locked, and whether its sequence is still the one `owner` left.

        Raises ModelError when closed.
        """
        with self.lock:
            if self._engine is None:
                raise closed_error()
            untouched, self._owner = self._owner is owner, None
            yield self._engine, untouched
            self._owner = (
                owner  # only when the step went through: after an error nobody knows what the engine holds
            )

    def close(self) -> None:
        with self.lock:
            self._engine = None

    @property
    def closed(self) -> bool:
        return self._engine is None


class TokenLoop(Iterator[int]):
    """Iterates over the token ids that follow a prompt, the one that ended the output left out.

    `max_tokens` None, or more than that, means what is left of the context. Raises ArgumentError (empty
    prompt) and ContextOverflowError at once, ModelError when the logits are not finite.
    """

    def __init__(
        self,
        shared: SharedEngine,
        prompt: Sequence[int] | Prompt,
        sampler: _core.Sampler,
        *,
        n_ctx: int,
        max_tokens: int | None = None,
        stop_ids: Collection[int] = (),
    ) -> None:
        whole = prompt if isinstance(prompt, Prompt) else Prompt(list(prompt))
        length = len(whole.ids)
        if not length:
            raise ArgumentError("[generate] prompt: at least one token expected, 0 found")
        if length > n_ctx:
            of_media = f", {whole.n_media_tokens} of them media," if whole.media else ""
            message = f"[generate] prompt: {length} tokens{of_media} do not fit a context of {n_ctx}"
            raise ContextOverflowError(message, length, n_ctx)
        self._shared = shared
        self._whole = whole
        self._prompt = whole.ids
        self._sampler = sampler
        self._stop_ids = frozenset(stop_ids)
        left = n_ctx - length
        self._budget = left if max_tokens is None else min(max_tokens, left)
        self._cached = 0
        self._prefill_seconds = 0.0
        self._decode_seconds = 0.0
        self._sampled = 0
        self.tokens: list[int] = []
        self.finish_reason: FinishReason | None = None if self._budget else "length"

    def __next__(self) -> int:
        if self.finish_reason is not None:
            raise StopIteration
        with self._shared.step(self) as (engine, untouched):
            began = time.perf_counter()
            if not self._sampled:
                self._cached = len(self._prompt) - self._prefill(engine, self._prompt)
                engine.snapshot()
            elif untouched:
                engine.decode(self.tokens[-1], poll)
            else:
                self._prefill(engine, self._prompt + self.tokens)
            token = engine.sample(self._sampler)
            seconds = time.perf_counter() - began
        self._sampler.accept(token)
        if self._sampled:
            self._decode_seconds += seconds
        else:
            self._prefill_seconds = seconds
        self._sampled += 1
        if token in self._stop_ids:
            self.finish_reason = "stop"
            raise StopIteration
        self.tokens.append(token)
        if len(self.tokens) == self._budget:
            self.finish_reason = "length"
        return token

    def _prefill(self, engine: _core.Engine, ids: list[int]) -> int:
        return engine.prefill(ids, poll, *([self._whole.media] if self._whole.media else []))

    def stop(self) -> None:
        """Ends the loop here, because a stop string has come."""
        self.finish_reason = "stop"

    @property
    def usage(self) -> Usage:
        return Usage(len(self._prompt), self._cached, len(self.tokens), self._whole.n_media_tokens)

    @property
    def timings(self) -> Timings:
        computed = len(self._prompt) - self._cached if self._sampled else 0
        return Timings(
            computed, self._prefill_seconds, max(self._sampled - 1, 0), self._decode_seconds, self._whole.media_seconds
        )
