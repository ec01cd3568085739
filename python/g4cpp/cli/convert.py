"""g4cpp convert: a Hugging Face checkpoint folder to a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from g4cpp.cli.common import DebugOption, JsonOption, print_json


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
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress bar.")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Convert a Gemma 4 or Gemma 3 checkpoint, the text part."""
    from g4cpp.convert import convert as convert_checkpoint

    report = convert_checkpoint(checkpoint, output, type=type, progress=not quiet)
    if not as_json:
        print(report)
        return
    facts: dict[str, Any] = {name: getattr(report, name) for name in report.__dataclass_fields__}
    print_json({**facts, "path": str(report.path)})
