"""Writes the seed corpus of fuzz_gguf with the `gguf` package: a dozen tiny files, under 64 KB in all.

Usage: python tests/fuzz/make_corpus.py [FOLDER]    (default: corpus/gguf beside this script)

The seeds cover every value type, arrays of each kind, every tensor format the engine reads, both versions, custom
alignments, ranks 1 to 4 and the parts of a split set; the same call always writes the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFEndian, GGUFValueType, GGUFWriter

# Formats of 32-element blocks (or none), then those of 256.
SMALL_BLOCKS = ["F32", "F16", "BF16", "I32", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "MXFP4"]
LARGE_BLOCKS = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"]
MAX_BYTES = 64 * 1024


def finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_blocks(writer: GGUFWriter, name: str, format_name: str, rows: int) -> None:
    """A tensor of `rows` rows of one block, its bytes counting up."""
    quant = GGMLQuantizationType[format_name]
    _, block_bytes = GGML_QUANT_SIZES[quant]
    data = (np.arange(rows * block_bytes, dtype=np.uint32) % 251).astype(np.uint8).reshape(rows, block_bytes)
    writer.add_tensor(name, data, raw_dtype=quant)


def scalars(writer: GGUFWriter) -> None:
    writer.add_uint8("u8", 255)
    writer.add_int8("i8", -128)
    writer.add_uint16("u16", 65535)
    writer.add_int16("i16", -32768)
    writer.add_uint32("u32", 2**32 - 1)
    writer.add_int32("i32", -(2**31))
    writer.add_uint64("u64", 2**64 - 1)
    writer.add_key_value("i64", -(2**63), GGUFValueType.INT64)
    writer.add_float32("f32", 1.5)
    writer.add_float64("f64", float("nan"))
    writer.add_bool("yes", True)
    writer.add_string("text", "caf\u00e9 \u2581")
    writer.add_string("empty", "")


def arrays(writer: GGUFWriter) -> None:
    writer.add_key_value("u8s", [1, 2, 3], GGUFValueType.ARRAY, GGUFValueType.UINT8)
    writer.add_key_value("u64s", [0, 2**64 - 1], GGUFValueType.ARRAY, GGUFValueType.UINT64)
    writer.add_key_value("i16s", [-1, 300], GGUFValueType.ARRAY, GGUFValueType.INT16)
    writer.add_key_value("f64s", [0.5, -0.25], GGUFValueType.ARRAY, GGUFValueType.FLOAT64)
    writer.add_array("bools", [True, False, True])
    writer.add_array("floats", [1.0, 2.0])
    writer.add_array("strings", ["a", "", "\U0001f600"])


def vocabulary(writer: GGUFWriter) -> None:
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{i:02X}>" for i in range(8)), "\u2581a", "\u2581b"]
    writer.add_tokenizer_model("gemma4")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(len(tokens))])
    writer.add_token_types([3] * 4 + [6] * 8 + [1] * 2)
    writer.add_token_merges(["\u2581 a", "\u2581 b"])
    writer.add_bos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")


def floats(writer: GGUFWriter) -> None:
    for rank in range(1, 5):
        writer.add_tensor(f"rank{rank}.weight", np.arange(2**rank, dtype=np.float32).reshape([2] * rank))
    writer.add_tensor("half.weight", np.ones((3, 5), dtype=np.float16))
    writer.add_tensor("int.weight", np.arange(6, dtype=np.int32))


def formats(*names: str) -> Callable[[GGUFWriter], None]:
    def add(writer: GGUFWriter) -> None:
        for name in names:
            add_blocks(writer, f"{name.lower()}.weight", name, 2)

    return add


def alignment(bytes_: int) -> Callable[[GGUFWriter], None]:
    def add(writer: GGUFWriter) -> None:
        writer.add_custom_alignment(bytes_)
        writer.add_tensor("a.weight", np.ones(3, dtype=np.float32))
        writer.add_tensor("b.weight", np.ones((2, 3), dtype=np.float32))

    return add


def split_part(writer: GGUFWriter) -> None:
    writer.add_uint16("split.no", 0)
    writer.add_uint16("split.count", 2)
    writer.add_int32("split.tensors.count", 2)
    writer.add_tensor("a.weight", np.ones(3, dtype=np.float32))


def model(writer: GGUFWriter) -> None:
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    vocabulary(writer)
    writer.add_tensor("token_embd.weight", np.ones((14, 32), dtype=np.float16))
    writer.add_tensor("output_norm.weight", np.ones(32, dtype=np.float32))
    add_blocks(writer, "blk.0.attn_q.weight", "Q8_0", 4)


SEEDS: dict[str, Callable[[GGUFWriter], None]] = {
    "empty": lambda writer: None,
    "scalars": scalars,
    "arrays": arrays,
    "vocabulary": vocabulary,
    "floats": floats,
    "formats_32": formats(*SMALL_BLOCKS),
    "formats_256": formats(*LARGE_BLOCKS),
    "foreign": formats("Q8_0", "IQ2_XXS"),
    "align_8": alignment(8),
    "align_256": alignment(256),
    "split_part": split_part,
    "model": model,
}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "corpus" / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    for name, fill in SEEDS.items():
        writer = GGUFWriter(folder / f"{name}.gguf", "gemma4")
        fill(writer)
        finish(writer)
    big = GGUFWriter(folder / "big_endian.gguf", "gemma4", endianess=GGUFEndian.BIG)
    scalars(big)
    finish(big)
    version_2 = bytearray((folder / "floats.gguf").read_bytes())
    version_2[4] = 2  # the two versions differ in this word only
    (folder / "version_2.gguf").write_bytes(version_2)
    total = sum(file.stat().st_size for file in folder.glob("*.gguf"))
    print(f"{len(list(folder.glob('*.gguf')))} files, {total} bytes in {folder}")
    if total > MAX_BYTES:
        raise SystemExit(f"the corpus is larger than {MAX_BYTES} bytes")


if __name__ == "__main__":
    main()
