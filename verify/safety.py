"""Obligations about what is evaluated on the way: everything is defined, and no exponential is large."""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from refold.algebra import Accumulator, Plan, State, Varying
from refold.algebra.merge import fresh_symbols, lift, merge, moved, put_fresh
from refold.algebra.rewrite import walk
from refold.spec import Fold
from refold.spec.mathematics import text
from refold.verify.obligation import Defined, Obligation
from refold.verify.reach import Reach, written


def conditions(plan: Plan, reach: Reach) -> Iterator[Obligation]:
    """No division by 0 and no logarithm or root outside of its domain, in any reachable state."""
    one, two = fresh_symbols(plan, "₁"), fresh_symbols(plan, "₂")
    both = merge(plan, one, two)
    step = lift(plan)
    known = (*reach.state(one), *reach.state(two))
    for a in plan.accumulators:
        for name, value, law, facts in (
            ("merge", both, a.moved, known),
            ("lift", step, a.element, reach.definitions()),
        ):
            if a.anchors or _domain(value[a.symbol]):
                goals = (*_domain(value[a.symbol]), Defined(value[a.symbol]))
                yield Obligation(f"conditions {a.symbol}: {name}", _claims(law), facts, goals)
    state = {a.symbol: a.symbol for a in plan.accumulators}
    for f in plan.finish:
        goals = (*_domain(f.expr), Defined(f.expr))
        if len(goals) > 1 or f.expr.has(sp.exp):
            member = written(plan, reach.member(state)) if plan.axis in f.axes else ()
            assumptions = (*reach.state(state), *member, *((f.guard,) if f.guard is not sp.true else ()))
            yield Obligation(f"conditions {f.name}", _claims(f.expr), assumptions, goals)


def _domain(expr: sp.Basic) -> tuple[sp.Basic, ...]:
    found: list[sp.Basic] = []
    for node in walk(expr):
        if isinstance(node, sp.Pow) and node.exp.is_negative and not node.base.is_nonzero:
            found.append(sp.Ne(node.base, 0, evaluate=False))
        if isinstance(node, sp.Pow) and node.exp.is_Rational and node.exp.q == 2 and not node.base.is_nonnegative:
            found.append(sp.Ge(node.base, 0, evaluate=False))
        if isinstance(node, sp.log) and not node.args[0].is_nonnegative:
            found.append(sp.Ge(node.args[0], 0, evaluate=False))
    return tuple(dict.fromkeys(found))


def _claims(expr: sp.Basic) -> str:
    return ", ".join(text(g) for g in _domain(expr)) or "no 0/0 and no ∞ - ∞"


def ranges(plan: Plan, reach: Reach) -> Iterator[Obligation]:
    """Every exponent that is evaluated is at most 0."""
    part, whole = fresh_symbols(plan, "₁"), fresh_symbols(plan, "₂")
    seen: set[sp.Basic] = set()
    for a in plan.accumulators:
        known = (*reach.member(whole), *reach.state(whole))
        for node in _exponents(a.element):
            if node not in seen:
                seen.add(node)
                goal = sp.Le(put_fresh(plan, node, a, whole), 0, evaluate=False)
                yield Obligation(f"range {a.symbol}: step", f"{text(node)} ≤ 0", known, (goal,))
        known = (*reach.state(part), *reach.state(whole), *reach.inside(part, whole))
        for node in _exponents(a.moved):
            if node not in seen:
                seen.add(node)
                probe = Accumulator(a.symbol, a.reducer, a.element, sp.exp(node), a.axes, a.rank, a.anchors)
                goal = sp.Le(moved(plan, probe, part, whole), 1, evaluate=False)
                yield Obligation(f"range {a.symbol}: merge", f"{text(node)} ≤ 0", known, (goal,))
    state = {a.symbol: a.symbol for a in plan.accumulators}
    for f in plan.finish:
        regular = tuple(x.regular for x in plan.anchors if x.regular is not sp.true)
        member = written(plan, reach.member(state)) if plan.axis in f.axes else ()
        for node in _exponents(f.expr):
            if node not in seen:
                seen.add(node)
                yield Obligation(f"range {f.name}", f"{text(node)} ≤ 0", (*reach.state(state), *member, *regular),
                                 (sp.Le(node, 0, evaluate=False),))  # fmt: skip


def denominators(plan: Plan, reach: Reach) -> Iterator[tuple[Obligation, ...]]:
    """For every denominator that is computed: bounds on it, from strong to weak; that it is not 0 is the weakest."""
    whole = fresh_symbols(plan, "₂")
    seen: set[sp.Basic] = set()
    for a in plan.accumulators:
        for base in _bases(a.element, a.moved):
            if base not in seen:
                seen.add(base)
                yield _bounds(str(a.symbol), base, put_fresh(plan, base, a, whole), reach.state(whole))
    state = {a.symbol: a.symbol for a in plan.accumulators}
    for f in plan.finish:
        guard = (f.guard,) if f.guard is not sp.true else ()
        member: tuple[sp.Basic, ...] = ()
        if plan.axis in f.axes:
            # Where there is an output there is a position.
            member = (*written(plan, reach.member(state)), sp.Ge(plan.axis.size, 1, evaluate=False))
        for base in _bases(f.expr):
            yield _bounds(f.name, base, base, (*reach.state(state), *guard, *member))


def _bounds(name: str, shown: sp.Expr, base: sp.Expr, known: tuple[sp.Basic, ...]) -> tuple[Obligation, ...]:
    least = [t for t in sp.Add.make_args(base) if t.is_positive and t != base]
    goals = [*(sp.Ge(base, t, evaluate=False) for t in (sp.S.One, *least)), sp.Gt(base, 0, evaluate=False),
             sp.Ne(base, 0, evaluate=False)]  # fmt: skip
    return tuple(
        Obligation(f"range {name}: divisor", text(goal.func(shown, goal.args[1], evaluate=False)), known, (goal,))
        for goal in goals
    )


def _bases(*exprs: sp.Expr) -> list[sp.Expr]:
    """What is divided by, but for numbers."""
    found = [n.base for e in exprs for n in walk(e) if isinstance(n, sp.Pow) and n.exp.is_negative]
    return list(dict.fromkeys(b for b in found if b.free_symbols))


def _exponents(expr: sp.Basic) -> list[sp.Expr]:
    found: list[sp.Expr] = []
    for node in walk(expr):
        if isinstance(node, Fold):
            continue
        if (
            isinstance(node, sp.exp)
            and node.args[0] not in found
            and node.args[0].has(State, Varying) | bool(node.args[0].free_symbols)
        ):
            found.append(node.args[0])
    return found
