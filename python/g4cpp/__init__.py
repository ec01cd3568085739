"""g4cpp: text generation with Gemma 4 and Gemma 3 from GGUF files.

    from g4cpp import Model
    with Model("gemma.gguf") as model:
        print(model.generate("The capital of France is", max_tokens=16))

Model() without a file is a small demo model that ships with the package.

Names are imported on first use, so that `import g4cpp` itself loads neither numpy nor the C++ core.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from g4cpp.chat import Conversation
    from g4cpp.errors import G4Error
    from g4cpp.media.sources import Audio, Image, Video
    from g4cpp.model import Model
    from g4cpp.options import GenerationOptions
    from g4cpp.tokenizer import Tokenizer
    from g4cpp.types import ChatCompletion, ChatPiece, Completion, Message, ModelInfo

__version__ = "0.1.0"

_HOMES = {
    "Audio": "g4cpp.media.sources",
    "Image": "g4cpp.media.sources",
    "Video": "g4cpp.media.sources",
    "Model": "g4cpp.model",
    "Conversation": "g4cpp.chat",
    "Tokenizer": "g4cpp.tokenizer",
    "GenerationOptions": "g4cpp.options",
    "G4Error": "g4cpp.errors",
    "ChatCompletion": "g4cpp.types",
    "ChatPiece": "g4cpp.types",
    "Completion": "g4cpp.types",
    "Message": "g4cpp.types",
    "ModelInfo": "g4cpp.types",
}

__all__ = [
    "Audio",
    "ChatCompletion",
    "ChatPiece",
    "Completion",
    "Conversation",
    "G4Error",
    "GenerationOptions",
    "Image",
    "Message",
    "Model",
    "ModelInfo",
    "Tokenizer",
    "Video",
    "__version__",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'g4cpp' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
