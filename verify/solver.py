"""The one door to Z3: a named, timed question whether hypotheses imply goals, and the certificate of the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import z3

from refold.verify import second, smtlib
from refold.verify.certificate import Case, Certificate, Leaf, Names, Script, Split, joined_scripts, leaves
from refold.verify.cofactors import conjuncts, formula_text, is_equation, prove, variables
from refold.verify.deadline import ran_out, remaining
from refold.verify.encode import Encoder, Undecided, Undefined
from refold.verify.result import Verdict

TIMEOUT_MS = 10_000
# In units of the solver's own work, not seconds, so that the same is found on every machine, however busy it is.
QUICK = 20_000
FEASIBLE = 1_000_000
MAX_PATHS = 600
LIMIT_S = 60.0

Branch: TypeAlias = "Callable[[Any], Case]"


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the hypotheses imply the goals; the certificate that shows it, or the script of what is open."""

    verdict: Verdict
    seconds: float
    smt2: str
    certificate: Certificate | None = None
    note: str = ""

    @property
    def paths(self) -> int:
        """The cases that were closed."""
        return len(list(leaves(self.certificate.case))) if self.certificate is not None else 0


@dataclass(frozen=True, slots=True)
class Query:
    """`build(encoder)` gives the goals and adds its hypotheses to the encoder; it runs once a path."""

    name: str
    encoder: Encoder
    build: Callable[[Encoder], list[Any]]
    names: Names = field(default_factory=Names)


class _Open(Exception):
    """A case that could not be closed."""

    def __init__(self, verdict: Verdict, note: str, smt2: str = "") -> None:
        super().__init__(note)
        self.verdict, self.note, self.smt2 = verdict, note, smt2


def ask(query: Query, timeout_ms: int = TIMEOUT_MS, limit_s: float = LIMIT_S) -> Answer:
    """Goes down every path of a query, and closes each: by cofactors, or by two solvers.

    Proved: every path is closed, and the hypotheses are satisfiable on at least one. Refuted here means that the
    encoding has a model; whether a real input shows the difference is for the caller to find out. A question that
    takes more than `limit_s` of CPU time in all is not answered.
    """
    search = _Search(query, timeout_ms, time.process_time() + limit_s)
    start = time.perf_counter()
    try:
        case = search.down(query.encoder, [])
        if not search.alive:
            raise _Open("unknown", "the hypotheses were not shown satisfiable")
    except Undefined as error:
        note = f"the claim has no value in the extended reals: {error}"
        return Answer("unknown", time.perf_counter() - start, "", note=note)
    except _Open as open_:
        return Answer(open_.verdict, time.perf_counter() - start, open_.smt2, note=open_.note)
    certificate = Certificate(case, tuple(query.names.legend().items()))
    return Answer("proved", time.perf_counter() - start, joined_scripts([certificate]), certificate)


def settle(hypotheses: list[Any], goals: list[Any], timeout_ms: int = TIMEOUT_MS, names: Names | None = None) -> Answer:
    """Whether formulas of Z3 imply others, as they stand: one case, closed like those of `ask`."""

    def build(encoder: Encoder) -> list[Any]:
        encoder.hypotheses += hypotheses
        return goals

    none: frozenset[Any] = frozenset()
    return ask(Query("", Encoder(none, none, none), build, names or Names()), timeout_ms)


class _Search:
    """One question on its way: the time it has left, and the names of its variables."""

    def __init__(self, query: Query, timeout_ms: int, until: float) -> None:
        self.query, self.timeout_ms, self.until = query, timeout_ms, until
        # A context of its own: which formulas a core has depends on all that a context has seen before.
        self.context = z3.Context()
        self.count = 0
        self.alive = False

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
                [*conditions, *encoder.axioms, *encoder.hypotheses],
                lambda c: self.down(encoder.where(met, True), [*conditions, c]),
                lambda c: self.down(encoder.where(met, False), [*conditions, c]),
            )
        self.count += 1
        if ran_out():
            raise _Open("unknown", ran_out())
        if self.count > MAX_PATHS or time.process_time() > self.until:
            raise _Open("unknown", f"more than {LIMIT_S:.0f} s or {MAX_PATHS} paths")
        return self.close([*encoder.axioms, *encoder.hypotheses], conditions, goals)

    def split(self, condition: Any, known: list[Any], yes: Branch, no: Branch) -> Case:
        """Both sides of a condition; one that contradicts what is known is closed by that."""
        sides = []
        for formula, go in ((condition, yes), (_negation(condition), no)):
            impossible = self.refute([*known, formula], FEASIBLE)
            sides.append(Leaf(scripts=(impossible,)) if impossible else go(formula))
        if z3.is_not(condition):
            condition, sides = condition.arg(0), sides[::-1]
        return Split(formula_text(condition), *sides)

    def close(self, premises: list[Any], conditions: list[Any], goals: list[Any]) -> Case:
        """A case with nothing left to decide: equations by cofactors, the rest by the solvers."""
        goals = conjuncts(goals)
        facts = [f for f in conjuncts([*premises, *conditions]) if is_equation(f)]
        equations, rest = [], []
        for goal in goals:
            found = prove(goal, facts) if is_equation(goal) else None
            if found is None:
                rest.append(goal)
            else:
                equations.append(found)
        everything = [*premises, *conditions]
        if not self.alive:
            self.alive = self.check(everything)[0] == z3.sat
        stuck = next((g for g in rest if is_equation(g)), None)
        if stuck is not None:
            hidden = self.hidden(stuck, everything, facts)
            if hidden is not None:
                return self.split(
                    hidden,
                    everything,
                    lambda c: self.close(premises, [*conditions, c], goals),
                    lambda c: self.close(premises, [*conditions, c], goals),
                )
        closing = self.refuted(rest, everything) if rest else ()
        given = {formula_text(c) for c in conjuncts(conditions)}
        used = dict.fromkeys(fact for e in equations for _, fact in e.cofactors if fact not in given)
        return Leaf(tuple(used), tuple(equations), tuple(formula_text(g) for g in rest), closing)

    def refuted(self, goals: list[Any], known: list[Any]) -> tuple[Script, ...]:
        """The scripts that show goals: of all at once, or of each where that is too much for the other solver."""
        refutation = z3.Not(z3.And(*goals))
        # Most goals need no premises, and those about other things only make them slower to see.
        script = self.refute([refutation], QUICK) or self.refute([*known, refutation])
        if script is None:
            raise self.open([*known, refutation])
        if script.agreed or len(goals) < 2:
            return (script,)
        return tuple(s for goal in goals for s in self.refuted([goal], known))

    def hidden(self, goal: Any, everything: list[Any], facts: list[Any]) -> Any:
        """An equation that is not among the facts and follows from all that is known: a near one to the goal."""
        near = variables([goal, *facts]).keys()
        known = {f.sexpr() for f in facts}
        found = [(len(variables([c]).keys() - near), len(key), key, c) for key, c in _candidates(everything).items()]
        for *_, key, atom in sorted(found, key=lambda entry: entry[:3]):
            if key not in known and self.check([*everything, _negation(atom)], QUICK)[0] == z3.unsat:
                return atom
        return None

    def refute(self, formulas: list[Any], effort: int = 0) -> Script | None:
        """The script of formulas that contradict each other, with both solvers' answers; None where they may not."""
        if self.check(formulas, effort)[0] != z3.unsat:
            return None
        # What has no part in the contradiction makes the script longer, and harder for the other solver.
        smt2 = smtlib.script(self.core(conjuncts(formulas)))
        answer = second.opinion(smt2)
        if answer == "sat":
            raise _Open("unknown", "Z3 says unsat and cvc5 says sat: the solvers disagree", smt2)
        return Script(smt2, (("z3", "unsat"), ("cvc5", answer)))

    def open(self, formulas: list[Any]) -> _Open:
        """Why a case stays open: a model, or that the solver found none."""
        outcome, solver = self.check(formulas)
        smt2 = smtlib.script(formulas)
        if outcome == z3.sat:
            return _Open("refuted", _model(solver.model()), smt2)
        return _Open("unknown", f"Z3: {solver.reason_unknown()}", smt2)

    def core(self, formulas: list[Any]) -> list[Any]:
        """Those of contradicting formulas that Z3 needed; all of them where it cannot say."""
        solver = z3.Solver(ctx=self.context)
        solver.set("rlimit", FEASIBLE)
        for n, formula in enumerate(formulas):
            solver.assert_and_track(formula.translate(self.context), str(n))
        if len(formulas) < 2 or solver.check() != z3.unsat:
            return formulas
        return [formulas[n] for n in sorted(int(str(mark).strip("|")) for mark in solver.unsat_core())]

    def check(self, formulas: list[Any], effort: int = 0) -> tuple[Any, Any]:
        """Whether formulas can hold together, within so much effort (0: any) and the time of a question."""
        timeout_ms = max(1, min(self.timeout_ms, int(1000 * min(remaining(), self.timeout_ms))))
        solver = z3.Solver()
        solver.set("timeout", timeout_ms)
        solver.set("rlimit", effort)
        # The timeout is of `check` alone, and a large polynomial can keep `add` busy for minutes.
        watch = threading.Timer(2 * timeout_ms / 1000, solver.ctx.interrupt)
        watch.start()
        try:
            solver.add(*formulas)
            return solver.check(), solver
        except z3.Z3Exception:
            return z3.unknown, solver
        finally:
            watch.cancel()


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
            stack += [c for c in term.children() if z3.is_bool(c)]
    return found


def _model(model: Any) -> str:
    return ", ".join(f"{d.name()} = {model[d]}" for d in sorted(model.decls(), key=lambda d: d.name()))
