"""Gives outputs the values of the spec in irregular states: where an anchor is at its default, that is not its value.

An accumulator at the default of an anchor is taken to the value that the anchor has in that state, by its own law: so
`sum u (x - m)` over what a mask hides from m, with m = -oo, and `sum x/m` with m = 0. As floats compute it, that is
infinite or NaN where the pipeline as written is. Nothing of this is trusted: `verify` compares both in each situation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sympy as sp

from refold.algebra.extended import LENGTH, Unclear, has_no_value, is_finite, is_never_finite
from refold.algebra.ieee import ieee
from refold.algebra.names import Names
from refold.algebra.plan import Accumulator, Element, Finish, Plan, State, Varying, counts
from refold.algebra.rewrite import folds, walk
from refold.algebra.roles import axes_of
from refold.algebra.situation import (
    Situation,
    anchors_behind,
    as_derived,
    fails_when_empty,
    predicates,
    situations,
)
from refold.spec import Fold, Where


def settle(plan: Plan, names: Names) -> Plan:
    """The plan with an end for each irregular state in which an output else is not that of the spec.

    Where no accumulator tells such a state from the others, one is added that says whether a predicate holds anywhere.
    """
    found = _settled(plan)
    plain = replace(plan, finish=tuple(f for f, _ in found))
    if all(right for _, right in found):
        return plain
    counted = _counting(plan, names)
    found = _settled(counted)
    if not all(right for _, right in found):
        return plain
    finish = tuple(f for f, _ in found)
    read = {s for f in finish for s in (f.guard.free_symbols | f.expr.free_symbols)}
    kept = tuple(a for a in counted.accumulators if a in plan.accumulators or a.symbol in read)
    moving = {s for a in kept for s in a.element.free_symbols}
    return replace(
        counted, finish=finish, accumulators=kept, elements=tuple(e for e in counted.elements if e.symbol in moving)
    )


def _counting(plan: Plan, names: Names) -> Plan:
    """A plan that also carries, for every predicate of its masks, whether it lets in any position."""
    elements, accumulators = [*plan.elements], [*plan.accumulators]
    for predicate, holds in predicates(plan):
        mask = Where(predicate, 0, 1) if holds else Where(predicate, 1, 0)
        known = next((e for e in elements if e.expr == mask), None)
        element = known or Element(Varying(names.element(mask, plan.axis)), mask, 0)
        elements += [] if known else [element]
        axes = tuple(sorted((a for a in axes_of(mask) if a != plan.axis), key=lambda a: a.name))
        symbol = State(names.take("any"))
        accumulators.append(Accumulator(symbol, "any", element.symbol, symbol, axes, 1, ()))
    return replace(plan, elements=tuple(elements), accumulators=tuple(accumulators))


def _settled(plan: Plan) -> list[tuple[Finish, bool]]:
    """Every output with its end, and whether it is that of the spec in all situations."""
    # A sum of exponentials is 0 by masks alone: that it is 0 by data is a situation to be proved impossible.
    sums = {a.symbol for a in plan.accumulators if isinstance(a.element, sp.exp)}
    looked_at = tuple(s for s in situations(plan) if not any(z.free_symbols <= sums for z in s.zero))
    pairs = zip(plan.finish, plan.spec.outputs, strict=True)
    return [_end(plan, f, as_derived(plan, o.expr), looked_at) for f, o in pairs]


def _end(plan: Plan, f: Finish, written: sp.Expr, looked_at: tuple[Situation, ...]) -> tuple[Finish, bool]:
    wanted: dict[Situation, sp.Basic] = {}
    for situation in looked_at:
        if situation.empty and plan.axis in f.axes:
            continue
        try:
            value = situation.reduce(written)
        except Unclear:
            return f, True
        if has_no_value(value):
            value = plan.spec.empty if situation.by_nothing(written) else sp.zoo
        wanted[situation] = value

    def right(f: Finish) -> bool:
        return all(_agrees(value, _given(s, f, f.guard)) for s, value in wanted.items())

    if right(f):
        return f, True
    wrong = [s for s, value in wanted.items() if not _agrees(value, _put(s, f.expr))]
    guard = _guard(plan, f, wrong, [s for s in wanted if s not in wrong])
    failing = [s for s in wanted if s.reduce(guard) is sp.false]
    if not failing:
        return (f, False) if wrong else (replace(f, guard=guard), True)
    values = {s: _value(plan, f, s, wanted[s]) for s in failing}
    others = [s for s in failing if not s.empty]
    ends = [v for v in dict.fromkeys(values[s] for s in others or failing) if v is not None]
    end = next((e for e in ends if all(_agrees(wanted[s], _put(s, e)) for s in others)), None)
    nothing = next((s for s in failing if s.empty), None)
    if end is None or (nothing is not None and values[nothing] is None):
        return f, False
    if nothing is not None and not _agrees(wanted[nothing], _put(nothing, end)):
        some = sp.Gt(plan.axis.size, 0)
        if some is sp.true:
            return f, False
        end = Where(some, end, values[nothing])
    found = replace(f, guard=guard, empty=end)
    return found, right(found)


def _guard(plan: Plan, f: Finish, wrong: list[Situation], right: list[Situation]) -> sp.Basic:
    """What tells the situations in which an output is not what it computes from as many as can be of the others."""
    anchors = [plan.anchor(s) for s in sorted(anchors_behind(plan, f.expr), key=str)]
    own = (c for c in counts(f.expr, plan.accumulators) if fails_when_empty(plan, c))
    some = sp.Gt(plan.axis.size, 0, evaluate=False)
    told = (sp.Ne(a.symbol, 0, evaluate=False) for a in plan.accumulators if a.reducer == "any" and not a.anchors)
    tests = (f.guard, *(x.regular for x in anchors), *own, some, *told)
    parts = dict.fromkeys(c for g in tests for c in sp.And.make_args(g))
    fails = {c: [s for s in (*wrong, *right) if s.reduce(c) is sp.false] for c in parts}
    chosen: list[sp.Basic] = []
    left = list(wrong)

    def gain(c: sp.Basic) -> int:
        return sum(s in left for s in fails[c]) - 2 * sum(s in right for s in fails[c])

    while useful := [c for c in parts if any(s in left for s in fails[c])]:
        chosen.append(max(useful, key=gain))
        left = [s for s in left if s not in fails[chosen[-1]]]
    for c in chosen[:]:
        if all(any(s in fails[o] for o in chosen if o != c) for s in fails[c]):
            chosen.remove(c)  # what came later says it too
    return sp.And(*chosen, evaluate=False) if len(chosen) > 1 else chosen[0] if chosen else sp.true


def _given(situation: Situation, f: Finish, guard: sp.Basic) -> sp.Basic:
    """What an output is in a situation."""
    return _put(situation, f.empty if situation.reduce(guard) is sp.false else f.expr)


def _put(situation: Situation, expr: sp.Expr) -> sp.Basic:
    return situation.reduce(expr.xreplace({e.symbol: e.expr for e in situation.plan.elements}))


def _value(plan: Plan, f: Finish, situation: Situation, wanted: sp.Basic) -> sp.Expr | None:
    """What computes the wanted value of a situation: the output as it is, a number, or what a law takes it to."""
    if wanted.is_number and wanted is not sp.zoo:
        return sp.sympify(wanted)
    # What is left of the output as written, over accumulators.
    rest = sp.sympify(wanted).xreplace({v: s for s, v in situation.state.items() if isinstance(v, Fold)})
    written = () if wanted is sp.zoo or rest.has(LENGTH) or folds(rest, plan.axis) else (rest,)
    for found in (f.expr, *written, _at_anchors(plan, f.expr, situation)):
        if _agrees(wanted, _put(situation, found)):
            return found
    return sp.nan if wanted is sp.zoo else None


def _at_anchors(plan: Plan, expr: sp.Expr, situation: Situation) -> sp.Expr:
    """An output with its accumulators taken from the defaults of irregular anchors to the values of those."""
    state: dict[State, sp.Expr] = {}
    for a in plan.accumulators:
        anchors = [plan.anchor(s) for s in a.anchors]
        values: dict[sp.Basic, sp.Basic] = {x.fresh: x.expr.xreplace(dict(state)) for x in anchors}
        values |= {x.stale: x.default if x.stale in situation.irregular else x.expr for x in anchors}
        if any(x.stale in situation.irregular for x in anchors):
            state[a.symbol] = a.correction.xreplace(values)
    return expr.xreplace(dict(state))


def _agrees(wanted: sp.Basic, got: sp.Basic) -> bool:
    """Whether two values are the same at numbers for all that varies: if not, an output is given another end.

    Of `zoo`, a division by 0 that data make, any infinity is one, and NaN.
    """
    if wanted is sp.zoo:
        return is_never_finite(got)
    if not (is_finite(wanted) and is_finite(got)):
        return bool(got == wanted)
    leaves = {n for side in (wanted, got) for n in walk(side) if isinstance(n, Fold | State)}
    numbers: dict[sp.Basic, float] = {n: 0.7 + 0.31 * k for k, n in enumerate(sorted(leaves, key=str))}
    a, b = (ieee(side, numbers, {}) for side in (wanted, got))
    return bool(np.isclose(a, b, equal_nan=True))
