"""Verifies a plan: finds its invariants, discharges its obligations, replays what is refuted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from refold.algebra import Plan, Refusal
from refold.errors import RefoldError
from refold.spec import Spec
from refold.verify import invariants, nothing, obligations, safety, structure
from refold.verify.certificate import joined_scripts
from refold.verify.deadline import limited, ran_out
from refold.verify.indexing import index_questions
from refold.verify.obligation import Obligation, answered, discharge
from refold.verify.parting import plan_parting
from refold.verify.questions import answer
from refold.verify.reach import Reach
from refold.verify.replay import arrays, run_plan, search
from refold.verify.result import Counterexample, Disproof, Proof, Result, Verdict

Progress = Callable[[str], None]


def verify(
    plan: Plan, progress: Progress | None = None, timeout: float | None = None, *, stop: bool = False
) -> Proof | Disproof:
    """Discharges every obligation of a plan; a `Proof` where all are proved, else a `Disproof`.

    The verdict holds for every length of the fold axis, every split of it into parts and every order of merging,
    over the extended reals. `progress` is called with the name of each obligation before it is asked.
    What is not answered after `timeout` seconds in all is unknown. With `stop` the first that is not proved is the
    last that is asked, which changes no verdict: a run decides between the others.
    """
    with limited(timeout):
        return _verify(plan, progress, stop)


def _verify(plan: Plan, progress: Progress | None, stop: bool) -> Proof | Disproof:
    if not isinstance(plan, Plan):
        raise TypeError(_advice(plan))
    notify = progress or (lambda _: None)
    shape = _shape(plan)
    if shape.verdict != "proved":
        # The obligations speak of plans of this shape alone.
        return Disproof(plan, _replayed(plan, (shape,)), versions())
    reach, results = _find_invariants(plan, notify)
    results.insert(0, shape)
    for obligation in _all(plan, reach):
        notify(obligation.name)
        results.append(_result(obligation, plan))
        if stop and results[-1].verdict != "proved":
            return Disproof(plan, _replayed(plan, tuple(results)), versions())
    for bounds in safety.denominators(plan, reach):
        notify(bounds[0].name)
        results.append(_strongest(bounds, plan))
    results.append(_nothing(plan))
    # What is about tiles shows in no run of the plan, which has none: these bring their own numbers.
    settled = (*_replayed(plan, tuple(results)), *_index(plan, notify))
    proved = all(r.verdict == "proved" for r in settled)
    return (Proof if proved else Disproof)(plan, settled, versions())


def _index(plan: Plan, notify: Progress) -> Iterator[Result]:
    for question in index_questions(plan):
        notify(question.name)
        yield answer(question)


def invariants_of(plan: Plan) -> Reach:
    """What is known of the reachable states of a plan."""
    return _find_invariants(plan, lambda _: None)[0]


def versions() -> tuple[tuple[str, str], ...]:
    """The versions of whatever a verdict rests on."""
    return (("refold", _version("refold")), ("sympy", _version("sympy")), ("z3", _version("z3-solver")),
            ("cvc5", _version("cvc5")))  # fmt: skip


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


def _shape(plan: Plan) -> Result:
    """What the obligations take for granted: who reads what, in which order, and which reducer stands for which."""
    found = structure.faults(plan)
    claim = "every law reads only what it has: elements no fold, sums their own anchors, outputs the final state"
    return Result(
        "structure", claim, "unknown" if found else "proved", 0.0, "", note="; ".join(found) or "by inspection"
    )


def _nothing(plan: Plan) -> Result:
    """The outputs of an axis of no position, of rows without an unmasked one, and of parts that are empty."""
    start = time.perf_counter()
    example = _search(plan, lengths=(0, 1, 2), others=(1, 3), tries=1)
    claim = "of nothing, and of what is masked, the outputs are the spec's"
    verdict: Verdict = "refuted" if example is not None else "unknown" if ran_out() else "proved"
    note = ran_out() or "by running both: lengths 0, 1, 2 beside others of 1 and 3, parts that hold nothing among them"
    if reasons := nothing.uncovered(plan):
        note += f"; not proved beyond them: {'; '.join(reasons)}"
    return Result("empty", claim, verdict, time.perf_counter() - start, "", example, note)


def _search(plan: Plan, **sizes: Any) -> Counterexample | None:
    return search(
        plan.spec,
        plan.axis,
        lambda inputs, order: run_plan(plan, inputs, order),
        merges=True,
        empty_parts=True,
        **sizes,
    )


def _replayed(plan: Plan, results: tuple[Result, ...]) -> tuple[Result, ...]:
    """A refutation stands only where a run of the plan shows it; otherwise nothing is known."""
    if all(r.verdict == "proved" for r in results):
        return results
    example = next((r.counterexample for r in results if r.counterexample is not None), None)
    try:
        example = example or _search(plan)
        example = example and _traced(plan, example)
    except (ArithmeticError, KeyError, LookupError, RefoldError, TypeError, ValueError):
        # A plan of the wrong shape need not run at all.
        example = None
    if example is None:
        note = "the solver has a model, and no input was found that shows a difference: "
        return tuple(
            replace(r, verdict="unknown", note=note + r.note) if r.verdict == "refuted" else r for r in results
        )
    if not any(r.verdict == "refuted" for r in results):
        results = (*results, Result("run", "the plan computes the spec", "refuted", 0.0, "", note="by running both"))
    return tuple(replace(r, counterexample=example) if r.verdict == "refuted" else r for r in results)


def _traced(plan: Plan, example: Counterexample) -> Counterexample:
    """A counterexample with the states of its run, and the first of them that is wrong."""
    parting, trace = plan_parting(plan, arrays(plan.spec, example), example.order)
    return replace(example, parting=parting, trace=trace)


def _advice(plan: object) -> str:
    if isinstance(plan, Refusal):
        return f"verify takes a Plan, and derive refused this pipeline: {plan.reason}; {plan.advice}"
    if isinstance(plan, Spec):
        return "verify takes a Plan and got a Spec: write verify(derive(spec))"
    return f"verify takes a Plan and got a {type(plan).__name__}: write verify(derive(spec))"


def _all(plan: Plan, reach: Reach) -> Iterator[Obligation]:
    yield from obligations.corrections(plan, reach)
    yield from obligations.units(plan, reach)
    yield from obligations.lifts(plan, reach)
    yield from obligations.masked(plan, reach)
    yield from obligations.merges(plan, reach)
    yield from obligations.finishes(plan, reach)
    yield from nothing.outputs(plan, reach)
    yield from safety.conditions(plan, reach)
    yield from safety.ranges(plan, reach)


def _strongest(obligations: tuple[Obligation, ...], plan: Plan) -> Result:
    """The first of some bounds that is proved, else what became of the last and weakest."""
    for obligation in obligations[:-1]:
        found = _result(obligation, plan)
        if found.verdict == "proved":
            return found
    return _result(obligations[-1], plan)


def _result(obligation: Obligation, plan: Plan) -> Result:
    answer = discharge(obligation, plan)
    return answered(obligation.name, obligation.claim, answer)


def _joined(name: str, claim: str, parts: list[Result]) -> Result:
    proof = tuple(c for p in parts for c in p.proof)
    note = "holds of nothing, of one element, and of every merge"
    return Result(name, claim, "proved", sum(p.seconds for p in parts), joined_scripts(proof), note=note, proof=proof)


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "0.1.0"
