"""One HTML file without scripts or links: heat maps of retrieval, curves over position, every check, every blame."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from g4cpp.eval.cells import Cell
from g4cpp.eval.chart import Line, chart
from g4cpp.eval.tasks import TASKS

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222 }
h1 { font-size: 1.5em } h2 { font-size: 1.2em; margin-top: 2em } h3 { font-size: 1em }
table { border-collapse: collapse; margin: .6em 0 } td, th { padding: .25em .7em; text-align: left;
vertical-align: top }
th { font-weight: 600; border-bottom: 1px solid #bbb } td.n { text-align: right; font-variant-numeric: tabular-nums }
table.heat td { text-align: center; min-width: 4em; border: 2px solid #fff }
.ok { color: #17693a } .bad { color: #b3261e; font-weight: 600 } .told { color: #777 }
pre { background: #f5f5f5; padding: .8em; overflow-x: auto } svg { background: #fcfcfc; margin: .4em 0 }
"""
_CURVES = {
    "context_loss": ("Loss of the same tokens after more and more context", "nats a token", False),
    "kl_float32": ("KL divergence to float32 mode by position", "nats", True),
    "kl_reference": ("KL divergence of float32 mode to the reference by position", "nats", True),
}


def write_report(run: dict[str, Any], cells: Sequence[Cell], path: Path) -> None:
    """Raises OSError."""
    path.write_text(render(run, cells), encoding="utf-8")


def render(run: dict[str, Any], cells: Sequence[Cell]) -> str:
    """The page."""
    failed = [cell for cell in cells if cell.passed is False]
    judged = sum(cell.passed is not None for cell in cells)
    verdict = (
        f'<p class="bad">{len(failed)} of {judged} cells fail.</p>'
        if failed
        else f'<p class="ok">All {judged} cells pass.</p>'
    )
    body = [
        f"<h1>Coherence of {escape(str(run['model']))}</h1>",
        f"<p>{escape(str(run['architecture']))}, window {run['window']}, text: {escape(str(run['text']))}</p>",
        verdict,
        _blames(failed),
        *_heat_maps(cells),
        *_curves(cells),
        "<h2>Every cell</h2>",
        _table(cells),
        f"<h2>The run</h2><pre>{escape(json.dumps(run, indent=1))}</pre>",
    ]
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Coherence of {escape(str(run['model']))}</title><style>{_STYLE}</style></head><body>"
        + "\n".join(filter(None, body))
        + "</body></html>\n"
    )


def _blames(failed: Iterable[Cell]) -> str:
    """Cells with the same verdict in one row."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for cell in failed:
        why = (cell.blame.verdict, cell.blame.because) if cell.blame else ("unclear", "not asked")
        grouped.setdefault(why, []).append(f"{cell.group} {cell.name} at {cell.length} ({cell.setting})")
    if not grouped:
        return ""
    rows = "".join(
        f'<tr><td class="bad">{escape(verdict)}</td><td>{escape(because)}</td>'
        f"<td>{escape('; '.join(names[:6]))}{f' and {len(names) - 6} more' if len(names) > 6 else ''}</td></tr>"
        for (verdict, because), names in grouped.items()
    )
    return f"<h2>Who is to blame</h2><table><tr><th>at fault</th><th>because</th><th>cells</th></tr>{rows}</table>"


def _heat_maps(cells: Sequence[Cell]) -> list[str]:
    found = []
    for setting in dict.fromkeys(cell.setting for cell in cells if cell.group in TASKS):
        found.append(f"<h2>Retrieval: {escape(setting)}</h2>")
        for task in TASKS:
            mine = [cell for cell in cells if cell.group == task and cell.setting == setting]
            if mine:
                found.append(f"<h3>{escape(task.replace('_', ' '))}</h3>{_heat_map(mine)}")
    return found


def _heat_map(cells: Sequence[Cell]) -> str:
    lengths = sorted({cell.length for cell in cells})
    names = list(dict.fromkeys(cell.name for cell in cells))
    at = {(cell.name, cell.length): cell for cell in cells}
    head = "".join(f"<th>{_tokens(length)}</th>" for length in lengths)
    rows = ""
    for name in names:
        row = "".join(_square(at.get((name, length))) for length in lengths)
        rows += f"<tr><th>{escape(name)}</th>{row}</tr>"
    return f'<table class="heat"><tr><th></th>{head}</tr>{rows}</table>'


def _square(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    share = min(1.0, max(0.0, cell.value))
    colour = f"hsl({round(4 + 126 * share)}, 55%, {round(70 + 8 * share)}%)"
    return f'<td style="background:{colour}" title="{escape(cell.detail)}">{share:.0%}</td>'


def _curves(cells: Sequence[Cell]) -> list[str]:
    found = []
    for group, (title, unit, logarithmic) in _CURVES.items():
        lines = []
        for setting in dict.fromkeys(cell.setting for cell in cells if cell.group == group):
            mine = [cell for cell in cells if cell.group == group and cell.setting == setting]
            points = [(cell.length, cell.value, cell.passed is False) for cell in mine if math.isfinite(cell.value)]
            lines.append(Line(setting, sorted(points)))
        if any(line.points for line in lines):
            found.append(f"<h2>{escape(title)}</h2>{chart(lines, unit, logarithmic)}")
    return found


def _table(cells: Iterable[Cell]) -> str:
    marks = {True: '<td class="ok">ok</td>', False: '<td class="bad">fails</td>', None: '<td class="told">-</td>'}
    rows = "".join(
        f"<tr><td>{escape(cell.group)}</td><td>{escape(cell.name)}</td><td>{escape(cell.setting)}</td>"
        f'<td class="n">{cell.length}</td><td class="n">{cell.value:.4g}</td>{marks[cell.passed]}'
        f"<td>{escape(cell.limit)}</td><td>{escape(cell.detail)}</td></tr>"
        for cell in cells
    )
    heads = ("check", "cell", "setting", "tokens", "value", "", "limit", "detail")
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table>"


def _tokens(count: int) -> str:
    return f"{count // 1024}k" if count % 1024 == 0 else str(count)
