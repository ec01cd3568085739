"""How long work tells how far it is: a function of the caller, or a bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Callback = Callable[[str, int, int], None]
"""Called with (what is at work: a tensor or a file, bytes done, bytes in all) after each piece; what it raises
stops the work.
"""


@contextmanager
def progress_callback(progress: bool | Callback, label: str) -> Iterator[Callback]:
    """`progress` itself, a bar on a terminal's standard error for True, or nothing."""
    if callable(progress):
        yield progress
    elif progress and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=None)
            yield lambda name, done, total: bar.update(task, description=name, completed=done, total=total)
    else:
        yield lambda name, done, total: None
