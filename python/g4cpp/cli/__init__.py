"""The command line, `g4cpp COMMAND`.

One file per command; main() turns errors into one line and an exit code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

ERROR, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 0, 2 after an error told on stderr, 130 after Ctrl-C. `--debug` lets tracebacks
    through."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (| head); flushing the rest at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR


def _run(arguments: list[str]) -> int:
    import typer

    from g4cpp.cli.app import command
    from g4cpp.errors import G4Error

    # Typer >= 0.26 brings its own copy of click, so the classes are found through the one it exports.
    shown_error: type[Exception] = typer.BadParameter.__mro__[2]
    debug = "--debug" in arguments
    try:
        status = command().main(args=arguments, prog_name="g4cpp", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except typer.Exit as error:
        return error.exit_code
    except typer.Abort:
        return INTERRUPTED
    except G4Error as error:
        if debug:
            raise
        return _fail(str(error))
    except shown_error as error:
        if debug:
            raise
        return _fail(error.format_message())  # type: ignore[attr-defined]


def _fail(message: str) -> int:
    if message:  # typer's "no command given" has shown the help instead
        print("g4cpp: error: " + " ".join(message.split()), file=sys.stderr)
    return ERROR
