"""Streams the planned tensors into a GGUF file: one piece of one tensor in memory, nothing left behind on
any failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g4cpp import _core
from g4cpp.progress import Callback

from .changes import Change
from .encoding import encoded_pieces
from .hf_config import TextConfig
from .metadata import Entry
from .safetensors_file import StoredTensor
from .tensor_names import ROPE_FREQS


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of the file. Without `source`, `values` (float32) are written."""

    name: str
    format: str
    shape: tuple[int, ...]
    source: StoredTensor | None = None
    change: Change = Change.NONE
    values: NDArray[np.float32] | None = None

    @property
    def n_elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def pieces(self) -> Iterator[NDArray[np.uint8]]:
        if self.source is not None:
            yield from encoded_pieces(self.source, self.format, self.change)
        elif self.values is not None:
            yield _core.quantize(self.format, self.values)


def rope_freqs(config: TextConfig) -> PlannedTensor:
    """Factors that divide each frequency of a global head: 1e30 stops the pairs that proportional RoPE
    leaves in place.

    Shape [head_dim_global / 2]; pair i is the dimensions (i, i + head_dim_global / 2).
    """
    pairs = config.head_dim_global // 2
    rotating = int(config.rope.rotated * config.head_dim_global / 2)
    values = np.full(pairs, 1e30, np.float32)
    values[:rotating] = 1.0
    return PlannedTensor(ROPE_FREQS, "F32", (pairs,), values=values)


def write_file(path: Path, entries: list[Entry], tensors: list[PlannedTensor], tell: Callback) -> None:
    """Writes `path`, or on any error, Ctrl-C included, nothing. Raises FileError when the disk refuses."""
    sizes = {name: (elements, n_bytes) for name, elements, n_bytes in _core.dtypes()}
    total = sum(tensor.n_elements // sizes[tensor.format][0] * sizes[tensor.format][1] for tensor in tensors)
    done = 0
    writer = _core.GgufWriter(str(path))
    try:
        for entry in entries:
            entry.write(writer)
        for tensor in tensors:
            writer.declare_tensor(tensor.name, tensor.format, tensor.shape)
        writer.write_header()
        for tensor in tensors:
            for piece in tensor.pieces():
                writer.write_tensor(tensor.name, piece)
                done += piece.nbytes
                tell(tensor.name, done, total)
        writer.finish()
    except BaseException:
        writer.discard()
        raise
