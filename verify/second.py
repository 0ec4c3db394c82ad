"""The one door to cvc5: a second opinion on a script that Z3 calls unsatisfiable."""

from __future__ import annotations

from functools import lru_cache

LIMIT_MS = 1_000


@lru_cache(maxsize=10_000)
def opinion(smt2: str, limit_ms: int = LIMIT_MS) -> str:
    """cvc5's answer to a script: `unsat`, `sat`, or `unknown` where it takes longer than `limit_ms`."""
    import cvc5

    solver = cvc5.Solver()
    solver.setOption("tlimit-per", str(limit_ms))
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, smt2, "script")
    manager = parser.getSymbolManager()
    answer = ""
    while not (command := parser.nextCommand()).isNull():
        answer += command.invoke(solver, manager)
    return answer.strip() or "unknown"
