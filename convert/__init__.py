"""Hugging Face checkpoints of Gemma 4 and Gemma 3 -> GGUF files. No torch, no transformers.

    from g4cpp.convert import convert, convert_projector
    report = convert(Path("gemma-4-E2B-it"), Path("e2b.gguf"), type="q8_0", mmproj=Path("mmproj-e2b.gguf"))
    print(report)

The text model is one file, the vision and audio towers of a Gemma 4 another, the projector file. Keys and
tensors are those llama.cpp reads; docs/gguf-keys.md lists them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from g4cpp.errors import ArgumentError, ConversionError, FileError
from g4cpp.progress import Callback

from .checkpoint import Checkpoint
from .encoding import PROJECTOR_TYPES, TYPES
from .plan import plan_projector, plan_text
from .report import ConversionReport
from .tensor_names import TOWERS

__all__ = [
    "PROJECTOR_TYPES",
    "TYPES",
    "Callback",
    "ConversionError",
    "ConversionReport",
    "convert",
    "convert_projector",
]


def convert(
    src: Path | str,
    out: Path | str | None = None,
    type: str = "auto",
    progress: bool | Callback = True,
    *,
    mmproj: Path | str | None = None,
    mmproj_type: str = "auto",
) -> ConversionReport:
    """Converts the checkpoint folder `src` to the GGUF file `out`, by default NAME-TYPE.gguf in the working
    directory, and with `mmproj` its vision and audio towers to that projector file.

    type: f32, f16, bf16, q8_0, q4_0, or auto, which keeps the checkpoint's own type; encoding.py says what
    becomes what. mmproj_type: the same for the projector file, without q4_0. progress: True shows a bar when
    standard error is a terminal; a callback gets (tensor name, bytes done, bytes in all) of each file.

    A file is written under a temporary name and renamed when it is whole: an error or Ctrl-C leaves no part
    of one, and what is wrong with the checkpoint is found before the first is begun. Tensors
    that are in neither file are counted in the report. Raises ConversionError (the checkpoint is
    unsound, not one we know, or has no towers: names the file or tensor), FileError (an output cannot be
    written), ArgumentError (unknown type).
    """
    _check_type("type", type, TYPES)
    _check_type("mmproj_type", mmproj_type, PROJECTOR_TYPES)
    checkpoint = Checkpoint(Path(src))
    text = plan_text(checkpoint, _path(out), type)
    if mmproj is None:
        return text.write(progress)
    projector = plan_projector(checkpoint, Path(mmproj), mmproj_type)
    if projector.path.resolve() == text.path.resolve():
        raise FileError(f"[convert] {text.path}: two files expected, the projector file has the same name")
    report = text.write(progress)
    left_out = {reason: count for reason, count in report.left_out.items() if reason not in TOWERS}
    return replace(report, left_out=left_out, projector=projector.write(progress))


def convert_projector(
    src: Path | str,
    out: Path | str | None = None,
    type: str = "auto",
    progress: bool | Callback = True,
) -> ConversionReport:
    """Writes the projector file alone, by default mmproj-NAME-TYPE.gguf in the working directory; otherwise
    as convert().
    """
    _check_type("type", type, PROJECTOR_TYPES)
    return plan_projector(Checkpoint(Path(src)), _path(out), type).write(progress)


def _path(path: Path | str | None) -> Path | None:
    return None if path is None else Path(path)


def _check_type(option: str, type: str, known: tuple[str, ...]) -> None:
    if type not in known:
        raise ArgumentError(f"[convert] {option}: one of {', '.join(known)} expected, {type!r} found")
