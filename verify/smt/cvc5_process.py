"""cvc5 in a process of its own, which can be ended at any time: a script in, a line of JSON; the answer out, a line."""

from __future__ import annotations

import json
import signal
import sys
import time

import cvc5


def answer(smt2: str, effort: int) -> str:
    """cvc5's answer to a script: `unsat`, `sat`, or `unknown` where it takes more than `effort`."""
    solver = cvc5.Solver(cvc5.TermManager())
    solver.setOption("rlimit-per", str(effort))
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, smt2, "script")
    manager = parser.getSymbolManager()
    found = ""
    while not (command := parser.nextCommand()).isNull():
        found += command.invoke(solver, manager)
    return found.split()[0] if found.strip() else "unknown"


def limit(seconds: float) -> None:
    """Has the system end this process after so many seconds of its own work, whatever it is at; 0 calls that off."""
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        start = time.process_time()
        limit(asked["cpu_s"])
        found = answer(asked["smt2"], asked["effort"])
        limit(0)
        sys.stdout.write(json.dumps({"answer": found, "seconds": time.process_time() - start}) + "\n")
        sys.stdout.flush()
