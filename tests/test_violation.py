"""A claim is refuted by a run whose values violate it, and by none that only shows some other difference."""

from dataclasses import replace
from typing import Any

import pytest
import sympy as sp

from refold import Plan, Spec, Tensor, axes, derive, exp, fold, oo, pipeline, verify, where
from refold.algebra import State
from refold.algebra.monoid import monoid
from refold.examples import logsumexp, softmax
from refold.verify.obligation import Defined, Obligation
from refold.verify.refute.replay import Subject, run_form, search
from refold.verify.refute.violation import violated

i, j = axes("i j")
x = Tensor("x", j)
some, every = fold.max(where(j < i, x[j], -oo), over=j), fold.max(x[j], over=j)
SUBSET = pipeline(o=exp(some - every)[i])
INPUTS = {"x": [3.0, -1.0, 2.0], "i": 3, "j": 3}
ORDERS = [(0, 1, 2), ((0,), (1, 2)), ((), (0, 1, 2))]


def plan_of(spec: Spec) -> Plan:
    plan = derive(spec)
    assert isinstance(plan, Plan)
    return plan


def claim(*goals: sp.Basic, known: tuple[sp.Basic, ...] = (), partial: bool = False) -> Obligation:
    return Obligation("claim", "", known, goals, partial)


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_a_maximum_of_a_subset_is_at_most_that_of_all(order: Any) -> None:
    # A solver that takes both for any numbers has a model of the first; no run has.
    plan = plan_of(SUBSET)
    whole, part = (State(str(a.symbol)) for a in plan.accumulators)
    assert not violated(claim(sp.Le(part, whole)), plan, INPUTS, order)
    assert violated(claim(sp.Lt(part, whole)), plan, INPUTS, order)
    assert violated(claim(sp.Ge(part, whole)), plan, INPUTS, order)
    assert not violated(claim(sp.Ge(part, whole), known=(sp.Ge(part, whole),)), plan, INPUTS, order)


def test_a_goal_without_a_value_is_violated_unless_it_is_partial() -> None:
    plan = plan_of(SUBSET)
    whole, part = (State(str(a.symbol)) for a in plan.accumulators)
    less = sp.Eq(part - whole, whole - part, evaluate=False)
    # Of no position it is -oo - -oo.
    empty = {"x": [], "i": 3, "j": 0}
    assert violated(claim(Defined(part - whole)), plan, empty, ())
    assert violated(claim(less), plan, empty, ())
    assert not violated(claim(less, partial=True), plan, empty, ())


def test_what_no_run_has_is_not_violated() -> None:
    assert not violated(claim(sp.Lt(sp.Symbol("free"), 0)), plan_of(SUBSET), INPUTS, ORDERS[0])


@pytest.mark.parametrize("module", [softmax, logsumexp], ids=lambda m: m.__name__.rsplit(".", 1)[-1])
def test_a_wrong_output_refutes_no_other_claim(module: Any) -> None:
    plan = plan_of(module.SPEC)
    f = plan.finish[0]
    report = verify(replace(plan, finish=(replace(f, expr=2 * f.expr), *plan.finish[1:])))
    refuted = {r.name for r in report.results if r.verdict == "refuted"}
    assert f"finish {f.name}" in refuted
    assert all(name in ("run", f"finish {f.name}") or name.startswith(f"empty {f.name}") for name in refuted)


def test_a_run_that_differs_for_another_reason_leaves_a_claim_unknown() -> None:
    # The corrections of this plan are wrong in a way that its run at these sizes shows, and so is its bound.
    plan = plan_of(softmax.SPEC)
    wrong = tuple(replace(a, correction=a.symbol) if a.anchors else a for a in plan.accumulators)
    report = verify(replace(plan, accumulators=wrong))
    assert report.verdict == "refuted"
    shown = {r.name for r in report.results if r.verdict == "refuted"}
    assert any(name.startswith("correction") or name.startswith("update") for name in shown)
    assert all(r.counterexample is not None for r in report.results if r.verdict == "refuted")
    assert not any(name.startswith("range") for name in shown)


def test_an_axis_that_another_one_reads_along_is_run_over_all_of_its_positions() -> None:
    """The positive of a contrastive loss is k[i], so that j is as long as i: it was run over none of its positions."""
    k = Tensor("k", j)
    plan = plan_of(pipeline(o=(fold.logsumexp(Tensor("q", i)[i] * k[j], over=j) - k[i])[i]))
    form = monoid(plan)
    subject = Subject(plan.spec, plan.axis, lambda inputs, order: run_form(form, inputs, order))
    assert search(subject, merges=True, empty_parts=True, lengths=(0, 1, 2), others=(1, 3), tries=2) is None
