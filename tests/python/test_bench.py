"""`g4cpp bench`: which rows it gives, what stands in them, and how it takes turns with a peer."""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import g4cpp
from g4cpp import _core, bench_runs, benchmark, peers
from g4cpp.cli import main

Tiny = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
PEER_FIELDS = {"peer_tokens_per_second", "peer_samples", "ratio", "ratio_of_pairs"}


def bench(capsys: Capture, path: Path, options: str) -> str:
    """What it prints."""
    assert main(["bench", "-m", str(path), *options.split()]) == 0
    return capsys.readouterr().out


def bench_json(capsys: Capture, path: Path, options: str) -> Any:
    return json.loads(bench(capsys, path, f"{options} --json"))


@pytest.mark.parametrize("with_vocabulary", [True, False])
def test_figures(tiny: Tiny, capsys: Capture, with_vocabulary: bool) -> None:
    path = tiny("dense_e", with_vocabulary=with_vocabulary)
    sizes = "--prefill 32 --decode 8 --depth 16 --repeat 2 -t 1"
    report = bench_json(capsys, path, sizes)
    assert set(report) == {field.name for field in dataclasses.fields(benchmark.Report)}
    assert [(row["kind"], row["tokens"], row["depth"], row["threads"]) for row in report["results"]] == [
        ("prefill", 32, 16, 1),
        ("decode", 8, 16, 1),
    ]
    for row in report["results"]:
        assert set(row) == {field.name for field in dataclasses.fields(benchmark.Row)}
        assert len(row["samples"]) == 2
        assert min(row["samples"]) <= row["tokens_per_second"] <= max(row["samples"])
        assert row["tokens_per_second"] == pytest.approx(row["tokens"] / row["seconds"])
        assert row["gigabytes_per_second"] > 0
        assert all(row[field] is None for field in PEER_FIELDS)
    (engine,) = report["engines"]
    assert engine["threads"] == 1
    decode = report["results"][1]
    assert decode["percent_of_read_speed"] == pytest.approx(
        100 * decode["gigabytes_per_second"] / engine["read_gigabytes_per_second"]
    )
    assert report["peer"] is None
    assert report["formats"]
    assert report["versions"]["g4cpp"] == g4cpp.__version__
    out = bench(capsys, path, sizes)
    assert "tokens/s" in out
    assert "ratio" not in out


def test_lists_give_every_size_at_every_depth_with_every_number_of_threads(tiny: Tiny, capsys: Capture) -> None:
    lists = "--prefill 8,40 --decode 4,0 --depth 24,0 --threads 1,2 --repeat 1"
    report = bench_json(capsys, tiny("dense_e"), lists)
    assert [(row["threads"], row["depth"], row["kind"], row["tokens"]) for row in report["results"]] == [
        (threads, depth, kind, tokens)
        for threads in (1, 2)
        for depth in (0, 24)
        for kind, tokens in (("prefill", 8), ("prefill", 40), ("decode", 4))
    ]
    assert [engine["threads"] for engine in report["engines"]] == [1, 2]


def test_several_files_give_a_report_each_and_a_comparison(tiny: Tiny, capsys: Capture) -> None:
    paths = [tiny("dense_e", fmt="BF16"), tiny("dense_e", fmt="F32")]
    options = f"-m {paths[1]} --prefill 8 --decode 4 --repeat 1 -t 1"
    reports = bench_json(capsys, paths[0], options)
    assert [report["model"] for report in reports] == [str(path) for path in paths]
    assert ["BF16" in report["formats"] for report in reports] == [True, False]
    comparison = bench(capsys, paths[0], options).split("\ntokens/s\n")[1]
    assert f"{paths[0].stem} (BF16)" in comparison
    assert f"{paths[1].stem} (F32)" in comparison
    assert [line.split()[:2] for line in comparison.splitlines() if line[:2] in ("pr", "de")] == [
        ["prefill", "8"],
        ["decode", "4"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--prefill 8,", "--prefill"),
        ("--prefill ,", "--prefill"),
        ("--decode 4,x", "'4,x'"),
        ("--decode -4", "--decode"),
        ("--depth 1;2", "--depth"),
        ("--threads 1,none", "--threads"),
        ("--threads 1,0", "threads"),
        ("--prefill 8,99999999999999999999", "prefill"),
        ("--prefill 0,0 --decode 0", "above 0"),
        ("--vs lama.cpp", "one of llama.cpp expected, 'lama.cpp' found"),
        ("-m absent.gguf", "absent.gguf: no such file"),
    ],
)
def test_errors_come_before_any_work(tiny: Tiny, capsys: Capture, arguments: str, message: str) -> None:
    assert main(["bench", "-m", str(tiny("dense_e")), *arguments.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("g4cpp: error: ")
    assert err.count("\n") == 1
    assert message in err


def test_without_the_peers_package(tiny: Tiny, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    monkeypatch.delitem(sys.modules, "g4cpp.peers.llama_cpp", raising=False)
    assert main(["bench", "-m", str(tiny("dense_e")), "--vs", "llama.cpp"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "pip install 'g4cpp[interop]'" in err


def test_a_context_is_computed_once(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []

    class Counting(_core.Engine):
        def prefill(self, ids: Sequence[int], poll: Any = None) -> int:
            computed.append(super().prefill(ids, poll))
            return computed[-1]

    monkeypatch.setattr(_core, "Engine", Counting)
    repeat, depth = 3, 200
    benchmark.measure(tiny("dense_e"), prefill=8, decode=8, depth=[100, depth], repeat=repeat, n_threads=1)
    # Each prefill computes its prompt; each going back, to read the context's logits again, its last token.
    per_depth = (repeat + 1) * (8 + 1) + (repeat + 1)
    assert depth < sum(computed) <= depth + 2 * per_depth


class Prescribed:
    """An engine whose runs take the seconds of a list."""

    def __init__(self, name: str, log: list[Any], prefill: list[float], decode: list[float]) -> None:
        self.name, self.log = name, log
        self.seconds = {"prefill": iter(prefill), "decode": iter(decode)}

    def prefill(self, context: Sequence[int], prompt: Sequence[int]) -> float:
        self.log.append((self.name, "prefill", list(context), list(prompt)))
        return next(self.seconds["prefill"])

    def decode(self, context: Sequence[int], tokens: int) -> float:
        self.log.append((self.name, "decode", list(context), tokens))
        return next(self.seconds["decode"])

    def close(self) -> None:
        self.log.append((self.name, "close", [], 0))


def test_turns_with_a_peer(tiny: Tiny, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[Any] = []
    opened: dict[str, Any] = {}
    ours = Prescribed("ours", log, [50, 1, 2, 4], [50, 2, 2, 2])
    theirs = Prescribed("peer", log, [90, 3, 3, 20], [90, 1, 4, 3])

    def open_peer(path: str, **options: Any) -> Prescribed:
        opened.update(options, path=path)
        return theirs

    kind = peers.PeerKind("abacus", "beads 7", "as it comes", open_peer)
    monkeypatch.setitem(peers.SOURCES, "abacus", peers.Source("beads", "pip install beads", lambda: kind))
    monkeypatch.setattr(benchmark, "Runner", lambda file, engine: ours)
    report = bench_json(capsys, tiny("dense_e"), "--prefill 6 --decode 12 --depth 5 --repeat 3 -t 2 --vs abacus")
    assert [(name, what) for name, what, *_ in log] == [
        *[("ours", "prefill"), ("peer", "prefill")] * 4,
        *[("ours", "decode"), ("peer", "decode")] * 4,
        ("peer", "close"),
    ]
    runs = [entry[1:] for entry in log[:-1]]
    assert runs[0::2] == runs[1::2]  # the same tokens for both
    assert {len(context) for _, context, _ in runs} == {5}
    prompts = [tuple(prompt) for what, _, prompt in runs[0:8:2]]
    assert len(set(prompts)) == 4
    assert opened == {
        "path": str(tiny("dense_e")), "device": "cpu", "n_ctx": 19, "n_threads": 2, "longest_prompt": 6
    }  # fmt: skip
    assert report["peer"] == {"name": "abacus", "version": "beads 7", "settings": "as it comes"}
    prefill, decode = report["results"]
    assert prefill["samples"] == [6, 3, 1.5]
    assert prefill["peer_samples"] == [2, 2, pytest.approx(0.3)]
    assert (prefill["tokens_per_second"], prefill["peer_tokens_per_second"]) == (3, 2)
    assert prefill["ratio"] == pytest.approx(3 / 2)
    assert prefill["ratio_of_pairs"] == pytest.approx(statistics.median([3 / 1, 3 / 2, 20 / 4]))
    assert (decode["ratio"], decode["ratio_of_pairs"]) == (1.5, 1.5)


def test_table_with_a_peer(tiny: Tiny, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Prescribed("peer", [], [1, 1], [1, 1])
    kind = peers.PeerKind("abacus", "beads 7", "as it comes", lambda path, **_: theirs)
    monkeypatch.setitem(peers.SOURCES, "abacus", peers.Source("beads", "pip install beads", lambda: kind))
    out = bench(capsys, tiny("dense_e"), "--prefill 6 --decode 3 --repeat 1 --vs abacus")
    assert "abacus (beads 7): as it comes" in out
    head, prefill, decode = (line.split() for line in out.splitlines()[-3:])
    assert head[-4:] == ["abacus", "ratio", "of", "pairs"]
    assert float(prefill[-3]) == 6
    assert float(decode[-3]) == 3


def test_runs_of_the_engine_are_those_of_generate(tiny: Tiny) -> None:
    """A run leaves in the engine what it says it computed: the context, the prompt, then the sampled tokens."""
    file = g4cpp.files.open_gguf(tiny("dense_e"))
    engine = _core.Engine(file, n_ctx=64, n_threads=1)
    runner = bench_runs.Runner(file, engine)
    context, prompt = list(range(10, 20)), list(range(30, 36))
    assert runner.prefill(context, prompt) > 0
    assert engine.tokens == [*context, *prompt]
    assert runner.decode(context, 8) > 0
    assert engine.tokens[:10] == context
    assert len(engine.tokens) == 18
    assert runner.prefill([], prompt) > 0
    assert engine.tokens == prompt
