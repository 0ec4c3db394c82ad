"""Exponents in base 2: scores carry `log2(e)` in their scale, so that `exp(s - m)` becomes `exp2(s - m)`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sympy as sp

from refold.algebra.plan import Fresh, Plan, State
from refold.spec import Fold, Where

LN2 = sp.log(2)


class exp2(sp.Function):
    """`2 ** x`: what an exponential becomes once the logarithm of 2 is in its scale."""

    nargs = 1


def in_base2(plan: Plan) -> Plan:
    """The same plan with every computed score, its running maximum and its anchors divided by `log(2)`.

        m = max s, l = sum exp(s - m)   ->   m = max s, l = sum exp2(s - m), where s and m are s/log(2) and m/log(2)

    Obligation `refinement base 2`: undone, it gives every definition back (`verify/kernel/base2.py`).

    A change of variables, exact over the reals: `x -> log(2) x` for the symbols concerned. Only scores that are
    computed (that hold a fold of their own, as a scaled dot product does) change: their scale is a number already.
    Raw data would have to be multiplied before the maximum is taken away, and would lose what the scale rounds.
    """
    symbols = scaled(plan)
    if not symbols:
        return plan
    back = {s: LN2 * s for s in symbols}

    def change(expr: Any) -> Any:
        return _exponentials(expr.xreplace(back)) if isinstance(expr, sp.Basic) else expr

    elements = tuple(
        replace(e, expr=divided(e.expr)) if e.symbol in symbols else replace(e, expr=change(e.expr))
        for e in plan.elements
    )
    anchors = tuple(
        replace(a, expr=divided(change(a.expr)), default=a.default / LN2) if a.stale in symbols
        else replace(a, expr=change(a.expr))
        for a in plan.anchors
    )  # fmt: skip
    accumulators = tuple(
        a if a.symbol in symbols else replace(a, element=change(a.element), correction=change(a.correction))
        for a in plan.accumulators
    )
    finish = tuple(replace(f, expr=change(f.expr), empty=change(f.empty)) for f in plan.finish)
    return replace(plan, elements=elements, anchors=anchors, accumulators=accumulators, finish=finish)


def scaled(plan: Plan) -> set[sp.Symbol]:
    """Elements that are computed scores, with the maxima and anchors that live on their scale."""
    exponents = [
        n.args[0] for a in plan.accumulators for n in sp.preorder_traversal(a.element) if isinstance(n, sp.exp)
    ]
    found: set[sp.Symbol] = {
        e.symbol
        for e in plan.elements
        if any(isinstance(n, Fold) for n in sp.preorder_traversal(e.expr))
        and any(abs(x.coeff(e.symbol)) == 1 for x in exponents)
    }
    for a in plan.accumulators:
        if a.reducer in ("max", "min") and a.element in found and a.correction == a.symbol:
            found.add(a.symbol)
    for anchor in plan.anchors:
        terms = anchor.expr.args if isinstance(anchor.expr, sp.Max | sp.Min) else (anchor.expr,)
        states = [t for t in terms if t.has(State)]
        if states and all(t in found for t in states):
            found |= {anchor.stale, anchor.fresh}
    # A maximum of anything else leaves its anchors, and so its exponents, where they are.
    fresh = {s for x in exponents for s in x.free_symbols if isinstance(s, Fresh)}
    return found if fresh <= found else set()


def divided(expr: sp.Expr) -> sp.Expr:
    """`expr / log(2)`, taken into sums, maxima and masks until it meets a factor."""
    match expr:
        case sp.Add():
            return sp.Add(*(divided(a) for a in expr.args))
        case sp.Max() | sp.Min():
            return expr.func(*(divided(a) for a in expr.args))
        case Where():
            cond, then, other = expr.args
            return Where(cond, divided(then), divided(other))
        case sp.Mul():
            factor, rest = expr.as_coeff_Mul()
            if isinstance(rest, sp.Add | sp.Max | sp.Min | Where) and factor != 1:
                return sp.Mul(factor, divided(rest), evaluate=True)
    return expr if expr in (sp.oo, -sp.oo) else expr / LN2


def _exponentials(expr: sp.Basic) -> Any:
    """`exp(log(2) x) -> exp2(x)` wherever something on the new scale stands in the exponent."""
    if not expr.args:
        return expr
    args = [_exponentials(a) for a in expr.args]
    if isinstance(expr, sp.exp) and args[0].has(LN2):
        return exp2(sp.expand(divided(args[0]), deep=False))
    return expr if all(a is b for a, b in zip(args, expr.args, strict=True)) else expr.func(*args)
