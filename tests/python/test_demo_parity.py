"""The shipped demo model, a trained one, against transformers on the same weights (demo_checkpoint.py)."""

from __future__ import annotations

import numpy as np
import pytest
from demo_text import TEXT

from g4cpp import Model, _core
from g4cpp.demo import demo_model

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from demo_checkpoint import write_checkpoint  # noqa: E402
from reference import Reference  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from test_parity import BF16_END, BF16_LAYER, F32_END, F32_LAYER, Case, layer_errors  # noqa: E402

QUANTISED = 1.25  # of the noise that exact products have in bf16 mode (docs/numerics.md)
N_TOKENS = 700  # nearly three windows of 256


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = write_checkpoint(demo_model(), tmp_path_factory.mktemp("demo"))
    with Model(n_ctx=64) as model:
        ids = model.tokenize(TEXT[:6000])[:N_TOKENS]
    assert len(ids) == N_TOKENS
    return Case(folder, _core.GgufFile(str(demo_model())), ids)


def test_f32(case: Case) -> None:
    found = case.trace("f32")["logits"]
    assert ((found - case.f32.logits) ** 2).sum() <= F32_END * (case.f32.logits**2).sum()
    assert max(layer_errors(case.trace("f32", case.f32.inputs), case.f32)) <= F32_LAYER


def test_bf16(case: Case) -> None:
    found, reference = case.trace("bf16")["logits"], case.bf16.logits
    assert ((found - reference) ** 2).sum() <= BF16_END * QUANTISED * case.floor * (reference**2).sum()
    assert 1e-5 < case.floor < 1e-3
    assert max(layer_errors(case.forced_bf16, case.bf16)) <= BF16_LAYER


def test_bf16_embedding(case: Case) -> None:
    """sqrt(320) is no bfloat16 number, 17.875 is. Rows are decoded exactly, which a bfloat16 table cannot hold."""
    table = load_file(case.folder / "model.safetensors")["model.embed_tokens.weight"]
    expected = (table[case.ids] * 17.875).to(torch.bfloat16).float().numpy()
    assert np.array_equal(case.trace("bf16")["embedding"], expected)
    assert np.mean((table[case.ids] * 320**0.5).to(torch.bfloat16).float().numpy() != expected) > 0.1


def test_greedy_text(case: Case) -> None:
    """The same 100 tokens in float32, across the window's edge."""
    model = Reference(case.folder, torch.float32).model
    prompt = case.ids[:200]
    with torch.no_grad():
        theirs = model.generate(torch.tensor([prompt]), max_new_tokens=100, do_sample=False, eos_token_id=None)
    with Model(compute="f32", n_ctx=512) as engine:
        ours = engine.generate(prompt, max_tokens=100, temperature=0.0, ignore_eos=True)
    assert ours.tokens == theirs[0, len(prompt) :].tolist()
