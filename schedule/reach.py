"""How far the integers of a kernel go, for sizes and scalars that the launcher knows: what it has to look at.

That it looks at enough is proved of the kernels themselves: `index overflow`.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from refold.algebra import Plan, State
from refold.algebra.rewrite import walk
from refold.algebra.roles import Roles
from refold.algebra.tiles import FIRST_ROW, LAST_ROW, TileRanges
from refold.schedule.lower.host import is_count, is_host
from refold.spec import Index, Param, Read, Size, Where
from refold.spec.heads import is_integral


def reaches(plan: Plan, roles: Roles, ranges: TileRanges, block: int) -> list[sp.Expr]:
    """What no integer on the way to any mask, index or count exceeds in size, over lengths and scalars.

    Lanes go beyond the end of an axis by less than a `block`. Data is left out, which is computed with in 64 bits; so
    is what a length bounds by itself.
    """
    sizes: dict[sp.Expr, None] = {}
    wholes = [w for x in _roots(plan) for w in _wholes(x)]
    wholes += [b.expr + 1 for b in (*ranges.skip_bounds, *ranges.free_bounds)]
    for whole in wholes:
        sizes |= dict.fromkeys(size_of(node, roles, block) for node in _nodes(whole))
    return [x for x in sizes if not _short(x)]


def _short(size: sp.Expr) -> bool:
    """Whether a length and a number that is small beside 2^31 are not exceeded."""
    constant, rest = sp.expand(size).as_coeff_Add()
    return bool(constant < 2**29 and (rest == 0 or isinstance(rest, Size)))


def _roots(plan: Plan) -> list[sp.Basic]:
    """Every expression that a kernel evaluates."""
    return [
        *(e.expr for e in plan.elements),
        *(a.element for a in plan.accumulators),
        *(x for a in plan.anchors for x in (a.expr, a.regular, a.default)),
        *(x for f in plan.finish for x in (f.expr, f.guard, f.empty)),
    ]


def _wholes(expr: sp.Basic) -> Iterator[sp.Expr]:
    """The integer expressions in an expression, the largest ones, that are computed as integers."""
    match expr:
        case Relational() if is_integral(expr.lhs) and is_integral(expr.rhs):
            yield from expr.args
        case sp.Expr() if is_count(expr):
            yield expr
        case Read():
            yield from expr.indices
        case sp.Expr() if is_host(expr) and not isinstance(expr, Where):
            pass  # the launcher computes it
        case sp.Expr() | Boolean():
            for arg in expr.args:
                yield from _wholes(arg)


def _nodes(whole: sp.Expr) -> Iterator[sp.Expr]:
    """An integer expression, and what it is made of that may be larger than it."""
    yield whole
    for node in walk(whole):
        if isinstance(node, sp.floor | sp.Mod | sp.Abs | Read | Relational):
            above = sp.fraction(sp.together(node.args[0])) if isinstance(node, sp.floor) else node.args
            yield from (a for a in above if isinstance(a, sp.Expr))
            if isinstance(node, sp.Mod) and not node.args[0].is_nonnegative:
                # The multiple of the divisor below a negative number is farther from 0 than it is.
                yield sp.Add(*node.args, evaluate=False)
        elif isinstance(node, Param):
            yield node


def size_of(expr: sp.Expr, roles: Roles, past: int = 0) -> sp.Expr:
    """A bound on the size of an integer and of every partial sum of it; 0 for data.

    Positions along the axes of tiles may be so many `past` the end.
    """
    match expr:
        case Index():
            return expr.size + (past if expr in roles.tiles else 0)
        case State():
            # A position that a fold has found, or -1.
            return roles.fold.size + 1
        case sp.Symbol() if expr in (FIRST_ROW, LAST_ROW) and roles.rows is not None:
            return roles.rows.size
        case Size() | sp.Integer():
            return abs(expr)
        case sp.Symbol():
            return sp.Abs(expr)
        case sp.Mul() if (multiple := _multiple(expr)) is not None:
            above, below, rest = multiple
            nearest = size_of(above, roles, past) + (0 if above.is_nonnegative else size_of(below, roles, past))
            return nearest * size_of(rest, roles, past)
        case sp.Add() | sp.Mul() | sp.Max() | sp.Min():
            func = sp.Max if isinstance(expr, sp.Min) else expr.func
            return func(*(size_of(a, roles, past) for a in expr.args))
        case sp.Pow():
            return size_of(expr.base, roles, past) ** expr.exp
        case sp.floor():
            return size_of(sp.fraction(sp.together(expr.args[0]))[0], roles, past)
        case sp.Mod():
            return size_of(expr.args[1], roles, past)
        case sp.Abs():
            return size_of(expr.args[0], roles, past)
        case Where():
            return sp.Max(*(size_of(a, roles, past) for a in expr.args[1:]))
    return sp.S.Zero


def _multiple(expr: sp.Mul) -> tuple[sp.Expr, sp.Expr, sp.Expr] | None:
    """`x`, `D` and `rest` of `D * floor(x / D) * rest`, which is no larger than x, and less than D below it."""
    for whole in expr.args:
        if isinstance(whole, sp.floor):
            above, below = sp.fraction(sp.together(whole.args[0]))
            if below in expr.args:
                return above, below, sp.Mul(*(a for a in expr.args if a not in (whole, below)))
    return None


def limited(plan: Plan, roles: Roles) -> dict[Param, tuple[sp.Expr, ...]]:
    """The scalars that only move the ends of ranges of positions, and what the rest of their comparisons reaches.

    Each stands in comparisons of integers alone, by itself or with a minus: one beyond every position does what any
    other beyond them does.
    """
    others: set[sp.Basic] = set()
    rests: dict[Param, list[sp.Expr]] = {}
    for root in _roots(plan):
        _sort(root, rests, others, roles)
    return {p: tuple(rest) for p, rest in rests.items() if p not in others}


def _sort(expr: sp.Basic, rests: dict[Param, list[sp.Expr]], others: set[sp.Basic], roles: Roles) -> None:
    if isinstance(expr, Relational) and is_integral(expr.lhs) and is_integral(expr.rhs) and not expr.has(Read):
        difference = sp.expand(expr.lhs - expr.rhs)
        params = {s for s in difference.free_symbols if isinstance(s, Param)}
        if len(params) == 1:
            (param,) = params
            rest = difference - difference.coeff(param) * param
            if difference.coeff(param) in (1, -1) and param not in rest.free_symbols:
                rests.setdefault(param, []).append(size_of(rest, roles))
                return
    if isinstance(expr, Param):
        others.add(expr)
    for arg in expr.args:
        _sort(arg, rests, others, roles)
