"""Judges every mutant of every example's plan, or of its kernels, and prints a table of what became of them.

    python bench/mutants.py plans [EXAMPLE ...]
    python bench/mutants.py kernels [EXAMPLE ...] [--every N] [--no-runs]

`--every N` takes every N-th mutant, of each example from another one on. Mutants of kernels are those of the module,
which obligations refute, and those of its text, which Triton's front end or what it reads refutes; what is left is run,
but for `--no-runs`. What survives is printed with its reason; a line that begins with `?` has none, and one with `!` is
another function, as a run showed and nothing before.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
PLANS = ("refuted", "equivalent", "explained", "unexplained")
KERNELS = ("refinement", "index", "front end", "validation", "run", "explained", "unexplained")
Row = tuple[str, str, str]


def of_plans(name: str, every: int, first: int) -> Iterator[Row]:
    """What became of the mutants of a plan: name, fate, reason."""
    from mutation import judge, mutants

    for mutant in mutants(name)[first::every]:
        outcome = judge(mutant)
        yield mutant.name, outcome.fate, outcome.reason


def of_kernels(name: str, every: int, first: int, kind: str, *, runs: bool) -> Iterator[Row]:
    """What became of the mutants of a module or of its text; an obligation by its first word."""
    from judging import of_modules, of_texts

    for fate in (of_modules if kind == "module" else of_texts)(name, every, first, runs=runs):
        survived = "explained" if fate.reason else "unexplained"
        kind_of_obligation = next((c for c in KERNELS if fate.reason.startswith(c)), fate.reason)
        yield fate.mutant, kind_of_obligation if fate.what == "obligation" else fate.what or survived, fate.reason


def count(of: Iterator[Row]) -> Counter[str]:
    """How many mutants have which fate; the survivors are printed, and what a run alone refutes."""
    fates = Counter[str]()
    for mutant, fate, reason in of:
        fates[fate] += 1
        if fate in ("run", "equivalent", "explained", "unexplained"):
            mark = {"unexplained": "?", "run": "!"}.get(fate, " ")
            print(f"{mark} {mutant}: {fate}: {reason}", flush=True)
    return fates


def main() -> None:
    """Prints the survivors of each example, then a row a kind of mutant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("plans", "kernels"))
    parser.add_argument("examples", nargs="*")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--no-runs", action="store_true")
    given = parser.parse_args()
    names = given.examples or sorted(p.stem for p in (ROOT / "examples").glob("[!_]*.py"))
    rows = []
    for n, name in enumerate(names):
        # Other mutants of every example, so that a part of them is one of all of their kinds.
        first = n * given.every // len(names)
        if given.what == "plans":
            kinds = {name: of_plans(name, given.every, first)}
        else:
            kinds = {f"{name}, {kind}": of_kernels(name, given.every, first, kind, runs=not given.no_runs)
                     for kind in ("module", "text")}  # fmt: skip
        for row, fates in kinds.items():
            start = time.perf_counter()
            rows.append((row, count(fates), time.perf_counter() - start))
    columns = PLANS if given.what == "plans" else KERNELS
    print(f"\n{'example':32} {'mutants':>8} " + " ".join(f"{c:>12}" for c in columns) + f" {'wall s':>8}")
    for row, counts, seconds in [*rows, ("in all", sum((f for _, f, _ in rows), Counter()), sum(s for *_, s in rows))]:
        print(f"{row:32} {counts.total():8} " + " ".join(f"{counts[c]:12}" for c in columns) + f" {seconds:8.0f}")


if __name__ == "__main__":
    main()
