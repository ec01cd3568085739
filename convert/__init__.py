"""Hugging Face checkpoints of Gemma 4 and Gemma 3 -> GGUF files, the text part. No torch, no transformers.

    from g4cpp.convert import convert
    report = convert(Path("gemma-4-E2B-it"), Path("e2b.gguf"), type="q8_0")
    print(report)

Keys and tensors are those llama.cpp reads; docs/gguf-keys.md lists them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from g4cpp.errors import ArgumentError, ConversionError, FileError
from g4cpp.progress import Callback, progress_callback

from .chat_settings import tokenizer_entries
from .checkpoint import Checkpoint
from .encoding import TYPES, resolve_type, storage_format
from .hf_config import TextConfig, read_config
from .json_fields import Fields, read_optional_json
from .metadata import Entry, general_entries, model_entries, sampling_entries, size_label
from .report import ConversionReport
from .selection import select_tensors
from .vocabulary import read_vocabulary
from .writer import PlannedTensor, rope_freqs, write_file

__all__ = ["TYPES", "Callback", "ConversionError", "ConversionReport", "convert"]


def convert(
    src: Path | str, out: Path | str | None = None, type: str = "auto", progress: bool | Callback = True
) -> ConversionReport:
    """Converts the checkpoint folder `src` to the GGUF file `out`, by default NAME-TYPE.gguf in the working
    directory.

    type: f32, f16, bf16, q8_0, q4_0, or auto, which keeps the checkpoint's own type; encoding.py says what
    becomes what. progress: True shows a bar when standard error is a terminal; a callback gets (tensor
    name, bytes done, bytes in all).

    The file is written under a temporary name and renamed when it is whole: an error or Ctrl-C leaves
    nothing. Vision and audio tensors are left out and counted in the report. Raises ConversionError (the
    checkpoint is unsound or not one we know: names the file or tensor), FileError (the output cannot be
    written), ArgumentError (unknown type).
    """
    if type not in TYPES:
        raise ArgumentError(f"[convert] type: one of {', '.join(TYPES)} expected, {type!r} found")
    src = Path(src)
    checkpoint = Checkpoint(src)
    config = read_config(src)
    selection = select_tensors(checkpoint, config)
    file_type = resolve_type(type, selection.chosen)
    name = _model_name(src)
    path = Path(out) if out is not None else Path(f"{name}-{file_type.upper()}.gguf")
    _check_output(path, checkpoint)

    tensors = [
        PlannedTensor(rule.target, storage_format(rule, tensor, file_type), rule.shape, tensor, rule.add_one)
        for rule, tensor in selection.chosen
    ]
    if config.architecture == "gemma4":
        tensors.insert(0, rope_freqs(config))
    entries, notes = _entries(src, config, name, file_type, tensors)
    with progress_callback(progress, name) as tell:
        write_file(path, entries, tensors, tell)
    return ConversionReport(
        path=path,
        architecture=config.architecture,
        type=file_type,
        n_tensors=len(tensors),
        n_parameters=sum(tensor.n_elements for tensor in tensors),
        n_bytes=path.stat().st_size,
        formats=dict(Counter(tensor.format for tensor in tensors)),
        left_out=selection.left_out,
        notes=notes,
    )


def _entries(
    src: Path, config: TextConfig, name: str, file_type: str, tensors: list[PlannedTensor]
) -> tuple[list[Entry], list[str]]:
    generation = Fields(read_optional_json(src / "generation_config.json"), "generation_config.json")
    vocabulary = read_vocabulary(src, config.architecture, config.vocab_size)
    n_experts = sum(tensor.n_elements for tensor in tensors if "_exps.weight" in tensor.name)
    label = size_label(sum(tensor.n_elements for tensor in tensors), n_experts, config.experts)
    entries = [
        *general_entries(config, name, src, file_type, label),
        *sampling_entries(generation),
        *model_entries(config),
        *tokenizer_entries(vocabulary, src, generation),
    ]
    return entries, vocabulary.notes


def _model_name(src: Path) -> str:
    """The folder's name; for a snapshot in a Hugging Face cache, models--ORG--NAME/snapshots/HASH, the
    model's.
    """
    src = src.resolve()
    if src.parent.name == "snapshots" and src.parent.parent.name.startswith("models--"):
        return src.parent.parent.name.split("--")[-1]
    return src.name or "model"


def _check_output(path: Path, checkpoint: Checkpoint) -> None:
    if path.is_dir():
        raise FileError(f"[convert] {path}: the name of a file expected, a directory found")
    if path.resolve() in {file.resolve() for file in checkpoint.files}:
        raise FileError(f"[convert] {path}: the output would replace the checkpoint's own file")
