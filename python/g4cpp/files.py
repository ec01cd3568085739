"""Opening GGUF files: the checks that give a missing file and a folder their natural Python exceptions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from g4cpp.errors import ArgumentTypeError, FileError, MissingFileError

if TYPE_CHECKING:
    from g4cpp import _core

PathLike = str | os.PathLike[str]


def existing_file(path: PathLike) -> Path:
    """`path` with ~ expanded. Raises MissingFileError, FileError (a folder), ArgumentTypeError."""
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentTypeError(f"[file] path: a string or a path expected, {type(path).__name__} found")
    name = os.fspath(path)
    if not isinstance(name, str) or not name or "\0" in name:
        raise ArgumentTypeError(f"[file] path: a file name expected, {name!r} found")
    file = Path(name).expanduser()
    try:
        if file.is_dir():
            raise FileError(f"[file] {file}: a GGUF file expected, a folder found")
        if not file.exists():
            raise MissingFileError(f"[file] {file}: no such file")
    except PermissionError as error:
        raise FileError(f"[file] {file}: {error.strerror}") from error
    return file


def open_gguf(path: PathLike) -> _core.GgufFile:
    """The file mapped and validated by the core. Raises FileError, MissingFileError, GGUFError."""
    from g4cpp import _core

    return _core.GgufFile(str(existing_file(path)))


def has_vocabulary(file: _core.GgufFile) -> bool:
    """False for a file without a tokenizer (benchmark files carry weights only)."""
    return file.array_length("tokenizer.ggml.tokens") is not None
