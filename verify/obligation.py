"""An obligation: a name, a claim as mathematics, what it assumes, and how to ask the solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp
import z3
from sympy.core.relational import Relational

from refold.algebra import Plan, State
from refold.algebra.rewrite import walk
from refold.verify.certificate import Names
from refold.verify.encode import Encoder
from refold.verify.result import Result
from refold.verify.shape import exponents
from refold.verify.solver import TIMEOUT_MS, Answer, Query, ask

# What `fresh_symbols` puts behind the names of a state's accumulators.
MARKS = ("", "₁", "₂", "₃")


class Defined(sp.Basic):
    """That an expression has a value: no division by 0, no 0/0, no oo - oo, no logarithm or root outside its domain."""


@dataclass(frozen=True, slots=True)
class Obligation:
    """`assumptions` imply every one of `goals`; `claim` says so as a line of mathematics.

    Unless it is `partial`, they also imply that both sides of the goals are defined.
    """

    name: str
    claim: str
    assumptions: tuple[sp.Basic, ...]
    goals: tuple[sp.Basic, ...]
    partial: bool = False


def discharge(obligation: Obligation, plan: Plan, timeout_ms: int = TIMEOUT_MS) -> Answer:
    """The solver's answer to an obligation of a plan."""
    formulas = (*obligation.assumptions, *obligation.goals)
    infinite, rising = _extended(plan)
    coded = frozenset(s for f in formulas for s in exponents(f))
    # What is compared with an exponent is known by its exponential too: a maximum and what it ranges over.
    coded = _compared(coded, formulas) - rising
    names = Names()

    def build(e: Encoder) -> list[Any]:
        for value in _outside(formulas):
            if value in coded:
                e.variable(value)
        for assumption in obligation.assumptions:
            e.hypotheses.append(_assumption(e, assumption))
        goals = [f for goal in obligation.goals for f in _goal(e, goal)]
        if obligation.partial:
            e.hypotheses += e.defined
        else:
            goals += e.defined
        return goals

    encoder = Encoder(infinite=infinite, rising=rising, coded=coded, names=names)
    return ask(Query(obligation.name, encoder, build, names), timeout_ms)


def answered(name: str, claim: str, answer: Answer) -> Result:
    """An answer of the solvers as the result on an obligation."""
    proof = () if answer.certificate is None else (answer.certificate,)
    return Result(name, claim, answer.verdict, answer.seconds, answer.smt2, note=answer.note, proof=proof)


def _goal(e: Encoder, goal: sp.Basic) -> list[Any]:
    if isinstance(goal, Defined):
        e.define(goal.args[0])
        return []
    return [e.formula(goal)]


def _assumption(e: Encoder, assumption: sp.Basic) -> Any:
    """An assumption says something where it is defined, and only there."""
    kept, e.defined = e.defined, []
    if isinstance(assumption, Defined):
        e.define(assumption.args[0])
        formula = z3.And(z3.BoolVal(True), *e.defined)
    else:
        formula = e.formula(assumption)
        formula = z3.Implies(z3.And(z3.BoolVal(True), *e.defined), formula) if e.defined else formula
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
    return side.free_symbols if isinstance(side, sp.Symbol | sp.Max | sp.Min | sp.Add) else set()


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
