"""The one door to Z3: a named, timed question whether hypotheses imply goals, and the certificate of the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

from refold.verify.certificate import comparison, recheck
from refold.verify.certificate.certificate import (
    Case,
    Certificate,
    Equation,
    Leaf,
    Names,
    Script,
    Split,
    joined_scripts,
)
from refold.verify.certificate.cofactors import conjuncts, is_equation, prove, variables
from refold.verify.processor import within_seconds
from refold.verify.result import Verdict
from refold.verify.smt import formulas as z3
from refold.verify.smt import second, smtlib
from refold.verify.smt.cores import Cores
from refold.verify.smt.encode import Encoder
from refold.verify.smt.formula import Texts, Unwritable
from refold.verify.smt.path import Undecided
from refold.verify.smt.query import Answer, Query, plain_query
from refold.verify.smt.reals import Undefined
from refold.verify.smt.values import model_words

TIMEOUT_MS = 10_000
# In units of the solver's own work, not seconds, so that the same is found on every machine, however busy it is.
# A millisecond is so many: what an idle machine does in about that time.
UNITS_PER_MS = 4_000
# Some work counts as none, such as to read a large polynomial: it is stopped after so many times the milliseconds, by
# the clock of the processor.
UNCOUNTED = 1.5
QUICK = 20_000
FEASIBLE = 1_000_000
MAX_PATHS = 600
# The latest of them decide most of what is asked next, and each takes its time to look at.
MODELS = 4
LIMIT_S = 60.0

Branch: TypeAlias = "Callable[[Any], Case]"
Pairs: TypeAlias = tuple[tuple[str, str], ...]


class _Open(Exception):
    """A case that could not be closed."""

    def __init__(self, verdict: Verdict, note: str, smt2: str = "") -> None:
        super().__init__(note)
        self.verdict, self.note, self.smt2 = verdict, note, smt2


def ask(query: Query, timeout_ms: int = TIMEOUT_MS, limit_s: float = LIMIT_S) -> Answer:
    """Goes down every path of a query, and closes each: by cofactors, or by two solvers.

    Proved: every path is closed, and the hypotheses are satisfiable on at least one. Refuted here means that the
    encoding has a model; whether a real input shows the difference is for the caller to find out. A question that
    takes more than `limit_s` of CPU time in all is not answered. Where certificates are read, they answer instead.
    """
    certificates = comparison.read()
    if certificates is not None:
        return certificates.answer(query)
    search = _Search(query, timeout_ms, _clock() + limit_s)
    start = time.perf_counter()
    try:
        case = search.down(query.encoder, [])
        if not search.alive:
            raise _Open("unknown", "the hypotheses were not shown satisfiable")
    except Undefined as error:
        note = f"the claim has no value in the extended reals: {error}"
        return Answer("unknown", time.perf_counter() - start, "", note=note)
    except Unwritable as error:
        note = f"the proof file has no words for {error}"
        return Answer("unknown", time.perf_counter() - start, "", note=note)
    except _Open as open_:
        return Answer(open_.verdict, time.perf_counter() - start, open_.smt2, note=open_.note)
    certificate = Certificate(case, tuple(query.names.legend().items()))
    return Answer("proved", time.perf_counter() - start, joined_scripts([certificate]), certificate)


def settle(hypotheses: list[Any], goals: list[Any], timeout_ms: int = TIMEOUT_MS, names: Names | None = None) -> Answer:
    """Whether formulas of Z3 imply others, as they stand: one case, closed like those of `ask`."""
    return ask(plain_query(hypotheses, goals, names or Names()), timeout_ms)


class _Search:
    """One question on its way: the time it has left, and the names of its variables."""

    def __init__(self, query: Query, timeout_ms: int, until: float) -> None:
        self.query, self.timeout_ms, self.until = query, timeout_ms, until
        self.text = Texts()
        self.cores = Cores(z3.current() if query.shown else None)
        self.models: list[Any] = []
        self.scripts: list[tuple[frozenset[int], list[Any], Script]] = []
        self.count = 0
        self.alive = query.shows_model

    def down(self, encoder: Encoder, conditions: list[Any]) -> Case:
        """The case in which the conditions hold, and on which the encoder's path lies."""
        goals: list[Any] | None = None
        met: Any = None
        try:
            goals = self.query.build(encoder)
        except Undecided as undecided:
            met = undecided.condition
        if goals is None:
            return self.split(
                met,
                encoder.premises,
                conditions,
                lambda c: self.down(encoder.where(met, holds=True), [*conditions, c]),
                lambda c: self.down(encoder.where(met, holds=False), [*conditions, c]),
            )
        self.count += 1
        if self.count > MAX_PATHS or _clock() > self.until:
            raise _Open("unknown", f"more than {LIMIT_S:.0f} s or {MAX_PATHS} paths")
        return self.close(encoder.premises, conditions, goals, tuple(encoder.same))

    def split(self, condition: Any, premises: list[Any], conditions: list[Any], yes: Branch, no: Branch) -> Case:
        """Both sides of a condition; one that contradicts what is known is closed by that."""
        sides = []
        for formula, go in ((condition, yes), (_negation(condition), no)):
            impossible = self.refute([*conditions, *premises, formula], [], FEASIBLE)
            sides.append(self.leaf([*conditions, formula], (), (impossible,)) if impossible else go(formula))
        if z3.is_not(condition):
            condition, sides = condition.arg(0), sides[::-1]
        return Split(self.text(condition), *sides)

    def close(self, premises: list[Any], conditions: list[Any], goals: list[Any], same: Pairs) -> Case:
        """A case with nothing left to decide: equations by cofactors, the rest by the solvers."""
        goals = list({self.text(goal): goal for goal in conjuncts(goals)}.values())
        if self.query.shown and not conditions and (script := self.script(conjuncts(premises), goals)) is not None:
            return self.leaf([], tuple(map(self.text, goals)), (script,), (), same)
        facts = [f for f in conjuncts([*premises, *conditions]) if is_equation(f)]
        equations, rest = [], []
        for goal in goals:
            found = prove(goal, facts, self.text) if is_equation(goal) else None
            if found is None:
                rest.append(goal)
            else:
                equations.append(found)
        everything = [*premises, *conditions]
        if not self.alive:
            self.alive = self.holds(everything) or self.check(everything)[0] == z3.sat
        stuck = next((g for g in rest if is_equation(g)), None)
        if stuck is not None:
            hidden = self.hidden(stuck, everything, facts)
            if hidden is not None:
                return self.split(
                    hidden,
                    premises,
                    conditions,
                    lambda c: self.close(premises, [*conditions, c], goals, same),
                    lambda c: self.close(premises, [*conditions, c], goals, same),
                )
        closing = self.refuted(rest, everything) if rest else ()
        return self.leaf(conditions, tuple(map(self.text, goals)), closing, tuple(equations), same)

    def leaf(
        self,
        conditions: list[Any],
        show: tuple[str, ...],
        scripts: tuple[Script, ...],
        equations: tuple[Equation, ...] = (),
        same: Pairs = (),
    ) -> Leaf:
        """A closed case, with those premises that its certificates use."""
        on_the_way = {self.text(c) for c in conjuncts(conditions)}
        used = dict.fromkeys(
            [fact for e in equations for _, fact in e.cofactors] + [f for s in scripts for f in s.facts]
        )
        return Leaf(tuple(f for f in used if f not in on_the_way), show, equations, scripts, same)

    def refuted(self, goals: list[Any], known: list[Any]) -> tuple[Script, ...]:
        """The scripts that show goals: of all at once, or of each where that is too much for the other solver."""
        # Most goals need no premises, and those about other things only make them slower to see.
        script = self.recalled(_contrary(known, goals)) or self.refute([], goals, QUICK) or self.refute(known, goals)
        if script is None:
            raise self.open([*known, z3.Not(z3.And(*goals))])
        if script.agreed or len(goals) < 2:
            return (script,)
        return tuple(s for goal in goals for s in self.refuted([goal], known))

    def hidden(self, goal: Any, everything: list[Any], facts: list[Any]) -> Any:
        """An equation that is not among the facts and follows from all that is known: a near one to the goal."""
        near = variables([goal, *facts]).keys()
        known = {f.sexpr() for f in facts}
        found = [(len(variables([c]).keys() - near), len(key), key, c) for key, c in _candidates(everything).items()]
        for *_, key, atom in sorted(found, key=lambda entry: entry[:3]):
            if key not in known and self.contradict([*everything, _negation(atom)], QUICK):
                return atom
        return None

    def refute(self, facts: list[Any], goals: list[Any], effort: int = 0) -> Script | None:
        """The script of facts that contradict the negation of goals (each other, without goals), with both solvers'
        answers to its very text; None where they may not."""
        formulas = _contrary(facts, goals)
        if (known := self.recalled(formulas)) is not None:
            return known
        if not self.contradict(formulas, effort):
            return None
        # What has no part in the contradiction makes the script longer, and harder for the other solver.
        core = self.cores.core(formulas)
        negation = formulas[-1] if goals else None
        script = self.script([f for f in core if f is not negation], goals if any(f is negation for f in core) else [])
        if script is not None:
            self.scripts.append((frozenset(map(z3.key, core)), core, script))
        return script

    def recalled(self, formulas: list[Any]) -> Script | None:
        """The script of some of the formulas, where these contradicted each other in another case of the question."""
        there = {*map(z3.key, formulas)}
        return next((script for core, _, script in self.scripts if core <= there), None)

    def script(self, facts: list[Any], goals: list[Any]) -> Script | None:
        """What Z3 says to contradict itself, with both solvers' answers to the text of it."""
        used, shown = (tuple(dict.fromkeys(map(self.text, formulas))) for formulas in (facts, goals))
        smt2 = recheck.script(list(used), list(shown), self.query.numbers)
        answers = (("z3", self.cores.opinion(smt2)), ("cvc5", second.opinion(smt2)))
        if "sat" in dict(answers).values():
            said = " and ".join(f"{name} says {answer}" for name, answer in answers)
            raise _Open("unknown", f"Z3 says unsat, and to the text of it {said}: the solvers disagree", smt2)
        return Script(smt2, answers, used, shown) if "unsat" in dict(answers).values() else None

    def open(self, formulas: list[Any]) -> _Open:
        """Why a case stays open: a model, or that the solver found none."""
        outcome, solver = self.check(formulas)
        smt2 = smtlib.script(formulas)
        if outcome == z3.sat:
            return _Open("refuted", model_words(solver.model(), self.query.names.shown), smt2)
        return _Open("unknown", f"Z3: {solver.reason_unknown()}", smt2)

    def contradict(self, formulas: list[Any], effort: int) -> bool:
        """Whether formulas are known not to hold together; what a model shows is not asked again."""
        return not self.holds(formulas) and self.check(formulas, effort)[0] == z3.unsat

    def holds(self, formulas: list[Any]) -> bool:
        """Whether formulas hold together in one of the latest models. The last of them are what is new, mostly."""
        for n, model in enumerate(self.models):
            try:
                holds = all(z3.is_true(model.eval(f, model_completion=True)) for f in reversed(formulas))
            except z3.Z3Exception:  # interrupted, since the time is over
                return False
            if holds:
                self.models.insert(0, self.models.pop(n))
                return True
        return False

    def check(self, formulas: list[Any], effort: int = 0) -> tuple[Any, Any]:
        """Whether formulas can hold together, within so much effort (0: that of the question's time)."""
        outcome, solver = check(formulas, self.timeout_ms, effort)
        if outcome == z3.sat:
            self.models = [solver.model(), *self.models[: MODELS - 1]]
        return outcome, solver


def satisfiable(formulas: list[Any], effort: int = QUICK) -> bool:
    """Whether formulas are soon seen to hold together: without what Z3 does first to make harder ones simple."""
    return bool(check(formulas, TIMEOUT_MS, effort, z3.SimpleSolver)[0] == z3.sat)


def check(
    formulas: list[Any], timeout_ms: int, effort: int = 0, solver_of: Callable[[Any], Any] = z3.Solver
) -> tuple[Any, Any]:
    """Whether formulas can hold together, within so much effort (0: that of the time); and the solver that says so."""
    solver = solver_of(z3.current())
    solver.set("rlimit", effort or timeout_ms * UNITS_PER_MS)
    try:
        with within_seconds(UNCOUNTED * timeout_ms / 1000, solver.ctx.interrupt):
            for formula in formulas:
                z3.Z3_solver_assert(solver.ctx.ref(), solver.solver, formula.as_ast())
            return solver.check(), solver
    except z3.Z3Exception as error:
        if not _was_stopped(error):
            raise
        return z3.unknown, solver


def _was_stopped(error: Exception) -> bool:
    """Whether Z3 gave up, rather than that it was asked something that is no question."""
    return any(word in str(error) for word in ("cancel", "interrupt", "resource", "memory", "timeout"))


def _clock() -> float:
    """The seconds of both solvers' work for this thread: the same, however many others there are."""
    return time.thread_time() + second.seconds()


def _contrary(facts: list[Any], goals: list[Any]) -> list[Any]:
    """The facts, and last the negation of what they are to show, if that is anything."""
    return [*conjuncts(facts), *([z3.Not(z3.And(*goals))] if goals else [])]


def _negation(condition: Any) -> Any:
    return condition.arg(0) if z3.is_not(condition) else z3.Not(condition)


def _candidates(formulas: list[Any]) -> dict[str, Any]:
    """Equations that may follow: those below other connectives, and where two inequalities may meet."""
    found: dict[str, Any] = {}
    stack = [f for f in formulas if z3.is_bool(f)]
    while stack:
        term = stack.pop()
        if is_equation(term):
            found.setdefault(term.sexpr(), term)
        elif z3.is_le(term) or z3.is_ge(term):
            tie = term.arg(0) == term.arg(1)
            found.setdefault(tie.sexpr(), tie)
        elif z3.is_bool(term):
            stack += [c for c in z3.children(term) if z3.is_bool(c)]
    return found
