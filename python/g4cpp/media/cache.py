"""Soft tokens by the digest of what they were made from, the least recently used forgotten first."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from g4cpp.files import existing_file

if TYPE_CHECKING:
    from g4cpp.prompt import Clip

_BLOCK = 1 << 20


class ClipCache:
    """Holds clips of at most `limit` bytes together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.n_bytes = 0
        self._entries: OrderedDict[bytes, Sequence[Clip]] = OrderedDict()

    def get(self, digest: bytes) -> Sequence[Clip] | None:
        found = self._entries.get(digest)
        if found is not None:
            self._entries.move_to_end(digest)
        return found

    def put(self, digest: bytes, clips: Sequence[Clip]) -> None:
        """Keeps them, unless they alone exceed the limit."""
        self._forget(digest)
        size = _bytes_of(clips)
        if size > self.limit:
            return
        self._entries[digest] = clips
        self.n_bytes += size
        while self.n_bytes > self.limit:
            self._forget(next(iter(self._entries)))

    def clear(self) -> None:
        self._entries.clear()
        self.n_bytes = 0

    def _forget(self, digest: bytes) -> None:
        self.n_bytes -= _bytes_of(self._entries.pop(digest, ()))


def _bytes_of(clips: Sequence[Clip]) -> int:
    return sum(clip.rows.nbytes for clip in clips)


def source_digest(medium: Any) -> bytes | None:
    """The digest of a medium's kind, options and content; None where the source is an object of some library.

    A path counts by what the file holds. Raises FileError.
    """
    source = medium.source
    digest = hashlib.blake2b(type(medium).__name__.encode(), digest_size=32)
    for each in fields(medium):
        if each.name != "source":
            digest.update(f"|{each.name}={getattr(medium, each.name)!r}".encode())
    if isinstance(source, str) and source.startswith("data:"):
        digest.update(b"|url|" + source.encode())
    elif isinstance(source, (str, Path)):
        digest.update(b"|bytes|")
        with existing_file(source).open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        digest.update(b"|bytes|" + bytes(source))
    elif isinstance(source, np.ndarray):
        digest.update(f"|array|{source.dtype}{source.shape}|".encode())
        digest.update(np.ascontiguousarray(source).tobytes())
    else:
        return None
    return digest.digest()


def value_digest(*values: object) -> bytes:
    """The digest of prepared values: arrays by their bytes, anything else by its text."""
    digest = hashlib.blake2b(digest_size=32)
    for value in values:
        if isinstance(value, np.ndarray):
            digest.update(f"|{value.dtype}{value.shape}|".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        else:
            digest.update(f"|{value!r}|".encode())
    return digest.digest()


def content_key(digest: bytes, place: int = 0) -> int:
    """63 bits for the engine, which compares them where prompts begin alike: of the place-th clip of a medium."""
    return int.from_bytes(hashlib.blake2b(digest + place.to_bytes(4, "little"), digest_size=8).digest(), "little") >> 1
