"""The engine against transformers on random checkpoints of each architecture, end to end and layer by layer.

End to end, rounding differences grow through the layers until everything lies near the floor (see
reference.py), so the claim rests on single layers: each reads the reference's own input. A layer in bfloat16
has to come four times closer to the reference than one computed in float32 does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from checkpoints import KINDS, VOCAB, make_checkpoint
from numpy.typing import NDArray
from tiny_checkpoint import CONFIGS, Tiny, encode, make_tiny, write_weights
from tiny_checkpoint import VOCAB as TINY_VOCAB

from g4cpp import _core
from g4cpp.convert import convert

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from reference import Reference, Trace, float64_products, identical_rows, nmse, row_nmse  # noqa: E402

Array = NDArray[np.float32]
N_TOKENS = 512  # four windows of 128
F32_END, F32_LAYER = 1e-9, 1e-10
BF16_END = 1.2  # floors
BF16_LAYER, BF16_LAYER_SHARE = 1e-5, 1 / 4  # the share is of a float32 layer's error
F16_END = 1e-3
ROUTING = 0.995
GEMMA3 = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "head_dim": 64,
    "query_pre_attn_scalar": 64,
    "sliding_window": 128,
}


def prompt(n: int, vocab: int, seed: int = 1) -> list[int]:
    """BOS and random tokens after the control tokens."""
    return [2, *np.random.default_rng(seed).integers(24, vocab, n - 1).tolist()]


def convert_into(folder: Path) -> _core.GgufFile:
    path = folder / "model.gguf"
    convert(folder, path, progress=False)
    return _core.GgufFile(str(path))


@dataclass
class Case:
    """A checkpoint, its GGUF, and what both make of one prompt; each trace is computed once."""

    folder: Path
    file: _core.GgufFile
    ids: list[int]

    @cached_property
    def f32(self) -> Trace:
        return Reference(self.folder, torch.float32).trace(self.ids)

    @cached_property
    def _bf16(self) -> tuple[Trace, float]:
        reference = Reference(self.folder, torch.bfloat16)
        trace = reference.trace(self.ids)
        with float64_products():
            return trace, nmse(reference.trace(self.ids).logits, trace.logits)

    @property
    def bf16(self) -> Trace:
        return self._bf16[0]

    @property
    def floor(self) -> float:
        return self._bf16[1]

    def trace(self, compute: str, inputs: Array | None = None) -> dict[str, Array]:
        engine = _core.Engine(self.file, compute=compute, n_ctx=2 * len(self.ids), micro_batch=len(self.ids))
        return engine.trace(self.ids, inputs)

    @cached_property
    def forced_bf16(self) -> dict[str, Array]:
        return self.trace("bf16", self.bf16.inputs)


def layers(trace: dict[str, Array]) -> Array:
    """[layers, tokens, hidden]"""
    return np.stack([trace[f"layer.{i}"] for i in range(sum(name.startswith("layer.") for name in trace))])


def layer_errors(trace: dict[str, Array], reference: Trace) -> list[float]:
    return [nmse(ours, theirs) for ours, theirs in zip(layers(trace), reference.outputs, strict=True)]


def untied(reference: Trace) -> NDArray[np.bool_]:
    """[layers, tokens]: False where a router's choice lies within float32's noise (Routing.ties): there
    another order of summation may rightly take another expert.
    """
    keep = np.ones(reference.outputs.shape[:2], bool)
    for layer, routing in enumerate(reference.routing):
        keep[layer, routing.ties()] = False
    return keep


@pytest.fixture(scope="module", params=[*KINDS, "gemma3"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "gemma3":
        make_tiny(folder, "gemma3", config=GEMMA3)
        return Case(folder, convert_into(folder), prompt(N_TOKENS, TINY_VOCAB))
    make_checkpoint(request.param, folder)
    return Case(folder, convert_into(folder), prompt(N_TOKENS, VOCAB))


def test_f32_end_to_end(case: Case) -> None:
    keep = untied(case.f32)
    # A flipped choice in the last layer changes its own token alone; in an earlier one every later token too.
    first = np.flatnonzero(~keep[:-1].all(0))
    rows = keep[-1] & (np.arange(N_TOKENS) < (first[0] if len(first) else N_TOKENS))
    assert rows.sum() >= N_TOKENS // 2, "this prompt has early router ties: choose another seed"
    ours = case.trace("f32")
    assert nmse(ours["logits"][rows], case.f32.logits[rows]) <= F32_END
    assert nmse(ours["embedding"], case.f32.inputs[0]) <= 1e-14


def test_f32_layers(case: Case) -> None:
    keep = untied(case.f32)
    assert (~keep).sum() <= 4
    ours = layers(case.trace("f32", case.f32.inputs))
    assert len(ours) == len(case.f32.outputs)
    for i, rows in enumerate(keep):
        assert nmse(ours[i, rows], case.f32.outputs[i, rows]) <= F32_LAYER, f"layer {i}"


def test_bf16_end_to_end(case: Case) -> None:
    ours = case.trace("bf16")
    assert np.array_equal(ours["embedding"], case.bf16.inputs[0])
    assert nmse(ours["logits"], case.bf16.logits) <= BF16_END * case.floor
    assert 1e-5 < case.floor < 1e-3  # a floor out of its range would gate nothing


def same_experts(case: Case, layer: int) -> NDArray[np.bool_]:
    """[tokens]: where bf16 mode, on the reference's input, chose the reference's experts; all without experts."""
    if not case.bf16.routing:
        return np.ones(len(case.ids), bool)
    ours = np.sort(case.forced_bf16[f"router_ids.{layer}"].astype(int), axis=1)
    return (ours == np.sort(case.bf16.routing[layer].chosen, axis=1)).all(axis=1)


def test_bf16_layers(case: Case) -> None:
    """Gated at the median of three prompts: a key element of an early token that happens to round the other way is read
    by every later token of its layer, so that one prompt's figure is now and then a matter of chance (a share of 0.34
    seen once in 117 layers, else 0.02 to 0.21; 1.3e-5 once in layer 0).
    """
    # Tokens whose experts differ from the reference's are test_routing's affair.
    errors, shares = [], []
    for seed in (1, 2, 3):
        one = case if seed == 1 else Case(case.folder, case.file, prompt(N_TOKENS, max(case.ids) + 1, seed))
        ours, float32 = layers(one.forced_bf16), layers(one.trace("f32", one.bf16.inputs))
        assert len(ours) == len(one.bf16.outputs)
        keep = [same_experts(one, i) for i in range(len(ours))]
        assert min(rows.mean() for rows in keep) > 0.9
        errors.append([nmse(ours[i][k], one.bf16.outputs[i][k]) for i, k in enumerate(keep)])
        f32_errors = [nmse(float32[i][k], one.bf16.outputs[i][k]) for i, k in enumerate(keep)]
        shares.append(np.array(errors[-1]) / np.array(f32_errors))
    assert np.median(errors, axis=0).max() <= BF16_LAYER
    assert np.median(shares, axis=0).max() <= BF16_LAYER_SHARE


def test_f16_end_to_end(case: Case) -> None:
    assert nmse(case.trace("f16")["logits"], case.f32.logits) <= F16_END


@pytest.mark.parametrize("case", ["moe"], indirect=True)
def test_routing(case: Case) -> None:
    """The share of chosen experts that agree, in every layer, on the reference's inputs.

    bfloat16 router logits tie often, and which of the equal experts the reference takes is its sort's accident: an
    expert whose reference probability equals the last chosen one's counts as agreement.
    """
    assert len(case.bf16.routing) == len(case.bf16.outputs)
    for i, routing in enumerate(case.bf16.routing):
        ours = case.forced_bf16[f"router_ids.{i}"].astype(int)
        last = np.take_along_axis(routing.probabilities, routing.chosen, axis=1).min(1, keepdims=True)
        agree = np.take_along_axis(routing.probabilities, ours, axis=1) >= last
        assert agree.mean() >= ROUTING, f"layer {i}"


@pytest.mark.parametrize("kind", KINDS)
def test_f16_with_an_overflowing_mlp(kind: str, tmp_path: Path) -> None:
    folder = make_checkpoint(kind, tmp_path, overflow=True)
    case = Case(folder, convert_into(folder), prompt(160, VOCAB))
    assert np.isnan(Reference(folder, torch.float16).trace(case.ids).logits).all()
    assert nmse(case.trace("f16")["logits"], case.f32.logits) <= F16_END


# --- tiny models: windows of 16, experts as loud as the MLP -------------------------------------------------


def scaled_tiny(folder: Path, variant: str, endings: tuple[str, ...], factor: float) -> Path:
    """A tiny checkpoint in which the tensors of these names are larger by a power of two."""
    tiny: Tiny = make_tiny(folder, variant, seed=3)
    offset = np.float32(variant == "gemma3")  # its norms multiply by 1 + w
    stored = {}
    for name, values in tiny.tensors.items():
        start = offset if "norm" in name else np.float32(0)
        larger = (values + start) * np.float32(factor) - start if name.endswith(endings) else values
        stored[name] = ("BF16", values.shape, encode(larger, "BF16")[0])
    write_weights(folder, stored, shards=1)
    return folder


@pytest.fixture
def tiny_case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """Parametrised with (variant, endings, factor)."""
    variant, endings, factor = request.param
    folder = scaled_tiny(tmp_path, variant, endings, factor)
    return Case(folder, convert_into(folder), prompt(128, TINY_VOCAB))


def typical(values: Array, reference: Array) -> float:
    """The row NMSE that 98 % of the rows of all layers keep: of the others a few see two keys or two experts so
    close that rounding takes the other one.
    """
    assert np.isfinite(values).all()
    return float(np.quantile(row_nmse(values, reference), 0.98))


@pytest.mark.parametrize("tiny_case", [(variant, (), 1) for variant in CONFIGS], indirect=True, ids=CONFIGS)
def test_roundings(tiny_case: Case) -> None:
    """In bf16 mode a layer's output is the reference's to the last bit, in as many rows as when the reference
    itself sums in another order, but for 5 %.
    """
    reference = Reference(tiny_case.folder, torch.bfloat16)
    with float64_products():
        other = reference.trace(tiny_case.ids, tiny_case.bf16.inputs)
    floor = identical_rows(other.outputs, tiny_case.bf16.outputs).mean()
    assert floor > 0.5
    assert identical_rows(layers(tiny_case.forced_bf16), tiny_case.bf16.outputs).mean() >= floor - 0.05
    assert typical(layers(tiny_case.trace("f32", tiny_case.f32.inputs)), tiny_case.f32.outputs) <= F32_LAYER


NORMS = ("q_norm.weight", "k_norm.weight")


@pytest.mark.parametrize("tiny_case", [(variant, NORMS, 256) for variant in CONFIGS], indirect=True, ids=CONFIGS)
def test_attention_logits_beyond_float16(tiny_case: Case) -> None:
    """Logits of some 1e5, which a float16 product cannot hold: finite, and the reference's layers in all modes.

    Softmax is all but one-hot then. Rounded to float16, keys and queries move logits by 2^-11 of their size,
    a hundred: where the two best lie closer, the other one wins, in about a row of a hundred.
    """
    assert tiny_case.f32.largest_attention_logit > 2 * 65504
    assert typical(layers(tiny_case.trace("f32", tiny_case.f32.inputs)), tiny_case.f32.outputs) <= F32_LAYER
    assert typical(layers(tiny_case.forced_bf16), tiny_case.bf16.outputs) <= BF16_LAYER
    assert identical_rows(layers(tiny_case.forced_bf16), tiny_case.bf16.outputs).mean() >= 0.95
    assert typical(layers(tiny_case.trace("f16", tiny_case.f32.inputs)), tiny_case.f32.outputs) <= 1e-5
    for compute in ("f32", "bf16", "f16"):
        assert np.isfinite(tiny_case.trace(compute)["logits"]).all(), compute


LOUD = ("gate_proj.weight", "up_proj.weight", "gate_up_proj")


@pytest.mark.parametrize("tiny_case", [(variant, LOUD, 256) for variant in CONFIGS], indirect=True, ids=CONFIGS)
def test_f16_with_overflowing_mlps_and_experts(tiny_case: Case) -> None:
    """As test_f16_with_an_overflowing_mlp, and the experts overflow too."""
    assert np.isnan(Reference(tiny_case.folder, torch.float16).trace(tiny_case.ids).logits).any()
    assert typical(layers(tiny_case.trace("f16", tiny_case.f32.inputs)), tiny_case.f32.outputs) <= 1e-5
    assert typical(tiny_case.trace("f16")["logits"], tiny_case.f32.logits) <= F16_END
