"""Questions about all finite numbers, and several of them as one result: what says that two sums are one."""

from __future__ import annotations

from dataclasses import replace

from refold.verify.certificate.comparison import query_context
from refold.verify.deadline import doing
from refold.verify.obligation import Obligation, query_of_numbers
from refold.verify.result import Result, joined
from refold.verify.smt.query import answered
from refold.verify.smt.solver import ask


def of_numbers(obligation: Obligation) -> Result:
    """The solvers' answer to an obligation about finite numbers."""
    doing(f"while {obligation.name} was asked")
    with query_context():
        return answered(obligation.name, obligation.claim, ask(query_of_numbers(obligation)))


def together(name: str, claim: str, results: list[Result], note: str) -> Result:
    """One result of those that a claim rests on, proved where all are; unknown, with the first that is not, elsewhere.

    What is refuted is so of numbers, and not by a run.
    """
    failed = next((r for r in results if r.verdict != "proved"), None)
    if failed is not None:
        return replace(failed, name=name, claim=claim, verdict="unknown", note=f"not shown: {failed.claim}")
    return joined(name, claim, results, note)
