"""Prompts that hold media: content parts as OpenAI and Hugging Face write them, and lists of texts and media.

Either becomes what a chat template takes, {"type": "text", ...} and {"type": "image"}, and the media in their order.
Nothing is ever fetched: a URL must carry its data or name a local file.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from g4cpp.errors import ArgumentError, ArgumentTypeError
from g4cpp.media.sizes import budget_of
from g4cpp.media.sources import Audio, Image, Video

Medium = Image | Audio | Video
Part = str | Medium
Kind = Literal["image", "audio", "video"]

_CLASSES: dict[str, type[Medium]] = {"image": Image, "audio": Audio, "video": Video}
_TYPES: dict[str, Kind] = {
    "image": "image", "image_url": "image", "input_image": "image",
    "audio": "audio", "audio_url": "audio", "input_audio": "audio",
    "video": "video", "video_url": "video", "input_video": "video",
}  # fmt: skip
_TEXT_TYPES = ("text", "input_text")
_OPTIONS: dict[str, tuple[str, ...]] = {"image": ("tokens", "detail"), "audio": (), "video": ()}
_ADDRESS = re.compile("[a-zA-Z][a-zA-Z0-9+.-]*://")
_SOURCE_KEYS = ("url", "path", "data", "base64")


def kind_of(medium: Medium) -> Kind:
    """The name that content parts and placeholders have for it."""
    return "image" if isinstance(medium, Image) else "audio" if isinstance(medium, Audio) else "video"


def parse_parts(parts: object, where: str = "prompt") -> list[Part]:
    """Texts and media from a list of texts, media, pictures and content parts. Raises ArgumentError."""
    assert isinstance(parts, Sequence)
    return [_part(part, f"{where}[{place}]") for place, part in enumerate(parts)]


def split_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[list[Any], list[Medium]]:
    """The messages as templates take them, and their media in order.

    What is no list of messages is returned as it is, for the template's own checks. Raises ArgumentError (a part of
    no known type, without its data, or with a URL to fetch).
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        return messages, []  # type: ignore[return-value]
    plain: list[Any] = []
    media: list[Medium] = []
    for place, message in enumerate(messages):
        content = message.get("content") if isinstance(message, Mapping) else None
        if _is_medium(content):
            content = [content]
        if content is None or isinstance(content, (str, bytes)) or not isinstance(content, Sequence):
            plain.append(message)
            continue
        shown: list[dict[str, Any]] = []
        for part in parse_parts(content, f"messages[{place}].content"):
            if isinstance(part, str):
                shown.append({"type": "text", "text": part})
            else:
                shown.append({"type": kind_of(part)})
                media.append(part)
        plain.append({**message, "content": shown})
    return plain, media


def as_medium(kind: Kind, value: object, where: str, **options: Any) -> Medium:
    """`value` as a medium of this kind: one already, or a source of one. Raises ArgumentError."""
    wanted = _CLASSES[kind]
    if isinstance(value, (Image, Audio, Video)):
        if not isinstance(value, wanted):
            raise ArgumentTypeError(f"[media] {where}: {wanted.__name__} expected, {type(value).__name__} found")
        local = _local(value.source, where)
        found = value if local is value.source else replace(value, source=local)  # type: ignore[arg-type]
    else:
        given = {name: option for name, option in options.items() if option is not None}
        found = wanted(_local(value, where), **given)  # type: ignore[arg-type]
    if isinstance(found, Image):
        budget_of(found.tokens, found.detail)  # told here, before a model is asked
    return found


def _is_medium(value: object) -> bool:
    return isinstance(value, (Image, Audio, Video)) or _is_picture(value)


def _is_picture(value: object) -> bool:
    """A PIL image or an array [height, width, channels]: what needs no class around it to be known for an image."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return len(shape) == 3
    return type(value).__module__.split(".")[0] == "PIL"


def _part(part: object, where: str) -> Part:
    if isinstance(part, str):
        return part
    if isinstance(part, (Image, Audio, Video)):
        return as_medium(kind_of(part), part, where)
    if _is_picture(part):
        return as_medium("image", part, where)
    if not isinstance(part, Mapping):
        raise ArgumentTypeError(
            f"[media] {where}: a text, Image, Audio, Video or content part expected, {type(part).__name__} found"
        )
    type_ = part.get("type")
    if type_ in _TEXT_TYPES:
        text = part.get("text")
        if not isinstance(text, str):
            raise ArgumentTypeError(f"[media] {where}: a text expected, {type(text).__name__} found")
        return text
    if not isinstance(type_, str) or type_ not in _TYPES:
        known = ", ".join([_TEXT_TYPES[0], *_TYPES])
        raise ArgumentError(f"[media] {where}: a type of {known} expected, {type_!r} found")
    return _media_part(part, type_, where)


def _media_part(part: Mapping[str, Any], type_: str, where: str) -> Medium:
    """{"type": "image_url", "image_url": {"url": ..., "detail": ...}} and its kin."""
    kind = _TYPES[type_]
    inner = next((part[key] for key in (type_, f"{kind}_url", kind) if part.get(key) is not None), None)
    holder: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    options = {name: holder.get(name, part.get(name)) for name in _OPTIONS[kind]}
    if inner is not None and not isinstance(inner, Mapping):
        return as_medium(kind, inner, where, **options)
    for holding in (holder, part):
        for key in _SOURCE_KEYS:
            value = holding.get(key)
            if value is not None:
                encoded = isinstance(value, str) and key in ("data", "base64") and not value.startswith("data:")
                return as_medium(kind, _decoded(value, where) if encoded else value, where, **options)
    raise ArgumentError(f"[media] {where}: {type_} with its {', '.join(_SOURCE_KEYS)} expected, none found")


def _decoded(text: str, where: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ArgumentError(f"[media] {where}: base64 expected, {error}") from error


def _local(source: object, where: str) -> object:
    """The source; of a file: URL its path. Raises ArgumentError for an address, of which nothing is fetched."""
    if not isinstance(source, str) or not _ADDRESS.match(source):
        return source
    parts = urlsplit(source)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return unquote(parts.path)
    raise ArgumentError(
        f"[media] {where}: a file, bytes or a data: URL expected, {parts.scheme}://{parts.netloc[:60]}/... found; "
        "nothing is fetched"
    )
