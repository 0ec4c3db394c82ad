"""What Z3 needs of formulas that contradict each other, and its opinion of a script, in the context of a question."""

from __future__ import annotations

from typing import Any

from refold.verify.smt import formulas as z3

# In units of the solver's own work, not seconds, so that the same is found on every machine, however busy it is.
CORE = 1_000_000
TEXT = 10_000_000
# What Z3 said to scripts: many questions come down to one, and to the same ones in every plan.
_OPINIONS: dict[str, str] = {}


def core_of(formulas: list[Any]) -> list[Any]:
    """Those of contradicting formulas that Z3 needed, and of them again: which these are hangs on less then."""
    while len(smaller := _needed(formulas)) < len(formulas):
        formulas = smaller
    return formulas


def _needed(formulas: list[Any]) -> list[Any]:
    """Those of contradicting formulas that Z3 needed; all of them where it cannot say."""
    if len(formulas) < 2:
        return formulas
    return needed(formulas, CORE) or formulas


def needed(formulas: list[Any], effort: int) -> list[Any] | None:
    """Those of contradicting formulas that Z3 needed; None where they are not known to contradict each other."""
    solver = z3.Solver()
    solver.set("rlimit", effort)
    marks = {}
    for n, formula in enumerate(formulas):
        mark = z3.Bool(f"known {n}")
        marks[z3.key(mark)] = mark, formula
        z3.Z3_solver_assert_and_track(solver.ctx.ref(), solver.solver, formula.as_ast(), mark.as_ast())
    if solver.check() != z3.unsat:
        return None
    found = {z3.key(mark) for mark in solver.unsat_core()}
    return [formula for number, (_, formula) in marks.items() if number in found]


def opinion(smt2: str) -> str:
    """Z3's answer to a script."""
    if smt2 not in _OPINIONS:
        solver = z3.Solver()
        solver.set("rlimit", TEXT)
        solver.from_string(smt2)
        answer = str(solver.check())
        if answer == "unknown":
            return answer
        _OPINIONS[smt2] = answer
    return _OPINIONS[smt2]
