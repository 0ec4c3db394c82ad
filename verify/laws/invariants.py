"""Finds what holds in every reachable state: candidates that the unit, one element and a merge all keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sympy as sp

from refold.algebra import Accumulator, Plan, State
from refold.algebra.plan import counts
from refold.algebra.ranking import ranking_of
from refold.spec.mathematics import text
from refold.verify.laws import rankings
from refold.verify.laws.reach import Reach
from refold.verify.obligation import Obligation

Formula = Callable[[dict[State, sp.Expr]], sp.Basic]


def candidates(plan: Plan, a: Accumulator) -> Iterator[tuple[Formula, str]]:
    """Guesses about one accumulator: 0 where its anchors are irregular, at least 1 elsewhere, at least 0."""
    symbol = a.symbol
    if a.reducer == "count":
        shown = f"{symbol} = 0 or {symbol} ≥ 1"
        yield (lambda s: sp.Or(_is(s[symbol], 0), _least(s[symbol], 1), evaluate=False)), shown
    regular = [x.regular for x in (plan.anchor(s) for s in a.anchors) if x.regular is not sp.true]
    if a.reducer in ("sum", "count", "prod") and a.anchors:
        # An anchor that is regular everywhere may still hold a maximum, which is -oo while no element counts.
        reached = regular or [c for s in a.anchors for c in counts(plan.anchor(s).expr, plan.accumulators)]
        if reached:
            shown = f"{symbol} = 0 unless {' and '.join(text(r) for r in reached)}"
            yield (lambda s: sp.Or(_is(s[symbol], 0), sp.And(*_of(reached, s)), evaluate=False)), shown
        shown = f"{symbol} ≥ 1" + (f" where {' and '.join(text(r) for r in regular)}" if regular else "")
        yield (lambda s: sp.Or(_least(s[symbol], 1), sp.Not(sp.And(*_of(regular, s))), evaluate=False)), shown
    if a.reducer in ("sum", "max", "min", "prod"):
        yield (lambda s: _least(s[symbol], 0)), f"{symbol} ≥ 0"
    if a.reducer in ("max", "min") and regular:
        yield from _extremum(a, regular)
    if a.reducer in ("any", "all"):
        yield (
            (lambda s: sp.And(_least(s[symbol], 0), sp.Le(s[symbol], 1, evaluate=False), evaluate=False)),
            f"0 ≤ {symbol} ≤ 1",
        )
    if a.reducer == "argmax":
        yield (
            (lambda s: sp.Or(_is(s[symbol], -1), _least(s[symbol], 0), evaluate=False)),
            f"{symbol} = -1 or {symbol} ≥ 0",
        )


def carried_over(reach: Reach, plan: Plan) -> Reach:
    """What is known of the states of a plan, of those of the same plan in other names or in base 2.

        c(x) of the plan   ->   c(x') of the other, with x' = x, or x' = x/log(2) > 0 where x > 0

    The candidates of both are alike, and none compares what is on the scale of scores with a number but 0 and the
    infinities. That the other plan is the same is obligation `refinement base 2`.
    """
    known = {(symbol, shown) for symbol, _, shown in reach.invariants}
    found = Reach.of(plan)
    for a, b in zip(reach.plan.accumulators, plan.accumulators, strict=True):
        for (_, shown), (formula, new) in zip(candidates(reach.plan, a), candidates(plan, b), strict=True):
            if (a.symbol, shown) in known:
                found = found.knowing(b.symbol, formula, new)
    return found


def _extremum(a: Accumulator, regular: list[sp.Basic]) -> Iterator[tuple[Formula, str]]:
    """A maximum of what is anchored: 0 or its unit while its anchors are irregular, above its unit elsewhere."""
    x, words = a.symbol, " and ".join(text(r) for r in regular)
    relation, unit_ = (sp.Gt, -sp.oo) if a.reducer == "max" else (sp.Lt, sp.oo)

    def reached(s: dict[State, sp.Expr]) -> sp.Basic:
        return relation(s[x], unit_, evaluate=False)

    def holds(s: dict[State, sp.Expr]) -> sp.Basic:
        return sp.And(*_of(regular, s))

    shown = f"{x} = 0 or {x} = {text(unit_)} unless {words}"
    yield (lambda s: sp.Or(_is(s[x], 0), sp.Eq(s[x], unit_, evaluate=False), holds(s), evaluate=False)), shown
    yield (lambda s: sp.Or(reached(s), sp.Not(holds(s)), evaluate=False)), f"{text(reached({x: x}))} where {words}"
    yield (lambda s: sp.Or(_least(s[x], 0), sp.Not(holds(s)), evaluate=False)), f"{x} ≥ 0 where {words}"


def _of(conditions: list[sp.Basic], state: dict[State, sp.Expr]) -> list[sp.Basic]:
    return [c.xreplace(dict(state)) for c in conditions]


def _is(value: sp.Expr, number: int) -> sp.Basic:
    """An equation that SymPy leaves alone: it would call `exp(x) = 0` false, which is wrong at x = -oo."""
    return sp.Eq(value, sp.Integer(number), evaluate=False)


def _least(value: sp.Expr, number: int) -> sp.Basic:
    return sp.Ge(value, sp.Integer(number), evaluate=False)


def questions(reach: Reach, a: Accumulator, formula: Formula, shown: str) -> list[Obligation]:
    """That a candidate holds of no element, of one element, and of a merge of two states that have it."""
    form, with_it = reach.monoid, reach.knowing(a.symbol, formula, shown)
    one, two = form.marked("₁"), form.marked("₂")
    if ranking_of(reach.plan, a) is not None:
        return rankings.invariant(with_it, a, formula, shown)
    return [
        Obligation(f"invariant {a.symbol}: unit", shown, (), (formula(form.units()),)),
        Obligation(f"invariant {a.symbol}: lift", shown, reach.definitions(), (formula(form.lifted()),)),
        Obligation(
            f"invariant {a.symbol}: merge",
            shown,
            (*with_it.state(one), *with_it.state(two)),
            (formula(form.combined(one, two)),),
        ),
    ]
