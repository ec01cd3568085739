"""Who sees whom among soft tokens, layer by layer, and what becomes of a soft token before the first layer.

Each layer reads inputs that the test gives it ("teacher forcing"), so that changing one token's input shows in exactly
the outputs that see it. The CPU kernels compute a row the same way whatever stands beside it: unseen means the same
bits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_prompts import PLACEHOLDER, MediaPrompt
from numpy.typing import NDArray
from tiny_gguf import HIDDEN, WINDOW, vocabulary

from g4cpp import _core

Tiny = Callable[..., Path]
Array = NDArray[np.float32]
KINDS = ("dense_e", "dense_k", "moe")
SPAN = 64
KEY = "gemma4.attention.bidirectional_media"


def engine(path: Path, compute: str = "f32", **options: Any) -> _core.Engine:
    options = {"n_ctx": 512, "n_threads": 1, "max_media_span": SPAN} | options
    return _core.Engine(_core.GgufFile(str(path)), compute=compute, **options)


def prompt() -> MediaPrompt:
    """Text, an image longer than the window of 16, text, two images that touch, text, audio longer than the window."""
    made = MediaPrompt(HIDDEN).text(5).image(WINDOW + 6, 1).text(2).image(4, 2).image(3, 3).text(2)
    return made.audio(WINDOW + 2, 4).text(3)


def sliding(path: Path) -> list[bool]:
    pattern: list[bool] = _core.GgufFile(str(path)).get("gemma4.attention.sliding_window_pattern")
    return pattern


def rule(made: MediaPrompt, slides: bool, bidirectional: bool) -> NDArray[np.bool_]:
    """[query, key]: whether it is seen."""
    n = len(made.ids)
    t, j = np.indices((n, n))
    seen: NDArray[np.bool_] = j <= t
    if slides and bidirectional:
        for begin, end in made.blocks():
            seen |= (t >= begin) & (t < end) & (j >= begin) & (j < end)
    return seen & (j > t - WINDOW) if slides else seen


def visibility(model: _core.Engine, made: MediaPrompt) -> NDArray[np.bool_]:
    """[layers, query, key]: whether a change of the key's input changes the query's output."""
    n = len(made.ids)
    inputs = np.random.default_rng(5).standard_normal((model.n_layers, n, HIDDEN)).astype(np.float32)

    def outputs(given: Array) -> Array:
        traced = model.trace(made.ids, given, media=made.media)
        return np.stack([traced[f"layer.{i}"] for i in range(model.n_layers)])

    before = outputs(inputs)
    seen = np.zeros((model.n_layers, n, n), bool)
    for j in range(n):
        changed = inputs.copy()
        changed[:, j] += 1
        seen[:, :, j] = (outputs(changed) != before).any(-1)
    return seen


@pytest.mark.parametrize("compute", ["f32", "bf16"])
@pytest.mark.parametrize(
    ("kind", "extra", "bidirectional"),
    [
        ("dense_e", {}, False),
        ("dense_k", {}, True),
        ("moe", {}, True),
        ("dense_k", {KEY: 0}, False),
        ("dense_e", {KEY: 1}, True),
    ],
)
def test_who_sees_whom(tiny: Tiny, kind: str, extra: dict[str, int], bidirectional: bool, compute: str) -> None:
    path, made = tiny(kind, extra=extra), prompt()
    seen = visibility(engine(path, compute), made)
    for layer, slides in enumerate(sliding(path)):
        expected = rule(made, slides, bidirectional)
        wrong = np.argwhere(seen[layer] != expected)
        if compute == "bf16":  # a change may round away; nobody may see what is hidden
            wrong = np.argwhere(seen[layer] & ~expected)
            assert (seen[layer] == expected).mean() > 0.99
        assert not len(wrong), f"layer {layer}: (query, key) {wrong[:5].tolist()}"


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_changes_itself_backwards_where_it_may(tiny: Tiny, kind: str) -> None:
    """End to end: a later token of an image reaches its earlier ones on models without per-layer embeddings."""
    model, made = engine(tiny(kind)), prompt()
    begin, rows, *_ = made.media[0]
    end = begin + len(rows)
    before = model.trace(made.ids, media=made.media)
    after = model.trace(made.ids, media=made.changed(end - 1).media)
    for layer in range(model.n_layers):
        changed = (before[f"layer.{layer}"] != after[f"layer.{layer}"]).any(-1)
        assert not changed[:begin].any()
        assert changed[begin : end - 1].all() == (kind != "dense_e")
        assert changed[begin : end - 1].any() == (kind != "dense_e")


@pytest.mark.parametrize(("compute", "rounded"), [("f32", False), ("bf16", True), ("f16", False)])
@pytest.mark.parametrize("kind", KINDS)
def test_soft_tokens_stand_where_embeddings_would(tiny: Tiny, kind: str, compute: str, rounded: bool) -> None:
    """Unscaled, rounded as the residual stream is; text keeps its embeddings."""
    model, made = engine(tiny(kind), compute), prompt()
    embedding = model.trace(made.ids, media=made.media)["embedding"]
    text = model.trace(made.ids)["embedding"]
    for begin, rows, *_ in made.media:
        expected = rows
        if rounded:
            bits = rows.view(np.uint32)
            expected = ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
        assert np.array_equal(embedding[begin : begin + len(rows)], expected)
        text[begin : begin + len(rows)] = embedding[begin : begin + len(rows)]
    assert np.array_equal(embedding, text)


def logits(path: Path, made: MediaPrompt, compute: str = "f32", **options: Any) -> Array:
    return engine(path, compute, **options).logits(made.ids, range(len(made.ids)), media=made.media)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_under_media_are_ignored(tiny: Tiny, kind: str) -> None:
    path, made = tiny(kind), prompt()
    other = MediaPrompt(HIDDEN, [i + 1 if i == PLACEHOLDER else i for i in made.ids], made.media)
    outside = MediaPrompt(HIDDEN, [-5 if i == PLACEHOLDER else i for i in made.ids], made.media)
    assert np.array_equal(logits(path, made), logits(path, other))
    assert np.array_equal(logits(path, made), logits(path, outside))


def test_soft_tokens_take_the_pads_row_of_the_per_layer_embeddings(tiny: Tiny) -> None:
    made = prompt()
    shape = (len(vocabulary("dense_e").tokens), 6 * 32)
    table = np.random.default_rng(3).standard_normal(shape).astype(np.float32)

    def file(id: int | None) -> Array:  # that differ in one row alone
        changed = table.copy()
        if id is not None:
            changed[id] += 1
        return logits(tiny("dense_e", edit={"per_layer_token_embd.weight": changed}), made)

    base = file(None)
    assert np.array_equal(base, file(PLACEHOLDER))
    first = made.media[0][0]
    assert np.array_equal(base[:first], file(0)[:first])
    assert (base[first:] != file(0)[first:]).any(-1).all()


def test_soft_tokens_enter_the_projection_of_per_layer_embeddings(tiny: Tiny) -> None:
    """With each layer's input given, a soft token reaches its own outputs through that projection alone."""
    model, made = engine(tiny("dense_e")), prompt()
    n = len(made.ids)
    inputs = np.random.default_rng(5).standard_normal((model.n_layers, n, HIDDEN)).astype(np.float32)
    position = made.media[1][0] + 2
    before = model.trace(made.ids, inputs, media=made.media)
    after = model.trace(made.ids, inputs, media=made.changed(position).media)
    for layer in range(model.n_layers):
        changed = (before[f"layer.{layer}"] != after[f"layer.{layer}"]).any(-1)
        assert np.flatnonzero(changed).tolist() == [position]
