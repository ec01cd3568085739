"""Checks the house's order: which layer includes which, and how long files are.

    python tools/check_layers.py

Every folder of src/ may include only itself and the folders right of its arrow (docs/architecture.md). Files over 400
lines are named, over 800 lines are an error. Exit code 1 when anything is wrong.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Each layer's direct right-hand side; what those may include is allowed too.
LAYERS: dict[str, list[str]] = {
    "base": [],
    "tensor": ["base"],
    "graph": ["tensor"],
    "ops": ["graph"],
    "backends": ["ops"],
    "gguf": ["tensor"],
    "tokenizer": ["gguf"],
    "model": ["ops", "gguf"],
    "runtime": ["model", "backends"],
    "bindings": ["runtime", "gguf", "tokenizer"],
}
# Concrete backends are seen by nobody but themselves.
CONCRETE = {"backends/cpu": ["backends"], "backends/cuda": ["backends"]}
# POSIX stays in base/.
POSIX = re.compile(r"#include <(unistd|fcntl|dlfcn|sched|pthread|sys/[a-z]+)\.h>")
INCLUDE = re.compile(r'#include "([^"]+)"')
QUESTION, DEFECT = 400, 800
CODE = {".cpp", ".h", ".py", ".pyi", ".cu", ".cuh", ".comp", ".slang"}


def reachable(layer: str) -> set[str]:
    seen = {layer}
    todo = [layer]
    while todo:
        for below in LAYERS[todo.pop()]:
            if below not in seen:
                seen.add(below)
                todo.append(below)
    return seen


def concrete_of(path: str) -> str | None:
    return next((c for c in CONCRETE if path.startswith(c + "/")), None)


def check_includes(path: Path) -> list[str]:
    relative = path.relative_to(ROOT / "src").as_posix()
    layer = relative.split("/")[0]
    allowed = reachable(layer)
    problems = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        place = f"src/{relative}:{number}"
        if layer != "base" and POSIX.search(line):
            problems.append(f"{place}: POSIX header outside base/")
        match = INCLUDE.search(line)
        if not match:
            continue
        target = match.group(1)
        if target.split("/")[0] not in allowed:
            problems.append(f"{place}: {layer} may not include {target}")
        concrete = concrete_of(target)
        if concrete and concrete != concrete_of(relative):
            problems.append(f"{place}: {concrete} is nobody's to include")
    return problems


def main() -> int:
    sources = sorted(path for path in (ROOT / "src").rglob("*.[ch]*") if path.suffix in CODE)
    problems = [problem for path in sources for problem in check_includes(path)]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in tracked.stdout.split("\n"):
        path = ROOT / name
        if path.suffix not in CODE or not path.is_file():
            continue
        lines = len(path.read_text().splitlines())
        if lines > DEFECT:
            problems.append(f"{name}: {lines} lines, {DEFECT} is a defect")
        elif lines > QUESTION:
            print(f"note: {name} has {lines} lines; is it two things?")
    print("\n".join(problems) or "layers and sizes: in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
