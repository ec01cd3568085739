"""Models that see and hear: a tiny text model, with the towers' place taken by a function of what they are given."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_media import FakeEncoder, picture, png, wav, write_projector

import g4cpp._core
from g4cpp import Audio, Conversation, Image, Model, Video
from g4cpp.cli import main
from g4cpp.errors import ArgumentError, ContextOverflowError, G4Error, GGUFError, ModelError, TemplateError

Tiny = Callable[..., Path]


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeEncoder]]:
    monkeypatch.setattr(g4cpp._core, "MediaEncoder", FakeEncoder, raising=False)
    FakeEncoder.calls, FakeEncoder.during = [], None
    yield FakeEncoder
    FakeEncoder.during = None


@pytest.fixture(scope="module")
def projector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_projector(tmp_path_factory.mktemp("projector") / "mmproj.gguf")


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


def small(seed: int = 0) -> Image:
    return Image(png(seed), tokens=70)


def asked(*parts: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


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
    many = [small(seed) for seed in range(60)]
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


# --- which projector ---


@pytest.fixture
def folder(tiny: Tiny, tmp_path: Path) -> Path:
    """A folder with a model of its own."""
    path = tmp_path / "gemma-4-tiny-it-Q4_K_M.gguf"
    path.symlink_to(tiny("dense_k", media=True))
    return path


def seen(path: Path, **options: Any) -> Any:
    with Model(path, n_threads=1, **options) as model:
        return model.info.projector


def test_a_projector_beside_the_model_is_found(folder: Path) -> None:
    assert seen(folder) is None
    beside = write_projector(folder.parent / "mmproj-BF16.gguf")
    found = seen(folder)
    assert (found.path, found.vision, found.audio, found.hidden_size) == (str(beside), "gemma4v", "gemma4a", 64)
    assert seen(folder, mmproj=False) is None
    assert not FakeEncoder.calls  # nothing is loaded before the first medium


def test_projectors_that_do_not_fit_are_passed_over(folder: Path) -> None:
    write_projector(folder.parent / "mmproj-other.gguf", hidden=128)
    (folder.parent / "mmproj-broken.gguf").write_bytes(b"GGUF")
    with Model(folder, n_threads=1) as model:
        assert model.info.projector is None
        with pytest.raises(ArgumentError, match=r"no projector .* lies beside.*128 found.*mmproj=FILE"):
            model.prompt([small()])
    write_projector(folder.parent / "a-mmproj.gguf")
    assert seen(folder).path.endswith("a-mmproj.gguf")


def test_of_several_projectors_the_one_named_like_the_model(folder: Path) -> None:
    for name in ("mmproj-gemma-4-tiny-it-F16.gguf", "mmproj-gemma-4-huge-it-F16.gguf"):
        write_projector(folder.parent / name)
    assert seen(folder).path.endswith("mmproj-gemma-4-tiny-it-F16.gguf")
    write_projector(folder.parent / "mmproj-gemma-4-tiny-it-F32.gguf")
    with Model(folder, n_threads=1) as model:
        assert model.info.projector is None
        with pytest.raises(ArgumentError, match=r"3 projectors beside .*tiny-it-F16.gguf.*tiny-it-F32.gguf"):
            model.prompt([small()])
    assert seen(folder, mmproj=folder.parent / "mmproj-gemma-4-huge-it-F16.gguf").path.endswith("huge-it-F16.gguf")


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        ({"hidden": 65}, ModelError, "64 values expected.*65 found"),
        ({"vision": "pixtral"}, ModelError, "gemma4v or gemma4uv expected, 'pixtral' found"),
        ({"audio": "whisper"}, ModelError, "'whisper' found"),
        ({"vision": None, "audio": None}, ModelError, "neither found"),
        ({"arch": "gemma4"}, ModelError, "architecture 'clip'.*a text model"),
    ],
)
def test_projectors_that_are_none(
    made: dict[str, Any], error: type[Exception], message: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        Model(folder, mmproj=write_projector(tmp_path / "x.gguf", **made))


def test_paths_that_are_no_projector(folder: Path, projector: Path, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Model(folder, mmproj="absent.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    with pytest.raises(GGUFError):
        Model(folder, mmproj=tmp_path / "broken.gguf")
    with pytest.raises(ModelError, match=r"a text model expected, a projector found.*mmproj="):
        Model(projector)
    with pytest.raises(ModelError, match="a text model"):
        Model(folder, mmproj=folder)
    with pytest.raises(ModelError, match="is gemma3"):
        Model(tiny("gemma3"), mmproj=projector)
    with pytest.raises(ArgumentError):
        Model(folder, mmproj=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "given", "message"),
    [
        ({"audio": None}, Audio(wav(0.2)), "audio: a projector that hears expected"),
        ({"vision": None}, small(), "image: a projector that sees expected"),
        ({"vision": None}, Video("a.mp4"), "video: a projector that sees expected"),
        (None, small(), "mmproj=False"),
    ],
)
def test_senses_that_a_model_lacks(made: Any, given: Any, message: str, folder: Path, tmp_path: Path) -> None:
    mmproj = False if made is None else write_projector(tmp_path / "x.gguf", **made)
    with Model(folder, n_threads=1, mmproj=mmproj) as model, pytest.raises(ArgumentError, match=message):
        model.prompt([given, "hello"])


def test_a_closed_model_sees_nothing(tiny: Tiny, projector: Path) -> None:
    with Model(tiny("dense_k", media=True), mmproj=projector) as model:
        pass
    for call in (lambda: model.embed_image(png()), lambda: model.prompt([small()])):
        with pytest.raises(G4Error, match="closed"):
            call()


def test_a_template_without_pictures(tiny: Tiny, projector: Path) -> None:
    plain = "{{ messages[0].content[1].text }}"
    with (
        Model(tiny("dense_k", media=True), mmproj=projector) as model,
        pytest.raises(TemplateError, match=r"image expected.*none written"),
    ):
        model.chat(asked(small(), "hello"), template=plain)


# --- the command line ---


@pytest.fixture
def shell(tiny: Tiny, template: str, tmp_path: Path, projector: Path) -> list[str]:
    (tmp_path / "a.png").write_bytes(png(0))
    (tmp_path / "b.png").write_bytes(png(1))
    (tmp_path / "c.wav").write_bytes(wav(0.5))
    path = tiny("dense_k", media=True, template=template, n_ctx=2048)
    return ["-m", str(path), "--mmproj", str(projector), "--compute", "f32", "-n", "4", "--temperature", "0"]


def test_generate_command(shell: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    media = ["--audio", "c.wav", "--image", "a.png", "--image", "b.png", "--image-tokens", "70"]
    arguments = ["generate", *shell, *(str(tmp_path / part) if "." in part else part for part in media)]
    assert main([*arguments, "--json", "what?"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    found = json.loads(captured.out)
    with Model(shell[1], compute="f32", mmproj=shell[3]) as model:
        parts = [small(0), small(1), Audio(wav(0.5)), "what?"]
        out = model.generate(parts, template=True, max_tokens=4, temperature=0)
        raw = model.prompt(parts)
    assert found["tokens"] == out.tokens
    assert found["usage"]["media_tokens"] == out.usage.media_tokens > 0
    assert main([*arguments, "--raw", "--json", "what?"]) == 0
    assert json.loads(capsys.readouterr().out)["usage"]["prompt_tokens"] == len(raw.ids)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "absent.png"], "absent.png: no such file"),
        (["--image", "https://example.com/a.png"], "nothing is fetched"),
        (["--image", "TMP/a.png", "--image-tokens", "5"], "5"),
        (["--image", "TMP/c.wav"], "image"),
        (["--image", "TMP/a.png", "--mmproj", "none"], "mmproj=False"),
        (["--mmproj", "TMP/a.png"], "GGUF"),
    ],
)
def test_generate_command_errors(
    arguments: list[str], message: str, shell: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.replace("TMP", str(tmp_path)) for argument in arguments]
    assert main(["generate", *shell, *given, "what?"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_chat_command(
    shell: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"/image {tmp_path}/a.png", "/image absent.png", "/audio", "what?", "and now?"]
    lines += [f"/audio {tmp_path}/c.wav", "and this?"]
    given = iter(lines)

    def read(_: str) -> str:
        line = next(given, None)
        if line is None:
            raise EOFError
        return line

    asked_for: list[Any] = []
    ask = Conversation.ask

    def recorded(self: Conversation, content: Any, **options: Any) -> Any:
        asked_for.append(content)
        return ask(self, content, **options)

    monkeypatch.setattr("builtins.input", read)
    monkeypatch.setattr(Conversation, "ask", recorded)
    assert main(["chat", *shell, "--image", str(tmp_path / "b.png"), "--image-tokens", "70"]) == 0
    errors = capsys.readouterr().err
    assert "tokens, with the next message" in errors
    assert "absent.png: no such file" in errors
    shown = [[vars(part) if isinstance(part, (Image, Audio)) else part for part in content] for content in asked_for]
    pictures = [vars(Image(str(tmp_path / name), tokens=70)) for name in ("b.png", "a.png")]
    assert shown == [[*pictures, "what?"], list("and now?"), [vars(Audio(str(tmp_path / "c.wav"))), "and this?"]]


def test_info_command(shell: list[str], projector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", shell[1], "--mmproj", str(projector), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["projector"]["audio"] == "gemma4a"
    assert found["memory_plan"]["soft_tokens"] > 0
    assert main(["info", shell[1], "--no-tensors"]) == 0
    assert "projector: none: no projector" in capsys.readouterr().out
    assert main(["info", str(projector)]) == 0
    assert "sees (gemma4v), hears (gemma4a)" in capsys.readouterr().out
