"""Matches a checkpoint's tensors with the tensor table: every expected one found with its shape, every
other explained.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from g4cpp.errors import ConversionError

from .checkpoint import Checkpoint
from .hf_config import TextConfig
from .safetensors_file import READABLE, StoredTensor
from .tensor_names import OUTPUT_HEAD, TensorRule, reason_to_leave_out, text_tensors

# Prefixes of the text model: ForConditionalGeneration, its older form, ForCausalLM, bare models.
PREFIXES = ("model.language_model.", "language_model.model.", "model.", "language_model.", "")
HEAD_PREFIXES = ("", "language_model.", "model.")


@dataclass(frozen=True)
class Selection:
    chosen: list[tuple[TensorRule, StoredTensor]]
    left_out: dict[str, int]  # reason -> tensors


def select_tensors(checkpoint: Checkpoint, config: TextConfig) -> Selection:
    """Raises ConversionError for a missing tensor, a wrong shape, a dtype we cannot read, a tensor nothing
    explains.
    """
    prefix = next((p for p in PREFIXES if f"{p}embed_tokens.weight" in checkpoint.tensors), PREFIXES[2])
    left = dict(checkpoint.tensors)
    chosen = []
    for rule in text_tensors(config):
        name = _find(rule, prefix, left)
        tensor = left.pop(name, None)
        if tensor is None:
            raise ConversionError(f"[convert] {checkpoint.folder}: tensor {name} missing")
        if tensor.shape != rule.shape:
            raise ConversionError(
                f"[convert] {name}: shape {list(rule.shape)} expected by config.json, "
                f"{list(tensor.shape)} found"
            )
        if tensor.dtype not in READABLE:
            raise ConversionError(f"[convert] {name}: {', '.join(READABLE)} expected, {tensor.dtype} found")
        chosen.append((rule, tensor))
    left_out: Counter[str] = Counter()
    unknown = []
    for name in left:
        reason = reason_to_leave_out(name, config)
        if reason is None:
            unknown.append(name)
        else:
            left_out[reason] += 1
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise ConversionError(
            f"[convert] {checkpoint.folder}: unknown tensors: {', '.join(sorted(unknown)[:3])}{more}"
        )
    return Selection(chosen, dict(left_out))


def _find(rule: TensorRule, prefix: str, tensors: dict[str, StoredTensor]) -> str:
    """The rule's name in this checkpoint; the expected one when it is absent."""
    if rule.source == OUTPUT_HEAD:
        names = [head + rule.source for head in HEAD_PREFIXES]
    else:
        names = [
            prefix + rule.source,
            f"{prefix}{rule.source}.weight",
        ]  # parameters such as experts.* occur both ways
    return next((name for name in names if name in tensors), names[0])
