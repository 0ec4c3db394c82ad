"""Verifies a claimed fused form against its spec: by running it, and by relating its state to a derived one."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra import Plan, Refusal, State, derive
from refold.algebra.derive import fold_axis
from refold.algebra.merge import fresh_symbols, lift, merge, unit
from refold.algebra.run import Order, Runner
from refold.spec import Where
from refold.spec.evaluate import Inputs
from refold.spec.mathematics import text
from refold.verify.claim import Claim
from refold.verify.obligation import Defined, Obligation, answered, discharge
from refold.verify.reach import Reach, eq
from refold.verify.replay import sample, search
from refold.verify.result import Checked, Counterexample, Disproof, Result
from refold.verify.verify import Progress, invariants_of, verify, versions

Arrays = dict[State, Any]


def verify_claim(claim: Claim, progress: Progress | None = None) -> Checked:
    """Proved for every length, split and input; or the smallest input found on which the claim is wrong; or unknown.

    The claim is run beside the spec first. If no input tells them apart, every component of its state is identified
    with an expression over the derived state, and init, step, merge and finish are proved to commute with it.
    """
    notify = progress or (lambda _: None)
    axis = fold_axis(claim.spec)
    runner = ClaimRunner(claim, axis)
    notify("running the claim")
    found = search(claim.spec, axis, runner.run, merges=claim.merge is not None, empty_parts=claim.empty_parts)
    if found is not None:
        shown = f"the claimed form computes {', '.join(o.name for o in claim.spec.outputs)}"
        return Checked(claim.spec, (_refuted(shown, found),), versions())
    plan = derive(claim.spec)
    if isinstance(plan, Refusal):
        note = f"the spec itself was not derived: {plan.reason}"
        return Checked(
            claim.spec,
            (Result("derived form", "a proved form to relate to", "unknown", 0.0, "", note=note),),
            versions(),
        )
    proof = verify(plan, progress)
    basis = Result(
        "derived form",
        f"refold's own form of the spec ({len(proof.results)} obligations)",
        proof.verdict,
        proof.seconds,
        "",
    )
    if isinstance(proof, Disproof):
        return Checked(claim.spec, (basis,), versions())
    notify("identifying the state")
    meaning = identify(claim, plan, runner)
    missing = [n for n, m in zip(claim.names, meaning, strict=True) if m is None]
    if missing:
        held = ", ".join(str(a.symbol) for a in plan.accumulators)
        note = f"no expression over the derived state ({held}) was found for it"
        unknown = (Result(f"state {n}", f"what {n} is", "unknown", 0.0, "", note=note) for n in missing)
        return Checked(claim.spec, (basis, *unknown), versions())
    results = []
    for obligation in _obligations(claim, plan, tuple(m for m in meaning if m is not None)):
        notify(obligation.name)
        answer = discharge(obligation, plan)
        if answer.verdict == "refuted":
            # The solver's model is of states; no run from the start has shown it, so it refutes nothing yet.
            note = f"not proved, and no input was found that shows it: {answer.note}"
            answer = replace(answer, verdict="unknown", note=note)
        results.append(answered(obligation.name, obligation.claim, answer))
    return Checked(claim.spec, (basis, *results), versions())


def _refuted(claim: str, example: Counterexample) -> Result:
    return Result("claim", claim, "refuted", 0.0, "", example, example.how)


class ClaimRunner:
    """Runs a claimed form in float64 NumPy."""

    def __init__(self, claim: Claim, axis: sp.Symbol) -> None:
        self.claim, self.axis = claim, axis

    def run(self, inputs: dict[str, Any], order: Order) -> dict[str, Any]:
        """The outputs for one order, as `refold.algebra.run.run` has it."""
        given = Inputs.of(self.claim.spec, inputs)
        with np.errstate(all="ignore"):
            state = self.state(given, order)
            whole = {s: given.walk()(e) for s, e in self.claim.elements}
            walk = given.walk({**state, **whole})
            outputs = zip(self.claim.spec.outputs, self.claim.finish, strict=True)
            results = {o.name: given.present(walk(expr), o.axes) for o, expr in outputs}
            if self.claim.spec.empty is not sp.nan:
                empty = float(self.claim.spec.empty)
                results = {
                    n: np.where(np.isnan(v), empty, v) if not given.sizes[self.axis] else v for n, v in results.items()
                }
        return results

    def state(self, given: Inputs, order: Order) -> Arrays:
        """The state of a part; runs of single elements are stepped, parts are merged."""
        claim = self.claim
        empty = dict(zip(claim.left, (self.wide(given, given.walk()(e)) for e in claim.init), strict=True))
        if isinstance(order, int):
            return self.step(given, empty, order)
        state: Arrays | None = None
        for part in order:
            if isinstance(part, int):
                state = self.step(given, empty if state is None else state, part)
            elif state is None:
                state = self.state(given, part)
            else:
                state = self.merge(given, state, self.state(given, part))
        return empty if state is None else state

    def wide(self, given: Inputs, value: Any) -> Any:
        return np.reshape(value, [1] * len(given.order)) if np.ndim(value) == 0 else np.asarray(value)

    def step(self, given: Inputs, state: Arrays, position: int) -> Arrays:
        axis = given.order[self.axis]
        here = {}
        for symbol, expr in self.claim.elements:
            value = self.wide(given, given.walk()(expr))
            here[symbol] = value if value.shape[axis] == 1 else np.take(value, [position], axis=axis)
        walk = given.walk({**state, **here})
        return dict(zip(self.claim.left, (self.wide(given, walk(e)) for e in self.claim.step), strict=True))

    def merge(self, given: Inputs, x: Arrays, y: Arrays) -> Arrays:
        claim = self.claim
        assert claim.merge is not None
        second = dict(zip(claim.right, y.values(), strict=True))
        walk = given.walk({**x, **second})
        return dict(zip(claim.left, (self.wide(given, walk(e)) for e in claim.merge), strict=True))


def identify(claim: Claim, plan: Plan, runner: ClaimRunner) -> list[sp.Expr | None]:
    """For every component of the claimed state an expression over the derived one that agrees on sample runs."""
    import random

    rng = random.Random(1)
    runs: list[tuple[Inputs, Arrays, dict[State, Any]]] = []
    for attempt in range(6):
        inputs = sample(claim.spec, plan.axis, 3 + attempt % 2, 3, 6 + attempt, rng)
        given = Inputs.of(claim.spec, inputs)
        positions = tuple(range(3 + attempt % 2))
        with np.errstate(all="ignore"):
            runs.append((given, runner.state(given, positions), Runner(plan, given).state(positions)))
    meanings = _meanings(plan)
    return [next((m for m in meanings if _agrees(m, s, runs)), None) for s in claim.left]


def _meanings(plan: Plan) -> list[sp.Expr]:
    """What a component of a state may be, simplest first: among it whatever anchors and outputs are made of."""
    symbols = [a.symbol for a in plan.accumulators]
    found: list[sp.Expr] = [sp.sympify(s) for s in symbols]
    wholes = [x.expr for x in plan.anchors] + [f.expr for f in plan.finish]
    parts = dict.fromkeys(
        n for e in wholes for n in sp.preorder_traversal(e) if isinstance(n, sp.Expr) and n.has(State)
    )
    found += [p for p in parts if plan.axis not in p.free_symbols and not isinstance(p, State)]
    found += [sp.exp(s) for s in symbols] + [sp.log(s) for s in symbols] + [s**2 for s in symbols]
    for a, b in permutations(symbols, 2):
        found += [a / b, a + sp.log(b), a * sp.exp(b), a * b, a / b**2, sp.sqrt(a / b), a / (b - 1)]
    for a, b, c in permutations(symbols, 3):
        found += [a / b + c, a * sp.exp(b) / c, a + b * c, a + b * c**2, a / c + b**2]
    return [*found, sp.S.Zero, sp.S.One]


def _agrees(meaning: sp.Expr, symbol: State, runs: list[tuple[Inputs, Arrays, dict[State, Any]]]) -> bool:
    with np.errstate(all="ignore"):
        for given, claimed, derived in runs:
            want = np.asarray(claimed[symbol], dtype=np.float64)
            have = np.asarray(given.walk(derived)(meaning), dtype=np.float64)
            usable = np.isfinite(want) & np.isfinite(have)
            if not np.allclose(np.where(usable, want, 0), np.where(usable, have, 0), rtol=1e-7, atol=1e-9):
                return False
            if np.any(np.isfinite(have) & ~np.isfinite(want)):
                return False
    return True


def _obligations(claim: Claim, plan: Plan, meaning: tuple[sp.Expr, ...]) -> list[Obligation]:
    """That the meaning of a state commutes with init, step, merge and finish, and that all of them are defined."""
    reach: Reach = invariants_of(plan)
    one, two = fresh_symbols(plan, "₁"), fresh_symbols(plan, "₂")

    def mean(state: dict[State, sp.Expr]) -> tuple[sp.Expr, ...]:
        return tuple(_guarded(plan, m, i, state) for m, i in zip(meaning, claim.init, strict=True))

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
            *((*_something(plan, one), *_something(plan, two)) if held else ()),
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
        assumptions = (*reach.state(state), *member, *guard, *_something(plan, state))
        goals.append(
            Obligation(
                f"finish {f.name}", f"{f.name} = {text(f.expr)}", assumptions, (eq(f.expr, expr.xreplace(claimed)),)
            )
        )
    return goals


def _something(plan: Plan, state: dict[State, sp.Expr]) -> tuple[sp.Basic, ...]:
    """That a state holds an element that is not masked."""
    found = []
    for anchor in plan.anchors:
        if anchor.regular is not sp.true:
            found.append(anchor.regular.xreplace(dict(state)))
    return tuple(found)


def _guarded(plan: Plan, meaning: sp.Expr, init: sp.Expr, state: dict[State, sp.Expr]) -> sp.Expr:
    """A meaning in a state: that of nothing is what the claim starts from where the expression is undefined there."""
    value = meaning.xreplace(dict(state))
    if isinstance(meaning, State) or not any(
        isinstance(n, sp.log) or (isinstance(n, sp.Pow) and n.exp.is_negative) for n in sp.preorder_traversal(meaning)
    ):
        return value
    return Where(sp.And(*_something(plan, state)), value, init)
