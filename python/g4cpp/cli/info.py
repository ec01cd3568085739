"""g4cpp info: what a GGUF file holds and the memory it would take.

Loads no weights; works on files with a part of a model.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g4cpp.cli.common import (
    DEFAULT_MODEL,
    ComputeOption,
    ContextOption,
    DebugOption,
    DeviceMapOption,
    DeviceOption,
    GpuLayersOption,
    JsonOption,
    KvOption,
    MmprojOption,
    choose,
    console,
    human_bytes,
    parse_context,
    parse_mmproj,
    plain_table,
    print_json,
)
from g4cpp.errors import MemoryPlanError, ModelError

if TYPE_CHECKING:
    from g4cpp import _core
    from g4cpp.media.projector import Found
    from g4cpp.types import MemoryPlan

_LONGEST_ARRAY, _LONGEST_TEXT = 64, 100


def info(
    file: Annotated[
        Path | None, typer.Argument(help=f"GGUF file, of a split file its first part, or gemma3-270m; {DEFAULT_MODEL}.")
    ] = None,
    compute: ComputeOption = "auto",
    kv_dtype: KvOption = "auto",
    n_ctx: ContextOption = "auto",
    device: DeviceOption = "auto",
    gpu_layers: GpuLayersOption = "auto",
    device_map: DeviceMapOption = None,
    mmproj: MmprojOption = None,
    tensors: Annotated[bool, typer.Option("--tensors/--no-tensors", help="Show the tensor table.")] = True,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show a file's metadata, tensors and memory plan, and the projector it would see and hear with."""
    from g4cpp.files import open_gguf
    from g4cpp.info import count_formats
    from g4cpp.loading import media_room, projector_bytes
    from g4cpp.placing import parse_device_map, parse_gpu_layers

    path = choose(file).path
    opened = open_gguf(path)
    projector = _projector(path, opened, mmproj)
    plan = _plan(
        opened,
        compute=compute,
        kv_dtype=kv_dtype,
        n_ctx=parse_context(n_ctx),
        device=device,
        n_gpu_layers=parse_gpu_layers(gpu_layers),
        device_map=parse_device_map(device_map),
        max_media_span=media_room(projector),
        media_required=mmproj is not None,
        projector_bytes=projector_bytes(projector),
    )
    facts = {
        "path": opened.path,
        "version": opened.version,
        "parts": opened.n_parts,
        "bytes": opened.file_bytes,
        "formats": count_formats(opened),
    }
    keys = opened.keys()
    metadata = {key: _value(opened, key) for key in keys}
    if as_json:
        print_json(
            {
                **facts,
                "metadata": metadata,
                "tensors": _tensor_rows(opened),
                "memory_plan": _plan_json(plan),
                "projector": asdict(projector.info) if projector.info else None,
            }
        )
        return
    parts = f" in {opened.n_parts} parts" if opened.n_parts > 1 else ""
    formats = ", ".join(f"{count} {name}" for name, count in count_formats(opened).items())
    out = console()
    out.print(f"{opened.path}: GGUF v{opened.version}, {human_bytes(opened.file_bytes)}{parts}\n")
    table = plain_table("key", "value")
    for key, value in metadata.items():
        table.add_row(key, _short(value))
    out.print(table)
    out.print()
    if tensors and formats:
        table = plain_table("tensor", "format", ">shape", ">size")
        for row in _tensor_rows(opened):
            table.add_row(
                row["name"], row["format"], " x ".join(map(str, row["shape"])), human_bytes(row["bytes"])
            )
        out.print(table)
        out.print()
    out.print(f"tensors: {formats or 'none'}")
    out.print(f"projector: {projector.info or 'none: ' + projector.reason}")
    out.print(_plan_text(plan))


def _projector(path: Path, file: _core.GgufFile, mmproj: str | None) -> Found:
    """The model's, or what a projector file itself says."""
    from g4cpp.loading import projector_of
    from g4cpp.media.projector import ARCHITECTURE, Found, describe_projector

    if file.get("general.architecture") == ARCHITECTURE:
        return Found(file, describe_projector(file))
    return projector_of(path, file, parse_mmproj(mmproj))


def _plan(file: _core.GgufFile, **options: Any) -> MemoryPlan | str:
    """The plan, or why there is none."""
    from g4cpp import _core
    from g4cpp.types import MemoryPlan

    if not file.tensors():
        return "none: the file holds no weights"
    try:
        return MemoryPlan.of(_core.Engine.plan(file, **options))
    except (ModelError, MemoryPlanError) as error:
        return f"none: {error}"


def _plan_text(plan: MemoryPlan | str) -> Any:
    if isinstance(plan, str):
        return f"memory plan: {plan}"
    from rich.console import Group

    from g4cpp.placing import place_text

    table = plain_table(f"memory plan, context of {plan.n_ctx}", ">size")
    names = ["weights", "kv_cache", "kv_snapshot", "activations", "total", "available"]
    if plan.soft_tokens:
        names.insert(-2, "soft_tokens")
    if plan.projector:
        names.insert(-2, "projector")
    for name in names:
        table.add_row(name.replace("_", " "), human_bytes(getattr(plan, name)))
        if name == "weights" and plan.host_weights:
            table.add_row("  of it tables in host memory", human_bytes(plan.host_weights))
    parts: list[Any] = [table]
    if len(plan.places) > 1:
        places = plain_table("device", "holds", ">weights", ">kv cache", ">activations", ">reserve")
        for index, place in enumerate(plan.places):
            sizes = (place.weights, place.kv_cache, place.activations, place.reserve)
            places.add_row(place.device, place_text(plan.places, index), *map(human_bytes, sizes))
        parts.append(places)
    if plan.note:
        parts.append(plan.note)
    return Group(*parts)


def _plan_json(plan: MemoryPlan | str) -> Any:
    return {"error": plan} if isinstance(plan, str) else asdict(plan)


def _tensor_rows(file: _core.GgufFile) -> list[dict[str, Any]]:
    return [
        {"name": tensor.name, "format": tensor.dtype, "shape": list(tensor.shape), "bytes": tensor.n_bytes}
        for tensor in file.tensors()
    ]


def _value(file: _core.GgufFile, key: str) -> Any:
    """The value; of a long array only its length, for a vocabulary would take longer to decode than all the
    rest."""
    length = file.array_length(key)
    return {"elements": length} if length is not None and length > _LONGEST_ARRAY else file.get(key)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"[{value['elements']} elements]"
    if isinstance(value, list) and len(set(map(str, value))) == 1 and len(value) > 4:
        return f"[{len(value)} times {value[0]}]"
    if isinstance(value, float):
        return f"{value:.7g}"
    text = str(value).replace("\n", "\\n")
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + f"... ({len(text)} characters)"
