"""Measures prefill and decode through generation's own loop: embedding, full logits, sampling, poll callback.

Random token ids, so a file without a vocabulary will do. Prefill: `tokens` prompt tokens after `depth` cached
ones, with the first sampled token. Decode: `tokens` steps after `depth` cached tokens (one at least). The
loop's own clocks are read. A peer gets the same tokens and takes turns with us run by run, so that a busy
machine slows both alike (bench_runs.py has the runs).
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import g4cpp
from g4cpp.bench_runs import Case, Kind, Runner, by_turns
from g4cpp.errors import ArgumentError
from g4cpp.files import PathLike, open_gguf
from g4cpp.info import describe
from g4cpp.peers import PeerKind, Timed, find_peer

if TYPE_CHECKING:
    from g4cpp import _core
    from g4cpp.types import ModelInfo

Sizes = int | Sequence[int]
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Row:
    """One figure: of the median run, and every run's tokens per second."""

    kind: Kind
    tokens: int
    depth: int
    threads: int
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
    peer_tokens_per_second: float | None
    """Of the peer's median run; this and what follows is None without a peer."""
    peer_samples: list[float] | None
    """In the order of `samples`: each run of the peer came right after ours."""
    ratio: float | None
    """tokens_per_second over the peer's."""
    ratio_of_pairs: float | None
    """The median of the neighbouring runs' ratios: what the load changes between pairs drops out."""


@dataclass(frozen=True)
class EngineFacts:
    """An engine of the report; there is one for each number of threads."""

    threads: int
    load_seconds: float
    read_gigabytes_per_second: float
    """What a probe of the device's memory reached between the runs, the median; 0 where nothing measures it."""


@dataclass(frozen=True)
class PeerFacts:
    name: str
    version: str
    settings: str


@dataclass(frozen=True)
class Report:
    """What ran, on what, and how fast."""

    model: str
    architecture: str
    formats: dict[str, int]
    """How many tensors are stored in which format."""
    n_parameters: int
    file_bytes: int
    device: str
    device_description: str
    compute: str
    kv_dtype: str
    """Of our cache; a peer has its own settings."""
    kv_shared_skip: bool
    micro_batch: int
    engines: list[EngineFacts]
    peer: PeerFacts | None
    load_average: list[float]
    """Of the machine, over the last minute, before and after."""
    versions: dict[str, str]
    results: list[Row]


def measure(
    path: PathLike,
    *,
    device: str = "auto",
    compute: str = "auto",
    kv_dtype: str = "auto",
    n_threads: Sizes | None = None,
    prefill: Sizes = 512,
    decode: Sizes = 64,
    depth: Sizes = 0,
    repeat: int = 3,
    seed: int = 1,
    repack: bool = True,
    kv_shared_skip: bool = True,
    vs: str | None = None,
) -> Report:
    """Every size at every depth with every number of threads (each its own engine): one warm-up, then `repeat` runs.

    kv_dtype, repack, kv_shared_skip: as in Model; vs: a peer of g4cpp.peers that runs beside. Raises ArgumentError and
    what loading a model raises.
    """
    from g4cpp import _core

    cases = _cases(prefill, decode, depth)
    if repeat < 1:
        raise ArgumentError(f"[bench] repeat: at least 1 expected, {repeat} found")
    thread_counts: Iterable[int | None] = [None] if n_threads is None else _sizes("threads", n_threads, 1)
    kind = None if vs is None else find_peer(vs)
    load = os.getloadavg()[0]
    file = open_gguf(path)
    load_engine = partial(
        _core.Engine,
        file,
        device=device,
        compute=compute,
        kv_dtype=kv_dtype,
        n_ctx=max(case.depth + case.tokens for case in cases) + 2,
        repack=repack,
        kv_shared_skip=kv_shared_skip,
    )
    facts: list[EngineFacts] = []
    results: list[Row] = []
    for threads in thread_counts:
        load_one = partial(load_engine, n_threads=threads or 0)
        info, engine, rows = _measure_engine(file, load_one, kind, cases, repeat, random.Random(seed))
        facts.append(engine)
        results += rows
    descriptions = {found.name: found.description for found in _core.devices()}
    return Report(
        model=info.path,
        architecture=info.architecture,
        formats=info.formats,
        n_parameters=info.n_parameters,
        file_bytes=info.file_bytes,
        device=info.device,
        device_description=", ".join(descriptions.get(name, "") for name in info.device.split("+")),
        compute=info.compute,
        kv_dtype=info.kv_dtype,
        kv_shared_skip=kv_shared_skip,
        micro_batch=info.micro_batch,
        engines=facts,
        peer=PeerFacts(kind.name, kind.version, kind.settings) if kind else None,
        load_average=[load, os.getloadavg()[0]],
        versions={"g4cpp": g4cpp.__version__, "core": _core.build_id, "python": platform.python_version()},
        results=results,
    )


def _cases(prefill: Sizes, decode: Sizes, depth: Sizes) -> list[Case]:
    """Depth by depth, upwards, as the cache of a depth begins that of the next. A size of 0 is no test."""
    kinds: list[tuple[Kind, list[int]]] = [
        ("prefill", _sizes("prefill", prefill, 0)),
        ("decode", _sizes("decode", decode, 0)),
    ]
    cases = [
        Case(kind, tokens, at)
        for at in sorted(_sizes("depth", depth, 0))
        for kind, sizes in kinds
        for tokens in sizes
        if tokens
    ]
    if not cases:
        raise ArgumentError("[bench] prefill or decode: one of them above 0 expected")
    return cases


def _sizes(what: str, given: Sizes, least: int) -> list[int]:
    sizes = [given] if isinstance(given, int) else list(given)
    if not sizes or not all(least <= size <= _LARGEST for size in sizes):
        raise ArgumentError(f"[bench] {what}: numbers from {least} to {_LARGEST} expected, {given} found")
    return sizes


def _measure_engine(
    file: _core.GgufFile,
    load_engine: Callable[[], _core.Engine],
    kind: PeerKind | None,
    cases: list[Case],
    repeat: int,
    source: random.Random,
) -> tuple[ModelInfo, EngineFacts, list[Row]]:
    """With one number of threads; the engine is gone when it returns."""
    began = time.perf_counter()
    engine = load_engine()
    load_seconds = time.perf_counter() - began
    longest = max((case.tokens for case in cases if case.kind == "prefill"), default=0)
    opened = kind and kind.open(
        file.path,
        device=engine.device,
        n_ctx=engine.n_ctx,
        n_threads=engine.n_threads,
        longest_prompt=longest,
    )
    ours = Runner(file, engine)
    probes: list[float] = []

    def draw(count: int) -> list[int]:
        return [source.randrange(engine.n_vocab) for _ in range(count)]

    with closing(opened) if opened else nullcontext() as peer:
        sides: list[Timed] = [ours, peer] if peer else [ours]
        context = draw(max(max(case.depth, 1) for case in cases))
        measured = [
            by_turns(case, sides, context, draw, repeat, lambda: probes.append(engine.read_speed()))
            for case in cases
        ]
    read_speed = statistics.median(probes)
    rows = [
        _row(case, engine.n_threads, seconds, _work(engine, case), read_speed)
        for case, seconds in zip(cases, measured, strict=True)
    ]
    return describe(file, engine), EngineFacts(engine.n_threads, load_seconds, read_speed / 1e9), rows


def _work(engine: _core.Engine, case: Case) -> tuple[int, int]:
    """Bytes and multiply-adds of a run; all steps of a decode count as its middle one."""
    if case.kind == "prefill":
        return engine.work(case.tokens, case.depth)
    n_bytes, multiply_adds = engine.work(1, max(case.depth, 1) + case.tokens // 2)
    return n_bytes * case.tokens, multiply_adds * case.tokens


def _row(case: Case, threads: int, sides: list[list[float]], work: tuple[int, int], read_speed: float) -> Row:
    runs, *others = sides
    peer = others[0] if others else None
    speeds = [case.tokens / seconds for seconds in runs]
    seconds = statistics.median(runs)
    n_bytes, multiply_adds = work
    share = 100 * n_bytes / seconds / read_speed if read_speed and case.kind == "decode" else None
    return Row(
        kind=case.kind,
        tokens=case.tokens,
        depth=case.depth,
        threads=threads,
        tokens_per_second=case.tokens / seconds,
        seconds=seconds,
        stdev=statistics.stdev(speeds) if len(runs) > 1 else 0.0,
        samples=speeds,
        gigabytes_per_second=n_bytes / seconds / 1e9,
        gigaflops=2 * multiply_adds / seconds / 1e9,
        percent_of_read_speed=share,
        peer_tokens_per_second=case.tokens / statistics.median(peer) if peer else None,
        peer_samples=[case.tokens / one for one in peer] if peer else None,
        ratio=statistics.median(peer) / seconds if peer else None,
        ratio_of_pairs=statistics.median(b / a for a, b in zip(runs, peer, strict=True)) if peer else None,
    )
