"""The one door to cvc5: a second opinion on a script that Z3 calls unsatisfiable."""

from __future__ import annotations

from functools import lru_cache

# In units of the solver's own work, not seconds: the same answer on every machine, however busy it is.
EFFORT = 300_000


@lru_cache(maxsize=10_000)
def opinion(smt2: str, effort: int = EFFORT) -> str:
    """cvc5's answer to a script: `unsat`, `sat`, or `unknown` where it takes more than `effort`."""
    import cvc5

    solver = cvc5.Solver()
    solver.setOption("rlimit-per", str(effort))
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, smt2, "script")
    manager = parser.getSymbolManager()
    answer = ""
    while not (command := parser.nextCommand()).isNull():
        answer += command.invoke(solver, manager)
    return answer.split()[0] if answer.strip() else "unknown"
