"""An obligation: a name, a claim as mathematics, what it assumes, and how to ask the solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra import Fresh, Plan, State, Varying
from refold.algebra.rewrite import walk
from refold.verify.encode import Encoder, exponents
from refold.verify.solver import Answer, Query, ask


class Defined(sp.Basic):
    """The goal that an expression divides by nothing that is 0, and takes no logarithm of it."""


@dataclass(frozen=True, slots=True)
class Obligation:
    """`assumptions` imply every one of `goals`; `claim` says so as a line of mathematics."""

    name: str
    claim: str
    assumptions: tuple[sp.Basic, ...]
    goals: tuple[sp.Basic, ...]


def discharge(obligation: Obligation, plan: Plan) -> Answer:
    """The solver's answer to an obligation of a plan."""
    formulas = (*obligation.assumptions, *obligation.goals)
    coded = frozenset(s for f in formulas for s in exponents(f))
    infinite, rising = _extended(plan, formulas)
    # What is compared with an exponent is known by its exponential too: a maximum and what it ranges over.
    coded = _compared(coded, formulas) - rising

    def encoder(path: dict[str, bool]) -> Encoder:
        return Encoder(infinite=infinite, rising=rising, coded=coded, path=path)

    def build(e: Encoder) -> list[Any]:
        for value in _outside(formulas):
            if value in coded:
                e.variable(value)
        for assumption in obligation.assumptions:
            e.hypotheses.append(e.formula(assumption))
        return [f for goal in obligation.goals for f in _goal(e, goal)]

    return ask(Query(obligation.name, encoder, build))


def _goal(e: Encoder, goal: sp.Basic) -> list[Any]:
    if not isinstance(goal, Defined):
        return [e.formula(goal)]
    before = len(e.denominators)
    e.real(goal.args[0])
    found = e.denominators[before:]
    del e.denominators[before:]
    return found


def _extended(plan: Plan, formulas: tuple[sp.Basic, ...]) -> tuple[frozenset[sp.Basic], frozenset[sp.Basic]]:
    """The symbols that may be infinite, and those of them for which that is +oo."""
    extremes = {str(a.symbol): a.reducer for a in plan.accumulators if a.reducer in ("max", "min")}
    elements = {e.symbol: e.infinite for e in plan.elements}
    infinite, rising = set(), set()
    for formula in formulas:
        for s in formula.free_symbols:
            base = str(s).split("·")[0].rstrip("₁₂₃")
            if isinstance(s, State | Fresh) and base in extremes:
                infinite.add(s)
                if extremes[base] == "min":
                    rising.add(s)
            elif isinstance(s, Varying) and elements.get(s):
                infinite.add(s)
                if elements[s] == 1:
                    rising.add(s)
    return frozenset(infinite), frozenset(rising)


def _compared(coded: frozenset[sp.Basic], formulas: tuple[sp.Basic, ...]) -> frozenset[sp.Basic]:
    """Closes a set of symbols under standing beside one of them in a comparison or an extreme."""
    groups = []
    for formula in formulas:
        for node in walk(formula):
            if isinstance(node, sp.Max | sp.Min | sp.core.relational.Relational):
                members = {s for a in node.args for s in ([a] if isinstance(a, sp.Symbol) else a.free_symbols if isinstance(a, sp.Max | sp.Min | sp.Add) else [])}
                if not isinstance(node, sp.Max | sp.Min) and any(isinstance(n, sp.exp | sp.Pow | sp.Mul) for n in walk(node)):
                    continue
                groups.append(members)
    grown = set(coded)
    while True:
        more = {s for g in groups if g & grown for s in g} | grown
        if more == grown:
            return frozenset(grown)
        grown = more


def _outside(formulas: tuple[sp.Basic, ...]) -> set[sp.Basic]:
    """The symbols that occur as plain values: outside of exponentials, comparisons and extremes."""
    found: set[sp.Basic] = set()

    def visit(expr: sp.Basic) -> None:
        if isinstance(expr, sp.exp):
            return
        if isinstance(expr, sp.Symbol):
            found.add(expr)
            return
        for arg in expr.args:
            if isinstance(expr, sp.Max | sp.Min | sp.core.relational.Relational) and isinstance(arg, sp.Symbol | sp.Max | sp.Min):
                continue
            visit(arg)

    for formula in formulas:
        visit(formula)
    return found
