"""What the converter writes, read back with the `gguf` package.

Oracles: the values the tiny checkpoint was made of, gguf's own name map and quantisers, and the metadata of
a published Gemma 4 file. Errors are in test_convert_errors.py.
"""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from numpy.typing import NDArray
from tiny_checkpoint import GLOBAL, SLIDING, TEMPLATE, VOCAB, Tiny, make_tiny

from g4cpp.convert import convert
from g4cpp.convert.hf_config import read_config
from g4cpp.convert.metadata import model_entries

VARIANTS = ("dense_e", "dense_k", "moe", "gemma3")
GEMMA4_SUFFIXES = {"router.scale": "ffn_gate_inp.scale", "router.per_expert_scale": "ffn_down_exps.scale"}


@dataclass
class Stored:
    format: str
    shape: tuple[int, ...]  # slowest first
    raw: NDArray[np.uint8]


class File:
    """A GGUF file as the gguf package sees it."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self.keys: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items()}
        self.types = {name: [t.name for t in field.types] for name, field in reader.fields.items()}
        self.tensors = {
            t.name: Stored(
                t.tensor_type.name, tuple(int(n) for n in reversed(t.shape)), t.data.view(np.uint8).ravel()
            )
            for t in reader.tensors
        }


def run(tiny: Tiny, type: str = "auto", name: str = "out.gguf") -> File:
    path = tiny.folder.parent / name
    assert convert(tiny.folder, path, type, progress=False).path == path
    return File(path)


def gguf_name(source: str, architecture: str) -> str:
    for hf, suffix in GEMMA4_SUFFIXES.items():
        if source.endswith(hf):
            return f"blk.{source.split('.')[2]}.{suffix}"
    name = name_map(architecture == "gemma3").get_name(source.removesuffix(".weight"))
    assert name is not None
    return f"{name}.weight"


@cache
def name_map(gemma3: bool) -> gguf.TensorNameMap:
    return gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3 if gemma3 else gguf.MODEL_ARCH.GEMMA4, 15)


def expected_bytes(values: NDArray[np.float32], format: str) -> NDArray[np.uint8]:
    encoded = gguf.quants.quantize(np.ascontiguousarray(values), GGMLQuantizationType[format])
    return np.ascontiguousarray(encoded).view(np.uint8).ravel()


def check_tensors(tiny: Tiny, file: File, variant: str, format_of: Any) -> None:
    for source, values in tiny.tensors.items():
        name = gguf_name(source, variant)
        stored = file.tensors.pop(name)
        written = values + np.float32(1) if variant == "gemma3" and source.endswith("norm.weight") else values
        assert stored.format == format_of(name, values), name
        assert stored.shape == values.shape, name
        assert np.array_equal(stored.raw, expected_bytes(written, stored.format)), name
    assert list(file.tensors) == ([] if variant == "gemma3" else ["rope_freqs.weight"])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_auto_keeps_every_value(tmp_path: Path, variant: str, dtype: str) -> None:
    tiny = make_tiny(tmp_path / variant, variant, dtype=dtype)

    def format_of(name: str, values: NDArray[np.float32]) -> str:
        return "F32" if values.ndim == 1 or "ffn_gate_inp" in name else dtype

    check_tensors(tiny, run(tiny), variant, format_of)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("type", ["f32", "f16", "bf16", "q8_0", "q4_0"])
def test_types(tmp_path: Path, variant: str, type: str) -> None:
    tiny = make_tiny(tmp_path / variant, variant)

    def format_of(name: str, values: NDArray[np.float32]) -> str:
        if values.ndim == 1 or "ffn_gate_inp" in name:
            return "F32"
        if type not in ("q8_0", "q4_0"):
            return type.upper()
        if values.shape[-1] % 32 or name == "per_layer_model_proj.weight":
            return "BF16"
        return "Q8_0" if "token_embd" in name else type.upper()

    file = run(tiny, type)
    assert file.keys["general.file_type"] == {"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7, "q4_0": 2}[type]
    if type.startswith("q"):
        formats = [tensor.format for tensor in file.tensors.values()]
        assert formats.count("BF16") >= 5  # the ffn_down of 80 columns among them
        assert type.upper() in formats
    check_tensors(tiny, file, variant, format_of)


def test_rope_freqs_stop_three_quarters_of_the_pairs(tmp_path: Path) -> None:
    stored = run(make_tiny(tmp_path / "m", "dense_k")).tensors["rope_freqs.weight"]
    assert stored.format == "F32"
    assert stored.raw.view(np.float32).tolist() == [1.0] * 4 + [np.float32(1e30)] * 12


DENSE_E_KEYS = {
    "general.architecture": ("STRING", "gemma4"),
    "general.type": ("STRING", "model"),
    "general.name": ("STRING", "tiny"),
    "general.file_type": ("UINT32", 32),
    "general.quantization_version": ("UINT32", 2),
    "general.sampling.temp": ("FLOAT32", 1.0),
    "general.sampling.top_k": ("INT32", 64),
    "general.sampling.top_p": ("FLOAT32", float(np.float32(0.95))),
    "gemma4.block_count": ("UINT32", 6),
    "gemma4.context_length": ("UINT32", 2048),
    "gemma4.embedding_length": ("UINT32", 64),
    "gemma4.feed_forward_length": ("ARRAY", [80, 80, 80, 80, 160, 160]),
    "gemma4.attention.head_count": ("UINT32", 4),
    "gemma4.attention.head_count_kv": ("UINT32", 1),
    "gemma4.attention.key_length": ("UINT32", 32),
    "gemma4.attention.value_length": ("UINT32", 32),
    "gemma4.attention.key_length_swa": ("UINT32", 16),
    "gemma4.attention.value_length_swa": ("UINT32", 16),
    "gemma4.attention.layer_norm_rms_epsilon": ("FLOAT32", float(np.float32(1e-6))),
    "gemma4.attention.sliding_window": ("UINT32", 16),
    "gemma4.attention.sliding_window_pattern": ("ARRAY", [True, False, True, False, True, False]),
    "gemma4.attention.shared_kv_layers": ("UINT32", 2),
    "gemma4.attention.bidirectional_media": ("BOOL", False),
    "gemma4.embedding_length_per_layer_input": ("UINT32", 32),
    "gemma4.rope.freq_base": ("FLOAT32", 1e6),
    "gemma4.rope.freq_base_swa": ("FLOAT32", 1e4),
    "gemma4.rope.dimension_count": ("UINT32", 32),
    "gemma4.rope.dimension_count_swa": ("UINT32", 16),
    "gemma4.final_logit_softcapping": ("FLOAT32", 30.0),
    "tokenizer.ggml.model": ("STRING", "gemma4"),
    "tokenizer.ggml.bos_token_id": ("UINT32", 2),
    "tokenizer.ggml.eos_token_id": ("UINT32", 1),
    "tokenizer.ggml.eot_token_id": ("UINT32", 6),
    "tokenizer.ggml.unknown_token_id": ("UINT32", 3),
    "tokenizer.ggml.padding_token_id": ("UINT32", 0),
    "tokenizer.ggml.mask_token_id": ("UINT32", 4),
    "tokenizer.ggml.add_bos_token": ("BOOL", True),
    "tokenizer.ggml.add_space_prefix": ("BOOL", False),
    "tokenizer.ggml.suppress_tokens": ("ARRAY", [9]),
    "tokenizer.chat_template": ("STRING", TEMPLATE),
}
LONG_KEYS = {
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges",
}


def test_keys(tmp_path: Path) -> None:
    file = run(make_tiny(tmp_path / "tiny", "dense_e"))
    assert {key: (file.types[key][0], file.keys[key]) for key in DENSE_E_KEYS} == DENSE_E_KEYS
    assert file.types["gemma4.attention.sliding_window_pattern"][1] == "BOOL"
    assert file.types["gemma4.feed_forward_length"][1] == "INT32"
    assert file.types["tokenizer.ggml.suppress_tokens"][1] == "INT32"  # llama.cpp takes no other type
    others = set(file.keys) - set(DENSE_E_KEYS) - LONG_KEYS
    assert others == {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.size_label"}


def test_keys_of_other_variants(tmp_path: Path) -> None:
    moe = run(make_tiny(tmp_path / "moe", "moe")).keys
    assert moe["gemma4.attention.head_count_kv"] == [2, 2, 2, 2, 2, 1]
    assert moe["gemma4.attention.bidirectional_media"] is True
    assert moe["gemma4.embedding_length_per_layer_input"] == 0
    sizes = ("expert_count", "expert_used_count", "expert_feed_forward_length", "feed_forward_length")
    assert [moe[f"gemma4.{key}"] for key in sizes] == [4, 2, 32, 80]
    gemma3 = run(make_tiny(tmp_path / "gemma3", "gemma3"), name="3.gguf").keys
    assert gemma3["gemma3.attention.key_length"] == 16
    assert not [
        key for key in gemma3 if "softcap" in key or "swa_" in key or "pattern" in key or "scaling" in key
    ]
    scaled = make_tiny(
        tmp_path / "scaled",
        "gemma3",
        config={
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "layer_types": [SLIDING, GLOBAL] * 3,
        },
    )
    keys = run(scaled, name="3s.gguf").keys
    assert keys["gemma3.rope.scaling.type"] == "linear"
    assert keys["gemma3.rope.scaling.factor"] == 8.0
    assert keys["gemma3.attention.sliding_window_pattern"] == [True, False] * 3


def test_keys_equal_a_published_file(tmp_path: Path) -> None:
    """The 26B-A4B configuration as it is on the hub gives the architecture keys of its published GGUF
    file."""
    text = {
        "hidden_size": 2816, "num_hidden_layers": 30, "intermediate_size": 2112, "num_attention_heads": 16,
        "num_key_value_heads": 8, "num_global_key_value_heads": 2, "head_dim": 256, "global_head_dim": 512,
        "attention_k_eq_v": True, "enable_moe_block": True, "num_experts": 128, "top_k_experts": 8,
        "moe_intermediate_size": 704, "hidden_size_per_layer_input": None, "sliding_window": 1024,
        "max_position_embeddings": 262144, "final_logit_softcapping": 30.0, "num_kv_shared_layers": 0,
        "use_bidirectional_attention": "vision",
    }  # fmt: skip
    published = {
        "block_count": 30, "context_length": 262144, "embedding_length": 2816, "feed_forward_length": 2112,
        "attention.head_count": 16, "attention.head_count_kv": (8, 8, 8, 8, 8, 2) * 5, "rope.freq_base": 1e6,
        "rope.freq_base_swa": 1e4, "attention.layer_norm_rms_epsilon": 1e-6, "expert_count": 128,
        "expert_used_count": 8, "attention.key_length": 512, "attention.value_length": 512,
        "final_logit_softcapping": 30.0, "attention.sliding_window": 1024, "attention.shared_kv_layers": 0,
        "embedding_length_per_layer_input": 0, "attention.key_length_swa": 256,
        "attention.value_length_swa": 256,
        "attention.sliding_window_pattern": (True, True, True, True, True, False) * 5,
        "expert_feed_forward_length": 704, "rope.dimension_count": 512, "rope.dimension_count_swa": 256,
    }  # fmt: skip
    config = {"architectures": ["Gemma4ForConditionalGeneration"], "text_config": text, "vision_config": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = {entry.key.removeprefix("gemma4."): entry.value for entry in model_entries(read_config(tmp_path))}
    assert ours.pop("attention.bidirectional_media") is True
    assert ours == published


def test_shards_and_names_change_nothing(tmp_path: Path) -> None:
    whole = make_tiny(tmp_path / "a" / "m", "moe")
    convert(whole.folder, tmp_path / "whole.gguf", progress=False)
    expected = (tmp_path / "whole.gguf").read_bytes()
    layouts: dict[str, dict[str, Any]] = {
        "sharded": {"shards": 3},
        "conditional": {"rename": {"model.": "model.language_model."}},
        "older": {"rename": {"model.": "language_model.model."}},
        "bare": {"rename": {"model.": ""}, "config": {"architectures": ["Gemma4TextModel"]}},
    }
    for name, options in layouts.items():
        tiny = make_tiny(tmp_path / name / "m", "moe", **options)
        convert(tiny.folder, tmp_path / f"{name}.gguf", progress=False)
        assert (tmp_path / f"{name}.gguf").read_bytes() == expected, name


def test_nested_config_and_per_layer_config(tmp_path: Path) -> None:
    """text_config, and per_layer_config as transformers 5 saves it, say the same as the flat spelling."""
    flat = make_tiny(tmp_path / "a" / "m", "dense_k")
    settings = dict(flat.config)
    del settings["global_head_dim"], settings["num_global_key_value_heads"]
    settings["per_layer_config"] = {"05": {"head_dim": 32, "num_key_value_heads": 1}}
    nested = {
        "architectures": ["Gemma4ForConditionalGeneration"],
        "text_config": settings,
        "vision_config": {},
    }
    for folder in ("a", "b"):
        make_tiny(tmp_path / folder / "m", "dense_k")
    (tmp_path / "b" / "m" / "config.json").write_text(json.dumps(nested))
    for folder in ("a", "b"):
        convert(tmp_path / folder / "m", tmp_path / f"{folder}.gguf", progress=False)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_left_out_is_reported(tmp_path: Path) -> None:
    plain = run(make_tiny(tmp_path / "plain", "dense_e"))
    extra = {
        "model.vision_tower.encoder.layers.0.mlp.up_proj.linear.weight": (4, 4),
        "model.embed_vision.embedding_projection.weight": (4, 4),
        "model.audio_tower.output_proj.bias": (4,),
        "model.layers.4.self_attn.k_proj.weight": (16, 64),
        "model.layers.5.self_attn.k_norm.weight": (32,),
        "lm_head.weight": (VOCAB, 64),
    }
    tiny = make_tiny(tmp_path / "more", "dense_e", extra=extra)
    report = convert(tiny.folder, tmp_path / "more.gguf", progress=False)
    assert sorted(report.left_out.values()) == [1, 1, 2, 2]
    assert report.left_out["vision"] == 2
    assert report.left_out["audio"] == 1
    assert "left out: 2 tensors: vision" in str(report)
    assert set(File(tmp_path / "more.gguf").tensors) == set(plain.tensors)


def test_untied_head_is_kept(tmp_path: Path) -> None:
    tiny = make_tiny(
        tmp_path / "m",
        "dense_k",
        config={"tie_word_embeddings": False},
        extra={"lm_head.weight": (VOCAB, 64)},
    )
    stored = run(tiny, "q4_0").tensors["output.weight"]
    assert stored.format == "Q8_0"
    assert np.array_equal(stored.raw, expected_bytes(tiny.tensors["lm_head.weight"], "Q8_0"))


def test_report_progress_and_default_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = make_tiny(tmp_path / "models--google--gemma-x" / "snapshots" / "0123", "dense_e")
    calls: list[tuple[str, int, int]] = []
    report = convert(tiny.folder, progress=lambda *call: calls.append(call))
    assert report.path == Path("gemma-x-BF16.gguf")
    assert report.n_bytes == (tmp_path / "gemma-x-BF16.gguf").stat().st_size
    assert report.type == "bf16"
    assert report.n_parameters == sum(values.size for values in tiny.tensors.values()) + 16
    assert report.n_tensors == len(tiny.tensors) + 1
    done = [call[1] for call in calls]
    assert done == sorted(done)
    assert calls[-1][1] == calls[-1][2]


def test_memory_holds_pieces_not_tensors(tmp_path: Path) -> None:
    tiny = make_tiny(
        tmp_path / "m",
        "dense_k",
        config={"intermediate_size": 131072, "num_hidden_layers": 1, "layer_types": [GLOBAL]},
    )
    largest = max(values.nbytes for values in tiny.tensors.values())
    tiny.tensors.clear()
    tracemalloc.start()
    convert(tiny.folder, tmp_path / "m.gguf", "q8_0", progress=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert largest == 4 * 64 * 131072
    assert peak < 0.4 * largest
