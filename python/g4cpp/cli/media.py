"""Media on the command line: options, and the parts of a prompt they stand for."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from g4cpp.cli.common import note

if TYPE_CHECKING:
    from g4cpp.media.content import Medium

ImageOption = Annotated[list[str] | None, typer.Option("--image", help="Image file, before the text; repeatable.")]
VideoOption = Annotated[list[str] | None, typer.Option("--video", help="Video file, after the images; repeatable.")]
AudioOption = Annotated[list[str] | None, typer.Option("--audio", help="Sound file, after the videos; repeatable.")]
ImageTokensOption = Annotated[
    int | None, typer.Option("--image-tokens", help="Most tokens of an image: 70, 140, 280, 560 or 1120.")
]


def media_parts(
    images: list[str] | None, videos: list[str] | None, audios: list[str] | None, image_tokens: int | None
) -> list[Medium]:
    """In the order in which a prompt has them. Raises ArgumentError."""
    return [
        *(medium("image", path, image_tokens) for path in images or ()),
        *(medium("video", path) for path in videos or ()),
        *(medium("audio", path) for path in audios or ()),
    ]


def medium(kind: Literal["image", "audio", "video"], path: str, image_tokens: int | None = None) -> Medium:
    from g4cpp.files import existing_file
    from g4cpp.media.content import as_medium

    tokens = image_tokens if kind == "image" else None
    found = as_medium(kind, path, f"--{kind}", tokens=tokens)
    if isinstance(found.source, str) and not found.source.startswith("data:"):
        existing_file(found.source)  # told now rather than once the model is loaded
    return found


@contextmanager
def told() -> Iterator[None]:
    """Warnings, such as that of sound in several clips, as notes of a line."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: note(str(message))
        yield
