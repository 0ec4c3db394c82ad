"""Verifies a claimed fused form against its spec: by running it, and by relating its state to a derived one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import sympy as sp

from refold.algebra import Plan, Refusal, State, derive
from refold.spec.mathematics import text
from refold.verify.claim.claim import Claim
from refold.verify.claim.run import subject_of
from refold.verify.claim.simulation import Relation, guarded, readable, something
from refold.verify.deadline import Limit, doing, within
from refold.verify.laws import irregular
from refold.verify.laws.reach import Reach, at_the_end, eq
from refold.verify.obligation import Defined, Obligation, discharge
from refold.verify.processor import work_clock
from refold.verify.refute.divergence import claim_divergence
from refold.verify.refute.replay import arrays, search
from refold.verify.refute.samples import marks_of
from refold.verify.refute.witness import SHORT, lengths_past, witness
from refold.verify.result import Checked, Counterexample, Disproof, Result
from refold.verify.smt.query import answered
from refold.verify.verify import Progress, invariants_of, late, verify, versions

# Seconds of this thread's work for a counterexample, where expressions grow beyond what a solver is asked about.
LOOK = 60.0


def verify_claim(claim: Claim, progress: Progress | None = None, timeout: float | None = None) -> Checked:
    """Proved for every length, split and input; or the smallest input found on which the claim is wrong; or unknown.

    The claim is run beside the spec first. If no input tells them apart, every component of its state is identified
    with an expression over the derived state, and init, step, merge and finish are proved to commute with it. If one
    does, the obligation that fails on it is the one by which the state first leaves what it means.
    After `timeout` seconds in all the verdict is unknown, and says what was at work.
    """
    results: list[Result] = []
    limit = Limit(timeout)
    report = within(limit, lambda: _verify_claim(claim, progress, results))
    return report or Checked(claim.spec, (*results, late(limit)), versions(), claim)


def _verify_claim(claim: Claim, progress: Progress | None, results: list[Result]) -> Checked:
    notify = progress or (lambda _: None)
    notify("running the claim")
    doing("while the claim was run beside the spec")
    marks = marks_of(claim.spec, *claim.exprs)
    found = search(subject_of(claim), merges=claim.merge is not None, empty_parts=claim.empty_parts, marks=marks)
    if found is None:
        found = within(Limit(LOOK, work_clock), lambda: witness(claim, SHORT))
    doing("while the fused form was derived")
    plan, relation = _read(claim, derive(claim.spec), notify)
    if found is None:
        _relate(claim, plan, relation, notify, results)
        if all(r.verdict == "proved" for r in results):
            return Checked(claim.spec, tuple(results), versions(), claim)
        notify("looking for an input")
        doing("while a solver was asked for an input that is wrong")
        found = within(Limit(LOOK, work_clock), lambda: witness(claim, lengths_past(marks)))
    shown = (_refuted(claim, plan, relation, found),) if found is not None else tuple(results)
    return Checked(claim.spec, shown, versions(), claim)


def _read(claim: Claim, plan: Plan | Refusal, notify: Progress) -> tuple[Plan | Refusal, Relation]:
    """What the components of a claim mean, and the plan over whose states."""
    if isinstance(plan, Refusal):
        return plan, {}
    notify("identifying the state")
    doing("while the relation of the state was looked for")
    return readable(claim, plan)


def _relate(claim: Claim, plan: Plan | Refusal, relation: Relation, notify: Progress, results: list[Result]) -> None:
    """Relates the state of a claim to that of the derived form, as far as each can be done."""
    if isinstance(plan, Refusal):
        note = f"the spec itself was not derived: {plan.reason}"
        results.append(Result("derived form", "a proved form to relate to", "unknown", 0.0, "", note=note))
        return
    proof = verify(plan, notify)
    claimed = f"refold's own form of the spec ({len(proof.results)} obligations)"
    results.append(Result("derived form", claimed, proof.verdict, proof.seconds, ""))
    if isinstance(proof, Disproof):
        return
    missing = [n for n, s in zip(claim.names, claim.left, strict=True) if s not in relation]
    if missing:
        results += [Result(f"state {n}", f"what {n} is", "unknown", 0.0, "", note=_unread(plan)) for n in missing]
        return

    def ask(obligation: Obligation) -> Result:
        notify(obligation.name)
        return answered(obligation.name, obligation.claim, discharge(obligation, plan))

    obligations, irregular = _obligations(claim, plan, tuple(relation[s] for s in claim.left))
    for obligation in obligations:
        results.append(_unshown(ask(obligation)))
    for result in irregular(ask):
        results.append(_unshown(result))


def _unshown(result: Result) -> Result:
    """The solver's model is of states; no run from the start has shown it, so it refutes nothing yet."""
    if result.verdict != "refuted":
        return result
    return replace(result, verdict="unknown", note=f"not proved, and no input was found that shows it: {result.note}")


def _refuted(claim: Claim, plan: Plan | Refusal, relation: Relation, example: Counterexample) -> Result:
    """The obligation that a run breaks: the one behind its first wrong state, else that the outputs are the spec's."""
    outputs = ", ".join(o.name for o in claim.spec.outputs)
    name, shown, note = "claim", f"the claimed form computes {outputs}", ""
    if isinstance(plan, Refusal):
        note = f"no derived form to follow the run by: {plan.reason}"
    else:
        divergence, trace = claim_divergence(claim, plan, relation, arrays(claim.spec, example), example.order)
        example = replace(example, divergence=divergence, trace=trace)
        if divergence is not None:
            law, component = divergence.function, divergence.component
            name, shown = f"{law} {component}", _law(claim, law, component)
        unread = [n for n, s in zip(claim.names, claim.left, strict=True) if s not in relation]
        if unread:
            note = f"{', '.join(unread)} followed by its values alone: {_unread(plan)}"
    return Result(name, shown, "refuted", 0.0, "", example, note)


def _law(claim: Claim, function: str, component: str) -> str:
    """One component of a function, as the claim has it."""
    exprs: dict[str, tuple[sp.Expr, ...]] = {
        "init": claim.init, "step": claim.step, "merge": claim.merge or (), "finish": claim.finish,
    }  # fmt: skip
    names = [o.name for o in claim.spec.outputs] if function == "finish" else list(claim.names)
    return f"{component} = {text(exprs[function][names.index(component)])}"


def _unread(plan: Plan) -> str:
    held = ", ".join(str(a.symbol) for a in plan.accumulators)
    return f"no expression over the derived state ({held}) was found for it"


def _obligations(
    claim: Claim, plan: Plan, relation: tuple[sp.Expr, ...]
) -> tuple[list[Obligation], Callable[[irregular.Ask], Iterator[Result]]]:
    """That the relation of a state commutes with init, step, merge and finish, and that all of them are defined."""
    reach: Reach = invariants_of(plan)
    form = reach.monoid
    one, two = form.marked("₁"), form.marked("₂")

    def mean(state: dict[State, sp.Expr]) -> tuple[sp.Expr, ...]:
        return tuple(guarded(plan, m, i, state) for m, i in zip(relation, claim.init, strict=True))

    def put(exprs: tuple[sp.Expr, ...], *states: dict[State, sp.Expr]) -> tuple[sp.Expr, ...]:
        values = {s: v for symbols, state in zip((claim.left, claim.right), states, strict=False)
                  for s, v in zip(symbols, mean(state), strict=True)}  # fmt: skip
        return tuple(e.xreplace(values) for e in exprs)

    # Elements of the plan and of the claim may share names, so that each side is written out by its own.
    derived, claimed = {e.symbol: e.expr for e in plan.elements}, dict(claim.elements)
    names = claim.names
    goals: list[Obligation] = []
    for name, have, want in zip(names, claim.init, mean(form.units()), strict=True):
        goals.append(Obligation(f"init {name}", f"{name} = {text(have)} of no element", (), (eq(have, want),)))
    element = form.lifted()
    # Where an element of the spec has no value, nothing is claimed of it.
    written = tuple(Defined(e) for e in derived.values())
    known = (*reach.state(one), *written)
    after = mean({s: v.xreplace(derived) for s, v in form.combined(one, element).items()})
    stepped = tuple(e.xreplace(claimed) for e in put(claim.step, one))
    for n, name in enumerate(names):
        shown = f"{name} is {text(relation[n])} after a step: {text(claim.step[n])}"
        goals.append(Obligation(f"step {name}", shown, known, (eq(after[n], stepped[n]),)))
        goals.append(
            Obligation(f"step {name}: defined", f"{text(claim.step[n])} is defined", known, (Defined(stepped[n]),))
        )
    if claim.merge is not None:
        # A part that is not empty may still be masked as a whole, if anything is masked.
        held = not claim.empty_parts and not any(e.infinite for e in plan.elements)
        known = (
            *reach.state(one),
            *reach.state(two),
            *((*something(plan, one), *something(plan, two)) if held else ()),
        )
        after, merged = mean(form.combined(one, two)), put(claim.merge, one, two)
        for n, name in enumerate(names):
            shown = f"{name} is {text(relation[n])} after a merge: {text(claim.merge[n])}"
            goals.append(Obligation(f"merge {name}", shown, known, (eq(after[n], merged[n]),)))
            goals.append(
                Obligation(f"merge {name}: defined", f"{text(claim.merge[n])} is defined", known, (Defined(merged[n]),))
            )
    state = {a.symbol: a.symbol for a in plan.accumulators}
    for f, expr in zip(plan.finish, put(claim.finish, state), strict=True):
        member = tuple(g.xreplace(derived) for g in reach.member(state)) if plan.axis in f.axes else ()
        guard = (f.guard,) if f.guard is not sp.true else ()
        assumptions = (
            *reach.state(state),
            *at_the_end(plan, f.expr, expr),
            *member,
            *guard,
            *something(plan, state),
            *(written if f.axes and plan.axis in f.axes else ()),
        )
        goals.append(
            Obligation(
                f"finish {f.name}", f"{f.name} = {text(f.expr)}", assumptions, (eq(f.expr, expr.xreplace(claimed)),)
            )
        )
    ended = tuple(e.xreplace(claimed) for e in put(claim.finish, state))
    return goals, lambda ask: irregular.claimed(plan, reach, ended, ask)
