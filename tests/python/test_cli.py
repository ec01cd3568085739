"""The command line: in this process for speed, in its own where signals, pipes or the exit code matter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import g4cpp
from g4cpp.cli import main

Tiny = Callable[..., Path]
Capture = pytest.CaptureFixture[str]


def g4(*arguments: str | Path, stdin: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "g4cpp", *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=120, check=False, **options
    )


def test_generate(tiny: Tiny, capsys: Capture) -> None:
    path = tiny("dense_e")
    arguments = ["generate", "-m", str(path), "-n", "8", "--temperature", "0", "hello world"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    with g4cpp.Model(path) as model:
        assert text == model.generate("hello world", max_tokens=8, temperature=0).text + "\n"
    assert main([*arguments, "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["text"] + "\n" == text
    assert out["finish_reason"] == "length"
    assert len(out["tokens"]) == out["usage"]["completion_tokens"] == 8


def test_generate_applies_the_template_unless_raw(tiny: Tiny, capsys: Capture, template: str) -> None:
    arguments = [
        "generate",
        "-m",
        str(tiny("dense_k", template=template)),
        "-n",
        "2",
        "--json",
        "--seed",
        "1",
        "hello",
    ]
    prompts = []
    for more in ([], ["--raw"]):
        assert main([*arguments, *more]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        prompts.append(json.loads(captured.out)["usage"]["prompt_tokens"])
    assert prompts[0] > prompts[1] + 5


def test_generate_reads_stdin_and_stops(tiny: Tiny) -> None:
    path = tiny("dense_e")
    given = g4("generate", "-m", path, "-n", "6", "--temperature", "0", "hello")
    piped = g4("generate", "-m", path, "-n", "6", "--temperature", "0", stdin="hello")
    assert (piped.returncode, piped.stderr) == (0, "")
    assert piped.stdout == given.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "-m", "absent.gguf", "x"], "absent.gguf: no such file"),
        (["info", "."], "folder"),
        (["generate", "-m", "TINY", "-n", "-3", "x"], "max_tokens"),
        (["generate", "-m", "TINY", "-n", "many", "x"], "-n"),
        (["generate", "-m", "TINY", "-c", "none", "x"], "--n-ctx"),
        (["generate", "-m", "TINY", "-c", "4", "hello world hello world"], "context of 4"),
        (["generate", "-m", "TINY", "--device", "abacus", "x"], "abacus"),
        (["generate", "-m", "TINY", "--no-such"], "--no-such"),
        (["generate", "-m", "NOVOCAB", "x"], "vocabulary"),
        (["chat", "-m", "TINY"], "template"),
        (["chat", "-m", "TINY", "--template", "absent.jinja"], "absent.jinja"),
        (["bench", "-m", "TINY", "--prefill", "0", "--decode", "0"], "bench"),
        (["bench", "-m", "TINY", "--repeat", "0"], "repeat"),
        (["convert", "absent"], "absent"),
        (["fly"], "fly"),
        (["convert"], "CHECKPOINT"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tiny: Tiny,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"TINY": str(tiny("dense_e")), "NOVOCAB": str(tiny("dense_e", with_vocabulary=False))}
    assert main([files.get(argument, argument) for argument in arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("g4cpp: error: ")
    assert err.count("\n") == 1
    assert message.lower() in err.lower()


def test_debug_shows_the_traceback() -> None:
    out = g4("generate", "--debug", "-m", "absent.gguf", "x")
    assert out.returncode != 0
    assert "Traceback" in out.stderr
    assert "MissingFileError" in out.stderr
    quiet = g4("generate", "-m", "absent.gguf", "x")
    assert (quiet.returncode, quiet.stderr) == (2, "g4cpp: error: [file] absent.gguf: no such file\n")


def test_help_and_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"g4cpp {g4cpp.__version__}\n"
    for command in ("generate", "chat", "convert", "info", "devices", "bench"):
        assert main([command, "--help"]) == 0
        assert "--debug" in capsys.readouterr().out
    assert main([]) == 2
    assert "generate" in "".join(capsys.readouterr())


def test_info(tiny: Tiny, capsys: Capture) -> None:
    assert main(["info", str(tiny("moe", fmt="BF16", template="{# a #}"))]) == 0
    out = capsys.readouterr().out
    for text in (
        "gemma4.block_count",
        "blk.5.ffn_down_exps.weight",
        "8 x 64 x 32",
        "BF16",
        "kv cache",
        "[419 elements]",
    ):
        assert text in out
    assert main(["info", "--json", "-c", "100", str(tiny("moe"))]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["memory_plan"]["n_ctx"] == 100
    assert facts["metadata"]["gemma4.expert_count"] == 8
    assert facts["metadata"]["tokenizer.ggml.tokens"] == {"elements": 419}
    assert {"name": "output_norm.weight", "format": "F32", "shape": [64], "bytes": 256} in facts["tensors"]


def test_info_of_a_vocabulary(tiny: Tiny, capsys: Capture) -> None:
    assert main(["info", str(tiny("dense_e", with_tensors=False))]) == 0
    out = capsys.readouterr().out
    assert "tokenizer.ggml.model" in out
    assert "memory plan: none" in out


def test_devices(capsys: Capture) -> None:
    assert main(["devices"]) == 0
    assert "cpu" in capsys.readouterr().out
    assert main(["devices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert any(device["name"] == "cpu" and device["available"] for device in found)


def test_chat_from_a_pipe(tiny: Tiny, template: str) -> None:
    path = tiny("dense_k", template=template)
    lines = "hello\n/help\n/nothing\n\n/reset\nworld\n/exit\nnever read\n"
    out = g4("chat", "-m", path, "-n", "5", "--temperature", "0", stdin=lines)
    assert out.returncode == 0
    with g4cpp.Model(path) as model:
        answers = [
            model.chat([{"role": "user", "content": text}], max_tokens=5, temperature=0).message.content
            for text in ("hello", "world")
        ]
    assert out.stdout == "".join(answer + "\n" for answer in answers)
    assert "no command /nothing" in out.stderr
    assert "Ctrl-C" in out.stderr
    assert "a new conversation" in out.stderr


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-u", "-m", "g4cpp", *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_ctrl_c_ends_generate_quietly(tiny: Tiny) -> None:
    process = start("generate", "-m", tiny("dense_e", n_ctx=100_000), "--temperature", "0", "hello")
    assert process.stdout is not None
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert (process.returncode, err) == (130, b"")


def test_ctrl_c_stops_the_answer_and_not_the_chat(tiny: Tiny, template: str) -> None:
    process = start("chat", "-m", tiny("dense_k", n_ctx=100_000, template=template), "--temperature", "0")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"hello\n")
    process.stdin.flush()
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    _, err = process.communicate(b"/help\n/exit\n", timeout=30)
    assert process.returncode == 0
    assert b"stopped" in err
    assert b"/reset" in err
    assert b"Traceback" not in err


def test_reader_that_goes_away(tiny: Tiny) -> None:
    process = start("generate", "-m", tiny("dense_e", n_ctx=100_000), "--temperature", "0", "hello")
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.wait(timeout=30) != 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_import_is_fast_and_light() -> None:
    code = (
        "import sys, time; began = time.perf_counter(); import g4cpp; seconds = time.perf_counter() - began;"
        "print(seconds, *[name for name in ('numpy', 'jinja2', 'typer', 'g4cpp._core')"
        " if name in sys.modules])"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(3)
    ]
    assert all(len(run) == 1 for run in runs), runs
    assert min(float(run[0]) for run in runs) < 0.2


def test_output_where_the_terminal_is_not_utf8(tiny: Tiny) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    out = g4("generate", "-m", tiny("dense_e"), "-n", "30", "--seed", "1", "é", env=environment)
    assert out.returncode == 0, out.stderr
