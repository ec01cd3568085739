"""A Hugging Face checkpoint folder: its safetensors files, sharded or not, as one table of tensors."""

from __future__ import annotations

from pathlib import Path

from g4cpp.errors import ConversionError

from .json_fields import read_json
from .safetensors_file import StoredTensor, read_header

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


class Checkpoint:
    """The tensors of a folder by name. Raises ConversionError: no folder, no weights, a missing or unsound
    shard.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConversionError(f"[convert] {folder}: a checkpoint folder expected, no such folder")
        self.folder = folder
        self.tensors: dict[str, StoredTensor] = {}
        if (folder / SINGLE).is_file():
            self.files = [folder / SINGLE]
            self.tensors.update(read_header(folder / SINGLE))
        elif (folder / INDEX).is_file():
            self.files = []
            self._read_shards()
        else:
            others = sorted(path.name for path in folder.glob("*.bin"))
            hint = f", but {others[0]}: only safetensors are read" if others else ""
            raise ConversionError(f"[convert] {folder}: {SINGLE} or {INDEX} expected, none found{hint}")
        if not self.tensors:
            raise ConversionError(f"[convert] {folder}: no tensors")

    def _read_shards(self) -> None:
        weight_map = read_json(self.folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ConversionError(f"[convert] {self.folder / INDEX}: weight_map: an object expected")
        shards: dict[str, list[str]] = {}
        for name, shard in weight_map.items():
            # a shard is a file of this folder: a name with a path in it could point anywhere
            if not isinstance(shard, str) or not shard or shard != Path(shard).name:
                raise ConversionError(
                    f"[convert] {self.folder / INDEX}: {name}: a file name expected, {shard!r} found"
                )
            shards.setdefault(shard, []).append(name)
        for shard, names in sorted(shards.items()):
            path = self.folder / shard
            if not path.is_file():
                raise ConversionError(
                    f"[convert] {path}: shard missing, {len(names)} tensors with it ({names[0]}, ...)"
                )
            found = read_header(path)
            for name in names:
                if name not in found:
                    raise ConversionError(f"[convert] {path}: {name} expected by {INDEX}, not found")
            for name in found:
                if weight_map.get(name) != shard:
                    raise ConversionError(
                        f"[convert] {path}: {name} is not where {INDEX} says ({weight_map.get(name)})"
                    )
            self.files.append(path)
            self.tensors.update(found)

    @property
    def n_bytes(self) -> int:
        return sum(tensor.n_bytes for tensor in self.tensors.values())
