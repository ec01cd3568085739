"""The demo model's tokenizer: Gemma-style BPE over "▁"-escaped text, byte fallback, the Gemma-4 special tokens.

    python vocab.py corpus.txt.xz OUT_DIR

Gemma's tokenizer splits text at newlines only. Trained like that, a small vocabulary would spend itself on phrases, so
training splits at spaces, digits and punctuation too; no learnt token then crosses such a border, and merging a whole
line gives the same ids as merging word by word. `WordEncoder` uses that to encode fast, with a cache by word.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

from corpus import read_corpus
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

VOCAB_SIZE = 4096
SPECIAL = [
    "<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>",
    "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>',
    "<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>", "<|video|>",
]  # fmt: skip
BOS = SPECIAL.index("<bos>")
STOPS = [SPECIAL.index(token) for token in ("<eos>", "<turn|>", "<|tool_response>")]
BYTES = [f"<0x{value:02X}>" for value in range(256)]
LINES = Regex("[^\n]+|\n+")
# What a learnt token may span: a word with its leading space, one digit, a run of punctuation, a run of newlines.
PIECES = "▁?[^▁\\n0-9\\p{P}\\p{S}]+|▁?(?:(?!▁)[\\p{P}\\p{S}])+|▁|[0-9]|\\n+"  # "▁" itself counts as punctuation
TRAINING_CHARACTERS = 12_000_000


def train(texts: list[str]) -> Tokenizer:
    """A tokenizer with exactly VOCAB_SIZE tokens."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[*SPECIAL, *BYTES, "\n"],
        show_progress=False,
        max_token_length=16,
        limit_alphabet=130,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(LINES, "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", BOS)])
    return _unmark(tokenizer)


def _unmark(tokenizer: Tokenizer) -> Tokenizer:
    """Byte and newline tokens are ordinary vocabulary entries, not special tokens matched in the text."""
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in SPECIAL]
    return Tokenizer.from_str(json.dumps(content))


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json, its settings and the chat template."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>",
        mask_token="<mask>",
    )  # fmt: skip
    wrapped.save_pretrained(folder)
    shutil.copy(Path(__file__).parent / "chat_template.jinja", folder / "chat_template.jinja")


class WordEncoder:
    """Text -> ids, word by word with a cache; equal to the tokenizer on the whole text, special tokens included."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._cache: dict[str, list[int]] = {}
        special = "|".join(re.escape(token) for token in SPECIAL)
        self._words = re.compile(r" ?[^ \n0-9]+|[0-9]|\n+| ")
        self._marked = re.compile(rf"{special}| ?(?:(?!{special})[^ \n0-9])+|[0-9]|\n+| ")

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in (self._marked if "<" in text else self._words).findall(text):
            known = self._cache.get(word)
            if known is None:
                known = self._tokenizer.encode(word, add_special_tokens=False).ids
                self._cache[word] = known
            ids += known
        return ids


def main() -> None:
    corpus, folder = Path(sys.argv[1]), Path(sys.argv[2])
    texts, step = [text for _, text in read_corpus(corpus)], 1
    while sum(len(text) for text in texts[::step]) > TRAINING_CHARACTERS:
        step += 1
    tokenizer = train(texts[::step])
    folder.mkdir(parents=True, exist_ok=True)
    save(tokenizer, folder)
    encode, sample = WordEncoder(tokenizer), "\n".join(texts[:: max(1, len(texts) // 40)])[:200_000]
    whole = tokenizer.encode(sample, add_special_tokens=False).ids
    print(f"{tokenizer.get_vocab_size()} tokens, {len(sample) / len(whole):.2f} characters per token,"
          f" word by word {'equal' if encode(sample) == whole else 'DIFFERENT'}")  # fmt: skip


if __name__ == "__main__":
    main()
