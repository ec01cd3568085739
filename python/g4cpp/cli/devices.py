"""g4cpp devices: where models can run on this machine, and why not elsewhere."""

from __future__ import annotations

from g4cpp.cli.common import DebugOption, JsonOption, console, human_bytes, plain_table, print_json


def devices(as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the devices."""
    from g4cpp import _core

    found = _core.devices()
    if as_json:
        names = ("name", "description", "available", "reason", "memory_total", "memory_available")
        print_json([{name: getattr(device, name) for name in names} for device in found])
        return
    table = plain_table("device", "available", ">memory", ">free", "description")
    for device in found:
        table.add_row(
            device.name,
            "yes" if device.available else f"no: {device.reason}",
            human_bytes(device.memory_total),
            human_bytes(device.memory_available),
            device.description,
        )
    console().print(table)
