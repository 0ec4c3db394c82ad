"""Obligations about what is evaluated on the way: everything is defined, and no exponential is large."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from refold.algebra import Plan, State, Varying
from refold.algebra.monoid import at_fresh, at_stale, guarded
from refold.algebra.rewrite import walk
from refold.algebra.situation import as_derived
from refold.spec import Fold, Index, Read, Where
from refold.spec.mathematics import text
from refold.verify.laws.reach import Reach, put_elements, written
from refold.verify.laws.readings import Readings
from refold.verify.obligation import Alternatives, Defined, Obligation

# Exponents of the pipeline as written, what is known where they are evaluated, and a maximum as one of its elements.
Own: TypeAlias = tuple[tuple[sp.Expr, ...], tuple[sp.Basic, ...], dict[sp.Basic, sp.Expr]]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What has to hold where an output is evaluated: `whole` asks for all of it at once, `parts` one by one.

    Each part is first asked for in every state, then where the output as written has a value: the pipeline's own.
    """

    whole: Obligation
    parts: tuple[Alternatives, ...]


def conditions(plan: Plan, reach: Reach) -> Iterator[Obligation]:
    """No division by 0 and no logarithm or root outside of its domain, in any reachable state."""
    one, two = reach.monoid.marked("₁"), reach.monoid.marked("₂")
    both = reach.monoid.combined(one, two)
    step = reach.monoid.lifted()
    known = (*reach.state(one), *reach.state(two))
    for a in plan.accumulators:
        for name, value, law, facts in (
            ("merge", both, a.correction, known),
            ("lift", step, a.element, reach.definitions()),
        ):
            if a.anchors or _domain(value[a.symbol]):
                goals = (*_domain(value[a.symbol]), Defined(value[a.symbol]))
                yield Obligation(f"conditions {a.symbol}: {name}", _claims(law), facts, goals)


def output_conditions(plan: Plan, reach: Reach) -> Iterator[Conditions]:
    """That an output is defined in every state, or wherever the pipeline as written is."""
    state = {a.symbol: a.symbol for a in plan.accumulators}
    readings = Readings(plan)
    for f in plan.finish:
        domain = _domain(f.expr)
        if not domain and not f.expr.has(sp.exp):
            continue
        name = f"conditions {f.name}"
        member = written(plan, reach.member(state)) if plan.axis in f.axes else ()
        known = (*reach.state(state), *member, *((f.guard,) if f.guard is not sp.true else ()))
        defined = readings.has_value(f)
        parts: list[Alternatives] = [
            (Obligation(name, text(c), known, (c,)), _own(name, f.name, c, (*known, *defined))) for c in domain
        ]
        rest = f"{f.name} has a value wherever it has one as written"
        parts.append((Obligation(name, rest, (*known, *defined), (Defined(f.expr),)),))
        yield Conditions(Obligation(name, _claims(f.expr), known, (*domain, Defined(f.expr))), tuple(parts))


def _own(name: str, output: str, condition: sp.Basic, known: tuple[sp.Basic, ...]) -> Obligation:
    """That a condition holds wherever an output as written has a value: it is the pipeline's own."""
    note = f"{output} as written has no value where {text(sp.Not(condition))}"
    return Obligation(name, f"{text(condition)}, or {output} as written has no value", known, (condition,), note=note)


def _domain(expr: sp.Basic) -> tuple[sp.Basic, ...]:
    found: list[sp.Basic] = []
    for node, cases in _evaluated(expr):
        if any(c.has(State) for c in cases):
            continue  # guarded: `Defined` asks for it on the paths on which it is evaluated
        needs: list[sp.Basic] = []
        if isinstance(node, sp.Pow) and node.exp.is_negative and not node.base.is_nonzero:
            needs.append(sp.Ne(node.base, 0, evaluate=False))
        root = isinstance(node, sp.Pow) and node.exp.is_Rational and not node.exp.is_integer
        if root and not node.base.is_nonnegative:
            needs.append(sp.Ge(node.base, 0, evaluate=False))
        if isinstance(node, sp.log) and not node.args[0].is_nonnegative:
            needs.append(sp.Ge(node.args[0], 0, evaluate=False))
        found += [sp.Or(*(sp.Not(c) for c in cases), need) if cases else need for need in needs]
    return tuple(dict.fromkeys(found))


def _evaluated(expr: sp.Basic, cases: tuple[sp.Basic, ...] = ()) -> Iterator[tuple[sp.Basic, tuple[sp.Basic, ...]]]:
    """Every node, with the conditions under which a `where` asks for it: `sum / |j| where |j| > 0`, an anchor's guard.

    A mask over positions is none of them: it is taken as it may be at any position.
    """
    yield expr, cases
    if isinstance(expr, Where) and not expr.args[0].has(Index, Read):
        condition, then, other = expr.args
        yield from _evaluated(condition, cases)
        yield from _evaluated(then, (*cases, condition))
        yield from _evaluated(other, (*cases, sp.Not(condition)))
        return
    for arg in expr.args:
        yield from _evaluated(arg, cases)


def _claims(expr: sp.Basic) -> str:
    return ", ".join(text(g) for g in _domain(expr)) or "no 0/0 and no ∞ - ∞"


def ranges(plan: Plan, reach: Reach) -> Iterator[Alternatives]:
    """Every exponent that is evaluated is at most 0, or at most one that the pipeline as written evaluates."""
    part, whole = reach.monoid.marked("₁"), reach.monoid.marked("₂")
    seen: set[sp.Basic] = set()
    for e in plan.elements:
        for node in _exponents(e.expr):
            if node not in seen:
                seen.add(node)
                # Where it is divided by 0, as by the root of a length, there is no exponent as written either.
                yield _range(f"range {e.symbol}", node, node, (), ((_written_exponents(plan), _domain(node), {}),))
    for a in plan.accumulators:
        known = (*reach.member(whole), *reach.state(whole))
        for node in _exponents(a.element):
            if node not in seen:
                seen.add(node)
                yield _range(f"range {a.symbol}: step", node, at_fresh(plan, node, a, whole), known)
        known = (*reach.state(part), *reach.state(whole), *reach.inside(part, whole))
        for node in _exponents(a.correction):
            if node not in seen:
                seen.add(node)
                weight = at_fresh(plan, at_stale(plan, sp.exp(node), a.anchors, part), a, whole)
                goal = sp.Le(weight, 1, evaluate=False)
                yield (Obligation(f"range {a.symbol}: merge", f"{text(node)} ≤ 0", known, (goal,)),)
    state = {a.symbol: a.symbol for a in plan.accumulators}
    readings = Readings(plan)
    for f in plan.finish:
        regular = tuple(x.regular for x in plan.anchors if x.regular is not sp.true)
        member = written(plan, reach.member(state)) if plan.axis in f.axes else ()
        known = (*reach.state(state), *member, *regular)
        meant = (*((f.guard,) if f.guard is not sp.true else ()), *readings.has_value(f))
        for node in _exponents(f.expr):
            if node not in seen:
                seen.add(node)
                evaluated = tuple(readings.put(x) for x in _written_exponents(plan))
                cases = [(evaluated, meant, {}), *((evaluated, meant, r) for r in _reached(plan, node))]
                yield _range(f"range {f.name}", node, node, known, tuple(cases))


def _range(
    name: str, shown: sp.Expr, node: sp.Expr, known: tuple[sp.Basic, ...], own: tuple[Own, ...] = ()
) -> Alternatives:
    """That an exponent is at most 0; else, in each of some cases, at most one that the pipeline as written has."""
    first = Obligation(name, f"{text(shown)} ≤ 0", known, (sp.Le(node, 0, evaluate=False),))
    claim = f"{text(shown)} is at most 0, or at most an exponent that the pipeline as written has"
    note = f"exp({text(shown)}) has no bound: the pipeline as written evaluates one as large"
    more = []
    for exponents, facts, reached in own:
        if exponents:
            there = tuple(f.xreplace(reached) for f in (*known, *facts))
            bound = sp.Max(0, *(x.xreplace(reached) for x in exponents))
            goal = sp.Le(node.xreplace(reached), bound, evaluate=False)
            more.append(Obligation(name, claim, there, (goal,), note=note))
    return (first, *more)


def _written_exponents(plan: Plan) -> tuple[sp.Expr, ...]:
    """The exponents of the pipeline as written."""
    return tuple(dict.fromkeys(x for o in plan.spec.outputs for x in _exponents(as_derived(plan, o.expr))))


def _reached(plan: Plan, node: sp.Expr) -> Iterator[dict[sp.Basic, sp.Expr]]:
    """A maximum or minimum is one of the elements that it ranges over, where there are any."""
    for a in plan.accumulators:
        if a.reducer in ("max", "min") and not a.anchors and a.symbol in node.free_symbols:
            yield {a.symbol: put_elements(plan, a.element)}


def denominators(plan: Plan, reach: Reach) -> Iterator[Alternatives]:
    """For every denominator that is computed: bounds on it, from strong to weak; that it is not 0 is the weakest."""
    whole = reach.monoid.marked("₂")
    seen: set[sp.Basic] = set()
    for a in plan.accumulators:
        for base in _bases(a.element, a.correction):
            if base not in seen:
                seen.add(base)
                stale = {x.stale: guarded(x, whole) for x in plan.anchors if x.stale in a.anchors}
                put = at_fresh(plan, base, a, whole).xreplace(stale)
                yield _bounds(str(a.symbol), base, put, reach.state(whole))
    state = {a.symbol: a.symbol for a in plan.accumulators}
    readings = Readings(plan)
    for f in plan.finish:
        guard = (f.guard,) if f.guard is not sp.true else ()
        member: tuple[sp.Basic, ...] = ()
        if plan.axis in f.axes:
            # Where there is an output there is a position.
            member = (*written(plan, reach.member(state)), sp.Ge(plan.axis.size, 1, evaluate=False))
        known = (*reach.state(state), *guard, *member)
        for base, cases in _bases_in_cases(f.expr):
            there = (*known, *cases)
            apart = sp.Ne(base, 0, evaluate=False)
            own = _own(f"range {f.name}: divisor", f.name, apart, (*there, *readings.has_value(f)))
            yield (*_bounds(f.name, base, base, there), own)


def _bounds(name: str, shown: sp.Expr, base: sp.Expr, known: tuple[sp.Basic, ...]) -> Alternatives:
    least = [t for t in sp.Add.make_args(base) if t.is_positive and t != base]
    goals = [*(sp.Ge(base, t, evaluate=False) for t in (sp.S.One, *least)), sp.Gt(base, 0, evaluate=False),
             sp.Ne(base, 0, evaluate=False)]  # fmt: skip
    return tuple(
        Obligation(f"range {name}: divisor", text(goal.func(shown, goal.args[1], evaluate=False)), known, (goal,))
        for goal in goals
    )


def _bases(*exprs: sp.Expr) -> list[sp.Expr]:
    """What is divided by, but for numbers."""
    return list(dict.fromkeys(base for e in exprs for base, _ in _bases_in_cases(e)))


def _bases_in_cases(expr: sp.Expr) -> list[tuple[sp.Expr, tuple[sp.Basic, ...]]]:
    """What is divided by, with the conditions over lengths under which it is."""
    found = [(n.base, cases) for n, cases in _evaluated(expr) if isinstance(n, sp.Pow) and n.exp.is_negative]
    return list(dict.fromkeys(pair for pair in found if pair[0].free_symbols))


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
