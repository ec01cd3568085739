"""The demo model's text part and tokenizer out of its GGUF file, for transformers and tokenizers."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import Gemma4ForCausalLM

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "python"))
from demo_checkpoint import write_checkpoint

CONTROL = 3  # the token type of special tokens


def load_text(file: Path, dtype: torch.dtype) -> Gemma4ForCausalLM:
    """With the weights of the file, dequantised."""
    with tempfile.TemporaryDirectory() as folder:
        return Gemma4ForCausalLM.from_pretrained(write_checkpoint(file, Path(folder)), dtype=dtype)


def load_tokenizer(file: Path) -> Tokenizer:
    """BPE over "▁"-escaped text with byte fallback, split at newlines, as vocab.py makes it."""
    fields = GGUFReader(file).fields
    tokens, types = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[^\n]+|\n+"), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL or token == "<unk>"]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer
