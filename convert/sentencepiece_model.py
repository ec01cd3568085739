"""Reads the pieces of a SentencePiece `tokenizer.model` without the sentencepiece package.

The file is one protobuf message; field 1, repeated, is a piece: {1: text, 2: float score, 3: type}.
Everything else in it is skipped. Types are those of GGUF: 1 normal, 2 unknown, 3 control, 4 user defined, 5
unused, 6 byte. Source: sentencepiece_model.proto and the protobuf wire format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from g4cpp.errors import ConversionError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Piece:
    text: str
    score: float
    type: int


def read_pieces(path: Path) -> list[Piece]:
    """All pieces in the order of their ids. Raises ConversionError when the file is malformed."""
    try:
        pieces = [
            _piece(value)
            for field, value in _fields(path.read_bytes())
            if field == 1 and isinstance(value, bytes)
        ]
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise ConversionError(f"[convert] {path}: not a SentencePiece model: {error}") from error
    if not pieces:
        raise ConversionError(f"[convert] {path}: a SentencePiece model has no pieces")
    return pieces


def _piece(message: bytes) -> Piece:
    text, score, kind = "", 0.0, 1
    for field, value in _fields(message):
        if field == 1 and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif field == 2 and isinstance(value, bytes):
            (score,) = struct.unpack("<f", value)
        elif field == 3 and isinstance(value, int):
            kind = value
    if not 1 <= kind <= 6:
        raise ValueError(f"piece {text!r} has the unknown type {kind}")
    return Piece(text, score, kind)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) pairs: an int for varints, the bytes for everything else."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if at + size > len(message):
            raise ValueError(f"truncated at byte {at}")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number of more than 10 bytes ends at byte {at}")
