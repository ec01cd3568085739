"""Times the media towers of E2B (and an image of 31B's) on the GPU, beside llama.cpp's where its CUDA build is found.

    python tests/gpu/media.py [--device cuda] [--repeat 20] [--towers e,k] [--times] [--folder DIR]

Full sizes, random bfloat16 weights, an image of 60 x 42 patches (280 tokens) and 30 s of sound (750 tokens), from
prepared patches or frames to soft tokens on the host; medians of `repeat`. llama.cpp is the package llama_cpp in the
folder that the variable G4CPP_PEER names, and gets the same file. --times: milliseconds by op. Needs numpy and gguf.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "python"), str(ROOT / "bench")]
if "G4CPP_PEER" in os.environ:
    sys.path.insert(0, os.environ["G4CPP_PEER"])
import tiny_towers  # noqa: E402
from image_encode import cosine, llama_encoder  # noqa: E402
from tiny_gguf import write_tiny  # noqa: E402

from g4cpp import _core  # noqa: E402
from g4cpp.convert import convert_projector  # noqa: E402

Array = NDArray[np.float32]
COLS, ROWS, FRAMES = 60, 42, 3000
VISION: dict[str, dict[str, Any]] = {
    "e": {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 16, "num_attention_heads": 12,
        "num_key_value_heads": 12, "head_dim": 64, "patch_size": 16, "position_embedding_size": 10240,
        "use_clipped_linears": True,
    },
    "k": {
        "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
        "num_key_value_heads": 16, "head_dim": 72, "patch_size": 16, "position_embedding_size": 10240,
        "standardize": True,
    },
}  # fmt: skip
AUDIO: dict[str, Any] = {
    "hidden_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 8, "output_proj_dims": 1536,
    "subsampling_conv_channels": [128, 32], "use_clipped_linears": True,
}  # fmt: skip


def projector(folder: Path, tower: str) -> Path:
    """A file with this tower, and its ears."""
    tiny_towers.VISION[tower] = VISION[tower]
    if tower == "e":
        tiny_towers.AUDIO[tower] = AUDIO
    checkpoint = tiny_towers.make_tiny_media(folder / tower, tower).folder
    path = folder / f"mmproj-{tower}.gguf"
    convert_projector(checkpoint, path, progress=False)
    shutil.rmtree(checkpoint)
    return path


def median_ms(run: Callable[[], Array], repeat: int) -> tuple[float, float, Array]:
    """The median, the fastest, and what comes out; three runs first, of which the second records a graph."""
    for _ in range(3):
        rows = run()
    taken = []
    for _ in range(repeat):
        begin = time.perf_counter()
        rows = run()
        taken.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(taken), min(taken), rows


def print_times(encoder: _core.MediaEncoder, most: int = 14) -> None:
    sums: dict[tuple[str, str], list[float]] = defaultdict(list)
    for op, shape, milliseconds in encoder.node_times():
        sums[op, shape].append(milliseconds)
    rows = sorted(sums.items(), key=lambda item: -sum(item[1]))
    print(f"  sum of ops {sum(sum(times) for _, times in rows):.2f} ms")
    for (op, shape), times in rows[:most]:
        print(f"  {op:20} {shape:18} {len(times):4} x {sum(times) / len(times):8.4f} = {sum(times):8.3f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the media towers on the GPU.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--towers", default="e,k")
    parser.add_argument("--times", action="store_true")
    parser.add_argument("--folder", default=None)
    o = parser.parse_args()
    random = np.random.default_rng(3)
    patches = np.round(random.random((ROWS * COLS, 768)) * 255).astype(np.float32) / 255
    frames = random.normal(0, 1, (FRAMES, 128)).astype(np.float32)
    table: list[tuple[str, str, float, float, str]] = []
    with tempfile.TemporaryDirectory(dir=o.folder) as name:
        folder = Path(name)
        for tower in o.towers.split(","):
            path = projector(folder, tower)
            encoder = _core.MediaEncoder(_core.GgufFile(str(path)), device=o.device)
            work = f"image, {tower}"
            ours, fastest, tokens = median_ms(partial(encoder.encode_image, patches, COLS, ROWS), o.repeat)
            assert np.isfinite(tokens).all()
            table.append((work, f"g4cpp on {encoder.device}", ours, fastest, ""))
            if o.times:
                print(work)
                print_times(encoder)
            if "G4CPP_PEER" in os.environ:
                try:
                    text = write_tiny(folder / "text.gguf", "dense_k")
                    peer = llama_encoder(path, text, patches, COLS, ROWS, 8, o.device != "cpu")
                    theirs, least, rows = median_ms(peer, o.repeat)
                    note = f"{theirs / ours:.2f} x g4cpp, cosine {cosine(rows, tokens):.5f}"
                    table.append((work, "llama.cpp", theirs, least, note))
                except (ImportError, OSError, RuntimeError) as error:
                    print(f"llama.cpp: {error}")
            if encoder.audio is not None:
                work = f"30 s of sound, {tower}"
                ours, fastest, tokens = median_ms(partial(encoder.encode_audio, frames), o.repeat)
                assert np.isfinite(tokens).all()
                table.append((work, f"g4cpp on {encoder.device}", ours, fastest, ""))
                if o.times:
                    print(work)
                    print_times(encoder)
            del encoder
            path.unlink()
    print(f"{'work':20} {'engine':20} {'median ms':>10} {'fastest':>9}  ratio")
    for work, engine, middle, fastest, note in table:
        print(f"{work:20} {engine:20} {middle:10.2f} {fastest:9.2f}  {note}")


if __name__ == "__main__":
    main()
