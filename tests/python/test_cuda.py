"""The CUDA backend against the CPU's and against transformers' goldens, on models small enough for any device.

In float32 each backend lies within 1e-9 of transformers (docs/numerics.md), so two of them lie within 4e-9 of each
other.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_goldens import KINDS
from numpy.typing import NDArray
from test_goldens import Golden, load_golden, nmse

from g4cpp import Model, _core
from g4cpp.errors import MemoryPlanError

Array = NDArray[np.float32]
F32_PAIR = 4e-9
REASON = next((device.reason for device in _core.devices() if device.name == "cuda"), "this engine knows none")
needs_device = pytest.mark.skipif(bool(REASON), reason=f"no CUDA device: {REASON}")


class CudaGolden(Golden):
    """A golden whose engines run on the device."""

    def engine(self, compute: str, micro_batch: int = 64) -> _core.Engine:
        return engine(self.path, "cuda", compute, micro_batch)


def engine(path: Path, device: str, compute: str, micro_batch: int = 64) -> _core.Engine:
    return _core.Engine(
        _core.GgufFile(str(path)), device=device, compute=compute, n_ctx=256, n_threads=1, micro_batch=micro_batch
    )


@pytest.fixture(scope="module", params=KINDS)
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CudaGolden:
    return load_golden(CudaGolden, request.param, tmp_path_factory.mktemp(request.param))


def rows_of(engine: _core.Engine, ids: list[int]) -> Array:
    """Logits of every position, computed as a prompt."""
    return engine.logits(ids, range(len(ids)))


def decoded(engine: _core.Engine, ids: list[int]) -> Array:
    """The same, a token at a time."""
    engine.reset()
    engine.prefill(ids[:1])
    rows = [engine.last_logits()]
    for token in ids[1:]:
        engine.decode(token)
        rows.append(engine.last_logits())
    return np.stack(rows)


def test_devices_say_why_not() -> None:
    cuda = next(device for device in _core.devices() if device.name == "cuda")
    assert cuda.available == (not cuda.reason)


def test_loading_the_core_loads_no_driver() -> None:
    """Devices are probed on demand: importing must stay fast where there are some."""
    code = "from g4cpp import _core; print('libcuda.so' in open('/proc/self/maps').read())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@needs_device
def test_f32(golden: CudaGolden) -> None:
    on_device = golden.engine("f32")
    assert on_device.device == "cuda"
    assert on_device.fallbacks == []
    assert nmse(golden.logits("f32"), golden.f32) <= 1e-9
    assert nmse(golden.logits("f32", micro_batch=7), golden.f32) <= 1e-9
    assert nmse(rows_of(on_device, golden.ids), rows_of(engine(golden.path, "cpu", "f32"), golden.ids)) <= F32_PAIR


@needs_device
def test_bf16_rounds_where_the_reference_does(golden: CudaGolden) -> None:
    """As test_goldens has it for the CPU."""
    assert np.array_equal(golden.engine("bf16").trace(golden.ids)["embedding"], golden.hidden[0])
    same = (golden.layers("bf16") == golden.hidden[1:]).all(-1).mean(-1)
    assert same.mean() >= golden.same_rows.mean() - 0.05, (same, golden.same_rows)


@needs_device
@pytest.mark.parametrize("golden", ["dense_e", "dense_k", "gemma3"], indirect=True)
def test_bf16_end_to_end(golden: CudaGolden) -> None:
    assert nmse(golden.logits("bf16"), golden.bf16) < 0.75 * nmse(golden.f32, golden.bf16)


@needs_device
@pytest.mark.parametrize("golden", ["moe"], indirect=True)
def test_routing(golden: CudaGolden) -> None:
    trace = golden.engine("bf16").trace(golden.ids, golden.hidden[:-1])
    ours = np.stack([trace[f"router_ids.{i}"] for i in range(len(golden.routing))])
    assert (np.sort(ours, -1) != np.sort(golden.routing, -1)).any(-1).sum() <= 1


@needs_device
def test_f16(golden: CudaGolden) -> None:
    assert nmse(golden.logits("f16"), golden.f32) <= 1e-3


@needs_device
def test_decode_is_prefill(golden: CudaGolden) -> None:
    """In float32 to the rounding of sums; in bfloat16 to less than what float32 differs from it."""
    f32 = golden.engine("f32")
    assert nmse(decoded(f32, golden.ids), rows_of(f32, golden.ids)) <= F32_PAIR
    bf16 = golden.engine("bf16")
    floor = nmse(golden.f32, golden.bf16)
    assert nmse(decoded(bf16, golden.ids), rows_of(bf16, golden.ids)) <= floor


@needs_device
@pytest.mark.parametrize("kind", KINDS)
def test_runs_repeat_to_the_bit(tiny: Callable[..., Path], kind: str) -> None:
    """The first run launches, the second records, later ones replay; and a fresh engine does the same."""
    ids = [2, *np.random.default_rng(3).integers(10, 90, 30).tolist()]
    one = engine(tiny(kind), "cuda", "bf16")
    rows = rows_of(one, ids)
    for _ in range(3):
        assert np.array_equal(rows_of(one, ids), rows)
    steps = decoded(one, ids)
    assert np.array_equal(decoded(engine(tiny(kind), "cuda", "bf16"), ids), steps)


@needs_device
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compute", ["bf16", "f32"])
def test_fused_kernels_change_no_bit(
    tiny: Callable[..., Path], kind: str, compute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [2, *np.random.default_rng(6).integers(10, 90, 30).tolist()]
    fused = engine(tiny(kind), "cuda", compute)
    rows, steps = rows_of(fused, ids), decoded(fused, ids)
    monkeypatch.setenv("G4CPP_CUDA_FUSION", "0")
    plain = engine(tiny(kind), "cuda", compute)
    assert np.array_equal(rows_of(plain, ids), rows)
    assert np.array_equal(decoded(plain, ids), steps)


@needs_device
@pytest.mark.parametrize("kind", KINDS)
def test_rings_come_back_from_a_snapshot(tiny: Callable[..., Path], kind: str) -> None:
    """A prompt, an answer, and a prompt that goes back before the answer."""
    ids = [2, *np.random.default_rng(4).integers(10, 90, 60).tolist()]
    one = engine(tiny(kind), "cuda", "f32", micro_batch=16)
    one.prefill(ids[:40])
    one.snapshot()
    for token in range(30, 70):
        one.decode(token)
    computed = one.prefill(ids)
    assert computed <= 40
    assert nmse(one.last_logits(), rows_of(engine(tiny(kind), "cuda", "f32"), ids)[-1]) <= F32_PAIR


@needs_device
def test_two_engines_in_two_threads(tiny: Callable[..., Path]) -> None:
    ids = [2, *np.random.default_rng(5).integers(10, 90, 30).tolist()]
    alone = {kind: decoded(engine(tiny(kind), "cuda", "bf16"), ids) for kind in ("dense_e", "moe")}
    together: dict[str, Array] = {}

    def work(kind: str) -> None:
        together[kind] = decoded(engine(tiny(kind), "cuda", "bf16"), ids)

    threads = [threading.Thread(target=work, args=(kind,)) for kind in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for kind, rows in alone.items():
        assert np.array_equal(together[kind], rows)


@needs_device
def test_too_large_is_an_error(tiny: Callable[..., Path]) -> None:
    """And the device works on."""
    with pytest.raises(MemoryPlanError, match="does not fit"):
        Model(tiny("dense_e"), device="cuda", n_ctx=1 << 30)
    with Model(tiny("dense_e"), device="cuda", n_ctx=64) as model:
        assert model.info.device == "cuda"
        plan = model.info.memory_plan
        assert plan.total < plan.available


@needs_device
def test_the_demo_model_says_what_the_cpu_says() -> None:
    """A trained model, greedy, past its window of 256."""
    texts = {}
    for device in ("cpu", "cuda"):
        with Model(device=device, compute="f32", n_ctx=640) as model:
            texts[device] = model.generate("In the beginning", max_tokens=400, temperature=0.0, ignore_eos=True).text
    assert texts["cuda"] == texts["cpu"]
