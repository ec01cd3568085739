"""Checks that kernels compiled for one instruction set define no function that another caller could be linked to.

    python tools/check_isa_symbols.py BUILD_DIR

The kernels are compiled once per instruction set (src/backends/cpu/CMakeLists.txt). A shared inline function or
template instance emitted there would be a weak symbol, and the linker keeps any one copy of those for the whole
library: on a machine without that instruction set the program would crash. Every symbol such an object exports must
therefore lie in the namespace of its instruction set. Exit code 1 otherwise.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Data the C++ runtime shares (type descriptions, guards, the pointer to its unwinder) holds no instructions.
DATA = ("typeinfo for ", "typeinfo name for ", "vtable for ", "guard variable for ", "DW.ref.__gxx_personality")


def exported(path: Path) -> list[str]:
    command = ["nm", "-C", "--defined-only", "--extern-only", str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split(" ", 2)[2] for line in out.stdout.splitlines() if line.count(" ") >= 2]


def main() -> int:
    build = Path(sys.argv[1])
    objects = sorted(build.glob("src/backends/cpu/CMakeFiles/g4_cpu_*.dir/**/*.o"))
    isas = {p.relative_to(build).parts[4].removeprefix("g4_cpu_").removesuffix(".dir") for p in objects}
    problems = []
    for path in objects:
        isa = path.relative_to(build).parts[4].removeprefix("g4_cpu_").removesuffix(".dir")
        for symbol in exported(path):
            if f"g4::{isa}::" not in symbol and not symbol.startswith(DATA):
                problems.append(f"{path.name} ({isa}): {symbol}")
    if not objects:
        problems.append(f"no kernel objects under {build}")
    print("\n".join(problems) or f"{len(objects)} kernel objects of {', '.join(sorted(isas))}: symbols in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
