"""g4cpp eval: coherence over long contexts, perplexity of a text, two formats or devices side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g4cpp.cli.common import (
    ComputeOption,
    DebugOption,
    DeviceOption,
    JsonOption,
    ModelOption,
    ThreadsOption,
    console,
    note,
    plain_table,
    print_json,
)
from g4cpp.demo import model_file
from g4cpp.errors import FileError
from g4cpp.files import existing_file

if TYPE_CHECKING:
    from g4cpp.eval import Result
    from g4cpp.eval.cells import Cell

FAILED = 1

app = typer.Typer(help="Is it the model or the engine? Coherence, perplexity, comparisons.", no_args_is_help=True)
TextOption = Annotated[Path | None, typer.Option("-f", "--file", help="A text file; by default the suite's own novel.")]


@app.command()
def coherence(
    model: ModelOption = None,
    lengths: Annotated[
        str | None, typer.Option("--lengths", help="Tokens, as 4k,16k,32k; default: to 128k, on a CPU to 16k.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="One or several, as cpu,cuda.")] = "auto",
    compute: ComputeOption = "auto",
    kv: Annotated[str, typer.Option("--kv", help="Formats of the KV cache, as f16,q8_0.")] = "auto",
    reference: Annotated[
        Path | None,
        typer.Option("--reference", help="A Hugging Face folder for transformers, or a GGUF file, to judge by."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for the report; a killed run goes on from there.")
    ] = None,
    depths: Annotated[int, typer.Option("--depths", min=1, help="Places of a fact in the text.")] = 5,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Texts for each task and length.")] = 1,
    seed: Annotated[int, typer.Option("--seed")] = 1,
    threads: ThreadsOption = None,
    exact_length: Annotated[
        int | None, typer.Option("--exact-length", help="Longest text for float32 mode and the reference.")
    ] = None,
    parts: Annotated[str | None, typer.Option("--parts", help="Some only, as consistency,retrieval.")] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Tests long contexts; exit code 1 when a cell fails."""
    from g4cpp import eval as suite
    from g4cpp.eval.plan import PARTS, parse_lengths

    with _bar() as watch:
        result = suite.coherence(
            model_file(model),
            lengths=parse_lengths(lengths) if lengths else None,
            devices=_list(device),
            kv=_list(kv),
            compute=compute,
            reference=reference,
            out=out,
            depths=depths,
            trials=trials,
            seed=seed,
            exact_length=exact_length,
            n_threads=threads,
            parts=_list(parts) if parts else PARTS,
            watch=watch,
        )
    if as_json:
        print_json(result.to_dict())
    else:
        _show(result)
    if out is not None:
        note(f"{out / 'report.html'}, {out / 'report.json'}")
    if result.failed:
        raise typer.Exit(FAILED)


@app.command()
def perplexity(
    model: ModelOption = None,
    file: TextOption = None,
    window: Annotated[int, typer.Option("--window", help="Tokens of context at most.")] = 2048,
    stride: Annotated[
        int | None, typer.Option("--stride", help="Tokens that a window scores; default: half of it.")
    ] = None,
    device: DeviceOption = "auto",
    compute: ComputeOption = "auto",
    kv: Annotated[str, typer.Option("--kv", help="Format of the KV cache.")] = "auto",
    threads: ThreadsOption = None,
    limit: Annotated[int | None, typer.Option("-n", "--tokens", help="Only so many tokens of the text.")] = None,
    per_token: Annotated[
        Path | None, typer.Option("--per-token", help="Writes id, text and nats of each token, tab-separated.")
    ] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Perplexity of a text in overlapping windows."""
    from g4cpp import eval as suite
    from g4cpp.eval.haystack import paragraphs
    from g4cpp.tokenizer import Tokenizer

    path = model_file(model)
    tokenizer = Tokenizer.from_gguf(path)
    text = "\n".join(paragraphs()) if file is None else _read(file)
    ids = tokenizer.encode(text, add_bos=False, parse_special=False)[:limit]
    setting = suite.Setting(device, compute, kv, 0, threads or 0)
    found = suite.perplexity(path, ids, window=window, stride=stride, setting=setting)
    if per_token is not None:
        rows = zip(found.tokens, found.losses, strict=True)
        lines = [f"{token}\t{tokenizer.token_text(token)!r}\t{loss:.6f}\n" for token, loss in rows]
        try:
            per_token.write_text("".join(lines))
        except OSError as error:
            raise FileError(f"[eval] {per_token}: {error.strerror}") from error
    figures = {
        "perplexity": found.perplexity, "error": found.error, "nats_per_token": found.loss, "tokens": len(found.losses),
        "window": found.window, "stride": found.stride, "model": found.model, "setting": found.setting,
    }  # fmt: skip
    if as_json:
        print_json(figures)
    else:
        console().print(
            f"perplexity {found.perplexity:.3f} +- {found.error:.3f} ({found.loss:.4f} nats a token) over "
            f"{len(found.losses)} tokens, window {found.window}, stride {found.stride}; {found.setting}"
        )


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="FILE[,device=D][,compute=C][,kv=F]: what is right.")],
    b: Annotated[str, typer.Argument(help="The same of what is judged.")],
    file: TextOption = None,
    length: Annotated[int, typer.Option("--length", help="Tokens of the text.")] = 4096,
    rows: Annotated[int, typer.Option("--rows", help="Positions compared, evenly spread.")] = 512,
    device: DeviceOption = "auto",
    compute: ComputeOption = "auto",
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """KL divergence and top-1 agreement of two files, modes, cache formats or devices."""
    from g4cpp import eval as suite
    from g4cpp.eval.compare import parse_side

    base = suite.Setting(device, compute, n_threads=threads or 0)
    (first, one), (second, two) = parse_side(a, base), parse_side(b, base)
    text = None if file is None else _read(file)
    found = suite.compare(first, second, a_setting=one, b_setting=two, text=text, length=length, rows=rows)
    if as_json:
        print_json(asdict(found))
        return
    table = plain_table("", "file", "setting", ">perplexity")
    for name, side in (("a", found.a), ("b", found.b)):
        table.add_row(name, Path(side.path).name, side.setting, f"{side.perplexity:.3f}")
    console().print(table)
    console().print(
        f"KL(a || b) mean {found.kl_mean:.3g}, median {found.kl_median:.3g}, 99 % {found.kl_99:.3g}, max "
        f"{found.kl_max:.3g} nats; top-1 agreement {found.top_1:.2%}; NMSE of logits {found.nmse:.3g}; "
        f"{found.rows} rows of {found.tokens} tokens"
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _read(path: Path) -> str:
    try:
        return existing_file(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"[eval] {path}: a text in UTF-8 expected ({error})") from error


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None] | None]:
    """Units done, on a terminal's standard error."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading", total=None)
        yield lambda name, done, total: bar.update(task, description=name, completed=done, total=total)


def _show(result: Result) -> None:
    table = plain_table("check", "cell", "setting", ">tokens", ">value", "", "limit", "detail")
    for cell in result.cells:
        table.add_row(*_line(cell))
    console().print(table)
    for cell in result.failed:
        if cell.blame:
            told = f"{cell.group} {cell.name} at {cell.length}: {cell.blame.verdict}. {cell.blame.because}"
            console().print(told, soft_wrap=True)
    judged = sum(cell.passed is not None for cell in result.cells)
    console().print(f"{judged - len(result.failed)} of {judged} cells pass")


def _line(cell: Cell) -> list[Any]:
    mark = {True: "ok", False: "FAILS", None: ""}[cell.passed]
    return [
        cell.group, cell.name, cell.setting, str(cell.length), f"{cell.value:.4g}", mark, cell.limit, cell.detail[:80],
    ]  # fmt: skip
