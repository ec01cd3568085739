"""What a conversion did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


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
    projector: ConversionReport | None = None  # of the projector file, if one was written with the model

    def __str__(self) -> str:
        formats = ", ".join(f"{count} {name}" for name, count in sorted(self.formats.items()))
        lines = [
            f"{self.path}: {self.architecture}, {self.n_parameters / 1e6:.1f} M parameters in "
            f"{self.n_tensors} tensors ({formats}), {self.n_bytes / 1e6:.1f} MB"
        ]
        lines += [f"left out: {count} tensors: {reason}" for reason, count in self.left_out.items()]
        lines += self.notes
        return "\n".join(lines if self.projector is None else [*lines, str(self.projector)])
