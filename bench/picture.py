"""Draws docs/speed.svg from the whole table of docs/speed.md: `python bench/picture.py`. No figure is its own."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
LENGTH = "4096"
PEERS = {"over FlexAttention": "#0072b2", "over torch.compile": "#009e73"}
WIDTH, LEFT, RIGHT, TOP, STEP, BAR = 860, 250, 60, 66, 24, 15
FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the table: an operator, how many times as fast it was, and as whom."""

    operator: str
    ratio: float
    peer: str


def bars(markdown: str) -> tuple[Bar, ...]:
    """The lines of one length in the tables of a text, in their order; a line without a ratio is none."""
    found, head = [], {}
    for line in markdown.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if "as a call" in cells:
            head = {name: n for n, name in enumerate(cells)}
        elif head and len(cells) == len(head) and cells[1] == LENGTH:
            peer = next(peer for peer in PEERS if peer in head)
            if cells[head[peer]] != "-":
                found.append(Bar(cells[0], float(cells[head[peer]]), peer))
    return tuple(found)


def picture(markdown: str) -> str:
    """The bars as the text of an SVG file, each with its figure, and a line where both are equally fast."""
    rows = bars(markdown)
    height = TOP + STEP * len(rows) + 34
    scale = (WIDTH - LEFT - RIGHT) / max(bar.ratio for bar in rows)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' "
        f"role='img' {FONT} font-size='13'>",
        f"<title>How many times as fast as FlexAttention or torch.compile, at {LENGTH} positions</title>",
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        f"<text x='20' y='28' font-size='17' font-weight='600'>Times as fast, at {LENGTH} positions on one H200</text>",
    ]
    for n, (peer, colour) in enumerate(PEERS.items()):
        x = LEFT + 190 * n
        parts.append(f"<rect x='{x}' y='40' width='12' height='12' fill='{colour}'/>")
        parts.append(f"<text x='{x + 18}' y='51' fill='#444444'>{peer}</text>")
    for n, bar in enumerate(rows):
        y, end = TOP + STEP * n, LEFT + bar.ratio * scale
        parts += [
            f"<text x='{LEFT - 10}' y='{y + 13}' text-anchor='end' fill='#222222'>{escape(bar.operator)}</text>",
            f"<rect x='{LEFT}' y='{y + 1}' width='{end - LEFT:.1f}' height='{BAR}' fill='{PEERS[bar.peer]}'/>",
            f"<text x='{end + 6:.1f}' y='{y + 13}' fill='#222222'>{bar.ratio:.2f}</text>",
        ]
    one = LEFT + scale
    parts += [
        f"<path d='M{one:.1f} {TOP - 6}V{height - 26}' stroke='#333333' stroke-dasharray='4 3'/>",
        f"<text x='{one:.1f}' y='{height - 10}' text-anchor='middle' fill='#333333'>as fast</text>",
    ]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    text = (DOCS / "speed.md").read_text(encoding="utf-8")
    (DOCS / "speed.svg").write_text(picture(text), encoding="utf-8")
