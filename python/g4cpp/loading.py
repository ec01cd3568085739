"""From a path to an engine that is ready: arguments checked, the file opened, its projector found, progress shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from g4cpp.arguments import count
from g4cpp.demo import model_file
from g4cpp.errors import ModelError
from g4cpp.files import PathLike, open_gguf
from g4cpp.media.projector import ARCHITECTURE, Found, find_projector
from g4cpp.placing import DeviceMap, parse_device_map, parse_gpu_layers
from g4cpp.progress import Callback, progress_callback

if TYPE_CHECKING:
    from g4cpp import _core

WORTH_A_BAR = 10**9
"""Bytes of a file whose loading takes long enough to be watched."""
LARGEST_IMAGE = 1120
"""Soft tokens: the largest budget. Room is kept for so many that see each other in one step."""


@dataclass(frozen=True)
class Loaded:
    file: _core.GgufFile
    engine: _core.Engine
    projector: Found


def load(
    path: PathLike | None,
    *,
    n_ctx: int | Literal["auto"],
    n_threads: int | None,
    micro_batch: int | Literal["auto"],
    n_gpu_layers: int | Literal["all", "auto"],
    device_map: DeviceMap | None,
    progress: bool | Callback,
    mmproj: PathLike | Literal[False] | None,
    **options: Any,
) -> Loaded:
    """See Model; `options` are the engine's own."""
    from g4cpp import _core

    gpu_layers = parse_gpu_layers(n_gpu_layers)
    layers_of = parse_device_map(device_map)
    context = 0 if n_ctx == "auto" else count("n_ctx", n_ctx)
    chunk = 0 if micro_batch == "auto" else count("micro_batch", micro_batch)
    threads = 0 if n_threads is None else count("n_threads", n_threads)
    source = model_file(path)
    file = open_gguf(source)
    if file.get("general.architecture") == ARCHITECTURE:
        raise ModelError(f"[model] {source}: a text model expected, a projector found: give it as mmproj= of its model")
    projector = projector_of(source, file, mmproj)
    shown = progress if callable(progress) else progress and source.stat().st_size >= WORTH_A_BAR
    with progress_callback(shown, source.name) as tell:
        engine = _core.Engine(
            file,
            n_ctx=context,
            n_threads=threads,
            micro_batch=chunk,
            n_gpu_layers=gpu_layers,
            device_map=layers_of,
            max_media_span=media_room(projector),
            media_required=mmproj is not None,
            projector_bytes=projector_bytes(projector),
            progress=lambda done, total: tell(source.name, done, total),
            **options,
        )
    if projector.info and not engine.max_media_span:
        name, device = Path(projector.info.path).name, engine.device
        projector = Found(reason=f"{device} takes none: with device='cpu' {name}, which lies beside it, is used")
    return Loaded(file, engine, projector)


def projector_of(path: Path, file: _core.GgufFile, mmproj: PathLike | Literal[False] | None) -> Found:
    """The projector of the text model in `file`. Raises as find_projector does."""
    architecture = file.get("general.architecture")
    width = file.get(f"{architecture}.embedding_length")
    return find_projector(path, str(architecture), width if isinstance(width, int) else 0, mmproj)


def media_room(projector: Found) -> int:
    """The engine's max_media_span."""
    return LARGEST_IMAGE if projector.info else 0


def projector_bytes(projector: Found) -> int:
    """The engine's: what the projector's weights take where they lie."""
    return projector.file.file_bytes if projector.file is not None else 0


def tower_device(engine: _core.Engine) -> str:
    """Where the media towers run: with the whole model, else on the CPU."""
    return "cpu" if "+" in engine.device else engine.device
