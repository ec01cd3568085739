"""Errors: what they are subclasses of, and that unsound files end in one of them, on every way in."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_gguf import write_tiny

from g4cpp import Model, Tokenizer, errors
from g4cpp.errors import FileError, G4Error, GGUFError, MissingFileError, ModelError

Tiny = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "built_in"),
    [
        ("GGUFError", ValueError), ("ModelError", ValueError), ("ArgumentError", ValueError),
        ("ArgumentTypeError", TypeError), ("MemoryPlanError", MemoryError), ("DeviceError", RuntimeError),
        ("FileError", OSError), ("MissingFileError", FileNotFoundError), ("ConversionError", ValueError),
        ("TemplateError", ValueError), ("MediaError", ValueError), ("MissingExtraError", ImportError),
    ],
)  # fmt: skip
def test_each_is_a_g4error_and_the_natural_built_in(name: str, built_in: type[Exception]) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, G4Error)
    assert issubclass(kind, built_in)
    assert str(kind("[place] what")) == "[place] what"


def test_context_overflow_carries_its_numbers() -> None:
    error = pickle.loads(pickle.dumps(errors.ContextOverflowError("too long", 10, 8)))
    assert (str(error), error.n_tokens, error.n_ctx) == ("too long", 10, 8)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("open_file", [Model, Tokenizer.from_gguf])
def test_files_that_are_not_models(open_file: Callable[[str], object], tmp_path: Path, tiny: Tiny) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        open_file(str(tmp_path / "absent.gguf"))
    with pytest.raises(FileError, match="folder"):
        open_file(str(tmp_path))
    for content in (
        b"",
        b"GG",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"GGUF" + b"\xff" * 100,
        b"ggml" + bytes(60),
    ):
        path = tmp_path / "foreign.gguf"
        path.write_bytes(content)
        with pytest.raises(GGUFError if content else FileError) as caught:
            open_file(str(path))
        assert "\n" not in str(caught.value)
    for path_like in ("", 5, b"x", "a\0b"):
        with pytest.raises(errors.ArgumentError):
            open_file(path_like)  # type: ignore[arg-type]


def test_truncated_anywhere(tmp_path: Path, tiny: Tiny) -> None:
    whole = tiny("dense_e", fmt="BF16").read_bytes()
    path = tmp_path / "cut.gguf"
    rng = random.Random(1)
    for length in [len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(40))]:
        path.write_bytes(whole[:length])
        with pytest.raises(GGUFError):
            Model(path)


def test_damaged_headers_never_escape_our_errors(tmp_path: Path, tiny: Tiny) -> None:
    whole = tiny("dense_e", fmt="BF16").read_bytes()
    header = whole.index(b"token_embd") + 3000
    path = tmp_path / "damaged.gguf"
    rng = random.Random(2)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[rng.randrange(header)] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            with Model(path, n_ctx=64) as model:
                model.logits([1])
                model.generate([2], max_tokens=2, seed=1)
        except G4Error:
            refused += 1
    assert refused > 10


def test_models_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_tiny(path, "dense_e", edit={"blk.1.attn_q.weight": np.zeros((100, 64))})
    with pytest.raises(ModelError, match=r"blk\.1\.attn_q\.weight.*100"):
        Model(path)
    write_tiny(path, "dense_e", with_tensors=False)
    with pytest.raises(ModelError, match="token_embd"):
        Model(path)
    content = write_tiny(path, "gemma3").read_bytes()
    path.write_bytes(content.replace(b"gemma3", b"gemmaX"))
    with pytest.raises(ModelError, match="gemmaX"):
        Model(path)


def test_weights_that_are_not_numbers(tmp_path: Path) -> None:
    norm = np.ones(64)
    norm[5] = np.nan
    path = write_tiny(tmp_path / "norm.gguf", "dense_e", edit={"output_norm.weight": norm})
    with pytest.raises(ModelError, match=r"output_norm\.weight.*finite"):
        Model(path)
    path = write_tiny(
        tmp_path / "matrix.gguf", "dense_e", edit={"blk.0.ffn_up.weight": np.full((128, 64), np.nan)}
    )
    with Model(path) as model:
        for temperature in (0.0, 1.0):
            with pytest.raises(ModelError, match=r"(?i)nan|finite"):
                model.generate("hello", max_tokens=3, temperature=temperature)


def test_a_plan_that_does_not_fit(tiny: Tiny) -> None:
    path = tiny("dense_e", n_ctx=2**30)
    with pytest.raises(errors.MemoryPlanError, match=r"\d"):
        Model(path, n_ctx=2**30)
    with Model(path) as model:  # n_ctx="auto": what memory allows
        assert 0 < model.info.n_ctx <= 2**30
        # What is free changes between planning and looking.
        assert model.info.memory_plan.total <= 1.02 * model.info.memory_plan.available
