"""Laws have a value wherever the pipeline has one: sums whose anchors may be 0, and what is known by its sign alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sympy as sp

from refold import Plan, Refusal, Spec, Tensor, axes, derive, emit, exp, fold, log, pipeline, relu
from refold.algebra.run import run
from refold.errors import EmitError
from refold.verify import Proof, verify
from refold.verify.laws.obligations import merges
from refold.verify.obligation import Obligation, discharge
from refold.verify.verify import invariants_of

i, j = axes("i j")
x, w = Tensor("x", i, j), Tensor("w", j)
X, W = x[i, j], w[j]
M, LO, S = fold.max(X, over=j), fold.min(X, over=j), fold.sum(X, over=j)
Body = Callable[[float, float, list[float]], float]
# A body that is 0 for some anchors, the same in plain floats, and how many numbers its loop carries.
SUMS: dict[str, tuple[Any, Body, int]] = {
    "exponential and polynomial": (
        M * exp(X - M) + M**2 * X, lambda a, _, row: max(row) * math.exp(a - max(row)) + max(row) ** 2 * a, 3,
    ),
    "an anchor that enters once": (
        M * exp(X - M) + X, lambda a, _, row: max(row) * math.exp(a - max(row)) + a, 3,
    ),
    "one function of two weights": (
        M * X + M * M * X, lambda a, _, row: (max(row) + max(row) ** 2) * a, 4,
    ),
    "divided by it elsewhere": (X / (1 + M * M) + M * X, lambda a, _, row: a / (1 + max(row) ** 2) + max(row) * a, 3),
    "minimum beside maximum": (
        LO * exp(X - M) + W, lambda a, b, row: min(row) * math.exp(a - max(row)) + b, 4,
    ),
    "a sum for an anchor": (S * exp(X - M) + W, lambda a, b, row: sum(row) * math.exp(a - max(row)) + b, 4),
    "a square": (
        (M * exp(X - M) + X) ** 2, lambda a, _, row: (max(row) * math.exp(a - max(row)) + a) ** 2, 4,
    ),
}  # fmt: skip
# Maxima, minima and sums that are 0, -1 or 1 on the way or at the end.
ROWS = ([0.0, 0.0, 0.0], [0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0], [-2.0, 0.0, 1.5], [0.5, -0.5, 2.0])
WEIGHTS = [0.75, -1.25, 0.5]


def spec_of(body: Any) -> Spec:
    return pipeline(y=fold.sum(body, over=j)[i])


def plan_of(body: Any) -> Plan:
    plan = derive(spec_of(body))
    assert isinstance(plan, Plan)
    return plan


@pytest.mark.parametrize("name", SUMS)
def test_a_sum_is_right_where_its_anchors_are_0(name: str) -> None:
    body, plain, carried = SUMS[name]
    plan = plan_of(body)
    assert len(plan.accumulators) <= carried
    for row in ROWS:
        wanted = math.fsum(plain(a, b, row) for a, b in zip(row, WEIGHTS, strict=False))
        inputs = {t.name: [row] if t.name == "x" else WEIGHTS[: len(row)] for t in plan.spec.tensors}
        for order in (None, ((), *range(len(row) - 1), (len(row) - 1,))):
            assert float(run(plan, inputs, order)["y"][0]) == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def test_a_sum_that_is_0_at_a_maximum_of_0_is_proved() -> None:
    """It was refuted at a maximum of 0, where the derived correction divided by it."""
    plan = plan_of(SUMS["exponential and polynomial"][0])
    assert "split" in {step.rule for step in plan.steps} and max(a.rank for a in plan.accumulators) == 1
    assert isinstance(verify(plan), Proof)


def test_a_reading_of_two_sums_needs_both() -> None:
    """Without one of its terms the reading is that of another fold."""
    plan = plan_of(SUMS["exponential and polynomial"][0])
    (whole,) = (r for r in plan.readings if len(r.terms) == 2)
    short = replace(whole, expr=whole.terms[0][0] * whole.terms[0][1], terms=whole.terms[:1])
    wrong = replace(plan, readings=tuple(short if r is whole else r for r in plan.readings))
    name = f"reading {plan.readings.index(whole) + 1}"
    assert verify(wrong).verdict != "proved"
    assert next(r.verdict for r in verify(wrong).results if r.name == name) != "proved"
    unlike = replace(whole, terms=whole.terms[:1])
    (shape,) = verify(replace(plan, readings=(unlike,))).results[:1]
    assert shape.verdict == "unknown" and "is not the sum of its accumulators" in shape.note


def test_a_polynomial_keeps_its_moments_about_the_anchor() -> None:
    """A law without a divisor as a whole is not taken apart: a variance would lose its digits."""
    plan = plan_of((X - M) ** 2)
    assert "split" not in {step.rule for step in plan.steps}


def test_a_product_that_is_scaled_by_what_may_be_0_has_no_form() -> None:
    """`prod m x` was corrected by m'/m, and refuted at m = 0."""
    refusal = derive(pipeline(y=fold.prod(M * X, over=j)[i]))
    assert isinstance(refusal, Refusal) and refusal.evidence is None
    assert isinstance(derive(pipeline(y=fold.prod(exp(X - M), over=j)[i])), Plan)


@pytest.mark.parametrize(("body", "rest"), [(relu(X - M) * W, 0), (relu(LO - X) * W + W, 1)], ids=["max", "min"])
def test_what_is_0_by_its_sign_is_proved_without_its_anchor(body: Any, rest: int) -> None:
    """`max(0, x - max x) = 0`: the maximum is carried by nothing, and its definition says it all the same."""
    plan = plan_of(body)
    assert len(plan.accumulators) == rest
    proof = verify(plan)
    assert isinstance(proof, Proof)
    loads = {r.name for r in proof.results if r.name.startswith("index loads")}
    assert loads == ({"index loads w"} if rest else set())
    if not rest:
        with pytest.raises(EmitError, match=r"reads no tensor"):
            emit(proof, "zero")


def test_a_sign_that_is_not_known_is_not_assumed() -> None:
    """The maximum of another tensor bounds nothing here: a reading of 0 is not proved, and none is derived."""
    other = Tensor("b", i, j)
    wrong = replace(plan_of(relu(X - M) * W), spec=spec_of(relu(X - fold.max(other[i, j], over=j)) * W))
    zero = replace(wrong.readings[0], fold=next(iter(wrong.spec.outputs)).expr)
    found = verify(replace(wrong, readings=(zero,)))
    assert found.verdict != "proved"


def test_a_sum_that_others_give_may_stand_at_their_anchors() -> None:
    """The variance of the log-probability: its first moment is given by the entropy, which has another anchor.

    The correction read an anchor that the accumulator did not name: a KeyError where it was run.
    """
    p = exp(X - M) / fold.sum(exp(X - M), over=j)
    entropy = fold.sum(p * log(p), over=j)
    plan = plan_of(p * (log(p) - entropy) ** 2)
    assert "drop" in {step.rule for step in plan.steps}
    for row in ROWS:
        weights = [math.exp(a) / math.fsum(map(math.exp, row)) for a in row]
        mean = math.fsum(u * math.log(u) for u in weights)
        wanted = math.fsum(u * (math.log(u) - mean) ** 2 for u in weights)
        for order in (None, ((), *range(len(row) - 1), (len(row) - 1,))):
            assert float(run(plan, {"x": [row]}, order)["y"][0]) == pytest.approx(wanted, rel=1e-10, abs=1e-12)


def test_a_merge_is_associative_whatever_its_computed_anchors_are() -> None:
    """Of a divergence between two softmaxes the question took longer than a proof has: it split by all their guards."""
    b = Tensor("b", i, j)[i, j]
    p = exp(X - M) / fold.sum(exp(X - M), over=j)
    q = exp(b - fold.max(b, over=j)) / fold.sum(exp(b - fold.max(b, over=j)), over=j)
    plan = plan_of(p * (log(p) - log(q)))
    (t,) = (a for a in plan.accumulators if a.rank == 2)

    def general(plan: Plan) -> Obligation:
        asked = (a for a in merges(plan, invariants_of(plan)) if a[0].name == f"merge {t.symbol}: associative")
        (alternatives,) = asked
        assert len(alternatives) == 2
        return alternatives[0]

    found = general(plan)
    assert not any(goal.has(sp.log) for goal in found.goals)
    assert discharge(found, plan).verdict == "proved"
    (r,) = (plan.anchor(s) for s in t.anchors if plan.anchor(s).expr != s)
    doubled = replace(t, correction=t.correction.xreplace({r.stale: 2 * r.stale}))
    wrong = replace(plan, accumulators=tuple(doubled if a is t else a for a in plan.accumulators))
    assert discharge(general(wrong), wrong).verdict != "proved"
