"""Images and sound on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_media import png, small, wav

from g4cpp import Audio, Conversation, Image, Model
from g4cpp.cli import main

Tiny = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("fake_encoder")


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
