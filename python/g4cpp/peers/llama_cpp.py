"""llama.cpp behind llama-cpp-python's C API: token ids, logits, greedy text, as the tests and benchmarks need.

One context, one sequence. `precise` asks for the least rounding it offers (float32 cache, no flash attention);
without it, its defaults run (float16 cache, weights repacked), with what its own bench and server set for speed:
flash attention, and rings for sliding layers. Either way its CPU kernels round activations to the weights'
companion type: int8 blocks for quantised weights, bfloat16 for bfloat16. Needs llama-cpp-python (extra [interop]).
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from g4cpp.errors import DeviceError, ModelError

GGML_TYPE_F32 = 0
LARGEST_MICRO_BATCH = 4096
SETTINGS = f"its defaults, flash attention, rings for sliding layers, prompts in batches of up to {LARGEST_MICRO_BATCH}"


def version() -> str:
    return f"llama-cpp-python {llama_cpp.__version__}"


# Its loader writes hundreds of lines to standard error. Kept here: C calls it as long as the process lives.
_quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)


class LlamaPeer:
    """A model file loaded by llama.cpp. A context manager; raises ModelError where llama.cpp refuses."""

    def __init__(
        self,
        path: Path | str,
        *,
        n_ctx: int,
        n_threads: int,
        micro_batch: int = 512,
        precise: bool = True,
        all_logits: bool = True,
        gpu: bool = False,
    ) -> None:
        """all_logits: room for the logits of every token of a pass, not of the last only. gpu: all layers there."""
        llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._batch: Any = None
        self._context: Any = None
        self._model: Any = None
        loading = llama_cpp.llama_model_default_params()
        loading.use_extra_bufts = not precise
        loading.n_gpu_layers = -1 if gpu else 0
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), loading)
        if self._model is None:
            raise ModelError(f"[llama.cpp] {path}: a file that llama.cpp loads expected")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = n_ctx
        settings.n_batch = settings.n_ubatch = micro_batch
        settings.n_outputs_max = micro_batch if all_logits else 1
        settings.n_threads = settings.n_threads_batch = n_threads
        settings.offload_kqv = settings.op_offload = gpu
        settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        settings.swa_full = precise
        if precise:
            settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
            settings.type_k = settings.type_v = GGML_TYPE_F32
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if self._context is None:
            self.close()
            raise ModelError(f"[llama.cpp] {path}: llama.cpp makes no context of {n_ctx} tokens")
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
            raise ModelError(f"[llama.cpp] tokenize: {-found} ids for {len(data)} bytes, room for {len(ids)}")
        return list(ids[:found])

    def reset(self) -> None:
        """Forgets the sequence."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), False)
        self.n_past = 0

    def append(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Computes `ids` after what is cached; the last token's logits, [n_vocab], valid until the next call."""
        for start in range(0, len(ids), self._micro_batch):
            self._run(ids[start : start + self._micro_batch], every=False)
        last: NDArray[np.float32] = self._rows(1)[0]
        return last

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

    def state(self) -> ctypes.Array[ctypes.c_uint8]:
        """A copy of the sequence's keys and values, as llama.cpp writes it."""
        size = llama_cpp.llama_state_seq_get_size(self._context, 0)
        data: ctypes.Array[ctypes.c_uint8] = (ctypes.c_uint8 * size)()
        if llama_cpp.llama_state_seq_get_data(self._context, data, size, 0) != size:
            raise ModelError(f"[llama.cpp] state of {self.n_past} tokens: {size} bytes expected")
        return data

    def restore(self, data: ctypes.Array[ctypes.c_uint8], n_past: int) -> None:
        """Makes the sequence what it was when state() gave `data`, `n_past` tokens long."""
        self.reset()
        if llama_cpp.llama_state_seq_set_data(self._context, data, len(data), 0) != len(data):
            raise ModelError(f"[llama.cpp] state of {n_past} tokens: {len(data)} bytes not taken")
        self.n_past = n_past

    def close(self) -> None:
        """Frees everything; a second call does nothing."""
        if self._batch is not None:
            llama_cpp.llama_batch_free(self._batch)
        if self._context is not None:
            llama_cpp.llama_free(self._context)
        if self._model is not None:
            llama_cpp.llama_model_free(self._model)
        self._batch = self._context = self._model = None

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
            raise ModelError(f"[llama.cpp] {len(ids)} tokens after {self.n_past}: status {status}")
        self.n_past += len(ids)

    def _rows(self, count: int) -> NDArray[np.float32]:
        """The logits of the last pass where llama.cpp keeps them, [count, n_vocab]."""
        found = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(found, shape=(count, self.n_vocab))


class LlamaRuns:
    """llama.cpp as a peer of bench (g4cpp.peers.Peer): takes the likeliest token, keeps one context's state."""

    def __init__(self, path: str, *, device: str, n_ctx: int, n_threads: int, longest_prompt: int) -> None:
        """The longest prompt is one micro-batch. Raises ModelError, DeviceError."""
        gpu = device != "cpu"
        if gpu and not llama_cpp.llama_supports_gpu_offload():
            raise DeviceError(f"[llama.cpp] a build for GPUs expected beside {device}, one for the CPU found")
        self._peer = LlamaPeer(
            path,
            n_ctx=n_ctx,
            n_threads=n_threads,
            micro_batch=min(max(512, longest_prompt), LARGEST_MICRO_BATCH),
            precise=False,
            all_logits=False,
            gpu=gpu,
        )
        self._kept: list[int] = []
        self._state: ctypes.Array[ctypes.c_uint8] | None = None

    def prefill(self, context: Sequence[int], prompt: Sequence[int]) -> float:
        self._go_to(context)
        began = time.perf_counter()
        self._peer.append(prompt).argmax()
        return time.perf_counter() - began

    def decode(self, context: Sequence[int], tokens: int) -> float:
        self._go_to(context)
        token = context[-1]
        began = time.perf_counter()
        for _ in range(tokens):
            token = int(self._peer.append([token]).argmax())
        return time.perf_counter() - began

    def close(self) -> None:
        self._peer.close()

    def _go_to(self, context: Sequence[int]) -> None:
        """As llama.cpp's own bench goes back to a depth: the state behind it is kept and restored."""
        if not context:
            self._peer.reset()
            return
        known = len(self._kept)
        if self._state is None or list(context[:known]) != self._kept:
            self._peer.reset()
            known = 0
        else:
            self._peer.restore(self._state, known)
        if len(context) > known:
            self._peer.append(context[known:])
            self._kept, self._state = list(context), self._peer.state()
