"""Draws speed over length as SVG text, both axes logarithmic: one line for each that was timed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 76, 216, 72, 64
# Okabe and Ito's colours, told apart without red and green; ours is the strongest.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#7f7f7f", "#000000", "#e69f00")
FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"


def speed(run: dict[str, Any], line: dict[str, Any], unit: str) -> float:
    """TFLOP/s or GB/s of one line of a run, by the graph's replay where there is one: what the device does."""
    ms = line["graph_ms"] or line["ms"]
    return float(run["flops"] * 1e-9 / ms if unit == "TFLOP/s" else run["bytes"] * 1e-6 / ms)


def unit_of(found: dict[str, Any]) -> tuple[str, float | None]:
    """What bounds the largest run, by its operations for each byte, and the ceiling measured for that."""
    ceilings, run = found["ceilings"], next((r for r in reversed(found["runs"]) if r["times"]), None)
    copy, matmul = ceilings.get("copy_gbs"), ceilings.get("matmul_tflops")
    if run is None:
        return "GB/s", copy
    ridge = matmul * 1e12 / (copy * 1e9) if copy and matmul else 200.0
    if run["flops"] > ridge * run["bytes"]:
        return "TFLOP/s", matmul
    return "GB/s", copy


def chart(found: dict[str, Any]) -> str:
    """The picture of what `measure` found, as the text of an SVG file."""
    unit, ceiling = unit_of(found)
    series: dict[str, list[tuple[float, float]]] = {}
    for run in found["runs"]:
        for line in run["times"]:
            series.setdefault(line["name"], []).append((run["length"], speed(run, line, unit)))
    points = [p for line in series.values() for p in line]
    across = _Scale([x for x, _ in points], LEFT, WIDTH - RIGHT)
    up = _Scale([y for _, y in points] + ([ceiling] if ceiling else []), HEIGHT - BOTTOM, TOP)
    axis = " = ".join(found["sweep"]) or "length"
    about = f"{found['device']}, {found['dtype']}, torch {found['versions'].get('torch', '?')}, {found['date']}"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' "
        f"role='img' {FONT} font-size='13'>",
        f"<title>{escape(found['name'])}: {unit} over the length of {escape(axis)}</title>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>",
        _text(LEFT, 32, found["name"], size=19, weight=600),
        _text(LEFT, 52, about, colour="#666666"),
        *_frame(across, up, sorted({x for x, _ in points})),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18, f"length of {axis}", anchor="middle", colour="#333333"),
        f"<text transform='translate(20 {(TOP + HEIGHT - BOTTOM) / 2:.1f}) rotate(-90)' text-anchor='middle' "
        f"fill='#333333'>{unit}</text>",
    ]
    if ceiling:
        y = up(ceiling)
        what = "bf16 product" if unit == "TFLOP/s" else "device copy"
        parts.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='#999999' "
                     "stroke-dasharray='5 4'/>")  # fmt: skip
        parts.append(_text(LEFT + 8, y - 6, f"{what}, {ceiling:.0f} {unit}", size=11, colour="#777777"))
    parts += _lines(series, across, up)
    return "\n".join([*parts, "</svg>", ""])


class _Scale:
    """Values to pixels, logarithmic, with room at both ends."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        logs = [math.log2(v) for v in values if v > 0] or [0.0]
        room = 0.06 * (max(logs) - min(logs)) or 1.0
        self.low, self.high, self.start, self.end = min(logs) - room, max(logs) + room, start, end

    def __call__(self, value: float) -> float:
        return self.start + (math.log2(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """1, 2 and 5 times powers of ten within the scale; the powers alone where those are many."""
        decades = range(math.floor(self.low / math.log2(10)) - 1, math.ceil(self.high / math.log2(10)) + 1)
        found = [m * 10.0**n for n in decades for m in (1, 2, 5) if self.low <= math.log2(m * 10.0**n) <= self.high]
        return found if len(found) <= 8 else [t for t in found if f"{t:e}".startswith("1")]


def _frame(across: _Scale, up: _Scale, lengths: Sequence[float]) -> list[str]:
    """Grid lines with their numbers: the lengths that were measured, and round speeds."""
    parts = []
    for n, x in enumerate(lengths):
        place = across(x)
        parts.append(f"<line x1='{place:.1f}' x2='{place:.1f}' y1='{TOP}' y2='{HEIGHT - BOTTOM}' stroke='#eeeeee'/>")
        if len(lengths) <= 10 or n % 2 == 0:
            parts.append(_text(place, HEIGHT - BOTTOM + 20, f"{x:.0f}", anchor="middle", colour="#555555"))
    for y in up.ticks():
        place = up(y)
        parts.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{place:.1f}' y2='{place:.1f}' stroke='#e4e4e4'/>")
        parts.append(_text(LEFT - 10, place + 4, f"{y:g}", anchor="end", colour="#555555"))
    parts.append(
        f"<path d='M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}' fill='none' stroke='#888888' stroke-width='1'/>"
    )
    return parts


def _lines(series: dict[str, list[tuple[float, float]]], across: _Scale, up: _Scale) -> list[str]:
    """The lines with their points, ours last and thickest, and each one's name at its right end, none over another."""
    parts, labels = [], []
    order = list(series)
    for name in reversed(order):
        n = order.index(name)
        colour, ours = COLOURS[n % len(COLOURS)], n == 0
        points = [(across(x), up(y)) for x, y in sorted(series[name])]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn = [f"<g class='series' data-name='{escape(name, quote=True)}'>"]
        drawn.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='{3 if ours else 1.8}' "
                     "stroke-linejoin='round'/>")  # fmt: skip
        for (x, y), (length, value) in zip(points, sorted(series[name]), strict=True):
            said = f"<title>{escape(name)}, {length:g}: {value:.4g}</title>"
            drawn.append(
                f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{4.5 if ours else 3.2}' fill='{colour}'>{said}</circle>"
            )
        parts += [*drawn, "</g>"]
        labels.append((points[-1][1], name, colour, ours))
    for y, (end, name, colour, ours) in zip(_apart([y for y, *_ in sorted(labels)]), sorted(labels), strict=True):
        x = WIDTH - RIGHT + 14
        parts.append(f"<line x1='{x - 10}' x2='{x + 6}' y1='{end:.1f}' y2='{y:.1f}' stroke='{colour}' opacity='0.5'/>")
        parts.append(_text(x + 10, y + 4, name, colour=colour, weight=700 if ours else 500))
    return parts


def _apart(places: list[float], gap: float = 18) -> list[float]:
    """Sorted places moved so far that any two are a line of text apart, within the picture."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + gap) if found else place)
    over = max(0.0, found[-1] - (HEIGHT - BOTTOM)) if found else 0.0
    if over:
        found[-1] -= over
        for n in range(len(found) - 2, -1, -1):
            found[n] = min(found[n], found[n + 1] - gap)
    return found


def _text(
    x: float, y: float, text: str, *, size: int = 13, colour: str = "#222222", anchor: str = "start", weight: int = 400
) -> str:
    said = f"font-size='{size}' fill='{colour}' text-anchor='{anchor}' font-weight='{weight}'"
    return f"<text x='{x:.1f}' y='{y:.1f}' {said}>{escape(text)}</text>"
