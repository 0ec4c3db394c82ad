"""An obligation: a name, a claim as mathematics, what it assumes, and how to ask the solver."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import Plan, State
from refold.algebra.rewrite import walk
from refold.spec.mathematics import text
from refold.verify.certificate.comparison import query_context, read
from refold.verify.deadline import doing
from refold.verify.smt import formulas as z3
from refold.verify.smt.encode import Encoder
from refold.verify.smt.order import in_order, is_order
from refold.verify.smt.query import Answer, Query
from refold.verify.smt.shape import exponents, is_exponent, terms
from refold.verify.smt.solver import TIMEOUT_MS, ask
from refold.verify.smt.variables import Variables

# What `Monoid.marked` puts behind the names of a state's components.
MARKS = ("", "₁", "₂", "₃")


class Defined(sp.Basic):
    """That an expression has a value: no division by 0, no 0/0, no oo - oo, no logarithm or root outside its domain."""


@dataclass(frozen=True, slots=True)
class Obligation:
    """`assumptions` imply every one of `goals`; `claim` says so as a line of mathematics.

    Unless it is `partial`, they also imply that both sides of the goals are defined. `note` is what a reader is to
    know of the pipeline where this is what was proved.
    """

    name: str
    claim: str
    assumptions: tuple[sp.Basic, ...]
    goals: tuple[sp.Basic, ...]
    partial: bool = False
    note: str = ""


# Obligations each of which is enough, the strongest first.
Alternatives: TypeAlias = "tuple[Obligation, ...]"


class _Proved(threading.local):
    """Many plans ask the same: stages of one pipeline, variants of one operator. A thread asks it once.

    A question is put in a context that has seen nothing else, so that its certificate hangs on the question alone.
    """

    def __init__(self) -> None:
        self.answers: dict[Hashable, Answer] = {}


_PROVED = _Proved()


def discharge(obligation: Obligation, plan: Plan, timeout_ms: int = TIMEOUT_MS) -> Answer:
    """The solver's answer to an obligation of a plan."""
    doing(f"while {obligation.name} was asked")
    question = None if read() is not None else (_question(obligation, plan), timeout_ms)
    if question in _PROVED.answers:
        return replace(_PROVED.answers[question], seconds=0.0)
    with query_context():
        answer = ask(query(obligation, plan), timeout_ms)
    if question is not None and answer.verdict == "proved":
        _PROVED.answers[question] = answer
    return answer


def _question(obligation: Obligation, plan: Plan) -> Hashable:
    """All that the answer to an obligation hangs on: it, but for its name, and what may be infinite in it."""
    formulas = (*obligation.assumptions, *obligation.goals)
    here = {s for f in formulas for s in f.free_symbols}
    extended = tuple(symbols & here for symbols in _extended(plan))
    return obligation.assumptions, obligation.goals, obligation.partial, obligation.claim, extended


def query(obligation: Obligation, plan: Plan) -> Query:
    """An obligation of a plan as a question to solvers, or about a certificate."""
    formulas = (*obligation.assumptions, *obligation.goals)
    if is_order(tuple(f.args[0] if isinstance(f, Defined) else f for f in formulas)):
        return _query(_ordered(obligation), Variables())
    infinite, rising = _extended(plan)
    # What is compared with an exponent is known by its exponential too: a maximum and what it ranges over.
    coded = _compared(_exponents(formulas), formulas) - rising
    return _query(obligation, Variables(infinite, rising, coded))


def _ordered(obligation: Obligation) -> Obligation:
    """A question of comparisons alone, as one about reals; what is only compared and chosen has a value."""
    assumed, goals = (
        [f for f in some if not isinstance(f, Defined)] for some in (obligation.assumptions, obligation.goals)
    )
    known, found = in_order((*assumed, *goals))
    return replace(obligation, assumptions=(*known, *found[: len(assumed)]), goals=found[len(assumed) :])


def query_of_numbers(obligation: Obligation) -> Query:
    """An obligation about finite numbers as a question to solvers."""
    return _query(obligation, Variables(coded=_exponents((*obligation.assumptions, *obligation.goals))))


def _exponents(formulas: tuple[sp.Basic, ...]) -> frozenset[sp.Basic]:
    return frozenset(s for f in formulas for s in exponents(f))


def _query(obligation: Obligation, variables: Variables) -> Query:
    outside = _outside((*obligation.assumptions, *obligation.goals))

    def build(e: Encoder) -> list[Any]:
        for value in outside:
            if value in variables.coded:
                e.variables.value(value)
        for assumption in obligation.assumptions:
            e.hypotheses.append(_assumption(e, assumption))
        goals = [f for goal in obligation.goals for f in _goal(e, goal)]
        if obligation.partial:
            e.hypotheses += e.defined
        else:
            goals += e.defined
        if not (goals or e.same):
            # Whatever is asked for is there: nothing needs a condition in order to be defined.
            e.same.append((obligation.claim, obligation.claim))
        return goals

    return Query(obligation.name, Encoder(variables), build, variables.names)


def _goal(e: Encoder, goal: sp.Basic) -> list[Any]:
    if isinstance(goal, Defined):
        e.define(goal.args[0])
        return []
    formula = e.formula(goal)
    if not z3.is_true(formula):
        return [formula]
    if isinstance(goal, Relational) and goal.lhs != goal.rhs:
        # The path decided it: infinities of which one is not above the other.
        return [z3.RealVal(0) == z3.RealVal(0)]
    sides = goal.args if isinstance(goal, Relational) else (goal, sp.true)
    e.same.append((text(sides[0]), text(sides[1])))
    return []


def _assumption(e: Encoder, assumption: sp.Basic) -> Any:
    """An assumption says something where it is defined, and only there."""
    kept, e.defined = e.defined, []
    if isinstance(assumption, Defined):
        e.define(assumption.args[0])
        formula = z3.And(z3.BoolVal(True), *e.defined)
    else:
        formula = e.formula(assumption)
        formula = z3.Implies(z3.And(z3.BoolVal(True), *e.defined), formula) if e.defined else formula
        if z3.is_false(formula) and isinstance(assumption, Relational):
            # The path contradicts it: say what it says of the path, since a premise that is false would prove anything.
            formula = z3.Not(z3.And(*e.ranks(assumption.lhs), *e.ranks(assumption.rhs)))
    e.defined = kept
    return formula


def _extended(plan: Plan) -> tuple[frozenset[sp.Basic], frozenset[sp.Basic]]:
    """The symbols that may be infinite, and those of them for which that is +oo."""
    extremes = [a for a in plan.accumulators if a.reducer in ("max", "min")]
    infinite = {State(f"{a.symbol}{mark}"): a.reducer == "min" for a in extremes for mark in MARKS}
    infinite |= {e.symbol: e.infinite == 1 for e in plan.elements if e.infinite}
    return frozenset(infinite), frozenset(s for s, rises in infinite.items() if rises)


def _compared(coded: frozenset[sp.Basic], formulas: tuple[sp.Basic, ...]) -> frozenset[sp.Basic]:
    """Closes a set of symbols under standing beside one of them in a comparison or an extreme."""
    groups = []
    for formula in formulas:
        for node in walk(formula):
            if isinstance(node, sp.Max | sp.Min | Relational):
                extreme = isinstance(node, sp.Max | sp.Min)
                if extreme or not any(isinstance(n, sp.exp | sp.Pow | sp.Mul) for n in walk(node)):
                    groups.append({s for a in node.args for s in _members(a)})
    grown = set(coded)
    while True:
        more = {s for g in groups if g & grown for s in g} | grown
        if more == grown:
            return frozenset(grown)
        grown = more


def _members(side: sp.Basic) -> set[sp.Basic]:
    found = isinstance(side, sp.Symbol | sp.Max | sp.Min | sp.Add) and is_exponent(side)
    return terms(side) if found else set()


def _outside(formulas: tuple[sp.Basic, ...]) -> list[sp.Basic]:
    """The symbols that occur as plain values: outside of exponentials, comparisons and extremes."""
    found: dict[sp.Basic, None] = {}

    def visit(expr: sp.Basic) -> None:
        if isinstance(expr, sp.exp):
            return
        if isinstance(expr, sp.Symbol):
            found[expr] = None
            return
        for arg in expr.args:
            bare = isinstance(arg, sp.Symbol | sp.Max | sp.Min)
            if not (bare and isinstance(expr, sp.Max | sp.Min | Relational)):
                visit(arg)

    for formula in formulas:
        visit(formula)
    return list(found)
