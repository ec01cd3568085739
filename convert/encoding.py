"""Which format each tensor is written in, and the conversion, piece by piece.

| type | matrices | token_embd, per_layer_token_embd, output | per_layer_model_proj | norms, scales, router |
|---|---|---|---|---|
| f32, f16, bf16 | that | that | that | F32 |
| q8_0 | Q8_0 | Q8_0 | 16 bits | F32 |
| q4_0 | Q4_0 | Q8_0 | 16 bits | F32 |
| auto | f32, f16 or bf16: the type most of the checkpoint's matrices have | | | F32 |

As llama.cpp has it: its quantizer leaves the router and per_layer_model_proj alone, and gives embeddings
that are also the output head (and the per-layer ones) Q6_K in a Q4_0 file; we do not write Q6_K, and Q8_0
is the nearest format that does not lose more. "16 bits" is BF16, or F16 for a float16 checkpoint; a matrix
whose rows are no multiple of 32 gets it too. In projector files convolution kernels and position tables are
F32 as well, where llama.cpp insists on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g4cpp import _core
from g4cpp.errors import ConversionError

from .changes import ELEMENTWISE, Change, changed
from .safetensors_file import READABLE, StoredTensor
from .tensor_names import Storage, TensorRule

TYPES = ("auto", "f32", "f16", "bf16", "q8_0", "q4_0")
PROJECTOR_TYPES = TYPES[:-1]  # towers are small, and nobody has 4-bit ones
BLOCK = 32  # elements of a Q8_0 or Q4_0 block
PIECE_ELEMENTS = 1 << 20  # 4 MiB as float32: hides the cost of a call, and Ctrl-C is answered soon
F16_MAX = 65504.0
_SAFETENSORS_TO_GGUF = {"F32": "F32", "F16": "F16", "BF16": "BF16"}


def resolve_type(type: str, sources: list[tuple[TensorRule, StoredTensor]]) -> str:
    """`type`, or for "auto" the type that holds most of the matrices' values."""
    if type != "auto":
        return type
    counts: dict[str, int] = {}
    for rule, tensor in sources:
        if rule.storage is not Storage.PLAIN:
            counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.n_elements
    return max(counts, key=lambda dtype: counts[dtype]).lower()


def storage_format(rule: TensorRule, tensor: StoredTensor, type: str) -> str:
    """The GGUF format of one tensor in a file of `type` (not "auto")."""
    if rule.storage is Storage.PLAIN:
        return "F32"
    if type not in ("q8_0", "q4_0"):
        return type.upper()
    if rule.storage is Storage.HALF or rule.shape[-1] % BLOCK != 0:
        return "F16" if tensor.dtype == "F16" else "BF16"
    return "Q8_0" if rule.storage is Storage.EMBEDDING else type.upper()


def encoded_pieces(tensor: StoredTensor, format: str, change: Change) -> Iterator[NDArray[np.uint8]]:
    """The bytes of `tensor` in `format`, in order. Raises ConversionError when a value is NaN, infinite
    (bounds may be) or does not fit.
    """
    copy = _SAFETENSORS_TO_GGUF[tensor.dtype] == format and change is Change.NONE
    for piece in tensor.pieces(PIECE_ELEMENTS if change in ELEMENTWISE else tensor.n_elements):
        _check_finite(tensor, piece, infinity=change is Change.BOUND)
        if copy:
            yield piece.view(np.uint8)
            continue
        values = changed(change, _to_float32(piece), tensor.shape)
        if format == "F16" and float(np.abs(values).max()) > F16_MAX:
            raise ConversionError(
                f"[convert] {tensor.name}: a value of {np.abs(values).max():g} does not fit F16; take bf16"
            )
        yield _core.quantize(format, values)


def _to_float32(piece: NDArray[Any]) -> NDArray[np.float32]:
    if piece.dtype == READABLE["BF16"]:
        return (piece.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return piece.astype(np.float32, copy=False)


def _check_finite(tensor: StoredTensor, piece: NDArray[Any], infinity: bool) -> None:
    if infinity:
        bad = np.isnan(_to_float32(piece))
    elif piece.dtype == READABLE["BF16"]:
        exponent = np.uint16(0x7F80)  # all ones: NaN or infinity
        bad = (piece & exponent) == exponent
    else:
        bad = ~np.isfinite(piece)
    if bad.any():
        raise ConversionError(
            f"[convert] {tensor.name}: finite weights expected, {int(bad.sum())} NaN or infinite values found"
        )
