"""The tokenizer files of a checkpoint -> GGUF vocabulary arrays, as llama.cpp's converter lays them out.

Two forms. "gemma4": BPE from tokenizer.json, merges carried, every score -1000. "llama": SentencePiece
pieces with their scores from tokenizer.model, which Gemma 3 uses when the folder has one; a Gemma 3 folder
with only a tokenizer.json is written as "gemma4", which gives the ids of that tokenizer.json (both split
nothing but newline runs off, and no token of Gemma mixes newlines with other text). The vocabulary has
exactly vocab_size entries: ids no token has are filled with unused "[PADn]", ids beyond it (Gemma 3 1B's
image token) are dropped and noted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from g4cpp.errors import ConversionError

from .json_fields import Fields, read_json, read_optional_json
from .sentencepiece_model import read_pieces

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # tokenizer.ggml.token_type
DEFAULT_SCORE = -1000.0
UNUSED_SCORE = -10000.0
SPACE = "\u2581"
# Special tokens that stay visible in the output, so that thoughts and tool calls can be told from the answer.
VISIBLE = {
    "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>",
    '<|"|>',
}  # fmt: skip
ROLES = ("bos", "eos", "unk", "sep", "pad", "mask")


@dataclass(frozen=True)
class AddedToken:
    id: int
    text: str
    special: bool


@dataclass
class Vocabulary:
    """Tokens by id, and what GGUF says about them."""

    model: str  # "gemma4" or "llama"
    tokens: list[str]
    scores: list[float]
    types: list[int]
    merges: list[str] = field(default_factory=list)  # only of "gemma4": "left right"
    special_ids: dict[str, int] = field(default_factory=dict)  # by role
    add_bos: bool = True
    add_eos: bool | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def blank(cls, model: str, size: int) -> Vocabulary:
        return cls(model, [f"[PAD{i}]" for i in range(size)], [UNUSED_SCORE] * size, [UNUSED] * size)

    def set(self, id: int, text: str, score: float, type: int) -> None:
        if id < len(self.tokens):
            self.tokens[id], self.scores[id], self.types[id] = text, score, type
        else:
            self.notes.append(f"token {id} ({text}) lies beyond vocab_size {len(self.tokens)}: dropped")

    def find(self, text: str) -> int | None:
        return self.tokens.index(text) if text in self.tokens else None


def read_vocabulary(folder: Path, architecture: str, vocab_size: int) -> Vocabulary:
    """The vocabulary of the checkpoint in `folder`. Raises ConversionError naming the file."""
    settings = Fields(read_optional_json(folder / "tokenizer_config.json"), "tokenizer_config.json")
    if architecture == "gemma3" and (folder / "tokenizer.model").is_file():
        added = _added_tokens(folder, settings)
        vocabulary = _from_sentencepiece(folder / "tokenizer.model", added, vocab_size)
        vocabulary.add_bos = settings.flag("add_bos_token", True)
    else:
        tokenizer = read_json(folder / "tokenizer.json")
        added = _added_tokens(folder, settings)
        vocabulary = _from_tokenizer_json(tokenizer, added, _role_texts(settings), vocab_size)
    vocabulary.add_eos = settings.flag("add_eos_token", False) if settings.has("add_eos_token") else None
    vocabulary.special_ids = _special_ids(folder, settings, vocabulary)
    return vocabulary


def _from_tokenizer_json(
    tokenizer: dict[str, object], added: list[AddedToken], role_texts: dict[str, str], vocab_size: int
) -> Vocabulary:
    root = Fields(tokenizer, "tokenizer.json")
    model = root.section("model")
    if model is None or model.text("type") != "BPE" or not model.flag("byte_fallback", False):
        raise root.unsupported("model", "a BPE model with byte_fallback, as all of Gemma's are,")
    ids, merges = model.raw("vocab"), model.raw("merges")
    if not isinstance(ids, dict) or not isinstance(merges, list):
        raise ConversionError("[convert] tokenizer.json: model: vocab and merges expected")
    if not _escapes_spaces(tokenizer.get("normalizer")):
        raise root.unsupported("normalizer", f"' ' replaced by {SPACE!r}")
    vocabulary = Vocabulary.blank("gemma4", vocab_size)
    seen: dict[int, str] = {}
    for text, id in ids.items():
        if isinstance(id, bool) or not isinstance(id, int) or id < 0 or id in seen:
            raise ConversionError(
                f"[convert] tokenizer.json: vocab: {text!r}: a new id expected, {id!r} found"
            )
        seen[id] = text
        is_byte = re.fullmatch(r"<0x[0-9A-Fa-f]{2}>", text) is not None
        vocabulary.set(id, text, DEFAULT_SCORE, BYTE if is_byte else NORMAL)
    for token in added:
        if seen.setdefault(token.id, token.text) != token.text:
            raise ConversionError(
                f"[convert] tokenizer.json: {token.text!r} and {seen[token.id]!r} share the id {token.id}"
            )
        if token.id >= vocab_size or vocabulary.types[token.id] != BYTE:
            vocabulary.set(token.id, token.text, DEFAULT_SCORE, CONTROL if token.special else USER_DEFINED)
    for text in role_texts.values():
        id = ids.get(text)
        if isinstance(id, int) and id < vocab_size:
            vocabulary.types[id] = CONTROL
    for id, text in enumerate(vocabulary.tokens):
        if text in VISIBLE:
            vocabulary.types[id] = USER_DEFINED
    vocabulary.merges = [_merge(pair) for pair in merges]
    return vocabulary


def _from_sentencepiece(path: Path, added: list[AddedToken], vocab_size: int) -> Vocabulary:
    vocabulary = Vocabulary.blank("llama", vocab_size)
    for id, piece in enumerate(read_pieces(path)):
        vocabulary.set(id, piece.text, piece.score, piece.type)
    for token in added:
        special = token.special or _looks_special(token.text)
        # the text of a user-defined token is matched against raw text, where spaces are spaces
        text = token.text if special else token.text.replace(SPACE, " ")
        vocabulary.set(token.id, text, DEFAULT_SCORE, CONTROL if special else USER_DEFINED)
    return vocabulary


def _merge(pair: object) -> str:
    parts = pair.split(" ") if isinstance(pair, str) else pair
    if (
        not isinstance(parts, list)
        or len(parts) != 2
        or any(not isinstance(p, str) or not p or " " in p for p in parts)
    ):
        raise ConversionError(
            f"[convert] tokenizer.json: merges: two parts without spaces expected, {pair!r} found"
        )
    return f"{parts[0]} {parts[1]}"


def _escapes_spaces(normalizer: object) -> bool:
    if not isinstance(normalizer, dict):
        return False
    if normalizer.get("type") == "Sequence":
        steps = normalizer.get("normalizers")
        return isinstance(steps, list) and any(_escapes_spaces(step) for step in steps)
    return normalizer.get("pattern") == {"String": " "} and normalizer.get("content") == SPACE


def _looks_special(text: str) -> bool:
    """Gemma's older files do not mark all of their special tokens as such."""
    return (
        text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
        or re.fullmatch(r"<\|.*\|>|<unused\d*>", text) is not None
    )


def _added_tokens(folder: Path, settings: Fields) -> list[AddedToken]:
    """From tokenizer.json, or from tokenizer_config.json where older checkpoints keep them."""
    entries: list[tuple[object, object]] = []
    listed = read_optional_json(folder / "tokenizer.json").get("added_tokens")
    decoder = settings.section("added_tokens_decoder")
    if isinstance(listed, list):
        entries = [(entry.get("id"), entry) for entry in listed if isinstance(entry, dict)]
    elif decoder is not None:
        entries = [(int(key) if key.isdecimal() else None, entry) for key, entry in decoder.items()]
    tokens = []
    for id, entry in entries:
        text = entry.get("content") if isinstance(entry, dict) else None
        if (
            isinstance(id, bool)
            or not isinstance(id, int)
            or id < 0
            or not isinstance(entry, dict)
            or not isinstance(text, str)
        ):
            raise ConversionError(
                f"[convert] added tokens: an id and a content expected, {id!r}: {entry!r} found"
            )
        tokens.append(AddedToken(id, text, entry.get("special") is True))
    return tokens


def _role_texts(settings: Fields) -> dict[str, str]:
    """The text of each special role that tokenizer_config.json names."""
    texts = {}
    for role in ROLES:
        value = settings.raw(f"{role}_token")
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str):
            texts[role] = content
    return texts


def _special_ids(folder: Path, settings: Fields, vocabulary: Vocabulary) -> dict[str, int]:
    """Ids by role: from the text in tokenizer_config.json, else from config.json's `<role>_token_id`."""
    root = Fields(read_json(folder / "config.json"), "config.json")
    text_config = root.section("text_config") or root
    texts = _role_texts(settings)
    ids: dict[str, int] = {}
    for role in ROLES:
        by_text = vocabulary.find(texts[role]) if role in texts else None
        by_id = root.integers(f"{role}_token_id") or text_config.integers(f"{role}_token_id")
        candidates = ([by_text] if by_text is not None else []) + by_id
        if candidates and candidates[0] < len(vocabulary.tokens):
            ids[role] = candidates[0]
    for role in ("bos", "eos"):
        if role not in ids:
            raise ConversionError(
                f"[convert] {folder}: no {role} token in tokenizer_config.json or config.json"
            )
    return ids
