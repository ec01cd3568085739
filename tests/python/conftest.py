"""Tiny model files, written once per run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_media import FakeEncoder, write_projector
from media_prompts import KINDS
from tiny_gguf import write_tiny

import g4cpp._core

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def template() -> str:
    """Gemma 4's published chat template."""
    return (DATA / "gemma4.chat_template.jinja").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """tiny(kind, **options of write_tiny) -> path; the same arguments give the same file."""
    folder = tmp_path_factory.mktemp("tiny")
    written: dict[str, Path] = {}

    def make(kind: str = "dense_e", **options: Any) -> Path:
        key = repr((kind, sorted(options.items(), key=lambda item: item[0])))
        if key not in written:
            written[key] = write_tiny(folder / f"{len(written)}-{kind}.gguf", kind, **options)
        return written[key]

    return make


def media_model(tiny: Callable[..., Path], kind: str) -> Path:
    if kind == "dense_e_sees":
        return tiny("dense_e", n_ctx=1024, extra={"gemma4.attention.bidirectional_media": 1})
    return tiny(kind, n_ctx=1024)


@pytest.fixture(params=KINDS)
def media_path(request: pytest.FixtureRequest, tiny: Callable[..., Path]) -> Path:
    """A model that takes media, of each kind."""
    return media_model(tiny, request.param)


@pytest.fixture(params=KINDS[1:])
def path_k(request: pytest.FixtureRequest, tiny: Callable[..., Path]) -> Path:
    """One whose images' tokens see each other."""
    return media_model(tiny, request.param)


@pytest.fixture
def path_e(tiny: Callable[..., Path]) -> Path:
    """One that is causal throughout."""
    return tiny("dense_e", n_ctx=1024)


@pytest.fixture
def fake_encoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeEncoder]]:
    """The towers' place taken by FakeEncoder."""
    monkeypatch.setattr(g4cpp._core, "MediaEncoder", FakeEncoder)
    FakeEncoder.calls, FakeEncoder.during = [], None
    yield FakeEncoder
    FakeEncoder.during = None


@pytest.fixture(scope="session")
def projector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A projector file of metadata alone, for models of 64."""
    return write_projector(tmp_path_factory.mktemp("projector") / "mmproj.gguf")
