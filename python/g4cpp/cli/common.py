"""Options and habits that commands share."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from g4cpp.errors import ArgumentError

if TYPE_CHECKING:
    from rich.console import Console

    from g4cpp.model import Model

DEFAULT_MODEL = "by default the small demo model that comes with g4cpp"

DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelOption = Annotated[
    Path | None, typer.Option("-m", "--model", help=f"GGUF file or gemma3-270m (g4cpp[demo]); {DEFAULT_MODEL}.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="Where to run; see the devices command.")]
GpuLayersOption = Annotated[
    str,
    typer.Option(
        "-ngl", "--n-gpu-layers", help="Last layers on the GPU, the head counts as one: a number, all, or auto."
    ),
]
DeviceMapOption = Annotated[
    str | None,
    typer.Option("--device-map", help="Layers of each device, as cpu=10,cuda=rest, instead of --device."),
]
KvOption = Annotated[
    str, typer.Option("--kv-dtype", help="Keys and values: auto (as --compute), f32, f16, bf16 or q8_0.")
]
ComputeOption = Annotated[str, typer.Option("--compute", help="auto, bf16, f32 or f16.")]
ThreadsOption = Annotated[int | None, typer.Option("-t", "--threads", help="Default: one per physical core.")]
RepackOption = Annotated[
    bool, typer.Option("--repack/--no-repack", help="Lay matrices out anew for speed, or keep the mapped file.")
]
ContextOption = Annotated[
    str, typer.Option("-c", "--n-ctx", help="Tokens of context; auto: as trained, or what memory allows.")
]
MaxTokensOption = Annotated[
    int | None, typer.Option("-n", "--max-tokens", help="Default: what is left of the context.")
]
TemperatureOption = Annotated[float | None, typer.Option("--temperature", help="0 is greedy.")]
TopKOption = Annotated[int | None, typer.Option("--top-k")]
TopPOption = Annotated[float | None, typer.Option("--top-p")]
MinPOption = Annotated[float | None, typer.Option("--min-p")]
RepetitionOption = Annotated[float | None, typer.Option("--repetition-penalty")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Same seed, same text.")]
StopOption = Annotated[
    list[str] | None, typer.Option("--stop", help="Text that ends the output; repeatable.")
]
MmprojOption = Annotated[
    str | None,
    typer.Option("--mmproj", help="Projector file, to see and hear with; by default one beside the model; none: no."),
]


def load(
    path: Path,
    device: str,
    compute: str,
    threads: int | None,
    context: str,
    repack: bool,
    gpu_layers: str,
    device_map: str | None,
    kv_dtype: str,
    mmproj: str | None = None,
) -> Model:
    """The model, with the context size and the number of layers parsed."""
    from g4cpp.model import Model
    from g4cpp.placing import parse_gpu_layers

    layers = parse_gpu_layers(gpu_layers)

    return Model(
        path,
        device=device,
        compute=compute,
        n_threads=threads,
        n_ctx=parse_context(context) or "auto",
        repack=repack,
        n_gpu_layers="auto" if layers is None else layers,
        device_map=device_map,
        kv_dtype=kv_dtype,
        progress=True,
        mmproj=parse_mmproj(mmproj),
    )


def parse_mmproj(given: str | None) -> str | Literal[False] | None:
    return False if given == "none" else given


def parse_context(text: str) -> int:
    """Tokens; 0 for auto. Raises ArgumentError."""
    if text == "auto":
        return 0
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentError(f"[options] --n-ctx: auto or a number of tokens expected, {text!r} found")
    return int(text)


@dataclass(frozen=True)
class Choice:
    """What `choose` found: the file, and for a named model its template and its end."""

    path: Path
    template: str | None
    max_tokens: int | None


def choose(model: Path | None, max_tokens: int | None = 0) -> Choice:
    """The model of -m, by default the demo model; of a named one stderr tells in a line what runs.

    max_tokens: None takes the named model's own end. Raises FileError, MissingFileError.
    """
    from g4cpp.demo import model_file, named

    path, entry = model_file(model), named(model)
    if entry is None:
        return Choice(path, None, max_tokens)
    ends = max_tokens is None and entry.max_tokens is not None
    limit = f"; ends after {entry.max_tokens} tokens, -n sets another end" if ends else ""
    note(f"{'no model named: ' if model is None else ''}{entry.about}{limit}")
    return Choice(path, entry.template, entry.max_tokens if max_tokens is None else max_tokens)


def note(text: str) -> None:
    print(f"g4cpp: {text}", file=sys.stderr, flush=True)


def write(text: str) -> None:
    """Text of a model to stdout at once, whatever the terminal can show of it."""
    stream = sys.stdout
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, errors="replace").decode(encoding))
    stream.flush()


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def console() -> Console:
    """Tables for a terminal; wide and plain when the output goes elsewhere."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False, markup=False, emoji=False)
    return Console(highlight=False, markup=False, emoji=False, no_color=True, width=160, force_terminal=False)


def plain_table(*columns: str) -> Any:
    """A rich table without frames; columns whose name starts with > are right-aligned."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False)
    for column in columns:
        table.add_column(
            column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold"
        )
    return table


def human_bytes(count: int) -> str:
    """1536 -> "1.5 KiB"."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
