"""What is printed as sections of lines, and as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from refold.spec.mathematics import definition

LONGEST_NUMBER = 12  # characters


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a section: a word or a left side, the mathematics, and a remark."""

    label: str
    formula: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A title over lines whose labels stand in one column."""

    title: str
    lines: tuple[Line, ...]


def sections_text(sections: Sequence[Section]) -> str:
    """Sections as plain text, a blank line between them."""
    blocks = []
    for section in sections:
        width = max((len(line.label) for line in section.lines), default=0)
        rows = [section.title] if section.title else []
        for line in section.lines:
            note = f"   ({line.note})" if line.note else ""
            gap = " " if line.formula[:1] in ("=", "←") else "  "
            rows.append(f"  {line.label.ljust(width)}{gap}{line.formula}{note}".rstrip())
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks)


def point(value: sp.Basic) -> str:
    """Numbers of a sample, to four digits where they are long: what stands beside them has to fit a screen."""
    if isinstance(value, sp.Tuple):
        return f"({', '.join(map(point, value))})"
    exact = definition(value)
    return exact if len(exact) <= LONGEST_NUMBER or not value.is_number else f"≈ {value.evalf(4)}"
