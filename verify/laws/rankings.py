"""The obligations of a ranking: what a part has at best beside the positions that are taken in the whole.

A maximum over the positions that earlier ones have left has no law element by element: what is taken changes as the
axis grows. Its correction is shown as what it is instead, the largest element of the part that is left: it is no
less than any of them, and it is one of them. Both are shown of any positions that are taken, k - 1 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sympy as sp

from refold.algebra import Accumulator, Plan, State
from refold.algebra.monoid import at_fresh, corrected, joined
from refold.algebra.ranking import Ranking
from refold.spec.mathematics import text
from refold.verify.laws.reach import Reach, eq
from refold.verify.obligation import Alternatives, Obligation

Formula = Callable[[dict[State, sp.Expr]], sp.Basic]
Values = Mapping[State, sp.Expr]


def corrections(plan: Plan, a: Accumulator, order: Ranking, reach: Reach) -> Iterator[Obligation]:
    """`max f over what is left of a part = the first of its best that is left`; so is the position of that."""
    part, whole = reach.monoid.marked("₁"), reach.monoid.marked("₂")
    by_symbol = {x.symbol: x for x in plan.accumulators}
    key = a if a.key is None else by_symbol[a.key]
    keys = [*(by_symbol[k] for k in order.keys), key]
    # The last maximum is at a position, whether it is asked for or not.
    own = State(f"place of {key.symbol}") if a.key is None else part[a.symbol]
    places = [*(part[p] for p in order.places), own]
    # What a part has at best beside what is taken, and where, by names of their own: they stand in many places.
    value, place = State(f"best for {key.symbol}"), State(f"where for {key.symbol}")
    named = [(value, key)] if a.key is None else [(value, key), (place, a)]
    best = tuple(eq(name, at_fresh(plan, corrected(plan, x, part), x, whole)) for name, x in named)

    def left(of: Accumulator, state: Values, at: sp.Expr, body: sp.Expr) -> sp.Expr:
        """What an element is beside the positions that a state says are taken."""
        return at_fresh(plan, of.element, of, state).xreplace({order.at: at, order.body: body})

    def before(of: Accumulator, most: sp.Expr, at: sp.Expr, body: sp.Expr, state: Values, first: sp.Expr) -> sp.Basic:
        """That a maximum is no less than an element, and its position no later than that of one as large."""
        here = left(of, state, at, body)
        if a.key is None:
            return sp.Ge(most, here, evaluate=False)
        later = sp.And(eq(most, here), sp.Le(first, at, evaluate=False), evaluate=False)
        return sp.Or(sp.Gt(most, here, evaluate=False), later, evaluate=False)

    here = (order.at, order.body)
    pairs = [*zip(keys, places, strict=True)]
    known = [before(k, part[k.symbol], *here, part, p) for k, p in pairs]
    goal = before(key, value, *here, whole, place)
    shown = f"{text(a.correction)} is before every element that is left"
    yield Obligation(f"correction {a.symbol}", shown, (sp.Ge(order.at, 0, evaluate=False), *known, *best), (goal,))

    # The elements of the part at which its maxima are.
    bodies = [State(f"{order.body} at {p}") for p in places]
    facts: list[sp.Basic] = [sp.Ge(p, 0, evaluate=False) for p in places]
    for (k, p), body in zip(pairs, bodies, strict=True):
        facts.append(eq(left(k, part, p, body), part[k.symbol]))
        facts += [sp.Ge(part[m.symbol], left(m, part, p, body), evaluate=False) for m in keys if m != k]
    found = []
    for p, body in zip(places, bodies, strict=True):
        is_it = eq(left(key, whole, p, body), value)
        found.append(is_it if a.key is None else sp.And(eq(place, p), is_it, evaluate=False))
    shown = f"{text(a.correction)} is an element that is left; -∞ where none is"
    yield Obligation(f"attained {a.symbol}", shown, (*facts, *best), (sp.Or(*found, evaluate=False),))


def invariant(reach: Reach, a: Accumulator, formula: Formula, shown: str) -> list[Obligation]:
    """That a value which every state has at an accumulator is kept: by what is left of a part, and by joining two."""
    form, part, name = reach.monoid, reach.monoid.marked("₁"), f"invariant {a.symbol}"
    two = [State(f"{a.symbol} left{mark}") for mark in ("₁", "₂")]
    keys = None if a.key is None else (State("key₁"), State("key₂"))
    joint = joined(a.reducer, two[0], two[1], keys)
    left = {a.symbol: corrected(reach.plan, a, part)}
    both = tuple(formula({a.symbol: x}) for x in two)
    return [
        Obligation(f"{name}: unit", shown, (), (formula(form.units()),)),
        Obligation(f"{name}: lift", shown, reach.definitions(), (formula(form.lifted()),)),
        Obligation(f"{name}: left", shown, reach.state(part), (formula(left),)),
        Obligation(f"{name}: merge", shown, both, (formula({a.symbol: joint}),)),
    ]


def units(plan: Plan, a: Accumulator, order: Ranking, reach: Reach) -> tuple[sp.Basic, ...]:
    """What a part without a position leaves as it is, from either side, where it left the positions before that."""
    form, x = reach.monoid, reach.monoid.marked("₁")
    taken = {plan.anchor(p).fresh: x[p] for p in order.places}
    both = [form.joined(*pair) for pair in ((form.units(), x), (x, form.units()))]
    return tuple(eq(state[a.symbol].xreplace(taken), x[a.symbol]) for state in both)


def merges(a: Accumulator) -> Iterator[Alternatives]:
    """That what parts have at best beside the same positions, each with its place, is joined in any order.

    What a part has is a function of its elements and of what is taken, by `correction` and `attained`, and by the
    accumulators before it the same is taken on both sides.
    """
    name, none = str(a.symbol), sp.S.NegativeOne
    x, y, z = ((State(f"{name}{mark}"), State(f"key of {name}{mark}")) for mark in ("₁", "₂", "₃"))

    def join(left: tuple[Any, Any], right: tuple[Any, Any]) -> tuple[Any, Any]:
        keys = None if a.key is None else (left[1], right[1])
        return joined(a.reducer, left[0], right[0], keys), sp.Max(left[1], right[1], evaluate=False)

    places: list[sp.Basic] = []
    if a.key is not None:
        places = [sp.Or(eq(p, none), sp.Ge(p, 0, evaluate=False), evaluate=False) for p, _ in (x, y, z)]
    claims = {
        "associative": (f"(x ⊕ y) ⊕ z = x ⊕ (y ⊕ z) in {name}", join(join(x, y), z), join(x, join(y, z))),
        "commutative": (f"x ⊕ y = y ⊕ x in {name}", join(x, y), join(y, x)),
    }
    for law, (shown, one, other) in claims.items():
        yield (Obligation(f"merge {name}: {law}", shown, tuple(places), (eq(one[0], other[0]),), partial=True),)
