"""Curves over a logarithmic axis of tokens, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 760, 280, 70, 40, 14, 220
COLOURS = ("#1f5fa8", "#c2571a", "#2c8a4b", "#8a3ca8", "#777777", "#b3261e")


@dataclass(frozen=True)
class Line:
    """points: (tokens, value, whether it is marked)."""

    name: str
    points: Sequence[tuple[int, float, bool]]


def chart(lines: Sequence[Line], unit: str, logarithmic: bool) -> str:
    """One SVG element."""
    points = [point for line in lines for point in line.points]
    low_x, high_x = min(p[0] for p in points), max(p[0] for p in points)
    values = [_scaled(p[1], logarithmic) for p in points]
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def x(tokens: float) -> float:
        span = math.log2(high_x / low_x) or 1.0
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log2(tokens / low_x) / span

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - _scaled(value, logarithmic)) / (high - low)

    parts = [f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="12">']
    for tick in range(5):
        scaled = low + (high - low) * tick / 4
        value = 10**scaled if logarithmic else scaled
        at = TOP + (HEIGHT - TOP - BOTTOM) * (4 - tick) / 4
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for tokens in sorted({p[0] for p in points}):
        if math.log2(tokens).is_integer():
            name = f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)
            parts.append(f'<text x="{x(tokens):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{name}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">tokens; {escape(unit)}</text>')
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x(p[0]):.1f},{y(p[1]):.1f}" for p in line.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for tokens, value, marked in line.points:
            fill = "#b3261e" if marked else colour
            parts.append(
                f'<circle cx="{x(tokens):.1f}" cy="{y(value):.1f}" r="{5 if marked else 3}" fill="{fill}">'
                f"<title>{tokens}: {value:.4g}</title></circle>"
            )
        parts.append(
            f'<text x="{WIDTH - RIGHT + 12}" y="{TOP + 14 + 18 * number}" fill="{colour}">{escape(line.name)}</text>'
        )
    return "".join(parts) + "</svg>"


def _scaled(value: float, logarithmic: bool) -> float:
    return math.log10(max(value, 1e-16)) if logarithmic else value
