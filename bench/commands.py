"""Times refold's commands as whole processes and prints a table: CPU seconds (user + system) and wall seconds."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 5


def cost(command: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of one run of a command that has to succeed."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, time.perf_counter() - start


def main() -> None:
    """Prints the median of several runs; of one run for what verifies every example."""
    examples = sorted(p for p in (ROOT / "examples").glob("*.py") if not p.name.startswith("_"))
    refold = [sys.executable, "-m", "refold"]
    rows = [
        ("refold --help", RUNS, [[*refold, "--help"]]),
        ("refold derive examples/attention.py", RUNS, [[*refold, "derive", "examples/attention.py"]]),
        ("refold verify examples/attention.py", RUNS, [[*refold, "verify", "examples/attention.py"]]),
        (f"refold verify, {len(examples)} examples in turn", 1, [[*refold, "verify", str(e)] for e in examples]),
    ]
    print(f"{'command':48} {'cpu s':>8} {'wall s':>8}  runs")
    for name, runs, commands in rows:
        costs = [[cost(command) for command in commands] for _ in range(runs)]
        cpu = statistics.median(sum(c for c, _ in run) for run in costs)
        wall = statistics.median(sum(w for _, w in run) for run in costs)
        print(f"{name:48} {cpu:8.2f} {wall:8.2f}  {runs}")


if __name__ == "__main__":
    main()
