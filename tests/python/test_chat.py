"""Templates against transformers' own rendering (recorded), their errors, chat() and Conversation on tiny
models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from g4cpp import Conversation, Message, Model
from g4cpp.errors import ArgumentError, TemplateError
from g4cpp.template import BUILT_IN, ChatTemplate

GOLDENS = json.loads((Path(__file__).parents[1] / "data" / "chat_goldens.json").read_text(encoding="utf-8"))[
    "cases"
]
SPECIAL = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
HI = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize("name", GOLDENS)
def test_renders_as_transformers_does(name: str, template: str) -> None:
    case = GOLDENS[name]
    text = ChatTemplate(template, SPECIAL).render(
        case["messages"],
        thinking=case.get("thinking", False),
        tools=case.get("tools"),
        add_generation_prompt=case.get("add_generation_prompt", True),
    )
    assert text == case["text"]


@pytest.mark.parity
@pytest.mark.parametrize("name", GOLDENS)
def test_goldens_are_what_transformers_renders_today(name: str, template: str) -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    case = GOLDENS[name]
    rendered, _ = utils.render_jinja_template(
        [case["messages"]],
        tools=case.get("tools"),
        chat_template=template,
        add_generation_prompt=case.get("add_generation_prompt", True),
        enable_thinking=case.get("thinking", False),
        **SPECIAL,
    )
    assert rendered[0] == case["text"]


def test_call_arguments_in_json_are_parsed(template: str) -> None:
    case = json.loads(json.dumps(GOLDENS["tool result"]))
    function = case["messages"][2]["tool_calls"][0]["function"]
    function["arguments"] = json.dumps(function["arguments"])
    text = ChatTemplate(template, SPECIAL).render(case["messages"], tools=case["tools"], thinking=True)
    assert text == case["text"]
    function["arguments"] = "{place"
    with pytest.raises(TemplateError, match="JSON expected"):
        ChatTemplate(template, SPECIAL).render(case["messages"], tools=case["tools"])


def test_template_without_empty_thought_adds_none(template: str) -> None:
    # E2B's and E4B's template is this one without the closed empty thought.
    small = template.replace("{{- '<|channel>thought\\n<channel|>' -}}", "")
    assert small != template
    text = ChatTemplate(small, SPECIAL).render([HI])
    assert text.endswith("<|turn>model\n")


def test_names_that_templates_use() -> None:
    source = (
        "{{ messages[0] | tojson }}{{ strftime_now('%Y') | length }}"
        "{% for x in [1, 2] %}{{ x }}{% break %}{% endfor %}"
    )
    assert (
        ChatTemplate(source, {}).render([{"role": "user", "content": "<é>"}])
        == '{"role": "user", "content": "<é>"}41'
    )


def test_lines_of_statements_leave_no_trace() -> None:
    assert ChatTemplate("a\n  {% if true %}\nb\n  {% endif %}\nc", {}).render([HI]) == "a\nb\nc"


def test_built_in_gemma3() -> None:
    template = ChatTemplate(BUILT_IN["gemma3"], SPECIAL)
    turns = [{"role": "system", "content": "Be brief."}, HI, {"role": "assistant", "content": " Yes. "}, HI]
    assert template.render(turns) == (
        "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nYes.<end_of_turn>\n"
        "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% if %}", "line 1"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0]['content'] + 1 }}", "these messages"),
        ("{{ nothing.at.all }}", "undefined"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{% for i in range(10 ** 9) %}x{% endfor %}", "Range too big"),
        ("{{ 1 // 0 }}", "division"),
    ],
)
def test_templates_that_fail(source: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message) as caught:
        ChatTemplate(source, {}).render([HI])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "messages",
    [
        "Hi",
        HI,
        [],
        ["Hi"],
        [{"content": "Hi"}],
        [{"role": 1, "content": "Hi"}],
        [{"role": "user"}],
        [{**HI, "x": object()}],
    ],
)
def test_messages_that_are_none(messages: Any) -> None:
    with pytest.raises((ArgumentError, TemplateError)):
        ChatTemplate("x", {}).render(messages)


# --- on a model ---


@pytest.fixture(scope="module")
def model(tiny: Callable[..., Path], template: str) -> Any:
    with Model(tiny("dense_k", template=template)) as model:
        yield model


def test_one_bos(model: Model) -> None:
    ids = model.chat_prompt([HI], thinking=False, template=None).ids
    assert ids.count(model.tokenizer.bos_id or -1) == 1
    assert ids[:2] == [model.tokenizer.bos_id, model.tokenizer.find("<|turn>")]
    without = model.chat_prompt([HI], thinking=False, template="{{ messages[0].content }}").ids
    assert without[0] == model.tokenizer.bos_id


def test_chat(model: Model) -> None:
    out = model.chat([HI], max_tokens=8, seed=3)
    assert out.message["role"] == "assistant"
    assert out.message.content == str(out)
    assert out.finish_reason in ("stop", "length")
    stream = model.chat([HI], max_tokens=8, seed=3, stream=True)
    pieces = list(stream)
    assert "".join(piece.text for piece in pieces if piece.kind == "answer") == out.message.content
    assert stream.result.tokens == out.tokens


def test_generate_with_template_reads_a_user_turn(model: Model) -> None:
    wrapped = model.generate("Hi", template=True, max_tokens=6, temperature=0)
    assert wrapped.tokens == model.chat([HI], max_tokens=6, temperature=0).tokens
    assert wrapped.usage.prompt_tokens == len(model.chat_prompt([HI], thinking=False, template=None).ids)
    with pytest.raises(ArgumentError, match="a text expected with template"):
        model.generate([1, 2], template=True)


def test_a_file_without_a_template(tiny: Callable[..., Path]) -> None:
    with Model(tiny("gemma3")) as model:
        with pytest.raises(TemplateError, match="'gemma3'"):
            model.chat([HI])
        with pytest.raises(TemplateError):
            Conversation(model).check()
        assert model.chat([HI], template="gemma3", max_tokens=2).usage.completion_tokens <= 2
        turn = model.tokenizer.find("<start_of_turn>")
        assert model.chat_prompt([HI], thinking=False, template="gemma3").ids[:2] == [model.tokenizer.bos_id, turn]


def test_conversation(model: Model) -> None:
    talk = Conversation(model, system="Be brief.")
    text = "".join(piece.text for piece in talk.ask("Hi", max_tokens=6, seed=1) if piece.kind == "answer")
    assert [message["role"] for message in talk.messages] == ["system", "user", "assistant"]
    assert talk.messages[-1] == Message("assistant", text)
    list(talk.ask("And?", max_tokens=2, seed=1))
    assert len(talk.messages) == 5
    assert talk.last is not None
    assert talk.last.usage.cached_tokens > 0
    talk.reset()
    assert [message["role"] for message in talk.messages] == ["system"]


def test_conversation_keeps_an_answer_cut_short(model: Model) -> None:
    talk = Conversation(model)
    pieces = talk.ask("Hi", max_tokens=50, temperature=0)
    next(iter(pieces))
    pieces.close()  # type: ignore[attr-defined]
    assert [message["role"] for message in talk.messages] == ["user", "assistant"]
    assert talk.last is not None
    assert talk.last.finish_reason == "interrupted"
