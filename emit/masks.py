"""From predicates to tiles: which tiles of the fold axis are visited, and which of them need no mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import Accumulator, Plan
from refold.algebra.base2 import exp2
from refold.emit.lower import Scope, Val
from refold.emit.roles import Roles, axes_of
from refold.spec import Where

Side = Literal["lower", "upper"]
_MIRRORED = {sp.Le: sp.Ge, sp.Lt: sp.Gt, sp.Ge: sp.Le, sp.Gt: sp.Lt}


@dataclass(frozen=True, slots=True)
class Bound:
    """`j >= expr` or `j <= expr`, with `expr` an integer that does not vary with the fold axis."""

    side: Side
    expr: sp.Expr


def conjuncts(cond: sp.Basic) -> tuple[sp.Basic, ...]:
    """The parts of a conjunction."""
    return tuple(sorted(sp.And.make_args(cond), key=sp.default_sort_key))


def bounds_of(atom: sp.Basic, roles: Roles) -> tuple[Bound, ...]:
    """The bounds on the fold axis that a comparison amounts to; none where it is of another kind."""
    if not isinstance(atom, Relational) or isinstance(atom, sp.Ne):
        return ()
    if not (atom.lhs.is_integer and atom.rhs.is_integer):
        return ()
    fold = roles.fold
    difference = sp.expand(atom.lhs - atom.rhs)
    factor = difference.coeff(fold)
    rest = difference - factor * fold
    if factor not in (1, -1) or fold in rest.free_symbols or axes_of(rest) & set(roles.inner):
        return ()
    # factor * j + rest REL 0
    kind = type(atom) if factor == 1 else _MIRRORED.get(type(atom), type(atom))
    value = -rest * factor
    match kind:
        case sp.Le:
            return (Bound("upper", value),)
        case sp.Lt:
            return (Bound("upper", value - 1),)
        case sp.Ge:
            return (Bound("lower", value),)
        case sp.Gt:
            return (Bound("lower", value + 1),)
        case sp.Eq:
            return (Bound("lower", value), Bound("upper", value))
    return ()


@dataclass(frozen=True, slots=True)
class Masks:
    """`skip` bounds hold wherever a tile contributes anything; within `full` ones no predicate has to be evaluated."""

    skip: tuple[Bound, ...]
    full: tuple[Bound, ...]

    @property
    def starts_masked(self) -> bool:
        """Whether there may be masked tiles before the first that needs no mask."""
        return any(b.side == "lower" for b in self.full)


def masks_of(plan: Plan, roles: Roles) -> Masks:
    """The bounds of a plan, from the predicates of its elements."""
    live = [_live(plan, a) for a in plan.accumulators]
    common = set.intersection(*map(set, live)) if live else set()
    skip = [b for atom in sorted(common, key=sp.default_sort_key) for b in bounds_of(atom, roles)]
    full: dict[Bound, None] = {}
    for e in plan.elements:
        if isinstance(e.expr, Where):
            for atom in conjuncts(e.expr.args[0]):
                full |= dict.fromkeys(bounds_of(atom, roles))
    return Masks(tuple(dict.fromkeys(skip)), tuple(full))


def _live(plan: Plan, a: Accumulator) -> set[sp.Basic]:
    """Conditions outside of which a position contributes the unit of an accumulator."""
    conditions = {e.symbol: e.expr.args for e in plan.elements if isinstance(e.expr, Where)}
    found: set[sp.Basic] = set()
    if a.reducer in ("max", "min"):
        unit = a.unit
        for term in sp.Add.make_args(a.element):
            if term in conditions and conditions[term][2] == unit:
                found |= set(conjuncts(conditions[term][0]))
    if a.reducer in ("sum", "count"):
        for factor in sp.Mul.make_args(a.element):
            if factor in conditions and conditions[factor][2] == 0:
                found |= set(conjuncts(conditions[factor][0]))
            if isinstance(factor, sp.exp | exp2):
                for term in sp.Add.make_args(factor.args[0]):
                    if term in conditions and conditions[term][2] == -sp.oo:
                        found |= set(conjuncts(conditions[term][0]))
    return found


def split_condition(cond: sp.Basic, roles: Roles) -> tuple[list[sp.Basic], list[sp.Basic]]:
    """The atoms that the choice of tiles sees to, and those that every tile evaluates."""
    atoms = conjuncts(cond)
    seen = [a for a in atoms if bounds_of(a, roles)]
    return seen, [a for a in atoms if a not in seen]


def range_lines(masks: Masks, scope: Scope, start: str, stop: str) -> list[str]:
    """Lines that set `lo <= full_lo <= full_hi <= hi`, the tiles within [start, stop) as multiples of BLOCK_N.

    Tiles in [lo, hi) are visited and those in [full_lo, full_hi) run without masks. Rows beyond the end do not count.
    """
    size = f"size_{scope.roles.fold.name}"
    lines = [f"lo = {start}", f"hi = tl.minimum({stop}, {size})" if stop != size else f"hi = {size}", "full_hi = hi"]
    if masks.starts_masked:
        lines.append("full_lo = lo")

    def tighten(name: str, form: str, bound: Bound, largest: bool) -> None:
        lines.append(f"{name} = {form}({name}, {_over_rows(bound.expr, largest, scope, lines)})")

    for bound in masks.skip:
        if bound.side == "upper":
            tighten("hi", "tl.minimum", Bound("upper", bound.expr + 1), True)
        else:
            tighten("lo", "tl.maximum", bound, False)
    for bound in masks.full:
        if bound.side == "upper":
            tighten("full_hi", "tl.minimum", Bound("upper", bound.expr + 1), False)
        else:
            tighten("full_lo", "tl.maximum", bound, True)
    if any(b.side == "lower" for b in masks.skip):
        lines.append("lo = lo // BLOCK_N * BLOCK_N")
    lines.append("hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)")
    before = "lo"
    if masks.starts_masked:
        lines.append("full_lo = tl.minimum(tl.cdiv(full_lo, BLOCK_N) * BLOCK_N, hi)")
        before = "full_lo"
    lines.append(f"full_hi = tl.minimum(tl.maximum(full_hi // BLOCK_N * BLOCK_N, {before}), hi)")
    return lines


def _over_rows(expr: sp.Expr, largest: bool, scope: Scope, lines: list[str]) -> str:
    """The largest or least value of an integer over the rows of a program."""
    rows = scope.roles.rows
    if rows is None or rows not in axes_of(expr):
        return scope.integer(expr).text
    slope = sp.diff(expr, rows)
    if slope.is_Integer and rows not in axes_of(slope):
        end = "last_row" if (slope > 0) == largest else "first_row"
        return scope.inside(()).with_index(rows, Val(end)).integer(expr).text
    val = scope.integer(expr)
    kind, other = ("max", "-2147483648") if largest else ("min", "2147483647")
    return f"tl.{kind}(tl.where(in_{rows.name}, {val.text}, {other}), 0)"
