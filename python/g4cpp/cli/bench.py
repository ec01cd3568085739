"""g4cpp bench: prefill and decode speed over random tokens, as tables or JSON, beside another engine if asked."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g4cpp.cli.common import (
    DEFAULT_MODEL,
    ComputeOption,
    DebugOption,
    DeviceOption,
    JsonOption,
    KvOption,
    RepackOption,
    choose,
    console,
    plain_table,
    print_json,
)
from g4cpp.errors import ArgumentError

if TYPE_CHECKING:
    from g4cpp.benchmark import Report, Row


def bench(
    models: Annotated[
        list[Path] | None,
        typer.Option(
            "-m",
            "--model",
            help=f"GGUF file (it needs no vocabulary) or gemma3-270m; {DEFAULT_MODEL}. Repeatable: a report for each.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    compute: ComputeOption = "auto",
    kv_dtype: KvOption = "auto",
    threads: Annotated[
        str | None, typer.Option("-t", "--threads", help="Numbers, as 1,2; by default one per physical core.")
    ] = None,
    repack: RepackOption = True,
    skip: Annotated[
        bool, typer.Option("--skip/--no-skip", help="Prompt tokens skip layers that write no cache (E2B, E4B).")
    ] = True,
    prefill: Annotated[
        str, typer.Option("--prefill", help="Prompt tokens, as 128,512; 0 leaves prefill out.")
    ] = "512",
    decode: Annotated[str, typer.Option("--decode", help="Generated tokens; 0 leaves decode out.")] = "64",
    depth: Annotated[
        str, typer.Option("--depth", help="Tokens in the context before either, as 0,4096.")
    ] = "0",
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Measured runs, after one to warm up.")] = 3,
    vs: Annotated[
        str | None, typer.Option("--vs", help="An engine to take turns with: llama.cpp (needs g4cpp[interop]).")
    ] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure speed through the loop that generate runs: every size at every depth with every number of threads."""
    from g4cpp.benchmark import measure

    n_threads = None if threads is None else _numbers("--threads", threads)
    prefills, decodes, depths = (
        _numbers(option, text) for option, text in (("--prefill", prefill), ("--decode", decode), ("--depth", depth))
    )
    reports: list[Report] = []
    chosen = [choose(model) for model in models] if models else [choose(None)]
    for path in [choice.path for choice in chosen]:
        report = measure(
            path,
            device=device,
            compute=compute,
            kv_dtype=kv_dtype,
            n_threads=n_threads,
            prefill=prefills,
            decode=decodes,
            depth=depths,
            repeat=repeat,
            repack=repack,
            kv_shared_skip=skip,
            vs=vs,
        )
        reports.append(report)
        if not as_json:
            console().print(_table(report))
    if as_json:
        print_json(asdict(reports[0]) if len(reports) == 1 else [asdict(report) for report in reports])
    elif len(reports) > 1:
        console().print(_comparison(reports))


def _numbers(option: str, text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ArgumentError(f"[bench] {option}: a number or several as 1,2,4 expected, {text!r} found")
    return [int(part) for part in parts]


def _table(report: Report) -> Any:
    from rich.console import Group

    peer = report.peer
    lines = [
        f"{report.model}: {report.architecture}, {report.n_parameters / 1e6:.0f} M parameters, {_formats(report)}, "
        f"{report.file_bytes / 1e9:.2f} GB",
        f"{report.device} ({report.device_description}), {report.compute}, {report.kv_dtype} cache, "
        f"{'' if report.kv_shared_skip else 'without the KV-shared skip, '}g4cpp {report.versions['g4cpp']}, "
        "load average {:.1f} to {:.1f}".format(*report.load_average),
    ]
    lines += [
        f"{engine.threads} threads: loaded in {engine.load_seconds:.2f} s, "
        f"memory reads at {engine.read_gigabytes_per_second:.1f} GB/s"
        for engine in report.engines
    ]
    if peer:
        lines.append(f"by turns with {peer.name} ({peer.version}): {peer.settings}")
    speeds = [">tokens/s", ">lowest", ">highest", ">seconds", ">GB/s", ">% of read", ">GFLOP/s"]
    versus = [f">{peer.name}", ">ratio", ">of pairs"] if peer else []
    table = plain_table("test", ">tokens", ">depth", ">threads", *speeds, *versus)
    for row in report.results:
        cells = [
            f"{row.tokens_per_second:.2f}",
            f"{min(row.samples):.2f}",
            f"{max(row.samples):.2f}",
            f"{row.seconds:.3f}",
            f"{row.gigabytes_per_second:.1f}",
            "" if row.percent_of_read_speed is None else f"{row.percent_of_read_speed:.0f}",
            f"{row.gigaflops:.0f}",
        ]
        table.add_row(*_name(row), *cells, *_versus(row))
    return Group("\n".join(lines) + "\n", table)


def _comparison(reports: list[Report]) -> Any:
    """A line for each test, the files side by side: their tokens per second, and the ratio to the peer."""
    from rich.console import Group

    columns = []
    for report in reports:
        name = f"{Path(report.model).stem} ({_formats(report)})"
        columns += [f">{name}", ">ratio"] if report.peer else [f">{name}"]
    table = plain_table("test", ">tokens", ">depth", ">threads", *columns)
    for rows in zip(*(report.results for report in reports), strict=True):
        cells = []
        for row in rows:
            cells.append(f"{row.tokens_per_second:.2f}")
            cells += [] if row.ratio is None else [f"{row.ratio:.2f}"]
        table.add_row(*_name(rows[0]), *cells)
    return Group("\ntokens/s\n", table)


def _name(row: Row) -> list[str]:
    return [row.kind, str(row.tokens), str(row.depth), str(row.threads)]


def _versus(row: Row) -> list[str]:
    figures = (row.peer_tokens_per_second, row.ratio, row.ratio_of_pairs)
    return [f"{figure:.2f}" for figure in figures if figure is not None]


def _formats(report: Report) -> str:
    """The two commonest, those of vectors left out where there are others."""
    matrices = [name for name in report.formats if name != "F32"]
    return " and ".join(matrices[:2]) or "F32"
