"""What must not change the result: how a prompt is cut, what the cache held before, threads, the KV skip.

The CPU kernels compute a row the same way whatever stands beside it, so equal here means bit for bit. Windows
of 16 tokens are crossed many times and, with small micro-batches, so are the rings that hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_gguf import KINDS, WINDOW

from g4cpp import Model, _core
from g4cpp.errors import ContextOverflowError

Tiny = Callable[..., Path]
Array = NDArray[np.float32]
MODES = ("f32", "bf16", "f16")
N_CTX = 1024
FIRST = 24  # ids below are control tokens


@pytest.fixture(params=KINDS)
def path(request: pytest.FixtureRequest, tiny: Tiny) -> Path:
    return tiny(request.param)


def engine(path: Path, compute: str = "f32", **options: Any) -> _core.Engine:
    options = {"n_ctx": N_CTX, "n_threads": 1} | options
    return _core.Engine(_core.GgufFile(str(path)), compute=compute, **options)


def random_ids(n: int, seed: int = 0) -> list[int]:
    return [2, *np.random.default_rng(seed).integers(FIRST, 300, n - 1).tolist()]


def last_row(path: Path, ids: list[int], compute: str = "f32", **options: Any) -> Array:
    """The last logits of `ids` from an engine that has seen nothing else."""
    fresh = engine(path, compute, **options)
    assert fresh.prefill(ids) == len(ids)
    return fresh.last_logits()


def decoded(model: _core.Engine, ids: list[int]) -> Array:
    """[ids, vocab]: the row after each of `ids`, decoded one by one."""
    rows = []
    for token in ids:
        model.decode(token)
        rows.append(model.last_logits())
    return np.stack(rows)


def equal(a: Array, b: Array) -> bool:
    return bool(np.isfinite(a).all()) and np.array_equal(a, b)


def typical_nmse(a: Array, b: Array) -> float:
    """The median over rows: in a mixture of experts, rounding sends a few rows to other experts."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(np.median(((x - y) ** 2).sum(-1) / (y**2).sum(-1)))


# --- how a prompt is cut ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compute", MODES)
def test_decode_equals_prefill(path: Path, compute: str) -> None:
    ids = random_ids(8 * WINDOW)
    model = engine(path, compute, micro_batch=8)
    model.prefill(ids[:3])
    rows = decoded(model, ids[3:])
    one_shot = engine(path, compute).trace(ids)["logits"]
    assert equal(rows, one_shot[3:])
    assert equal(rows[-1], last_row(path, ids, compute))


@pytest.mark.parametrize("compute", MODES)
def test_chunked_prefill_equals_one_shot(path: Path, compute: str) -> None:
    ids = random_ids(530)
    one_shot = engine(path, compute, micro_batch=1024).trace(ids)["logits"]
    for micro_batch in (1, 7, 64, 512):
        assert equal(last_row(path, ids, compute, micro_batch=micro_batch), one_shot[-1]), micro_batch
    some = list(range(0, len(ids), 5))
    for micro_batch in (7, 64, 512):
        assert equal(engine(path, compute, micro_batch=micro_batch).logits(ids, some), one_shot[some]), micro_batch


@pytest.mark.parametrize("fmt", ["F16", "BF16", "Q8_0", "Q4_0"])
@pytest.mark.parametrize("kind", ["dense_e", "moe"])
def test_weights_in_other_formats_too(tiny: Tiny, kind: str, fmt: str) -> None:
    """Any two large chunks give the same bits; so does decode, but for quantised weights, which it multiplies as they
    are and matrix tiles round to bfloat16 (docs/numerics.md)."""
    path, ids, wanted = tiny(kind, fmt=fmt), random_ids(100), range(50, 100)
    one_shot = engine(path, "bf16").logits(ids, wanted)
    for micro_batch in (20, 50):
        assert equal(engine(path, "bf16", micro_batch=micro_batch).logits(ids, wanted), one_shot)
    model = engine(path, "bf16", micro_batch=7)
    model.prefill(ids[:50])
    rows = decoded(model, ids[50:])
    assert equal(rows, decoded(again(model, ids[:50]), ids[50:]))
    if fmt in ("F16", "BF16"):
        assert equal(rows, one_shot)


def again(model: _core.Engine, ids: list[int]) -> _core.Engine:
    model.reset()
    model.prefill(ids)
    return model


@pytest.mark.parametrize("fmt", ["Q8_0", "Q4_0"])
@pytest.mark.parametrize("kind", ["dense_e", "dense_k"])
def test_rounded_products_stay_near_exact_ones(tiny: Tiny, kind: str, fmt: str) -> None:
    """Decode rounds activations to 11 bits, tiles round weights to 8: neither takes bf16 mode much further from float32
    than its own rounding of the same, exact products does (measured: 1.1 and 1.25 times)."""
    path, ids, wanted = tiny(kind, fmt=fmt), random_ids(400), range(50, 400)
    f32 = engine(path, "f32").logits(ids, wanted)
    exact = typical_nmse(engine(path, "bf16", repack=False).logits(ids, wanted), f32)
    for micro_batch in (512, 4):
        rounded = engine(path, "bf16", micro_batch=micro_batch).logits(ids, wanted)
        assert typical_nmse(rounded, f32) <= 1.5 * exact, micro_batch


@pytest.mark.parametrize("compute", MODES)
def test_skip_equals_no_skip(tiny: Tiny, compute: str) -> None:
    """Above the last layer that writes keys and values, only the rows that are asked for are computed."""
    path, ids = tiny("dense_e"), random_ids(130)
    for micro_batch in (1, 7, 512):
        skipped = engine(path, compute, micro_batch=micro_batch, kv_shared_skip=True)
        whole = engine(path, compute, micro_batch=micro_batch, kv_shared_skip=False)
        for model in (skipped, whole):
            model.prefill(ids)
        assert equal(skipped.last_logits(), whole.last_logits())
        wanted = [0, 3, 64, 65, 128]
        assert equal(skipped.logits(ids, wanted), whole.logits(ids, wanted))
        assert equal(decoded(skipped, ids[:20]), decoded(whole, ids[:20]))


def test_only_the_wanted_rows_pass_the_shared_layers(tiny: Tiny) -> None:
    """The layers that share keys and values are left out for rows nobody asked for: NaN there stays unseen."""
    weights = {"blk.5.ffn_down.weight": np.full((64, 256), 1e38)}  # finite, its products are not
    path, ids = tiny("dense_e", edit=weights), random_ids(40)
    rows = engine(path, kv_shared_skip=True).logits(ids, [5])
    assert not np.isfinite(rows).any()  # the layer does reach a wanted row


# --- what the cache held before ---------------------------------------------------------------------------


def test_a_shared_prefix_is_not_computed_again(path: Path) -> None:
    ids = random_ids(60)
    for shared in (1, WINDOW - 1, WINDOW, WINDOW + 1, 59):
        model = engine(path, micro_batch=64)  # the ring holds 80 positions, all of them
        model.prefill(ids)
        changed = ids[:shared] + random_ids(40, seed=1)[1:]
        assert changed[shared] != ids[shared]
        assert model.prefill(changed) == len(changed) - shared
        assert equal(model.last_logits(), last_row(path, changed))


@pytest.mark.parametrize("back", [1, 4, 8, 9, 30, 290])
def test_rewinding_beyond_the_ring_computes_anew(path: Path, back: int) -> None:
    """Rings of 16 + 8 slots: at most 9 tokens back, the window before them is still held."""
    ids = random_ids(300)
    model = engine(path, micro_batch=8)
    model.prefill(ids)
    changed = ids[: 300 - back] + random_ids(50, seed=2)[1:]
    computed = model.prefill(changed)
    assert computed == (len(changed) - (300 - back) if back <= 9 else len(changed))
    assert equal(model.last_logits(), last_row(path, changed))
    following = random_ids(40, seed=3)[1:]
    assert equal(decoded(model, following)[-1], last_row(path, changed + following))


def test_the_same_prompt_again(path: Path) -> None:
    ids = random_ids(100)
    model = engine(path, micro_batch=8)
    model.prefill(ids)
    first = model.last_logits()
    assert model.prefill(ids) == 1  # its last token, for the logits
    assert equal(model.last_logits(), first)
    model.reset()
    assert model.prefill(ids) == 100
    assert equal(model.last_logits(), first)


def test_a_short_prompt_after_a_long_one_is_reused(path: Path) -> None:
    """What an earlier, longer sequence left in the rings does not matter once it is overwritten."""
    model = engine(path, micro_batch=8)
    model.prefill(random_ids(400))
    model.reset()
    ids = random_ids(100, seed=4)
    model.prefill(ids)
    longer = ids + random_ids(20, seed=5)[1:]
    assert model.prefill(longer) == 19
    assert equal(model.last_logits(), last_row(path, longer))
    changed = [*longer[:-4], FIRST + 1]
    assert model.prefill(changed) == 1
    assert equal(model.last_logits(), last_row(path, changed))


@pytest.mark.parametrize(("dropped", "thinking"), [(0, 3000), (5, 400), (16, 400)])
def test_the_second_turn_does_not_repeat_the_first(path: Path, dropped: int, thinking: int) -> None:
    """Turn 1 thinks and answers; turn 2's prompt holds the answer without the thought and perhaps without the
    opening of the answer, so it leaves the cached sequence where turn 1's prompt ends.
    """
    options = {"n_ctx": 4096, "micro_batch": 64}
    model = engine(path, **options)
    history: list[int] = random_ids(500)
    for turn in range(3):
        thought = random_ids(thinking if turn == 0 else 300, seed=10 + turn)[1:]
        answer, question = random_ids(40, seed=20 + turn)[1:], random_ids(30, seed=30 + turn)[1:]
        model.prefill(history)
        model.snapshot()
        model.prefill(history + thought)  # to the cache the same as decoding it, and quicker
        decoded(model, answer)
        history = history[: len(history) - dropped] + answer + question
        assert model.prefill(history) <= len(answer) + len(question) + WINDOW
        assert equal(model.last_logits(), last_row(path, history, **options))
    following = random_ids(50, seed=40)[1:]
    assert equal(decoded(model, following)[-1], last_row(path, history + following, **options))


def test_a_snapshot_of_other_tokens_is_not_used(path: Path) -> None:
    """After the snapshot the sequence goes another way from before it: its global layers are gone."""
    model = engine(path, micro_batch=8)
    ids = random_ids(200)
    model.prefill(ids)
    model.snapshot()
    other = ids[:100] + random_ids(150, seed=6)[1:]
    model.prefill(other)
    assert equal(model.last_logits(), last_row(path, other))
    model.prefill([*ids, FIRST])
    assert equal(model.last_logits(), last_row(path, [*ids, FIRST]))


def test_prompts_in_any_order(path: Path) -> None:
    """Random prompts with shared prefixes, snapshots, decoding and resets, each equal to a fresh engine."""
    random = np.random.default_rng(8)
    model = engine(path, micro_batch=16)
    known = [random_ids(150, seed=seed) for seed in range(3)]
    for _ in range(40):
        base = known[random.integers(len(known))]
        ids = base[: random.integers(1, len(base) + 1)] + random_ids(int(random.integers(2, 30)), seed=9)[1:]
        if random.random() < 0.1:
            model.reset()
        model.prefill(ids)
        if random.random() < 0.5:
            model.snapshot()
        following = random_ids(int(random.integers(2, 40)), seed=int(random.integers(100)))[1:]
        rows = decoded(model, following)
        assert model.tokens == ids + following
        assert equal(rows[-1], last_row(path, ids + following))
        if len(model.tokens) < 400:
            known.append(model.tokens)


# --- threads, storage, repetition -------------------------------------------------------------------------


@pytest.mark.parametrize("compute", MODES)
def test_threads_do_not_matter(path: Path, compute: str) -> None:
    ids, following = random_ids(70), random_ids(4, seed=1)[1:]
    rows = []
    for n_threads in (1, 2, 3, 4):
        model = engine(path, compute, n_threads=n_threads)
        model.prefill(ids)
        rows.append(np.concatenate([model.last_logits()[None], decoded(model, following)]))
    for other in rows[1:]:
        assert equal(other, rows[0])


def test_same_seed_same_text_on_any_number_of_threads(path: Path) -> None:
    texts = set()
    for n_threads in (1, 2, 3):
        with Model(path, n_threads=n_threads, n_ctx=256) as model:
            out = model.generate("hello world", max_tokens=20, seed=11, temperature=1.0, ignore_eos=True)
            texts.add((out.text, tuple(out.tokens)))
    assert len(texts) == 1


def test_repeated_calls_are_identical(path: Path) -> None:
    ids = random_ids(90)
    model = engine(path, "bf16")
    first = model.logits(ids, [10, 40, 89])
    assert equal(model.logits(ids, [10, 40, 89]), first)
    assert equal(model.trace(ids)["logits"][[10, 40, 89]], first)
    assert equal(model.logits(ids, [10, 40, 89]), first)


@pytest.mark.parametrize("compute", MODES)
def test_kv_storage(path: Path, compute: str) -> None:
    """Storage rounds keys and values once: about 2^-12 of their size in float16 and 2^-9 in bfloat16, in mean
    square (2^-12)^2 = 6e-8 and (2^-9)^2 = 4e-6; in Q8_0 by up to half of the largest of 32 over 127, which of normal
    numbers is 2.2 deviations: (2.2 / 127)^2 / 12 = 2.5e-5. A few layers do not make more than 50 times that of it.
    """
    ids = random_ids(120)
    rows = {
        kv_dtype: engine(path, compute, kv_dtype=kv_dtype, micro_batch=8).logits(ids, list(range(120)))
        for kv_dtype in ("f32", "f16", "bf16", "q8_0")
    }
    assert all(np.isfinite(row).all() for row in rows.values())
    assert equal(engine(path, compute, micro_batch=8).logits(ids, list(range(120))), rows[compute])
    one_shot = engine(path, compute, kv_dtype="q8_0", micro_batch=1024).logits(ids, list(range(120)))
    assert equal(one_shot, rows["q8_0"])
    if compute == "f32":
        assert 0 < typical_nmse(rows["q8_0"], rows["f32"]) <= 50 * 2.5e-5
        assert 0 < typical_nmse(rows["f16"], rows["f32"]) <= 50 * 2.0**-24
        assert 0 < typical_nmse(rows["bf16"], rows["f32"]) <= 50 * 2.0**-18


def test_a_quantised_cache_goes_back_and_takes_half_the_memory(path: Path) -> None:
    options = {"compute": "bf16", "kv_dtype": "q8_0", "micro_batch": 8}
    ids = random_ids(150)
    model = engine(path, **options)
    model.prefill(ids)
    model.snapshot()
    decoded(model, random_ids(40, seed=1)[1:])
    assert model.prefill([*ids, FIRST]) == 1
    assert equal(model.last_logits(), last_row(path, [*ids, FIRST], **options))
    plain = engine(path, **(options | {"kv_dtype": "bf16"})).memory_plan
    assert model.memory_plan.kv_cache * 64 == plain.kv_cache * 34
    assert model.kv_dtype == "Q8_0"


# --- limits and interruptions -----------------------------------------------------------------------------


def test_more_than_the_context(path: Path) -> None:
    model = engine(path, n_ctx=64)
    ids = random_ids(64)
    for call in (model.prefill, model.trace, lambda ids: model.logits(ids, [0])):
        with pytest.raises(ContextOverflowError, match=r"65.*64"):
            call([*ids, FIRST])
    model.prefill(ids)
    row = model.last_logits()
    with pytest.raises(ContextOverflowError, match=r"65.*64"):
        model.decode(FIRST)
    assert model.tokens == ids
    assert equal(model.last_logits(), row)


class StopError(Exception):
    pass


def stop_at(call: int) -> Callable[[], None]:
    calls: Iterator[int] = iter(range(call))

    def poll() -> None:
        if next(calls, None) is None:
            raise StopError

    return poll


@pytest.mark.parametrize("call", [0, 2])
def test_an_interrupted_prompt_leaves_a_sound_engine(path: Path, call: int) -> None:
    """The poll runs every 50 ms: a long prompt in single tokens gives it time for several calls."""
    n_ctx = 1 << 17
    model = engine(path, n_ctx=n_ctx, micro_batch=1, n_threads=1)
    long = random_ids(100_000)
    with pytest.raises(StopError):
        model.prefill(long, stop_at(call))
    done = model.tokens
    assert len(done) < len(long)
    assert done == long[: len(done)]
    ids = [*done[:200], *random_ids(30, seed=7)[1:]]
    model.prefill(ids)
    assert equal(model.last_logits(), last_row(path, ids))
    with pytest.raises(StopError):
        model.logits(long, [0], stop_at(0))
    with pytest.raises(StopError):
        model.prefill(long, stop_at(0))
    done = model.tokens
    model.prefill([*done, FIRST])
    assert equal(model.last_logits(), last_row(path, [*done, FIRST], n_ctx=n_ctx))
