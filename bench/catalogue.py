"""Verifies the catalogue afresh, in warm processes, and prints what each entry is and takes: `catalogue.py [NAME ...]`.

Seconds are those of the processor, cvc5's among them, so that others at work on the machine count for little.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from refold.algebra import Plan, Refusal, stages
from refold.report.loading import catalogue, load
from refold.verify import verify
from refold.verify.smt import second


@dataclass(frozen=True, slots=True)
class Row:
    """One entry: its stages, its accumulators in all of them, the largest rank, the verdict, and what it took."""

    name: str
    stages: int
    accumulators: int
    rank: int
    verdict: str
    obligations: int
    seconds: float

    def __str__(self) -> str:
        numbers = f"{self.rank} | {self.accumulators} | {self.stages} | {self.obligations} | {self.seconds:.1f}"
        return f"| {self.name} | {self.verdict} | {numbers} |"


def row(name: str) -> Row:
    """Derives and verifies one entry; nothing that was kept is looked at."""
    spec = load(name).value
    start, others = time.process_time(), second.seconds()
    outcome = stages(spec)
    plans = () if isinstance(outcome, Refusal) else (outcome,) if isinstance(outcome, Plan) else outcome.plans
    report = None if isinstance(outcome, Refusal) else verify(outcome)
    seconds = time.process_time() - start + second.seconds() - others
    accumulators = [a for p in plans for a in p.accumulators]
    verdict, count = ("refused", 0) if report is None else (report.verdict, len(report.results))
    rank = max((a.rank for a in accumulators), default=0)
    return Row(name, len(plans), len(accumulators), rank, verdict, count, seconds)


def main() -> None:
    """Prints the table as markdown, then the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="those of the catalogue that are verified: all, where none is named")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    given = parser.parse_args()
    names, start, rows = given.names or [path.stem for path in catalogue()], time.perf_counter(), []
    print("| entry | verdict | rank | accumulators | stages | obligations | CPU s |\n|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool:
        for found in pool.map(row, names):
            rows.append(found)
            print(found, flush=True)
    total, wall, longest = sum(r.seconds for r in rows), time.perf_counter() - start, max(r.seconds for r in rows)
    proved = sum(r.verdict == "proved" for r in rows)
    print(f"\n{len(rows)} entries, {proved} proved: {total:.0f} s of CPU, the longest {longest:.1f} s, "
          f"{wall:.0f} s in {given.jobs} processes")  # fmt: skip


if __name__ == "__main__":
    main()
