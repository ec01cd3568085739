"""The table of commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import g4cpp
from g4cpp.cli.bench import bench
from g4cpp.cli.chat import chat
from g4cpp.cli.common import DebugOption
from g4cpp.cli.convert import convert
from g4cpp.cli.devices import devices
from g4cpp.cli.evaluate import app as evaluate
from g4cpp.cli.generate import generate
from g4cpp.cli.info import info

app = typer.Typer(
    name="g4cpp",
    help="Text generation with Gemma 4 and Gemma 3.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for function in (generate, chat, convert, info, devices, bench):
    app.command()(function)
app.add_typer(evaluate, name="eval")


def _version(asked: bool) -> None:
    if asked:
        print(f"g4cpp {g4cpp.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    pass


def command() -> Any:
    """The whole as one click command."""
    return typer.main.get_command(app)
