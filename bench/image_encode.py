"""Encoding an image with the vision tower of E2B (or of 31B) in this engine, in transformers and in llama.cpp.

    python bench/image_encode.py [--tower e_full|k_full] [--cols 60] [--rows 42] [--threads 2] [--repeat 3]
                                 [--engines g4cpp,transformers-bf16,transformers-f32,llama.cpp] [--json] [--device cpu]

60 x 42 patches of 16 pixels are 280 tokens. Weights are random bfloat16 ones, the same for all; the engines take
turns, so that what else the machine does slows all of them. llama.cpp gets an image of exactly that size; cutting it
into patches is in its time, and is nothing beside the tower. Needs torch, transformers and gguf, and llama-cpp-python
for llama.cpp.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "python"))
Array = NDArray[np.float32]
TEXT_HIDDEN = 64  # of the tiny text model that llama.cpp is given
ENGINES = ("g4cpp", "transformers-bf16", "transformers-f32", "llama.cpp")


def g4cpp_encoder(
    path: Path, patches: Array, cols: int, rows: int, threads: int, device: str
) -> Callable[[], Array]:
    from g4cpp import _core

    encoder = _core.MediaEncoder(_core.GgufFile(str(path)), device=device, n_threads=threads)
    return lambda: encoder.encode_image(patches, cols, rows)


def transformers_encoder(
    tower: Any, patches: Array, cols: int, rows: int, threads: int, name: str
) -> Callable[[], Array]:
    """With torch's own fused attention, its fastest."""
    import torch

    dtype = torch.bfloat16 if name == "bf16" else torch.float32

    def run() -> Array:
        torch.set_num_threads(threads)
        tower.config._attn_implementation = "sdpa"
        tokens: Array = tower.soft_tokens(patches, cols, rows, dtype)
        return tokens

    return run


def llama_encoder(
    path: Path, text_model: Path, patches: Array, cols: int, rows: int, threads: int, gpu: bool
) -> Callable[[], Array]:
    """Through mtmd; it wants a text model's vocabulary, to which the marker alone is given."""
    import llama_cpp
    from llama_cpp import mtmd_cpp as mtmd

    model = llama_cpp.llama_model_load_from_file(str(text_model).encode(), llama_cpp.llama_model_default_params())

    params = mtmd.mtmd_context_params_default()
    params.use_gpu, params.n_threads, params.warmup, params.print_timings = gpu, threads, False, False
    context = mtmd.mtmd_init_from_file(str(path).encode(), model, params)
    if not context:
        raise RuntimeError("llama.cpp does not load the projector file")
    pixels = patches.reshape(rows, cols, 16, 16, 3).transpose(0, 2, 1, 3, 4).reshape(rows * 16, cols * 16, 3)
    data = np.ascontiguousarray(np.round(pixels * 255).astype(np.uint8))
    raw = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
    bitmap = mtmd.mtmd_bitmap_init(cols * 16, rows * 16, raw)
    chunks = mtmd.mtmd_input_chunks_init()
    marker = mtmd.mtmd_default_marker()
    text = mtmd.mtmd_input_text(text=marker, text_len=len(marker), add_special=False, parse_special=False)
    if mtmd.mtmd_tokenize(context, chunks, ctypes.byref(text), (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap), 1):
        raise RuntimeError("llama.cpp does not take the image")
    chunk = next(
        c
        for c in (mtmd.mtmd_input_chunks_get(chunks, i) for i in range(mtmd.mtmd_input_chunks_size(chunks)))
        if mtmd.mtmd_input_chunk_get_type(c) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE
    )
    tokens = mtmd.mtmd_input_chunk_get_n_tokens(chunk)

    def run() -> Array:
        if mtmd.mtmd_encode_chunk(context, chunk):
            raise RuntimeError("llama.cpp does not encode the image")
        out = np.ctypeslib.as_array(mtmd.mtmd_get_output_embd(context), (tokens * TEXT_HIDDEN,))
        return out.reshape(tokens, -1).copy()

    return run


def cosine(a: Array, b: Array) -> float:
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Time an image's way through the vision tower.")
    parser.add_argument("--tower", default="e_full", choices=["e_full", "k_full"])
    parser.add_argument("--cols", type=int, default=60)
    parser.add_argument("--rows", type=int, default=42)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--device", default="cpu", help="g4cpp's, and llama.cpp's where its build has one")
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    from tiny_gguf import write_tiny
    from vision_towers import image, make_tower, write_projector

    tower = make_tower(o.tower, text_hidden=TEXT_HIDDEN)
    patches = np.round(image(768, o.cols, o.rows) * 255).astype(np.float32) / 255  # as bytes hold them
    with tempfile.TemporaryDirectory() as folder:
        path = write_projector(Path(folder) / "mmproj.gguf", tower)
        grid = (patches, o.cols, o.rows, o.threads)
        runs: dict[str, Callable[[], Array]] = {}
        for name in o.engines.split(","):
            if name == "g4cpp":
                runs[name] = g4cpp_encoder(path, *grid, o.device)
            elif name == "llama.cpp":
                text = write_tiny(Path(folder) / "text.gguf", "dense_k")
                runs[name] = llama_encoder(path, text, *grid, gpu=o.device != "cpu")
            else:
                runs[name] = transformers_encoder(tower, *grid, name.removeprefix("transformers-"))
        tokens = {name: run() for name, run in runs.items()}  # warm up, and what each makes of it
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(o.repeat):
            for name, run in runs.items():
                begin = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - begin)
    first = next(iter(runs))
    table = {
        name: {
            "seconds": statistics.median(taken),
            "spread": [min(taken), max(taken)],
            # of interleaved runs, turn by turn
            "ratio": statistics.median(t / mine for t, mine in zip(taken, times[first], strict=True)),
            "cosine": cosine(tokens[name], tokens[first]),
        }
        for name, taken in times.items()
    }
    if o.json:
        print(json.dumps({"settings": vars(o), "engines": table}))
        return
    print(f"{o.tower}, {o.cols} x {o.rows} patches, {len(tokens[first])} tokens, {o.threads} threads, {o.repeat} turns")
    for name, row in table.items():
        low, high = row["spread"]
        seconds = f"{row['seconds']:7.3f} s ({low:.3f} to {high:.3f})"
        print(f"{name:20} {seconds}, {row['ratio']:5.2f} x {first}, cosine {row['cosine']:.6f}")


if __name__ == "__main__":
    main()
