"""Verifies a plan: finds its invariants, discharges its obligations, replays what is refuted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version

from refold.algebra import Plan
from refold.algebra.run import run
from refold.verify import invariants, obligations
from refold.verify.obligation import Obligation, discharge
from refold.verify.obligations import Reach
from refold.verify.replay import search
from refold.verify.result import Disproof, Proof, Result

Progress = Callable[[str], None]


def verify(plan: Plan, progress: Progress | None = None) -> Proof | Disproof:
    """Discharges every obligation of a plan; a `Proof` where all are proved, else a `Disproof`.

    The verdict holds for every length of the fold axis, every split of it into parts and every order of merging,
    over the extended reals. `progress` is called with the name of each obligation before it is asked.
    """
    notify = progress or (lambda _: None)
    reach, results = _find_invariants(plan, notify)
    for obligation in _all(plan, reach):
        notify(obligation.name)
        results.append(_result(obligation, plan))
    settled = _replayed(plan, tuple(results))
    proved = all(r.verdict == "proved" for r in settled)
    return (Proof if proved else Disproof)(plan, settled, versions())


def invariants_of(plan: Plan) -> Reach:
    """What is known of the reachable states of a plan."""
    return _find_invariants(plan, lambda _: None)[0]


def versions() -> tuple[tuple[str, str], ...]:
    """The versions of whatever a verdict rests on."""
    return (("refold", _version("refold")), ("sympy", _version("sympy")), ("z3", _version("z3-solver")))


def _find_invariants(plan: Plan, notify: Progress) -> tuple[Reach, list[Result]]:
    reach = Reach(plan)
    results: list[Result] = []
    for a in plan.accumulators:
        for formula, shown in invariants.candidates(plan, a):
            notify(f"invariant {a.symbol}")
            found = []
            for question in invariants.questions(plan, reach, a, formula, shown):
                found.append(_result(question, plan))
                if found[-1].verdict != "proved":
                    break
            else:
                reach = Reach(plan, (*reach.invariants, (a.symbol, formula, shown)))
                results.append(_joined(f"invariant {a.symbol}", shown, found))
    return reach, results


def _replayed(plan: Plan, results: tuple[Result, ...]) -> tuple[Result, ...]:
    """A refutation stands only where a run of the plan shows it; otherwise nothing is known."""
    if not any(r.verdict == "refuted" for r in results):
        return results
    example = search(plan.spec, plan.axis, lambda inputs, order: run(plan, inputs, order), merges=True, empty_parts=True)
    if example is not None:
        return tuple(replace(r, counterexample=example) if r.verdict == "refuted" else r for r in results)
    note = "the solver has a model, and no input was found that shows a difference: "
    return tuple(replace(r, verdict="unknown", note=note + r.note) if r.verdict == "refuted" else r for r in results)


def _all(plan: Plan, reach: Reach) -> Iterator[Obligation]:
    yield from obligations.corrections(plan, reach)
    yield from obligations.units(plan, reach)
    yield from obligations.lifts(plan, reach)
    yield from obligations.merges(plan, reach)
    yield from obligations.finishes(plan, reach)
    yield from obligations.conditions(plan, reach)
    yield from obligations.ranges(plan, reach)


def _result(obligation: Obligation, plan: Plan) -> Result:
    answer = discharge(obligation, plan)
    return Result(obligation.name, obligation.claim, answer.verdict, answer.seconds, answer.smt2, note=answer.note)


def _joined(name: str, claim: str, parts: list[Result]) -> Result:
    return Result(name, claim, "proved", sum(p.seconds for p in parts), "\n".join(p.smt2 for p in parts),
                  note="holds of nothing, of one element, and of every merge")  # fmt: skip


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "0.1.0"
