"""g4cpp chat: a conversation in the terminal, or one turn per line of a pipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from g4cpp.cli.common import (
    ComputeOption,
    ContextOption,
    DebugOption,
    DeviceMapOption,
    DeviceOption,
    GpuLayersOption,
    KvOption,
    MaxTokensOption,
    MinPOption,
    MmprojOption,
    ModelOption,
    RepackOption,
    RepetitionOption,
    SeedOption,
    StopOption,
    TemperatureOption,
    ThreadsOption,
    TopKOption,
    TopPOption,
    choose,
    load,
    note,
    write,
)
from g4cpp.cli.media import AudioOption, ImageOption, ImageTokensOption, VideoOption, media_parts, medium, told
from g4cpp.errors import ContextOverflowError, FileError, G4Error

if TYPE_CHECKING:
    from g4cpp.chat import Conversation
    from g4cpp.media.content import Medium

HELP = (
    "/image FILE, /audio FILE and /video FILE go with the next message, /reset forgets the conversation, "
    "/exit (or Ctrl-D) leaves, Ctrl-C stops an answer, /help shows this"
)


def chat(
    model: ModelOption = None,
    image: ImageOption = None,
    video: VideoOption = None,
    audio: AudioOption = None,
    image_tokens: ImageTokensOption = None,
    mmproj: MmprojOption = None,
    system: Annotated[str | None, typer.Option("--system", help="System message.")] = None,
    thinking: Annotated[
        bool, typer.Option("--thinking", help="Let the model think first; thoughts are dim.")
    ] = False,
    template: Annotated[
        str | None,
        typer.Option("--template", help="gemma3 or a Jinja2 file, instead of the model file's own."),
    ] = None,
    max_tokens: MaxTokensOption = None,
    temperature: TemperatureOption = None,
    top_k: TopKOption = None,
    top_p: TopPOption = None,
    min_p: MinPOption = None,
    repetition_penalty: RepetitionOption = None,
    seed: SeedOption = None,
    stop: StopOption = None,
    device: DeviceOption = "auto",
    gpu_layers: GpuLayersOption = "auto",
    device_map: DeviceMapOption = None,
    compute: ComputeOption = "auto",
    kv_dtype: KvOption = "auto",
    threads: ThreadsOption = None,
    repack: RepackOption = True,
    n_ctx: ContextOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Chat. Reads one message per line; answers stream as they come. Media go with the first message."""
    from g4cpp.chat import Conversation

    source = _template(template)
    choice = choose(model, max_tokens)
    options: dict[str, Any] = {
        "max_tokens": choice.max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
        "stop": stop or (),
    }
    attached = media_parts(image, video, audio, image_tokens)
    placing = (gpu_layers, device_map, kv_dtype, mmproj)
    with told(), load(choice.path, device, compute, threads, n_ctx, repack, *placing) as loaded:
        talk = Conversation(loaded, system=system, thinking=thinking, template=source or choice.template)
        talk.check()
        if attached:
            loaded.prompt(attached)
        if sys.stdin.isatty():
            note(HELP)
        while (line := _read_line()) is not None:
            command = line.split()[0] if line.startswith("/") else ""
            if line == "/exit":
                break
            if line == "/reset":
                talk.reset()
                attached = []
                note("a new conversation")
            elif line == "/help":
                note(HELP)
            elif command in _MEDIA:
                attached += _attach(talk, _MEDIA[command], line.removeprefix(command).strip(), image_tokens)
            elif command:
                note(f"no command {command}; {HELP}")
            elif line:
                _answer(talk, [*attached, line] if attached else line, options)
                attached = []


_MEDIA: dict[str, Literal["image", "audio", "video"]] = {"/image": "image", "/audio": "audio", "/video": "video"}


def _attach(
    talk: Conversation, kind: Literal["image", "audio", "video"], path: str, image_tokens: int | None
) -> list[Medium]:
    """The medium, encoded at once so that what is wrong with it is told now; none when something is."""
    try:
        found = medium(kind, path, image_tokens)
        prompt = talk.model.prompt([found])
    except G4Error as error:
        note(str(error))
        return []
    except KeyboardInterrupt:
        note("stopped")
        return []
    note(f"{path}: {prompt.n_media_tokens} tokens, with the next message")
    return [found]


def _answer(talk: Conversation, content: object, options: dict[str, Any]) -> None:
    """Streams one answer; Ctrl-C ends it and keeps the conversation."""
    thinking = False
    try:
        for piece in talk.ask(content, **options):
            if thinking != (piece.kind == "thinking"):
                thinking = not thinking
                _thought("", begins=thinking)
            if thinking:
                _thought(piece.text)
            else:
                write(piece.text)
        write("\n")
    except KeyboardInterrupt:
        if thinking:
            _thought("", begins=False)
        write("\n")
        note("stopped")
    except ContextOverflowError as error:
        note(f"{error}: /reset starts anew")


def _thought(text: str, begins: bool | None = None) -> None:
    """Thoughts go to stderr, dim on a terminal, so that stdout carries the answers alone."""
    dim, plain = ("\x1b[2m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    edge = {True: dim, False: plain + "\n", None: ""}[begins]
    sys.stderr.write(edge + text)
    sys.stderr.flush()


def _read_line() -> str | None:
    """The next message, stripped; None at the end of the input."""
    while True:
        try:
            return input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return None
        except KeyboardInterrupt:
            write("\n")
            note("/exit or Ctrl-D leaves")
        except UnicodeDecodeError as error:
            note(f"the line is not {error.encoding} text and was passed over")


def _template(given: str | None) -> str | None:
    """A built-in name, or the text of a file."""
    from g4cpp.files import existing_file
    from g4cpp.template import BUILT_IN

    if given is None or given in BUILT_IN:
        return given
    try:
        return Path(existing_file(given)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"[chat] {given}: a Jinja2 template in UTF-8 expected, {error}") from error
