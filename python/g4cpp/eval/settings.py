"""How a model is run, and the engines of a run: at most two in memory at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from g4cpp.demo import model_file
from g4cpp.errors import ArgumentError
from g4cpp.files import PathLike, has_vocabulary, open_gguf
from g4cpp.template import ChatTemplate
from g4cpp.tokenizer import Tokenizer

if TYPE_CHECKING:
    from g4cpp import _core

KV_FORMATS = ("f32", "bf16", "f16", "q8_0", "q4_0")
"""Formats asked for; an engine that does not know one says so and is asked no further."""

_KEPT = 2


@dataclass(frozen=True)
class Setting:
    """One way to run a model; micro_batch 0 is the device's own choice, n_threads 0 one per physical core."""

    device: str = "auto"
    compute: str = "auto"
    kv: str = "auto"
    micro_batch: int = 0
    n_threads: int = 0

    @property
    def label(self) -> str:
        return f"{self.device} {self.compute} kv {self.kv}"

    def exact(self) -> Setting:
        """The yardstick on the same device: nothing is rounded."""
        return replace(self, compute="f32", kv="f32")


OpenEngine = Callable[["_core.GgufFile", Setting, int], "_core.Engine"]


def open_engine(file: _core.GgufFile, setting: Setting, n_ctx: int) -> _core.Engine:
    """A fresh engine for at most `n_ctx` tokens. Raises what loading a model raises."""
    from g4cpp import _core

    return _core.Engine(
        file,
        device=setting.device,
        compute=setting.compute,
        n_ctx=n_ctx,
        kv_dtype=setting.kv,
        micro_batch=setting.micro_batch,
        n_threads=setting.n_threads,
    )


class Engines:
    """The engines of one file by setting, its tokenizer and what its metadata say."""

    def __init__(self, path: PathLike | None, n_ctx: int, open_one: OpenEngine = open_engine) -> None:
        self.file = open_gguf(model_file(path))
        if not has_vocabulary(self.file):
            raise ArgumentError(f"[eval] {self.file.path}: a vocabulary expected, none in this file")
        self.tokenizer = Tokenizer(self.file)
        source = self.tokenizer.chat_template
        self.template = ChatTemplate(source, self.tokenizer.special_texts) if source else None
        self.n_ctx = n_ctx
        self._open = open_one
        self._kept: OrderedDict[Setting, _core.Engine] = OrderedDict()

    def get(self, setting: Setting) -> _core.Engine:
        """The engine of a setting; the one used longest ago makes room for a new one."""
        if setting not in self._kept:
            while len(self._kept) >= _KEPT:
                self._kept.popitem(last=False)
            self._kept[setting] = self._open(self.file, setting, self.n_ctx)
        self._kept.move_to_end(setting)
        return self._kept[setting]

    def resolved(self, setting: Setting) -> Setting:
        """The setting with what "auto" means here."""
        engine = self.get(setting)
        return replace(setting, device=engine.device, compute=engine.compute, kv=engine.kv_dtype.lower())

    def close(self) -> None:
        self._kept.clear()

    @property
    def window(self) -> int:
        """Tokens that a sliding layer sees, itself included; the whole context where there are none."""
        return self._number("attention.sliding_window", self.n_ctx)

    @property
    def n_ctx_train(self) -> int:
        return self._number("context_length", self.n_ctx)

    def layer_kind(self, layer: int) -> str:
        """ "sliding" or "global"; "" where the file does not say."""
        pattern = self.file.get(f"{self.file.get('general.architecture')}.attention.sliding_window_pattern")
        if not isinstance(pattern, list) or layer >= len(pattern):
            return ""
        return "sliding" if pattern[layer] else "global"

    def _number(self, key: str, default: int) -> int:
        found = self.file.get(f"{self.file.get('general.architecture')}.{key}")
        return found if isinstance(found, int) and found > 0 else default


def kv_formats(file: _core.GgufFile, device: str) -> list[str]:
    """Those of KV_FORMATS that the engine offers on this device."""
    from g4cpp import _core
    from g4cpp.errors import G4Error

    found = []
    for name in KV_FORMATS:
        try:
            _core.Engine.plan(file, device=device, n_ctx=64, kv_dtype=name)
        except G4Error:
            continue
        found.append(name)
    return found


def devices() -> list[str]:
    """The devices of this machine that can run."""
    from g4cpp import _core

    return [device.name for device in _core.devices() if device.available]
