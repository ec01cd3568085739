"""What a file will hold, decided before a byte of it is written: so that a conversion of two files starts
only when both can be made.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from g4cpp.errors import FileError
from g4cpp.progress import Callback, progress_callback

from .chat_settings import tokenizer_entries
from .checkpoint import Checkpoint
from .encoding import resolve_type, storage_format
from .hf_config import TextConfig, read_config
from .json_fields import Fields, read_optional_json
from .metadata import Entry, general_entries, model_entries, sampling_entries, size_label
from .projector_metadata import projector_entries
from .report import ConversionReport
from .selection import Selection, select_text, select_towers
from .tower_config import read_tower_config
from .vocabulary import read_vocabulary
from .writer import PlannedTensor, rope_freqs, write_file


@dataclass(frozen=True)
class Plan:
    path: Path
    label: str  # of the progress bar
    architecture: str
    type: str  # never "auto"
    entries: list[Entry]
    tensors: list[PlannedTensor]
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def write(self, progress: bool | Callback) -> ConversionReport:
        with progress_callback(progress, self.label) as tell:
            write_file(self.path, self.entries, self.tensors, tell)
        return ConversionReport(
            path=self.path,
            architecture=self.architecture,
            type=self.type,
            n_tensors=len(self.tensors),
            n_parameters=sum(tensor.n_elements for tensor in self.tensors),
            n_bytes=self.path.stat().st_size,
            formats=dict(Counter(tensor.format for tensor in self.tensors)),
            left_out=self.left_out,
            notes=self.notes,
        )


def plan_text(checkpoint: Checkpoint, out: Path | None, type: str) -> Plan:
    """The text model and its tokenizer."""
    src = checkpoint.folder
    config = read_config(src)
    selection = select_text(checkpoint, config)
    file_type = resolve_type(type, selection.chosen)
    name = _model_name(src)
    path = out if out is not None else Path(f"{name}-{file_type.upper()}.gguf")
    _check_output(path, checkpoint)
    tensors = _planned(selection, file_type)
    if config.architecture == "gemma4":
        tensors.insert(0, rope_freqs(config))
    entries, notes = _text_entries(src, config, name, file_type, tensors)
    return Plan(path, name, config.architecture, file_type, entries, tensors, selection.left_out, notes)


def plan_projector(checkpoint: Checkpoint, out: Path | None, type: str) -> Plan:
    """The vision and audio towers, or what stands for them."""
    config = read_tower_config(checkpoint.folder)
    selection = select_towers(checkpoint, config)
    file_type = resolve_type(type, selection.chosen)
    name = _model_name(checkpoint.folder)
    path = out if out is not None else Path(f"mmproj-{name}-{file_type.upper()}.gguf")
    _check_output(path, checkpoint)
    tensors = _planned(selection, file_type)
    label = size_label(sum(tensor.n_elements for tensor in tensors), 0, 0)
    general = general_entries("clip", "mmproj", name, checkpoint.folder, file_type, label)
    entries = [*general, *projector_entries(config)]
    return Plan(path, f"{name} mmproj", "clip", file_type, entries, tensors)


def _planned(selection: Selection, file_type: str) -> list[PlannedTensor]:
    return [
        PlannedTensor(rule.target, storage_format(rule, tensor, file_type), rule.shape, tensor, rule.change)
        for rule, tensor in selection.chosen
    ]


def _text_entries(
    src: Path, config: TextConfig, name: str, file_type: str, tensors: list[PlannedTensor]
) -> tuple[list[Entry], list[str]]:
    generation = Fields(read_optional_json(src / "generation_config.json"), "generation_config.json")
    vocabulary = read_vocabulary(src, config.architecture, config.vocab_size)
    n_experts = sum(tensor.n_elements for tensor in tensors if "_exps.weight" in tensor.name)
    label = size_label(sum(tensor.n_elements for tensor in tensors), n_experts, config.experts)
    entries = [
        *general_entries(config.architecture, "model", name, src, file_type, label),
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
