"""Models that see and hear: a tiny text model, with the towers' place taken by a function of what they are given."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_media import FakeEncoder, asked, picture, png, small, wav

from g4cpp import Audio, Conversation, Image, Model, Video
from g4cpp.errors import ContextOverflowError

Tiny = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("fake_encoder")


@pytest.fixture(scope="module", params=["dense_e", "dense_k"])
def model(request: pytest.FixtureRequest, tiny: Tiny, template: str, projector: Path) -> Any:
    path = tiny(request.param, media=True, template=template, n_ctx=2048)
    with Model(path, compute="f32", n_threads=2, mmproj=projector) as model:
        yield model


@pytest.fixture
def fresh(model: Model) -> Model:
    model.reset()
    model._encoder.cache.clear()
    FakeEncoder.calls.clear()
    return model


def encodings() -> list[str]:
    return [call for call in FakeEncoder.calls if not call.startswith("load")]


def test_greedy_tokens_are_those_of_the_logits_with_the_same_rows(fresh: Model) -> None:
    prompt = fresh.chat_prompt(asked(small(), "What is this?", Audio(wav())))
    (begin, rows, _, block), (begin_audio, rows_audio, _, block_audio) = prompt.media
    np.testing.assert_array_equal(rows, fresh.embed_image(small()))
    np.testing.assert_array_equal(rows_audio, fresh.embed_audio(wav()))
    assert (block, block_audio) == (True, False)
    assert begin + len(rows) < begin_audio
    assert prompt.n_media_tokens == len(rows) + len(rows_audio)
    out = fresh.chat(asked(small(), "What is this?", Audio(wav())), max_tokens=6, temperature=0, ignore_eos=True)
    assert (out.usage.prompt_tokens, out.usage.media_tokens) == (len(prompt.ids), prompt.n_media_tokens)
    longer = type(prompt)(prompt.ids + out.tokens[:-1], prompt.media)
    assert out.tokens == fresh.logits(longer)[len(prompt.ids) - 1 :].argmax(axis=1).tolist()
    parts = [small(), "What is this?", Audio(wav())]
    text = fresh.generate(parts, template=True, max_tokens=6, temperature=0, ignore_eos=True)
    assert text.tokens == out.tokens


def test_another_picture_gives_other_logits(fresh: Model) -> None:
    rows = [fresh.logits([small(seed), " hello"], positions=[-1])[0] for seed in (0, 1, 0)]
    assert not np.allclose(rows[0], rows[1], atol=1e-3)
    np.testing.assert_allclose(rows[0], rows[2], atol=1e-5)


def test_a_stream_equals_the_call(fresh: Model) -> None:
    stream = fresh.chat(asked(small(), "hello"), max_tokens=8, seed=3, stream=True)
    text = "".join(piece.text for piece in stream)
    out = fresh.chat(asked(small(), "hello"), max_tokens=8, seed=3)
    assert text == (out.thinking or "") + out.message["content"]
    assert stream.result.usage.media_tokens == out.usage.media_tokens > 0


def test_two_streams_with_pictures_interleave(fresh: Model) -> None:
    prompts = [asked(small(seed), "hello") for seed in (0, 1)]
    alone = [fresh.chat(prompt, max_tokens=6, temperature=0).tokens for prompt in prompts]
    streams = [fresh.chat(prompt, max_tokens=6, temperature=0, stream=True) for prompt in prompts]
    while [piece for stream in streams if (piece := next(stream, None))]:
        pass
    assert [stream.result.tokens for stream in streams] == alone


@pytest.mark.parametrize("kind", ["path", "bytes", "data URL", "PIL", "array"])
def test_what_was_encoded_is_remembered_by_its_content(kind: str, fresh: Model, tmp_path: Path) -> None:
    import base64

    def source(seed: int) -> Any:
        path = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}.png"
        path.write_bytes(png(seed))
        url = "data:image/png;base64," + base64.b64encode(png(seed)).decode()
        made: dict[str, Callable[[], Any]] = {
            "path": lambda: path, "bytes": lambda: png(seed), "data URL": lambda: url,
            "PIL": lambda: picture(seed), "array": lambda: np.asarray(picture(seed)),
        }  # fmt: skip
        return made[kind]()

    first = fresh.embed_image(source(0), tokens=70)
    np.testing.assert_array_equal(fresh.embed_image(source(0), tokens=70), first)
    assert len(encodings()) == 1
    assert not np.array_equal(fresh.embed_image(source(1), tokens=70), first)
    assert len(encodings()) == 2
    assert len(fresh.embed_image(source(0), tokens=140)) > len(first)
    assert len(encodings()) == 3
    first[:] = 0  # the caller's own
    assert fresh.embed_image(source(0), tokens=70).any()


def test_a_file_that_changed_is_another_picture(fresh: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(0))
    first = fresh.embed_image(str(path), tokens=70)
    path.write_bytes(png(1))
    assert not np.array_equal(fresh.embed_image(str(path), tokens=70), first)


def test_the_memory_of_pictures_is_bounded(fresh: Model) -> None:
    cache = fresh._encoder.cache
    size = fresh.embed_image(small(0)).nbytes
    limit, cache.limit = cache.limit, 2 * size
    try:
        for seed in (1, 0, 2):  # 1 is the oldest in the end
            fresh.embed_image(small(seed))
        assert cache.n_bytes == 2 * size
        before = len(encodings())
        fresh.embed_image(small(0))
        assert len(encodings()) == before
        fresh.embed_image(small(1))
        assert len(encodings()) == before + 1
        cache.limit = size - 1
        cache.clear()
        fresh.embed_image(small(0))
        assert cache.n_bytes == 0
    finally:
        cache.limit = limit


def test_a_later_turn_reuses_the_picture(fresh: Model) -> None:
    talk = Conversation(fresh)
    list(talk.ask([small(), "hello"], max_tokens=4, temperature=0, ignore_eos=True))
    assert talk.last is not None
    first = talk.last.usage
    list(talk.ask("and the world?", max_tokens=4, temperature=0, ignore_eos=True))
    second = talk.last.usage
    assert first.cached_tokens == 0
    assert second.media_tokens == first.media_tokens > 0
    assert second.cached_tokens > first.media_tokens
    assert len(encodings()) == 1
    fresh.reset()
    again = fresh.chat(talk.messages[:-1], max_tokens=4, temperature=0, ignore_eos=True)
    assert again.usage.cached_tokens == 0
    assert again.tokens == talk.last.tokens


def test_another_picture_in_its_place_is_not_reused(fresh: Model) -> None:
    fresh.chat(asked("hello", small(0), "what?"), max_tokens=1)
    begin = fresh.chat_prompt(asked("hello", small(1), "what?")).media[0][0]
    out = fresh.chat(asked("hello", small(1), "what?"), max_tokens=4, temperature=0)
    assert out.usage.cached_tokens <= begin
    fresh.reset()
    assert fresh.chat(asked("hello", small(1), "what?"), max_tokens=4, temperature=0).tokens == out.tokens


def test_marks_in_a_message_are_texts(fresh: Model) -> None:
    prompt = fresh.chat_prompt(asked("<|image|>", small(), "<|audio|><|image>"))
    assert len(prompt.media) == 1
    begin, rows, _, _ = prompt.media[0]
    holder = fresh.tokenizer.find("<|image|>")
    assert [place for place, token in enumerate(prompt.ids) if token == holder] == list(
        range(begin, begin + len(rows))
    )


def test_long_sound_is_heard_in_clips(fresh: Model) -> None:
    with pytest.warns(UserWarning, match="30 s"):
        prompt = fresh.prompt([Audio(wav(65.0)), "hello"])
    assert len(prompt.media) == 3
    assert prompt.ids.count(fresh.tokenizer.find("<audio|>") or -1) == 3
    assert sum(len(rows) for _, rows, _, _ in prompt.media) == prompt.n_media_tokens


def test_a_prompt_too_long_says_how_much_of_it_are_media(fresh: Model) -> None:
    many = [Image(png(seed), tokens=1120) for seed in range(2)]
    with pytest.raises(ContextOverflowError, match=r"\d+ of them media"):
        fresh.generate([*many, "hello"], template=True)


def test_an_interrupt_while_encoding(fresh: Model) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    FakeEncoder.during = stop
    with pytest.raises(KeyboardInterrupt):
        fresh.chat(asked(small(), "hello"))
    FakeEncoder.during = None
    assert fresh.chat(asked(small(), "hello"), max_tokens=1).usage.media_tokens


def test_threads(fresh: Model) -> None:
    def run(seed: int) -> list[int]:
        return fresh.chat(asked(small(seed), "hello"), max_tokens=4, temperature=0).tokens

    expected = [run(seed) for seed in range(3)]
    fresh._encoder.cache.clear()
    found: dict[int, list[int]] = {}
    threads = [threading.Thread(target=lambda s=seed: found.update({s: run(s)})) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found[seed] for seed in range(3)] == expected


def test_a_video_is_its_frames_with_their_times(fresh: Model) -> None:
    frames = Video([picture(seed) for seed in range(3)], fps=0.5)
    prompt = fresh.prompt(["watch ", frames, "hello"])
    text = fresh.detokenize(prompt.ids, keep_special=True)
    for stamp in ("watch 00:00 <|image><|video|>", "<image|> 00:02 <|image><|video|>", "<image|> 00:04 <|image>"):
        assert stamp in text
    assert [block for *_, block in prompt.media] == [True] * 3
    assert len({key for _, _, key, _ in prompt.media}) == 3
    again = fresh.prompt(["watch ", Video([picture(seed) for seed in range(3)], fps=0.5), "hello"])
    assert [key for _, _, key, _ in again.media] == [key for _, _, key, _ in prompt.media]
    assert len(encodings()) == 3
