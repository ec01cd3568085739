"""Reads one safetensors file: u64 header length, JSON header {name: {dtype, shape, data_offsets}}, raw data.

Our own reader because numpy has no bfloat16: tensors come as raw bits. Data is read piece by piece with
plain reads, not mapped, so memory holds one piece and a file that shrinks meanwhile is an error and not a
bus fault. Everything the header claims is checked against the file's real length before use. Format:
https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g4cpp.errors import ConversionError

# bytes per element of every dtype of the format; those in READABLE can be converted
ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4,
    "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
READABLE: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}
MAX_HEADER_BYTES = 100_000_000  # the limit of the reference implementation


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: `offset` is absolute in `path`; `shape` slowest first."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    n_bytes: int

    @property
    def n_elements(self) -> int:
        return math.prod(self.shape)

    def pieces(self, elements: int) -> Iterator[NDArray[Any]]:
        """The tensor flat, at most `elements` at a time: float32, float16, or the bits of bfloat16 as
        uint16."""
        dtype = READABLE[self.dtype]
        left = self.n_elements
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                while left > 0:
                    piece = np.fromfile(file, dtype, min(left, elements))
                    if piece.size != min(left, elements):
                        raise _error(self.path, f"{self.name}: the file ended while it was read")
                    left -= piece.size
                    yield piece
        except OSError as error:
            raise _error(self.path, f"{self.name} cannot be read: {error.strerror}") from error


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one file by name. Raises ConversionError naming the file, the tensor and the numbers."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
                raise _error(
                    path, f"truncated or not safetensors: a header of {length} bytes, a file of {size}"
                )
            header = _parse(path, file.read(length))
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror}") from error
    tensors = {
        name: _tensor(path, name, entry, 8 + length, size) for name, entry in header if name != "__metadata__"
    }
    _check_overlaps(path, list(tensors.values()))
    return tensors


def _parse(path: Path, text: bytes) -> list[tuple[str, object]]:
    try:
        pairs = json.loads(text, object_pairs_hook=list)  # keeps duplicates, which a dict would hide
    except (ValueError, RecursionError) as error:
        raise _error(path, f"not safetensors: {error}") from error
    if not isinstance(pairs, list) or any(not isinstance(pair, tuple) for pair in pairs):
        raise _error(path, "not safetensors: the header is no JSON object")
    if len({name for name, _ in pairs}) != len(pairs):
        raise _error(path, "a tensor name occurs twice")
    return pairs


def _tensor(path: Path, name: str, entry: object, data_begin: int, size: int) -> StoredTensor:
    fields = dict(entry) if isinstance(entry, list) and all(isinstance(pair, tuple) for pair in entry) else {}
    dtype, shape, offsets = (
        fields.get("dtype"),
        _counts(fields.get("shape")),
        _counts(fields.get("data_offsets")),
    )
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise _error(path, f"{name}: unknown dtype {dtype!r}")
    if shape is None or offsets is None or len(offsets) != 2:
        raise _error(path, f"{name}: a shape and two data_offsets expected, {str(fields)[:80]} found")
    begin, end = offsets
    expected = math.prod(shape) * ITEM_BYTES[dtype]
    if end - begin != expected:
        raise _error(path, f"{name}: {shape} of {dtype} are {expected} bytes, {end - begin} found")
    if data_begin + end > size:
        raise _error(path, f"truncated: {name} ends at byte {data_begin + end}, the file at {size}")
    return StoredTensor(name, dtype, tuple(shape), path, data_begin + begin, expected)


def _counts(value: object) -> list[int] | None:
    """`value` when it is a list of integers from 0 on."""
    if not isinstance(value, list) or any(
        isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in value
    ):
        return None
    return value


def _check_overlaps(path: Path, tensors: list[StoredTensor]) -> None:
    tensors.sort(key=lambda tensor: (tensor.offset, tensor.n_bytes))
    for before, after in pairwise(tensors):
        if after.offset < before.offset + before.n_bytes:
            raise _error(path, f"{before.name} and {after.name} overlap at byte {after.offset}")


def _error(path: Path, what: str) -> ConversionError:
    return ConversionError(f"[convert] {path}: {what}")
