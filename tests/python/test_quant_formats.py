"""Block formats against the `gguf` package, bit for bit: every format decoded, those we write encoded.

Source of the oracle: gguf.quants, a numpy implementation of the same block layouts.
"""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from g4cpp import _core

BLOCKS = 2000

# Byte offsets of the f16 fields in a block.
F16_FIELDS: dict[str, tuple[int, ...]] = {
    "Q8_0": (0,),
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
    "MXFP4": (),
}


def sizes(name: str) -> tuple[int, int]:
    """(elements, bytes) of a block."""
    elements, size = gguf.GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    return int(elements), int(size)


def reference_decode(name: str, blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        decoded = gguf.quants.dequantize(blocks, GGMLQuantizationType[name])
    return np.ascontiguousarray(decoded, dtype=np.float32).reshape(-1)


def reference_encode(name: str, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[rows, bytes per row]"""
    with np.errstate(all="ignore"):
        encoded = gguf.quants.quantize(rows, GGMLQuantizationType[name])
    return np.ascontiguousarray(encoded).view(np.uint8).reshape(rows.shape[0], -1)


def assert_same_bits(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Equal as uint32; a NaN equals any NaN."""
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    differ = (found.view(np.uint32) != expected.view(np.uint32)) & ~(np.isnan(found) & np.isnan(expected))
    first = np.flatnonzero(differ)[:1]
    assert not differ.any(), f"{differ.sum()} differ, first at {first}: {found[first]} for {expected[first]}"


def random_blocks(name: str, seed: int) -> NDArray[np.uint8]:
    """[BLOCKS + 2, bytes]: every byte random, then a block of zeros and one of ones."""
    size = sizes(name)[1]
    blocks = np.random.default_rng(seed).integers(0, 256, (BLOCKS + 2, size), dtype=np.uint8)
    blocks[-2] = 0x00
    blocks[-1] = 0xFF
    return blocks


def make_scales_finite(name: str, blocks: NDArray[np.uint8]) -> None:
    """Lowers the exponent of f16 fields that hold an infinity or a NaN, in place."""
    for offset in F16_FIELDS[name]:
        high = blocks[:, offset + 1]
        blocks[:, offset + 1] = np.where((high & 0x7C) == 0x7C, high & 0xFB, high)


@pytest.mark.parametrize("name", F16_FIELDS)
def test_random_blocks_decode_to_the_same_bits(name: str) -> None:
    blocks = random_blocks(name, seed=1)
    assert_same_bits(_core.dequantize(name, blocks.tobytes()), reference_decode(name, blocks))


@pytest.mark.parametrize("name", F16_FIELDS)
def test_finite_scales_decode_to_the_same_bits(name: str) -> None:
    blocks = random_blocks(name, seed=2)
    make_scales_finite(name, blocks)
    expected = reference_decode(name, blocks)
    assert not np.isnan(expected).any()
    assert np.count_nonzero(expected) > expected.size // 2
    assert_same_bits(_core.dequantize(name, blocks.tobytes()), expected)


@pytest.mark.parametrize("name", [name for name, fields in F16_FIELDS.items() if fields])
def test_subnormal_scales_decode_to_the_same_bits(name: str) -> None:
    blocks = random_blocks(name, seed=3)
    for offset in F16_FIELDS[name]:
        blocks[:, offset + 1] &= 0x83
    expected = reference_decode(name, blocks)
    assert not np.isnan(expected).any()
    assert_same_bits(_core.dequantize(name, blocks.tobytes()), expected)


def test_every_mxfp4_exponent() -> None:
    blocks = np.random.default_rng(4).integers(0, 256, (256, 17), dtype=np.uint8)
    blocks[:, 0] = np.arange(256)
    blocks[:, 1:9] = 0x10 * np.arange(1, 16, 2) + np.arange(0, 16, 2)  # every value in every block
    assert_same_bits(_core.dequantize("MXFP4", blocks.tobytes()), reference_decode("MXFP4", blocks))


@pytest.mark.parametrize("name", ["F16", "BF16"])
def test_every_half_decodes_to_the_same_bits(name: str) -> None:
    halves = np.arange(0x10000, dtype=np.uint16).view(np.uint8).reshape(256, 512)
    assert_same_bits(_core.dequantize(name, halves.tobytes()), reference_decode(name, halves))


def test_f32_is_copied() -> None:
    values = np.random.default_rng(5).integers(0, 2**32, 4096, dtype=np.uint32)
    np.testing.assert_array_equal(_core.dequantize("F32", values.tobytes()).view(np.uint32), values)
    encoded = np.frombuffer(_core.quantize("F32", values.view(np.float32)).tobytes(), dtype=np.uint32)
    np.testing.assert_array_equal(encoded, values)


def edge_rows() -> NDArray[np.float32]:
    """[16, 32]: zeros of both signs, infinities, NaN, the largest and smallest magnitudes, ties."""
    rows = np.zeros((16, 32), dtype=np.float32)
    ramp = np.arange(32, dtype=np.float32)
    rows[1] = -0.0
    rows[2, 5] = np.inf
    rows[3, 6] = -np.inf
    rows[4, 7] = np.nan
    rows[5] = np.inf
    rows[6] = np.nan
    rows[7] = ramp
    rows[7, 9] = -np.inf
    rows[8] = ramp
    rows[8, 9] = np.nan
    rows[9] = np.finfo(np.float32).max
    rows[10] = -np.finfo(np.float32).max
    rows[11] = np.float32(1e-45)
    rows[12, :2] = (2, -2)
    rows[13, :2] = (-2, 2)
    rows[14] = 127.5 - 8 * ramp
    rows[14, 0] = 127
    rows[15] = ramp - 16
    return rows


def input_rows() -> NDArray[np.float32]:
    """[rows, 32]: normal values of subnormal to overflowing scale, random bit patterns, halves that tie."""
    rng = np.random.default_rng(6)
    exponents = [-45, -42, -40, -38.6, -38, -37, -30, -20, -8, -4, -2, 0, 2, 4, 5, 5.9, 6.9, 20, 37, 38]
    scales = 10.0 ** np.array(exponents)
    with np.errstate(over="ignore"):
        scaled = np.concatenate([rng.standard_normal((150, 32)) * s for s in scales]).astype(np.float32)
    patterns = rng.integers(0, 2**32, (2000, 32), dtype=np.uint32)
    patterns[:200] = (patterns[:200] & 0xFFFF0000) | 0x8000  # between two bf16
    patterns[200:400] = (patterns[200:400] & 0xFFFFE000) | 0x1000  # between two f16
    ties = (np.round(rng.standard_normal((1000, 32)) * 20) / 2).astype(np.float32)
    ties[:500, 0] = 127
    ties[500:] = np.clip(ties[500:], -8, 8)
    ties[500:, 0] = -8
    return np.ascontiguousarray(np.concatenate([edge_rows(), scaled, patterns.view(np.float32), ties]))


def test_bf16_encodes_to_the_same_bits() -> None:
    rows = input_rows()
    found = np.asarray(_core.quantize("BF16", rows.reshape(-1))).view(np.uint8)
    np.testing.assert_array_equal(found.reshape(rows.shape[0], -1), reference_encode("BF16", rows))


def assert_same_halves(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """Equal f16 bits; a NaN equals any NaN. Both [n, 2 bytes]."""
    f, e = (np.ascontiguousarray(half).view(np.uint16) for half in (found, expected))
    both_nan = ((f & 0x7FFF) > 0x7C00) & ((e & 0x7FFF) > 0x7C00)
    assert both_nan.any()
    np.testing.assert_array_equal(f[~both_nan], e[~both_nan])


def test_f16_encodes_to_the_same_bits() -> None:
    rows = input_rows()
    found = np.asarray(_core.quantize("F16", rows.reshape(-1))).view(np.uint8)
    assert_same_halves(found.reshape(-1, 2), reference_encode("F16", rows).reshape(-1, 2))


@pytest.mark.parametrize(("name", "divisor"), [("Q8_0", 127), ("Q4_0", -8)])
def test_blocks_encode_to_the_same_bits(name: str, divisor: int) -> None:
    """Where value / scale is not finite the package's cast to an integer is undefined: 0 is expected."""
    rows = input_rows()
    size = sizes(name)[1]
    found = np.asarray(_core.quantize(name, rows.reshape(-1))).view(np.uint8).reshape(-1, size)
    expected = reference_encode(name, rows)
    assert_same_halves(found[:, :2], expected[:, :2])

    def quants(blocks: NDArray[np.uint8]) -> NDArray[np.uint8]:
        q = blocks[:, 2:]
        return q if name == "Q8_0" else np.concatenate([q & 15, q >> 4], axis=1)

    with np.errstate(all="ignore"):
        extreme = np.take_along_axis(rows, np.abs(rows).argmax(axis=1, keepdims=True), axis=1)
        scale = (np.abs(extreme) if divisor > 0 else extreme) / np.float32(divisor)
        defined = np.isfinite(rows * np.where(scale == 0, np.float32(0), 1 / scale))
    assert 0.5 < defined.mean() < 1
    np.testing.assert_array_equal(quants(found), np.where(defined, quants(expected), 0))


@pytest.mark.parametrize("name", ["F16", "BF16", "Q8_0", "Q4_0"])
def test_encoded_blocks_decode_as_the_package_decodes_them(name: str) -> None:
    rows = np.random.default_rng(7).standard_normal((500, 32)).astype(np.float32)
    encoded = np.asarray(_core.quantize(name, rows.reshape(-1))).view(np.uint8)
    decoded = _core.dequantize(name, encoded.tobytes())
    assert_same_bits(decoded, reference_decode(name, encoded.reshape(rows.shape[0], -1)))
    error = float(np.sum((decoded - rows.reshape(-1)) ** 2) / np.sum(rows**2))
    assert error < {"F16": 1e-7, "BF16": 1e-5, "Q8_0": 1e-4, "Q4_0": 2e-2}[name]
