"""llama.cpp behind llama-cpp-python's C API: token ids, logits, greedy text, as the tests and benchmarks need.

One context, one sequence. `precise` asks for the least rounding it offers (float32 cache, no flash attention);
without it, its own defaults run (float16 cache, weights repacked), with flash attention. Either way its CPU kernels
round activations to the weights' companion type: int8 blocks for quantised weights, bfloat16 for bfloat16.
Needs llama-cpp-python (extra [interop]).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import llama_cpp
import numpy as np
from numpy.typing import NDArray

GGML_TYPE_F32 = 0


@llama_cpp.llama_log_callback
def _quiet(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    """Its loader writes hundreds of lines to standard error."""


class LlamaPeer:
    """A model file loaded by llama.cpp. A context manager; raises RuntimeError where llama.cpp refuses."""

    def __init__(
        self,
        path: Path | str,
        *,
        n_ctx: int,
        n_threads: int,
        micro_batch: int = 512,
        precise: bool = True,
        all_logits: bool = True,
    ) -> None:
        """all_logits: room for the logits of every token of a pass, not of the last only."""
        llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._context = self._model = None
        loading = llama_cpp.llama_model_default_params()
        loading.use_extra_bufts = not precise
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), loading)
        if self._model is None:
            raise RuntimeError(f"llama.cpp does not load {path}")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = n_ctx
        settings.n_batch = settings.n_ubatch = micro_batch
        settings.n_outputs_max = micro_batch if all_logits else 1
        settings.n_threads = settings.n_threads_batch = n_threads
        settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        if precise:
            settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
            settings.type_k = settings.type_v = GGML_TYPE_F32
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if self._context is None:
            raise RuntimeError(f"llama.cpp makes no context of {n_ctx} tokens for {path}")
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.n_vocab = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self._batch = llama_cpp.llama_batch_init(micro_batch, 0, 1)
        self._micro_batch = micro_batch
        self.n_past = 0

    def tokenize(self, text: str, add_bos: bool = True, parse_special: bool = True) -> list[int]:
        """`text` as ids; add_bos puts the file's BOS before them."""
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 2))()
        found = llama_cpp.llama_tokenize(self._vocab, data, len(data), ids, len(ids), add_bos, parse_special)
        if found < 0:
            raise RuntimeError(f"llama.cpp needs {-found} ids for {len(data)} bytes")
        return list(ids[:found])

    def reset(self) -> None:
        """Forgets the sequence."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), False)
        self.n_past = 0

    def append(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Computes `ids` after what is cached; the last token's logits, [n_vocab], valid until the next call."""
        for start in range(0, len(ids), self._micro_batch):
            self._run(ids[start : start + self._micro_batch], every=False)
        return self._rows(1)[0]

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after each of `ids`, computed from an empty cache, [len(ids), n_vocab]."""
        self.reset()
        out = np.empty((len(ids), self.n_vocab), np.float32)
        for start in range(0, len(ids), self._micro_batch):
            part = ids[start : start + self._micro_batch]
            self._run(part, every=True)
            out[start : start + len(part)] = self._rows(len(part))
        return out

    def greedy(self, prompt: Sequence[int], n_tokens: int) -> list[int]:
        """The `n_tokens` most likely ids after `prompt`, stop tokens not regarded."""
        self.reset()
        out = [int(self.append(prompt).argmax())]
        while len(out) < n_tokens:
            out.append(int(self.append(out[-1:]).argmax()))
        return out

    def close(self) -> None:
        """Frees everything; a second call does nothing."""
        if self._context is not None:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self._context)
        if self._model is not None:
            llama_cpp.llama_model_free(self._model)
        self._context = self._model = None

    def __enter__(self) -> LlamaPeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, ids: Sequence[int], every: bool) -> None:
        batch = self._batch
        batch.n_tokens = len(ids)
        for row, token in enumerate(ids):
            batch.token[row] = token
            batch.pos[row] = self.n_past + row
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = 0
            batch.logits[row] = every or row == len(ids) - 1
        status = llama_cpp.llama_decode(self._context, batch)
        if status != 0:
            raise RuntimeError(f"llama.cpp's decode of {len(ids)} tokens at {self.n_past} returned {status}")
        self.n_past += len(ids)

    def _rows(self, count: int) -> NDArray[np.float32]:
        """The logits of the last pass where llama.cpp keeps them, [count, n_vocab]."""
        found = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(found, shape=(count, self.n_vocab))
