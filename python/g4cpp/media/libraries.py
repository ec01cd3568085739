"""The libraries of the extra [multimodal], loaded at the first use."""

from __future__ import annotations

import importlib
from types import ModuleType

from g4cpp.errors import MissingExtraError


def library(name: str) -> ModuleType:
    """The module `name`. Raises MissingExtraError where it is not installed, or its own libraries are not."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # soundfile raises OSError when libsndfile is not found
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingExtraError(f"[media] {reason}: pip install 'g4cpp[multimodal]'") from error
