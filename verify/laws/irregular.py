"""Outputs of irregular states: of an empty axis, of rows that are wholly masked, of divisors that data make 0.

In each of the finitely many situations of `algebra/situation.py` the output of the plan and that of the spec are
compared as expressions. Neither is taken from the other: the accumulators have the values that their definition gives
them, the folds of the spec those of their bodies as written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import sympy as sp

from refold.algebra import Finish, Plan
from refold.algebra.extended import Unclear, has_no_value, is_finite, is_never_finite
from refold.algebra.situation import Situation, as_derived, situations, uncovered
from refold.spec import Fold, Where
from refold.spec.mathematics import text
from refold.verify.laws.reach import Reach, eq
from refold.verify.obligation import Defined, Obligation
from refold.verify.result import Result, Verdict

Ask = Callable[[Obligation], Result]
CALCULATED = "by calculation in the extended reals"


def outputs(plan: Plan, reach: Reach, ask: Ask) -> Iterator[Result]:
    """In each situation, every output is what the spec says: its value where it has one, else the value stated.

    Where the spec has none and states none, or has none for what data are, no finite number comes out.
    """
    for situation in situations(plan):
        try:
            impossible = ask(_impossible(situation, reach)) if situation.zero else None
        except Unclear:
            impossible = None
        if impossible is not None and impossible.verdict == "proved":
            yield impossible
            continue
        for f, output in zip(plan.finish, plan.spec.outputs, strict=True):
            if situation.empty and plan.axis in f.axes:
                continue
            try:
                written = as_derived(plan, output.expr)
                stated = plan.spec.empty if situation.by_nothing(written) else sp.nan
                found = tuple(_compared(situation, f, situation.reduce(written), stated, reach, ask))
            except Unclear as error:
                note = f"whether it has a value there depends on data: {error}"
                claim = _claim(f, "the spec's value", situation)
                found = (Result(_name(situation, f), claim, "unknown", 0.0, "", note=note),)
            yield from found


def checked(plan: Plan, reach: Reach, ask: Ask) -> tuple[Result, ...]:
    """`empty`, which is by inspection and calculation, with the obligations that rest on the solvers or do not hold."""
    results = tuple(outputs(plan, reach, ask))
    calculated = tuple(r for r in results if r.note == CALCULATED and r.verdict == "proved")
    reasons = uncovered(plan)
    claim = "an anchor is irregular in the states of `empty …` alone; where nothing is asked, no number comes out"
    note = "; ".join(
        [*reasons] or ["by inspection of what anchors need", *(f"{r.claim}: {r.note}" for r in calculated)]
    )
    whole = Result("empty", claim, "unknown" if reasons else "proved", 0.0, "", note=note)
    return (whole, *(r for r in results if r not in calculated))


def claimed(plan: Plan, reach: Reach, finish: tuple[sp.Expr, ...], ask: Ask) -> Iterator[Result]:
    """The same of a claimed form, whose outputs are `finish` over the state of the plan, where a row can be so.

    Of no position, what has no value is what is stated, in the spec and in the form alike.
    """
    for situation in situations(plan):
        if situation.zero or not _can_be(situation):
            continue
        known = tuple(g.xreplace(situation.state) for g in reach.state(reach.monoid.marked("")))
        facts = (*known, *(c.xreplace(situation.state) for c in situation.regular_anchors()))
        for f, output, expr in zip(plan.finish, plan.spec.outputs, finish, strict=True):
            if situation.empty and plan.axis in f.axes:
                continue
            name = f"finish {f.name}: {situation.name}"
            try:
                wanted = situation.reduce(as_derived(plan, output.expr))
                got = situation.reduce(expr)
                for case, value in _cases(wanted):
                    stated = sp.nan if situation.empty and has_no_value(got) else plan.spec.empty
                    if stated is not sp.nan or not has_no_value(value):
                        found = _output(situation, f, value, stated, got, (*facts, *case), case, ask)
                        yield replace(found, name=name)
            except Unclear as error:
                note = f"whether it has a value there depends on data: {error}"
                yield Result(name, _claim(f, "the spec's value", situation), "unknown", 0.0, "", note=note)


def _can_be(situation: Situation) -> bool:
    """Whether it may be met: not if a predicate lets in the first position or the last one, whatever the sizes."""
    axis = situation.plan.axis
    ends = (sp.S.Zero, axis.size - 1)
    return not any(p.xreplace({axis: at}) == sp.sympify(not holds) for p, holds in situation.masked for at in ends)


def _impossible(situation: Situation, reach: Reach) -> Obligation:
    """A divisor that is at least something, wherever anchors are regular, is never 0."""
    plan = situation.plan
    state = reach.monoid.marked("")
    apart = sp.Or(*(sp.Ne(z, 0, evaluate=False) for z in situation.zero))
    behind = tuple(
        c
        for x in plan.anchors
        for c in sp.And.make_args(x.regular)
        if c is not sp.true and not any(c.has(z) for z in situation.zero)
    )
    masked = tuple(c for c in behind if situation.reduce(c) is not sp.false)
    name = f"empty: {situation.name}"
    return Obligation(name, f"there is no state with {situation.shown}", (*reach.state(state), *masked), (apart,))


def _question(
    situation: Situation, f: Finish, wanted: sp.Basic, stated: sp.Basic, case: tuple[sp.Basic, ...], name: str
) -> Obligation:
    """What a run violates whose output differs, where it is in the situation, from the spec or what that states."""
    plan = situation.plan
    some = sp.Eq if situation.empty else sp.Ne
    masked = [
        eq(Fold("any", Where(p, 0, 1) if holds else Where(p, 1, 0), plan.axis), 0) for p, holds in situation.masked
    ]
    there = (*case, some(plan.axis.size, 0, evaluate=False), *masked, *(eq(z, 0) for z in situation.zero))
    got = Where(f.guard, f.expr.xreplace({e.symbol: e.expr for e in plan.elements}), f.empty)
    written = next(o.expr for o in plan.spec.outputs if o.name == f.name)
    if has_no_value(wanted):
        return Obligation(name, "", there, (eq(got, stated),))
    return Obligation(name, "", (*there, Defined(written)), (eq(got, written),))


def _compared(
    situation: Situation, f: Finish, wanted: sp.Basic, stated: sp.Basic, reach: Reach, ask: Ask
) -> Iterator[Result]:
    plan = situation.plan
    state = situation.state
    known = (
        *(g.xreplace(state) for g in reach.state(reach.monoid.marked(""))),
        *(c.xreplace(state) for c in situation.regular_anchors()),
    )
    written = f.expr.xreplace({e.symbol: e.expr for e in plan.elements})
    guard = situation.reduce(f.guard)
    for case, value in _cases(wanted):
        facts = (*known, *case)
        if guard is sp.nan:
            claim = f"{text(f.guard)} is true or false of {situation.shown}"
            yield ask(Obligation(f"{_name(situation, f)}: guard", claim, facts, (sp.false,)))
            continue
        sides = [(guard, written), (sp.Not(guard), f.empty)]
        if guard not in (sp.true, sp.false):
            claim = f"{text(f.guard)} of {situation.shown}"
            holds = ask(Obligation(f"{_name(situation, f)}: guard", claim, facts, (guard,)))
            if holds.verdict == "proved":
                yield holds
                sides.pop()
        for condition, expr in sides:
            if sp.And(condition, *case) is not sp.false:
                assumed = facts if condition is sp.true else (*facts, condition)
                found = _output(situation, f, value, stated, situation.reduce(expr), assumed, case, ask)
                yield replace(found, question=_question(situation, f, value, stated, case, found.name))


def _cases(wanted: sp.Basic) -> Iterator[tuple[tuple[sp.Basic, ...], sp.Basic]]:
    """What is wanted, by cases where it has a value in some of them alone."""
    if not (isinstance(wanted, Where) and not is_finite(wanted)):
        yield (), wanted
        return
    condition, then, other = wanted.args
    for case, value in ((condition, then), (sp.Not(condition), other)):
        for assumed, found in _cases(value):
            yield (case, *assumed), found


def _taken(value: sp.Basic, case: tuple[sp.Basic, ...]) -> sp.Basic:
    """The branch of a choice that is taken in a case."""
    while isinstance(value, Where) and {value.args[0], sp.Not(value.args[0])} & {*case}:
        value = value.args[1 if value.args[0] in case else 2]
    return value


def _output(
    situation: Situation,
    f: Finish,
    wanted: sp.Basic,
    stated: sp.Basic,
    got: sp.Basic,
    assumed: tuple[sp.Basic, ...],
    case: tuple[sp.Basic, ...],
    ask: Ask,
) -> Result:
    """One output in one situation, on one side of its guard; `stated` is NaN where nothing is."""
    where = f" where {text(sp.And(*case))}" if case else ""
    got = _taken(got, case)
    name = _name(situation, f)
    if has_no_value(wanted):
        if stated is not sp.nan:
            claim = f"{f.name} has no value of {situation.shown}{where}, and is {text(stated)} as stated"
            return _equal(name, claim, got, stated, assumed, ask)
        claim = f"{f.name} has no value of {situation.shown}{where}, and no number comes out"
        return _calculated(name, claim, "proved" if is_never_finite(got) else "unknown")
    claim = _claim(f, text(wanted), situation) + where
    if is_finite(wanted) or wanted in (sp.oo, -sp.oo):
        return _equal(name, claim, got, wanted, (*assumed, Defined(wanted)), ask)
    # An infinity times what data decide: the same expression is the same value, or none.
    return _calculated(name, claim, "proved" if got == wanted else "unknown")


def _equal(name: str, claim: str, got: sp.Basic, wanted: sp.Basic, assumed: tuple[sp.Basic, ...], ask: Ask) -> Result:
    """That an output has a value; what is never finite has not, where the wanted one is no infinity."""
    if is_never_finite(got) and got not in (sp.oo, -sp.oo):
        return _calculated(name, claim, "refuted")
    return ask(Obligation(name, claim, assumed, (eq(got, wanted),)))


def _calculated(name: str, claim: str, verdict: Verdict) -> Result:
    note = CALCULATED if verdict != "unknown" else f"not found to be so {CALCULATED}"
    return Result(name, claim, verdict, 0.0, "", note=note)


def _name(situation: Situation, f: Finish) -> str:
    return f"empty {f.name}: {situation.name}"


def _claim(f: Finish, value: str, situation: Situation) -> str:
    return f"{f.name} = {value} of {situation.shown}"
