"""From token ids to text as it becomes certain: detokenisation, stop strings, thoughts told from the answer,
streams.

A thought is `<|channel>thought\\n...\\n<channel|>`, told apart by the ids of the two marks, so text that
merely looks like them stays text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from g4cpp.generation import TokenLoop
from g4cpp.stopping import StopStrings
from g4cpp.tokenizer import Tokenizer
from g4cpp.types import ChatCompletion, ChatPiece, Completion, Message

_THOUGHT_HEADER = "thought\n"


class TextSource(Protocol):
    """Turns ids into labelled text; `stopped` once a stop string has come."""

    @property
    def stopped(self) -> bool: ...
    def push(self, token: int) -> list[ChatPiece]: ...
    def flush(self) -> list[ChatPiece]: ...


class AnswerText:
    """All text is the answer; stop strings end it and are cut off."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        self._decoder = tokenizer.stream()
        self._stop = StopStrings(stop)
        self.stopped = False

    def push(self, token: int) -> list[ChatPiece]:
        return self._pieces(self._stop.feed(self._decoder.push(token)))

    def flush(self) -> list[ChatPiece]:
        if self.stopped:
            return []
        text = self._stop.feed(self._decoder.flush())
        return self._pieces(text if self._stop.stopped else text + self._stop.flush())

    def _pieces(self, text: str) -> list[ChatPiece]:
        self.stopped = self._stop.stopped
        return [ChatPiece(text, "answer")] if text else []


class ChannelText:
    """Text of a chat model: what stands between the channel marks is thinking, the rest the answer.

    Stop strings apply to the answer only. The header "thought\\n" and the newline before the closing mark are
    left out.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str], opening: int, closing: int) -> None:
        self._answer = AnswerText(tokenizer, stop)
        self._decoder = tokenizer.stream()
        self._opening, self._closing = opening, closing
        self._thinking = False
        self._header: str | None = None  # what has come of the header so far; None once it is behind us
        self._newline = ""  # a newline held back: the last one belongs to the closing mark

    @property
    def stopped(self) -> bool:
        return self._answer.stopped

    def push(self, token: int) -> list[ChatPiece]:
        if token == self._opening:
            pieces = self._end_thought()
            self._thinking, self._header = True, ""
            return pieces
        if token == self._closing:
            return self._end_thought()
        if self._thinking:
            return self._thought(self._decoder.push(token))
        return self._answer.push(token)

    def flush(self) -> list[ChatPiece]:
        return self._end_thought() + self._answer.flush()

    def _end_thought(self) -> list[ChatPiece]:
        pieces = self._thought(self._decoder.flush()) if self._thinking else []
        if self._header and self._header != _THOUGHT_HEADER[:-1]:
            pieces.append(ChatPiece(self._header, "thinking"))
        self._thinking, self._header, self._newline = False, None, ""
        return pieces

    def _thought(self, text: str) -> list[ChatPiece]:
        if self._header is not None:
            self._header += text
            if len(self._header) < len(_THOUGHT_HEADER) and _THOUGHT_HEADER.startswith(self._header):
                return []
            text, self._header = self._header.removeprefix(_THOUGHT_HEADER), None
        if not text:
            return []
        text = self._newline + text
        self._newline = "\n" if text.endswith("\n") else ""
        text = text.removesuffix("\n")
        return [ChatPiece(text, "thinking")] if text else []


class _PieceStream:
    """Drives a token loop and its text; keeps what has been handed out."""

    def __init__(self, loop: TokenLoop, text: TextSource) -> None:
        self._loop = loop
        self._given: list[ChatPiece] = []
        self._pieces = self._run(text)

    def _run(self, text: TextSource) -> Iterator[ChatPiece]:
        for token in self._loop:
            yield from self._keep(text.push(token))
            if text.stopped:
                self._loop.stop()
                return
        yield from self._keep(text.flush())
        if text.stopped:
            self._loop.stop()

    def _keep(self, pieces: list[ChatPiece]) -> Iterator[ChatPiece]:
        for piece in pieces:
            self._given.append(piece)
            yield piece

    def _text(self, kind: str) -> str:
        return "".join(piece.text for piece in self._given if piece.kind == kind)

    def close(self) -> None:
        """Ends the stream here; what has come so far stays in `result`."""
        self._pieces = iter(())


class CompletionStream(_PieceStream, Iterator[str]):
    """Iterates over pieces of text; `result` is the Completion so far."""

    def __next__(self) -> str:
        return next(self._pieces).text

    @property
    def result(self) -> Completion:
        loop = self._loop
        reason = loop.finish_reason or "interrupted"
        return Completion(self._text("answer"), list(loop.tokens), reason, loop.usage, loop.timings)


class ChatStream(_PieceStream, Iterator[ChatPiece]):
    """Iterates over pieces labelled thinking or answer; `result` is the ChatCompletion so far."""

    def __next__(self) -> ChatPiece:
        return next(self._pieces)

    @property
    def result(self) -> ChatCompletion:
        loop = self._loop
        return ChatCompletion(
            message=Message("assistant", self._text("answer")),
            thinking=self._text("thinking") or None,
            tokens=list(loop.tokens),
            finish_reason=loop.finish_reason or "interrupted",
            usage=loop.usage,
            timings=loop.timings,
        )
