"""What of a prompt with media the cache reuses for the next one.

As in test_invariants.py, equal means bit for bit: whatever is reused, the logits are those of a fresh engine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_prompts import PLACEHOLDER, MediaPrompt, engine, equal, fresh_row, prefill
from tiny_gguf import HIDDEN


def reuse(path: Path, before: MediaPrompt, after: MediaPrompt) -> int:
    """How many tokens of `after` are taken from `before`; the result must be that of a fresh cache."""
    model = engine(path, micro_batch=256)
    prefill(model, before)
    computed = prefill(model, after)
    assert equal(model.last_logits(), fresh_row(path, after, micro_batch=256))
    return len(after.ids) - computed


def start() -> MediaPrompt:
    return MediaPrompt(HIDDEN).text(10).image(30, 1)


def test_the_same_image_is_reused(media_path: Path) -> None:
    assert reuse(media_path, start().text(5), start().text(5, seed=1)) == 40
    assert reuse(media_path, start().text(5), start().text(9)) == 45
    assert reuse(media_path, start().text(2).audio(20, 7).text(3), start().text(2).audio(20, 7).text(3, seed=1)) == 62


def test_another_image_is_not(media_path: Path) -> None:
    other = MediaPrompt(HIDDEN).text(10).image(30, 2).text(5)
    assert reuse(media_path, start().text(5), other) == 10
    text = MediaPrompt(HIDDEN).text(10)
    text.ids += [PLACEHOLDER] * 30
    assert reuse(media_path, start().text(5), text) == 10  # the same ids without media
    assert reuse(media_path, text, start().text(5)) == 10


def test_an_image_is_never_resumed_in_the_middle(path_k: Path, path_e: Path) -> None:
    """The last token is always computed; where it is an image's, so is the image."""
    assert reuse(path_k, start().text(5), start()) == 10
    assert reuse(path_e, start().text(5), start()) == 39
    assert reuse(path_k, start(), start()) == 10


def test_images_that_touch_are_one(path_k: Path, path_e: Path) -> None:
    """What the first one's tokens have seen depends on the second."""
    alone, both = start().text(20), start().image(8, 2).text(12)
    assert reuse(path_k, alone, both) == reuse(path_k, both, alone) == 10
    assert reuse(path_e, alone, both) == reuse(path_e, both, alone) == 40
    third = start().image(8, 3).text(12)
    assert reuse(path_k, both, third) == 10
    assert reuse(path_k, both, start().image(8, 2).text(12, seed=1)) == 48
    apart = start().text(1).image(8, 2).text(11)
    assert reuse(path_k, start().text(1).image(8, 3).text(11), apart) == 41


def test_a_block_is_not_its_causal_twin(path_k: Path) -> None:
    causal = MediaPrompt(HIDDEN).text(10).image(30, 1, block=False).text(5)
    assert reuse(path_k, start().text(5), causal) == 10


def test_a_snapshot_returns_into_a_prompt_with_media(media_path: Path) -> None:
    model = engine(media_path)
    made = start().text(4)
    prefill(model, made)
    model.snapshot()
    for token in range(30, 150):
        model.decode(token)
    again = start().text(4).text(6, seed=3)
    assert prefill(model, again) == 6
    assert equal(model.last_logits(), fresh_row(media_path, again))
    # Cut in the image, the way back is as far as the rings allow: to the beginning, or not at all.
    for token in range(30, 150):
        model.decode(token)
    prefill(model, start())
    assert equal(model.last_logits(), fresh_row(media_path, start()))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_cache_holds(media_path: Path, seed: int) -> None:
    """A few prompts out of the same pieces, after each other on one engine."""
    random = np.random.default_rng(seed)
    model = engine(media_path, micro_batch=int(random.integers(1, 40)), max_media_span=150)
    for _ in range(6):
        made = MediaPrompt(HIDDEN).text(int(random.integers(1, 12)))
        for _ in range(int(random.integers(1, 5))):
            kind = random.integers(3)
            if kind == 0:
                made.text(int(random.integers(1, 20)), seed=int(random.integers(2)))
            else:
                made.image(20 + 11 * int(random.integers(2)), int(random.integers(2)), block=kind == 1)
        prefill(model, made)
        assert equal(model.last_logits(), fresh_row(media_path, made, micro_batch=256, max_media_span=150))
        if random.integers(2):
            model.snapshot()
        for token in random.integers(24, 300, int(random.integers(1, 30))).tolist():
            model.decode(token)


class StopError(Exception):
    pass


def test_an_interrupted_prompt_is_continued(media_path: Path, path_e: Path) -> None:
    """The poll runs every 50 ms: with small micro-batches a long prompt is stopped a few times."""
    made = MediaPrompt(HIDDEN)
    for content in range(12):
        made.text(8, seed=content).image(29, content)
    made.text(3)
    model, stops = engine(media_path, micro_batch=1), 0

    def poll() -> None:
        raise StopError

    while stops < 100:
        try:
            model.prefill(made.ids, poll, made.media)
            break
        except StopError:
            stops += 1
            done = len(model.tokens)
            assert model.tokens == made.ids[:done]
            if media_path != path_e:
                assert all(done <= begin or done >= end for begin, end in made.blocks())
    assert equal(model.last_logits(), fresh_row(media_path, made))
