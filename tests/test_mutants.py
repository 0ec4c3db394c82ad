"""Mutants of derived plans: all that change what is computed are refuted by an input; the others are listed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sympy as sp

from refold import Plan, derive
from refold.algebra import Accumulator, Anchor
from refold.verify import verify
from refold.verify.replay import arrays, differs, orders, run_plan

PLANS = ("attention", "layer_norm", "entropy", "logsumexp", "argmax")

# What no run can tell from the plan, each with its reason. None of them is wrong, so that a proof is right too.
CANCELS = "an anchor cancels between the sums, so that any other would do; only its range suffers"
UNDEFINED = "the spec has no value of nothing, so that any will do"
SYMMETRIC = "(mean' - mean)^2 is the same from either side"
NO_POSITION = "the output is along the axis, so that of nothing there is no output"
EQUIVALENT = {
    "attention: m: element doubled": CANCELS,
    "attention: m: element raised": CANCELS,
    "attention: m: sum for max": CANCELS,
    "attention: anchor m: off by one": CANCELS,
    "attention: output o: guard lost": UNDEFINED,
    "attention: output o: wrong value of nothing": UNDEFINED,
    "layer_norm: M2: stale and fresh swapped": SYMMETRIC,
    "layer_norm: output y: guard lost": NO_POSITION,
    "layer_norm: output y: wrong value of nothing": NO_POSITION,
    "entropy: m: element doubled": CANCELS,
    "entropy: m: element raised": CANCELS,
    "entropy: m: sum for max": CANCELS,
    "entropy: anchor m: off by one": CANCELS,
    "entropy: output h: guard lost": UNDEFINED,
    "entropy: output h: wrong value of nothing": UNDEFINED,
    "logsumexp: m: element doubled": CANCELS,
    "logsumexp: m: element raised": CANCELS,
    "logsumexp: m: sum for max": CANCELS,
}


def plan_of(name: str) -> Plan:
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan)
    return plan


def with_accumulator(plan: Plan, a: Accumulator, **changed: Any) -> Plan:
    return replace(plan, accumulators=tuple(replace(b, **changed) if b == a else b for b in plan.accumulators))


def exponents(expr: sp.Expr, change: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
    return expr.replace(sp.exp, lambda x: sp.exp(change(x)))


def swapped(plan: Plan, a: Accumulator) -> sp.Expr:
    pairs = {x.stale: x.fresh for x in own(plan, a)}
    return a.moved.xreplace(pairs | {fresh: stale for stale, fresh in pairs.items()})


def own(plan: Plan, a: Accumulator) -> list[Anchor]:
    return [plan.anchor(s) for s in a.anchors]


def of_accumulator(plan: Plan, a: Accumulator) -> Iterator[tuple[str, Plan]]:
    if a.moved != a.symbol:
        yield "no correction", with_accumulator(plan, a, moved=a.symbol)
        yield "stale and fresh swapped", with_accumulator(plan, a, moved=swapped(plan, a))
        yield (
            "stale anchors for fresh",
            with_accumulator(plan, a, moved=a.moved.xreplace({x.fresh: x.stale for x in own(plan, a)})),
        )
        yield (
            "another term",
            with_accumulator(plan, a, moved=a.moved + sp.Mul(*(x.fresh - x.stale for x in own(plan, a)))),
        )
        for n, term in enumerate(sp.Add.make_args(sp.expand(a.moved))):
            if sp.expand(a.moved) != term:
                yield f"term {n} dropped", with_accumulator(plan, a, moved=sp.expand(a.moved) - term)
    if a.moved.has(sp.exp):
        yield "exponent negated", with_accumulator(plan, a, moved=exponents(a.moved, lambda x: -x))
        yield "exponent halved", with_accumulator(plan, a, moved=exponents(a.moved, lambda x: x / 2))
    if a.reducer != "argmax":
        yield "element doubled", with_accumulator(plan, a, element=2 * a.element)
        yield "element raised", with_accumulator(plan, a, element=a.element + 1)
    else:
        yield "position off by one", with_accumulator(plan, a, element=a.element + 1)
    for reducer in ("max", "sum", "min"):
        # The unit of a reducer is its own, so that this is a wrong unit too.
        if reducer != a.reducer and {reducer, a.reducer} != {"sum", "count"}:
            yield f"{reducer} for {a.reducer}", with_accumulator(plan, a, reducer=reducer)
    factors = sp.Mul.make_args(a.element)
    for factor in factors if len(factors) > 1 else ():
        yield f"factor {factor} dropped", with_accumulator(plan, a, element=a.element / factor)


def of_plan(plan: Plan) -> Iterator[tuple[str, Plan]]:
    for a in plan.accumulators:
        yield from ((f"{a.symbol}: {what}", mutant) for what, mutant in of_accumulator(plan, a))
    for n, x in enumerate(plan.anchors):
        if x.regular is not sp.true:
            bare = (*plan.anchors[:n], replace(x, regular=sp.true), *plan.anchors[n + 1 :])
            yield f"anchor {x.stale}: guard lost", replace(plan, anchors=bare)
        moved = (*plan.anchors[:n], replace(x, expr=x.expr + 1), *plan.anchors[n + 1 :])
        yield f"anchor {x.stale}: off by one", replace(plan, anchors=moved)
    for n, f in enumerate(plan.finish):
        for what, changed in (
            ("off by one", replace(f, expr=f.expr + 1)),
            ("negated", replace(f, expr=-f.expr)),
            ("guard lost", replace(f, guard=sp.true)),
            ("wrong value of nothing", replace(f, empty=sp.Integer(7)) if f.guard is not sp.true else f),
        ):
            if changed != f:
                yield (
                    f"output {f.name}: {what}",
                    replace(plan, finish=(*plan.finish[:n], changed, *plan.finish[n + 1 :])),
                )


MUTANTS = [(name, what, mutant) for name in PLANS for what, mutant in of_plan(plan_of(name)) if mutant != plan_of(name)]


@pytest.mark.parametrize(("name", "what", "mutant"), MUTANTS, ids=[f"{name}: {what}" for name, what, _ in MUTANTS])
def test_mutant_is_refuted(name: str, what: str, mutant: Plan) -> None:
    report = verify(mutant)
    if f"{name}: {what}" in EQUIVALENT:
        assert report.verdict != "refuted", str(report)
        return
    assert report.verdict == "refuted", str(report)
    example = next(r.counterexample for r in report.results if r.counterexample is not None)
    inputs = arrays(mutant.spec, example)
    length = inputs[mutant.axis.name]
    every = [*orders(length, True, False), *orders(length, True, True)]
    order = next(order for order, how in every if how == example.how)
    wanted = mutant.spec(**inputs)
    wanted = wanted if isinstance(wanted, dict) else {mutant.spec.outputs[0].name: wanted}
    assert differs(wanted, run_plan(mutant, inputs, order))


def test_equivalents_are_mutants() -> None:
    assert set(EQUIVALENT) <= {f"{name}: {what}" for name, what, _ in MUTANTS}


# Each was proved by an earlier version of the prover.
@pytest.mark.parametrize("name", ["causal_attention", "window_attention"])
def test_lost_guard_of_masked_rows_is_refuted(name: str) -> None:
    plan = plan_of(name)
    bare = replace(plan, anchors=tuple(replace(x, regular=sp.true) for x in plan.anchors))
    assert verify(bare).verdict == "refuted"
