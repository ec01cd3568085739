"""The step loop and the streams, against a scripted engine that records what it is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from g4cpp.errors import ArgumentError, ContextOverflowError, ModelError
from g4cpp.generation import SharedEngine, TokenLoop
from g4cpp.streams import AnswerText, ChannelText, ChatStream, CompletionStream
from g4cpp.tokenizer import Tokenizer


class ScriptedEngine:
    """Continues every sequence by `script`, whatever its prompt: the token after n generated ones is
    script[n]."""

    def __init__(self, script: Sequence[int], prompt_length: int) -> None:
        self.script, self.prompt_length = list(script), prompt_length
        self.tokens: list[int] = []
        self.calls: list[str] = []
        self.fail_at: int | None = None

    def prefill(self, ids: Sequence[int], poll: Callable[[], None]) -> int:
        cached = 0
        while cached < min(len(ids) - 1, len(self.tokens)) and ids[cached] == self.tokens[cached]:
            cached += 1
        self.calls.append(f"prefill {len(ids)}")
        self.tokens = list(ids)
        poll()
        return len(ids) - cached

    def snapshot(self) -> None:
        self.calls.append("snapshot")

    def decode(self, token: int, poll: Callable[[], None]) -> None:
        if self.fail_at == len(self.tokens):
            self.fail_at = None
            raise KeyboardInterrupt
        self.calls.append("decode")
        self.tokens.append(token)

    def sample(self, sampler: Any) -> int:
        return self.script[len(self.tokens) - self.prompt_length]


class Recorder:
    """Stands for a sampler: records what it is told."""

    def __init__(self) -> None:
        self.accepted: list[int] = []

    def accept(self, token: int) -> None:
        self.accepted.append(token)


def loop_over(
    script: Sequence[int], prompt: Sequence[int] = (1, 2, 3), **options: Any
) -> tuple[ScriptedEngine, TokenLoop]:
    engine: Any = ScriptedEngine(script, len(prompt))
    options.setdefault("n_ctx", 100)
    return engine, TokenLoop(SharedEngine(engine), prompt, Recorder(), **options)  # type: ignore[arg-type]


def test_prefill_then_snapshot_then_decode() -> None:
    engine, loop = loop_over([10, 11, 12, 0], stop_ids=[0])
    assert list(loop) == [10, 11, 12]
    assert engine.calls == ["prefill 3", "snapshot", "decode", "decode", "decode"]
    assert loop.finish_reason == "stop"
    assert (loop.usage.prompt_tokens, loop.usage.cached_tokens, loop.usage.completion_tokens) == (3, 0, 3)
    assert (loop.timings.prefill_tokens, loop.timings.decode_tokens) == (3, 3)
    assert loop._sampler.accepted == [10, 11, 12, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("max_tokens", [1, 2, 5])
def test_max_tokens_ends_without_decoding_the_last(max_tokens: int) -> None:
    engine, loop = loop_over(range(10, 20), max_tokens=max_tokens)
    assert len(list(loop)) == max_tokens
    assert loop.finish_reason == "length"
    assert engine.calls.count("decode") == max_tokens - 1


def test_no_tokens_asked_for_computes_nothing() -> None:
    engine, loop = loop_over([10], max_tokens=0)
    assert list(loop) == []
    assert loop.finish_reason == "length"
    assert engine.calls == []


@pytest.mark.parametrize("max_tokens", [None, 50])
def test_context_full_ends_with_length(max_tokens: int | None) -> None:
    _, loop = loop_over(range(10, 99), n_ctx=8, max_tokens=max_tokens)
    assert len(list(loop)) == 5
    assert loop.finish_reason == "length"


def test_prompts_that_cannot_be() -> None:
    with pytest.raises(ContextOverflowError, match="9 tokens do not fit a context of 8") as caught:
        loop_over([1], prompt=range(9), n_ctx=8)
    assert (caught.value.n_tokens, caught.value.n_ctx) == (9, 8)
    with pytest.raises(ArgumentError, match="at least one token expected"):
        loop_over([1], prompt=[])


def test_loops_that_interleave_do_not_disturb_each_other() -> None:
    engine: Any = ScriptedEngine([10, 11, 12, 13], 3)
    shared = SharedEngine(engine)
    sampler: Any = Recorder()
    one, two = (
        TokenLoop(shared, prompt, sampler, n_ctx=100, max_tokens=4) for prompt in ([1, 2, 3], [1, 5, 6])
    )
    assert [next(one), next(two), next(one), next(two), next(two)] == [10, 10, 11, 11, 12]
    assert engine.calls == [
        "prefill 3",
        "snapshot",
        "prefill 3",
        "snapshot",
        "prefill 4",
        "prefill 4",
        "decode",
    ]
    assert (one.usage.cached_tokens, two.usage.cached_tokens) == (0, 1)
    assert engine.tokens == [1, 5, 6, 10, 11]


def test_an_interrupted_step_is_computed_anew() -> None:
    engine, loop = loop_over([10, 11, 12, 13], max_tokens=4)
    engine.fail_at = 4
    assert [next(loop), next(loop)] == [10, 11]
    with pytest.raises(KeyboardInterrupt):
        next(loop)
    assert list(loop) == [12, 13]
    assert engine.calls == ["prefill 3", "snapshot", "decode", "prefill 5", "decode"]


def test_closed_engine() -> None:
    engine: Any = ScriptedEngine([1], 1)
    shared = SharedEngine(engine)
    loop = TokenLoop(shared, [1], Recorder(), n_ctx=9)  # type: ignore[arg-type]
    shared.close()
    with pytest.raises(ModelError, match="closed"):
        next(loop)


# --- text ---


@pytest.fixture(scope="module")
def tokenizer(tiny: Callable[..., Path]) -> Tokenizer:
    return Tokenizer.from_gguf(tiny("dense_e", with_tensors=False))


def completion(tokenizer: Tokenizer, text: str, stop: Sequence[str] = (), **options: Any) -> CompletionStream:
    ids = tokenizer.encode(text, add_bos=False)
    eos = tokenizer.eos_id
    assert eos is not None
    _, loop = loop_over([*ids, eos], stop_ids=[eos], n_ctx=1000, **options)
    return CompletionStream(loop, AnswerText(tokenizer, stop))


@pytest.mark.parametrize("text", ["hello world", "Grüße, 日本 🌍!", "a\nb\n\n", " the  thing"])
def test_stream_gives_the_text_in_whole_characters(tokenizer: Tokenizer, text: str) -> None:
    stream = completion(tokenizer, text)
    pieces = list(stream)
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert stream.result.text == str(stream.result) == text
    assert stream.result.finish_reason == "stop"
    assert stream.result.tokens == tokenizer.encode(text, add_bos=False)


def test_broken_utf8_comes_out_replaced(tokenizer: Tokenizer) -> None:
    lead = tokenizer.find("<0xE2>")
    assert lead is not None
    _, loop = loop_over([lead, lead], max_tokens=2)
    stream = CompletionStream(loop, AnswerText(tokenizer, ()))
    assert "".join(stream) == "\ufffd\ufffd"
    _, loop = loop_over([lead], max_tokens=1)
    stream = CompletionStream(loop, AnswerText(tokenizer, ["\ufffd"]))
    assert "".join(stream) == ""
    assert stream.result.finish_reason == "stop"


@pytest.mark.parametrize(
    ("stop", "expected", "reason"),
    [
        (["wor"], "hello ", "stop"),
        (["zzz"], "hello world, hello", "stop"),  # held back text comes out at the end
        (["lo", "ello"], "h", "stop"),
        ([" world, hello!"], "hello world, hello", "stop"),
        (["hello"], "", "stop"),
    ],
)
def test_stop_strings(tokenizer: Tokenizer, stop: list[str], expected: str, reason: str) -> None:
    stream = completion(tokenizer, "hello world, hello", stop)
    assert "".join(stream) == expected
    assert stream.result.text == expected
    assert stream.result.finish_reason == reason


def test_stop_string_in_the_last_allowed_token_is_a_stop(tokenizer: Tokenizer) -> None:
    n_tokens = len(tokenizer.encode("hello!", add_bos=False))
    stream = completion(tokenizer, "hello!", ["!"], max_tokens=n_tokens)
    assert "".join(stream) == "hello"
    assert stream.result.finish_reason == "stop"


def test_stream_closed_early_says_so(tokenizer: Tokenizer) -> None:
    stream = completion(tokenizer, "hello world")
    first = next(stream)
    stream.close()
    assert list(stream) == []
    assert (stream.result.text, stream.result.finish_reason) == (first, "interrupted")


def chat_stream(tokenizer: Tokenizer, text: str, stop: Sequence[str] = ()) -> ChatStream:
    ids = tokenizer.encode(text, add_bos=False)
    opening, closing, end = (tokenizer.find(mark) for mark in ("<|channel>", "<channel|>", "<turn|>"))
    assert opening is not None
    assert closing is not None
    assert end is not None
    _, loop = loop_over([*ids, end], stop_ids=[end], n_ctx=1000)
    return ChatStream(loop, ChannelText(tokenizer, stop, opening, closing))


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("Hello!", None, "Hello!"),
        ("<|channel>thought\nHm, 日本.\n<channel|>Hello!", "Hm, 日本.", "Hello!"),
        ("<|channel>thought\n<channel|>Hello!", None, "Hello!"),
        ("<|channel>thought\na\n\nb\n\n<channel|>\nHello!", "a\n\nb\n", "\nHello!"),
        ("<|channel>thought\nnever ends", "never ends", ""),
        ("<|channel>thou", "thou", ""),
        ("<|channel>plan\nx<channel|>y", "plan\nx", "y"),
        ("<|channel>thought\none\n<channel|>A<|channel>thought\ntwo\n<channel|>B", "onetwo", "AB"),
        ("<channel|>Hello!", None, "Hello!"),
        ("a thought\nof mine", None, "a thought\nof mine"),
    ],
)
def test_thoughts_apart_from_the_answer(
    tokenizer: Tokenizer, text: str, thinking: str | None, answer: str
) -> None:
    stream = chat_stream(tokenizer, text)
    pieces = list(stream)
    out = stream.result
    assert (out.thinking, out.message.content, str(out)) == (thinking, answer, answer)
    assert out.message == {"role": "assistant", "content": answer}
    assert out.message.tool_calls == []
    assert "".join(piece.text for piece in pieces if piece.kind == "thinking") == (thinking or "")
    assert all(piece.text for piece in pieces)


def test_stop_strings_do_not_end_thoughts(tokenizer: Tokenizer) -> None:
    stream = chat_stream(tokenizer, "<|channel>thought\nhello\n<channel|>a hello b", stop=["hello"])
    list(stream)
    assert (stream.result.thinking, stream.result.message.content) == ("hello", "a ")
