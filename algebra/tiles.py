"""Which tiles of the fold axis are visited and which run without masks, as the formulas that the kernel computes.

What `emit` prints and what `verify` proves are these same formulas.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from refold.algebra.bounds import Bound, bounds_of, conjuncts, implied, slope
from refold.algebra.plan import Accumulator, Plan
from refold.algebra.roles import Roles, axes_of
from refold.spec import Fold, Index, Read, Where


class Loop(sp.Symbol):
    """An integer variable of the emitted kernel."""


BLOCK_N = Loop("BLOCK_N", integer=True, positive=True)
FIRST_ROW, LAST_ROW = (
    Loop("first_row", integer=True, nonnegative=True),
    Loop("last_row", integer=True, nonnegative=True),
)
LO, HI = Loop("lo", integer=True, nonnegative=True), Loop("hi", integer=True)
FREE_LO, FREE_HI = Loop("free_lo", integer=True), Loop("free_hi", integer=True)
PART, CHUNK = Loop("part", integer=True, nonnegative=True), Loop("chunk", integer=True, positive=True)
# The positions that a program of the split kernel goes over.
SPLIT = (PART * CHUNK, sp.Mul(PART + 1, CHUNK, evaluate=False))


def whole(fold: Index) -> tuple[sp.Expr, sp.Expr]:
    """The positions that a program of the rolling kernel goes over."""
    return sp.S.Zero, fold.size


class Down(sp.Function):
    """`x // BLOCK_N * BLOCK_N`."""

    nargs = 1


class Up(sp.Function):
    """`cdiv(x, BLOCK_N) * BLOCK_N`."""

    nargs = 1


class RowMax(sp.Function):
    """The largest value of an integer over the rows of a program."""

    nargs = 1


class RowMin(sp.Function):
    """The least value of an integer over the rows of a program."""

    nargs = 1


@dataclass(frozen=True, slots=True)
class Choose:
    """`name = max(name, expr)` or `name = min(name, expr)`, or plainly `name = expr` where `kind` is ""."""

    name: sp.Symbol
    kind: str
    expr: sp.Expr


@dataclass(frozen=True, slots=True)
class TileRanges:
    """The tiles in [lo, hi) are visited, those in [free_lo, free_hi) without masks; free_lo may be lo itself.

    `skip`: outside of these conditions a position adds nothing to any accumulator. `masks`: the conditions that a tile
    without masks does not evaluate. `asked`: those of `skip` that are no bounds, as they depend on data or are unions;
    a visited tile in which they hold nowhere together is not run. The bounds are those that the formulas are made of.
    """

    skip: tuple[sp.Basic, ...]
    asked: tuple[sp.Basic, ...]
    masks: tuple[sp.Basic, ...]
    skip_bounds: tuple[Bound, ...]
    free_bounds: tuple[Bound, ...]

    @property
    def starts_masked(self) -> bool:
        """Whether there may be masked tiles before the first that needs no mask."""
        return any(b.side == "lower" for b in self.free_bounds)

    def rises(self, roles: Roles) -> bool:
        """Whether later rows have more tiles than earlier ones, as under a causal mask: they are to start first.

        Within a window they have as many, once it is full.
        """
        if roles.rows is None or roles.group is not None:
            return False
        upper = [slope(b.expr, roles.rows) for b in self.skip_bounds if b.side == "upper"]
        return any(s is not None and s > 0 for s in upper)

    def held(self, roles: Roles) -> bool:
        """Whether the last tile is held until it is written: nothing but the end of the axis masks one, and no dots."""
        return not (self.skip or self.masks or roles.contracts)

    @property
    def spans(self) -> tuple[tuple[sp.Symbol, sp.Symbol, bool], ...]:
        """The loops, one after the other: where each begins and ends, and whether it evaluates masks."""
        if self.starts_masked:
            return ((LO, FREE_LO, True), (FREE_LO, FREE_HI, False), (FREE_HI, HI, True))
        return ((LO, FREE_HI, False), (FREE_HI, HI, True))

    def choices(self, roles: Roles, start: sp.Expr, stop: sp.Expr) -> tuple[Choose, ...]:
        """The lines that compute the ends of the loops, for the positions of the axis in [start, stop)."""
        size = roles.fold.size
        lines = [Choose(LO, "", start), Choose(HI, "", stop if stop == size else sp.Min(stop, size, evaluate=False))]
        lines.append(Choose(FREE_HI, "", HI))
        if self.starts_masked:
            lines.append(Choose(FREE_LO, "", LO))
        for b in self.skip_bounds:
            lines.append(
                Choose(HI, "min", over_rows(b.expr + 1, roles, largest=True))
                if b.side == "upper"
                else Choose(LO, "max", over_rows(b.expr, roles, largest=False))
            )
        for b in self.free_bounds:
            lines.append(
                Choose(FREE_HI, "min", over_rows(b.expr + 1, roles, largest=False))
                if b.side == "upper"
                else Choose(FREE_LO, "max", over_rows(b.expr, roles, largest=True))
            )
        if any(b.side == "lower" for b in self.skip_bounds):
            lines.append(Choose(LO, "", Down(LO)))
        lines.append(Choose(HI, "", sp.Max(Up(HI), LO, evaluate=False)))
        before = LO
        if self.starts_masked:
            lines.append(Choose(FREE_LO, "", sp.Min(Up(FREE_LO), HI, evaluate=False)))
            before = FREE_LO
        inner = sp.Max(Down(FREE_HI), before, evaluate=False)
        return (*lines, Choose(FREE_HI, "", sp.Min(inner, HI, evaluate=False)))


def over_rows(expr: sp.Expr, roles: Roles, *, largest: bool) -> sp.Expr:
    """The largest or least value of an integer over the rows of a program: at an end where it only rises or falls."""
    rows = roles.rows
    if rows is None or rows not in axes_of(expr):
        return expr
    direction = slope(expr, rows)
    if direction:
        return expr.xreplace({rows: LAST_ROW if (direction > 0) == largest else FIRST_ROW})
    return (RowMax if largest else RowMin)(expr)


def tile_ranges(plan: Plan, roles: Roles) -> TileRanges:
    """The choice of tiles of a plan, from the predicates of its elements."""
    live = [live_where(plan, a) for a in plan.accumulators]
    common = sorted(set.intersection(*map(set, live)) if live else set(), key=sp.default_sort_key)
    full: dict[Bound, None] = {}
    masks: dict[sp.Basic, None] = {}
    for e in plan.elements:
        if isinstance(e.expr, Where):
            for part in conjuncts(e.expr.args[0]):
                if bounds := bounds_of(part, roles):
                    full |= dict.fromkeys(bounds)
                    masks[part] = None
    skip = dict.fromkeys(b for part in common for b in implied(part, roles))
    asked = tuple(part for part in common if _may_fail_everywhere(part, roles) and not bounds_of(part, roles))
    return TileRanges(tuple(common), asked, tuple(masks), tuple(skip), tuple(full))


def _may_fail_everywhere(part: sp.Basic, roles: Roles) -> bool:
    """Whether a condition is worth asking of a whole tile: cheap beside it, and not true somewhere in every tile."""
    return part.has(roles.fold) and part.has(Read, sp.Or) and not part.has(Fold)


def live_where(plan: Plan, a: Accumulator) -> set[sp.Basic]:
    """Conditions outside of which a position contributes the unit of an accumulator, which `masked` proves."""
    conditions = {e.symbol: e.expr.args for e in plan.elements if isinstance(e.expr, Where)}
    found: set[sp.Basic] = set()
    if a.reducer in ("max", "min"):
        for term in sp.Add.make_args(a.element):
            if term in conditions and conditions[term][2] == a.unit:
                found |= set(conjuncts(conditions[term][0]))
    if a.reducer in ("sum", "count"):
        for factor in sp.Mul.make_args(a.element):
            if factor in conditions and conditions[factor][2] == 0:
                found |= set(conjuncts(conditions[factor][0]))
            if isinstance(factor, sp.exp):
                for term in sp.Add.make_args(factor.args[0]):
                    if term in conditions and conditions[term][2] == -sp.oo:
                        found |= set(conjuncts(conditions[term][0]))
    return found
