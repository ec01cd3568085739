"""What a loaded model and this machine say about themselves."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from g4cpp.files import has_vocabulary
from g4cpp.types import MemoryPlan, ModelInfo, ProjectorInfo

if TYPE_CHECKING:
    from g4cpp import _core


def describe(file: _core.GgufFile, engine: _core.Engine, projector: ProjectorInfo | None = None) -> ModelInfo:
    """The `info` of a model."""
    name = file.get("general.name")
    return ModelInfo(
        path=os.fspath(file.path),
        architecture=engine.architecture,
        name=name if isinstance(name, str) else None,
        n_parameters=engine.n_parameters,
        n_layers=engine.n_layers,
        hidden_size=engine.hidden_size,
        n_vocab=engine.n_vocab,
        n_ctx=engine.n_ctx,
        n_ctx_train=engine.n_ctx_train,
        file_bytes=file.file_bytes,
        formats=count_formats(file),
        device=engine.device,
        compute=engine.compute,
        kv_dtype=engine.kv_dtype,
        n_threads=engine.n_threads,
        micro_batch=engine.micro_batch,
        fallbacks=list(engine.fallbacks),
        has_tokenizer=has_vocabulary(file),
        has_chat_template=isinstance(file.get("tokenizer.chat_template"), str),
        memory_plan=MemoryPlan.of(engine.memory_plan),
        projector=projector,
    )


def count_formats(file: _core.GgufFile) -> dict[str, int]:
    """Tensors by weight format, the commonest first."""
    return dict(Counter(tensor.dtype for tensor in file.tensors()).most_common())


def free_memory() -> int:
    """Bytes of host memory that are free."""
    from g4cpp import _core

    return max((device.memory_available for device in _core.devices() if device.name == "cpu"), default=0)
