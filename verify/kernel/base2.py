"""The obligation that a plan in base 2 is the plan: its change of variables, undone, gives every definition back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import Plan
from refold.algebra.base2 import LN2, exp2, scaled
from refold.algebra.choices import INFINITE
from refold.algebra.rewrite import rebuild
from refold.spec import Where
from refold.verify.result import Result, Verdict


def change_of_base(plan: Plan, changed: Plan) -> Iterator[Result]:
    """`x -> log(2) x` for scores, maxima and anchors takes `changed` to `plan`; nothing where they are the same."""
    if changed == plan:
        return
    different = [f"{a} is not {b}" for a, b in _pairs(plan, changed) if normal(a) != normal(b)]
    verdict: Verdict = "unknown" if different else "proved"
    claim = "the plan in base 2 is the plan, with its scores in units of log(2)"
    note = "; ".join(different) or "by calculation: the definitions of both, in one unit, are the same expressions"
    yield Result("refinement base 2", claim, verdict, 0.0, "", note=note)


def _pairs(plan: Plan, changed: Plan) -> Iterator[tuple[Any, Any]]:
    """Every definition of the plan in base 2 with its variables changed back, and that of the plan."""
    symbols = scaled(plan)
    back: dict[sp.Basic, sp.Basic] = {s: s / LN2 for s in symbols}

    def undone(expr: Any, symbol: Any = None) -> Any:
        expr = _put(sp.sympify(expr), back)
        return LN2 * expr if symbol in symbols and expr not in INFINITE else expr

    for e, f in zip(changed.elements, plan.elements, strict=True):
        yield undone(e.expr, e.symbol), f.expr
    for x, y in zip(changed.anchors, plan.anchors, strict=True):
        yield from ((undone(x.expr, x.stale), y.expr), (undone(x.default, x.stale), y.default))
        yield undone(x.regular), y.regular
    for a, b in zip(changed.accumulators, plan.accumulators, strict=True):
        yield from ((undone(a.element, a.symbol), b.element), (undone(a.correction, a.symbol), b.correction))
    for g, h in zip(changed.finish, plan.finish, strict=True):
        yield from ((undone(g.expr), h.expr), (undone(g.empty), h.empty), (undone(g.guard), h.guard))


def _put(expr: Any, values: Mapping[sp.Basic, sp.Basic]) -> Any:
    """An expression with values for its symbols; powers of 2 become exponentials."""
    if not expr.args:
        return values.get(expr, expr)
    args = [_put(a, values) for a in expr.args]
    if isinstance(expr, exp2):
        return sp.exp(LN2 * args[0])
    return rebuild(expr, args)


def normal(expr: Any) -> Any:
    """The normal form in which both sides are compared: sums of products, log(2) inside of maxima and masks.

    True over the extended reals as log(2) is positive: c max(x, y) = max(c x, c y), and c x is infinite where x is.
    """
    if not expr.args:
        return expr
    expr = expr.func(*(normal(a) for a in expr.args))
    match expr:
        case sp.exp():
            return sp.exp(_sum(expr.args[0]))
        case Relational() if expr.rhs in INFINITE:
            return expr.func(sp.Mul(*(f for f in sp.Mul.make_args(expr.lhs) if not _is_unit(f))), expr.rhs)
        case sp.Add() | sp.Mul() | sp.Pow():
            return _sum(expr)
    return expr


def _sum(expr: Any) -> Any:
    """A sum of products, of which a denominator has its common factors apart: log(2) is one of them."""
    return sp.Add(*(_inside(_apart(term)) for term in sp.Add.make_args(sp.expand(expr))))


def _apart(term: Any) -> Any:
    above, below = sp.fraction(term)
    return term if below.is_number else above / sp.factor_terms(below)


def _is_unit(expr: Any) -> bool:
    """Whether an expression is a power of log(2)."""
    return bool(expr == LN2 or (expr.is_Pow and expr.base == LN2))


def _inside(expr: Any) -> Any:
    """A product with powers of log(2) in the maxima and masks that it holds."""
    factors = sp.Mul.make_args(expr)
    units = [f for f in factors if _is_unit(f)]
    chosen = next((f for f in factors if isinstance(f, sp.Max | sp.Min | Where)), None)
    if not units or chosen is None:
        return expr
    unit, rest = sp.Mul(*units), sp.Mul(*(f for f in factors if f not in units and f != chosen))
    head, sides = ([], chosen.args) if not isinstance(chosen, Where) else ([chosen.args[0]], chosen.args[1:])
    moved = chosen.func(*head, *(s if s in INFINITE else normal(unit * s) for s in sides))
    return rest * moved
