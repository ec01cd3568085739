"""g4cpp convert: a Hugging Face checkpoint folder to a GGUF file, and its towers to a projector file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g4cpp.cli.common import DebugOption, JsonOption, print_json
from g4cpp.errors import ArgumentError

if TYPE_CHECKING:
    from g4cpp.convert import ConversionReport


def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder with config.json, safetensors and the tokenizer.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Default: NAME-TYPE.gguf in the working directory."),
    ] = None,
    type: Annotated[
        str, typer.Option("--type", help="auto (the checkpoint's own), f32, f16, bf16, q8_0 or q4_0.")
    ] = "auto",
    mmproj: Annotated[
        Path | None,
        typer.Option("--mmproj", help="Write vision and audio, too: the projector file of a Gemma 4."),
    ] = None,
    mmproj_type: Annotated[
        str, typer.Option("--mmproj-type", help="Of the projector file: auto, f32, f16, bf16 or q8_0.")
    ] = "auto",
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Write the text model; without it only --mmproj.")
    ] = True,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress bar.")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Convert a Gemma 4 or Gemma 3 checkpoint."""
    from g4cpp.convert import convert as convert_checkpoint
    from g4cpp.convert import convert_projector

    if text:
        report = convert_checkpoint(
            checkpoint, output, type=type, progress=not quiet, mmproj=mmproj, mmproj_type=mmproj_type
        )
    elif mmproj is None or output is not None:
        raise ArgumentError("[convert] --no-text: --mmproj FILE and no --output expected")
    else:
        report = convert_projector(checkpoint, mmproj, type=mmproj_type, progress=not quiet)
    if as_json:
        print_json(_facts(report))
    else:
        print(report)


def _facts(report: ConversionReport) -> dict[str, Any]:
    facts: dict[str, Any] = {name: getattr(report, name) for name in report.__dataclass_fields__}
    facts["path"] = str(report.path)
    if report.projector is None:
        del facts["projector"]
    else:
        facts["projector"] = _facts(report.projector)
    return facts
