"""How the lines of a text are laid out."""

from __future__ import annotations

from collections.abc import Iterable

WIDTH = 120


def wrap(head: str, parts: list[str], tail: str, indent: int = 0) -> list[str]:
    """`head a, b, c tail` on one line if it fits below an indent, else the parts on lines of their own, filled."""
    single = f"{head}{', '.join(parts)}{tail}"
    if len(single) <= WIDTH - indent:
        return [single]
    lines, line = [head], "   "
    for part in parts:
        if len(line) + len(part) + 2 > WIDTH - indent:
            lines.append(line)
            line = "   "
        line += f" {part},"
    return [*lines, line, tail]


def block(header: str, lines: Iterable[str]) -> list[str]:
    """A statement with an indented body."""
    return [header, *(f"    {line}" for line in lines)]
