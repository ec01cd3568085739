"""A loaded model: generate, chat, tokenize, logits. The Python face of the engine."""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from g4cpp.arguments import row_numbers
from g4cpp.errors import ArgumentError, ArgumentTypeError, ContextOverflowError, MemoryPlanError
from g4cpp.files import PathLike
from g4cpp.generation import SharedEngine, TokenLoop, closed_error, poll
from g4cpp.info import describe, free_memory
from g4cpp.loading import load, tower_device
from g4cpp.media.encoder import MediaEncoder
from g4cpp.options import GenerationOptions, SamplingDefaults, make_sampler
from g4cpp.placing import DeviceMap
from g4cpp.progress import Callback
from g4cpp.prompt import Prompt
from g4cpp.prompting import Prompter, PromptLike, is_parts
from g4cpp.streams import AnswerText, ChannelText, ChatStream, CompletionStream, TextSource
from g4cpp.tokenizer import Tokenizer, checked_ids
from g4cpp.types import ChatCompletion, Completion, ModelInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from g4cpp import _core
    from g4cpp.options import OptionArgs

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
        mmproj: PathLike | Literal[False] | None = None,
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
        with (file name, bytes done, bytes in all), and what it raises ends the load. mmproj: the projector file
        with which the model sees and hears, loaded when the first medium comes; None finds one that lies beside the
        model (mmproj*.gguf or *mmproj*.gguf), False takes none.
        Raises FileError, GGUFError, ModelError, MemoryPlanError, DeviceError, ArgumentError.
        """
        loaded = load(
            path,
            device=device,
            compute=compute,
            n_ctx=n_ctx,
            n_threads=n_threads,
            micro_batch=micro_batch,
            kv_dtype=kv_dtype,
            kv_shared_skip=bool(kv_shared_skip),
            repack=bool(repack),
            n_gpu_layers=n_gpu_layers,
            device_map=device_map,
            progress=progress,
            mmproj=mmproj,
        )
        engine, file = loaded.engine, loaded.file
        self._shared = SharedEngine(engine)
        self._file: _core.GgufFile | None = file
        self._defaults = SamplingDefaults.of_file(file)
        self._info = describe(file, engine, loaded.projector.info)
        self._encoder = MediaEncoder(
            loaded.projector, device=tower_device(engine), compute=engine.compute, n_threads=engine.n_threads
        )
        self._tokenizer: Tokenizer | None = None
        self._prompter: Prompter | None = None
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
        prompt: PromptLike,
        *,
        stream: Literal[False] = False,
        template: bool | str = False,
        options: GenerationOptions | None = None,
        **changes: Unpack[OptionArgs],
    ) -> Completion: ...
    @overload
    def generate(
        self,
        prompt: PromptLike,
        *,
        stream: Literal[True],
        template: bool | str = False,
        options: GenerationOptions | None = None,
        **changes: Unpack[OptionArgs],
    ) -> CompletionStream: ...
    def generate(
        self,
        prompt: PromptLike,
        *,
        stream: bool = False,
        template: bool | str = False,
        options: GenerationOptions | None = None,
        **changes: Unpack[OptionArgs],
    ) -> Completion | CompletionStream:
        """Continues `prompt`: a text (with the BOS the file asks for), token ids (taken as they are), or a list of
        texts and media, [Image("cat.png"), "What is this?"].

        template: True wraps texts and media as a user turn by the file's template, a string is a template of one's
        own. stream: an iterator over pieces of text instead. Options: the fields of GenerationOptions, as
        `options` or by keyword.
        Raises ArgumentError, ContextOverflowError, TemplateError, FileError, ModelError.
        """
        chosen = GenerationOptions.of(options, changes)
        if template is False and (isinstance(prompt, str) or is_parts(prompt)):
            self._hint_at_template()
        whole = self.prompt(prompt, template)
        text = AnswerText(self.tokenizer, chosen.stop_strings) if template is False else self._chat_text(chosen)
        pieces = CompletionStream(self._loop(whole, chosen), text)
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

        A content is a text or a list of parts, {"type": "text", "text": ...} and media as OpenAI and Hugging Face
        write them: "image_url", "input_audio", "image", "audio", "video" (g4cpp.media.content); or Image, Audio, Video.
        thinking: lets the model think first, where its template can; thoughts come apart from the answer.
        template: Jinja2 source or the name of a built-in one ("gemma3"). stream: an iterator over ChatPiece
        instead.
        Raises TemplateError (no template, or it refuses the messages), ArgumentError, ContextOverflowError,
        ModelError.
        """
        chosen = GenerationOptions.of(options, changes)
        prompt = self.chat_prompt(messages, thinking=thinking, template=template)
        pieces = ChatStream(self._loop(prompt, chosen), self._chat_text(chosen))
        return pieces if stream else self._finish(pieces).result

    def prompt(self, prompt: PromptLike, template: bool | str = False) -> Prompt:
        """What generate() computes for `prompt`: token ids, and the media that take the places of some.

        Raises as generate() does.
        """
        if isinstance(prompt, Prompt):
            return prompt
        texts = isinstance(prompt, str) or is_parts(prompt)
        if template is not False:
            if not texts:
                raise ArgumentTypeError("[generate] prompt: a text expected with template, token ids found")
            override = template if isinstance(template, str) else None
            return self.chat_prompt([{"role": "user", "content": prompt}], template=override)
        if isinstance(prompt, str):
            return Prompt(self.tokenizer.encode(prompt))
        return self._prompts.of_parts(prompt) if texts else Prompt(checked_ids(prompt, self._info.n_vocab))  # type: ignore[arg-type]

    def chat_prompt(
        self, messages: Sequence[Mapping[str, Any]], *, thinking: bool = False, template: str | None = None
    ) -> Prompt:
        """What chat() computes for `messages`. Raises as chat() does."""
        return self._prompts.of_messages(messages, thinking, template)

    def embed_image(
        self, image: object, *, tokens: int | None = None, detail: str | None = None
    ) -> NDArray[np.float32]:
        """The soft tokens of an image (an Image, a path, bytes, a data: URL, a PIL image or an array), [n, hidden]
        float32: what takes the place of embeddings in a prompt.

        tokens: the budget, 70, 140, 280, 560 or 1120; detail: or "low", "auto", "high". Raises ArgumentError
        (unreadable, or a model that does not see), FileError, ModelError.
        """
        return self._encoder.embed("image", image, poll, tokens=tokens, detail=detail)

    def embed_audio(self, audio: object) -> NDArray[np.float32]:
        """Soft tokens of sound, [n, hidden] float32; those of clips of 30 s, one after another, where it is longer.

        Raises as embed_image() does.
        """
        return self._encoder.embed("audio", audio, poll)

    def logits(self, ids: PromptLike, positions: Iterable[int] | None = None) -> NDArray[np.float32]:
        """The model's float32 logits after each token of `ids`, [len(ids), n_vocab], or of `positions` only.

        `ids` may also be a list of texts and media, or what prompt() makes of one. Positions may be negative, as in
        Python. Raises ArgumentError, ContextOverflowError, and MemoryPlanError when the result would take more than
        half of the memory that is free.
        """
        if isinstance(ids, str):
            raise ArgumentTypeError("[logits] ids: a list of token ids expected, str found")
        prompt = self.prompt(ids)
        tokens = prompt.ids
        if not tokens:
            raise ArgumentError("[logits] ids: at least one token expected, 0 found")
        if len(tokens) > self._info.n_ctx:
            message = f"[logits] ids: {len(tokens)} tokens do not fit a context of {self._info.n_ctx}"
            raise ContextOverflowError(message, len(tokens), self._info.n_ctx)
        rows = list(range(len(tokens))) if positions is None else row_numbers(positions, len(tokens))
        size, free = 4 * len(rows) * self._info.n_vocab, free_memory()
        if size > free // 2:
            raise MemoryPlanError(
                f"[logits] positions: at most half of the {free / 1e9:.1f} GB of free memory expected, "
                f"{len(rows)} x {self._info.n_vocab} float32 are {size / 1e9:.1f} GB"
            )
        ascending = sorted(set(rows))
        with self._shared.step(None) as (engine, _):
            found = engine.logits(tokens, ascending, poll, prompt.media)
        return found if rows == ascending else found[[bisect_left(ascending, row) for row in rows]]

    def reset(self) -> None:
        """Forgets the cached tokens, so that the next call computes its whole prompt."""
        with self._shared.step(None) as (engine, _):
            engine.reset()

    def close(self) -> None:
        """Frees the model; later calls raise ModelError. Closing twice is fine."""
        with self._shared.lock:
            self._shared.close()
            self._file = self._tokenizer = self._prompter = None
        self._encoder.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._shared.closed else f"{self._info.device}, {self._info.compute}"
        return f"Model({self._info.path!r}, {self._info.architecture}, {state})"

    @property
    def _prompts(self) -> Prompter:
        vocabulary = self.tokenizer
        with self._shared.lock:
            if self._prompter is None:
                self._prompter = Prompter(vocabulary, self._info.path, self._encoder, poll)
            return self._prompter

    def _loop(self, prompt: Prompt, options: GenerationOptions) -> TokenLoop:
        vocabulary = self.tokenizer
        sampler = make_sampler(
            options, self._defaults, self._info.n_vocab, suppress=vocabulary.suppress_ids, prompt=prompt.ids
        )
        own = () if options.ignore_eos else vocabulary.stop_ids
        return TokenLoop(
            self._shared,
            prompt,
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

