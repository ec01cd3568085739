"""How to generate: the options of a call, their checks, and the defaults a file or the family gives.

A field left None takes the file's `general.sampling.*` value where it has one (the keys llama.cpp defines),
else Gemma's published settings: temperature 1.0, top-k 64, top-p 0.95.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypedDict

from g4cpp.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from g4cpp import _core


class OptionArgs(TypedDict, total=False):
    """The keyword arguments of generate() and chat(): the fields of GenerationOptions."""

    max_tokens: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float
    frequency_penalty: float
    penalty_window: int | None
    logit_bias: Mapping[int, float]
    suppress: Sequence[int]
    stop: str | Sequence[str]
    stop_ids: Sequence[int]
    ignore_eos: bool
    seed: int | None


@dataclass(frozen=True)
class GenerationOptions:
    """Options of one generation. Raises ArgumentError on a value out of range."""

    max_tokens: int | None = None
    """At most so many tokens; None: what is left of the context."""
    temperature: float | None = None
    """0 is greedy."""
    top_k: int | None = None
    """Keep the k likeliest tokens; 0 keeps all."""
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    """Divides (multiplies, if negative) the logits of recent tokens; 1 is off."""
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_window: int | None = None
    """Tokens, of prompt and output, the penalties look back; 0: all of them."""
    logit_bias: Mapping[int, float] | None = None
    """Added to the logits of these ids; -inf forbids one."""
    suppress: Sequence[int] = ()
    """Ids never sampled, beside those the file itself names."""
    stop: str | Sequence[str] = ()
    """Texts that end the output; they are not part of it."""
    stop_ids: Sequence[int] = ()
    """Ids that end the output, beside the model's own."""
    ignore_eos: bool = False
    """Goes on past the model's own end-of-turn tokens."""
    seed: int | None = None
    """Same seed, same text; None draws one."""

    def __post_init__(self) -> None:
        _whole("max_tokens", self.max_tokens, 0)
        _real("temperature", self.temperature, 0.0, math.inf)
        _whole("top_k", self.top_k, 0)
        _real("top_p", self.top_p, 0.0, 1.0)
        _real("min_p", self.min_p, 0.0, 1.0)
        _real("repetition_penalty", self.repetition_penalty, 0.0, math.inf)
        if self.repetition_penalty == 0:
            raise ArgumentError("[options] repetition_penalty: above 0 expected, 0 found")
        _real("presence_penalty", self.presence_penalty, -math.inf, math.inf)
        _real("frequency_penalty", self.frequency_penalty, -math.inf, math.inf)
        _whole("penalty_window", self.penalty_window, 0)
        _whole("seed", self.seed, 0, 2**64)
        for name in ("suppress", "stop_ids"):
            for value in _sequence(name, getattr(self, name)):
                _whole(name, value, 0)
        for token, bias in (self.logit_bias or {}).items():
            _whole("logit_bias key", token, 0)
            if bias != -math.inf:
                _real(f"logit_bias of {token}", bias, -math.inf, math.inf)
        for text in self.stop_strings:
            if not isinstance(text, str) or not text:
                raise ArgumentError(f"[options] stop: non-empty strings expected, {text!r} found")

    @property
    def stop_strings(self) -> list[str]:
        """`stop` as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(_sequence("stop", self.stop))

    @classmethod
    def of(cls, base: GenerationOptions | None, changes: Mapping[str, Any]) -> GenerationOptions:
        """`base` (or the defaults) with the keyword arguments of a call applied. Raises ArgumentTypeError."""
        known = {field.name for field in fields(cls)}
        for name in changes:
            if name not in known:
                raise ArgumentTypeError(f"[options] no option {name!r}; there are {', '.join(sorted(known))}")
        return replace(base or cls(), **changes)


@dataclass(frozen=True)
class SamplingDefaults:
    """The settings a field left None takes."""

    temperature: float = 1.0
    top_k: int = 64
    top_p: float = 0.95
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    penalty_window: int = 64

    @classmethod
    def of_file(cls, file: _core.GgufFile) -> SamplingDefaults:
        """Gemma's settings, then those the file carries; a value that makes no sense is passed over."""
        keys = {
            "temperature": "temp",
            "top_k": "top_k",
            "top_p": "top_p",
            "min_p": "min_p",
            "repetition_penalty": "penalty_repeat",
            "penalty_window": "penalty_last_n",
        }
        found: dict[str, Any] = {}
        for name, key in keys.items():
            value = file.get(f"general.sampling.{key}")
            whole = name in ("top_k", "penalty_window")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                continue
            # float32 0.95 must not turn into 0.949999988 when shown or compared.
            value = max(int(value), 0) if whole else float(f"{value:.7g}")
            try:
                GenerationOptions.of(None, {name: value})
            except ArgumentError:
                continue
            found[name] = value
        return cls(**found)


def make_sampler(
    options: GenerationOptions,
    defaults: SamplingDefaults,
    n_vocab: int,
    *,
    suppress: Sequence[int] = (),
    prompt: Sequence[int] = (),
) -> _core.Sampler:
    """The core's sampler for these options, the prompt's tokens counted for the penalties.

    `suppress` holds the file's own ids, which may lie past a vocabulary cut short; those of the options may
    not.
    Raises ArgumentError.
    """
    from g4cpp import _core

    bias = {int(token): float(value) for token, value in (options.logit_bias or {}).items()}
    for name, ids in (("logit_bias", bias), ("suppress", options.suppress), ("stop_ids", options.stop_ids)):
        for token in ids:
            if token >= n_vocab:
                raise ArgumentError(f"[options] {name}: token ids below {n_vocab} expected, {token} found")
    forbidden = [token for token, value in bias.items() if value == -math.inf]

    def value(name: str) -> Any:
        chosen = getattr(options, name)
        return getattr(defaults, name) if chosen is None else chosen

    sampler = _core.Sampler(
        temperature=value("temperature"),
        top_k=value("top_k"),
        top_p=value("top_p"),
        min_p=value("min_p"),
        repetition_penalty=value("repetition_penalty"),
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        penalty_window=value("penalty_window"),
        logit_bias={token: value for token, value in bias.items() if value != -math.inf},
        suppress=[*(token for token in suppress if token < n_vocab), *options.suppress, *forbidden],
        seed=secrets.randbits(63) if options.seed is None else options.seed,
    )
    if value("repetition_penalty") != 1 or options.presence_penalty or options.frequency_penalty:
        window = value("penalty_window")
        for token in prompt[-window:]:  # [-0:] is all of it, as a window of 0 means
            sampler.accept(token)
    return sampler


def _whole(name: str, value: object, low: int, end: int = 2**31) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentTypeError(f"[options] {name}: a whole number expected, {value!r} found")
    if not low <= value.__index__() < end:
        raise ArgumentError(f"[options] {name}: at least {low} and below {end} expected, {value} found")


def _real(name: str, value: object, low: float, high: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ArgumentTypeError(f"[options] {name}: a number expected, {value!r} found")
    number = float(value)
    if not math.isfinite(number) or not low <= number <= high:
        bounds = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise ArgumentError(f"[options] {name}: a finite number {bounds} expected, {value} found")


def _sequence(name: str, value: object) -> Sequence[Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise ArgumentTypeError(f"[options] {name}: a list expected, {type(value).__name__} found")
    return value
