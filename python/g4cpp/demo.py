"""Models with a name instead of a path: the demo model that ships with the package, and Gemma 3 270M.

docs/demo-model.md says how the demo model was trained, on which texts, and what it can do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from g4cpp import gemma3_270m
from g4cpp.errors import MissingFileError
from g4cpp.files import PathLike, existing_file

FILE_NAME = "demo-q8_0.gguf"
FILE_BYTES = 15_483_520
SHA256 = "b4c9e3b5bf06c2dae8d5c5df95e9c0eb855217fe1e9cd16f1d0ae32c9efe8b08"
PROJECTOR_NAME = "mmproj-demo-q8_0.gguf"
PROJECTOR_BYTES = 3_644_416
PROJECTOR_SHA256 = "549827a757ff66f693e3483ab3ecbc4d9d79a1ccfb32101d25f1d1f559680aca"


@dataclass(frozen=True)
class NamedModel:
    """A model that commands and Model() know by name.

    find: its file. about: half a sentence for the user. template: a built-in one where the file has none. max_tokens:
    the end that commands set when told nothing else, for a model that may go on for its whole context.
    """

    find: Callable[[], Path]
    about: str
    template: str | None = None
    max_tokens: int | None = None


def demo_model() -> Path:
    """The shipped demo model: Gemma 4 architecture, 14 M parameters, Q8_0, with tokenizer and chat template.

    Raises MissingFileError (a damaged installation).
    """
    return _shipped(FILE_NAME)


def demo_projector() -> Path:
    """The demo model's vision and audio towers, 2.6 M parameters, which loading finds beside it.

    Raises MissingFileError (a damaged installation).
    """
    return _shipped(PROJECTOR_NAME)


def _shipped(name: str) -> Path:
    path = Path(__file__).parent / "data" / name
    if not path.is_file():
        raise MissingFileError(f"[demo] {path}: the demo model expected; reinstall g4cpp, or name a model with -m")
    return path


DEMO = "demo"
MODELS = {
    DEMO: NamedModel(
        demo_model,
        "the 14 M demo model, which writes English, finds facts in a text, names colours, shapes, digits and tones, "
        "but knows nothing "
        "(-m FILE.gguf names a real model)",
        max_tokens=512,
    ),
    "gemma3-270m": NamedModel(
        gemma3_270m.joined_file,
        f"Gemma 3 270M, a small base model ({gemma3_270m.LICENSE})",
        template=gemma3_270m.TEMPLATE,
        max_tokens=64,
    ),
}


def named(model: PathLike | None) -> NamedModel | None:
    """The entry of a name, of the demo model for None; None for a path. A file called like a name comes first."""
    if model is None:
        return MODELS[DEMO]
    entry = MODELS.get(os.fspath(model)) if isinstance(model, (str, os.PathLike)) else None
    return None if entry is None or Path(model).exists() else entry


def model_file(model: PathLike | None = None) -> Path:
    """The GGUF file of a path or a name, by default the demo model's.

    Raises MissingFileError (no such file, or the extra of that name is not installed), FileError, ArgumentTypeError.
    """
    entry = named(model)
    if entry is not None:
        return entry.find()
    assert model is not None
    return existing_file(model)
