"""`g4cpp bench --vs llama.cpp`: both engines run the same work by turns, and the ratios are of what was measured."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from g4cpp import bench_runs
from g4cpp.cli import main
from g4cpp.errors import ModelError

if TYPE_CHECKING:
    from g4cpp.peers.llama_cpp import LlamaPeer

pytestmark = pytest.mark.interop


def test_turns_and_ratios(
    llama: type[LlamaPeer],
    tiny_file: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from g4cpp.peers.llama_cpp import LlamaRuns, version

    runs: list[tuple[str, str, int, float]] = []

    def record(side: type[Any], kind: str) -> None:
        run = getattr(side, kind)

        def recorded(self: Any, context: Sequence[int], more: Any) -> float:
            seconds: float = run(self, context, more)
            runs.append((side.__name__, kind, len(context), seconds))
            return seconds

        monkeypatch.setattr(side, kind, recorded)

    for side in (bench_runs.Runner, LlamaRuns):
        for kind in ("prefill", "decode"):
            record(side, kind)
    repeat = 3
    arguments = f"--prefill 24 --decode 6 --depth 0,40 --repeat {repeat} -t 1 --no-skip --vs llama.cpp --json"
    assert main(["bench", "-m", str(tiny_file("dense_e")), *arguments.split()]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["peer"]["name"] == "llama.cpp"
    assert report["peer"]["version"] == version()
    assert report["kv_shared_skip"] is False
    tests = [("prefill", 0), ("decode", 1), ("prefill", 40), ("decode", 40)]
    assert [run[:3] for run in runs] == [
        (side, kind, context) for kind, context in tests for _ in range(repeat + 1) for side in ("Runner", "LlamaRuns")
    ]
    assert len(report["results"]) == len(tests)
    for index, row in enumerate(report["results"]):
        start = index * 2 * (repeat + 1) + 2  # the first pair warms up
        seconds = [run[3] for run in runs[start : start + 2 * repeat]]
        ours, theirs = seconds[0::2], seconds[1::2]
        assert row["tokens_per_second"] == pytest.approx(row["tokens"] / statistics.median(ours))
        assert row["peer_tokens_per_second"] == pytest.approx(row["tokens"] / statistics.median(theirs))
        assert row["ratio"] == pytest.approx(row["tokens_per_second"] / row["peer_tokens_per_second"])
        pairs = [peer / own for own, peer in zip(ours, theirs, strict=True)]
        assert row["ratio_of_pairs"] == pytest.approx(statistics.median(pairs))
        assert min(pairs) <= row["ratio"] <= max(pairs)


def test_a_restored_context_is_the_computed_one(llama: type[LlamaPeer], tiny_file: Callable[..., Path]) -> None:
    """The peer's runs start where they say: their last logits are those of all the tokens computed afresh."""
    from g4cpp.peers.llama_cpp import LlamaRuns

    path = str(tiny_file("dense_e"))
    ids = [11 + 7 * index % 250 for index in range(120)]
    runs = LlamaRuns(path, device="cpu", n_ctx=160, n_threads=1, longest_prompt=20)
    with llama(path, n_ctx=160, n_threads=1, precise=False) as fresh:
        for depth in (0, 1, 30, 60, 60, 30):  # deeper goes on from what was kept; back to 30 it begins anew
            runs.prefill(ids[:depth], ids[100:120])
            fresh.reset()
            expected = fresh.append([*ids[:depth], *ids[100:120]]).copy()
            found = runs._peer._rows(1)[0]
            assert runs._peer.n_past == depth + 20
            assert np.abs(found - expected).max() <= 2e-2 * np.abs(expected).max()
            if depth:
                assert runs.decode(ids[:depth], 5) > 0
                assert runs._peer.n_past == depth + 5
    runs.close()


def test_a_file_that_llama_refuses(llama: type[LlamaPeer], tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"\[llama.cpp\] .*m.gguf"):
        llama(path, n_ctx=16, n_threads=1)
