"""Measures prefill and decode through generation's own loop: embedding, full logits, sampling, poll callback.

Random token ids, so a file without a vocabulary will do. Prefill: `tokens` prompt tokens after `depth` cached
ones, with the first sampled token. Decode: `tokens` steps after `depth` cached tokens (one at least). The
loop's own clocks are read.
"""

from __future__ import annotations

import platform
import random
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import g4cpp
from g4cpp.errors import ArgumentError
from g4cpp.files import PathLike, open_gguf
from g4cpp.generation import SharedEngine, TokenLoop
from g4cpp.options import GenerationOptions, SamplingDefaults, make_sampler

if TYPE_CHECKING:
    from g4cpp import _core
    from g4cpp.types import Timings

Kind = Literal["prefill", "decode"]


@dataclass(frozen=True)
class Row:
    """One figure: of the median run, and every run's tokens per second."""

    kind: Kind
    tokens: int
    depth: int
    tokens_per_second: float
    seconds: float
    stdev: float
    """Of the tokens per second; 0 for a single run."""
    samples: list[float]
    gigabytes_per_second: float
    """Of weights, keys and values that the run must read."""
    gigaflops: float
    """Of matrix products and attention, two to a multiply-add."""
    percent_of_read_speed: float | None
    """Decode: its bytes a second over those of a read probe between the runs; None where nothing measures that."""


@dataclass(frozen=True)
class Report:
    """What ran, on what, and how fast."""

    model: str
    architecture: str
    n_parameters: int
    file_bytes: int
    device: str
    device_description: str
    compute: str
    threads: int
    micro_batch: int
    load_seconds: float
    read_gigabytes_per_second: float
    """What a probe of the device's memory reached between the runs, the median; 0 where nothing measures it."""
    versions: dict[str, str]
    results: list[Row]


def measure(
    path: PathLike,
    *,
    device: str = "auto",
    compute: str = "auto",
    n_threads: int | None = None,
    prefill: int = 512,
    decode: int = 64,
    depth: int = 0,
    repeat: int = 3,
    seed: int = 1,
    repack: bool = True,
    kv_shared_skip: bool = True,
) -> Report:
    """One warm-up, then `repeat` runs of each test. repack, kv_shared_skip: as in Model.

    Raises ArgumentError and what loading a model raises.
    """
    from g4cpp import _core

    if min(prefill, decode, depth) < 0 or repeat < 1 or prefill + decode == 0:
        raise ArgumentError(
            "[bench] prefill, decode, depth of at least 0, one of the first two and repeat above 0 expected"
        )
    if n_threads is not None and n_threads < 1:
        raise ArgumentError(f"[bench] threads: at least 1 expected, {n_threads} found")
    began = time.perf_counter()
    file = open_gguf(path)
    engine = _core.Engine(
        file,
        device=device,
        compute=compute,
        n_ctx=depth + max(prefill, decode) + 2,
        n_threads=n_threads or 0,
        repack=repack,
        kv_shared_skip=kv_shared_skip,
    )
    load_seconds = time.perf_counter() - began
    runner = Runner(file, engine, random.Random(seed))
    tests: list[tuple[Kind, int]] = [("prefill", prefill), ("decode", decode)]
    measured: list[tuple[Kind, int, list[float]]] = []
    probes: list[float] = []
    for kind, tokens in tests:
        if not tokens:
            continue
        runner.seconds(kind, tokens, depth)
        runs = []
        for _ in range(repeat):
            runs.append(runner.seconds(kind, tokens, depth))
            probes.append(engine.read_speed())
        measured.append((kind, tokens, runs))
    read_speed = statistics.median(probes)
    results = [
        _row(kind, tokens, depth, runs, _work(engine, kind, tokens, depth), read_speed)
        for kind, tokens, runs in measured
    ]
    descriptions = {found.name: found.description for found in _core.devices()}
    return Report(
        model=file.path,
        architecture=engine.architecture,
        n_parameters=engine.n_parameters,
        file_bytes=file.file_bytes,
        device=engine.device,
        device_description=descriptions.get(engine.device, ""),
        compute=engine.compute,
        threads=engine.n_threads,
        micro_batch=engine.micro_batch,
        load_seconds=load_seconds,
        read_gigabytes_per_second=read_speed / 1e9,
        versions={"g4cpp": g4cpp.__version__, "core": _core.build_id, "python": platform.python_version()},
        results=results,
    )


def _work(engine: _core.Engine, kind: Kind, tokens: int, depth: int) -> tuple[int, int]:
    """Bytes and multiply-adds of a run; all steps of a decode count as its middle one."""
    if kind == "prefill":
        return engine.work(tokens, depth)
    n_bytes, multiply_adds = engine.work(1, max(depth, 1) + tokens // 2)
    return n_bytes * tokens, multiply_adds * tokens


def _row(
    kind: Kind, tokens: int, depth: int, runs: list[float], work: tuple[int, int], read_speed: float
) -> Row:
    speeds = [tokens / seconds for seconds in runs]
    seconds = statistics.median(runs)
    n_bytes, multiply_adds = work
    return Row(
        kind=kind,
        tokens=tokens,
        depth=depth,
        tokens_per_second=tokens / seconds,
        seconds=seconds,
        stdev=statistics.stdev(speeds) if len(runs) > 1 else 0.0,
        samples=speeds,
        gigabytes_per_second=n_bytes / seconds / 1e9,
        gigaflops=2 * multiply_adds / seconds / 1e9,
        percent_of_read_speed=100 * n_bytes / seconds / read_speed if read_speed and kind == "decode" else None,
    )


class Runner:
    """Single runs over an engine's random token ids."""

    def __init__(self, file: _core.GgufFile, engine: _core.Engine, source: random.Random) -> None:
        self._engine = engine
        self._shared = SharedEngine(engine)
        self._defaults = SamplingDefaults.of_file(file)
        self._random = source

    def seconds(self, kind: Kind, tokens: int, depth: int = 0) -> float:
        """Of one run, from an empty cache; `depth` tokens are computed before, outside the clock."""
        with self._shared.step(None) as (engine, _):
            engine.reset()
            before = self._ids(depth)
            if before:
                engine.prefill(before)
        if kind == "decode":
            return self.seconds_after(before or self._ids(1), tokens)
        return self._loop(before + self._ids(tokens), 1).prefill_seconds

    def seconds_after(self, prompt: list[int], tokens: int) -> float:
        """Of a decode after `prompt`, which is read from the cache as far as it lies there, outside the clock."""
        return self._loop(prompt, tokens + 1).decode_seconds

    def _ids(self, count: int) -> list[int]:
        return [self._random.randrange(self._engine.n_vocab) for _ in range(count)]

    def _loop(self, prompt: list[int], n_sampled: int) -> Timings:
        sampler = make_sampler(GenerationOptions(seed=1), self._defaults, self._engine.n_vocab)
        loop = TokenLoop(self._shared, prompt, sampler, n_ctx=self._engine.n_ctx, max_tokens=n_sampled)
        for _ in loop:
            pass
        return loop.timings
