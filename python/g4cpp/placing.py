"""Which device holds which layers: the forms in which a caller may say it, and how the plan is shown."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from g4cpp.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from g4cpp.types import PlacePlan

Layers = int | Literal["rest"]
DeviceMap = str | Mapping[str, Layers] | Iterable[tuple[str, Layers]]
_REST = -1


def parse_gpu_layers(value: int | str) -> int | None:
    """Layers for the GPU, -1 for all; None for "auto". Raises ArgumentError, ArgumentTypeError."""
    if isinstance(value, str):
        if value in ("all", "auto"):
            return {"all": -1, "auto": None}[value]
        if not value.removeprefix("-").isdecimal():
            raise ArgumentError(f"[model] n_gpu_layers: a number, all or auto expected, {value!r} found")
        value = int(value)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentTypeError(f"[model] n_gpu_layers: a whole number, all or auto expected, {value!r} found")
    number = operator.index(value)
    if not -1 <= number < 2**31:
        raise ArgumentError(f"[model] n_gpu_layers: at least 0, or -1 for all, expected, {number} found")
    return number


def parse_device_map(value: DeviceMap | None) -> list[tuple[str, int]]:
    """Pairs of a device and its layers, -1 for the rest. Raises ArgumentError, ArgumentTypeError."""
    if value is None:
        return []
    pairs: Iterable[tuple[str, object]]
    if isinstance(value, str):
        parts = [part.strip().rpartition("=") for part in value.split(",")]
        pairs = [(device.strip(), layers.strip()) for device, _, layers in parts]
    elif isinstance(value, Mapping):
        pairs = value.items()
    else:
        pairs = value
    try:
        found = [(device, _layers(device, layers)) for device, layers in pairs]
    except (TypeError, ValueError) as error:
        if isinstance(error, (ArgumentError, ArgumentTypeError)):
            raise
        raise ArgumentTypeError(f"[model] device_map: devices with their layers expected ({error})") from None
    if not found:
        raise ArgumentError("[model] device_map: at least one device expected, none found")
    return found


def _layers(device: object, layers: object) -> int:
    if not isinstance(device, str) or not device:
        raise ArgumentTypeError(f"[model] device_map: DEVICE=LAYERS expected, the device {device!r} found")
    if layers in ("rest", "*"):
        return _REST
    if isinstance(layers, str) and layers.isdecimal():
        return int(layers)
    if isinstance(layers, bool) or not hasattr(layers, "__index__"):
        raise ArgumentTypeError(f"[model] device_map: {device}: layers or 'rest' expected, {layers!r} found")
    number = operator.index(layers)
    if not 0 <= number < 2**31:
        raise ArgumentError(f"[model] device_map: {device}: at least 0 layers expected, {number} found")
    return int(number)


def place_text(places: list[PlacePlan], index: int) -> str:
    """What the place holds: layers 10 to 34 and the head."""
    place = places[index]
    last = place.first_layer + place.n_layers - 1
    parts = ["the embeddings"] if index == 0 else []
    if place.n_layers:
        parts.append(f"layers {place.first_layer} to {last}" if place.n_layers > 1 else f"layer {last}")
    if index == len(places) - 1:
        parts.append("the head")
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)
