"""Questions about terms of integers, each with those facts and lemmas alone that an answer needs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refold.schedule.integers import products
from refold.schedule.terms import Term, below
from refold.verify.certificate import comparison
from refold.verify.kernel.lemmas import Known, Lemmas
from refold.verify.kernel.linear import Linear
from refold.verify.kernel.questions import IndexQuestion, answered_here, settled, translated
from refold.verify.smt import formulas as z3

# In units of the solver's own work.
EFFORT = 20_000_000
Key = tuple[frozenset[Term], tuple[Term, ...]]


@dataclass(slots=True)
class Asked:
    """The questions that were made, each once."""

    known: dict[Key, tuple[IndexQuestion, bool]] = field(default_factory=dict)
    formulas: Linear = field(default_factory=Linear)
    lemmas: Known = field(default_factory=Known)

    def question(
        self,
        facts: Iterable[Term],
        goals: Iterable[Term],
        more: Iterable[Term] = (),
        twins: Mapping[Term, Term] | None = None,
    ) -> IndexQuestion:
        """Whether facts imply goals; with `more` facts where some of them are needed."""
        if more and comparison.read() is not None:
            return self.made([*facts, *more], [*goals], twins or {})[0]
        found, shown = self.made([*facts], [*goals], twins or {})
        return found if shown or not more else self.made([*facts, *more], [*goals], twins or {})[0]

    def made(self, facts: list[Term], goals: list[Term], twins: Mapping[Term, Term]) -> tuple[IndexQuestion, bool]:
        """The question, and whether a proof of it was found."""
        key = (frozenset(facts), tuple(goals))
        if key not in self.known:
            self.known[key] = self._made(key, facts, goals, twins)
        return self.known[key]

    def _made(
        self, key: Key, facts: list[Term], goals: list[Term], twins: Mapping[Term, Term]
    ) -> tuple[IndexQuestion, bool]:
        integers = {a: b for a, b in twins.items() if a.sort == "int"}
        question = self.written([*facts, *Lemmas(integers, self.lemmas).gather([*facts, *goals])], goals, key)
        return question, comparison.read() is None and (settled(key) or _shown(question))

    def by_definitions(self, facts: Iterable[Term], goals: Iterable[Term]) -> IndexQuestion:
        """Whether facts imply goals by what the operations in them mean, all lemmas being among the facts."""
        terms, shown = [*dict.fromkeys(facts)], [*goals]
        meanings = Lemmas({}, self.lemmas)
        meanings.define([*terms, *shown])
        return self.written([*terms, *meanings.facts], shown, (frozenset(terms), tuple(shown), "by definitions"))

    def written(self, terms: list[Term], goals: list[Term], key: Hashable) -> IndexQuestion:
        """The question as formulas, with what is known of the products in them."""
        write, hypotheses = self.formulas, self.formulas.all(terms)
        goal = z3.And(*write.all(goals))
        within = write.within([*terms, *goals])
        hypotheses += [sign for p in within for sign in write.signs.get(p, ())]
        exact = tuple(write.exact[p] for p in within if p in write.exact)
        divisors, others = (tuple(map(write.number, some)) for some in _arguments(terms))
        return IndexQuestion("", "", tuple(hypotheses), goal, exact=exact, key=key, divisors=divisors, others=others)


def _shown(question: IndexQuestion) -> bool:
    """Whether a proof is found; then the question is answered at once, by those hypotheses that the proof uses.

    All of it is done in a context that has seen nothing else.
    """
    with comparison.query_context():
        here = translated(question)
        used = _needed(here.hypotheses, here.goal)
        if used is None:
            return False
        return answered_here(replace(here, hypotheses=used, shown=True)).verdict == "proved"


def _needed(hypotheses: Iterable[Any], goal: Any) -> tuple[Any, ...] | None:
    """Those hypotheses that a proof of the goal uses, if one is found."""
    solver = z3.Solver()
    solver.set("rlimit", EFFORT)
    marks = {f"known {n}": formula for n, formula in enumerate(hypotheses)}
    for mark, formula in marks.items():
        solver.assert_and_track(formula, z3.Bool(mark))
    solver.add(z3.Not(goal))
    if solver.check() != z3.unsat:
        return None
    core = {str(mark) for mark in solver.unsat_core()}
    return tuple(formula for mark, formula in marks.items() if mark in core)


def _arguments(terms: list[Term]) -> tuple[list[Term], list[Term]]:
    """The arguments of a kernel in terms, by name: those that something is divided by, and all others.

    A lane, a program and what else moves has a name that no argument can have.
    """
    inside = [*below(*terms)]
    divisors = {a for t in inside if t.op in ("//", "%") for product in products(t.args[1]) for a in product}
    named = [t for t in inside if t.op == "symbol" and t.sort == "int" and str(t.data).isidentifier()]
    ordered = sorted(named, key=lambda t: str(t.data))
    return [t for t in ordered if t in divisors], [t for t in ordered if t not in divisors]


def conjuncts(condition: Term) -> tuple[Term, ...]:
    """What holds by itself where a condition holds."""
    return condition.args if condition.op == "and" else (condition,)


def near(facts: Iterable[Term], goals: Iterable[Term]) -> list[Term]:
    """Those facts that speak of something that goals speak of, and what is known of each of their symbols alone."""
    about = {f: _symbols(f) for f in facts}
    here = {s for g in goals for s in _symbols(g)}
    beside = {s for symbols in about.values() if symbols & here for s in symbols}
    return [f for f, symbols in about.items() if symbols & here or (len(symbols) == 1 and symbols <= beside)]


def _symbols(t: Term) -> set[Term]:
    return {x for x in below(t) if not x.args and x.op not in ("polynomial", "true", "false")}
