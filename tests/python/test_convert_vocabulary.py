"""The tokenizer and chat settings the converter writes, read back with the `gguf` package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from test_convert import File, run
from tiny_checkpoint import TEMPLATE, VOCAB, make_tiny

from g4cpp.convert import convert


def test_vocabulary(tmp_path: Path) -> None:
    tiny = make_tiny(tmp_path / "tiny", "dense_k")
    keys = run(tiny).keys
    source = json.loads((tiny.folder / "tokenizer.json").read_text())
    tokens, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == len(keys["tokenizer.ggml.scores"]) == VOCAB
    assert {text: tokens.index(text) for text in source["model"]["vocab"]} == source["model"]["vocab"]
    assert keys["tokenizer.ggml.merges"] == [" ".join(pair) for pair in source["model"]["merges"]]
    #              pad eos bos unk mask |turn turn| |channel channel| |image|
    assert types[:10] == [3, 3, 3, 3, 3, 3, 3, 4, 4, 3]
    assert set(types[10:266]) == {6}
    assert set(types[266:305]) == {1}
    assert set(types[305:]) == {5}
    assert tokens[305] == "[PAD305]"


def test_templates(tmp_path: Path) -> None:
    tiny = make_tiny(tmp_path / "tiny", "dense_k")
    more = tiny.folder / "additional_chat_templates"
    more.mkdir()
    (more / "tool-use.jinja").write_text("tools")
    keys = run(tiny).keys
    assert keys["tokenizer.chat_template"] == TEMPLATE
    assert keys["tokenizer.chat_template.tool_use"] == "tools"
    assert keys["tokenizer.chat_templates"] == ["tool_use"]
    (tiny.folder / "chat_template.jinja").unlink()
    settings = json.loads((tiny.folder / "tokenizer_config.json").read_text())
    (tiny.folder / "tokenizer_config.json").write_text(
        json.dumps(settings | {"chat_template": "in the config"})
    )
    assert run(tiny).keys["tokenizer.chat_template"] == "in the config"
    (tiny.folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert "tokenizer.chat_template" not in run(tiny).keys


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def piece(text: str, score: float, type: int) -> bytes:
    body = b"\x0a" + varint(len(text.encode())) + text.encode() + b"\x15" + np.float32(score).tobytes()
    body += b"\x18" + varint(type)
    return b"\x0a" + varint(len(body)) + body


def test_sentencepiece_vocabulary(tmp_path: Path) -> None:
    """A Gemma 3 folder with a tokenizer.model becomes a "llama" vocabulary with its scores."""
    tiny = make_tiny(tmp_path / "m", "gemma3")
    (tiny.folder / "tokenizer.json").unlink()
    pieces = [("<pad>", 0.0, 3), ("<eos>", 0.0, 3), ("<bos>", 0.0, 3), ("<unk>", 0.0, 2), ("<mask>", 0.0, 4)]
    pieces += [("▁▁", 0.0, 4), ("<end_of_turn>", 0.0, 4), ("▁the", -1.5, 1), ("<0x0A>", 0.0, 6)]
    trainer = b"\x12\x02\x08\x01"  # a field that is skipped
    (tiny.folder / "tokenizer.model").write_bytes(b"".join(piece(*p) for p in pieces) + trainer)
    settings = json.loads((tiny.folder / "tokenizer_config.json").read_text())
    settings["added_tokens_decoder"] = {
        "4": {"content": "<mask>", "special": False},
        "5": {"content": "▁▁", "special": False},
        "6": {"content": "<end_of_turn>", "special": True},
        str(VOCAB): {"content": "<image_soft_token>", "special": True},
    }
    (tiny.folder / "tokenizer_config.json").write_text(json.dumps(settings | {"add_eos_token": False}))
    report = convert(tiny.folder, tmp_path / "m.gguf", progress=False)
    assert report.notes == [f"token {VOCAB} (<image_soft_token>) lies beyond vocab_size {VOCAB}: dropped"]
    keys = File(tmp_path / "m.gguf").keys
    assert (keys["tokenizer.ggml.model"], keys["tokenizer.ggml.pre"]) == ("llama", "default")
    assert "tokenizer.ggml.merges" not in keys
    assert keys["tokenizer.ggml.tokens"][4:9] == ["<mask>", "  ", "<end_of_turn>", "▁the", "<0x0A>"]
    assert keys["tokenizer.ggml.token_type"][:10] == [3, 3, 3, 2, 3, 4, 3, 1, 6, 5]
    assert keys["tokenizer.ggml.scores"][7] == -1.5
    assert keys["tokenizer.ggml.eot_token_id"] == 6
    assert keys["tokenizer.ggml.add_eos_token"] is False
    assert len(keys["tokenizer.ggml.tokens"]) == VOCAB
