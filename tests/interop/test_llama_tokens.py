"""Token ids equal llama.cpp's, for both kinds of vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from texts import PROMPTS, documentation

from g4cpp.tokenizer import Tokenizer

if TYPE_CHECKING:
    from g4cpp.peers.llama_cpp import LlamaPeer

pytestmark = pytest.mark.interop
# Adversarial strings are compared with `tokenizers` and `sentencepiece` (tests/python/test_tokenizer.py), from which
# llama.cpp departs on literal U+2581 and on a text that itself begins with BOS.
TEXTS = [*PROMPTS, documentation()]


def same_ids(path: Path, texts: list[str], llama: type[LlamaPeer]) -> None:
    tokenizer = Tokenizer.from_gguf(path)
    with llama(path, n_ctx=64, n_threads=1) as peer:
        for text in texts:
            for parse_special in (True, False):
                expected = peer.tokenize(text, parse_special=parse_special)
                assert tokenizer.encode(text, True, parse_special) == expected, (text, parse_special)


def test_gemma3_270m(llama: type[LlamaPeer], gemma3_270m: Path) -> None:
    same_ids(gemma3_270m, TEXTS, llama)


def test_gemma4_vocabulary(llama: type[LlamaPeer], tiny_file: Callable[..., Path]) -> None:
    same_ids(tiny_file("dense_e"), TEXTS, llama)
