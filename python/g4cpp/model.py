"""A loaded model: generate, chat, tokenize, logits. The Python face of the engine."""

from __future__ import annotations

import operator
import warnings
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from g4cpp.demo import model_file
from g4cpp.errors import (
    ArgumentError,
    ArgumentTypeError,
    ContextOverflowError,
    MemoryPlanError,
    TemplateError,
)
from g4cpp.files import PathLike, open_gguf
from g4cpp.generation import SharedEngine, TokenLoop, closed_error, poll
from g4cpp.info import describe, free_memory
from g4cpp.options import GenerationOptions, SamplingDefaults, make_sampler
from g4cpp.placing import DeviceMap, parse_device_map, parse_gpu_layers
from g4cpp.progress import Callback, progress_callback
from g4cpp.streams import AnswerText, ChannelText, ChatStream, CompletionStream, TextSource
from g4cpp.template import BUILT_IN, ChatTemplate
from g4cpp.tokenizer import Tokenizer, checked_ids
from g4cpp.types import ChatCompletion, Completion, Message, ModelInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from g4cpp import _core
    from g4cpp.options import OptionArgs

WORTH_A_BAR = 10**9
"""Bytes of a file whose loading takes long enough to be watched."""

_StreamT = TypeVar("_StreamT", CompletionStream, ChatStream)


class Model:
    """A model in memory with the cache of one sequence. A context manager; close() frees the memory.

    Calls from several threads take turns. Calls of one model share its cache: a prompt that begins like the
    one before is computed only from where it differs. Raises only g4cpp.errors types, each also the natural
    built-in.
    """

    def __init__(
        self,
        path: PathLike | None = None,
        *,
        device: str = "auto",
        compute: str = "auto",
        n_ctx: int | Literal["auto"] = "auto",
        n_threads: int | None = None,
        micro_batch: int | Literal["auto"] = "auto",
        kv_dtype: str = "auto",
        kv_shared_skip: bool = True,
        repack: bool = True,
        n_gpu_layers: int | Literal["all", "auto"] = "auto",
        device_map: DeviceMap | None = None,
        progress: bool | Callback = False,
    ) -> None:
        """Loads `path`, a GGUF file or a name: None and "demo" are the 14 M demo model that ships with the package,
        "gemma3-270m" is Google's (extra [demo]).

        compute: "bf16", "f32" or "f16"; "auto" is what the device does best. n_ctx: tokens of context; "auto"
        is the trained context or what memory allows. n_threads: None is one per physical core. micro_batch:
        prompt tokens per pass; "auto" is what suits the device. kv_dtype: "f32", "f16", "bf16", "q8_0"; "auto"
        follows compute. kv_shared_skip: prompt tokens before the last skip the layers that only read the cache of
        others. repack: matrices are laid out anew in memory for fast instructions (bf16 and f16 modes); False
        leaves them as in the file, on the CPU mapped and shared with other processes, and slower. n_gpu_layers: so
        many of the last layers, the head being the very last (as llama.cpp counts), lie on the GPU and the rest on
        the CPU; "all" (or -1, or more than there are); "auto" is all, or as many as fit. device_map: instead of
        device, the layers each device holds, from the first on: {"cpu": 10, "cuda": "rest"}, pairs where one comes
        twice, or "cpu=10,cuda=rest"; the embeddings lie with the first, the head with the last. progress: True
        shows a bar on a terminal's standard error while a file of a gigabyte or more loads; a function is called
        with (file name, bytes done, bytes in all), and what it raises ends the load.
        Raises FileError, GGUFError, ModelError, MemoryPlanError, DeviceError, ArgumentError.
        """
        from g4cpp import _core

        gpu_layers = parse_gpu_layers(n_gpu_layers)
        layers_of = parse_device_map(device_map)
        context = 0 if n_ctx == "auto" else _count("n_ctx", n_ctx)
        chunk = 0 if micro_batch == "auto" else _count("micro_batch", micro_batch)
        threads = 0 if n_threads is None else _count("n_threads", n_threads)
        source = model_file(path)
        file = open_gguf(source)
        name = source.name
        shown = progress if callable(progress) else progress and source.stat().st_size >= WORTH_A_BAR
        with progress_callback(shown, name) as tell:
            engine = _core.Engine(
                file,
                device=device,
                compute=compute,
                n_ctx=context,
                n_threads=threads,
                micro_batch=chunk,
                kv_dtype=kv_dtype,
                kv_shared_skip=bool(kv_shared_skip),
                repack=bool(repack),
                n_gpu_layers=gpu_layers,
                device_map=layers_of,
                progress=lambda done, total: tell(name, done, total),
            )
        self._shared = SharedEngine(engine)
        self._file: _core.GgufFile | None = file
        self._defaults = SamplingDefaults.of_file(file)
        self._info = describe(file, engine)
        self._tokenizer: Tokenizer | None = None
        self._template: ChatTemplate | None = None
        self._hinted = False

    @property
    def info(self) -> ModelInfo:
        """Architecture, sizes, formats, memory plan, device."""
        return self._info

    @property
    def tokenizer(self) -> Tokenizer:
        """The file's tokenizer, built on first use. Raises ModelError when the file has none."""
        with self._shared.lock:
            if self._file is None:
                raise closed_error()
            if self._tokenizer is None:
                self._tokenizer = Tokenizer(self._file)
            return self._tokenizer

    def tokenize(self, text: str, add_bos: bool | None = None, parse_special: bool = True) -> list[int]:
        """See Tokenizer.encode: by default with the BOS the file asks for, as generate() reads its prompt."""
        return self.tokenizer.encode(text, add_bos, parse_special)

    def detokenize(self, ids: Iterable[int], keep_special: bool = False) -> str:
        """See Tokenizer.decode."""
        return self.tokenizer.decode(ids, keep_special)

    @overload
    def generate(
        self,
        prompt: str | Iterable[int],
        *,
        stream: Literal[False] = False,
        template: bool | str = False,
        options: GenerationOptions | None = None,
        **changes: Unpack[OptionArgs],
    ) -> Completion: ...
    @overload
    def generate(
        self,
        prompt: str | Iterable[int],
        *,
        stream: Literal[True],
        template: bool | str = False,
        options: GenerationOptions | None = None,
        **changes: Unpack[OptionArgs],
    ) -> CompletionStream: ...
    def generate(
        self,
        prompt: str | Iterable[int],
        *,
        stream: bool = False,
        template: bool | str = False,
        options: GenerationOptions | None = None,
        **changes: Unpack[OptionArgs],
    ) -> Completion | CompletionStream:
        """Continues `prompt`, a text (with the BOS the file asks for) or token ids (taken as they are).

        template: True wraps the text as a user turn by the file's template, a string is a template of one's
        own. stream: an iterator over pieces of text instead. Options: the fields of GenerationOptions, as
        `options` or by keyword.
        Raises ArgumentError, ContextOverflowError, TemplateError, ModelError.
        """
        chosen = GenerationOptions.of(options, changes)
        text: TextSource
        if template is not False:
            if not isinstance(prompt, str):
                raise ArgumentTypeError("[generate] prompt: a text expected with template, token ids found")
            override = template if isinstance(template, str) else None
            ids = self.prompt_ids([Message("user", prompt)], thinking=False, template=override)
            text = self._chat_text(chosen)
        else:
            if isinstance(prompt, str):
                self._hint_at_template()
                ids = self.tokenizer.encode(prompt)
            else:
                ids = checked_ids(prompt, self._info.n_vocab)
            text = AnswerText(self.tokenizer, chosen.stop_strings)
        pieces = CompletionStream(self._loop(ids, chosen), text)
        return pieces if stream else self._finish(pieces).result

    @overload
    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        thinking: bool = False,
        stream: Literal[False] = False,
        template: str | None = None,
        options: GenerationOptions | None = None,
        **changes: Unpack[OptionArgs],
    ) -> ChatCompletion: ...
    @overload
    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        thinking: bool = False,
        stream: Literal[True],
        template: str | None = None,
        options: GenerationOptions | None = None,
        **changes: Unpack[OptionArgs],
    ) -> ChatStream: ...
    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        thinking: bool = False,
        stream: bool = False,
        template: str | None = None,
        options: GenerationOptions | None = None,
        **changes: Unpack[OptionArgs],
    ) -> ChatCompletion | ChatStream:
        """Answers `messages`, dictionaries {"role", "content"}, by the file's template or by `template`.

        thinking: lets the model think first, where its template can; thoughts come apart from the answer.
        template: Jinja2 source or the name of a built-in one ("gemma3"). stream: an iterator over ChatPiece
        instead.
        Raises TemplateError (no template, or it refuses the messages), ArgumentError, ContextOverflowError,
        ModelError.
        """
        chosen = GenerationOptions.of(options, changes)
        ids = self.prompt_ids(messages, thinking=thinking, template=template)
        pieces = ChatStream(self._loop(ids, chosen), self._chat_text(chosen))
        return pieces if stream else self._finish(pieces).result

    def logits(self, ids: Iterable[int], positions: Iterable[int] | None = None) -> NDArray[np.float32]:
        """The model's float32 logits after each token of `ids`, [len(ids), n_vocab], or of `positions` only.

        Positions may be negative, as in Python. Raises ArgumentError, ContextOverflowError, and
        MemoryPlanError when the result would take more than half of the memory that is free.
        """
        tokens = checked_ids(ids, self._info.n_vocab)
        if not tokens:
            raise ArgumentError("[logits] ids: at least one token expected, 0 found")
        if len(tokens) > self._info.n_ctx:
            message = f"[logits] ids: {len(tokens)} tokens do not fit a context of {self._info.n_ctx}"
            raise ContextOverflowError(message, len(tokens), self._info.n_ctx)
        rows = list(range(len(tokens))) if positions is None else _rows(positions, len(tokens))
        size, free = 4 * len(rows) * self._info.n_vocab, free_memory()
        if size > free // 2:
            raise MemoryPlanError(
                f"[logits] positions: at most half of the {free / 1e9:.1f} GB of free memory expected, "
                f"{len(rows)} x {self._info.n_vocab} float32 are {size / 1e9:.1f} GB"
            )
        ascending = sorted(set(rows))
        with self._shared.step(None) as (engine, _):
            found = engine.logits(tokens, ascending, poll)
        return found if rows == ascending else found[[bisect_left(ascending, row) for row in rows]]

    def reset(self) -> None:
        """Forgets the cached tokens, so that the next call computes its whole prompt."""
        with self._shared.step(None) as (engine, _):
            engine.reset()

    def close(self) -> None:
        """Frees the model; later calls raise ModelError. Closing twice is fine."""
        with self._shared.lock:
            self._shared.close()
            self._file = self._tokenizer = None

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._shared.closed else f"{self._info.device}, {self._info.compute}"
        return f"Model({self._info.path!r}, {self._info.architecture}, {state})"

    def _loop(self, ids: list[int], options: GenerationOptions) -> TokenLoop:
        vocabulary = self.tokenizer
        sampler = make_sampler(
            options, self._defaults, self._info.n_vocab, suppress=vocabulary.suppress_ids, prompt=ids
        )
        own = () if options.ignore_eos else vocabulary.stop_ids
        return TokenLoop(
            self._shared,
            ids,
            sampler,
            n_ctx=self._info.n_ctx,
            max_tokens=options.max_tokens,
            stop_ids=[*own, *options.stop_ids],
        )

    def _finish(self, stream: _StreamT) -> _StreamT:
        with self._shared.lock:  # to its end: calls that wait their turn need not prefill twice
            for _ in stream:
                pass
        return stream

    def prompt_ids(
        self, messages: Sequence[Mapping[str, Any]], *, thinking: bool, template: str | None
    ) -> list[int]:
        """The prompt's ids; the BOS the template writes is not doubled."""
        vocabulary = self.tokenizer
        source = vocabulary.chat_template if template is None else BUILT_IN.get(template, template)
        if source is None:
            raise TemplateError(
                f"[chat] {self._info.path}: a chat template expected, none in this file; pass template= "
                f"(Jinja2 source, or the built-in {', '.join(map(repr, BUILT_IN))}), or use generate()"
            )
        compiled = self._template
        if compiled is None or compiled.source != source:
            compiled = self._template = ChatTemplate(source, vocabulary.special_texts)
        text = compiled.render(messages, thinking=thinking)
        bos = vocabulary.special_texts.get("bos_token")
        return vocabulary.encode(text, add_bos=False if bos and text.startswith(bos) else None)

    def _chat_text(self, options: GenerationOptions) -> TextSource:
        vocabulary = self.tokenizer
        opening, closing = vocabulary.find("<|channel>"), vocabulary.find("<channel|>")
        if opening is None or closing is None:
            return AnswerText(vocabulary, options.stop_strings)
        return ChannelText(vocabulary, options.stop_strings, opening, closing)

    def _hint_at_template(self) -> None:
        if self._info.has_chat_template and not self._hinted:
            self._hinted = True
            warnings.warn(
                "a chat model, and generate() continues the bare text: use chat() or generate(template=True)",
                stacklevel=3,
            )


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentTypeError(f"[model] {name}: a whole number expected, {value!r} found")
    number = operator.index(value)
    if not 0 < number < 2**31:
        raise ArgumentError(f"[model] {name}: at least 1 (and below 2^31) expected, {number} found")
    return number


def _rows(positions: Iterable[int], n_tokens: int) -> list[int]:
    try:
        plain = [operator.index(position) for position in positions]
    except TypeError as error:
        raise ArgumentTypeError(f"[logits] positions: whole numbers expected ({error})") from None
    if not plain:
        raise ArgumentError("[logits] positions: at least one expected, 0 found")
    for position in plain:
        if not -n_tokens <= position < n_tokens:
            raise ArgumentError(
                f"[logits] positions: {-n_tokens} to {n_tokens - 1} expected, {position} found"
            )
    return [position % n_tokens for position in plain]
