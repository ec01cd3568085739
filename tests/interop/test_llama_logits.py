"""llama.cpp loads the converter's files and its logits agree with ours.

The yardstick is our f32 mode. llama.cpp rounds activations to the weights' companion type, which sets what can
be asked of it: nothing for F32, bfloat16 for BF16 (measured 3e-5 to 7e-5), int8 blocks for quantised weights
(3e-4 to 7e-3). For the last, our own default mode must not be further from the yardstick than llama.cpp is.
Prompts cross the sliding window (16 tokens in the tiny checkpoints, 128 in the larger) several times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from comparing import nmse, our_logits, random_ids, row_nmse

if TYPE_CHECKING:
    from g4cpp.peers.llama_cpp import LlamaPeer

pytestmark = pytest.mark.interop
VARIANTS = ["dense_e", "dense_k", "moe", "gemma3"]
KINDS = ["dense_e", "dense_k", "moe"]


def errors(path: Path, ids: list[int], llama: type[LlamaPeer], n_threads: int) -> tuple[float, float]:
    """(llama.cpp's NMSE, our default mode's NMSE), both against our f32 mode."""
    yardstick = our_logits(path, ids, "f32")
    with llama(path, n_ctx=512, n_threads=n_threads) as peer:
        theirs = nmse(peer.logits(ids), yardstick)
    return theirs, nmse(our_logits(path, ids, "bf16"), yardstick)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("type", "limit"), [("f32", 1e-6), ("f16", 1e-5), ("bf16", 1e-4)])
def test_tiny(llama: type[LlamaPeer], tiny_file: Callable[..., Path], variant: str, type: str, limit: float) -> None:
    # Of the four tiny experts two are close to a tie now and then, and bfloat16 activations choose the other.
    limit *= 10 if (variant, type) == ("moe", "bf16") else 1
    path = tiny_file(variant, type)
    ids = random_ids(path, 100, first=10)
    with llama(path, n_ctx=512, n_threads=1) as peer:
        assert nmse(peer.logits(ids), our_logits(path, ids, "f32")) <= limit


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("type", ["q8_0", "q4_0"])
def test_tiny_quantised(llama: type[LlamaPeer], tiny_file: Callable[..., Path], variant: str, type: str) -> None:
    """Of four prompts the best tenth of the rows: where an expert flipped, in either engine, that token and many that
    attend to it are 10 to 100 times further off, and which engine has more of those in a prompt is chance.
    """
    path = tiny_file(variant, type)
    theirs, ours = [], []
    for seed in range(4):
        ids = random_ids(path, 100, first=10, seed=seed)
        yardstick = our_logits(path, ids, "f32")
        with llama(path, n_ctx=512, n_threads=1) as peer:
            theirs.append(row_nmse(peer.logits(ids), yardstick))
        ours.append(row_nmse(our_logits(path, ids, "bf16"), yardstick))
        assert np.mean(theirs[-1]) <= 5e-2  # a misread block would give about 1
    assert np.quantile(ours, 0.1) <= np.quantile(theirs, 0.1)


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from checkpoints import make_checkpoint

    folder = make_checkpoint(request.param, tmp_path_factory.mktemp("checkpoint") / request.param)
    yield folder
    for file in folder.glob("*.safetensors"):
        file.unlink()


@pytest.mark.parametrize("type", ["f32", "bf16", "q8_0", "q4_0"])
def test_checkpoints(llama: type[LlamaPeer], checkpoint: Path, tmp_path: Path, type: str) -> None:
    from g4cpp.convert import convert

    path = tmp_path / "m.gguf"
    convert(checkpoint, path, type=type, progress=False)
    theirs, ours = errors(path, random_ids(path, 300, first=24), llama, n_threads=2)
    path.unlink()
    print(f"{checkpoint.name} {type}: llama.cpp {theirs:.2e}, ours in bf16 mode {ours:.2e}")
    if type in ("f32", "bf16"):
        assert theirs <= (1e-6 if type == "f32" else 1e-4)
    else:
        assert theirs <= 2e-2
        assert ours <= theirs
