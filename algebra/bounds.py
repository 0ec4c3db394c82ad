"""From a predicate over indices to bounds on the fold axis: those it implies, and those it amounts to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.roles import Roles, axes_of
from refold.spec import Index
from refold.spec.heads import at_an_element

Side = Literal["lower", "upper"]
_MIRRORED = {sp.Le: sp.Ge, sp.Lt: sp.Gt, sp.Ge: sp.Le, sp.Gt: sp.Lt}


@dataclass(frozen=True, slots=True)
class Bound:
    """`j >= expr` or `j <= expr`, with `expr` an integer that does not vary with the fold axis."""

    side: Side
    expr: sp.Expr


def conjuncts(cond: sp.Basic) -> tuple[sp.Basic, ...]:
    """The parts of a conjunction, its negations moved inside."""
    whole = sp.to_nnf(cond, simplify=False) if cond.has(sp.Not) else cond
    return tuple(sorted(sp.And.make_args(whole), key=sp.default_sort_key))


def bounds_of(part: sp.Basic, roles: Roles) -> tuple[Bound, ...]:
    """The bounds on the fold axis that a condition amounts to; none where it is of another kind."""
    if isinstance(part, sp.Or):
        return _one_sided(part, roles)
    return _comparison(part, roles)


def implied(part: sp.Basic, roles: Roles) -> tuple[Bound, ...]:
    """Bounds that hold wherever a condition does: of a disjunction, the widest of its members' bounds."""
    if isinstance(part, sp.And):
        return tuple(b for p in conjuncts(part) for b in implied(p, roles))
    if not isinstance(part, sp.Or):
        return _comparison(part, roles)
    members = [implied(p, roles) for p in part.args]
    found = []
    for side, widest, narrowest in (("lower", sp.Min, sp.Max), ("upper", sp.Max, sp.Min)):
        ends = [[b.expr for b in bounds if b.side == side] for bounds in members]
        if all(ends):
            found.append(Bound(side, widest(*(narrowest(*e) for e in ends))))  # type: ignore[arg-type]
    return tuple(found)


def _one_sided(part: sp.Or, roles: Roles) -> tuple[Bound, ...]:
    """A union of half lines to one side is the longest of them; of other unions nothing is said."""
    members = [_comparison(p, roles) for p in part.args]
    if any(len(m) != 1 for m in members) or len({m[0].side for m in members}) != 1:
        return ()
    side = members[0][0].side
    return (Bound(side, (sp.Max if side == "upper" else sp.Min)(*(m[0].expr for m in members))),)


def _comparison(atom: sp.Basic, roles: Roles) -> tuple[Bound, ...]:
    """The bounds of a comparison that is linear in the fold axis with factor 1 or -1, or in `floor((j + s)/D)`."""
    if not isinstance(atom, Relational) or isinstance(atom, sp.Ne):
        return ()
    if not (atom.lhs.is_integer and atom.rhs.is_integer):
        return ()
    fold = roles.fold
    difference = sp.expand(atom.lhs - atom.rhs)
    terms = [t for t in sp.Add.make_args(difference) if fold in t.free_symbols]
    if len(terms) != 1:
        return ()
    factor, head = terms[0].as_coeff_Mul()
    rest = difference - terms[0]
    if factor not in (1, -1) or axes_of(rest) & set(roles.inner):
        return ()
    block = _blocked(head, fold)
    if block is None:
        return ()
    shift, size = block
    # factor * head + rest REL 0, and head = floor((j + shift) / size).
    kind = type(atom) if factor == 1 else _MIRRORED.get(type(atom), type(atom))
    value = -rest * factor
    upper = Bound("upper", sp.expand(size * value + size - 1 - shift))
    lower = Bound("lower", sp.expand(size * value - shift))
    match kind:
        case sp.Le:
            return (upper,)
        case sp.Lt:
            return (Bound("upper", sp.expand(size * value - 1 - shift)),)
        case sp.Ge:
            return (lower,)
        case sp.Gt:
            return (Bound("lower", sp.expand(size * value + size - shift)),)
        case sp.Eq:
            return (lower, upper)
    return ()


def _blocked(head: sp.Expr, fold: Index) -> tuple[sp.Expr, sp.Expr] | None:
    """(shift, size) of `j` or `floor((j + shift) / size)`, the size a positive integer free of every axis."""
    if head == fold:
        return sp.S.Zero, sp.S.One
    if not isinstance(head, sp.floor):
        return None
    above, size = sp.fraction(sp.together(head.args[0]))
    shift = sp.expand(above - fold)
    if fold in shift.free_symbols or axes_of(shift) or axes_of(size):
        return None
    return (shift, size) if size.is_integer and at_an_element(size).is_positive and shift.is_integer else None


def slope(expr: sp.Expr, axis: Index) -> int | None:
    """1 where an expression never falls along an axis, -1 where it never rises, 0 where it is the same, else None."""
    if axis not in expr.free_symbols:
        return 0
    if expr == axis:
        return 1
    if isinstance(expr, sp.Add | sp.Max | sp.Min):
        found = {slope(a, axis) for a in expr.args} - {0}
        return found.pop() if len(found) == 1 else None
    if isinstance(expr, sp.floor):
        return slope(expr.args[0], axis)
    if isinstance(expr, sp.Mul):
        varying = [a for a in expr.args if axis in a.free_symbols]
        rest = sp.Mul(*(a for a in expr.args if a not in varying))
        if len(varying) == 1 and (rest.is_nonnegative or rest.is_nonpositive):
            inner = slope(varying[0], axis)
            return inner if inner is None or rest.is_nonnegative else -inner
    return None
