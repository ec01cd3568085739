"""Prompts as the engine takes them: token ids, and media in the places of some of them.

A medium's placeholder, `<|image|>`, becomes `<|image>`, the placeholder's id once for each soft token, and `<image|>`;
a video one such run for each frame, behind its time (transformers' processing_gemma4.py). Only media make placeholders:
text that spells one out is tokenised as the characters it is made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from g4cpp.errors import ModelError, TemplateError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from g4cpp.tokenizer import Tokenizer

PLACEHOLDERS = {"image": "<|image|>", "audio": "<|audio|>", "video": "<|video|>"}
_EDGES = {
    "image": ("<|image>", "<image|>"),
    "audio": ("<|audio>", "<audio|>"),
    "video": ("<|image>", "<image|>"),
}
_MARKS = sorted({*PLACEHOLDERS.values(), *(mark for edges in _EDGES.values() for mark in edges)})
_ANY_MARK = re.compile("|".join(map(re.escape, _MARKS)))
_PLACEHOLDER = re.compile(r"(<\|(?:image|audio|video)\|>)")
_KIND = {mark: kind for kind, mark in PLACEHOLDERS.items()}
_UNFINISHED = {mark[:length] for mark in _MARKS for length in range(1, len(mark))}
_LONGEST = max(map(len, _UNFINISHED))
# Private-use characters, of which a text that holds them all would be 137 thousand characters long.
_PRIVATE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))

MediaRows = tuple[int, "NDArray[np.float32]", int, bool]
"""First position, soft tokens [n, hidden], key of the content, whether they see each other: as the engine takes it."""


@dataclass(frozen=True)
class Clip:
    """Soft tokens that stand together: an image, a frame of a video, at most 30 s of sound."""

    kind: str
    rows: NDArray[np.float32]
    """[n, hidden]"""
    key: int
    """63 bits of the digest of the content."""
    stamp: str = ""
    """When a frame is shown, mm:ss."""


@dataclass(frozen=True)
class Prompt:
    """Token ids, and the media whose soft tokens take the places of some."""

    ids: list[int]
    media: list[MediaRows] = field(default_factory=list)
    media_seconds: float = 0.0
    """What encoding them took."""

    @property
    def n_media_tokens(self) -> int:
        return sum(len(rows) for _, rows, _, _ in self.media)


def guard(value: Any) -> tuple[Any, str]:
    """`value`, plain messages, with a character that occurs nowhere in it put into every media mark of its texts, and
    behind an end that what follows could complete to one; and that character."""
    used: set[str] = set()
    _collect(value, used)
    separator = next(chr(code) for codes in _PRIVATE for code in codes if chr(code) not in used)
    return _map(value, separator), separator


def has_placeholder(text: str) -> bool:
    return _PLACEHOLDER.search(text) is not None


def placeholders_as_text(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The (guarded) messages with each medium a text, its placeholder: for templates that know texts alone."""

    def shown(part: Any) -> Any:
        kind = part.get("type") if isinstance(part, Mapping) else None
        return {"type": "text", "text": PLACEHOLDERS[kind]} if kind in PLACEHOLDERS else part

    return [
        {**message, "content": [shown(part) for part in message["content"]]}
        if isinstance(message.get("content"), list)
        else dict(message)
        for message in messages
    ]


def chat_prompt(
    text: str,
    separator: str,
    media: Sequence[Sequence[Clip]],
    vocabulary: Tokenizer,
    add_bos: bool | None,
    media_seconds: float = 0.0,
) -> Prompt:
    """The prompt of a rendered template: its placeholders are the media's, in order.

    Raises TemplateError when it has written others than there are media.
    """
    pieces = _PLACEHOLDER.split(text)
    written = [_KIND[mark] for mark in pieces[1::2]]
    given = [clips[0].kind for clips in media]
    if written != given:
        raise TemplateError(
            f"[template] placeholders for {', '.join(given) or 'no media'} expected, as in these messages, "
            f"{', '.join(written) or 'none'} written"
        )
    parts: list[str | Sequence[Clip]] = [pieces[0]]
    for clips, following in zip(media, pieces[2::2], strict=True):
        parts += [clips, following]
    return assemble(parts, separator, vocabulary, add_bos, media_seconds)


def assemble(
    parts: Iterable[str | Sequence[Clip]],
    separator: str,
    vocabulary: Tokenizer,
    add_bos: bool | None,
    media_seconds: float = 0.0,
) -> Prompt:
    """Texts, guarded with `separator`, and media in their order. Raises ModelError (no such tokens)."""
    ids: list[int] = []
    media: list[MediaRows] = []
    text = ""
    started = False

    def end_text() -> None:
        nonlocal text, started
        # What the separator keeps apart is encoded apart, so that no mark comes together.
        for place, piece in enumerate(text.split(separator)):
            if piece or (place == 0 and not started):
                ids.extend(vocabulary.encode(piece, add_bos=False if started else add_bos))
                started = True
        text = ""

    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        for place, clip in enumerate(part):
            if clip.stamp:
                text += f"{' ' if place else ''}{clip.stamp} "
            end_text()
            opening, closing = (_id(vocabulary, mark) for mark in _EDGES[clip.kind])
            holder = _id(vocabulary, PLACEHOLDERS[clip.kind])
            ids.append(opening)
            media.append((len(ids), clip.rows, clip.key, clip.kind != "audio"))
            ids.extend([holder] * len(clip.rows))
            ids.append(closing)
    if text or not started:
        end_text()
    return Prompt(ids, media, media_seconds)


def _id(vocabulary: Tokenizer, mark: str) -> int:
    found = vocabulary.find(mark)
    if found is None:
        raise ModelError(f"[media] vocabulary: the token {mark} expected, none found: this model takes no such media")
    return found


def _collect(value: Any, used: set[str]) -> None:
    if isinstance(value, str):
        used.update(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _collect(key, used)
            _collect(item, used)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _collect(item, used)


def _map(value: Any, separator: str) -> Any:
    if isinstance(value, str):
        return _guarded(value, separator)
    if isinstance(value, Mapping):
        return {_map(key, separator): _map(item, separator) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_map(item, separator) for item in value]
    return value


def _guarded(text: str, separator: str) -> str:
    text = _ANY_MARK.sub(lambda mark: mark[0][0] + separator + mark[0][1:], text)
    end = text.rstrip()  # templates trim
    for length in range(min(len(end), _LONGEST), 0, -1):
        if end[-length:] in _UNFINISHED:
            return end + separator + text[len(end) :]
    return text
