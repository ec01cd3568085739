"""Prompts with media: how they are cut, the memory they take, and what is refused.

As in test_invariants.py, equal means bit for bit. Images are longer than the window of 16, than the micro-batch, and
than the rings that micro-batches alone would need.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_prompts import N_CTX, SPAN, MediaPrompt, album, engine, equal, fresh_row, prefill
from tiny_gguf import HIDDEN, WINDOW

from g4cpp import _core
from g4cpp.errors import ArgumentError, ContextOverflowError

Tiny = Callable[..., Path]


# --- how a prompt is cut ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compute", ["f32", "bf16", "f16"])
def test_chunked_equals_one_shot(media_path: Path, compute: str) -> None:
    made = album()
    one_shot = engine(media_path, compute, micro_batch=256).trace(made.ids, media=made.media)["logits"]
    for micro_batch in (1, 7, 64, 256):
        assert equal(fresh_row(media_path, made, compute, micro_batch=micro_batch), one_shot[-1]), micro_batch
    some = list(range(0, len(made.ids), 5))
    for micro_batch in (7, 64):
        rows = engine(media_path, compute, micro_batch=micro_batch).logits(made.ids, some, media=made.media)
        assert equal(rows, one_shot[some]), micro_batch


def test_more_rows_of_an_image_than_a_step_returns(media_path: Path) -> None:
    """A step returns 64 rows of logits; the image of 71 tokens is one step."""
    made = album()
    one_shot = engine(media_path, micro_batch=256).trace(made.ids, media=made.media)["logits"]
    for micro_batch in (8, 64, 256):
        model = engine(media_path, micro_batch=micro_batch)
        assert equal(model.logits(made.ids, range(len(made.ids)), media=made.media), one_shot), micro_batch
        assert model.tokens == made.ids


def test_an_image_as_long_as_the_room(media_path: Path) -> None:
    made = MediaPrompt(HIDDEN).text(3).image(SPAN, 1).text(2)
    one_shot = fresh_row(media_path, made, micro_batch=256)
    assert equal(fresh_row(media_path, made, micro_batch=1), one_shot)
    whole = MediaPrompt(HIDDEN).image(SPAN, 1)  # nothing else
    assert equal(fresh_row(media_path, whole, micro_batch=1), fresh_row(media_path, whole, micro_batch=256))


def test_skipping_the_shared_layers(media_path: Path) -> None:
    made = album().first(120)
    assert equal(fresh_row(media_path, made), fresh_row(media_path, made, kv_shared_skip=False))


def test_decode_after_media_equals_prefill(media_path: Path) -> None:
    """Across the window's edge, which lies in an image at first."""
    made = MediaPrompt(HIDDEN).text(5).image(40, 1)
    model = engine(media_path)
    prefill(model, made)
    for n, token in enumerate(np.random.default_rng(0).integers(24, 300, 3 * WINDOW).tolist()):
        model.decode(token)
        made.ids.append(token)
        if n % 9 == 0:
            assert equal(model.last_logits(), fresh_row(media_path, made)), n


def test_layers_in_two_places(media_path: Path) -> None:
    made = album()
    split: Any = {"device_map": [("cpu", 2), ("cpu", -1)]}
    assert equal(fresh_row(media_path, made, **split), fresh_row(media_path, made))


def test_text_alone_is_what_it_was(media_path: Path) -> None:
    """Room for media changes no bit of text, before or after media."""
    text = MediaPrompt(HIDDEN).text(70)
    expected = fresh_row(media_path, text, max_media_span=0)
    model = engine(media_path)
    prefill(model, album())
    prefill(model, text)
    assert equal(model.last_logits(), expected)


# --- memory -----------------------------------------------------------------------------------------------


def plan(path: Path, **options: Any) -> _core.MemoryPlan:
    options = {"device": "cpu", "n_ctx": 1024, "micro_batch": 8} | options
    return _core.Engine.plan(_core.GgufFile(str(path)), **options)


def test_the_plan_makes_room(media_path: Path, path_e: Path) -> None:
    none, some = plan(media_path), plan(media_path, max_media_span=SPAN)
    assert none.soft_tokens == 0
    grows = media_path != path_e  # causal models are cut as ever
    assert (some.kv_cache > none.kv_cache) == grows
    assert (some.activations > 2 * none.activations) == grows
    assert some.soft_tokens == (SPAN if grows else 8) * HIDDEN * 4
    assert some.total - some.soft_tokens == none.total + (some.activations - none.activations) + (
        some.kv_cache - none.kv_cache
    ) + (some.kv_snapshot - none.kv_snapshot)


def test_the_plan_holds_the_largest_step(path_k: Path, path_e: Path) -> None:
    """As much as micro-batches of an image's size take, and a clip's soft tokens in micro-batches."""
    some = plan(path_k, max_media_span=SPAN)
    steps = plan(path_k, micro_batch=SPAN)
    assert some.kv_cache == steps.kv_cache
    assert steps.activations <= some.activations <= 1.2 * steps.activations
    assert plan(path_e, max_media_span=SPAN).kv_cache == plan(path_e).kv_cache


# --- errors -----------------------------------------------------------------------------------------------


def wide(columns: int) -> Any:
    return np.zeros((3, columns), np.float32)


def spoilt(value: float) -> Any:
    rows = wide(HIDDEN)
    rows[1, 5] = value
    return rows


IDS = [2, *range(30, 49)]
ROWS = wide(HIDDEN)


@pytest.mark.parametrize("call", ["prefill", "logits", "trace"])
@pytest.mark.parametrize(
    ("media", "message"),
    [
        ([(4, ROWS, 1, True), (6, ROWS, 2, True)], "span 1 begins at position 6, the one before ends at 7: ascending"),
        ([(9, ROWS, 1, True), (2, ROWS, 2, True)], "span 1 begins at position 2, the one before ends at 12"),
        ([(4, wide(32), 1, True)], "span 0: rows of the model's hidden size 64 expected, of 32 found"),
        ([(4, wide(HIDDEN)[0], 1, True)], r"span 0: rows \[n, hidden\] expected, an array of 1 dimensions found"),
        ([(4, wide(HIDDEN)[:0], 1, True)], "span 0: at least one row expected"),
        ([(18, wide(HIDDEN), 1, True)], "span 0: 3 rows from position 18 on, in a prompt of 20"),
        ([(-1, wide(HIDDEN), 1, True)], "span 0: 3 rows from position -1 on"),
        ([(4, spoilt(np.nan), 1, True)], "span 0: a value that is not finite"),
        ([(4, spoilt(np.inf), 1, False)], "span 0: a value that is not finite"),
    ],
)
def test_odd_media(media_path: Path, media: Any, message: str, call: str) -> None:
    model = engine(media_path)
    model.prefill(IDS)
    arguments: list[Any] = [IDS, [3]] if call == "logits" else [IDS]
    with pytest.raises(ArgumentError, match=message) as caught:
        getattr(model, call)(*arguments, media=media)
    assert str(caught.value).startswith("[media] ")
    assert "\n" not in str(caught.value)
    assert model.tokens == IDS  # nothing was lost


def test_longer_than_the_room(tiny: Tiny) -> None:
    long = MediaPrompt(HIDDEN).text(2).image(SPAN + 1, 1).text(2)
    two = MediaPrompt(HIDDEN).text(2).image(SPAN - 1, 1).image(2, 1).text(2)
    model = engine(tiny("dense_k"))
    with pytest.raises(ArgumentError, match="span 0: 101 rows, room for 100 \\(max_media_span\\)"):
        prefill(model, long)
    with pytest.raises(ArgumentError, match="positions 2 to 102: a block of 101 tokens without text between, room"):
        prefill(model, two)
    causal = engine(tiny("dense_e"))
    with pytest.raises(ArgumentError, match="room for 100"):
        prefill(causal, long)
    prefill(causal, two)


def test_who_takes_no_media(tiny: Tiny) -> None:
    media = [(4, wide(HIDDEN), 1, True)]
    with pytest.raises(ArgumentError, match=r"\[media\] gemma3: a model of text alone"):
        engine(tiny("gemma3")).prefill(IDS, media=media)
    with pytest.raises(ArgumentError, match=r"\[media\] the model was loaded for text alone \(max_media_span 0\)"):
        engine(tiny("dense_k"), max_media_span=0).prefill(IDS, media=media)
    with pytest.raises(ArgumentError, match=r"\[max_media_span\] .*, got -1"):
        engine(tiny("dense_k"), max_media_span=-1)
    assert not engine(tiny("gemma3")).takes_media
    assert engine(tiny("dense_k")).takes_media


def test_a_prompt_longer_than_the_context(tiny: Tiny) -> None:
    made = MediaPrompt(HIDDEN).text(N_CTX - 10).image(20, 1)
    with pytest.raises(ContextOverflowError):
        prefill(engine(tiny("dense_k")), made)
