"""Judges every mutant of every example's plan, or of its emitted kernels, and prints a table of what became of them.

    python bench/mutants.py plans [EXAMPLE ...]
    python bench/mutants.py kernels [EXAMPLE ...] [--every N]

`--every N` takes every N-th mutant. What survives is printed with its reason; a line that begins with `?` has none.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
COLUMNS = ("refuted", "equivalent", "explained", "unexplained")


def of_plans(name: str, every: int) -> Iterator[tuple[str, str, str]]:
    """What became of the mutants of a plan: name, fate, reason."""
    from mutation import judge, mutants

    for mutant in mutants(name)[::every]:
        outcome = judge(mutant)
        yield mutant.name, outcome.fate, outcome.reason


def of_kernels(name: str, every: int) -> Iterator[tuple[str, str, str]]:
    """What became of the mutants of a kernel; in a process of its own, whose triton interprets."""
    from kernel_mutation import explanation

    command = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "kernel_mutation.py"), name, str(every)]
    env = os.environ | {"TRITON_INTERPRET": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = json.loads(line)
            reason = explanation(found["mutant"])
            survived = "explained" if reason else "unexplained"
            yield found["mutant"], survived if found["killed"] is None else "refuted", reason or ""
    if process.returncode:
        raise SystemExit(f"{name}: the kernels could not be run")


def main() -> None:
    """Prints the survivors of each example, then a row a kind of fate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("plans", "kernels"))
    parser.add_argument("examples", nargs="*")
    parser.add_argument("--every", type=int, default=1)
    given = parser.parse_args()
    names = given.examples or sorted(p.stem for p in (ROOT / "examples").glob("[!_]*.py"))
    rows = []
    for name in names:
        start, fates = time.perf_counter(), Counter[str]()
        for mutant, fate, reason in (of_plans if given.what == "plans" else of_kernels)(name, given.every):
            fates[fate] += 1
            if fate != "refuted":
                print(f"{'?' if fate == 'unexplained' else ' '} {mutant}: {fate}: {reason}", flush=True)
        rows.append((name, fates, time.perf_counter() - start))
    print(f"\n{'example':32} {'mutants':>8} " + " ".join(f"{c:>12}" for c in COLUMNS) + f" {'wall s':>8}")
    for name, fates, seconds in [*rows, ("in all", sum((f for _, f, _ in rows), Counter()), sum(s for *_, s in rows))]:
        print(f"{name:32} {fates.total():8} " + " ".join(f"{fates[c]:12}" for c in COLUMNS) + f" {seconds:8.0f}")


if __name__ == "__main__":
    main()
