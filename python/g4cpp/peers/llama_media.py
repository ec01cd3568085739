"""llama.cpp's encoders of images and sound (its mtmd library) behind llama-cpp-python's C API.

    with LlamaMedia("m.gguf", "mmproj.gguf", n_threads=2) as peer:
        tokens = peer.embed_image(pixels)           # [n, hidden] float32, as the text model would read them

What goes in passes through its own preprocessing: an image whose sides are multiples of 48 and that makes 70
to 1120 tokens stays as it is. Needs llama-cpp-python (extra [interop]).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp import mtmd_cpp as mtmd
from numpy.typing import NDArray

from g4cpp.errors import ModelError
from g4cpp.peers.llama_cpp import _quiet

CHUNK_TEXT = 0


class LlamaMedia:
    """A projector file beside its text model. A context manager; raises ModelError where llama.cpp refuses."""

    def __init__(self, model: Path | str, projector: Path | str, *, n_threads: int, warm_up: bool = False) -> None:
        """warm_up: an image encoded on loading, as its tools do."""
        llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
        mtmd.mtmd_log_set(_quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._context: Any = None
        loading = llama_cpp.llama_model_default_params()
        loading.n_gpu_layers = 0
        self._model: Any = llama_cpp.llama_model_load_from_file(os.fsencode(model), loading)
        if self._model is None:
            raise ModelError(f"[llama.cpp] {model}: a file that llama.cpp loads expected")
        self.hidden_size = int(llama_cpp.llama_model_n_embd(self._model))
        settings = mtmd.mtmd_context_params_default()
        settings.use_gpu = settings.print_timings = False
        settings.n_threads, settings.warmup = n_threads, warm_up
        self._context = mtmd.mtmd_init_from_file(os.fsencode(projector), self._model, settings)
        if self._context is None:
            self.close()
            raise ModelError(f"[llama.cpp] {projector}: a projector file that llama.cpp loads expected")

    @property
    def sees(self) -> bool:
        return bool(mtmd.mtmd_support_vision(self._context))

    @property
    def hears(self) -> bool:
        return bool(mtmd.mtmd_support_audio(self._context))

    def embed_image(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[height, width, 3] -> [n, hidden]."""
        height, width, _ = pixels.shape
        data = np.ascontiguousarray(pixels).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        return self._embed(mtmd.mtmd_bitmap_init(width, height, data))

    def embed_audio(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mono samples of 16 kHz -> [n, hidden]."""
        data = np.ascontiguousarray(samples).ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        return self._embed(mtmd.mtmd_bitmap_init_from_audio(len(samples), data))

    def _embed(self, bitmap: Any) -> NDArray[np.float32]:
        """The soft tokens of every media chunk of a prompt that is `bitmap` alone; frees it."""
        chunks = mtmd.mtmd_input_chunks_init()
        try:
            marker = mtmd.mtmd_default_marker()
            text = mtmd.mtmd_input_text(marker, len(marker), False, True)
            bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
            status = mtmd.mtmd_tokenize(self._context, chunks, ctypes.byref(text), bitmaps, 1)
            if status != 0:
                raise ModelError(f"[llama.cpp] mtmd_tokenize: status {status}")
            found = [mtmd.mtmd_input_chunks_get(chunks, i) for i in range(mtmd.mtmd_input_chunks_size(chunks))]
            media = [chunk for chunk in found if mtmd.mtmd_input_chunk_get_type(chunk) != CHUNK_TEXT]
            return np.concatenate([self._encode(chunk) for chunk in media])
        finally:
            mtmd.mtmd_input_chunks_free(chunks)
            mtmd.mtmd_bitmap_free(bitmap)

    def _encode(self, chunk: Any) -> NDArray[np.float32]:
        status = mtmd.mtmd_encode_chunk(self._context, chunk)
        if status != 0:
            raise ModelError(f"[llama.cpp] mtmd_encode_chunk: status {status}")
        shape = (int(mtmd.mtmd_input_chunk_get_n_tokens(chunk)), self.hidden_size)
        rows: NDArray[np.float32] = np.ctypeslib.as_array(mtmd.mtmd_get_output_embd(self._context), shape).copy()
        return rows

    def close(self) -> None:
        if self._context is not None:
            mtmd.mtmd_free(self._context)
        if self._model is not None:
            llama_cpp.llama_model_free(self._model)
        self._context = self._model = None

    def __enter__(self) -> LlamaMedia:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
