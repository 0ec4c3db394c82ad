"""What Z3 needs of formulas that contradict each other, and its opinion of a script, in a context of one question."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from refold.verify.deadline import stoppable
from refold.verify.smt import formulas as z3

# In units of the solver's own work, not seconds, so that the same is found on every machine, however busy it is.
CORE = 1_000_000
TEXT = 10_000_000
# What Z3 said to scripts: many questions come down to one, and to the same ones in every plan.
_OPINIONS: dict[str, str] = {}


class Cores:
    """The cores of the contradictions of one question."""

    def __init__(self, context: Any = None) -> None:
        self.given = context
        self.translations: dict[int, tuple[Any, Any]] = {}
        self.marks: list[Any] = []

    @cached_property
    def context(self) -> Any:
        """A context of its own, if none was given: which formulas a core has hangs on all that a context has seen."""
        return self.given or z3.Context()

    def core(self, formulas: list[Any]) -> list[Any]:
        """Those of contradicting formulas that Z3 needed, and of them again: which these are hangs on less then."""
        while len(smaller := self.needed(formulas)) < len(formulas):
            formulas = smaller
        return formulas

    def needed(self, formulas: list[Any]) -> list[Any]:
        """Those of contradicting formulas that Z3 needed; all of them where it cannot say."""
        if len(formulas) < 2:
            return formulas
        solver = z3.Solver(ctx=self.context)
        solver.set("rlimit", CORE)
        reference, marks = self.context.ref(), {}
        for n, formula in enumerate(formulas):
            there, mark = self.abroad(formula), self.mark(n)
            marks[z3.key(mark)] = formula
            z3.Z3_solver_assert_and_track(reference, solver.solver, there.as_ast(), mark.as_ast())
        with stoppable(self.context.interrupt):
            if solver.check() != z3.unsat:
                return formulas
        found = {z3.key(mark) for mark in solver.unsat_core()}
        return [formula for mark, formula in marks.items() if mark in found]

    def abroad(self, formula: Any) -> Any:
        """A formula in the context of cores, taken there once."""
        key = z3.key(formula)
        if key not in self.translations:
            here = formula.ctx is self.context
            self.translations[key] = formula, formula if here else formula.translate(self.context)
        return self.translations[key][1]

    def mark(self, n: int) -> Any:
        """The name of the nth formula that is asked of a core."""
        while len(self.marks) <= n:
            self.marks.append(z3.Const(str(len(self.marks)), z3.BoolSort(self.context)))
        return self.marks[n]

    def opinion(self, smt2: str) -> str:
        """Z3's answer to a script."""
        if smt2 not in _OPINIONS:
            solver = z3.Solver(ctx=self.context)
            solver.set("rlimit", TEXT)
            solver.from_string(smt2)
            with stoppable(self.context.interrupt):
                answer = str(solver.check())
            if answer == "unknown":
                return answer
            _OPINIONS[smt2] = answer
        return _OPINIONS[smt2]
