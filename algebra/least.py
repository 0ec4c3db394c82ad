"""Whether a plan carries the fewest sums that any linear state can: by samples whose determinant is not 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp
from mpmath import mp, nstr
from sympy.polys.matrices import DomainMatrix

from refold.algebra.choices import write_out
from refold.algebra.evidence import ADDED
from refold.algebra.independence import beyond
from refold.algebra.interval import determinant, enclosure
from refold.algebra.plan import Accumulator, Plan
from refold.algebra.rewrite import folds, walk
from refold.algebra.sample import NoValue, Sample, leading
from refold.spec import Fold, Read

MOST = 8  # sums, of which a determinant is taken


@dataclass(frozen=True, slots=True)
class Row:
    """The body of a fold at the elements of the columns, its inner folds over these and what is `added` to them."""

    fold: Fold
    added: tuple[sp.Expr, ...]
    entries: tuple[sp.Expr, ...]


@dataclass(frozen=True, slots=True)
class Least:
    """A lower bound on the sums of any linear state: a square matrix of samples, and an interval without 0.

    `sums` are those of the plan; where there are as many as rows, no linear state has fewer. `along` is the tensor of
    whose elements `columns` are the values; the other tensors have values of their own there.
    """

    sums: tuple[Accumulator, ...]
    along: str
    columns: tuple[sp.Expr, ...]
    rows: tuple[Row, ...]
    enclosure: tuple[str, str]

    @property
    def shown(self) -> bool:
        """Whether the plan is shown to carry the least number of sums."""
        return len(self.rows) == len(self.sums)


def least(plan: Plan) -> Least | None:
    """The best lower bound found; None for a plan without sums, or with more than are looked at.

    A law for several folds at once gives `g_f(r_a, c_b) = sum_k T_fk(r_0, r_a) phi_k(r_0, c_b)`, of which the matrix
    over rows (f, a) and columns b has the rank K at most (section 2 of docs/theory.md).
    """
    sums = tuple(a for a in plan.accumulators if a.reducer in ("sum", "count"))
    first = leading(plan.spec, plan.axis)
    if not 0 < len(sums) <= MOST or first is None or not _in_place(plan):
        return None
    best: Least | None = None
    for seed, far in ((0, True), (1, True), (0, False)):
        found = _bound(plan, sums, str(first.name), seed, far=far)
        if found is not None and (best is None or len(found.rows) > len(best.rows)):
            best = found
        if best is not None and best.shown:
            break
    return best


def _bound(plan: Plan, sums: tuple[Accumulator, ...], along: str, seed: int, *, far: bool) -> Least | None:
    count = max(len(sums), 3)
    values = tuple(sp.Rational(2 * n - count + 1 + seed, 1 + seed) for n in range(count))
    sample = Sample.of(plan.spec, plan.axis, values, seed, far=far)
    rows: list[Row] = []
    basis: list[mp.matrix] = []
    for row in _rows(plan, sample):
        rest = beyond(row.entries, basis)
        if rest is not None:
            rows.append(row)
            basis.append(rest)
        if len(rows) == len(sums):
            break
    chosen: list[int] = []
    basis = []
    for n in range(count):
        rest = beyond([row.entries[n] for row in rows], basis) if rows else None
        if rest is not None:
            chosen.append(n)
            basis.append(rest)
    rows = [Row(r.fold, r.added, tuple(r.entries[n] for n in chosen)) for r in rows]
    ends = _enclosed(sp.ImmutableDenseMatrix([r.entries for r in rows])) if len(rows) == len(chosen) > 0 else None
    return None if ends is None else Least(sums, along, tuple(values[n] for n in chosen), tuple(rows), ends)


def _in_place(plan: Plan) -> bool:
    """Whether all that is read along the axis is at the position itself, so that more elements change no column."""
    reads = {n for o in plan.spec.outputs for n in walk(o.expr) if isinstance(n, Read)}
    return all(index == plan.axis or plan.axis not in index.free_symbols for read in reads for index in read.indices)


def _rows(plan: Plan, sample: Sample) -> Iterator[Row]:
    """The bodies of the sums as written, at the anchors of larger and larger parts."""
    written = tuple(dict.fromkeys(f for o in plan.spec.outputs for f in _sums(write_out(o.expr), plan)))
    parts: list[tuple[sp.Expr, ...]] = [(), *((sp.Integer(n),) for n in ADDED[:8])]
    for gap, added in enumerate(parts):
        part = sample.with_added(added, gap) if added else sample
        for fold in written:
            try:
                row = tuple(part.value(fold.body, p) for p in sample.positions)
            except NoValue:
                continue
            yield Row(fold, added, row)


def _sums(expr: sp.Basic, plan: Plan) -> Iterator[Fold]:
    """All sums over the axis in an expression, the innermost first."""
    for fold in folds(expr, plan.axis):
        yield from _sums(fold.body, plan)
        if fold.kind == "sum":
            yield fold


def _enclosed(matrix: sp.ImmutableDenseMatrix) -> tuple[str, str] | None:
    """The determinant, exact or in an interval; None where that is not shown to be other than 0."""
    if all(entry.is_Rational for entry in matrix):
        exact = DomainMatrix.from_Matrix(matrix).to_field().det()
        number = sp.Rational(exact.numerator, exact.denominator)
        return (str(number), str(number)) if number != 0 else None
    held = determinant(matrix)
    if held is None:
        return None
    low, high = enclosure(held)
    return (nstr(low, 8), nstr(high, 8)) if low > 0 or high < 0 else None
