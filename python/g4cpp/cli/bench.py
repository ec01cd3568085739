"""g4cpp bench: prefill and decode speed over random tokens, as a table or JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g4cpp.cli.common import (
    ComputeOption,
    DebugOption,
    DeviceOption,
    JsonOption,
    RepackOption,
    ThreadsOption,
    console,
    demo_file,
    plain_table,
    print_json,
)

if TYPE_CHECKING:
    from g4cpp.benchmark import Report


def bench(
    model: Annotated[
        Path | None, typer.Option("-m", "--model", help="GGUF file; a vocabulary is not needed.")
    ] = None,
    device: DeviceOption = "auto",
    compute: ComputeOption = "auto",
    threads: ThreadsOption = None,
    repack: RepackOption = True,
    skip: Annotated[
        bool, typer.Option("--skip/--no-skip", help="Prompt tokens skip layers that write no cache (E2B, E4B).")
    ] = True,
    prefill: Annotated[
        int, typer.Option("--prefill", min=0, help="Prompt tokens; 0 leaves prefill out.")
    ] = 512,
    decode: Annotated[
        int, typer.Option("--decode", min=0, help="Generated tokens; 0 leaves decode out.")
    ] = 64,
    depth: Annotated[int, typer.Option("--depth", min=0, help="Tokens in the context before either.")] = 0,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Measured runs, after one to warm up.")] = 3,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure speed through the loop that generate runs."""
    from g4cpp.benchmark import measure

    report = measure(
        model or demo_file()[0],
        device=device,
        compute=compute,
        n_threads=threads,
        prefill=prefill,
        decode=decode,
        depth=depth,
        repeat=repeat,
        repack=repack,
        kv_shared_skip=skip,
    )
    if as_json:
        print_json(asdict(report))
    else:
        console().print(_table(report))


def _table(report: Report) -> Any:
    from rich.console import Group

    head = (
        f"{report.model}: {report.architecture}, {report.n_parameters / 1e6:.0f} M parameters, "
        f"{report.file_bytes / 1e9:.2f} GB\n"
        f"{report.device} ({report.device_description}), {report.compute}, {report.threads} threads, "
        f"loaded in {report.load_seconds:.2f} s, memory reads at {report.read_gigabytes_per_second:.1f} GB/s, "
        f"g4cpp {report.versions['g4cpp']}\n"
    )
    speeds = (">tokens/s", ">lowest", ">highest", ">seconds", ">GB/s", ">% of read", ">GFLOP/s")
    table = plain_table("test", ">tokens", ">depth", *speeds)
    for row in report.results:
        table.add_row(
            row.kind,
            str(row.tokens),
            str(row.depth),
            f"{row.tokens_per_second:.2f}",
            f"{min(row.samples):.2f}",
            f"{max(row.samples):.2f}",
            f"{row.seconds:.3f}",
            f"{row.gigabytes_per_second:.1f}",
            "" if row.percent_of_read_speed is None else f"{row.percent_of_read_speed:.0f}",
            f"{row.gigaflops:.0f}",
        )
    return Group(head, table)
