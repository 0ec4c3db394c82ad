"""Mutants of derived plans: what changes the function is refuted by an input; the rest agrees in 80 digits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp
from mutation import EXPLAINED, Mutant, judge, mutants, plan_of

from refold.algebra.monoid import monoid
from refold.verify import verify
from refold.verify.refute.replay import arrays, differs, orders, run_form

# bench/mutants.py judges all mutants of all examples; here are every eighth one of five, and the slow ones.
EVERY = [m for name in ("attention", "layer_norm", "entropy", "logsumexp", "argmax") for m in mutants(name)]
CHOSEN = EVERY[::8]


@pytest.mark.parametrize("mutant", CHOSEN, ids=lambda m: m.name)
def test_mutant_is_refuted_or_the_same(mutant: Mutant) -> None:
    outcome = judge(mutant)
    assert outcome.fate != "unexplained", outcome.reason


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [m for m in EVERY if m not in CHOSEN], ids=lambda m: m.name)
def test_every_mutant_is_refuted_or_the_same(mutant: Mutant) -> None:
    outcome = judge(mutant)
    assert outcome.fate != "unexplained", outcome.reason


@pytest.mark.parametrize("mutant", CHOSEN[::5], ids=lambda m: m.name)
def test_refutation_runs(mutant: Mutant) -> None:
    plan = mutant.plan
    report = verify(plan, stop=True)
    if report.verdict != "refuted":
        assert judge(mutant).fate in ("equivalent", "explained")
        return
    example = next(r.counterexample for r in report.results if r.counterexample is not None)
    inputs = arrays(plan.spec, example)
    length = inputs[plan.axis.name]
    every = [*orders(length, merges=True, empty_parts=False), *orders(length, merges=True, empty_parts=True)]
    order = next(order for order, how in every if how == example.how)
    wanted = plan.spec(**inputs)
    wanted = wanted if isinstance(wanted, dict) else {plan.spec.outputs[0].name: wanted}
    assert differs(wanted, run_form(monoid(plan), inputs, order))


# What passed for equal before the search drew sizes of index maps, widths of windows and caps of their own.
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("softcap", "element s: factor cap dropped"),
        ("window_attention", "l: no correction"),
        ("circular_mean", "t2: correction term t2*cos(mean′ - mean) dropped"),
        ("attention", "m: element doubled"),
    ],
)
def test_search_reaches(name: str, what: str) -> None:
    mutant = next(m for m in mutants(name) if m.name == f"{name}: {what}")
    assert judge(mutant).fate == "refuted"


def test_an_explanation_is_for_what_is_the_same() -> None:
    # The name fits an explanation, and the plan computes something else: it is not looked up.
    plan = plan_of("sigmoid_attention")
    wrong = replace(plan, finish=(replace(plan.finish[0], expr=plan.finish[0].expr + 1),))
    assert judge(Mutant("x: output o: guard lost", wrong)).fate == "refuted"
    assert len({pattern for pattern, _ in EXPLAINED}) == len(EXPLAINED)


# Each was proved by an earlier version of the prover.
@pytest.mark.parametrize("name", ["causal_attention", "window_attention"])
def test_lost_guard_of_masked_rows_is_refuted(name: str) -> None:
    plan = plan_of(name)
    bare = replace(plan, anchors=tuple(replace(x, regular=sp.true) for x in plan.anchors))
    assert verify(bare).verdict == "refuted"
