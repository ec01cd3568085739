"""From what callers give (messages, texts, media) to prompts, with one model's tokenizer, template and projector."""

from __future__ import annotations

import numbers
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from g4cpp.errors import TemplateError
from g4cpp.prompt import Clip, Prompt, assemble, chat_prompt, guard, has_placeholder, placeholders_as_text
from g4cpp.template import BUILT_IN, ChatTemplate, plain_messages

if TYPE_CHECKING:
    from g4cpp.media.content import Medium
    from g4cpp.media.encoder import MediaEncoder
    from g4cpp.tokenizer import Tokenizer

PromptLike = str | Iterable[int] | Sequence[object] | Prompt
"""A text, token ids, a list of texts and media, or a prompt already made."""


def is_parts(prompt: object) -> bool:
    """Whether a prompt is a list of texts and media, rather than of token ids."""
    return isinstance(prompt, (list, tuple)) and not all(
        type(part) is int or isinstance(part, numbers.Integral) for part in prompt
    )


class Prompter:
    """Makes the prompts of one model. Raises TemplateError, ArgumentError, FileError, ModelError."""

    def __init__(self, vocabulary: Tokenizer, name: str, encoder: MediaEncoder, poll: Callable[[], None]) -> None:
        self._vocabulary = vocabulary
        self._name = name
        self._encoder = encoder
        self._poll = poll
        self._template: ChatTemplate | None = None

    def of_messages(self, messages: Sequence[Mapping[str, Any]], thinking: bool, template: str | None) -> Prompt:
        """By the file's template or `template`; the BOS that it writes is not doubled.

        A template that knows texts alone gets placeholders as texts.
        """
        from g4cpp.media.content import split_messages

        vocabulary = self._vocabulary
        compiled = self._compiled(template)
        shown, media = split_messages(messages)
        guarded, separator = guard(plain_messages(shown))
        text = compiled.render(guarded, thinking=thinking)
        if media and not has_placeholder(text):
            text = compiled.render(placeholders_as_text(guarded), thinking=thinking)
        began = time.perf_counter()
        clips = self._encode(media)
        seconds = time.perf_counter() - began
        bos = vocabulary.special_texts.get("bos_token")
        add_bos = False if bos and text.startswith(bos) else None
        return chat_prompt(text, separator, clips, vocabulary, add_bos, seconds)

    def of_parts(self, parts: object) -> Prompt:
        """Texts and media as they stand, with the BOS that the file asks for."""
        from g4cpp.media.content import parse_parts

        parsed = parse_parts(parts)
        guarded, separator = guard([part for part in parsed if isinstance(part, str)])
        texts = iter(guarded)
        began = time.perf_counter()
        clips = iter(self._encode([part for part in parsed if not isinstance(part, str)]))
        seconds = time.perf_counter() - began
        pieces = [next(texts) if isinstance(part, str) else next(clips) for part in parsed]
        return assemble(pieces, separator, self._vocabulary, None, seconds)

    def _encode(self, media: Sequence[Medium]) -> list[Sequence[Clip]]:
        return [self._encoder.encode(medium, self._poll) for medium in media]

    def _compiled(self, template: str | None) -> ChatTemplate:
        source = self._vocabulary.chat_template if template is None else BUILT_IN.get(template, template)
        if source is None:
            raise TemplateError(
                f"[chat] {self._name}: a chat template expected, none in this file; pass template= "
                f"(Jinja2 source, or the built-in {', '.join(map(repr, BUILT_IN))}), or use generate()"
            )
        if self._template is None or self._template.source != source:
            self._template = ChatTemplate(source, self._vocabulary.special_texts)
        return self._template
