"""transformers as a yardstick that shares no code with the engine; or another GGUF file in float32 mode.

The weights are the GGUF file's own, decoded: quantisation is not what is asked about. The folder gives the
architecture (config.json). Long texts go through transformers' cache in chunks. Needs torch and transformers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from g4cpp.errors import ArgumentError
from g4cpp.eval.blame import TRACED
from g4cpp.eval.distances import Rows
from g4cpp.eval.settings import Engines, Setting
from g4cpp.eval.subjects import EngineSubject, Subject

if TYPE_CHECKING:
    from g4cpp import _core

_CHUNK = 512  # tokens a pass; scores of a chunk against 128k keys are 256 MB a head


def open_reference(path: Path, engines: Engines, setting: Setting) -> Subject:
    """A Hugging Face folder through transformers, or a GGUF file through this engine in float32.

    Raises ArgumentError (no such place, no transformers, another vocabulary) and what loading raises.
    """
    if path.is_dir():
        return TransformersSubject(path, engines.file)
    if not path.is_file():
        raise ArgumentError(f"[eval] --reference: a folder with config.json or a GGUF file expected, {path} found")
    other = Engines(path, engines.n_ctx)
    if other.tokenizer.n_tokens != engines.tokenizer.n_tokens:
        raise ArgumentError(f"[eval] --reference: the same vocabulary expected, another found in {path}")
    exact = setting.exact()
    tracing = replace(exact, micro_batch=TRACED)
    return EngineSubject(other.get(exact), f"{path.name} in float32", lambda: other.get(tracing))


class TransformersSubject:
    """transformers' own text model in float32, on the CPU or the first GPU that torch finds."""

    def __init__(self, folder: Path, file: _core.GgufFile) -> None:
        try:
            import torch
            import transformers
        except ImportError as error:
            raise ArgumentError(
                f"[eval] --reference: torch and transformers expected (pip install 'g4cpp[parity]'), {error}"
            ) from error
        self.name = f"transformers {transformers.__version__}"
        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        config = transformers.AutoConfig.from_pretrained(folder).get_text_config()
        self._cache: Any = transformers.DynamicCache
        self._config = config
        automatic: Any = transformers.AutoModelForCausalLM
        self._model = automatic.from_config(config, dtype=torch.float32).eval()
        self._load(folder, file)
        self._model.to(self._device)

    def logits(self, ids: Sequence[int], positions: Sequence[int]) -> Rows:
        rows = []
        cache = self._cache(config=self._config)
        wanted = np.asarray(positions)
        for start in range(0, int(wanted[-1]) + 1, _CHUNK):
            inside = wanted[(wanted >= start) & (wanted < start + _CHUNK)] - start
            keep = self._torch.from_numpy(inside).to(self._device) if len(inside) else 1
            out = self._run(ids[start : start + _CHUNK], cache, keep)
            if len(inside):
                rows.append(out)
        return np.concatenate(rows)

    def greedy(self, ids: Sequence[int], count: int, stop: Collection[int]) -> tuple[list[int], bool]:
        cache = self._cache(config=self._config)
        row = np.empty(0)
        for start in range(0, len(ids), _CHUNK):
            row = self._run(ids[start : start + _CHUNK], cache, 1)[-1]
        found: list[int] = []
        while len(found) < count:
            token = int(row.argmax())
            if token in stop:
                return found, True
            found.append(token)
            row = self._run([token], cache, 1)[-1]
        return found, False

    def layers(self, ids: Sequence[int], inputs: Rows | None = None) -> Rows:
        found: list[Rows] = []
        layers = self._model.model.layers

        def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
            if not found:
                found.append(_array(args[0][0]))
            if inputs is None:
                return args, kwargs
            given = self._torch.from_numpy(np.ascontiguousarray(inputs[len(found) - 1])).to(self._device)
            return (given[None], *args[1:]), kwargs

        with ExitStack() as stack:
            for layer in layers:
                stack.callback(layer.register_forward_pre_hook(before, with_kwargs=True).remove)
                keep = layer.register_forward_hook(
                    lambda _m, _a, out: found.append(_array((out[0] if isinstance(out, tuple) else out)[0]))
                )
                stack.callback(keep.remove)
            self._run(ids, None, 0)  # all rows: otherwise the KV-shared layers compute the last one only
        return np.stack(found)

    def _run(self, ids: Sequence[int], cache: Any, keep: Any) -> Rows:
        tokens = self._torch.tensor([list(ids)], device=self._device)
        with self._torch.no_grad():
            out = self._model(tokens, past_key_values=cache, use_cache=cache is not None, logits_to_keep=keep)
        return _array(out.logits[0])

    def _load(self, folder: Path, file: _core.GgufFile) -> None:
        torch = self._torch
        own = dict(self._model.named_parameters()) | dict(self._model.named_buffers())
        left = {name for name, _ in self._model.named_parameters()}
        for name, values in _weights(folder, file):
            prefixed = name if name in own else f"model.{name}"
            if prefixed in own:
                target = own[prefixed]
                with torch.no_grad():
                    target.copy_(torch.from_numpy(values.copy()).reshape(target.shape))
                left.discard(prefixed)
        left -= {name for name in left if ".k_proj" in name or ".v_proj" in name or ".k_norm" in name}
        left.discard("lm_head.weight")
        if left:
            raise ArgumentError(f"[eval] --reference: every weight expected in {file.path}, none for {min(left)}")


def _weights(folder: Path, file: _core.GgufFile) -> Iterator[tuple[str, Rows]]:
    """(the checkpoint's name without prefix, float32 values) of every tensor of the file."""
    from g4cpp import _core
    from g4cpp.convert.changes import Change
    from g4cpp.convert.hf_config import read_config
    from g4cpp.convert.tensor_names import text_tensors

    present = {tensor.name: tensor for tensor in file.tensors()}
    for rule in text_tensors(read_config(folder)):
        if rule.target in present:
            tensor = present[rule.target]
            values = _core.dequantize(tensor.dtype, file.tensor_data(rule.target)).reshape(tensor.shape)
            yield rule.source, values - 1 if rule.change is Change.ADD_ONE else values


def _array(tensor: Any) -> Rows:
    found: Rows = tensor.float().cpu().numpy().copy()
    return found
