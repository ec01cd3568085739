"""Matches a checkpoint's tensors with the tensor tables: every expected one found with its shape, every
other explained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from g4cpp.errors import ConversionError

from .checkpoint import Checkpoint
from .hf_config import TextConfig
from .projector_names import belongs_to_towers, tower_tensors
from .safetensors_file import READABLE, StoredTensor
from .tensor_names import OUTPUT_HEAD, TensorRule, reason_to_leave_out, text_tensors
from .tower_config import TowerConfig

# Prefixes of the text model: ForConditionalGeneration, its older form, ForCausalLM, bare models.
PREFIXES = ("model.language_model.", "language_model.model.", "model.", "language_model.", "")
HEAD_PREFIXES = ("", "language_model.", "model.")
TOWER_PREFIXES = ("model.", "")


@dataclass(frozen=True)
class Selection:
    chosen: list[tuple[TensorRule, StoredTensor]]
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> tensors


def select_text(checkpoint: Checkpoint, config: TextConfig) -> Selection:
    """The text model. Raises ConversionError for a missing tensor, a wrong shape, a dtype we cannot read, a
    tensor nothing explains.
    """
    prefix = next((p for p in PREFIXES if f"{p}embed_tokens.weight" in checkpoint.tensors), PREFIXES[2])
    left = dict(checkpoint.tensors)
    chosen = [(rule, _take(rule, _spellings(rule, prefix), left, checkpoint)) for rule in text_tensors(config)]
    left_out: Counter[str] = Counter()
    unknown = []
    for name in left:
        reason = reason_to_leave_out(name, config)
        if reason is None:
            unknown.append(name)
        else:
            left_out[reason] += 1
    _refuse_unknown(unknown, checkpoint)
    return Selection(chosen, dict(left_out))


def select_towers(checkpoint: Checkpoint, config: TowerConfig) -> Selection:
    """The tensors of vision and audio; raises as select_text(). The text model's are not looked at."""
    names = [name for name in checkpoint.tensors if belongs_to_towers(name.removeprefix("model."))]
    left = {name: checkpoint.tensors[name] for name in names}
    chosen = []
    for rule in tower_tensors(config):
        spellings = [prefix + name for name in (rule.source, *rule.aliases) for prefix in TOWER_PREFIXES]
        chosen.append((rule, _take(rule, spellings, left, checkpoint)))
    _refuse_unknown(left, checkpoint)
    return Selection(chosen)


def _take(
    rule: TensorRule, spellings: list[str], left: dict[str, StoredTensor], checkpoint: Checkpoint
) -> StoredTensor:
    """Takes the rule's tensor out of `left`; the first spelling is the one to miss."""
    name = next((spelling for spelling in spellings if spelling in left), spellings[0])
    tensor = left.pop(name, None)
    if tensor is None:
        raise ConversionError(f"[convert] {checkpoint.folder}: tensor {name} missing")
    shape = rule.shape if rule.source_shape is None else rule.source_shape
    if tensor.shape != shape:
        raise ConversionError(
            f"[convert] {name}: shape {list(shape)} expected by config.json, {list(tensor.shape)} found"
        )
    if tensor.dtype not in READABLE:
        raise ConversionError(f"[convert] {name}: {', '.join(READABLE)} expected, {tensor.dtype} found")
    return tensor


def _refuse_unknown(names: Iterable[str], checkpoint: Checkpoint) -> None:
    unknown = sorted(names)
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise ConversionError(
            f"[convert] {checkpoint.folder}: unknown tensors: {', '.join(unknown[:3])}{more}"
        )


def _spellings(rule: TensorRule, prefix: str) -> list[str]:
    """The names a tensor of the text model may have in this checkpoint."""
    if rule.source == OUTPUT_HEAD:
        return [head + rule.source for head in HEAD_PREFIXES]
    return [
        prefix + rule.source,
        f"{prefix}{rule.source}.weight",
    ]  # parameters such as experts.* occur both ways
