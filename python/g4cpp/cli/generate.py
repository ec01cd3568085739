"""g4cpp generate: streams the continuation of a prompt, or the answer to it, to stdout."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from g4cpp.cli.common import (
    ComputeOption,
    ContextOption,
    DebugOption,
    DeviceMapOption,
    DeviceOption,
    GpuLayersOption,
    JsonOption,
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
    print_json,
    write,
)
from g4cpp.cli.media import AudioOption, ImageOption, ImageTokensOption, VideoOption, media_parts, told
from g4cpp.errors import ArgumentError


def generate(
    prompt: Annotated[str | None, typer.Argument(help="The prompt; - or none reads it from stdin.")] = None,
    model: ModelOption = None,
    image: ImageOption = None,
    video: VideoOption = None,
    audio: AudioOption = None,
    image_tokens: ImageTokensOption = None,
    mmproj: MmprojOption = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Continue the bare text, without the chat template.")
    ] = False,
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
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Generate text. With a chat model the prompt becomes a user turn, unless --raw. Media come before its text."""
    media = media_parts(image, video, audio, image_tokens)
    text = _prompt(prompt)
    choice = choose(model, max_tokens)
    placing = (gpu_layers, device_map, kv_dtype, mmproj)
    with told(), load(choice.path, device, compute, threads, n_ctx, repack, *placing) as loaded:
        template = loaded.info.has_chat_template and not raw
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
        content = [*media, text] if media else text
        # As a prompt, because a text would bring the hint about chat() that --raw has answered.
        source = content if template else loaded.prompt(content)
        pieces = loaded.generate(source, stream=True, template=template, **options)
        for piece in pieces:
            if not as_json:
                write(piece)
        out = pieces.result
        if not as_json:
            write("\n")
            return
        print_json(
            {
                "text": out.text,
                "tokens": out.tokens,
                "finish_reason": out.finish_reason,
                "usage": asdict(out.usage),
                "timings": out.timings.to_dict(),
                "model": loaded.info.path,
            }
        )


def _prompt(given: str | None) -> str:
    if given is not None and given != "-":
        return given
    if given is None and sys.stdin.isatty():
        raise ArgumentError("[generate] PROMPT: a text, or one piped to stdin, expected")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise ArgumentError(f"[generate] stdin: text in {error.encoding} expected, {error.reason}") from error
