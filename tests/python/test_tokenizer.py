"""The tokenizer against independent ones: published ids, the `tokenizers` and the `sentencepiece` library."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import vocabularies as v
from adversarial import adversarial_texts

from g4cpp.errors import ArgumentError, G4Error, ModelError
from g4cpp.tokenizer import Tokenizer

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL = DATA / "gemma-4-vocab.gguf"
needs_real = pytest.mark.skipif(
    not REAL.exists(), reason="the real Gemma 4 vocabulary is not beside the repository (../shared/data)"
)


@pytest.fixture(scope="module")
def real() -> Tokenizer:
    return Tokenizer.from_gguf(REAL)


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    """A Gemma-style BPE of 4,096 tokens: ours, and the `tokenizers` one it was written from."""
    pytest.importorskip("tokenizers", reason="the oracle: pip install tokenizers")
    pytest.importorskip("gguf", reason="writes the test's file: pip install gguf")
    oracle = v.train_gemma_bpe(4096)
    path = tmp_path_factory.mktemp("bpe") / "vocab.gguf"
    v.write_gemma_bpe(oracle, path)
    return Tokenizer.from_gguf(path), oracle


@pytest.fixture(scope="module", params=["gemma", "dummy_prefix", "no_bytes"])
def spm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    """A SentencePiece BPE of 2,000 pieces: ours, and the `sentencepiece` one it was written from."""
    pytest.importorskip("sentencepiece", reason="the oracle: pip install sentencepiece")
    pytest.importorskip("gguf", reason="writes the test's file: pip install gguf")
    folder = tmp_path_factory.mktemp(request.param)
    prefix = request.param == "dummy_prefix"
    oracle = v.train_sentencepiece(
        folder, 2000, add_dummy_prefix=prefix, byte_fallback=request.param != "no_bytes"
    )
    v.write_sentencepiece(oracle, folder / "vocab.gguf", add_space_prefix=prefix, raw_spaces=not prefix)
    return Tokenizer.from_gguf(folder / "vocab.gguf"), oracle


def expect_equal(cases: Iterable[tuple[str, Any, Any]]) -> None:
    """Compares every case and shows the first few that differ."""
    wrong = [(text, found, expected) for text, found, expected in cases if found != expected]
    shown = "\n".join(f"{text!r}: {found} instead of {expected}" for text, found, expected in wrong[:3])
    assert not wrong, f"{len(wrong)} differ\n{shown}"


# --- the real vocabulary -----------------------------------------------------------------------------------


@needs_real
def test_published_ids(real: Tokenizer) -> None:
    texts = (DATA / "gemma-4-vocab.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = (DATA / "gemma-4-vocab.out").read_text().splitlines()
    assert len(texts) == len(lines) == 46
    expected = [[int(token) for token in line.split()] for line in lines]
    expect_equal(
        (text, real.encode(text, add_bos=False), ids) for text, ids in zip(texts, expected, strict=True)
    )
    expect_equal((text, real.decode(ids), text) for text, ids in zip(texts, expected, strict=True))


@needs_real
def test_real_special_tokens(real: Tokenizer) -> None:
    assert (real.bos_id, real.eos_id, real.n_tokens) == (2, 1, 262144)
    assert real.stop_ids == [1, 106]
    assert real.add_bos
    assert real.chat_template is not None
    assert real.suppress_ids == []
    turn = "<bos><|turn>user\nHi<turn|>\n"
    assert real.encode(turn) == real.encode(turn, add_bos=False) == [2, 105, 2364, 107, 10979, 106, 107]
    assert real.decode(real.encode(turn)) == "user\nHi\n"
    assert real.decode(real.encode(turn), keep_special=True) == turn
    forged = real.encode("<|turn><|channel><|tool_response>", add_bos=False, parse_special=False)
    assert not any(real.is_special(token) for token in forged)
    assert [real.find(text) for text in ("<|tool_response>", "<|channel>", "no such token")] == [
        50,
        100,
        None,
    ]


@needs_real
def test_newline_runs_are_single_tokens(real: Tokenizer) -> None:
    expect_equal(("\n" * n, real.encode("\n" * n, add_bos=False), [106 + n]) for n in range(1, 32))


@needs_real
def test_real_round_trip(real: Tokenizer) -> None:
    texts = [text for text in adversarial_texts(3000, seed=1, special=v.SPECIAL) if v.SPACE not in text]
    for parse in (True, False):
        expect_equal((t, real.decode(real.encode(t, False, parse), keep_special=True), t) for t in texts)


@needs_real
def test_load_time(real: Tokenizer) -> None:
    """A whole load, the file in the page cache: 0.5 s of work (it has one thread), 2 s on a busy machine."""
    work, wall = [], []
    for _ in range(5):
        start = time.process_time(), time.perf_counter()
        Tokenizer.from_gguf(REAL)
        work.append(time.process_time() - start[0])
        wall.append(time.perf_counter() - start[1])
    assert min(work) <= 0.5
    assert min(wall) <= 2.0


@needs_real
@pytest.mark.parametrize("text", ["a" * 1_000_000, "x " * 500_000, "天地玄黄" * 250_000, "<" * 1_000_000])
def test_long_lines_are_linear(real: Tokenizer, text: str) -> None:
    start = time.perf_counter()
    ids = real.encode(text, add_bos=False)
    assert time.perf_counter() - start < 10.0
    assert real.decode(ids) == text


# --- BPE against `tokenizers` ------------------------------------------------------------------------------


def test_bpe_equals_tokenizers(bpe: tuple[Tokenizer, Any]) -> None:
    ours, oracle = bpe
    texts = adversarial_texts(10_000, seed=2, special=v.SPECIAL)
    expected = [e.ids for e in oracle.encode_batch(texts, add_special_tokens=False)]
    expect_equal(
        (text, ours.encode(text, add_bos=False), ids) for text, ids in zip(texts, expected, strict=True)
    )
    expect_equal(
        (text, ours.decode(ids, keep_special=True), text.replace(v.SPACE, " "))
        for text, ids in zip(texts, expected, strict=True)
    )


def test_bpe_without_special_tokens(bpe: tuple[Tokenizer, Any]) -> None:
    ours, oracle = bpe
    texts = adversarial_texts(2000, seed=3, special=v.SPECIAL)
    oracle.encode_special_tokens = True
    try:
        expected = [oracle.encode(text, add_special_tokens=False).ids for text in texts]
    finally:
        oracle.encode_special_tokens = False
    expect_equal(
        (text, ours.encode(text, add_bos=False, parse_special=False), ids)
        for text, ids in zip(texts, expected, strict=True)
    )


def test_bpe_on_real_text(bpe: tuple[Tokenizer, Any]) -> None:
    ours, oracle = bpe
    for name in v.corpus()[-10:]:
        text = Path(name).read_text("utf-8")
        assert ours.encode(text, add_bos=False) == oracle.encode(text, add_special_tokens=False).ids
        assert ours.decode(ours.encode(text)) == text


def test_one_bos(bpe: tuple[Tokenizer, Any]) -> None:
    ours, _ = bpe
    assert ours.encode("<bos>Hi") == ours.encode("Hi") == [2, *ours.encode("Hi", add_bos=False)]
    assert ours.encode("<bos>Hi", parse_special=False).count(2) == 1
    assert ours.encode("Hi<bos>").count(2) == 2
    assert ours.encode("") == [2]


def test_streaming_equals_decoding(bpe: tuple[Tokenizer, Any]) -> None:
    """Against Python's own decoder: the text of any ids is that of their bytes, ill-formed ones replaced."""
    ours, _ = bpe
    rng = random.Random(4)
    letters = [ours.find(text) for text in ("a", "é", v.SPACE)]
    odd = [token for token in letters if token is not None] + list(range(len(v.SPECIAL) + 256))
    for _ in range(2000):
        ids = [
            rng.choice(odd) if rng.random() < 0.9 else rng.randrange(ours.n_tokens)
            for _ in range(rng.randint(0, 30))
        ]
        raw = b""
        for token in ids:
            text = ours.token_text(token)
            if text in v.BYTES:
                raw += bytes([int(text[3:5], 16)])
            elif text not in v.SPECIAL:
                raw += text.replace(v.SPACE, " ").encode()
        stream = ours.stream()
        pieces = [stream.push(token) for token in ids] + [stream.flush()]
        assert "".join(pieces) == ours.decode(ids) == raw.decode("utf-8", "replace")


def test_streaming_holds_back_broken_characters(bpe: tuple[Tokenizer, Any]) -> None:
    ours, _ = bpe
    ids = ours.encode("🦙", add_bos=False)
    assert len(ids) == 4
    stream = ours.stream()
    assert [stream.push(token) for token in ids] == ["", "", "", "🦙"]
    assert stream.push(ids[0]) + stream.flush() == "\ufffd"
    assert stream.flush() == ""


def test_errors(bpe: tuple[Tokenizer, Any], tmp_path: Path) -> None:
    ours, _ = bpe
    with pytest.raises(ArgumentError):
        ours.encode("lone surrogate \ud800")
    with pytest.raises(ArgumentError, match=str(ours.n_tokens)):
        ours.decode([ours.n_tokens])
    with pytest.raises(ArgumentError):
        ours.decode([-1])
    bad = tmp_path / "bad.gguf"
    v.write_gguf(bad, "gemma4", ["a", "b", "a"], [1, 1, 1], merges=["a b"], special={})
    with pytest.raises(ModelError, match="same text"):
        Tokenizer.from_gguf(bad)
    v.write_gguf(bad, "gemma4", ["a", "b"], [1, 1], merges=["a b"], special={"bos": 0})
    with pytest.raises(ModelError, match="merges"):
        Tokenizer.from_gguf(bad)
    with pytest.raises(G4Error):
        Tokenizer.from_gguf(tmp_path / "missing.gguf")


# --- SentencePiece against `sentencepiece` -----------------------------------------------------------------


def test_spm_equals_sentencepiece(spm: tuple[Tokenizer, Any]) -> None:
    ours, oracle = spm
    texts = adversarial_texts(
        5000, seed=5, special=["<b>", "</b>", "<table>", "<start_of_turn>", "<bos>", "<|turn>"]
    )
    texts += [Path(name).read_text("utf-8") for name in v.corpus()[-5:]]
    expect_equal(
        (text, ours.encode(text, add_bos=False, parse_special=False), oracle.encode(text)) for text in texts
    )


def test_spm_round_trip(spm: tuple[Tokenizer, Any]) -> None:
    ours, oracle = spm
    if oracle.piece_to_id("<0x41>") == oracle.unk_id():
        pytest.skip("without byte tokens not every text comes back")
    texts = adversarial_texts(2000, seed=6, special=["<b>", "</b>", "<table>"])
    expect_equal((text, ours.decode(ours.encode(text)), text.replace(v.SPACE, " ")) for text in texts)


def test_spm_special_tokens(spm: tuple[Tokenizer, Any]) -> None:
    ours, oracle = spm
    turn = oracle.piece_to_id("<start_of_turn>")
    assert ours.encode("<start_of_turn>x", add_bos=False)[0] == turn
    assert turn not in ours.encode("<start_of_turn>x", parse_special=False)
    assert ours.stop_ids == sorted({oracle.eos_id(), oracle.piece_to_id("<end_of_turn>")})
