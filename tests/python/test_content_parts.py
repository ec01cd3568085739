"""Content parts in the ways clients write them, and what is none."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_media import picture, png

from g4cpp import Audio, Image, Video
from g4cpp.errors import ArgumentError
from g4cpp.media.content import parse_parts, split_messages
from g4cpp.prompting import is_parts

DATA_URL = "data:image/png;base64," + base64.b64encode(png()).decode()


def same(found: Any, expected: Any) -> bool:
    """The same text, or media of the same fields."""
    return type(found) is type(expected) and (
        found == expected if isinstance(found, str) else vars(found) == vars(expected)
    )


def one(part: Any) -> Any:
    (found,) = parse_parts([part])
    return found


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("hello", "hello"),
        ({"type": "text", "text": "hello"}, "hello"),
        ({"type": "image_url", "image_url": {"url": "a.png"}}, Image("a.png")),
        ({"type": "image_url", "image_url": {"url": DATA_URL, "detail": "low"}}, Image(DATA_URL, detail="low")),
        ({"type": "image_url", "image_url": "a.png"}, Image("a.png")),
        ({"type": "image_url", "image_url": {"url": "file:///tmp/a%20b.png"}}, Image("/tmp/a b.png")),
        ({"type": "input_image", "image_url": "a.png", "detail": "high"}, Image("a.png", detail="high")),
        ({"type": "image", "image": "a.png", "tokens": 560}, Image("a.png", tokens=560)),
        ({"type": "image", "url": "a.png"}, Image("a.png")),
        ({"type": "image", "path": Path("a.png")}, Image(Path("a.png"))),
        ({"type": "image", "base64": base64.b64encode(b"abc").decode()}, Image(b"abc")),
        ({"type": "image", "image": Image("a.png", tokens=70)}, Image("a.png", tokens=70)),
        (Image("a.png"), Image("a.png")),
        ({"type": "input_audio", "input_audio": {"data": base64.b64encode(b"RIFF").decode(), "format": "wav"}},
         Audio(b"RIFF")),
        ({"type": "audio_url", "audio_url": {"url": "a.wav"}}, Audio("a.wav")),
        ({"type": "audio", "audio": b"RIFF"}, Audio(b"RIFF")),
        ({"type": "video", "path": "a.mp4"}, Video("a.mp4")),
        ({"type": "video_url", "video_url": {"url": "a.mp4"}}, Video("a.mp4")),
    ],
)  # fmt: skip
def test_parts(part: Any, expected: Any) -> None:
    assert same(one(part), expected)


def test_pictures_need_no_class() -> None:
    shown = picture()
    for source in (shown, np.asarray(shown)):
        for part in (source, {"type": "image", "image": source}):
            found = one(part)
            assert isinstance(found, Image)
            assert found.source is source


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, "nothing is fetched"),
        (Image("http://example.com/a.png"), "nothing is fetched"),
        ({"type": "video", "url": "HTTPS://example.com/a.mp4"}, "nothing is fetched"),
        ({"type": "image_url", "image_url": {"url": "file://host/a.png"}}, "nothing is fetched"),
        ({"type": "image", "base64": "a*b"}, "base64"),
        ({"type": "input_audio", "input_audio": {"format": "wav"}}, "with its url"),
        ({"type": "image"}, "with its url"),
        ({"type": "text"}, "text expected, NoneType"),
        ({"type": "smell", "smell": "a"}, "'smell' found"),
        ({"text": "a"}, "None found"),
        ({"type": "image", "image": Audio("a.wav")}, "Image expected, Audio found"),
        ({"type": "image", "image": "a.png", "tokens": 281}, "281"),
        ({"type": "image_url", "image_url": {"url": "a.png", "detail": "extreme"}}, "extreme"),
        (7, "int found"),
        (None, "NoneType found"),
        (b"abc", "bytes found"),
        (np.zeros(5), "ndarray found"),
    ],
)
def test_what_is_no_part(part: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        one(part)
    assert "\n" not in str(caught.value)


def test_messages() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": ["a", {"type": "image_url", "image_url": {"url": "a.png"}}], "name": "x"},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]},
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    shown, media = split_messages(messages)
    assert all(map(same, media, [Image("a.png"), Audio(b"RIFF")]))
    assert shown[0] == messages[0]
    parts = [{"type": "text", "text": "a"}, {"type": "image"}]
    assert shown[1] == {"role": "user", "content": parts, "name": "x"}
    assert shown[2]["content"] == [{"type": "audio"}]
    assert shown[3] == messages[3]
    assert isinstance(messages[1]["content"][0], str)  # the caller's own is left alone
    with pytest.raises(ArgumentError, match=r"messages\[0\]\.content\[1\]"):
        split_messages([{"role": "user", "content": ["a", {"type": "image"}]}])


def test_lists_of_ids_are_no_parts() -> None:
    assert not any(is_parts(ids) for ids in ([], [1, 2], (1,), [np.int64(3)], "text", np.arange(3)))
    assert all(is_parts(parts) for parts in (["a"], [Image("a.png")], [1, "a"], [picture()]))


