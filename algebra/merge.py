"""The state of a plan as symbols: unit, lift, merge, with the guards of every anchor written out."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from refold.algebra.plan import Accumulator, Anchor, Plan, State
from refold.spec import Where

Values = Mapping[State, sp.Expr]


def unit(plan: Plan) -> dict[State, sp.Expr]:
    """The state of nothing."""
    return {a.symbol: a.unit for a in plan.accumulators}


def fresh_symbols(plan: Plan, mark: str) -> dict[State, sp.Expr]:
    """A state of unknown values, each named after its accumulator and a mark."""
    return {a.symbol: State(f"{a.symbol}{mark}") for a in plan.accumulators}


def guarded(anchor: Anchor, state: Values) -> sp.Expr:
    """The anchor in a state: its expression where that is regular, its default elsewhere."""
    return Where(_put(anchor.regular, state), _put(anchor.expr, state), anchor.default)


def lift(plan: Plan) -> dict[State, sp.Expr]:
    """The state of one element, over the element symbols."""
    state: dict[State, sp.Expr] = {}
    for a in plan.accumulators:
        state[a.symbol] = put_fresh(plan, a.element, a, state)
    return state


def merge(plan: Plan, left: Values, right: Values) -> dict[State, sp.Expr]:
    """The state of the union of two disjoint parts."""
    state: dict[State, sp.Expr] = {}
    for a in plan.accumulators:
        x, y = moved(plan, a, left, state), moved(plan, a, right, state)
        state[a.symbol] = combine(a, x, y, keys(plan, a, left, right, state))
    return state


def keys(plan: Plan, a: Accumulator, left: Values, right: Values, new: Values | None) -> tuple[sp.Expr, sp.Expr] | None:
    """What the positions of an argmax are compared by: the largest values of both parts, at the same anchors."""
    if a.key is None:
        return None
    key = next(k for k in plan.accumulators if k.symbol == a.key)
    return moved(plan, key, left, new), moved(plan, key, right, new)


def put_fresh(plan: Plan, expr: sp.Expr, a: Accumulator, state: Values) -> sp.Expr:
    """An expression with its fresh anchors as a new state has them."""
    return expr.xreplace({plan.anchor(s).fresh: guarded(plan.anchor(s), state) for s in a.anchors})


def moved(plan: Plan, a: Accumulator, old: Values, new: Values | None) -> sp.Expr:
    """An accumulator of `old`, re-anchored at the anchors of `new` (at the fresh symbols where that is None).

    A stale anchor that is an exponent's is taken as it is: exp(-oo - r') = 0 is what a part that holds nothing has
    to weigh. Elsewhere it is guarded, since 0 * (-oo) is undefined.
    """
    raw = {s: _put(plan.anchor(s).expr, old) for s in a.anchors}
    safe = {s: guarded(plan.anchor(s), old) for s in a.anchors}
    values = dict(old)

    def visit(expr: sp.Basic, inside: bool) -> sp.Basic:
        if isinstance(expr, State):
            if expr in a.anchors:
                return raw[expr] if inside else safe[expr]
            return values[expr]
        if not expr.args:
            return expr
        return expr.func(*(visit(arg, inside or isinstance(expr, sp.exp)) for arg in expr.args))

    result = visit(a.moved, False)
    return result if new is None else put_fresh(plan, result, a, new)


def combine(a: Accumulator, x: sp.Expr, y: sp.Expr, keys: tuple[sp.Expr, sp.Expr] | None = None) -> sp.Expr:
    """The reducer of an accumulator on two values; argmax looks at the keys, the lower position on a tie.

    Of two positions -1, that of nothing, is never the lower.
    """
    match a.reducer:
        case "sum" | "count":
            return x + y
        case "prod":
            return x * y
        case "max" | "any":
            return sp.Max(x, y)
        case "min" | "all":
            return sp.Min(x, y)
        case "argmax":
            assert keys is not None
            kx, ky = keys
            lower = sp.Or(sp.Lt(y, 0), sp.And(sp.Ge(x, 0), sp.Le(x, y)))
            first = sp.Or(sp.Gt(kx, ky), sp.And(sp.Eq(kx, ky), lower))
            return Where(first, x, y)


def _put(expr: sp.Basic, state: Values) -> sp.Basic:
    return expr.xreplace(dict(state))


def mean_of(plan: Plan, a: Accumulator) -> tuple[sp.Expr, sp.Symbol, sp.Expr, Accumulator] | None:
    """For `a <- a n/n' + sum(phi/n')`, n a count: phi, n', n and the accumulator of the count."""
    for stale in a.anchors:
        anchor = plan.anchor(stale)
        count = next((b for b in plan.accumulators if b.symbol == anchor.expr and b.reducer == "count"), None)
        if count is not None and a.reducer == "sum" and sp.expand(a.moved - a.symbol * stale / anchor.fresh) == 0:
            phi = a.element * anchor.fresh
            if anchor.fresh not in phi.free_symbols:
                return phi, anchor.fresh, stale, count
    return None
