"""What a conversion did, and how it tells its progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

Callback = Callable[[str, int, int], None]
"""Called with (tensor name, bytes done, bytes in all) after each piece; what it raises stops the
conversion.
"""


@dataclass(frozen=True)
class ConversionReport:
    """The result of convert(). `left_out` counts the checkpoint's tensors that are not in the file, by
    reason.
    """

    path: Path
    architecture: str
    type: str  # "bf16", never "auto"
    n_tensors: int
    n_parameters: int
    n_bytes: int
    formats: dict[str, int]  # tensors per GGUF format
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        formats = ", ".join(f"{count} {name}" for name, count in sorted(self.formats.items()))
        lines = [
            f"{self.path}: {self.architecture}, {self.n_parameters / 1e6:.1f} M parameters in "
            f"{self.n_tensors} tensors ({formats}), {self.n_bytes / 1e6:.1f} MB"
        ]
        lines += [f"left out: {count} tensors: {reason}" for reason, count in self.left_out.items()]
        return "\n".join(lines + self.notes)


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
