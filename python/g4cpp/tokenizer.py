"""Text to token ids and back, from the vocabulary inside a GGUF file (one without weights will do)."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING

from g4cpp.errors import ArgumentError, ArgumentTypeError, ModelError
from g4cpp.files import PathLike, has_vocabulary, open_gguf

if TYPE_CHECKING:
    from g4cpp import _core


class Tokenizer:
    """A file's tokenizer. Safe to use from several threads."""

    def __init__(self, file: _core.GgufFile) -> None:
        from g4cpp import _core

        if not has_vocabulary(file):
            raise ModelError(f"[tokenizer] {file.path}: a vocabulary expected, none in this file")
        self._core = _core.Tokenizer(file)
        names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding", "mask": "mask"}
        ids = {name: file.get(f"tokenizer.ggml.{key}_token_id") for name, key in names.items()}
        self.special_texts: dict[str, str] = {
            f"{name}_token": self._core.token_text(token)
            for name, token in ids.items()
            if isinstance(token, int) and 0 <= token < self._core.n_tokens
        }
        """The special tokens' texts under the names templates use: bos_token, eos_token, ..."""

    @classmethod
    def from_gguf(cls, path: PathLike) -> Tokenizer:
        """Raises FileError, GGUFError, ModelError (no vocabulary, or a malformed one)."""
        return cls(open_gguf(path))

    def encode(self, text: str, add_bos: bool | None = None, parse_special: bool = True) -> list[int]:
        """The ids of `text`.

        add_bos: None does what the file says. parse_special: whether texts like "<turn|>" become their
        special tokens.
        Raises ArgumentError for text that has no UTF-8 form (lone surrogates).
        """
        if not isinstance(text, str):
            raise ArgumentTypeError(f"[tokenizer] text: a string expected, {type(text).__name__} found")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            found = f"U+{ord(text[error.start]):04X} at {error.start}"
            raise ArgumentError(
                f"[tokenizer] text: Unicode expected, the lone surrogate {found} found"
            ) from None
        return self._core.encode(text, add_bos, parse_special)

    def decode(self, ids: Iterable[int], keep_special: bool = False) -> str:
        """The text of `ids`; special tokens are left out unless `keep_special`.

        Bytes that are not UTF-8 become U+FFFD.
        """
        return self._core.decode(checked_ids(ids, self.n_tokens), keep_special)

    def stream(self, keep_special: bool = False) -> _core.Detokenizer:
        """Piecewise decoding: push(id) gives the text that is complete by now, flush() the rest."""
        from g4cpp import _core

        return _core.Detokenizer(self._core, keep_special)

    def find(self, text: str) -> int | None:
        """The id of the token whose text is exactly `text`."""
        return self._core.find(text)

    def token_text(self, token: int) -> str:
        """The vocabulary's own text of a token."""
        return self._core.token_text(checked_ids([token], self.n_tokens)[0])

    def is_special(self, token: int) -> bool:
        return self._core.is_special(checked_ids([token], self.n_tokens)[0])

    def __len__(self) -> int:
        return self.n_tokens

    @property
    def n_tokens(self) -> int:
        return self._core.n_tokens

    @property
    def model(self) -> str:
        """ "gemma4" (BPE) or "llama" (SentencePiece)."""
        return self._core.model

    @property
    def add_bos(self) -> bool:
        """Whether the file asks for a BOS before every text."""
        return self._core.add_bos

    @property
    def bos_id(self) -> int | None:
        return self._core.bos_id

    @property
    def eos_id(self) -> int | None:
        return self._core.eos_id

    @property
    def stop_ids(self) -> list[int]:
        """The ids that end a turn."""
        return list(self._core.stop_ids)

    @property
    def suppress_ids(self) -> list[int]:
        """The ids the file says are never to be sampled."""
        return list(self._core.suppress_ids)

    @property
    def chat_template(self) -> str | None:
        return self._core.chat_template


def checked_ids(ids: Iterable[int], n_vocab: int) -> list[int]:
    """`ids` as plain ints, each in [0, n_vocab). Raises ArgumentError."""
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise ArgumentTypeError(f"[tokens] ids: a list of token ids expected, {type(ids).__name__} found")
    try:
        plain = [operator.index(token) for token in ids]
    except TypeError as error:
        raise ArgumentTypeError(f"[tokens] ids: whole numbers expected ({error})") from None
    for place, token in enumerate(plain):
        if not 0 <= token < n_vocab:
            raise ArgumentError(f"[tokens] ids[{place}]: 0 to {n_vocab - 1} expected, {token} found")
    return plain
