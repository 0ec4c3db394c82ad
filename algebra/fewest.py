"""How many sums a plan carries, and the samples by which no linear state has fewer, as a section of lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sympy as sp

from refold.algebra.least import Least, least
from refold.algebra.plan import Plan
from refold.algebra.sections import Line, Section, point
from refold.spec.mathematics import text


def fewest_sums(plan: Plan, short: Callable[[sp.Basic], str]) -> Section:
    """The section of a plan; `short` prints its folds by their names. What is not shown is said not to be known."""
    return Section("Fewest sums", tuple(_lines(plan, short)))


def _lines(plan: Plan, short: Callable[[sp.Basic], str]) -> Iterator[Line]:
    sums = [str(a.symbol) for a in plan.accumulators if a.reducer in ("sum", "count")]
    if not sums:
        return
    head, found = f"{len(sums)}: {', '.join(sums)}", least(plan)
    if found is None:
        yield Line("carried", head, "whether fewer would do is not known: no samples tell")
        return
    few = f"{len(found.rows)} at least; whether fewer than {len(sums)} would do is not known"
    yield Line("carried", head, "no linear state has fewer" if found.shown else few)
    yield from _matrix(plan, found, short)
    low, high = found.enclosure
    exact = all(x.is_Rational for row in found.rows for x in row.entries)
    shown = f"= {low}" if exact else f"≈ {low}" if low == high else f"in [{low}, {high}]"
    yield Line("det", shown, "not 0")


def _matrix(plan: Plan, found: Least, short: Callable[[sp.Basic], str]) -> Iterator[Line]:
    """A row for each fold and part: the body of the fold at the elements of the columns."""
    where = f"its body at {found.along} = {', '.join(map(text, found.columns))}"
    table = [[point(x) for x in row.entries] for row in found.rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row, entries in zip(found.rows, table, strict=True):
        cells = "  ".join(x.rjust(w) for x, w in zip(entries, widths, strict=True))
        added = f"with {', '.join(map(text, row.added))} added" if row.added else ""
        yield Line(short(row.fold), f"[ {cells} ]", "; ".join(part for part in (where, added) if part))
        where = ""
