"""Where a plan needs its guards: the kinds of states in which one fails, and what would be undefined without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra import Anchor, Finish, Plan, State
from refold.algebra.rewrite import walk
from refold.algebra.situation import Situation, situations
from refold.spec.mathematics import text


@dataclass(frozen=True, slots=True)
class Guard:
    """`what` is used only where `condition` holds, else `instead`.

    `fails` names the kinds of reachable states in which it does not hold, each with what would be undefined there
    without the guard. A guard that no such state needs has an empty list: data alone can make it fail.
    """

    what: str
    condition: str
    instead: str
    fails: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        head = f"{self.what} is {self.instead} unless {self.condition}"
        return "\n".join([head, *(f"  {state}: else {undefined}" for state, undefined in self.fails)])


def guards(plan: Plan) -> tuple[Guard, ...]:
    """Every guard of a plan, in the order of its anchors and outputs.

    That they suffice is what the obligations `conditions` say: with them nothing is undefined in any reachable state.
    """
    used = {s for a in plan.accumulators for s in a.anchors}
    found = [_anchor(plan, x) for x in plan.anchors if x.stale in used and x.regular is not sp.true]
    return (*found, *(_output(plan, f) for f in plan.finish if f.guard is not sp.true))


def _shapes(plan: Plan) -> tuple[Situation, ...]:
    """The situations that no data make: an empty axis and what masks hide."""
    return tuple(s for s in situations(plan) if not s.zero)


def _anchor(plan: Plan, x: Anchor) -> Guard:
    fails = []
    for situation in _shapes(plan):
        state = situation.state
        if situation.reduce(x.regular, state) is not sp.false:
            continue
        raw = situation.reduce(x.expr, state)
        for a in plan.accumulators:
            if x.stale not in a.anchors:
                continue
            known: dict[sp.Basic, sp.Basic] = {**state, x.stale: raw, x.fresh: raw}
            bad = next((n for n in walk(a.correction) if n.args and _undefined(situation, n, known)), None)
            if bad is not None:
                fails.append((situation.shown, f"{text(bad)} is undefined"))
                break
    return Guard(f"anchor {x.fresh}", text(x.regular), text(x.default), tuple(fails))


def _output(plan: Plan, f: Finish) -> Guard:
    fails = []
    for situation in _shapes(plan):
        if situation.empty and plan.axis in f.axes:
            continue
        state = situation.state
        written = f.expr.xreplace({e.symbol: e.expr for e in plan.elements})
        if situation.reduce(f.guard, state) is sp.false and _undefined(situation, written, state):
            fails.append((situation.shown, f"{text(f.expr)} is {_values(f, state)}, undefined"))
    return Guard(f"output {f.name}", text(f.guard), text(f.empty), tuple(fails))


def _undefined(situation: Situation, expr: sp.Basic, state: Mapping[Any, sp.Basic]) -> bool:
    value = situation.reduce(expr.xreplace(dict(state)), dict(state))
    return bool(value.has(sp.nan, sp.zoo))


def _values(f: Finish, state: dict[State, sp.Expr]) -> str:
    numerator, denominator = sp.fraction(f.expr)
    top, bottom = (text(part.xreplace(state)) for part in (numerator, denominator))
    return f"{top}/{bottom}" if denominator != 1 else top
