"""Proves that two expressions over a reachable state are one value; what it was asked before it remembers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

from refold.algebra import Plan, State
from refold.algebra.base2 import exp2
from refold.algebra.monoid import Component, Monoid, monoid
from refold.algebra.rewrite import rebuild, walk
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.renaming import put
from refold.spec import Where
from refold.verify.certificate.certificate import Certificate, joined_scripts
from refold.verify.kernel.alike import alike
from refold.verify.kernel.forms import Datum, Whole
from refold.verify.kernel.kept import Kept, kept
from refold.verify.kernel.scalars import Scalars
from refold.verify.kernel.valued import valued
from refold.verify.laws.invariants import carried_over
from refold.verify.laws.reach import Reach, eq
from refold.verify.obligation import Obligation, discharge
from refold.verify.result import Result, Verdict
from refold.verify.smt.query import Answer

TIMEOUT_MS = 5000
BY_EXECUTION = "by executing it: both are one expression"
Question = tuple[tuple[Any, ...], tuple[Any, ...]]


def plain(expr: Any) -> Any:
    """Powers of 2 as exponentials: both are the same function of a scaled argument, and no other law is used."""
    return expr.replace(lambda x: isinstance(x, exp2), lambda x: sp.exp(x.args[0], evaluate=False))


@dataclass(slots=True)
class Finding:
    """What becomes of a step, case by case: certificates of what a solver was asked, and the first fault.

    The steps of one kernel about one component or output are one obligation, which has the name.
    """

    name: str
    step: str
    claim: str
    proof: dict[Certificate, None] = field(default_factory=dict)
    fault: str | None = None
    seconds: float = 0.0

    def require(self, holds: bool, fault: str) -> None:
        """Takes in whether something is so that no solver needs to be asked."""
        if not holds and self.fault is None:
            self.fault = fault

    def take(self, answer: Answer) -> None:
        """Takes in a solver's answer. A model of the solver's is no run of the kernel: it refutes nothing."""
        self.seconds += answer.seconds
        self.require(answer.verdict == "proved", "the solvers did not show that both are one value")
        if answer.certificate is not None:
            self.proof[answer.certificate] = None


def named(kernel: str, thing: str = "") -> str:
    """The name of the obligation about a component or an output of a kernel, or about all of it."""
    return f"refinement {kernel}: {thing}" if thing else f"refinement {kernel}"


def names_of(made: Kernels, kernel: str, *, stores: bool) -> Iterator[str]:
    """The obligations about every component, and about every output where the kernel stores them."""
    yield from (named(kernel, str(a.symbol)) for a in made.plan.accumulators)
    if stores:
        yield from (named(kernel, output(made, f.name)) for f in made.plan.finish)


def output(made: Kernels, name: str) -> str:
    """An output as a thing of an obligation, by the user's name."""
    return f"output {made.users.get(name, name)}"


def obligations(findings: Iterable[Finding]) -> Iterator[Result]:
    """What becomes of steps, those of one obligation together, in the order in which each is first met."""
    steps: dict[str, list[Finding]] = {}
    for found in findings:
        steps.setdefault(found.name, []).append(found)
    yield from map(obligation, steps.values())


def obligation(steps: list[Finding]) -> Result:
    """The steps of one obligation as its result: what is not shown says in which step."""
    proof = tuple(dict.fromkeys(c for s in steps for c in s.proof))
    faults = [f"{s.step}: {s.fault}" if s.step else s.fault for s in steps if s.fault is not None]
    note = "; ".join(faults) if faults else "" if proof else BY_EXECUTION
    verdict: Verdict = "unknown" if faults else "proved"
    claim = "; ".join(dict.fromkeys(s.claim for s in steps))
    seconds = sum(s.seconds for s in steps)
    return Result(steps[0].name, claim, verdict, seconds, joined_scripts(proof), note=note, proof=proof)


@dataclass(slots=True)
class Prover:
    """Proves that two expressions over a reachable state are one; what it was asked before it remembers.

    `known` is so in every reachable state, of two states where there are two. `kept` has what a kernel keeps for each
    component.
    """

    made: Kernels
    known_of_plan: Reach
    laws: Monoid = field(init=False)
    components: Mapping[str, Component] = field(init=False)
    kept: Mapping[str, Kept] = field(init=False)
    known: tuple[Any, ...] = field(init=False)
    scalars: Scalars = field(init=False)
    seen: dict[Question, Answer] = field(default_factory=dict)
    pairs: dict[tuple[Any, Any, tuple[Any, ...]], tuple[Answer, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.laws, self.scalars = monoid(self.made.plan), Scalars.of(self.made)
        self.components = {str(c.symbol): c for c in self.laws.state}
        self.kept = {name: kept(c) for name, c in self.components.items()}
        reach = carried_over(self.known_of_plan, _in_exponentials(self.made.plan))
        known = [f for mark in ("", "₂", "₃") for f in reach.state(reach.monoid.marked(mark))]
        known += [self.kept[n].fits(State(f"{n}{mark}")) for n in self.components for mark in ("", "₂", "₃")]
        self.known = tuple(f for f in known if f is not sp.true)

    def same(self, got: Any, wanted: Any, known: tuple[Any, ...], name: str) -> tuple[Answer, ...]:
        """Whether two expressions are one value, or both none, in every state of which something is `known`.

        `name` is the obligation that asks.
        """
        if (got, wanted, known) in self.pairs:
            return self.pairs[got, wanted, known]
        answers: list[Answer] = []
        self._same(got, wanted, known, name, answers)
        # What is asked again takes no time.
        self.pairs[got, wanted, known] = tuple(replace(a, seconds=0.0) for a in answers)
        return tuple(answers)

    def _same(self, got: Any, wanted: Any, known: tuple[Any, ...], name: str, answers: list[Answer]) -> None:
        got, wanted = (_decided(sp.sympify(x)) for x in (got, wanted))
        if got == wanted:
            return
        got, wanted = (valued(plain(x)) for x in (got, wanted))
        if isinstance(got, Where) and isinstance(wanted, Where) and sp.nan in wanted.args:
            self._chosen(got, wanted, known, name, answers)
            return
        for mine, other in alike(got, wanted):
            answer = self.ask(known, eq(mine, other), name)
            if answer.verdict == "proved":
                answers.append(answer)
                got = got.xreplace({mine: other})
        if got != wanted:
            answers.append(self.ask(known, eq(got, wanted), name))

    def _chosen(self, got: Where, wanted: Where, known: tuple[Any, ...], name: str, answers: list[Answer]) -> None:
        """Two choices of which one side is no value: the conditions agree, and so do the sides, each where it is."""
        (c, *sides), (guard, *others) = got.args, wanted.args
        if (sides[0] is sp.nan) != (others[0] is sp.nan):
            c, sides = sp.Not(c), sides[::-1]
        if c != guard:
            answers += [self.ask((*known, guard), c, name), self.ask((*known, sp.Not(guard)), sp.Not(c), name)]
        for holds, x, y in zip((guard, sp.Not(guard)), sides, others, strict=True):
            if x is sp.nan and y is sp.nan:
                continue
            if sp.nan in (x, y):
                answers.append(Answer("unknown", 0.0, "", note="one side is no value where the other is one"))
            else:
                self._same(x, y, (*known, holds), name, answers)

    def ask(self, known: tuple[Any, ...], goal: Any, name: str) -> Answer:
        """The solver's answer, once for every question; data is numbered in the order in which it is met."""
        if goal in (sp.true, sp.false):
            return Answer("proved" if goal is sp.true else "unknown", 0.0, "")
        known = _about(goal, known)
        symbols = (s for x in (goal, *known) for s in walk(x))
        order = dict.fromkeys(s for s in symbols if isinstance(s, Datum | Whole))
        table: dict[Any, Any] = {s: type(s)(n) for n, s in enumerate(order)}
        question = tuple(_renamed(x, table) for x in known), (_renamed(goal, table),)
        if question in self.seen:
            return replace(self.seen[question], seconds=0.0)
        self.seen[question] = discharge(Obligation(name, "", *question), self.made.plan, TIMEOUT_MS)
        return self.seen[question]


def _about(goal: Any, known: tuple[Any, ...]) -> tuple[Any, ...]:
    """What is known of the states, positions and data of a goal, and of those that stand in that."""
    used = {s for s in goal.free_symbols if isinstance(s, State | Whole | Datum)}
    left = [(f, {s for s in f.free_symbols if isinstance(s, State | Whole | Datum)}) for f in known]
    while more := {s for _, some in left if some & used for s in some} - used:
        used |= more
    return tuple(f for f, some in left if some & used or not some)


def _renamed(expr: Any, names: dict[Any, Any]) -> Any:
    """An expression with other names for some symbols, which say nothing of a value: extremes stay as they are.

    `names` takes in what its parts became, since they stand in many places.
    """
    if expr not in names and expr.args:
        args = [_renamed(a, names) for a in expr.args]
        extreme = isinstance(expr, sp.Max | sp.Min)
        names[expr] = expr.func(*args, evaluate=False) if extreme else rebuild(expr, args)
    return names.get(expr, expr)


def _decided(expr: Any) -> Any:
    """A choice that is made, or that is between two that are the same."""
    if not isinstance(expr, Where) or not (expr.args[0] in (sp.true, sp.false) or expr.args[1] == expr.args[2]):
        return expr
    return _decided(expr.args[2 if expr.args[0] is sp.false else 1])


def _in_exponentials(plan: Plan) -> Plan:
    """The plan with exponentials for powers of 2, of which the invariants are known."""
    heads = {e: plain(e) for e in _powers(plan)}
    return put(plan, heads, {}) if heads else plan


def _powers(plan: Plan) -> set[Any]:
    parts = [x for a in plan.accumulators for x in (a.element, a.correction)]
    parts += [x for f in plan.finish for x in (f.expr, f.guard)]
    parts += [x for a in plan.anchors for x in (a.expr, a.regular)]
    return {e for x in parts for e in x.atoms(exp2)}
