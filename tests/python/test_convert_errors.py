"""Every way a conversion can fail: a ConversionError or FileError that names the place, and nothing left on
the disk.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_checkpoint import VOCAB, make_tiny, write_safetensors

from g4cpp.convert import convert
from g4cpp.convert.checkpoint import Checkpoint
from g4cpp.errors import ArgumentError, ConversionError, FileError


def refused(folder: Path, match: str, **options: Any) -> None:
    """The conversion raises ConversionError with `match` on one line, and writes nothing."""
    out = folder.parent / "out"
    out.mkdir(exist_ok=True)
    with pytest.raises(ConversionError, match=match) as caught:
        convert(folder, out / "m.gguf", progress=False, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("[convert] ")
    assert list(out.iterdir()) == []


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def rewrite(folder: Path, change: Callable[[dict[str, Any], bytearray], object]) -> None:
    """Lets `change` at the header and the data of model.safetensors."""
    path = folder / "model.safetensors"
    blob = path.read_bytes()
    length = int.from_bytes(blob[:8], "little")
    header, data = json.loads(blob[8 : 8 + length]), bytearray(blob[8 + length :])
    change(header, data)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(data))


def test_missing_folder_and_files(tmp_path: Path) -> None:
    refused(tmp_path / "none", "a checkpoint folder expected")
    folder = make_tiny(tmp_path / "m", "dense_e").folder
    for name in ("config.json", "tokenizer.json"):
        text = (folder / name).read_text()
        (folder / name).unlink()
        refused(folder, f"{name} expected, no such file")
        (folder / name).write_text("{broken")
        refused(folder, f"{name}: JSON expected")
        (folder / name).write_text("[1]")
        refused(folder, f"{name}: a JSON object expected, list found")
        (folder / name).write_text(text)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, r"none found, but pytorch_model.bin: only safetensors")


def test_output(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "m", "dense_e").folder
    with pytest.raises(FileError, match="a directory found"):
        convert(folder, tmp_path, progress=False)
    with pytest.raises(FileError, match="no-such-folder"):
        convert(folder, tmp_path / "no-such-folder" / "m.gguf", progress=False)
    with pytest.raises(FileError, match="the checkpoint's own file"):
        convert(folder, folder / "model.safetensors", progress=False)
    with pytest.raises(ArgumentError, match="'q5_0' found"):
        convert(folder, tmp_path / "m.gguf", "q5_0", progress=False)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"architectures": ["LlamaForCausalLM"]},
            r"architectures: one of .* expected, 'LlamaForCausalLM' found",
        ),
        ({"architectures": None}, "architectures"),
        ({"hidden_size": "64"}, "hidden_size: an integer of at least 1 expected, '64' found"),
        ({"hidden_size": -64}, "hidden_size: an integer of at least 1 expected, -64 found"),
        ({"hidden_size": True}, "hidden_size"),
        ({"num_hidden_layers": 10**20}, "num_hidden_layers"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps: a number expected"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings: true or false expected, 1 found"),
        ({"layer_types": ["sliding_attention"]}, "layer_types"),
        ({"layer_types": ["chunked_attention"] * 6}, "layer_types"),
        ({"hidden_activation": "silu"}, "hidden_activation: gelu_pytorch_tanh expected, 'silu' found"),
        ({"attention_bias": True}, "attention_bias"),
        ({"use_bidirectional_attention": "all"}, "use_bidirectional_attention"),
        ({"vocab_size_per_layer_input": 100}, "vocab_size_per_layer_input"),
        ({"num_kv_shared_layers": 6}, "num_kv_shared_layers"),
        ({"num_kv_shared_layers": 5}, "num_kv_shared_layers"),
        ({"enable_moe_block": True}, "num_experts: an integer expected, nothing found"),
        ({"rope_parameters": {"full_attention": {}}}, "rope_parameters"),
        (
            {"rope_parameters": {k: {"rope_type": "yarn"} for k in ("full_attention", "sliding_attention")}},
            "rope_type",
        ),
        ({"per_layer_config": {"1": {"head_dim": 32}, "3": {"head_dim": 48}}}, "one head_dim"),
        ({"per_layer_config": {"1": {"intermediate_size": 32}}}, "intermediate_size"),
        ({"text_config": []}, "text_config: an object expected"),
    ],
)
def test_config(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    folder = make_tiny(tmp_path / "m", "dense_e").folder
    edit_json(folder / "config.json", lambda config: config.update(change))
    refused(folder, match)


def test_gemma3_query_scale(tmp_path: Path) -> None:
    """No key says it, so only what every reader assumes is accepted: head_dim, and hidden / heads at 62
    layers.
    """
    folder = make_tiny(tmp_path / "m", "gemma3").folder
    edit_json(folder / "config.json", lambda config: config.update(query_pre_attn_scalar=64))
    refused(folder, "query_pre_attn_scalar: 16, as readers of GGUF assume, expected, 64 found")
    edit_json(
        folder / "config.json", lambda config: config.update(query_pre_attn_scalar=16, num_hidden_layers=62)
    )
    edit_json(folder / "config.json", lambda config: config.update(num_attention_heads=2))
    refused(folder, "query_pre_attn_scalar: 32")


def test_gemma3_without_a_window(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "m", "gemma3").folder
    edit_json(folder / "config.json", lambda config: config.update(sliding_window=None))
    refused(folder, "sliding_window: a number of positions expected, None found")


def test_tensors_against_config(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "m", "dense_e").folder
    edit_json(folder / "config.json", lambda config: config.update(intermediate_size=96))
    name = r"model\.layers\.0\.mlp\.gate_proj\.weight"
    refused(folder, rf"{name}: shape \[96, 64\] expected by config.json, \[80, 64\] found")
    edit_json(folder / "config.json", lambda config: config.update(intermediate_size=80, num_hidden_layers=5))
    edit_json(folder / "config.json", lambda config: config.update(layer_types=config["layer_types"][:5]))
    refused(folder, "shape")
    missing = make_tiny(tmp_path / "missing", "moe").folder
    rewrite(missing, lambda header, data: header.pop("model.layers.2.router.scale"))
    refused(missing, r"tensor model\.layers\.2\.router\.scale missing")
    embedding = make_tiny(tmp_path / "embedding", "moe").folder
    rewrite(embedding, lambda header, data: header.pop("model.embed_tokens.weight"))
    refused(embedding, r"tensor model\.embed_tokens\.weight missing")
    more = {f"model.layers.{i}.mlp.extra_proj.weight": (2, 2) for i in range(5)}
    unknown = make_tiny(tmp_path / "unknown", "dense_k", extra=more).folder
    refused(unknown, r"unknown tensors: model\.layers\.0\.mlp\.extra_proj\.weight, .* and 2 more")
    # a value projection where K = V, or keys beyond the last layer, are not explained by anything
    k_is_v = make_tiny(
        tmp_path / "v", "dense_k", extra={"model.layers.5.self_attn.v_proj.weight": (32, 64)}
    ).folder
    refused(k_is_v, "unknown tensors: model.layers.5.self_attn.v_proj.weight")
    beyond = make_tiny(
        tmp_path / "b", "dense_e", extra={"model.layers.9.self_attn.k_proj.weight": (16, 64)}
    ).folder
    refused(beyond, "unknown tensors: model.layers.9.self_attn.k_proj.weight")


def test_dtypes_and_values(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "dtype", "dense_k").folder
    norm = "model.layers.1.input_layernorm.weight"
    rewrite(folder, lambda header, data: header[norm].update(dtype="I16"))
    refused(folder, rf"{norm}: F32, F16, BF16 expected, I16 found")
    for name, dtype, bits in (("nan", "BF16", 0x7FC1), ("inf", "F16", 0xFC00), ("nan32", "F32", 0x7FC0)):
        bad = make_tiny(tmp_path / name, "dense_k", dtype=dtype).folder

        def poison(header: dict[str, Any], data: bytearray, bits: int = bits) -> None:
            end = header["model.layers.3.mlp.up_proj.weight"]["data_offsets"][1]
            data[end - 2 : end] = bits.to_bytes(2, "little")  # the high half of the last value

        rewrite(bad, poison)
        for type in ("auto", "q8_0"):
            refused(bad, r"layers\.3\.mlp\.up_proj\.weight: finite weights expected, 1 NaN or inf", type=type)
    large = make_tiny(tmp_path / "large", "dense_k", dtype="F32").folder

    def enlarge(header: dict[str, Any], data: bytearray) -> None:
        begin = header["model.layers.3.mlp.up_proj.weight"]["data_offsets"][0]
        data[begin : begin + 4] = np.float32(70000).tobytes()

    rewrite(large, enlarge)
    refused(large, "a value of 70000 does not fit F16; take bf16", type="f16")
    convert(large, tmp_path / "bf16.gguf", "bf16", progress=False)


def test_shards(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "m", "dense_k", shards=3).folder
    index, second = folder / "model.safetensors.index.json", folder / "model-00002-of-00003.safetensors"
    second.rename(folder / "elsewhere")
    refused(folder, r"model-00002-of-00003\.safetensors: shard missing, \d+ tensors with it")
    (folder / "elsewhere").rename(second)
    original = index.read_text()
    some = next(name for name, shard in json.loads(original)["weight_map"].items() if shard == second.name)
    edit_json(index, lambda value: value["weight_map"].update({"model.more.weight": second.name}))
    refused(folder, r"model\.more\.weight expected by model\.safetensors\.index\.json, not found")
    index.write_text(original)
    edit_json(index, lambda value: value["weight_map"].pop(some))
    refused(folder, r"is not where model\.safetensors\.index\.json says")
    for bad in ("../other/model.safetensors", "/etc/passwd", "", 7, ".."):
        index.write_text(original)
        edit_json(index, lambda value, bad=bad: value["weight_map"].update({some: bad}))
        refused(folder, "a file name expected" if bad != ".." else "shard missing")
    index.write_text("{}")
    refused(folder, "weight_map: an object expected")


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ({"dtype": "BF17"}, "unknown dtype 'BF17'"),
        ({"dtype": None}, "unknown dtype None"),
        ({"shape": [64, -1]}, "a shape and two data_offsets expected"),
        ({"shape": 64}, "a shape"),
        ({"shape": [2**40, 2**40]}, "bytes"),
        ({"shape": [63]}, r"\[63\] of BF16 are 126 bytes, 128 found"),
        ({"data_offsets": [0]}, "two data_offsets"),
        ({"data_offsets": [2**60, 2**60 + 128]}, "truncated: .* ends at byte"),
        ({"data_offsets": [128, 0]}, "128 bytes, -128 found"),
        ({"data_offsets": [0, 128]}, "overlap at byte"),
    ],
)
def test_safetensors_header(tmp_path: Path, entry: dict[str, Any], match: str) -> None:
    folder = make_tiny(tmp_path / "m", "dense_k").folder
    rewrite(folder, lambda header, data: header["model.norm.weight"].update(entry))
    refused(folder, match)


def test_safetensors_bytes(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "m", "dense_k").folder
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for length in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(folder, "truncated")
    path.write_bytes(b"\xff" * 8 + whole[8:])
    refused(folder, "a header of 18446744073709551615 bytes")
    for header in (b"[1]", b"{", b"\xff\xfe", b"7", b'{"a": 1, "a": 1}', b"[" * 5000):
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        refused(folder, "not safetensors|occurs twice|unknown dtype")
    write_safetensors(path, {})
    refused(folder, "no tensors")


def test_damaged_headers_never_escape(tmp_path: Path) -> None:
    """Random damage to the header either still reads or is a ConversionError."""
    folder = make_tiny(tmp_path / "m", "gemma3").folder
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    dice = random.Random(5)
    refusals = 0
    for _ in range(400):
        blob = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            blob[dice.randrange(8 + length)] = dice.choice(b'0129{}[],:"xF\x00\xff')
        path.write_bytes(blob)
        try:
            Checkpoint(folder)
        except ConversionError:
            refusals += 1
    assert refusals > 100


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t["model"].update(type="Unigram"), "a BPE model with byte_fallback"),
        (lambda t: t["model"].update(byte_fallback=False), "a BPE model with byte_fallback"),
        (lambda t: t["model"].update(vocab=[]), "vocab and merges expected"),
        (lambda t: t["model"]["vocab"].update({"twice": 5}), "'twice': a new id expected, 5 found"),
        (lambda t: t["model"]["vocab"].update({"text": "5"}), "a new id expected"),
        (lambda t: t["model"]["vocab"].update({"\ud800": 310}), r"tokenizer\.ggml\.tokens: text expected"),
        (lambda t: t["model"]["merges"].append(["a"]), "merges: two parts without spaces expected"),
        (lambda t: t["model"]["merges"].append(["a b", "c"]), "merges: two parts"),
        (lambda t: t.update(normalizer=None), "normalizer"),
        (lambda t: t["added_tokens"].append({"id": 300, "content": "new"}), "share the id 300"),
        (lambda t: t["added_tokens"].append({"content": "new"}), "added tokens: an id and a content"),
    ],
)
def test_tokenizer(tmp_path: Path, change: Callable[[dict[str, Any]], object], match: str) -> None:
    folder = make_tiny(tmp_path / "m", "dense_k").folder
    edit_json(folder / "tokenizer.json", change)
    refused(folder, match)


def test_sentencepiece(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "m", "gemma3").folder
    for blob in (
        b"",
        b"\x0a\x05ab",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0f",
        b"\x0a\x02\x18\x09",
    ):
        (folder / "tokenizer.model").write_bytes(blob)
        refused(folder, "SentencePiece")


def test_no_bos(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "m", "dense_k").folder
    (folder / "tokenizer_config.json").unlink()
    refused(folder, "no bos token")


def test_interruption_leaves_nothing(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "m", "dense_e").folder
    out = tmp_path / "out"
    out.mkdir()
    (out / "m.gguf").write_bytes(b"an older file")

    def interrupt(name: str, done: int, total: int) -> None:
        if 2 * done > total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(folder, out / "m.gguf", progress=interrupt)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"m.gguf": b"an older file"}


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing past the limit then fails with EFBIG
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
from g4cpp.convert import convert
from g4cpp.errors import FileError
try:
    convert(sys.argv[1], sys.argv[2], progress=False)
except FileError as error:
    print(error)
    sys.exit(3)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "m", "dense_e").folder
    out = tmp_path / "out"
    out.mkdir()
    size = convert(folder, tmp_path / "whole.gguf", progress=False).n_bytes
    for limit in (100, size // 2, size - 1):
        command = [sys.executable, "-c", FULL_DISK, str(folder), str(out / "m.gguf"), str(limit)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=dict(os.environ), check=False, timeout=120
        )
        assert done.returncode == 3, done.stderr
        assert "m.gguf" in done.stdout
        assert list(out.iterdir()) == []


def test_too_many_tokens_are_dropped_and_noted(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "m", "dense_k").folder
    edit_json(folder / "tokenizer.json", lambda t: t["model"]["vocab"].update({"beyond": VOCAB}))
    report = convert(folder, tmp_path / "m.gguf", progress=False)
    assert report.notes == [f"token {VOCAB} (beyond) lies beyond vocab_size {VOCAB}: dropped"]
