"""Projector files (GGUF architecture "clip"): what one holds, and which one belongs to a model.

A projector's soft tokens are as wide as its model's residual stream, by which files of other models are told apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from g4cpp.errors import G4Error, ModelError
from g4cpp.files import PathLike, existing_file, open_gguf
from g4cpp.types import ProjectorInfo

if TYPE_CHECKING:
    from g4cpp import _core

ARCHITECTURE = "clip"
_PROJECTORS = {"vision": ("gemma4v", "gemma4uv"), "audio": ("gemma4a", "gemma4ua")}


@dataclass(frozen=True)
class Found:
    """The projector of a model, or why there is none."""

    file: _core.GgufFile | None = None
    info: ProjectorInfo | None = None
    reason: str = ""


def find_projector(
    model: Path, architecture: str, hidden_size: int, choice: PathLike | Literal[False] | None
) -> Found:
    """The projector of the text model in the file `model`.

    choice: a file; None looks for one beside the model, named mmproj*.gguf or *mmproj*.gguf; False takes none. Of
    several that fit, the one is taken whose name has most in common with the model's; where that decides nothing,
    none, and the reason names them. Raises FileError, GGUFError, ModelError for a file that was named.
    """
    if choice is False:
        return Found(reason="this model was loaded with mmproj=False")
    if choice is not None:
        file = open_gguf(existing_file(choice))
        info = describe_projector(file)
        _check_fits(info, model, architecture, hidden_size)
        return Found(file, info)
    fitting: list[tuple[_core.GgufFile, ProjectorInfo]] = []
    passed_over: list[str] = []
    for path in _beside(model):
        try:
            file = open_gguf(path)
            info = describe_projector(file)
            _check_fits(info, model, architecture, hidden_size)
        except G4Error as error:
            passed_over.append(str(error))
            continue
        fitting.append((file, info))
    best = _best_named(model, [Path(info.path) for _, info in fitting])
    if best is not None:
        return Found(*fitting[best])
    if fitting:
        names = ", ".join(sorted(Path(info.path).name for _, info in fitting))
        return Found(reason=f"{len(fitting)} projectors beside {model.name} fit it: {names}; name one with mmproj=")
    others = f" ({'; '.join(passed_over)})" if passed_over else ""
    return Found(reason=f"no projector for {model.name} lies beside it{others}; name one with mmproj=FILE")


def describe_projector(file: _core.GgufFile) -> ProjectorInfo:
    """What the file's metadata say. Raises ModelError when it is no projector of Gemma 4."""
    architecture = file.get("general.architecture")
    if architecture != ARCHITECTURE:
        raise ModelError(
            f"[media] {file.path}: a projector (architecture 'clip') expected, a text model ({architecture!r}) found"
        )
    types: dict[str, str] = {}
    widths: set[object] = set()
    for tower, known in _PROJECTORS.items():
        if file.get(f"clip.has_{tower}_encoder") is not True:
            continue
        type_ = file.get(f"clip.{tower}.projector_type") or file.get("clip.projector_type")
        if type_ not in known:
            raise ModelError(f"[media] {file.path}: {tower} by {' or '.join(known)} expected, {type_!r} found")
        types[tower] = str(type_)
        widths.add(file.get(f"clip.{tower}.projection_dim"))
    if not types:
        raise ModelError(f"[media] {file.path}: a vision or an audio tower expected, neither found")
    width = widths.pop()
    if widths or isinstance(width, bool) or not isinstance(width, int) or width < 1:
        found = ", ".join(sorted(map(str, {width, *widths})))
        raise ModelError(f"[media] {file.path}: one projection_dim expected, {found} found")
    return ProjectorInfo(str(file.path), types.get("vision"), types.get("audio"), width, file.file_bytes)


def _check_fits(info: ProjectorInfo, model: Path, architecture: str, hidden_size: int) -> None:
    if architecture != "gemma4":
        raise ModelError(f"[media] {info.path}: a Gemma 4 model expected, {model.name} is {architecture}")
    if info.hidden_size != hidden_size:
        raise ModelError(
            f"[media] {info.path}: soft tokens of {hidden_size} values expected, as {model.name} has, "
            f"{info.hidden_size} found: a projector of another model"
        )


def _beside(model: Path) -> list[Path]:
    try:
        return sorted(
            path
            for path in model.parent.iterdir()
            if path.suffix == ".gguf" and "mmproj" in path.name.lower() and path.name != model.name
        )
    except OSError:
        return []


def _best_named(model: Path, candidates: list[Path]) -> int | None:
    """The index of the one candidate whose name shares most words with the model's, the others fewest of its own."""
    words = _words(model.stem)

    def likeness(path: Path) -> tuple[int, int]:
        own = _words(path.stem) - {"mmproj"}
        return len(own & words), -len(own - words)

    ranked = sorted(range(len(candidates)), key=lambda index: likeness(candidates[index]), reverse=True)
    if not ranked or (len(ranked) > 1 and likeness(candidates[ranked[0]]) == likeness(candidates[ranked[1]])):
        return None
    return ranked[0]


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", name.lower()))
