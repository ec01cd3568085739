"""Placeholders into ids and spans: only media make them, whatever the texts around say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_gguf import MEDIA_MARKS

from g4cpp import Tokenizer
from g4cpp.errors import ModelError, TemplateError
from g4cpp.prompt import Clip, Prompt, assemble, chat_prompt, guard
from g4cpp.template import ChatTemplate, plain_messages

Tiny = Callable[..., Path]


@pytest.fixture(scope="module")
def tokenizer(tiny: Tiny) -> Tokenizer:
    return Tokenizer.from_gguf(tiny("dense_k", with_tensors=False, media=True))


def clip(kind: str, n: int, key: int = 1, stamp: str = "") -> Clip:
    return Clip(kind, np.zeros((n, 64), np.float32), key, stamp)


def as_text(prompt: Prompt, tokenizer: Tokenizer) -> str:
    return tokenizer.decode(prompt.ids, keep_special=True)


def test_runs_of_placeholders(tokenizer: Tokenizer) -> None:
    parts = ["hello ", [clip("image", 3, 7)], " and ", [clip("audio", 2, 8), clip("audio", 1, 9)], ""]
    prompt = assemble(parts, "\ue000", tokenizer, None)
    text = "<bos>hello <|image><|image|><|image|><|image|><image|> and "
    text += "<|audio><|audio|><|audio|><audio|><|audio><|audio|><audio|>"
    assert as_text(prompt, tokenizer) == text
    assert prompt.ids == tokenizer.encode(text, add_bos=False)
    holders = {"image": tokenizer.find("<|image|>"), "audio": tokenizer.find("<|audio|>")}
    for (begin, rows, key, block), (kind, n) in zip(
        prompt.media, [("image", 3), ("audio", 2), ("audio", 1)], strict=True
    ):
        assert prompt.ids[begin : begin + n] == [holders[kind]] * n
        assert prompt.ids[begin - 1] == tokenizer.find(f"<|{kind}>")
        assert prompt.ids[begin + n] == tokenizer.find(f"<{kind}|>")
        assert (len(rows), block) == (n, kind == "image")
        assert key in (7, 8, 9)
    assert prompt.n_media_tokens == 6


def test_frames_with_their_times(tokenizer: Tokenizer) -> None:
    frames = [clip("video", 2, 5, "00:00"), clip("video", 2, 6, "01:01"), clip("video", 1, 7, "100:00")]
    prompt = assemble(["a ", frames, " b"], "\ue000", tokenizer, False)
    text = "a 00:00 <|image><|video|><|video|><image|> 01:01 <|image><|video|><|video|><image|>"
    text += " 100:00 <|image><|video|><image|> b"
    assert as_text(prompt, tokenizer) == text
    assert prompt.ids == tokenizer.encode(text, add_bos=False)
    assert [block for *_, block in prompt.media] == [True] * 3


def test_a_prompt_that_begins_with_a_picture_has_its_bos(tokenizer: Tokenizer) -> None:
    prompt = assemble([[clip("image", 1)], "hello"], "\ue000", tokenizer, None)
    assert prompt.ids[0] == tokenizer.bos_id
    assert prompt.ids.count(tokenizer.bos_id or -1) == 1
    assert assemble([], "\ue000", tokenizer, None).ids == [tokenizer.bos_id]


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role }}:{% if m.content is string %}{{ m.content | trim }}{% else %}"
    "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text | trim }}{% else %}<|{{ part.type }}|>"
    "{% endif %}{% endfor %}{% endif %}<turn|>{% endfor %}"
)


def rendered(messages: list[dict[str, Any]], media: list[list[Clip]], tokenizer: Tokenizer) -> Prompt:
    guarded, separator = guard(plain_messages(messages))
    text = ChatTemplate(TEMPLATE, tokenizer.special_texts).render(guarded)
    return chat_prompt(text, separator, media, tokenizer, False)


def user(*parts: str) -> list[dict[str, Any]]:
    """A message of texts; "*image" is an image."""
    content = [{"type": part[1:]} if part[:1] == "*" else {"type": "text", "text": part} for part in parts]
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("mark", MEDIA_MARKS)
@pytest.mark.parametrize("separate", [False, True])
def test_marks_in_texts_stay_texts(mark: str, separate: bool, tokenizer: Tokenizer) -> None:
    texts = [f"a {mark[:4]}", f"{mark[4:]} b"] if separate else [f"a {mark} b"]
    prompt = rendered(user(*texts, "*image", mark), [[clip("image", 2)]], tokenizer)
    special = [token for token in prompt.ids if tokenizer.is_special(token)]
    names = ["<bos>", "<|image>", "<|image|>", "<|image|>", "<image|>", "<turn|>"]
    assert [tokenizer.token_text(token) for token in special] == names
    (span,) = prompt.media
    assert tokenizer.token_text(prompt.ids[span[0]]) == "<|image|>"
    assert as_text(prompt, tokenizer) == f"<bos>user:a {mark} b<|image><|image|><|image|><image|>{mark}<turn|>"


def test_texts_without_marks_are_tokenised_as_they_are(tokenizer: Tokenizer) -> None:
    messages = user("hello the", " world and", "a < b", "\ue000 x\ue001")
    text = ChatTemplate(TEMPLATE, tokenizer.special_texts).render(messages)
    assert rendered(messages, [], tokenizer).ids == tokenizer.encode(text, add_bos=False)


def test_marks_elsewhere_in_a_message(tokenizer: Tokenizer) -> None:
    prompt = rendered([{"role": "user<|image|>", "content": "a <|video|>"}], [], tokenizer)
    assert tokenizer.find("<|image|>") not in prompt.ids
    assert tokenizer.find("<|video|>") not in prompt.ids


@pytest.mark.parametrize(
    ("parts", "media", "message"),
    [
        (["*image"], [], "no media expected.*image written"),
        ([], ["image"], "image expected.*none written"),
        (["*image", "*audio"], ["audio", "image"], "audio, image expected.*image, audio written"),
    ],
)
def test_templates_that_write_other_placeholders(
    parts: list[str], media: list[str], message: str, tokenizer: Tokenizer
) -> None:
    with pytest.raises(TemplateError, match=message):
        rendered(user("x", *parts), [[clip(kind, 1)] for kind in media], tokenizer)


def test_a_vocabulary_without_marks(tiny: Tiny) -> None:
    tokenizer = Tokenizer.from_gguf(tiny("dense_k", with_tensors=False))
    with pytest.raises(ModelError, match=r"<\|image> expected"):
        assemble([[clip("image", 1)]], "\ue000", tokenizer, None)
