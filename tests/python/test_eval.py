"""The coherence suite on the demo model, and its parts on made-up input with known answers."""

from __future__ import annotations

import json
import math
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eval_mutants import run_mutant

from g4cpp import _core
from g4cpp.cli import main
from g4cpp.demo import demo_model
from g4cpp.errors import ArgumentError
from g4cpp.eval import Cell, Setting, coherence, compare, perplexity, read_journal
from g4cpp.eval.blame import compare_layers
from g4cpp.eval.cells import JOURNAL, Blame, Journal
from g4cpp.eval.context_loss import curve
from g4cpp.eval.distances import kl_divergence, landmarks
from g4cpp.eval.haystack import Haystack, paragraphs
from g4cpp.eval.loops import period_at_end, signs
from g4cpp.eval.perplexity import windows
from g4cpp.eval.plan import parse_lengths
from g4cpp.eval.reference import open_reference
from g4cpp.eval.report import render
from g4cpp.eval.settings import Engines
from g4cpp.eval.subjects import EngineSubject
from g4cpp.eval.tasks import TASKS, Question, is_right

Tiny = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
PROSE = " ".join(paragraphs()[:12])
SMALL: dict[str, Any] = {"lengths": (512,), "depths": 2, "exact_length": 512, "n_threads": 1}


@pytest.fixture(scope="module")
def demo() -> Path:
    return demo_model()


# --- detectors --------------------------------------------------------------------------------------------------------


def test_prose_is_no_loop() -> None:
    words = PROSE.split()
    found = signs([hash(word) for word in words], PROSE)
    assert not found.looping, found


@pytest.mark.parametrize("period", [1, 2, 7, 40])
def test_a_circle_is_found(period: int) -> None:
    draw = random.Random(period)
    start = [draw.randrange(10_000) for _ in range(300)]
    circle = [draw.randrange(10_000, 20_000) for _ in range(period)]
    ids = start + circle * math.ceil(150 / period)
    assert period_at_end(ids) == period
    assert signs(ids, PROSE).looping
    assert period_at_end([*ids, 1, 2, 3]) == 0  # it has got out of it
    assert period_at_end(start) == 0


def test_repetition_without_a_period_is_found() -> None:
    draw = random.Random(1)
    phrases = [[draw.randrange(10_000) for _ in range(12)] for _ in range(5)]
    ids = [token for _ in range(60) for token in draw.choice(phrases)]
    assert signs(ids, PROSE).looping
    assert signs(list(range(400)), "and again the same, " * 60).looping


def test_a_rise_of_the_loss_is_found() -> None:
    noise = np.random.default_rng(1)
    base = noise.gamma(2.0, 1.5, 512)
    falling = {2**k: base - 0.02 * k + noise.normal(0, 0.3, 512) for k in range(7, 13)}
    assert not any(point.rises for point in curve(falling))
    falling[2048] = falling[2048] + 0.3
    assert [point.context for point in curve(falling) if point.rises] == [2048]
    falling[4096] = np.full(512, np.nan)
    assert [point.context for point in curve(falling) if point.rises] == [2048, 4096]


def test_layers_that_part_are_named(demo: Path) -> None:
    engines = Engines(demo, 64)
    wanted = np.random.default_rng(1).standard_normal((13, 50, 8)).astype(np.float32)
    rounded = wanted * (1 + 1e-3 * np.random.default_rng(2).standard_normal(wanted.shape)).astype(np.float32)
    assert compare_layers(rounded, wanted, engines, exact=False).layers == []
    assert compare_layers(rounded, wanted, engines, exact=True).layers == [-1]
    for kind, layers in (("global", [2, 5, 8, 11]), ("sliding", [0, 1, 3, 4, 6, 7, 9, 10])):  # fewer and most of them
        wrong = rounded.copy()
        for layer in layers:
            wrong[layer + 1, 30:] *= 1.1
        found = compare_layers(wrong, wanted, engines, exact=False)
        assert found.layers == layers
        assert f"layer {layers[0]} ({kind}) at position 30" in found.text
        assert f"every {kind} layer" in found.text


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("The secret number of the old fox is 12345.", True),
        ("It is **12,345**.", True),
        ("It is 123456.", False),
        ("I do not know.", False),
    ],
)
def test_needles_are_judged(answer: str, right: bool) -> None:
    assert is_right(answer, Question("", "", ("12345",), 0.0)) == right


def test_order_is_judged() -> None:
    asked = Question("", "", ("red fox", "old owl", "dry sea"), 1.0)
    assert is_right("1. Red Fox\n2. old owl\n3. dry sea", asked)
    assert not is_right("red fox, dry sea, old owl", asked)
    assert not is_right("red fox, old owl", asked)


# --- parts ------------------------------------------------------------------------------------------------------------


def test_kl_divergence() -> None:
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.6, 0.3])
    found = kl_divergence(np.log(p)[None] + 5, np.log(q)[None] - 3)
    assert found[0] == pytest.approx(float((p * np.log(p / q)).sum()))
    assert math.isnan(kl_divergence(np.array([[1.0, np.nan]]), np.array([[1.0, 2.0]]))[0])


def test_landmarks() -> None:
    assert landmarks(1000, 200) == [64, 128, 200, 256, 512, 1000]


@pytest.mark.parametrize("kind", TASKS)
def test_task_texts_fit_and_hold_their_facts_at_their_depths(demo: Path, kind: str) -> None:
    tokenizer = Engines(demo, 64).tokenizer
    task = TASKS[kind](random.Random(3), 5, 1800)
    assert len(task.questions) == (1 if kind == "ordered_recall" else 5)
    haystack = Haystack(tokenizer)
    text = "\n".join(line for _, line in task.pieces) if task.dense else haystack.scatter(1800, task.pieces)
    assert 1500 <= len(tokenizer.encode(text)) <= 1810
    at = [text.index(line) / len(text) for _, line in task.pieces]
    assert at == sorted(at)
    if not task.dense:
        for (depth, _), found in zip(task.pieces, at, strict=True):
            assert found == pytest.approx(depth, abs=0.2)
    assert len(haystack.ids(1234, start=5)) == 1234


@pytest.mark.parametrize(("length", "window", "stride"), [(100, 30, 10), (100, 30, 30), (20, 30, 15), (31, 30, 7)])
def test_windows_score_every_token_once(length: int, window: int, stride: int) -> None:
    scored: list[int] = []
    for start, first, end in windows(length, window, stride):
        assert 0 < end - start <= window
        assert start < first < end or start == first > 0  # without overlap the BOS alone stands before
        scored += range(first, end)
    assert scored == list(range(1, length))


@pytest.mark.parametrize("stride", [16, 48])
def test_perplexity_is_that_of_the_logits(demo: Path, stride: int) -> None:
    found = perplexity(demo, PROSE[:900], window=48, stride=stride, setting=Setting("cpu", "f32"))
    file = _core.GgufFile(str(demo))
    ids = _core.Tokenizer(file).encode(PROSE[:900], add_bos=False)
    engine = _core.Engine(file, device="cpu", compute="f32", n_ctx=64)
    assert found.tokens == ids[1:]
    for place in (1, 20, 47, 48, 60, len(ids) - 1):
        start = 0 if place < 48 else next(s for s, first, end in windows(len(ids), 48, stride) if first <= place < end)
        row = engine.logits([2, *ids[start:place]], [place - start]).astype(np.float64)[0]
        expected = np.log(np.exp(row - row.max()).sum()) + row.max() - row[ids[place]]
        assert found.losses[place - 1] == pytest.approx(expected, abs=1e-4)
    assert found.perplexity == pytest.approx(math.exp(np.mean(found.losses)))


def test_compare(demo: Path, tiny: Tiny) -> None:
    same = compare(demo, demo, length=256, rows=40)
    assert (same.kl_max, same.top_1, same.nmse) == (0.0, 1.0, 0.0)
    rounded = compare(demo, demo, a_setting=Setting("cpu", "f32", "f32"), length=256, rows=40)
    assert 1e-6 < rounded.kl_mean < 0.02
    assert rounded.a.perplexity == pytest.approx(rounded.b.perplexity, rel=0.05)
    with pytest.raises(ArgumentError, match="vocabulary"):
        compare(demo, tiny("dense_e"))


def test_lengths_as_text() -> None:
    assert parse_lengths("16k, 4k,500") == (500, 4096, 16384)
    with pytest.raises(ArgumentError, match="--lengths"):
        parse_lengths("4q")


# --- runs -------------------------------------------------------------------------------------------------------------


def test_the_demo_model_passes(demo: Path, tmp_path: Path, capsys: Capture) -> None:
    """As the command runs it, with everything but other devices; then the report of it."""
    arguments = ["--lengths", "512,2k", "--device", "cpu", "--depths", "2", "--exact-length", "512", "-t", "1"]
    assert main(["eval", "coherence", "-m", str(demo), *arguments, "-o", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "report.json").read_text())
    assert printed["cells"] == written["cells"]
    cells = [Cell.of(cell) for cell in printed["cells"]]
    groups = {cell.group for cell in cells}
    assert groups >= {*TASKS, "consistency", "kl_float32", "kv_format", "turns", "stop", "context_loss", "generation"}
    assert all(cell.passed for cell in cells)
    page = (tmp_path / "report.html").read_text()
    assert "cells pass" in page
    assert page.count("<svg") == 2
    for outside in ("http:", "https:", "<script", "<link", "src=", "url("):
        assert outside not in page


def test_the_report_tells_what_fails_and_escapes_texts() -> None:
    blame = Blame("engine", "float32 mode passes <here>", [2])
    cells = [
        Cell("needle", "depth 0%", "cpu", 4096, 0.0, False, depth=0.0, detail='<b> & "', blame=blame),
        Cell("needle", "depth 0%", "cpu", 8192, 1.0, True, depth=0.0),
        Cell("kl_float32", "position 64", "cpu", 64, math.nan, False),
    ]
    page = render({"model": "<m>", "architecture": "gemma4", "window": 1, "text": "t"}, cells)
    assert "2 of 3 cells fail" in page
    assert "float32 mode passes &lt;here&gt;" in page
    assert "<b>" not in page
    assert "<m>" not in page


def test_a_killed_run_goes_on(demo: Path, tmp_path: Path) -> None:
    """Killed for real in the middle; what was done stays, the rest is done once, and the cells are the same."""
    out = tmp_path / "out"
    options = ["--lengths", "512,1k", "--depths", "2", "--parts", "retrieval,generation", "-t", "1"]
    command = [sys.executable, "-m", "g4cpp", "eval", "coherence", "-m", str(demo), "-o", str(out), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not (out / JOURNAL).exists() or _lines(out) < 4):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = _lines(out) - 1
    assert 3 <= done < 10, "killed neither before nor after"
    before = (out / JOURNAL).read_bytes()
    (out / JOURNAL).write_bytes(before[: before.rindex(b"\n") + 1] + b'{"unit": "cut in the mi')
    seen: list[str] = []
    sizes: dict[str, Any] = {"lengths": (512, 1024), "depths": 2, "parts": ("retrieval", "generation"), "n_threads": 1}
    resumed = coherence(demo, out=out, watch=lambda name, *_: seen.append(name), **sizes)
    assert len([name for name in seen if name]) == 10 - done
    assert resumed.cells == coherence(demo, **sizes).cells
    assert read_journal(out)[1] == resumed.cells
    with pytest.raises(ArgumentError, match="the same run expected"):
        coherence(demo, out=out, seed=2, **sizes)


def _lines(folder: Path) -> int:
    return (folder / JOURNAL).read_bytes().count(b"\n")


def test_the_journal_keeps_what_is_not_a_number(tmp_path: Path) -> None:
    cell = Cell("g", "n", "s", 1, math.inf, False, blame=Blame("engine", "because", [1, 2]))
    Journal(tmp_path, {"a": 1}).add("unit", [cell])
    found = Journal(tmp_path, {"a": 1}).cells_of("unit")
    assert found is not None
    assert math.isnan(found[0].value)
    assert found[0].blame == cell.blame


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parts", "red", "verdict", "told"),
    [
        ("window halved", "divergence", "kl_reference", "engine", "every sliding layer"),
        ("window off by one", "divergence", "kl_reference", "engine", "every sliding layer"),
        ("rope base of globals that of sliding layers", "divergence", "kl_reference", "engine", "every global layer"),
        ("wrong producer of shared keys", "divergence", "kl_reference", "engine", "layer 8 (global)"),
        ("final softcap left out", "divergence", "kl_reference", "engine", "every layer agrees"),
        ("rope of the wrong layer type in bf16 mode", "divergence", "kl_float32", "engine", "every sliding layer"),
        ("rope of the wrong layer type in bf16 mode", "retrieval", "needle", "engine", "this setting"),
        ("ring off by one in small chunks", "consistency", "consistency", "engine", "in pieces of"),
        ("ring off by one in decode", "consistency", "consistency", "engine", "decoded across"),
        ("stale prefix snapshot", "turns", "turns", "engine", "reuses its prefix"),
    ],
)
def test_a_fault_turns_cells_red(
    demo: Path, tmp_path: Path, name: str, parts: str, red: str, verdict: str, told: str
) -> None:
    result = run_mutant(name, demo, None, tmp_path, parts=(parts,), **SMALL)
    failed = [cell for cell in result.failed if cell.group == red]
    assert failed
    assert all(cell.blame and cell.blame.verdict == verdict for cell in failed)
    assert any(told in cell.blame.because for cell in failed if cell.blame), failed


def test_a_bad_model_is_not_the_engines_fault(demo: Path, tmp_path: Path) -> None:
    """The same faults without a reference: float32 mode fails as well."""
    from eval_mutants import FILES, mutated

    path = mutated(demo, FILES["rope base of sliding layers that of globals"], tmp_path, "bad")
    failed = coherence(path, parts=("retrieval",), **SMALL).failed
    needles = [cell for cell in failed if cell.group == "needle"]
    assert needles
    assert all(cell.blame and cell.blame.verdict == "model" for cell in needles)


def test_every_device_is_compared(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the same one under two names, as most machines have one."""
    monkeypatch.setattr("g4cpp.eval.plan.devices", lambda: ["cpu", "auto"])
    result = coherence(demo, devices=("cpu",), parts=("devices",), **SMALL)
    assert [cell.name for cell in result.cells] == ["cpu", "auto", "cpu float32", "auto float32"]
    assert all(cell.passed for cell in result.cells)
    assert result.cells[2].value == 0.0


@pytest.mark.parity
def test_transformers_as_the_reference(demo: Path, tmp_path: Path) -> None:
    """It passes the engine, shows the fault of every mode, and goes on as the engine does."""
    pytest.importorskip("transformers")
    from demo_checkpoint import write_checkpoint
    from eval_mutants import FILES, mutated

    folder = tmp_path / "checkpoint"
    folder.mkdir()
    write_checkpoint(demo, folder)
    clean = coherence(demo, reference=folder, parts=("divergence",), **SMALL)
    assert {cell.group for cell in clean.cells} == {"kl_float32", "kl_reference"}
    assert not clean.failed
    assert max(cell.value for cell in clean.cells if cell.group == "kl_reference") < 1e-9
    bad = mutated(demo, FILES["rope base of sliding layers that of globals"], tmp_path, "bad")
    failed = coherence(bad, reference=folder, parts=("divergence",), **SMALL).failed
    blames = [cell.blame for cell in failed if cell.group == "kl_reference"]
    assert blames
    assert all(blame and blame.verdict == "engine" and "every sliding layer" in blame.because for blame in blames)
    engines = Engines(demo, 64)
    exact = Setting("cpu", "f32", "f32", n_threads=1)
    ids = engines.tokenizer.encode(PROSE)[:40]
    wanted = open_reference(folder, engines, exact).greedy(ids, 8, ())
    assert EngineSubject(engines.get(exact), "").greedy(ids, 8, ()) == wanted


# --- command line -----------------------------------------------------------------------------------------------------


def test_perplexity_command(demo: Path, tmp_path: Path, capsys: Capture) -> None:
    text, table = tmp_path / "text.txt", tmp_path / "tokens.tsv"
    text.write_text(PROSE[:1500])
    options = ["--window", "64", "--stride", "32", "--per-token", str(table), "--json"]
    assert main(["eval", "perplexity", "-m", str(demo), "-f", str(text), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    assert len(rows) == found["tokens"]
    assert math.exp(np.mean([float(row[2]) for row in rows])) == pytest.approx(found["perplexity"], rel=1e-4)
    assert found["perplexity"] < 200


def test_compare_command(demo: Path, capsys: Capture) -> None:
    assert main(["eval", "compare", str(demo), f"{demo},compute=f32", "--length", "128"]) == 0
    out = capsys.readouterr().out
    assert "top-1 agreement" in out
    assert "f32" in out
    assert main(["eval", "compare", str(demo), f"{demo},speed=high"]) == 2
    assert "speed=high" in capsys.readouterr().err


def test_the_command_fails_when_a_cell_does(demo: Path, tmp_path: Path, capsys: Capture) -> None:
    from eval_mutants import FILES, mutated

    bad = mutated(demo, FILES["window halved"], tmp_path, "bad")
    arguments = ["--lengths", "512", "--parts", "divergence", "--reference", str(demo), "--exact-length", "512"]
    assert main(["eval", "coherence", "-m", str(bad), *arguments]) == 1
    assert "every sliding layer" in capsys.readouterr().out
    assert main(["eval", "coherence", "-m", str(demo), "--lengths", "9000k"]) == 2
    assert main(["eval", "coherence", "-m", str(demo), "--parts", "nothing"]) == 2
