"""The best positions of an axis one after the other: a maximum over the positions that earlier ones have left.

    m_k = max_j f(j) where j is none of p_1 ... p_(k-1),    p_k = the first position of that,    p_i likewise

The positions that are taken change as the axis grows, which no function of the values sees to. But of a part, what is
the best of those that others have left is known: it is the first of the part's own p_1, ..., p_k that is not among the
k - 1 that are taken. Where all of the first k - 1 are taken, no other one is. So k values and k positions are a state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra.plan import Accumulator, Anchor, Element, Fresh, Plan, State, Varying
from refold.algebra.rewrite import has_fold
from refold.spec import Index, Where

# Of more, the proof of the kernel takes longer than that of a stage for each: its cases grow faster than its positions.
MOST = 4


@dataclass(frozen=True, slots=True)
class Ranking:
    """What stands before one maximum in a ranking: the keys and the positions of the better ones, the best first.

    `body` is what is ranked, over elements, and `at` the position of an element.
    """

    body: sp.Expr
    at: Varying
    keys: tuple[State, ...]
    places: tuple[State, ...]

    def left(self, taken: Sequence[sp.Expr], own: sp.Expr, *, of: Sequence[sp.Expr]) -> sp.Expr:
        """Of `of`, the first whose place is not among those taken; `own` where all of them are."""
        value = own
        for place, better in reversed([*zip(self.places, of, strict=True)]):
            value = Where(apart(place, taken), better, value)
        return value


def apart(place: sp.Expr, taken: Sequence[sp.Expr]) -> sp.Basic:
    """That a place is none of those that are taken."""
    return sp.And(*(sp.Ne(place, other, evaluate=False) for other in taken), evaluate=False)


def ranking(
    body: sp.Expr, axis: Index, elements: Sequence[Element], anchors: Sequence[Anchor], known: Sequence[Accumulator]
) -> Ranking | None:
    """The ranking of which a body over elements and fresh anchors is the next maximum; None where it is of none."""
    at = next((e.symbol for e in elements if e.expr == axis), None)
    if at is None or not isinstance(body, Where) or body.args[2] is not -sp.oo:
        return None
    value = body.args[1]
    conditions = sp.And.make_args(body.args[0])
    gone = [t for c in conditions if (t := _taken(c, at)) is not None]
    if value.has(Fresh) or len(gone) < len(conditions) or len(gone) >= MOST:
        return None
    positions = {x.fresh: x.expr for x in anchors}
    by_symbol: Mapping[State, Accumulator] = {a.symbol: a for a in known}
    fresh: dict[Any, Fresh] = {positions.get(t): t for t in gone}
    places = [a for a in known if a.symbol in fresh and a.reducer == "argmax" and a.key is not None]
    if len(places) != len(gone):
        return None
    before: list[sp.Symbol] = []
    for place in places:
        assert place.key is not None
        condition = sp.And(*(sp.Ne(at, t, evaluate=False) for t in before))
        if by_symbol[place.key].element != Where(condition, value, -sp.oo):
            return None
        before.append(fresh[place.symbol])
    return Ranking(value, at, tuple(p.key for p in places if p.key is not None), tuple(p.symbol for p in places))


def nested(body: sp.Expr, axis: Index) -> sp.Expr:
    """`where(p and j != at, f, -oo) -> where(j != at, where(p, f, -oo), -oo)`: what is ranked stays one."""
    if not isinstance(body, Where) or body.args[2] is not -sp.oo:
        return body
    parts = sp.And.make_args(body.args[0])
    waits, rest = [c for c in parts if has_fold(c, axis)], [c for c in parts if not has_fold(c, axis)]
    if not waits or not rest:
        return body
    found: sp.Expr = Where(sp.And(*waits), Where(sp.And(*rest), body.args[1], -sp.oo), -sp.oo)
    return found


def ranking_of(plan: Plan, a: Accumulator) -> Ranking | None:
    """The ranking that a maximum, or the position of one, goes on with."""
    own = a if a.key is None else next(k for k in plan.accumulators if k.symbol == a.key)
    if own.reducer != "max" or not own.anchors:
        return None
    before = plan.accumulators[: plan.accumulators.index(own)]
    return ranking(own.element, plan.axis, plan.elements, plan.anchors, before)


def taken(plan: Plan) -> frozenset[sp.Symbol]:
    """The fresh anchors that say which positions of rankings are taken."""
    orders = (ranking_of(plan, a) for a in plan.accumulators)
    return frozenset(plan.anchor(p).fresh for order in orders if order is not None for p in order.places)


def _taken(condition: sp.Basic, at: Varying) -> Fresh | None:
    """The fresh anchor that a condition says a position is not."""
    if isinstance(condition, sp.Ne) and at in condition.args:
        other = next((s for s in condition.args if s != at), None)
        return other if isinstance(other, Fresh) else None
    return None
