"""How one accumulator moves from stale anchors to fresh ones, and where an anchor is usable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.law import Law, express, has_value
from refold.algebra.plan import Accumulator, Anchor, Element, State, counts
from refold.algebra.ranking import Ranking
from refold.algebra.rewrite import walk
from refold.spec import Fold, Where
from refold.spec.heads import UNITS

# What of an element varies along the axis; an accumulator at stale anchors to the same at fresh ones.
Varyings = Sequence[sp.Symbol]
Move = Callable[[Any], sp.Expr]
# A component of a law as a sum of accumulators with coefficients.
Terms = tuple[tuple[State, sp.Expr], ...]


def stale(g: sp.Expr, used: Sequence[Anchor]) -> sp.Expr:
    """An expression of fresh anchors at the stale ones."""
    return g.xreplace({a.fresh: a.stale for a in used})


def never_zero(used: Sequence[Anchor]) -> set[sp.Symbol]:
    """The anchors that may be divided by, stale and fresh."""
    return {s for a in used if a.is_never_zero for s in (a.fresh, a.stale)}


def of_extremum(fold: Fold, g: sp.Expr, used: list[Anchor], varying: Varyings) -> Move | None:
    """`t + d(r, r')`, or `t q(r, r')` with q > 0: a strictly monotone map carries over a maximum.

    Nothing is scaled by an infinite anchor, nor what no position has reached: the unit times exp(-oo - r') = 0 is
    no number, and in floats exp(r - r') is 0 for a large r' too.
    """
    old = stale(g, used)
    if any(c.has(*(a.fresh for a in used)) for c in g.atoms(Relational)):
        return None  # which positions count is another set at another anchor
    difference = sp.simplify(g - old)
    if not difference.has(*varying):
        return lambda t: t + difference
    ratio = sp.simplify(g / old)
    if not ratio.has(*varying) and (ratio.is_positive or isinstance(ratio, sp.exp)):
        reached, unit = sp.Gt if fold.kind == "max" else sp.Lt, UNITS[fold.kind]
        regular = [a.regular for a in used if a.regular is not sp.true]
        return lambda t: Where(sp.And(*regular, reached(t, unit, evaluate=False), evaluate=False), t * ratio, t)
    return None


def of_ranking(order: Ranking, used: Sequence[Anchor], better: Sequence[State]) -> Move:
    """The first of the part's own best that is not taken: `better` are the keys, or the positions, of the ranking."""
    taken = [next(x.fresh for x in used if x.expr == place) for place in order.places]
    return lambda t: order.left(taken, t, of=better)


def of_product(g: sp.Expr, used: Sequence[Anchor], varying: Varyings, count: Callable[[], sp.Expr]) -> Move | None:
    """`t q(r, r')^n` with n the number of factors so far; none where q may be a number divided by 0."""
    ratio = sp.simplify(g / stale(g, used))
    anchors, old = tuple(a.fresh for a in used), tuple(a.stale for a in used)
    if ratio.has(*varying) or not has_value([ratio], g, anchors, old, never_zero(used)):
        return None
    n = count()
    return lambda t: t * ratio**n


def given_by_others(
    law: Law, known: Sequence[Accumulator], back: Mapping[Any, Any], elements: Collection[Element], guarded: set[State]
) -> dict[int, Terms]:
    """The components of a law but its first that are sums of known accumulators, which need not be carried."""
    found = {}
    for k in reversed(range(1, len(law.basis))):
        terms = of_others(law.basis[k].xreplace(back), known, back, elements, guarded)
        if terms is not None:
            found[k] = terms
    return found


def given(
    body: sp.Expr,
    used: Sequence[Anchor],
    known: Sequence[Accumulator],
    anchors: Sequence[Anchor],
    elements: Collection[Element],
) -> Terms | None:
    """A sum that others determine: 0, a multiple of one of them, or, of data alone, `sum x^2 = M2 + n mean^2`.

    A sum about an anchor that is a difference of others is carried all the same: it may be far smaller than they are.
    """
    back = {a.fresh: a.stale for a in anchors}
    terms = of_others(body.xreplace(back), known, back, elements, {a.stale for a in used if a.default != 0})
    if terms is None or any(c.has(sp.exp) for _, c in terms):
        return None
    at = {a.stale: a.expr for a in anchors}
    terms = tuple((s, sp.factor(c.xreplace(at))) for s, c in terms)
    return terms if not used or not total(terms, anchors).is_Add else None


def of_others(
    phi: sp.Expr,
    known: Sequence[Accumulator],
    back: Mapping[Any, Any],
    elements: Collection[Element],
    guarded: set[State],
) -> Terms | None:
    """A function of stale anchors as a sum of those of known accumulators with coefficients, or None.

    All elements vary, those of other accumulators too: a coefficient must hold none of them. The name of a guarded
    anchor stands for its default where there is nothing, and not for the accumulator.
    """
    spelled, varying = spell_out(elements)
    sources = [a.element.xreplace(back).xreplace(spelled) for a in known]
    factors = express(phi.xreplace(spelled), sources, varying)
    if factors is None:
        return None
    terms = tuple((a.symbol, c) for a, c in zip(known, factors, strict=True) if c != 0)
    return None if any(symbol in guarded for symbol, _ in terms) else terms


def spell_out(elements: Collection[Element]) -> tuple[dict[sp.Symbol, sp.Expr], tuple[sp.Symbol, ...]]:
    """Elements as polynomials in what has no sum and no product: of `x` and `x^2` one is the square of the other."""
    leaves: dict[sp.Expr, sp.Symbol] = {e.expr: e.symbol for e in elements if not _is_polynomial(e.expr)}

    def spell(expr: sp.Expr) -> sp.Expr:
        if expr.is_number:
            return expr
        if _is_polynomial(expr):
            return expr.func(*(spell(a) for a in expr.args))
        return leaves.setdefault(expr, sp.Dummy())

    spelled = {e.symbol: spell(e.expr) for e in elements}
    return spelled, tuple(leaves.values())


def _is_polynomial(expr: sp.Expr) -> bool:
    return isinstance(expr, sp.Add | sp.Mul) or bool(
        isinstance(expr, sp.Pow) and expr.exp.is_Integer and expr.exp.is_positive
    )


def total(terms: Terms, anchors: Sequence[Anchor]) -> sp.Expr:
    """`sum_i k_i A_i`, and 0 where it is that by what the anchors are: `acc - l r` for `r = acc/l`."""
    value = sp.factor(sp.Add(*(c * symbol for symbol, c in terms)))
    return sp.S.Zero if sp.cancel(value.xreplace({a.stale: a.expr for a in anchors})) == 0 else value


def regular(value: sp.Expr, accumulators: list[Accumulator], *, divided: bool) -> sp.Basic:
    """Where an anchor is usable: finite, and not 0 where something is divided by it."""
    conditions: list[sp.Basic] = []
    if not (isinstance(value, sp.Max | sp.Min) and any(not a.has(State) for a in value.args)):
        conditions += counts(value, accumulators)
    for node in walk(value):
        if isinstance(node, sp.Pow) and node.exp.is_negative and node.base.has(State):
            conditions.append(sp.Ne(node.base, 0, evaluate=False))
    if divided and value.is_zero is not False:
        conditions.append(sp.Ne(value, 0, evaluate=False))
    return sp.And(*conditions, evaluate=False) if len(conditions) > 1 else conditions[0] if conditions else sp.true
