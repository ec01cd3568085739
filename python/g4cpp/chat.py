"""A conversation: the messages so far, asked one turn at a time.

What the `chat` command runs, without its terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from g4cpp.types import ChatCompletion, ChatPiece, Message

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from g4cpp.model import Model
    from g4cpp.options import OptionArgs


class Conversation:
    """Messages without their thoughts, which templates do not show the model again."""

    def __init__(
        self, model: Model, *, system: str | None = None, thinking: bool = False, template: str | None = None
    ) -> None:
        self.model = model
        self.thinking = thinking
        self._template = template
        self._opening = [Message("system", system)] if system else []
        self.messages: list[Message] = []
        self.last: ChatCompletion | None = None
        self.reset()

    def reset(self) -> None:
        """Back to the first turn; the system message stays."""
        self.messages = list(self._opening)
        self.last = None

    def ask(self, content: object, **options: Unpack[OptionArgs]) -> Iterator[ChatPiece]:
        """Streams the answer to `content`, a text or a list of texts and media.

        Turn and answer are remembered when any of it came, cut short or not.
        """
        turn = [*self.messages, Message("user", content)]
        stream = self.model.chat(
            turn, thinking=self.thinking, template=self._template, stream=True, **options
        )
        try:
            yield from stream
        finally:
            self.last = stream.result
            if self.last.tokens:
                self.messages = [*turn, self.last.message]

    def check(self) -> None:
        """Raises TemplateError now, rather than at the first turn, when there is no usable template."""
        self.model.chat_prompt(
            [*self._opening, Message("user", "")], thinking=self.thinking, template=self._template
        )
