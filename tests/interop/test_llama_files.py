"""The forms of a file that llama.cpp's tools write and our converter does not: both engines read them alike.

Each is a converted file rewritten by the `gguf` package, so our logits must be those of the original; llama.cpp
loads it too and agrees, which shows that the form is what it means by it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from comparing import nmse, our_logits, random_ids
from rewriting import Tensors, fused_qkv, rewrite, split_gate_up, tensors_of, with_shared_kv

if TYPE_CHECKING:
    from g4cpp.peers.llama_cpp import LlamaPeer

pytestmark = pytest.mark.interop


def agree(original: Path, other: Path, llama: type[LlamaPeer]) -> None:
    ids = random_ids(original, 100, first=10)
    expected = our_logits(original, ids, "f32")
    assert np.array_equal(our_logits(other, ids, "f32"), expected)
    with llama(other, n_ctx=512, n_threads=1) as peer:
        assert nmse(peer.logits(ids), expected) <= 1e-6


@pytest.mark.parametrize(
    ("variant", "change"),
    [
        ("dense_e", fused_qkv),
        ("dense_k", fused_qkv),
        ("moe", split_gate_up),
        ("dense_e", with_shared_kv),
    ],
)
def test_other_tensors(
    llama: type[LlamaPeer],
    tiny_file: Callable[..., Path],
    tmp_path: Path,
    variant: str,
    change: Callable[[Tensors], Tensors],
) -> None:
    original = tiny_file(variant)
    tensors = tensors_of(original)
    changed = change(tensors)
    assert changed.keys() != tensors.keys()
    agree(original, rewrite(original, tmp_path / "m.gguf", changed), llama)


@pytest.mark.parametrize("variant", ["dense_e", "moe"])
def test_split_files(llama: type[LlamaPeer], tiny_file: Callable[..., Path], tmp_path: Path, variant: str) -> None:
    original = tiny_file(variant)
    first = rewrite(original, tmp_path / "m.gguf", per_part=30)
    assert len(list(tmp_path.glob("*.gguf"))) >= 3
    agree(original, first, llama)
