"""What a checkpoint says about its use: chat templates, stop tokens, suppressed tokens; and all tokenizer.*
keys.
"""

from __future__ import annotations

import re
from pathlib import Path

from g4cpp.errors import ConversionError

from .json_fields import Fields, read_optional_json
from .metadata import Entry
from .vocabulary import Vocabulary

ROLE_KEYS = {
    "bos": "bos",
    "eos": "eos",
    "unk": "unknown",
    "sep": "seperator",
    "pad": "padding",
    "mask": "mask",
}
TURN_ENDS = ("<turn|>", "<end_of_turn>")


def tokenizer_entries(vocabulary: Vocabulary, folder: Path, generation: Fields) -> list[Entry]:
    """Every key under tokenizer. ; also appends to vocabulary.notes what has no key."""
    entries = [Entry("tokenizer.ggml.model", vocabulary.model, "string")]
    if vocabulary.model == "llama":
        entries.append(Entry("tokenizer.ggml.pre", "default", "string"))
    entries += [
        Entry("tokenizer.ggml.tokens", vocabulary.tokens, "string"),
        Entry("tokenizer.ggml.scores", vocabulary.scores, "f32"),
        Entry("tokenizer.ggml.token_type", vocabulary.types, "i32"),
    ]
    if vocabulary.model == "gemma4":
        entries.append(Entry("tokenizer.ggml.merges", vocabulary.merges, "string"))
    entries += [
        Entry(f"tokenizer.ggml.{ROLE_KEYS[role]}_token_id", id, "u32")
        for role, id in vocabulary.special_ids.items()
    ]
    entries += _stop_entries(vocabulary, generation)
    entries += [
        Entry("tokenizer.ggml.add_space_prefix", False, "bool"),
        Entry("tokenizer.ggml.add_bos_token", vocabulary.add_bos, "bool"),
    ]
    if vocabulary.add_eos is not None:
        entries.append(Entry("tokenizer.ggml.add_eos_token", vocabulary.add_eos, "bool"))
    suppressed = [id for id in generation.integers("suppress_tokens") if id < len(vocabulary.tokens)]
    if suppressed:  # ids beyond the vocabulary can never be sampled anyway
        entries.append(Entry("tokenizer.ggml.suppress_tokens", suppressed, "i32"))
    return entries + _template_entries(read_templates(folder))


def _stop_entries(vocabulary: Vocabulary, generation: Fields) -> list[Entry]:
    """GGUF names one end of text and one end of turn; generation_config.json may list more ids that stop."""
    more = [id for id in generation.integers("eos_token_id") if id != vocabulary.special_ids["eos"]]
    turn_end = next(
        (id for id in more if id < len(vocabulary.tokens) and vocabulary.tokens[id] in TURN_ENDS), None
    )
    for id in more:
        text = vocabulary.tokens[id] if id < len(vocabulary.tokens) else None
        if id != turn_end and text != "<|tool_response>":  # readers find that one by its text
            vocabulary.notes.append(
                f"stop token {id} ({text}) of generation_config.json has no key in GGUF: left out"
            )
    return [] if turn_end is None else [Entry("tokenizer.ggml.eot_token_id", turn_end, "u32")]


def read_templates(folder: Path) -> dict[str, str]:
    """Chat templates by name, "default" the usual one: chat_template.jinja first, as in transformers."""
    main = folder / "chat_template.jinja"
    if main.is_file():
        files = {"default": main}
        files |= {path.stem: path for path in sorted((folder / "additional_chat_templates").glob("*.jinja"))}
        try:
            return {name: path.read_text(encoding="utf-8") for name, path in files.items()}
        except (OSError, ValueError) as error:
            raise ConversionError(
                f"[convert] {folder}: chat template: UTF-8 text expected: {error}"
            ) from error
    for name in ("chat_template.json", "tokenizer_config.json"):
        value = read_optional_json(folder / name).get("chat_template")
        if isinstance(value, str):
            return {"default": value}
        if isinstance(value, list):
            return {
                str(entry["name"]): entry["template"]
                for entry in value
                if isinstance(entry, dict) and "name" in entry and isinstance(entry.get("template"), str)
            }
    return {}


def _template_entries(templates: dict[str, str]) -> list[Entry]:
    entries = []
    named = {
        re.sub(r"[^0-9A-Za-z]", "_", name): text for name, text in templates.items() if name != "default"
    }
    if "default" in templates:
        entries.append(Entry("tokenizer.chat_template", templates["default"], "string"))
    entries += [Entry(f"tokenizer.chat_template.{name}", text, "string") for name, text in named.items()]
    if named:
        entries.append(Entry("tokenizer.chat_templates", list(named), "string"))
    return entries
