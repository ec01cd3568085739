"""Model, Tokenizer and their options on tiny random models of every kind."""

from __future__ import annotations

import _thread
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_gguf import KINDS, vocabulary

import g4cpp.model
from g4cpp import GenerationOptions, Model, Tokenizer
from g4cpp.errors import (
    ArgumentError,
    ContextOverflowError,
    DeviceError,
    MemoryPlanError,
    ModelError,
)

Tiny = Callable[..., Path]
PROMPT = "hello world, the thought"


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tiny: Tiny) -> Any:
    with Model(tiny(request.param), compute="f32", n_threads=2) as model:
        yield model


@pytest.fixture(scope="module")
def dense(tiny: Tiny) -> Any:
    with Model(tiny("dense_e"), compute="f32", n_threads=2) as model:
        yield model


def test_greedy_tokens_are_the_largest_logits(model: Model) -> None:
    out = model.generate(PROMPT, max_tokens=24, temperature=0, ignore_eos=True)
    prompt = model.tokenize(PROMPT)
    logits = model.logits(prompt + out.tokens[:-1])
    assert out.tokens == logits[len(prompt) - 1 :].argmax(axis=1).tolist()
    assert out.text == model.detokenize(out.tokens)
    assert out.finish_reason == "length"
    assert out.usage.prompt_tokens == len(prompt)


def test_stream_equals_call(model: Model) -> None:
    stream = model.generate(PROMPT, max_tokens=12, seed=5, stream=True)
    text = "".join(stream)
    out = model.generate(PROMPT, max_tokens=12, seed=5)
    assert text == out.text == str(out)
    assert stream.result.tokens == out.tokens


def test_a_repeated_prompt_comes_from_the_cache(model: Model) -> None:
    model.reset()
    prompt = PROMPT * 4  # several times the window
    first = model.generate(prompt, max_tokens=4, temperature=0)
    again = model.generate(prompt, max_tokens=4, temperature=0)
    assert first.usage.cached_tokens == 0
    assert again.usage.cached_tokens > first.usage.prompt_tokens // 2
    assert again.tokens == first.tokens


def test_seed(dense: Model, tiny: Tiny) -> None:
    texts = [dense.generate(PROMPT, max_tokens=16, seed=seed, temperature=1.5).tokens for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    with Model(tiny("dense_e"), compute="f32", n_threads=1) as other:
        assert other.generate(PROMPT, max_tokens=16, seed=1, temperature=1.5).tokens == texts[0]
    drawn = {tuple(dense.generate(PROMPT, max_tokens=16, temperature=1.5).tokens) for _ in range(3)}
    assert len(drawn) > 1


def test_streams_interleave(dense: Model) -> None:
    prompts = [PROMPT, "another world"]
    alone = [dense.generate(prompt, max_tokens=10, temperature=0).text for prompt in prompts]
    streams = [dense.generate(prompt, max_tokens=10, temperature=0, stream=True) for prompt in prompts]
    texts = ["", ""]
    live = [0, 1]
    while live:
        for which in list(live):
            piece = next(streams[which], None)
            if piece is None:
                live.remove(which)
            else:
                texts[which] += piece
    assert texts == alone


def test_threads_take_turns(dense: Model) -> None:
    prompts = [f"{number} hello world" for number in range(6)]
    expected = [dense.generate(prompt, max_tokens=8, temperature=0).text for prompt in prompts]
    found: dict[int, str] = {}

    def work(number: int) -> None:
        if number % 2:
            found[number] = "".join(dense.generate(prompts[number], max_tokens=8, temperature=0, stream=True))
        else:
            found[number] = dense.generate(prompts[number], max_tokens=8, temperature=0).text

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found[number] for number in range(len(prompts))] == expected


def test_interrupt(tiny: Tiny) -> None:
    with Model(tiny("dense_e", n_ctx=100_000), compute="f32") as model:
        expected = model.generate(PROMPT, max_tokens=5, temperature=0).tokens
        timer = threading.Timer(0.5, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            model.generate(PROMPT, ignore_eos=True)
        timer.join()
        assert model.generate(PROMPT, max_tokens=5, temperature=0).tokens == expected


def test_max_tokens_is_what_is_left(tiny: Tiny) -> None:
    with Model(tiny("dense_e"), n_ctx=40) as model:
        out = model.generate(PROMPT, ignore_eos=True, seed=1)
        assert out.usage.total_tokens == 40
        assert out.finish_reason == "length"
        long = model.tokenize("hello world " * 20)
        for call in (model.generate, model.logits):
            with pytest.raises(ContextOverflowError) as caught:
                call(long)
            assert (caught.value.n_tokens, caught.value.n_ctx) == (len(long), 40)
        assert model.generate(PROMPT, max_tokens=0).tokens == []


def test_logits(dense: Model) -> None:
    ids = dense.tokenize(PROMPT * 3)
    every = dense.logits(ids)
    assert every.dtype == np.float32
    assert every.shape == (len(ids), dense.info.n_vocab)
    assert np.isfinite(every).all()
    some = dense.logits(ids, positions=[-1, 0, 5, -len(ids)])
    np.testing.assert_allclose(some, every[[-1, 0, 5, 0]], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        dense.logits(np.array(ids[:9]), positions=[-1])[0], every[8], rtol=1e-4, atol=1e-5
    )


def test_logits_refused_with_the_size(dense: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(g4cpp.model, "free_memory", lambda: 10_000)
    with pytest.raises(MemoryPlanError, match=r"9 x 419 float32 are 0\.0 GB") as caught:
        dense.logits(range(9))
    assert isinstance(caught.value, MemoryError)
    assert dense.logits(range(9), positions=[-1]).shape == (1, 419)


@pytest.mark.parametrize("positions", [[9], [-10], [], ["x"], [0.5]])
def test_logits_positions(dense: Model, positions: Any) -> None:
    with pytest.raises(ArgumentError):
        dense.logits(range(9), positions=positions)


@pytest.mark.parametrize("ids", [[], [419], [-1], [2, 2**40], "abc", 7, [None], [1.0]])
def test_ids_that_are_none(dense: Model, ids: Any) -> None:
    for call in (dense.logits, dense.generate):
        if not (isinstance(ids, str) and call == dense.generate):
            with pytest.raises(ArgumentError):
                call(ids)


def test_options(dense: Model) -> None:
    forced = dense.generate(PROMPT, max_tokens=3, logit_bias={7: 1e4})
    assert forced.tokens == [7, 7, 7]
    assert dense.generate(PROMPT, logit_bias={7: 1e4}, stop_ids=[7]).finish_reason == "stop"
    for end in dense.tokenizer.stop_ids:
        ended = dense.generate(PROMPT, logit_bias={end: 1e4})
        assert (ended.finish_reason, ended.tokens) == ("stop", [])
        on = dense.generate(PROMPT, logit_bias={end: 1e4}, ignore_eos=True, max_tokens=2)
        assert (on.finish_reason, on.tokens) == ("length", [end, end])
    best = dense.generate(PROMPT, max_tokens=1, temperature=0).tokens[0]
    bans: list[dict[str, Any]] = [{"suppress": [best]}, {"logit_bias": {best: float("-inf")}}]
    for banned in bans:
        assert dense.generate(PROMPT, max_tokens=1, temperature=0, **banned).tokens[0] != best
    options = GenerationOptions(max_tokens=5, temperature=0)
    assert len(dense.generate(PROMPT, options=options).tokens) == 5
    assert len(dense.generate(PROMPT, options=options, max_tokens=2).tokens) == 2
    penalised = dense.generate(PROMPT, max_tokens=30, temperature=0, repetition_penalty=1e6, penalty_window=0)
    assert len(set(penalised.tokens)) == len(penalised.tokens)


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": -1}, {"max_tokens": 1.5}, {"max_tokens": True}, {"temperature": -0.1},
        {"temperature": float("nan")}, {"temperature": "hot"}, {"top_k": -1}, {"top_p": 1.1}, {"min_p": -0.1},
        {"repetition_penalty": 0}, {"presence_penalty": float("inf")},
        {"seed": -1}, {"stop": [""]}, {"stop": [1]},
        {"stop": 5}, {"stop_ids": [-1]}, {"stop_ids": [419]}, {"suppress": [419]}, {"logit_bias": {419: 1.0}},
        {"logit_bias": {1: float("nan")}}, {"logit_bias": {"a": 1.0}}, {"no_such_option": 1},
    ],
)  # fmt: skip
def test_options_out_of_range(dense: Model, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ArgumentError, match=name):
        dense.generate(PROMPT, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"n_ctx": 0},
        {"n_ctx": -5},
        {"n_ctx": "big"},
        {"n_threads": 0},
        {"compute": "int4"},
        {"kv_dtype": "q4"},
    ],
)
def test_model_options_out_of_range(tiny: Tiny, options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        Model(tiny("dense_e"), **options)


def test_progress_of_a_load(tiny: Tiny) -> None:
    calls: list[tuple[str, int, int]] = []
    path = tiny()
    with Model(path, progress=lambda *call: calls.append(call)) as model:
        total = model.info.memory_plan.weights
    assert calls
    assert {(name, whole) for name, _, whole in calls} == {(path.name, total)}
    done = [bytes_done for _, bytes_done, _ in calls]
    assert done == sorted(done)
    assert done[-1] == total


def test_progress_that_raises_ends_the_load(tiny: Tiny) -> None:
    def stop(*_: object) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        Model(tiny(), progress=stop)


def test_a_plan_that_does_not_fit_is_refused_before_anything_is_loaded(tiny: Tiny) -> None:
    calls: list[object] = []
    with pytest.raises(MemoryPlanError, match="does not fit"):
        Model(tiny(), n_ctx=2**31 - 1, progress=lambda *call: calls.append(call))
    assert not calls


def test_more_threads_than_there_can_be(tiny: Tiny) -> None:
    with pytest.raises(ArgumentError, match="n_threads must be 1 to 4096, got 100000"):
        Model(tiny(), n_threads=100_000)


def test_unknown_device(tiny: Tiny) -> None:
    with pytest.raises(DeviceError, match="abacus"):
        Model(tiny("dense_e"), device="abacus")


def test_text_that_is_none(dense: Model) -> None:
    with pytest.raises(ArgumentError, match=r"lone surrogate U\+D800 at 1"):
        dense.generate("a\ud800")
    with pytest.raises(ArgumentError):
        dense.tokenize(b"bytes")  # type: ignore[arg-type]


def test_empty_prompt_is_just_the_bos(dense: Model) -> None:
    assert dense.tokenize("") == [dense.tokenizer.bos_id]
    out = dense.generate("", max_tokens=2, temperature=0)
    assert (out.usage.prompt_tokens, len(out.tokens)) == (1, 2)


def test_closed(tiny: Tiny) -> None:
    with Model(tiny("dense_e")) as model:
        stream = model.generate(PROMPT, stream=True)
        next(stream)
    model.close()
    assert "closed" in repr(model)
    for call in (lambda: model.generate("a"), lambda: model.logits([1]), lambda: next(stream), model.reset):
        with pytest.raises(ModelError, match="closed"):
            call()


def test_info(tiny: Tiny) -> None:
    path = tiny("dense_e", fmt="BF16", n_ctx=300)
    with Model(path, n_threads=1) as model:
        info = model.info
    assert (info.architecture, info.n_layers, info.hidden_size, info.n_vocab) == ("gemma4", 6, 64, 419)
    assert (info.n_ctx, info.n_ctx_train, info.n_threads, info.device) == (300, 300, 1, "cpu")
    assert set(info.formats) == {"BF16", "F32"}
    assert info.file_bytes == path.stat().st_size
    assert info["compute"] == info.compute == "bf16"
    assert dict(info)["memory_plan"] == info.memory_plan
    plan = info.memory_plan
    assert plan.total == plan.weights + plan.kv_cache + plan.kv_snapshot + plan.activations
    assert info.to_dict()["memory_plan"]["n_ctx"] == 300
    assert not info.has_chat_template


def test_hint_on_a_chat_model_once(tiny: Tiny) -> None:
    with Model(tiny("dense_e", template="{{ messages[0].content }}")) as model:
        with pytest.warns(UserWarning, match="chat model") as caught:
            model.generate("a", max_tokens=1)
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.generate("a", max_tokens=1)


def test_without_a_vocabulary(tiny: Tiny) -> None:
    path = tiny("dense_e", with_vocabulary=False)
    with Model(path) as model:
        assert not model.info.has_tokenizer
        assert model.logits([1, 2]).shape == (2, 419)
        with pytest.raises(ModelError, match="vocabulary"):
            model.generate("a")
    with pytest.raises(ModelError, match="vocabulary"):
        Tokenizer.from_gguf(path)


def test_sampling_settings_of_the_file(tiny: Tiny) -> None:
    hot = {"general.sampling.temp": 50.0, "general.sampling.top_p": 7.0}  # no top_p is above 1: passed over
    with Model(tiny("dense_e", extra=hot)) as model:
        tokens = model.generate(PROMPT, max_tokens=8, seed=1).tokens
        assert tokens == model.generate(PROMPT, max_tokens=8, seed=1, temperature=50.0, top_p=0.95).tokens
        assert tokens != model.generate(PROMPT, max_tokens=8, seed=1, temperature=1.0).tokens
    with Model(tiny("dense_e", extra={"general.sampling.top_k": 1})) as model:
        greedy = model.generate(PROMPT, max_tokens=8, temperature=0).tokens
        assert model.generate(PROMPT, max_tokens=8, temperature=50.0).tokens == greedy
        assert model.generate(PROMPT, max_tokens=8, top_k=0, temperature=50.0, seed=1).tokens != greedy


def test_suppressed_tokens_of_the_file(tiny: Tiny, dense: Model) -> None:
    best = dense.generate(PROMPT, max_tokens=1, temperature=0).tokens[0]
    with Model(
        tiny("dense_e", extra={"tokenizer.ggml.suppress_tokens": [best, 400]}), compute="f32"
    ) as model:
        assert model.generate(PROMPT, max_tokens=1, temperature=0).tokens[0] != best


def test_tokenizer_of_a_vocabulary_only_file(tiny: Tiny) -> None:
    tokenizer = Tokenizer.from_gguf(tiny("dense_e", with_tensors=False))
    vocab = vocabulary("dense_e")
    assert len(tokenizer) == tokenizer.n_tokens == len(vocab.tokens)
    assert tokenizer.model == "gemma4"
    assert tokenizer.encode(" hello world") == [2, vocab.id("▁hello"), vocab.id("▁world")]
    assert tokenizer.encode("<|turn>é", add_bos=False) == [
        vocab.id("<|turn>"),
        vocab.id("<0xC3>"),
        vocab.id("<0xA9>"),
    ]
    assert vocab.id("<|turn>") not in tokenizer.encode("<|turn>", parse_special=False)
    assert tokenizer.find("<turn|>") == vocab.id("<turn|>")
    assert tokenizer.find("absent") is None
    assert tokenizer.decode([2, vocab.id("▁hello")]) == " hello"
    assert tokenizer.decode([2, vocab.id("▁hello")], keep_special=True) == "<bos> hello"
    assert tokenizer.special_texts["bos_token"] == "<bos>"
    assert vocab.id("<turn|>") in tokenizer.stop_ids
    assert tokenizer.is_special(2)
    assert tokenizer.token_text(vocab.id("▁hello")) == "▁hello"
    for ids in ([9999], [-1], "ab"):
        with pytest.raises(ArgumentError):
            tokenizer.decode(ids)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        tokenizer.token_text(-1)
    stream = tokenizer.stream()
    pieces = [stream.push(id) for id in tokenizer.encode("日本", add_bos=False)]
    assert pieces == ["", "", "日", "", "", "本"]
    assert stream.flush() == ""
