"""Small tokenizers trained on the spot, as the reference libraries build them, and their GGUF files.

Source: the settings of Gemma's published tokenizers (spaces as U+2581, byte fallback, no dummy prefix).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

SPACE = "\u2581"
USER_DEFINED = ["\n", "\n\n", SPACE * 2, SPACE * 3, "\t", "<b>", "</b>", "<table>"]
SPECIAL = [
    *(
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<mask>",
        "<|turn>",
        "<turn|>",
        "<|channel>",
        "<channel|>",
        "<|think|>",
    ),
    *("<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>'),
    *("<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>", "<|video|>"),
]
VISIBLE = {
    "<|channel>",
    "<channel|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    '<|"|>',
}
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


class TokenType(IntEnum):
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


def corpus() -> list[str]:
    """Some of the standard library's own source files."""
    return [str(path) for path in sorted(Path(os.__file__).parent.glob("*.py"))[:60]]


def train_gemma_bpe(vocab_size: int) -> Any:
    """A `tokenizers.Tokenizer` like Gemma's. Only SPECIAL are added tokens: "<0x41>" in a text is text."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    def tokenizer(**model: Any) -> Any:
        new = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>", **model))
        new.normalizer = normalizers.Replace(" ", SPACE)
        new.pre_tokenizer = pre_tokenizers.Split(Regex("[^\n]+|\n+"), "isolated")
        return new

    trained = tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL + BYTES, show_progress=False, max_token_length=16
    )
    trained.train(corpus(), trainer)
    model = json.loads(trained.to_str())["model"]
    result = tokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
    result.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    result.add_special_tokens(SPECIAL)
    return result


def write_gemma_bpe(tokenizer: Any, path: Path) -> None:
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    types = []
    for text in tokens:
        kind = TokenType.CONTROL if text in SPECIAL else TokenType.NORMAL
        kind = TokenType.USER_DEFINED if text in VISIBLE else kind
        types.append(TokenType.BYTE if text in BYTES else kind)
    merges = [f"{left} {right}" for left, right in model["merges"]]
    write_gguf(path, "gemma4", tokens, types, merges=merges, special={"bos": 2, "eos": 1, "unk": 3, "pad": 0})


def train_sentencepiece(folder: Path, vocab_size: int, **options: Any) -> Any:
    """A `sentencepiece` BPE model with Gemma's settings, user-defined runs of whitespace included."""
    import sentencepiece

    settings: dict[str, Any] = {
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "split_digits": True,
        "byte_fallback": True,
        "character_coverage": 0.999,
        "control_symbols": ["<start_of_turn>", "<end_of_turn>"],
        "user_defined_symbols": USER_DEFINED,
    }
    prefix = folder / "spm"
    text = folder / "corpus.txt"
    text.write_text("\n".join(Path(name).read_text("utf-8", "replace") for name in corpus()[:25]), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(prefix), model_type="bpe", vocab_size=vocab_size, minloglevel=2,
        num_threads=1, **(settings | options),
    )  # fmt: skip
    return sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")


def write_sentencepiece(
    model: Any, path: Path, *, add_space_prefix: bool = False, raw_spaces: bool = True
) -> None:
    """raw_spaces: user-defined pieces with spaces instead of U+2581, as llama.cpp's converter leaves them."""
    tokens, scores, types = [], [], []
    for token in range(len(model)):
        text, kind = model.id_to_piece(token), TokenType.NORMAL
        if model.is_unknown(token):
            kind = TokenType.UNKNOWN
        elif model.is_control(token):
            kind = TokenType.CONTROL
        elif model.is_byte(token):
            kind = TokenType.BYTE
        elif model.is_unused(token):
            kind = TokenType.UNUSED
        elif text in USER_DEFINED:
            kind = TokenType.USER_DEFINED
            text = text.replace(SPACE, " ") if raw_spaces else text
        tokens.append(text)
        scores.append(-1000.0 if kind == TokenType.USER_DEFINED else model.get_score(token))
        types.append(kind)
    special = {"bos": model.bos_id(), "eos": model.eos_id(), "unk": model.unk_id()}
    write_gguf(
        path, "llama", tokens, types, scores=scores, special=special, add_space_prefix=add_space_prefix
    )


def write_gguf(
    path: Path,
    model: str,
    tokens: Sequence[str],
    types: Sequence[int],
    *,
    scores: Sequence[float] | None = None,
    merges: Sequence[str] | None = None,
    special: dict[str, int],
    add_space_prefix: bool = False,
) -> None:
    """A GGUF file without tensors, through the reference `gguf` package."""
    import gguf

    writer = gguf.GGUFWriter(path, "gemma3" if model == "llama" else "gemma4")
    writer.add_tokenizer_model(model)
    writer.add_token_list([text.encode() for text in tokens])
    writer.add_token_types([int(kind) for kind in types])
    if scores is not None:
        writer.add_token_scores(list(scores))
    if merges is not None:
        writer.add_token_merges(list(merges))
    add_id = {"bos": writer.add_bos_token_id, "eos": writer.add_eos_token_id, "unk": writer.add_unk_token_id,
              "pad": writer.add_pad_token_id}  # fmt: skip
    for name, token in special.items():
        add_id[name](token)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(add_space_prefix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
