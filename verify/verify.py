"""Verifies a plan: finds its invariants, discharges its obligations, replays what is refuted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sympy.core.cache import clear_cache

from refold.algebra import Gradient, Plan, Refusal, Staged
from refold.algebra.monoid import monoid
from refold.errors import RefoldError, within_depth
from refold.spec import Spec
from refold.verify.certificate import comparison
from refold.verify.claim.claim import Claim
from refold.verify.deadline import Limit, doing, within
from refold.verify.kernel.indexing import index_questions
from refold.verify.kernel.questions import answer
from refold.verify.kernel.refinement import refinement
from refold.verify.laws import invariants, irregular, obligations, safety, structure
from refold.verify.laws.reach import Reach
from refold.verify.obligation import Alternatives, Obligation, discharge
from refold.verify.refute.divergence import plan_divergence
from refold.verify.refute.replay import Subject, arrays, run_form, search
from refold.verify.refute.violation import violated
from refold.verify.result import Checked, Counterexample, Disproof, Proof, Result, joined
from refold.verify.smt.formulas import own_context
from refold.verify.smt.query import answered

if TYPE_CHECKING:
    from refold.verify.differentiated import Differentiated
    from refold.verify.staged import Composed

T = TypeVar("T")
Progress = Callable[[str], None]
INDUCTION = "holds of no element, of one element, and of every merge"


@overload
def verify(
    plan: Plan, progress: Progress | None = None, timeout: float | None = None, *, stop: bool = False
) -> Proof | Disproof: ...


@overload
def verify(plan: Claim, progress: Progress | None = None, timeout: float | None = None) -> Checked: ...


@overload
def verify(plan: Gradient, progress: Progress | None = None, timeout: float | None = None) -> Differentiated: ...


@overload
def verify(plan: Staged, progress: Progress | None = None, timeout: float | None = None) -> Composed: ...


def verify(
    plan: Plan | Claim | Staged | Gradient,
    progress: Progress | None = None,
    timeout: float | None = None,
    *,
    stop: bool = False,
) -> Proof | Disproof | Checked | Composed | Differentiated:
    """Discharges every obligation of a plan; a `Proof` where all are proved, else a `Disproof`.

    Of a claimed form it gives what was `Checked`, of stages what is `Composed` of them, of a gradient what of it is
    `Differentiated`, whose verdicts say the same.

    The verdict holds for every length of the fold axis, every split of it into parts and every order of merging,
    over the extended reals. `progress` is called with the name of each obligation before it is asked.
    After `timeout` seconds in all the verdict is unknown, and says what was at work. With `stop` the first that is
    not proved is the last that is asked, which changes no verdict: a run decides between the others.
    """
    if isinstance(plan, Claim):
        from refold.verify.claim.verify import verify_claim

        return verify_claim(plan, progress, timeout)
    if isinstance(plan, Staged):
        from refold.verify.staged import verify_stages

        return verify_stages(plan, progress, timeout)
    if isinstance(plan, Gradient):
        from refold.verify.differentiated import verify_gradient

        return verify_gradient(plan, progress, timeout)
    if not isinstance(plan, Plan):
        raise TypeError(_advice(plan))
    results: list[Result] = []
    limit = Limit(timeout)
    report = within(limit, lambda: _verify(plan, progress, results, stop=stop))
    return report or Disproof(plan, (*_unshown(results), late(limit)), versions())


def derive_within(spec: Spec, timeout: float | None, derivation: Callable[[Spec], T]) -> T | Checked:
    """What a derivation gives of a pipeline; a report that says so where the time runs out first."""
    limit = Limit(timeout)

    def work() -> T:
        doing("while the fused form was derived")
        return derivation(spec)

    return within(limit, work) or Checked(spec, (late(limit),), versions())


def late(limit: Limit) -> Result:
    """What a limit that ran out leaves open."""
    return Result("time", f"every answer within {limit.seconds:g} s", "unknown", limit.seconds or 0.0, "",
                  note=limit.note)  # fmt: skip


def _unshown(results: list[Result]) -> Iterator[Result]:
    """What was answered before the time ran out; a refutation that no run has shown yet is none."""
    for r in results:
        yield r if r.verdict != "refuted" or r.counterexample is not None else replace(r, verdict="unknown")


@within_depth()
def _verify(plan: Plan, progress: Progress | None, results: list[Result], *, stop: bool) -> Proof | Disproof:
    # What SymPy makes of a sum with an infinity hangs on what it keeps of other pipelines: a certificate must not.
    clear_cache()
    notify = progress or (lambda _: None)
    shape = _shape(plan)
    results.append(shape)
    if shape.verdict != "proved":
        # The obligations speak of plans of this shape alone.
        return Disproof(plan, _replayed(plan, (shape,)), versions())
    reach, proved = _find_invariants(plan, notify)
    results += proved
    for alternatives in _all(plan, reach):
        notify(alternatives[0].name)
        results.append(_strongest(alternatives, plan))
        if stop and results[-1].verdict != "proved":
            return Disproof(plan, _replayed(plan, tuple(results)), versions())
    for needed in safety.output_conditions(plan, reach):
        notify(needed.whole.name)
        results.append(_conditions(needed, plan))
    for alternatives in (*safety.ranges(plan, reach), *safety.denominators(plan, reach)):
        notify(alternatives[0].name)
        results.append(_strongest(alternatives, plan))
    results += irregular.checked(plan, reach, lambda o: _result(o, plan))
    results += _short_runs(plan)
    # What is about tiles shows in no run of the plan, which has none: these bring their own numbers.
    results[:] = _replayed(plan, tuple(results))
    with own_context():
        for question in index_questions(plan):
            notify(question.name)
            results.append(answer(question))
    if all(r.verdict == "proved" for r in results):
        # What no kernel can be right about is asked of none.
        doing("while the kernels were executed")
        with own_context():
            results += refinement(plan, reach)
    settled = tuple(results)
    return (Proof if all(r.verdict == "proved" for r in settled) else Disproof)(plan, settled, versions())


def invariants_of(plan: Plan) -> Reach:
    """What is known of the reachable states of a plan."""
    return _find_invariants(plan, lambda _: None)[0]


def versions() -> tuple[tuple[str, str], ...]:
    """The versions of whatever a verdict rests on."""
    return (("refold", _version("refold")), ("sympy", _version("sympy")), ("z3", _version("z3-solver")),
            ("cvc5", _version("cvc5")))  # fmt: skip


def _find_invariants(plan: Plan, notify: Progress) -> tuple[Reach, list[Result]]:
    reach = Reach.of(plan)
    results: list[Result] = []
    for a in plan.accumulators:
        for formula, shown in invariants.candidates(plan, a):
            notify(f"invariant {a.symbol}")
            found = []
            for question in invariants.questions(reach, a, formula, shown):
                found.append(_result(question, plan))
                if found[-1].verdict != "proved":
                    break
            else:
                reach = reach.knowing(a.symbol, formula, shown)
                results.append(joined(f"invariant {a.symbol}", shown, found, INDUCTION))
    return reach, results


def _shape(plan: Plan) -> Result:
    """What the obligations take for granted: who reads what, in which order, and which reducer stands for which."""
    found = structure.faults(plan)
    claim = "every law reads only what it has: elements no fold, sums their own anchors, outputs the final state"
    return Result(
        "structure", claim, "unknown" if found else "proved", 0.0, "", note="; ".join(found) or "by inspection"
    )


def _short_runs(plan: Plan) -> tuple[Result, ...]:
    """A run of few positions, or none, that shows a difference, where there is one: a second look."""
    doing("while lengths 0, 1 and 2 were run")
    example = _search(plan, lengths=(0, 1, 2), others=(1, 3), tries=1)
    return () if example is None else (_ran(example),)


def _ran(example: Counterexample | None = None) -> Result:
    return Result("run", "the plan computes the spec", "refuted", 0.0, "", example, "by running both")


def _search(plan: Plan, **sizes: Any) -> Counterexample | None:
    form = monoid(plan)
    subject = Subject(plan.spec, plan.axis, lambda inputs, order: run_form(form, inputs, order))
    return search(subject, merges=True, empty_parts=True, **sizes)


def _replayed(plan: Plan, results: tuple[Result, ...]) -> tuple[Result, ...]:
    """A refutation stands only where a run of the plan shows it; otherwise nothing is known."""
    if all(r.verdict == "proved" for r in results) or comparison.read() is not None:
        return results
    example = next((r.counterexample for r in results if r.counterexample is not None), None)
    doing("while an input was searched that shows a difference")
    try:
        example = example or _search(plan)
        example = example and _traced(plan, example)
    except (ArithmeticError, KeyError, LookupError, RefoldError, TypeError, ValueError):
        # A plan of the wrong shape need not run at all.
        example = None
    settled = tuple(_shown(plan, r, example) if r.verdict == "refuted" else r for r in results)
    if example is not None and not any(r.verdict == "refuted" for r in settled):
        settled = (*settled, _ran(example))
    return settled


def _shown(plan: Plan, result: Result, example: Counterexample | None) -> Result:
    """A refutation with the run that violates what it refutes; without one nothing is known."""
    if example is None:
        return replace(result, verdict="unknown", note=_unseen(result, "no input was found that shows a difference"))
    question = result.question
    if question is not None and not violated(question, plan, arrays(plan.spec, example), example.order):
        said = "the input that shows a difference does not show this one"
        return replace(result, verdict="unknown", note=_unseen(result, said))
    # The input says more than the solver's values, which no state of a run need have.
    return replace(result, counterexample=example, note="" if result.smt2 else result.note)


def _unseen(result: Result, said: str) -> str:
    values = f"; the solver's values for it are {result.note}" if result.note else ""
    return f"not proved, and {said}{values}"


def _traced(plan: Plan, example: Counterexample) -> Counterexample:
    """A counterexample with the states of its run, and the first of them that is wrong."""
    divergence, trace = plan_divergence(plan, arrays(plan.spec, example), example.order)
    return replace(example, divergence=divergence, trace=trace)


def _advice(plan: object) -> str:
    if isinstance(plan, Refusal):
        return f"verify takes a Plan, and derive refused this pipeline: {plan.reason}; {plan.advice}"
    if isinstance(plan, Spec):
        return "verify takes a Plan and got a Spec: write verify(derive(spec))"
    return f"verify takes a Plan and got a {type(plan).__name__}: write verify(derive(spec))"


def _all(plan: Plan, reach: Reach) -> Iterator[Alternatives]:
    before = (obligations.corrections, obligations.units, obligations.lifts, obligations.masked)
    yield from ((obligation,) for of in before for obligation in of(plan, reach))
    yield from obligations.merges(plan, reach)
    yield from ((obligation,) for of in (obligations.finishes, safety.conditions) for obligation in of(plan, reach))


def _strongest(alternatives: Alternatives, plan: Plan) -> Result:
    """The first of some obligations that is proved, else what became of the last and weakest."""
    for obligation in alternatives[:-1]:
        found = _result(obligation, plan)
        if found.verdict == "proved":
            return found
    return _result(alternatives[-1], plan)


def _conditions(needed: safety.Conditions, plan: Plan) -> Result:
    """All that an output needs at once, or one by one, what the pipeline as written needs too among it."""
    found = _result(needed.whole, plan)
    if found.verdict == "proved":
        return found
    parts = [_strongest(alternatives, plan) for alternatives in needed.parts]
    failed = next((p for p in parts if p.verdict != "proved"), None)
    note = "; ".join(dict.fromkeys(p.note for p in parts if p.note))
    return failed or joined(found.name, "; ".join(p.claim for p in parts), parts, note)


def _result(obligation: Obligation, plan: Plan) -> Result:
    found = answered(obligation.name, obligation.claim, discharge(obligation, plan))
    return replace(found, note=obligation.note) if found.verdict == "proved" else replace(found, question=obligation)


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "0.1.0"
