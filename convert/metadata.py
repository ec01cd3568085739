"""TextConfig and generation_config.json -> GGUF keys, with the types llama.cpp reads. docs/gguf-keys.md
explains each key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from g4cpp import _core
from g4cpp.errors import ConversionError

from .hf_config import TextConfig
from .json_fields import Fields

# general.file_type (llama.cpp's ftype numbers) of the types we write
FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7, "bf16": 32}
QUANTIZATION_VERSION = 2

Scalar = int | float | bool | str


@dataclass(frozen=True)
class Entry:
    """One metadata key; a list is written as an array of `type`."""

    key: str
    value: Scalar | Sequence[int] | Sequence[float] | Sequence[bool] | Sequence[str]
    type: _core.ValueType

    def write(self, writer: _core.GgufWriter) -> None:
        if isinstance(self.value, (int, float, str)):  # bool is an int
            self._check_text([self.value])
            writer.add(self.key, self.value, self.type)
        else:
            self._check_text(self.value)
            writer.add_array(self.key, self.value, self.type)

    def _check_text(self, values: Sequence[object]) -> None:
        """JSON can spell half of a surrogate pair, which UTF-8 cannot."""
        try:
            for value in values if self.type == "string" else ():
                str(value).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ConversionError(f"[convert] {self.key}: text expected, {error.object!r} found") from error


def general_entries(
    architecture: str, type: str, name: str, folder: Path, file_type: str, size_label: str
) -> list[Entry]:
    return [
        Entry("general.architecture", architecture, "string"),
        Entry("general.type", type, "string"),
        Entry("general.name", name, "string"),
        Entry("general.size_label", size_label, "string"),
        *_license_entries(folder / "README.md"),
        Entry("general.file_type", FILE_TYPES[file_type], "u32"),
        Entry("general.quantization_version", QUANTIZATION_VERSION, "u32"),
    ]


def sampling_entries(generation: Fields) -> list[Entry]:
    """The sampling defaults of generation_config.json that GGUF has keys for."""
    floats = {
        "temp": "temperature",
        "top_p": "top_p",
        "min_p": "min_p",
        "penalty_repeat": "repetition_penalty",
    }
    entries = []
    if generation.raw("top_k") is not None:
        entries.append(Entry("general.sampling.top_k", generation.integer("top_k", minimum=0), "i32"))
    for key, source in floats.items():
        value = generation.optional_number(source)
        if value is not None:
            entries.append(Entry(f"general.sampling.{key}", value, "f32"))
    return entries


def model_entries(config: TextConfig) -> list[Entry]:
    """The keys under the architecture's name."""
    entries = [
        Entry("context_length", config.context, "u32"),
        Entry("embedding_length", config.hidden, "u32"),
        Entry("block_count", config.layers, "u32"),
        _scalar_or_layers("feed_forward_length", config.mlp),
        Entry("attention.head_count", config.heads, "u32"),
        _scalar_or_layers("attention.head_count_kv", config.kv_heads),
        Entry("attention.key_length", config.head_dim_global, "u32"),
        Entry("attention.value_length", config.head_dim_global, "u32"),
        Entry("attention.layer_norm_rms_epsilon", config.rms_eps, "f32"),
        Entry("attention.sliding_window", config.sliding_window, "u32"),
        Entry("rope.freq_base", config.rope.theta_global, "f32"),
        Entry("rope.freq_base_swa", config.rope.theta_sliding, "f32"),
    ]
    if config.softcap is not None:
        entries.append(Entry("final_logit_softcapping", config.softcap, "f32"))
    entries += _gemma4_entries(config) if config.architecture == "gemma4" else _gemma3_entries(config)
    return [Entry(f"{config.architecture}.{entry.key}", entry.value, entry.type) for entry in entries]


def _gemma4_entries(config: TextConfig) -> list[Entry]:
    entries = [
        Entry("attention.key_length_swa", config.head_dim, "u32"),
        Entry("attention.value_length_swa", config.head_dim, "u32"),
        Entry("attention.shared_kv_layers", config.kv_shared_layers, "u32"),
        Entry("attention.sliding_window_pattern", config.sliding, "bool"),
        Entry("attention.bidirectional_media", config.bidirectional_media, "bool"),
        Entry("embedding_length_per_layer_input", config.per_layer_hidden, "u32"),
        # all pairs of a global head: rope_freqs.weight stops those that do not rotate
        Entry("rope.dimension_count", config.head_dim_global, "u32"),
        Entry("rope.dimension_count_swa", config.head_dim, "u32"),
    ]
    if config.experts:
        entries += [
            Entry("expert_count", config.experts, "u32"),
            Entry("expert_used_count", config.experts_used, "u32"),
            Entry("expert_feed_forward_length", config.expert_mlp, "u32"),
        ]
    return entries


def _gemma3_entries(config: TextConfig) -> list[Entry]:
    entries = []
    if config.sliding != tuple((layer + 1) % 6 != 0 for layer in range(config.layers)):
        entries.append(Entry("attention.sliding_window_pattern", config.sliding, "bool"))
    if config.rope.scale != 1.0:
        entries += [
            Entry("rope.scaling.type", "linear", "string"),
            Entry("rope.scaling.factor", config.rope.scale, "f32"),
        ]
    return entries


def _scalar_or_layers(key: str, values: tuple[int, ...]) -> Entry:
    return Entry(key, values[0], "u32") if len(set(values)) == 1 else Entry(key, values, "i32")


def size_label(n_parameters: int, n_expert_parameters: int, experts: int) -> str:
    """A model's size in words: "4.7B", or "128x2.4B" with the size one expert and all that is shared have
    together.
    """
    count = n_parameters
    prefix = ""
    if experts:
        count = n_parameters - n_expert_parameters + n_expert_parameters // experts
        prefix = f"{experts}x"
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= unit or letter == "K":
            amount = count / unit
            return f"{prefix}{amount:.{1 if amount < 10 else 0}f}{letter}"
    raise AssertionError("unreachable")


def _license_entries(card: Path) -> list[Entry]:
    """The license named in the front matter of the model card, if there is one."""
    try:
        text = card.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    if front is None:
        return []
    keys = {
        "license": "general.license",
        "license_name": "general.license.name",
        "license_link": "general.license.link",
    }
    found = dict(re.findall(r"^(license(?:_name|_link)?):[ \t]*(\S.*?)[ \t]*$", front[1], re.MULTILINE))
    return [Entry(keys[key], found[key].strip("\"'"), "string") for key in keys if key in found]
