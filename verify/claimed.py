"""Verifies a claimed fused form against its spec: by running it, and by relating its state to a derived one."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from refold.algebra import Plan, Refusal, State, derive
from refold.algebra.derive import fold_axis
from refold.algebra.merge import fresh_symbols, lift, merge, unit
from refold.spec.mathematics import text
from refold.verify.claim import Claim
from refold.verify.claim_run import run_claim
from refold.verify.deadline import limited, ran_out
from refold.verify.meaning import guarded, read_state, something
from refold.verify.obligation import Defined, Obligation, answered, discharge
from refold.verify.parting import claim_parting
from refold.verify.reach import Reach, eq
from refold.verify.replay import arrays, search
from refold.verify.result import Checked, Counterexample, Disproof, Result
from refold.verify.verify import Progress, invariants_of, verify, versions


def verify_claim(claim: Claim, progress: Progress | None = None, timeout: float | None = None) -> Checked:
    """Proved for every length, split and input; or the smallest input found on which the claim is wrong; or unknown.

    The claim is run beside the spec first. If no input tells them apart, every component of its state is identified
    with an expression over the derived state, and init, step, merge and finish are proved to commute with it. If one
    does, the obligation that fails on it is the one by which the state first leaves what it means.
    What is not answered after `timeout` seconds in all is unknown.
    """
    with limited(timeout):
        return _verify_claim(claim, progress)


def _verify_claim(claim: Claim, progress: Progress | None) -> Checked:
    notify = progress or (lambda _: None)
    notify("running the claim")
    found = search(
        claim.spec, fold_axis(claim.spec), lambda inputs, order: run_claim(claim, inputs, order),
        merges=claim.merge is not None, empty_parts=claim.empty_parts,
    )  # fmt: skip
    plan = derive(claim.spec)
    if found is not None:
        return Checked(claim.spec, (_refuted(claim, plan, found),), versions())
    if isinstance(plan, Refusal):
        note = f"the spec itself was not derived: {plan.reason}"
        unknown = Result("derived form", "a proved form to relate to", "unknown", 0.0, "", note=note)
        return Checked(claim.spec, (unknown,), versions())
    proof = verify(plan, progress)
    basis = Result(
        "derived form",
        f"refold's own form of the spec ({len(proof.results)} obligations)",
        proof.verdict,
        proof.seconds,
        "",
        note=ran_out(),
    )
    if isinstance(proof, Disproof):
        return Checked(claim.spec, (basis,), versions())
    notify("identifying the state")
    meaning = read_state(claim, plan)
    missing = [n for n, s in zip(claim.names, claim.left, strict=True) if s not in meaning]
    if missing:
        note = _unread(plan)
        nothing = (Result(f"state {n}", f"what {n} is", "unknown", 0.0, "", note=note) for n in missing)
        return Checked(claim.spec, (basis, *nothing), versions())
    results = []
    for obligation in _obligations(claim, plan, tuple(meaning[s] for s in claim.left)):
        notify(obligation.name)
        answer = discharge(obligation, plan)
        if answer.verdict == "refuted":
            # The solver's model is of states; no run from the start has shown it, so it refutes nothing yet.
            note = f"not proved, and no input was found that shows it: {answer.note}"
            answer = replace(answer, verdict="unknown", note=note)
        results.append(answered(obligation.name, obligation.claim, answer))
    return Checked(claim.spec, (basis, *results), versions())


def _refuted(claim: Claim, plan: Plan | Refusal, example: Counterexample) -> Result:
    """The obligation that a run breaks: the one behind its first wrong state, else that the outputs are the spec's."""
    outputs = ", ".join(o.name for o in claim.spec.outputs)
    name, shown, note = "claim", f"the claimed form computes {outputs}", ""
    if isinstance(plan, Refusal):
        note = f"no derived form to follow the run by: {plan.reason}"
    else:
        meaning = read_state(claim, plan)
        parting, trace = claim_parting(claim, plan, meaning, arrays(claim.spec, example), example.order)
        example = replace(example, parting=parting, trace=trace)
        if parting is not None:
            name, shown = f"{parting.function} {parting.component}", _law(claim, parting.function, parting.component)
        unread = [n for n, s in zip(claim.names, claim.left, strict=True) if s not in meaning]
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


def _obligations(claim: Claim, plan: Plan, meaning: tuple[sp.Expr, ...]) -> list[Obligation]:
    """That the meaning of a state commutes with init, step, merge and finish, and that all of them are defined."""
    reach: Reach = invariants_of(plan)
    one, two = fresh_symbols(plan, "₁"), fresh_symbols(plan, "₂")

    def mean(state: dict[State, sp.Expr]) -> tuple[sp.Expr, ...]:
        return tuple(guarded(plan, m, i, state) for m, i in zip(meaning, claim.init, strict=True))

    def put(exprs: tuple[sp.Expr, ...], *states: dict[State, sp.Expr]) -> tuple[sp.Expr, ...]:
        values = {s: v for symbols, state in zip((claim.left, claim.right), states, strict=False)
                  for s, v in zip(symbols, mean(state), strict=True)}  # fmt: skip
        return tuple(e.xreplace(values) for e in exprs)

    # Elements of the plan and of the claim may share names, so that each side is written out by its own.
    derived, claimed = {e.symbol: e.expr for e in plan.elements}, dict(claim.elements)
    names = claim.names
    goals: list[Obligation] = []
    for name, have, want in zip(names, claim.init, mean(unit(plan)), strict=True):
        goals.append(Obligation(f"init {name}", f"{name} = {text(have)} of nothing", (), (eq(have, want),)))
    element = lift(plan)
    known = reach.state(one)
    after = mean({s: v.xreplace(derived) for s, v in merge(plan, one, element).items()})
    stepped = tuple(e.xreplace(claimed) for e in put(claim.step, one))
    for n, name in enumerate(names):
        shown = f"{name} is {text(meaning[n])} after a step: {text(claim.step[n])}"
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
        after, merged = mean(merge(plan, one, two)), put(claim.merge, one, two)
        for n, name in enumerate(names):
            shown = f"{name} is {text(meaning[n])} after a merge: {text(claim.merge[n])}"
            goals.append(Obligation(f"merge {name}", shown, known, (eq(after[n], merged[n]),)))
            goals.append(
                Obligation(f"merge {name}: defined", f"{text(claim.merge[n])} is defined", known, (Defined(merged[n]),))
            )
    state = {a.symbol: a.symbol for a in plan.accumulators}
    for f, expr in zip(plan.finish, put(claim.finish, state), strict=True):
        member = tuple(g.xreplace(derived) for g in reach.member(state)) if plan.axis in f.axes else ()
        guard = (f.guard,) if f.guard is not sp.true else ()
        assumptions = (*reach.state(state), *member, *guard, *something(plan, state))
        goals.append(
            Obligation(
                f"finish {f.name}", f"{f.name} = {text(f.expr)}", assumptions, (eq(f.expr, expr.xreplace(claimed)),)
            )
        )
    return goals
