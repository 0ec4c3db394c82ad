"""The one door to cvc5: a second opinion on a script that Z3 calls unsatisfiable.

cvc5 counts its effort in its own units and looks at no clock meanwhile, so that it is asked in a process which ends
where it takes too long: one for each thread, started when the first script comes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path

from refold.verify.deadline import stoppable

# In units of the solver's own work, not seconds: the same answer on every machine, however busy it is.
EFFORT = 300_000
# Some work on products counts as none (a square of a difference): what takes so many seconds of the processor has no
# answer. Others that are at work on the machine do not bring its end nearer, but for the last of limits.
CPU_S = 5.0
WALL_S = 120.0
PROGRAM = Path(__file__).with_name("cvc5_process.py")


@lru_cache(maxsize=10_000)
def opinion(smt2: str, effort: int = EFFORT, cpu_s: float = CPU_S) -> str:
    """cvc5's answer to a script: `unsat`, `sat`, or `unknown` where it takes more than `effort` or `cpu_s`."""
    process = _OWN.process
    if process is None or not process.is_alive():
        process = _Process()
    # A process is kept only if it owes no answer: that would be taken for the one to the next script.
    _OWN.process = None
    line = process.ask(json.dumps({"smt2": smt2, "effort": effort, "cpu_s": cpu_s}))
    if not line:
        return "unknown"
    _OWN.process = process
    found = json.loads(line)
    _OWN.seconds += found["seconds"]
    return str(found["answer"])


def seconds() -> float:
    """The time that cvc5 was at work for this thread."""
    return _OWN.seconds


class _Process:
    """cvc5 in a process that ends with this object."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.popen = subprocess.Popen(
            [sys.executable, "-I", str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            encoding="utf-8",
        )  # fmt: skip

    def is_alive(self) -> bool:
        """Whether it can be asked; a fork has to start its own."""
        return self.owner == os.getpid() and self.popen.poll() is None

    def ask(self, line: str) -> str:
        """The answer to a line; nothing where the process ends first."""
        assert self.popen.stdin is not None and self.popen.stdout is not None
        watch = threading.Timer(WALL_S, self.popen.kill)
        watch.daemon = True
        watch.start()
        with stoppable(self.popen.kill):
            try:
                self.popen.stdin.write(line + "\n")
                self.popen.stdin.flush()
                return self.popen.stdout.readline()
            except BrokenPipeError:
                return ""
            finally:
                watch.cancel()

    def __del__(self) -> None:
        if self.owner == os.getpid():
            self.popen.kill()
            self.popen.wait()


class _Own(threading.local):
    process: _Process | None = None
    seconds: float = 0.0


_OWN = _Own()
